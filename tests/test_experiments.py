"""Experiments: both arms from the same weights, stages as said, resumed to the same bits, recorded as they go on."""

from dataclasses import replace

import numpy as np
import pytest
from easy import arrays_of, assert_same_bits, greedy, log_of, meta_of, noisy_prototypes, preset, up_down

from dbn_lite import presets, store, train
from dbn_lite.errors import InputError
from dbn_lite.paper import experiments, record

DIGITS = noisy_prototypes(900, 300, (8, 8), noise=0.25)
UP_DOWN = (
    up_down(6, (0.05, 0.05), "up-down k=3", n_gibbs=3, record_every=1),
    up_down(6, (0.05, 0.04), "up-down k=6", n_gibbs=6),
    up_down(6, (0.03, 0.01), "up-down k=10", n_gibbs=10),
)
LAST_STAGE = up_down(3, (0.02, 0.02), "all images", n_gibbs=10, all_images=True)
SMALL = preset(*greedy(6), *UP_DOWN, LAST_STAGE, layers=(20, 15, 30), batch_size=100)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a finished run, seed 4."""
    out = tmp_path_factory.mktemp("ran") / "run"
    train.Run(SMALL, DIGITS, 4, out).train(progress=False)
    return out


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "paper", SMALL)


def k_effect(*runs, out):
    return experiments.k_effect(runs, DIGITS, out, progress=False)


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_the_control_keeps_three_iterations_and_all_else_is_the_same(ran, tmp_path):
    result = k_effect(ran, out=tmp_path)
    ours, theirs = meta_of(tmp_path / "seed4" / "net.npz"), meta_of(ran / "net.npz")
    differing = [
        (kept.pop("n_gibbs"), raised.pop("n_gibbs"), kept == raised)
        for kept, raised in zip(ours["preset"]["stages"], theirs["preset"]["stages"], strict=False)
    ]
    assert differing == [(1, 1, True)] * 3 + [(3, 3, True), (3, 6, True), (3, 10, True)]  # and no stage on all images
    assert ours["seed"] == 4
    for arm, folder, until in (("3, 6, 10", ran, -LAST_STAGE.epochs), ("3, 3, 3", tmp_path / "seed4", None)):
        last = [round(row["validation_error"], 4) for row in log_of(folder)[:until][-5:]]
        assert result["ends"][arm] == {"4": round(float(np.mean(last)), 4)}  # to the four places of every record
    assert result["ends"]["3, 6, 10"] != result["ends"]["3, 3, 3"]


def test_what_is_recorded_of_other_seeds_stays_and_of_the_same_seed_is_replaced(ran, tmp_path):
    other = {"arm": "both", "seed": 9, "stage": "up-down k=3", "epoch": 1}
    ends = {"3, 6, 10": {"9": 1.5, "4": 0.0}, "3, 3, 3": {"9": 2.5, "4": 0.0}}
    older = {"ends": ends, "rows": [other, {**other, "seed": 4}]}
    record.write(older, tmp_path / "k-effect.json")
    result, alone = k_effect(ran, out=tmp_path), k_effect(ran, out=tmp_path / "alone")
    kept = record.read(tmp_path / "k-effect.json")
    assert kept["ends"] == result["ends"]
    for arm in ends:
        assert result["ends"][arm] == {"9": ends[arm]["9"], **alone["ends"][arm]}
    rows = [{n: row[n] for n in other} for row in kept["rows"]]
    fresh = [{n: row[n] for n in other} for row in record.read(tmp_path / "alone" / "k-effect.json")["rows"]]
    assert rows == [other, *fresh]


def test_a_control_with_the_iterations_of_the_run_would_be_the_run_again(ran, tmp_path, monkeypatch):
    """But for the velocities, which start at rest: with no momentum it goes the run's way to the last bit."""
    stages = tuple(replace(stage, momentum=(0.0, 0.0)) for stage in SMALL.stages)
    monkeypatch.setitem(presets.PRESETS, "paper", same := replace(SMALL, stages=stages))
    train.Run(same, DIGITS, 4, tmp_path / "run").train(progress=False)
    kept = replace(same, stages=stages[:-1])
    run = experiments._from_net(tmp_path / "run" / "up-down k=3.npz", 4, kept, DIGITS, 4, tmp_path / "again", False)
    theirs = [row for row in log_of(tmp_path / "run") if row["stage"] in ("up-down k=6", "up-down k=10")]
    assert without_seconds(run.log) == theirs


