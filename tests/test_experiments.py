"""Experiments: both arms from the same weights, stages as said, resumed to the same bits, recorded as they go on."""

from dataclasses import replace

import numpy as np
import pytest
from easy import arrays_of, assert_same_bits, greedy, log_of, meta_of, noisy_prototypes, preset, up_down

from dbn_lite import experiments, presets, record, store, train
from dbn_lite.errors import InputError

DIGITS = noisy_prototypes(900, 300, (8, 8), noise=0.25)
UP_DOWN = (
    up_down(6, (0.05, 0.05), "up-down k=3", n_gibbs=3, record_every=1),
    up_down(6, (0.05, 0.04), "up-down k=6", n_gibbs=6),
    up_down(6, (0.03, 0.01), "up-down k=10", n_gibbs=10),
)
LAST = up_down(3, (0.02, 0.02), "all images", n_gibbs=10, all_images=True)
SMALL = preset(*greedy(6), *UP_DOWN, LAST, layers=(20, 15, 30), batch_size=100)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A run that has been through its greedy stages, seed 4."""
    out = tmp_path_factory.mktemp("start") / "run"
    train.Run(preset(*greedy(6), layers=(20, 15, 30)), DIGITS, 4, out).train(progress=False)
    return out / "greedy.npz"


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "paper", SMALL)


def stages_of(folder):
    return [(s["n_gibbs"], s["epochs"], *s["learning_rate"]) for s in meta_of(folder / "net.npz")["preset"]["stages"]]


def test_the_control_keeps_three_iterations_and_all_else_is_the_same(start, tmp_path):
    result = experiments.k_effect([start], DIGITS, tmp_path, progress=False)
    stem, raised, kept = (tmp_path / "seed4" / name for name in ("k=3", "k=3, 6, 10", "k=3, 3, 3"))
    assert stages_of(stem) == [(3, 6, 0.05, 0.05)]
    assert stages_of(raised) == [(6, 6, 0.05, 0.04), (10, 6, 0.03, 0.01)]
    assert stages_of(kept) == [(3, 6, 0.05, 0.04), (3, 6, 0.03, 0.01)]
    assert {meta_of(folder / "net.npz")["seed"] for folder in (stem, raised, kept)} == {4}
    for arm, folder in (("3, 6, 10", raised), ("3, 3, 3", kept)):
        last = [row["validation_error"] for row in log_of(folder)[-5:]]
        assert result["ends"][arm] == {"4": pytest.approx(np.mean(last))}
    assert result["ends"]["3, 6, 10"] != result["ends"]["3, 3, 3"]


def test_an_arm_starts_from_the_weights_that_it_is_given(start, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(train.Run, "_run_epoch", lambda self, stage: seen.append(self.net.arrays()) or _stop())
    for _ in range(2):  # again after an interruption before anything was learned
        with pytest.raises(KeyboardInterrupt):
            experiments.k_effect([start], DIGITS, tmp_path, progress=False)
        for name, a in arrays_of(start).items():
            np.testing.assert_array_equal(seen[-1][name], a)


def _stop():
    raise KeyboardInterrupt


def test_interrupted_and_called_again_it_ends_with_the_same_bits_and_trains_nothing_twice(start, tmp_path, monkeypatch):
    whole = experiments.k_effect([start], DIGITS, tmp_path / "whole", epochs=2, progress=False)
    epoch, done = train.Run._run_epoch, []

    def limited(self, stage):
        if len(done) == 3:
            _stop()
        done.append(stage.name)
        epoch(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_run_epoch", limited)
        with pytest.raises(KeyboardInterrupt):
            experiments.k_effect([start], DIGITS, tmp_path / "stopped", epochs=2, progress=False)
    again = experiments.k_effect([start], DIGITS, tmp_path / "stopped", epochs=2, progress=False)
    assert again == whole
    for name in ("k=3", "k=3, 6, 10", "k=3, 3, 3"):
        assert_same_bits(*(tmp_path / which / "seed4" / name / "net.npz" for which in ("whole", "stopped")))
    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_run_epoch", limited)
        assert experiments.k_effect([start], DIGITS, tmp_path / "stopped", epochs=2, progress=False) == whole


def test_the_record_has_every_epoch_and_is_there_after_the_first_arm(start, tmp_path, monkeypatch):
    experiments.k_effect([start], DIGITS, tmp_path, epochs=2, progress=False)
    kept = record.read(tmp_path / "k-effect.json")
    assert [(r["arm"], r["stage"], r["epoch"]) for r in kept["rows"]] == [
        *[("both", "up-down k=3", e) for e in (1, 2)],
        *[("3, 6, 10", f"up-down k={k}", e) for k in (6, 10) for e in (1, 2)],
        *[("3, 3, 3", f"up-down k={k} kept at 3", e) for k in (6, 10) for e in (1, 2)],
    ]
    assert kept["settings"]["epochs"] == 2
    assert kept.keys() >= {"versions", "device", "date", "commit"}
    only = {"k=3, 3, 3": _stop}
    from_net = experiments._from_net
    monkeypatch.setattr(experiments, "_from_net", lambda s, p, *more: only.get(p.name, lambda: from_net(s, p, *more))())
    with pytest.raises(KeyboardInterrupt):
        experiments.k_effect([start], DIGITS, tmp_path / "half", epochs=2, progress=False)
    assert list(record.read(tmp_path / "half" / "k-effect.json")["ends"]["3, 6, 10"]) == ["4"]


def test_left_running_is_on_all_images_at_one_small_rate_and_keeps_the_band(start, tmp_path):
    result = experiments.left_running(start, DIGITS, tmp_path, epochs=3, rate=1e-3, progress=False)
    kept = record.read(tmp_path / "left-running.json")
    assert [row["epoch"] for row in kept["rows"]] == [1, 2, 3]
    assert {row["learning_rate"] for row in kept["rows"]} == {1e-3}
    assert all(row["stage"] == "left running" and row["test_error"] > 0 for row in kept["rows"])
    stages = meta_of(tmp_path / "run" / "net.npz")["preset"]["stages"]
    assert [(s["all_images"], s["until_matched"], s["n_gibbs"]) for s in stages] == [
        (False, False, 10),
        (True, False, 10),
    ]
    fewest = min(kept["rows"], key=lambda row: row["train_error"])
    assert result["test_error_at_fewest_training_errors"] == fewest["test_error"]
    before, after = arrays_of(start), arrays_of(tmp_path / "run" / "net.npz")
    moved = max(np.abs(after[name] - before[name]).max() for name in before)
    assert 0 < moved < 0.5  # it went on from the net that it was given


@pytest.mark.parametrize(
    "experiment", [lambda net, *more: experiments.k_effect([net], *more), experiments.left_running]
)
def test_a_net_that_does_not_say_where_it_comes_from_is_refused(start, tmp_path, experiment):
    store.save(store.load(start), tmp_path / "net.npz")
    with pytest.raises(InputError, match=r"net\.npz does not come from a run on prototypes; give greedy\.npz or"):
        experiment(tmp_path / "net.npz", DIGITS, tmp_path)
    with pytest.raises(InputError, match=r"greedy\.npz does not come from a run on mnist"):
        experiment(start, replace(DIGITS, name="mnist"), tmp_path)


def test_two_nets_of_one_seed_are_refused_and_nothing_is_run(start, tmp_path):
    """They would share a folder: the second would be reported with the runs of the first."""
    with pytest.raises(InputError, match=r"runs of the seeds \[4, 4\]; give one of each seed"):
        experiments.k_effect([start, start], DIGITS, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_net_of_another_size_is_refused(start, tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "paper", replace(SMALL, layers=(20, 10, 30)))
    words = r"greedy\.npz has hidpen of shape \(20, 15\), not \(20, 10\) as the preset has"
    with pytest.raises(InputError, match=words):
        experiments.k_effect([start], DIGITS, tmp_path, progress=False)
