"""The table of causes: what its arms change, against enumeration and against the library's own steps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from easy import noisy_prototypes

from dbn_lite import backend, rbm, train
from dbn_lite.errors import InputError
from dbn_lite.paper import fading
from dbn_lite.paper.fading import ARMS, Arm, Memory

DIGITS = noisy_prototypes(1500, 300, (4, 4))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(fading, "LAYERS", (12, 10, 20))
    for name, value in {"GREEDY_EPOCHS": 2, "UP_DOWN_EPOCHS": 2, "LOOK_EVERY": 1, "AFTER": 5}.items():
        monkeypatch.setattr(fading, name, value)


def test_a_step_of_the_memory_is_one_of_the_library_but_for_the_draws():
    """With the same machine and data many small steps lead, on the mean, where `ContrastiveDivergence` leads."""
    n, data = 20_000, np.tile(np.eye(4, 6, dtype=np.float32) * 0.9, (5000, 1))
    data[:, 4] = 1
    ours, theirs = (rbm.random_rbm(6, 3, 1, n_labels=2) for _ in range(2))
    for machine in (ours, theirs):
        machine.W *= 100
    learner, rng = rbm.ContrastiveDivergence(theirs, n), backend.current().random(0, "x")
    before = ours.W.copy()
    Memory(ours, Arm("plain"), n).learn(data, rng, 1.0, 0.0, 0.1)
    learner.step(data, rng, 1.0, 0.0, 0.1)
    for name in ("W", "vis_bias", "hid_bias"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=0, atol=0.02)
    assert np.abs(ours.W - before).max() > 0.1


@pytest.mark.parametrize("arm", [Arm("states", states=True, sampled=True), Arm("centred", centred=True)])
def test_a_long_chain_of_states_leads_to_maximum_likelihood(arm):
    """At equilibrium the update is nothing: data drawn from the machine itself leave it where it is."""
    machine = rbm.random_rbm(6, 3, 2, n_labels=2)
    machine.W *= 60
    machine.vis_bias += np.linspace(-1, 1, 6, dtype=np.float32)
    rng, v = backend.current().random(3, "y"), np.zeros((40_000, 6), np.float32)
    for _ in range(60):
        v = rbm.gibbs_step(machine, v, rng)[1]
    arm = Arm("long", states=True, sampled=True, centred=arm.centred, n_gibbs=5)
    W = machine.W.copy()
    Memory(machine, arm, len(v)).learn(v, rng, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(machine.W, W, rtol=0, atol=0.015)


def test_centred_gradients_are_those_of_shifted_units():
    """Counted out: less the means of the data, and biases that make up for it; uncentred they come back."""
    rng = np.random.default_rng(0)
    v, h = rng.random((12, 4), np.float32), rng.random((12, 3), np.float32)
    h[6:] *= -1
    W, b, c = fading.centred(v, h)
    mean_v, mean_h = v[:6].mean(axis=0), h[:6].mean(axis=0)
    expected = sum(np.outer(v[i] - mean_v, h[i] - mean_h) for i in range(6))
    expected -= sum(np.outer(v[i] - mean_v, -h[i] - mean_h) for i in range(6, 12))
    np.testing.assert_allclose(W, expected, rtol=1e-5)
    np.testing.assert_allclose(b, v[:6].sum(axis=0) - v[6:].sum(axis=0) - W @ mean_h, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(c, h.sum(axis=0) - mean_v @ W, rtol=1e-5, atol=1e-5)


def test_biases_start_at_the_log_odds_of_their_units():
    inputs = np.tile(np.array([[0.5, 0.0, 1.0], [0.5, 0.5, 1.0]], np.float32), (5, 1))
    machine = fading.begin(inputs, 2, Arm("odds", log_odds=True, hid_bias=-2), 0, "x")
    np.testing.assert_allclose(machine.vis_bias, [0, np.log(1 / 3), np.log(9)], rtol=1e-5, atol=1e-6)
    assert machine.hid_bias.tolist() == [-2, -2]


def test_every_arm_is_trained_recorded_and_not_trained_again(tmp_path, monkeypatch):
    out = tmp_path / "not" / "there yet"
    first = fading.fading(DIGITS, out, ARMS[:5], progress=False)
    assert [row["epochs"] for row in first["rows"]] == [0, 1, 2] * 5
    trained, weights, whole = [], [], fading.trained

    def watched(dataset, arm, *more):
        trained.append(arm.name)
        for epochs, net in whole(dataset, arm, *more):
            yield epochs, net
        weights.append(net.top.W.copy())

    monkeypatch.setattr(fading, "trained", watched)
    result = fading.fading(DIGITS, out, progress=False)
    assert trained == [arm.name for arm in ARMS[5:]]
    assert result["rows"][:15] == first["rows"]
    assert json.loads((out / "fading.json").read_text())["rows"] == result["rows"]
    by_arm = {row["arm"]: row for row in result["rows"]}
    assert len({W.tobytes() for W in weights}) == 3  # each differs from the others
    for row in by_arm.values():
        assert {dream["start"] for dream in row["dreams"]} == {"noise", "digits", "top"}
        assert all(d["faint"] + d["right"] + d["another"] == d["dreams"] for d in row["dreams"])
    with pytest.raises(InputError, match="choose another folder"):
        fading.fading(DIGITS, out, seed=1, progress=False)


def test_the_paper_s_arm_of_up_down_is_up_down(monkeypatch):
    """An arm that changes nothing takes the library's own steps; a centred one does not."""
    ends = {}
    for arm in (Arm("a"), Arm("b", centred=True)):
        rbms, pen = fading.lower_layers(DIGITS, arm, 0)
        ends[arm.name] = [(epochs, net.top.W.copy()) for epochs, net in fading.trained(DIGITS, arm, 0, rbms, pen)]
        parts = train.split_for(DIGITS, 0, 100)
        assert pen.shape == (len(parts.train_images), 10)
    assert [epochs for epochs, _ in ends["a"]] == [0, 1, 2]
    assert not np.allclose(ends["a"][2][1], ends["b"][2][1])