def test_an_arm_starts_from_the_weights_that_it_is_given(ran, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(train.Run, "_run_epoch", lambda self, stage: seen.append(self.net.arrays()) or _stop())
    for _ in range(2):  # again after an interruption before anything was learned
        with pytest.raises(KeyboardInterrupt):
            k_effect(ran, out=tmp_path)
        for name, a in arrays_of(ran / "up-down k=3.npz").items():
            np.testing.assert_array_equal(seen[-1][name], a)


def _stop():
    raise KeyboardInterrupt


def test_interrupted_and_called_again_it_ends_with_the_same_bits_and_trains_nothing_twice(ran, tmp_path, monkeypatch):
    whole = k_effect(ran, out=tmp_path / "whole")
    epoch, done = train.Run._run_epoch, []

    def limited(self, stage):
        if len(done) == 7:
            _stop()
        done.append(stage.name)
        epoch(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_run_epoch", limited)
        with pytest.raises(KeyboardInterrupt):
            k_effect(ran, out=tmp_path / "stopped")
    assert k_effect(ran, out=tmp_path / "stopped") == whole
    assert_same_bits(*(tmp_path / which / "seed4" / "net.npz" for which in ("whole", "stopped")))
    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_run_epoch", limited)
        assert k_effect(ran, out=tmp_path / "stopped") == whole


def test_the_record_has_every_epoch_of_both_arms_and_none_on_all_images(ran, tmp_path):
    k_effect(ran, out=tmp_path)
    kept = record.read(tmp_path / "k-effect.json")
    assert [(r["arm"], r["stage"], r["epoch"]) for r in kept["rows"]] == [
        *[("both", "up-down k=3", e) for e in range(1, 7)],
        *[(arm, f"up-down k={k}", e) for arm in ("3, 6, 10", "3, 3, 3") for k in (6, 10) for e in range(1, 7)],
    ]
    assert {row["seed"] for row in kept["rows"]} == {4}
    assert kept.keys() >= {"versions", "device", "date", "commit"}


def test_the_record_is_there_after_the_first_run(ran, tmp_path, monkeypatch):
    from_net = experiments._from_net
    monkeypatch.setattr(experiments, "_seed_of", lambda folder, dataset: int(folder.name.removeprefix("seed")))
    monkeypatch.setattr(experiments, "_from_net", lambda *a: _stop() if a[4] == 5 else from_net(*a))
    runs = [tmp_path / f"seed{seed}" for seed in (4, 5)]
    for run in runs:
        run.symlink_to(ran)
    with pytest.raises(KeyboardInterrupt):
        k_effect(*runs, out=tmp_path / "half")
    assert list(record.read(tmp_path / "half" / "k-effect.json")["ends"]["3, 6, 10"]) == ["4"]


def test_left_running_is_on_all_images_at_one_small_rate_and_keeps_the_band(ran, tmp_path):
    result = experiments.left_running(ran, DIGITS, tmp_path, epochs=3, rate=1e-3, progress=False)
    kept = record.read(tmp_path / "left-running.json")
    assert [row["epoch"] for row in kept["rows"]] == [1, 2, 3]
    assert {row["learning_rate"] for row in kept["rows"]} == {1e-3}
    assert all(row["stage"] == "left running" and row["test_error"] > 0 for row in kept["rows"])
    last = meta_of(tmp_path / "run" / "net.npz")["preset"]["stages"][-1]
    assert (last["all_images"], last["until_matched"], last["n_gibbs"]) == (True, False, 10)
    fewest = min(kept["rows"], key=lambda row: row["train_error"])
    assert result["test_error_at_fewest_training_errors"] == fewest["test_error"]
    before, after = arrays_of(ran / "net.npz"), arrays_of(tmp_path / "run" / "net.npz")
    moved = max(np.abs(after[name] - before[name]).max() for name in before)
    assert 0 < moved < 0.5  # it went on from the net that it was given


@pytest.mark.parametrize(
    "experiment", [lambda run, *more: experiments.k_effect([run], *more), experiments.left_running]
)
def test_what_is_no_run_of_the_preset_is_refused(ran, tmp_path, monkeypatch, experiment):
    (tmp_path / "net").mkdir()
    store.save(store.load(ran / "net.npz"), tmp_path / "net" / "net.npz")
    with pytest.raises(InputError, match="net is no run of the paper preset on prototypes; give the folder of one"):
        experiment(tmp_path / "net", DIGITS, tmp_path)
    with pytest.raises(InputError, match="run is no run of the paper preset on mnist"):
        experiment(ran, replace(DIGITS, name="mnist"), tmp_path)
    monkeypatch.setitem(presets.PRESETS, "paper", replace(SMALL, batch_size=50))
    with pytest.raises(InputError, match="run is no run of the paper preset on prototypes"):
        experiment(ran, DIGITS, tmp_path)
    with pytest.raises(InputError, match=r"net\.npz does not exist"):  # not finished
        experiment(tmp_path, DIGITS, tmp_path)


def test_two_runs_of_one_seed_are_refused_and_nothing_is_run(ran, tmp_path):
    """They would share a folder: the second would be reported with the control of the first."""
    with pytest.raises(InputError, match=r"the runs have the seeds \[4, 4\]; give one of each seed"):
        k_effect(ran, ran, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
