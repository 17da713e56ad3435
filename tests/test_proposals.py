"""What the paper proposed: features that see windows against enumeration, changed images, the record of all trials."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from easy import arrays_of, assert_same_bits, greedy, meta_of, noisy_prototypes, preset, up_down

from dbn_lite import exact, fit, train
from dbn_lite.errors import InputError
from dbn_lite.files import unpacked
from dbn_lite.paper import proposals
from dbn_lite.paper.table1 import distort
from dbn_lite.rbm import mean_h_from_v, mean_v_from_h
from dbn_lite.study.shared import local_features

SMALL = noisy_prototypes(300, 60, noise=0.05)
SHORT = preset(*greedy(2, rate=0.5), up_down(2, name="up-down"))


def features(shared, shape=(4, 3), side=2, stride=1, n=2, seed=3):
    made, rng = local_features(shape, side, stride, n, shared, seed), np.random.default_rng(seed)
    for a in (made.W, made.hid_bias, made.vis_bias):
        a += np.float32(rng.normal(0, 0.7, a.shape))
    return made


@pytest.mark.parametrize("shared", [True, False])
def test_features_are_a_machine_whose_weights_are_written_out(shared):
    made, rng = features(shared), np.random.default_rng(0)
    machine, v = made.as_rbm(), rng.random((5, 12), np.float32)
    assert (machine.n_vis, machine.n_hid) == (12, 6 * 2)
    assert (machine.W != 0).sum() == 6 * 4 * 2  # what no window holds weighs nothing
    assert len(np.unique(machine.W)) - 1 == (4 * 2 if shared else 6 * 4 * 2)
    h = made.mean_h(v)
    np.testing.assert_allclose(h.swapaxes(0, 1).reshape(5, -1), mean_h_from_v(machine, v), rtol=0, atol=1e-6)
    np.testing.assert_allclose(made.mean_v(h), mean_v_from_h(machine, h.swapaxes(0, 1).reshape(5, -1)), atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_the_gradient_at_equilibrium_is_that_of_the_likelihood(shared):
    """By enumeration: the log probability of two images, differentiated numerically by every parameter."""
    made = features(shared, shape=(3, 2))
    data = np.array([[1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 1]], np.float32)

    def oracle():
        machine = made.as_rbm()
        return exact.BoltzmannMachine(*(np.float64(a) for a in (machine.W, machine.vis_bias, machine.hid_bias)))

    def log_prob():
        machine = oracle()
        return float(exact.log_prob(machine, data).sum())

    machine = oracle()
    probs = np.float32(np.exp(exact.log_prob(machine)))
    states = np.float32(machine.v_states)
    plus = made.gradient(data, made.mean_h(data))
    weighted = made.mean_h(states) * probs[:, None]
    minus = [*made.gradient(states, weighted)[:2], probs @ states]
    for parameter, up, down in zip((made.W, made.hid_bias, made.vis_bias), plus, minus, strict=True):
        for at in np.ndindex(parameter.shape):
            was, step, ends = parameter[at], np.float32(2**-6), []
            for sign in (1, -1):
                parameter[at] = was + sign * step
                ends.append(log_prob())
            parameter[at] = was
            np.testing.assert_allclose(up[at] - 2 * down[at], (ends[0] - ends[1]) / (2 * step), rtol=0, atol=2e-3)


def test_windows_cover_the_image_and_must_fit_it():
    windows = local_features((28, 28), 8, 4, 24, shared=True).windows
    assert windows.shape == (36, 64)
    assert set(windows.ravel().tolist()) == set(range(784))
    uneven = local_features((9, 7), 4, 3, 1, shared=False)
    assert set(uneven.windows.ravel().tolist()) == set(range(63))  # the last windows end with the image
    with pytest.raises(InputError, match="choose a smaller one"):
        local_features((8, 6), 7, 1, 2, shared=True)


def test_a_step_makes_the_data_more_probable():
    made, rng = local_features((3, 3), 2, 1, 2, shared=True), proposals.backend.current().random(0, "x")
    data = np.tile(np.eye(3, dtype=np.float32).ravel(), (20, 1))

    def log_prob():
        machine = made.as_rbm()
        return exact.log_prob(exact.BoltzmannMachine(*vars(machine).values()), data[:1])[0]

    before = log_prob()
    for _ in range(200):
        made.step(data, rng, 0.05, 0.5, 0.0)
    assert log_prob() > before + 2


def same(images, shape, rng):
    return images


def lighter(images, shape, rng):
    assert shape == (8, 8)
    return images * rng.uniform(0.5, 1, (len(images), 1)).astype(np.float32)


def test_a_change_that_changes_nothing_leaves_every_bit(tmp_path):
    for name, change in {"plain": None, "same": same, "lighter": lighter}.items():
        train.Run(SHORT, SMALL, 0, tmp_path / name, change=change).train(progress=False)
    assert_same_bits(tmp_path / "plain" / "net.npz", tmp_path / "same" / "net.npz")
    one, other = (arrays_of(tmp_path / name / "net.npz")["vishid"] for name in ("plain", "lighter"))
    assert np.abs(one - other).max() > 1e-3
    assert "change" not in meta_of(tmp_path / "plain" / "net.npz")
    assert meta_of(tmp_path / "lighter" / "net.npz")["change"] == "lighter"


def test_every_layer_meets_images_drawn_anew_and_validation_the_true_ones(tmp_path):
    met = []

    def noted(images, shape, rng):
        met.append(lighter(images, shape, rng))
        return met[-1]

    run = train.Run(SHORT, SMALL, 0, tmp_path / "run", change=noted)
    originals = run.split.train_images.copy(), run.split.validation_images.copy()
    run.train(progress=False)
    assert len(met) == 2 * 4  # epochs
    assert len({one.tobytes() for one in met}) == len(met)
    for one, true in zip((run.split.train_images, run.split.validation_images), originals, strict=True):
        assert one.tobytes() == true.tobytes()


def test_changed_images_resume_to_the_same_bits(tmp_path, monkeypatch):
    train.Run(SHORT, SMALL, 0, tmp_path / "whole", change=lighter).train(progress=False)
    whole, steps = train.UpDownLearner.step, []

    def stopped(self, *more):
        whole(self, *more)
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(train.UpDownLearner, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train.Run(SHORT, SMALL, 0, tmp_path / "halves", change=lighter).train(progress=False)
    train.Run(SHORT, SMALL, 0, tmp_path / "halves", resume=True, change=lighter).train(progress=False)
    assert_same_bits(tmp_path / "whole" / "net.npz", tmp_path / "halves" / "net.npz")
    with pytest.raises(InputError, match="change"):
        train.Run(SHORT, SMALL, 0, tmp_path / "halves", resume=True)


def test_changed_images_reach_a_captured_graph(tmp_path, cupy_ops):
    """On the stand-in for CuPy, where a step is captured once and arrays are copied to where it reads them."""
    for name, change in {"plain": None, "same": same, "lighter": lighter}.items():
        fit(SMALL, out=tmp_path / name, preset=SHORT, progress=False, change=change)
    assert_same_bits(tmp_path / "plain" / "net.npz", tmp_path / "same" / "net.npz")
    one, other = (arrays_of(tmp_path / name / "net.npz")["vishid"] for name in ("plain", "lighter"))
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda images, shape, rng: images[:1], "one for each"),
        (lambda images, shape, rng: images[:, :9], "pixels"),
        (lambda images, shape, rng: images * np.float32(np.nan), "NaN"),
    ],
)
def test_a_change_that_makes_no_such_images_is_refused(tmp_path, change, why):
    with pytest.raises(InputError, match=why):
        fit(SMALL, out=tmp_path / "run", preset=SHORT, progress=False, change=change)


@pytest.fixture
def smaller(monkeypatch):
    values = {"N_IMAGES": 300, "LAYERS": (6, 5, 9), "GREEDY_EPOCHS": 1, "UP_DOWN_EPOCHS": 6, "MEMBERS": 2}
    for name, value in (values | {"SIDE": 4, "STRIDE": 4, "FEATURES": 3}).items():
        monkeypatch.setattr(proposals, name, value)
    for name in ("ensemble of greedy nets", "ensemble of larger greedy nets", "ensemble of deeper greedy nets"):
        depth = 3 if "deeper" in name else 2
        monkeypatch.setitem(proposals.TRIALS, name, proposals.ensemble((6,) * depth + (9,)))


@pytest.mark.usefixtures("smaller")
def test_every_trial_is_recorded_and_not_run_again(tmp_path, monkeypatch):
    out = tmp_path / "not there yet"
    digits = noisy_prototypes(600, 100)
    result = proposals.proposals(digits, out, seeds=(0, 1), progress=False)
    assert {(row["what"], row["seed"]) for row in result["rows"]} == {(w, s) for w in proposals.TRIALS for s in (0, 1)}
    assert all(0 <= row["test_error"] <= 100 and row["cpu_seconds"] >= 0 for row in result["rows"])
    of_ensemble = [row for row in result["rows"] if row["what"] == "ensemble of greedy nets" and row["seed"] == 0]
    assert [row["members"] for row in of_ensemble] == [1, 2]
    assert of_ensemble[0]["test_error"] == of_ensemble[0]["alone"]
    assert json.loads((out / "proposals.json").read_text())["rows"] == result["rows"]
    windows = next(row for row in result["rows"] if "windows" in row)
    assert windows["validation_error"] == min(windows["validation_by_rate"].values())
    monkeypatch.setattr(proposals, "TRIALS", dict.fromkeys(proposals.TRIALS))
    with pytest.raises(InputError, match="choose another folder"):
        proposals.proposals(replace(digits, name="other"), out, progress=False)
    assert proposals.proposals(digits, out, seeds=(0, 1), progress=False)["rows"] == result["rows"]


def test_a_part_is_of_the_training_images_and_no_two_seeds_have_the_same(monkeypatch):
    monkeypatch.setattr(proposals, "N_IMAGES", 50)
    one, again, other = (proposals.part_of(SMALL, seed) for seed in (0, 0, 1))
    assert one.train_images.tobytes() == again.train_images.tobytes() != other.train_images.tobytes()
    known = {image.tobytes() for image in SMALL.train_images}
    assert all(image.tobytes() in known for image in one.train_images)
    assert one.test_images.tobytes() == SMALL.test_images.tobytes()


def test_warped_and_moved_images_are_images(tmp_path):
    rng = np.random.default_rng(0)
    for change in (distort.affine, distort.elastic):
        made = change(SMALL.train_images[:20], (8, 8), rng)
        assert made.shape == (20, 64)
        assert made.min() >= -1e-6
        assert made.max() <= 1 + 1e-6
        fit(SMALL, out=tmp_path / change.__name__, preset=SHORT, progress=False, change=change)


def test_words_are_chosen_by_the_numbers():
    rows = [{"what": "a", "seed": s, "stage": "up-down", "test_error": 3 + 0.5 * s} for s in range(3)]
    rows += [{"what": "b", "seed": s, "stage": "up-down", "test_error": 2 + 0.5 * s} for s in range(3)]
    rows += [{"what": "a", "seed": 0, "stage": "greedy", "test_error": 9.0}]
    a, b = (proposals.of(rows, what, stage="up-down") for what in "ab")
    assert a == {0: 3.0, 1: 3.5, 2: 4.0}
    assert proposals.in_words(a) == "3.50 ± 0.50"
    assert proposals.compared(b, a) == "1.00 points less, in each of 3 seeds"
    assert proposals.compared(a, b) == "1.00 points more, in each of 3 seeds"
    assert "seeds disagree" in proposals.compared({0: 1.0, 1: 3.0}, {0: 2.0, 1: 2.5})
    assert proposals.compared({0: 1.0}, {1: 1.0}) == "not recorded yet"
    assert proposals.in_words(proposals.of(rows, "c")) == "not recorded"


def test_other_digits_are_recorded_beside_the_nearest_neighbour(tmp_path):
    digits = noisy_prototypes(300, 60, noise=0.05)
    fit(digits, out=tmp_path / "run", preset=SHORT, progress=False)
    result = proposals.other_digits(tmp_path / "run", digits, tmp_path / "not there yet")
    distances = ((digits.test_images[:, None] - digits.train_images) ** 2).sum(axis=2)
    guesses = digits.train_labels[distances.argmin(axis=1)]
    assert result["nearest_neighbour_errors"] == (guesses != digits.test_labels).sum()
    assert unpacked(result["dreamt"], 100).shape == (100, 64)
    read = json.loads((tmp_path / "not there yet" / "other-digits.json").read_text())
    assert read["final_test_errors"] == result["final_test_errors"]
    with pytest.raises(InputError, match="record it with that data"):
        proposals.other_digits(tmp_path / "run", replace(digits, name="another"), tmp_path)