def told(faint, weights=None):
    """A record of one row an arm, whose chains are faint so often from every start."""
    ended = zip(ARMS, faint, weights or [-0.01] * len(faint), strict=False)
    worth = {"validation_error": 2.0, "top_bias": -1.0, "top_on": 0.1, "epochs": 10}
    starts = ("noise", "digits", "top")
    return [
        {"arm": arm.name, "memory_weight": w, **worth}
        | {"dreams": [{"start": s, "dreams": 100, "faint": n, "right": 90 - n} for s in starts]}
        for arm, n, w in ended
    ]


def test_the_table_has_the_numbers_of_the_epochs_asked_for():
    rows = told([40, 10])
    assert fading.in_lines(rows, 0) == []
    assert fading.in_lines(rows, 10)[1] == [ARMS[1].name, "2.00", "-0.0100", "-1.00", "10%", *["10, 80"] * 3]


def test_words_are_chosen_by_the_numbers():
    assert "enough" in fading.in_words(told([40, 10]))
    assert "too few" in fading.in_words(told([4, 1, 1]))
    helped, useless = fading.in_words(told([40, 10, 70])), fading.in_words(told([40, 30, 30]))
    assert f"Less than half as many fade here: *{ARMS[1].name}* (10 % faint, 80 % right)." in helped
    assert f"More than one and a half times as many: *{ARMS[2].name}*" in helped
    assert "not in the nature" in helped
    assert "Less than half as many fade here: none." in useless
    assert "not alone" in useless
    faint = [40, 38, 36, 34, 32, 30, 28, 1]  # the arm whose chains wander is no choice that the paper leaves open
    assert "not alone" in fading.in_words(told(faint))
    assert "Fewest of all fade with chains that wander." in fading.in_words(told(faint))
    assert "as it says" in fading.in_words(told(faint, [-n for n in faint]))
    assert "the other way round" in fading.in_words(told(faint, faint))
    assert "not by itself the cause" in fading.in_words(told(faint, [1, 8, 2, 7, 3, 6, 4, 5]))


def test_a_net_that_does_not_fade_is_asked_what_else_it_lost():
    rows = told([40, 10, 70])
    rows[0]["validation_error"], rows[1]["validation_error"] = 2.0, 2.4
    assert "cured" not in fading.in_words(rows)
    rows[1]["validation_error"] = 4.0
    assert f"It is not cured by that: with *{ARMS[1].name}* 80 % of the chains" in fading.in_words(rows)
    assert "4.00 % of the validation images are misread, where 2.00 % were" in fading.in_words(rows)
