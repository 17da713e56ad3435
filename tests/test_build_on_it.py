"""The recipes of the page are run as they stand, section by section, and what they make is looked at."""

import re
from pathlib import Path

import numpy as np
import pytest

import dbn_lite
from dbn_lite.rbm import RBM

PAGE = Path(__file__).parents[1] / "book" / "build-on-it.md"
OURS = ("Features", "scikit-learn", "PyTorch", "A deeper net", "Another unit in place of pixels")
SECTIONS = dict(part.split("\n", 1) for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:])


def run(name, given=None):
    """What the blocks of a section leave behind, given what those of another did."""
    namespace = dict(given or {})
    for code in re.findall(r"```python\n([\s\S]*?)```", SECTIONS[name]):
        exec(compile(code, f"{PAGE.name}, {name}", "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def features():
    return run("Features")


def errors(found):
    """The error rate on the images that were not learned from."""
    return np.mean(dbn_lite.predict(found["net"], found["images"][found["test"]]) != found["labels"][found["test"]])


def test_the_page_has_these_sections():
    """Those before them are run by tests/test_own_data.py."""
    assert tuple(SECTIONS)[-len(OURS) :] == OURS


def test_features(features, capsys):
    run("Features")
    assert capsys.readouterr().out.splitlines() == ["DeepNet(64-80-50, 0 labels) (397, 50)", "(397, 80)"]


def test_in_a_pipeline_of_scikit_learn(features):
    found = run("scikit-learn", features)
    digits, labels, test = features["digits"].data, features["labels"], features["test"]
    assert found["search"].score(digits[test], labels[test]) > 0.9
    assert found["search"].best_estimator_[1].net_.sizes[0] == 64
    beliefs = found["DeepBeliefs"]((12, 10), epochs=1)
    assert beliefs.get_params() == {"layers": (12, 10), "epochs": 1, "seed": 0}
    assert beliefs.fit_transform(features["images"][:100]).shape == (100, 10)


def test_into_pytorch_and_on_by_back_propagation(features):
    pytest.importorskip("torch")
    found = run("PyTorch", features)
    after = np.mean(found["read"] != features["labels"][features["test"]])
    assert after < min(errors(found), 0.1)


def test_a_deeper_net(features, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run("A deeper net", features)
    assert errors(found) < 0.12
    assert found["threes"].shape == (10, 64)
    assert dbn_lite.store.read_meta("deeper.npz") == {"note": "four hidden layers"}
    greedy = dbn_lite.deep.stack(found["rbms"])
    assert not np.array_equal(greedy.layers[0].up, found["net"].layers[0].up)  # up-down did something
    assert np.mean(dbn_lite.predict(found["net"], found["threes"]) == 3) > 0.5


# ---- Gaussian visible units


@pytest.fixture(scope="module")
def gaussian(features):
    return run("Another unit in place of pixels", features)


def log_likelihood(W, vis_bias, hid_bias, data):
    """The mean of log p(v), the partition function by quadrature over a grid of two visible units."""
    states = np.array([[i >> k & 1 for k in range(len(hid_bias))] for i in range(2 ** len(hid_bias))], float)

    def log_weight(v):
        quadratic = 0.5 * ((v - vis_bias) ** 2).sum(axis=1)
        return np.logaddexp.reduce(v @ W @ states.T + states @ hid_bias, axis=1) - quadratic

    line = np.linspace(-12, 12, 241)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    z = np.exp(log_weight(grid)).sum() * (line[1] - line[0]) ** 2
    return log_weight(data).mean() - np.log(z)


def test_gaussian_contrastive_divergence_tends_to_the_slope_of_the_likelihood(gaussian):
    rng = np.random.default_rng(0)
    own = [0.8 * rng.normal(size=shape) for shape in ((2, 3), 2, 3)]
    rbm, data = RBM(*map(np.float32, own)), rng.normal(size=(4, 2)) * 1.5
    slopes = []
    for i, a in enumerate(own):
        slope = np.zeros(a.shape)
        for place in np.ndindex(a.shape):
            ends = []
            for by in (1e-4, -1e-4):
                moved = [b.copy() for b in own]
                moved[i][place] += by
                ends.append(log_likelihood(*moved, data))
            slope[place] = (ends[0] - ends[1]) / 2e-4
        slopes.append(slope)
    many = np.tile(data, (50_000, 1))
    for got, want in zip(gaussian["gaussian_cd"](rbm, many, rng, n_gibbs=25), slopes, strict=True):
        np.testing.assert_allclose(got, want, atol=0.03)
    assert max(np.abs(slope).max() for slope in slopes) > 0.3
    short = gaussian["gaussian_cd"](rbm, many, rng, n_gibbs=1)
    assert max(np.abs(a - b).max() for a, b in zip(short, slopes, strict=True)) > 0.1  # the test can tell


def test_gaussian_units_below_a_net_that_reads(gaussian, features):
    labels, test = features["labels"], features["test"]
    assert np.mean(dbn_lite.predict(gaussian["rest"], gaussian["above"][test]) != labels[test]) < 0.15
    scaled, first = gaussian["scaled"][test], gaussian["first"]
    back = first.vis_bias + gaussian["hidden"](first, scaled) @ first.W.T
    assert ((back - scaled) ** 2).mean() < 0.5 * (scaled**2).mean()  # half of the variance at least is kept
    assert gaussian["seen"].shape == (10, 64)
    three = features["images"][labels == 3].mean(axis=0)
    others = [features["images"][labels == k].mean(axis=0) for k in range(10) if k != 3]
    dream = gaussian["seen"].mean(axis=0)
    assert ((dream - three) ** 2).sum() < min(((dream - other) ** 2).sum() for other in others)
