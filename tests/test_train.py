"""Training: it learns, it stops and goes on to the same bits, it keeps the best, and it loses nothing when it fails."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from easy import (
    arrays_of,
    assert_same_bits,
    contents,
    error_percent,
    greedy,
    log_of,
    meta_of,
    noisy_prototypes,
    preset,
    up_down,
)

from dbn_lite import backend, provenance, store, train
from dbn_lite.errors import InputError
from dbn_lite.presets import Preset
from dbn_lite.rbm import ContrastiveDivergence
from dbn_lite.updown import UpDown

SMALL = noisy_prototypes(300, 60, noise=0.05)  # 11 mini-batches of 20 for training, 50 images for validation
EACH, SOME = {"until_matched": True, "record_every": 1}, {"wandering": 0.3}
SHORT = preset(
    *greedy(2, rate=0.5),
    up_down(2, rates=(0.05, 0.05), name="up-down", **SOME),
    up_down(2, rates=(30.0, 30.0), name="ruinous"),  # so that the best net is not the last
    up_down(3, rates=(1e-3, 1e-3), name="all images", all_images=True, **EACH, **SOME),
)


def trained(out, what, dataset, seed=0, **more):
    run = train.Run(what, dataset, seed, out, **more)
    run.train(progress=False)
    return run


# It learns


@pytest.mark.parametrize("seed", [0, 1])
def test_greedy_learning_learns(tmp_path, seed):
    """Guessing is wrong in 90 %; so is a net whose labels, hidden states or signs are confused."""
    dataset = noisy_prototypes(seed=seed)
    trained(tmp_path, preset(*greedy(8)), dataset, seed)
    net = arrays_of(tmp_path / "net.npz")
    assert error_percent(net, dataset.test_images, dataset.test_labels) < 8
    assert_same_bits(tmp_path / "net.npz", tmp_path / "greedy.npz")
    np.testing.assert_array_equal(net["vishid"], net["hidvis"].T)  # still tied
    np.testing.assert_array_equal(net["hidpen"], net["penhid"].T)
    errors = [row["reconstruction_error"] for row in log_of(tmp_path) if row["stage"] == "greedy 1"]
    assert errors[-1] < 0.8 * errors[0]


@pytest.mark.parametrize("sample_labels", [True, False])
def test_up_down_learns_what_greedy_learning_left(tmp_path, sample_labels):
    dataset = noisy_prototypes(noise=0.15)
    trained(tmp_path, preset(*greedy(2), up_down(30, (0.1, 0.02)), sample_labels=sample_labels), dataset)
    before, after = (
        error_percent(arrays_of(tmp_path / name), dataset.test_images, dataset.test_labels)
        for name in ("greedy.npz", "net.npz")
    )
    assert before > 60
    assert after < 8
    net = arrays_of(tmp_path / "net.npz")
    assert np.abs(net["vishid"] - net["hidvis"].T).max() > 0.01  # untied


def test_weight_decay_keeps_weights_small(tmp_path):
    sizes = {}
    for decay in (0.0, 0.03):
        trained(tmp_path / str(decay), preset(*greedy(8, decay=decay)), noisy_prototypes())
        net = arrays_of(tmp_path / str(decay) / "net.npz")
        sizes[decay] = [float(np.square(net[name]).mean()) for name in ("vishid", "hidpen", "pentop")]
    assert all(small < 0.6 * large for small, large in zip(sizes[0.03], sizes[0.0], strict=True))


def test_everything_stays_float32(tmp_path):
    run = train.Run(SHORT, SMALL, 0, tmp_path)
    begun = []
    original = run._begin
    run._begin = lambda: (original(), begun.append({name: a.dtype for name, a in run._state().items()}))
    run.train(progress=False)
    assert len(begun) == 6
    assert {dtype for state in begun for dtype in state.values()} == {np.dtype(np.float32)}
    assert {a.dtype for a in arrays_of(tmp_path / "net.npz").values()} == {np.dtype(np.float32)}


# What each step is given


class Spy:
    """Stands between the epoch loop and the algorithm, and remembers every step."""

    def __init__(self, monkeypatch):
        self.steps = []
        self._watch(monkeypatch, ContrastiveDivergence)
        self._watch(monkeypatch, UpDown)

    def _watch(self, monkeypatch, learner):
        original = learner.step

        def step(*given):
            self.steps.append([np.array(a) if isinstance(a, np.ndarray) else a for a in given[1:]])
            return original(*given)

        monkeypatch.setattr(learner, "step", step)


def test_rates_momentum_decay_and_gibbs_iterations_reach_every_step(tmp_path, monkeypatch):
    spy = Spy(monkeypatch)
    first = replace(greedy(7)[0], learning_rate=(0.64, 0.01), weight_decay=3e-4, momentum=(0.2, 0.7), n_gibbs=2)
    second = up_down(3, (0.04, 0.01), weight_decay=7e-5, momentum=(0.3, 0.3), n_gibbs=4)
    trained(tmp_path, preset(first, *greedy(1)[1:], second), SMALL)
    cd, ud = spy.steps[: 7 * 11], spy.steps[-3 * 11 :]
    assert len(spy.steps) == (7 + 1 + 1 + 3) * 11
    for i, (_, _, rate, momentum, decay, n_gibbs) in enumerate(cd):
        assert rate == pytest.approx(0.64 / 2 ** (i // 11))
        assert (momentum, decay, n_gibbs) == (0.2 if i < 5 * 11 else 0.7, 3e-4, 2)
    for i, (_, _, _, n_gibbs, rate, momentum, decay) in enumerate(ud):
        assert rate == pytest.approx(0.04 / 2 ** (i // 11))
        assert (momentum, decay, n_gibbs) == (0.3, 7e-5, 4)


def test_an_epoch_is_every_balanced_mini_batch_once_in_an_order_of_its_own(tmp_path, monkeypatch):
    spy = Spy(monkeypatch)
    trained(tmp_path, preset(*greedy(2), up_down(2)), SMALL)
    parts = train.split_for(SMALL, 0, 20)
    batches = {rows.tobytes(): i for i, rows in enumerate(parts.train_images.reshape(11, 20, 64))}
    assert len(batches) == 11
    orders = []
    for steps in (spy.steps[:11], spy.steps[11:22], spy.steps[66:77], spy.steps[77:]):
        orders.append([batches[step[0].tobytes()] for step in steps])
        assert sorted(orders[-1]) == list(range(11))
    assert len(set(map(tuple, orders))) == 4
    for step in spy.steps[66:]:
        images, targets = step[:2]
        labels = parts.train_labels.reshape(11, 20)[batches[images.tobytes()]]
        np.testing.assert_array_equal(targets, np.eye(10)[labels])
        assert np.bincount(labels).tolist() == [2] * 10


def test_each_layer_learns_from_the_probabilities_of_the_layer_below(tmp_path, monkeypatch):
    spy = Spy(monkeypatch)
    trained(tmp_path, preset(*greedy(1)), SMALL)
    net, parts = arrays_of(tmp_path / "greedy.npz"), train.split_for(SMALL, 0, 20)
    hid = 1 / (1 + np.exp(-(parts.train_images @ net["vishid"] + net["hidrecbiases"])))
    pen = 1 / (1 + np.exp(-(hid @ net["hidpen"] + net["penrecbiases"])))
    joint = np.hstack([pen, np.eye(10)[parts.train_labels]])
    for inputs, steps in ((hid, spy.steps[11:22]), (joint, spy.steps[22:])):
        seen = np.stack([step[0] for step in steps])
        rows = inputs.reshape(11, 20, -1)
        order = [int(np.abs(rows - batch).sum(axis=(1, 2)).argmin()) for batch in seen]
        assert sorted(order) == list(range(11))
        np.testing.assert_allclose(seen, rows[order], atol=1e-5)


def test_the_last_stage_sees_all_images_and_starts_from_the_best_net(tmp_path, monkeypatch):
    """The images held out for validation too; the stage before it has ruined the net meanwhile."""
    spy = Spy(monkeypatch)
    still = up_down(1, (1e-30, 1e-30), name="all images", all_images=True, weight_decay=0.0)
    run = trained(tmp_path, preset(*greedy(8), up_down(2), up_down(2, (30.0, 30.0), "ruinous"), still), SMALL)
    seen = np.concatenate([step[0] for step in spy.steps[-15:]])
    np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(SMALL.train_images, axis=0))
    kinds = {image.tobytes(): label for image, label in zip(SMALL.train_images, SMALL.train_labels, strict=True)}
    for images, targets, *_ in spy.steps[-15:]:
        assert [kinds[image.tobytes()] for image in images] == targets.argmax(axis=1).tolist()
    errors = [row["validation_error"] for row in run.log if row["stage"] in ("up-down", "ruinous")]
    assert max(errors) > min(errors) + 20
    net = arrays_of(tmp_path / "net.npz")
    parts = train.split_for(SMALL, 0, 20)
    assert error_percent(net, parts.validation_images, parts.validation_labels) == pytest.approx(min(errors))


def test_the_net_that_did_best_on_validation_is_kept(tmp_path):
    dataset = noisy_prototypes(600, 60)
    run = trained(tmp_path, preset(*greedy(6), up_down(3), up_down(2, (30.0, 30.0), "ruinous")), dataset)
    parts = train.split_for(dataset, 0, 20)
    errors = [row["validation_error"] for row in run.log if row["stage"] in ("up-down", "ruinous")]
    assert errors[-1] > min(errors) + 20
    kept = error_percent(arrays_of(tmp_path / "net.npz"), parts.validation_images, parts.validation_labels)
    assert kept == pytest.approx(min(errors))
    assert meta_of(tmp_path / "net.npz")["best_validation_error"] == min(errors)


def test_the_last_stage_stops_once_its_training_error_is_down_to_that_of_the_net_it_began_with(tmp_path, monkeypatch):
    """44,000 images set the mark, 60,000 must reach it: here 220 and 300, with errors that are made up."""
    later = iter([9.0, 7.0, 5.0, 3.0])
    made_up = {220: lambda: 5.0, 300: lambda: next(later)}
    monkeypatch.setattr(train, "error_percent", lambda net, images, labels: made_up.get(len(images), lambda: 50.0)())
    run = trained(tmp_path, replace(SHORT, stages=(*SHORT.stages[:-1], replace(SHORT.stages[-1], epochs=9))), SMALL)
    assert [row["train_error"] for row in run.log if row["stage"] == "all images"] == [9.0, 7.0, 5.0]


def test_the_last_stage_goes_on_to_its_last_epoch_if_it_never_matches(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "error_percent", lambda net, images, labels: 5.0 if len(images) == 220 else 9.0)
    assert [row["epoch"] for row in trained(tmp_path, SHORT, SMALL).log][-3:] == [1, 2, 3]


def test_the_mark_is_the_training_error_of_the_best_net(tmp_path):
    run = trained(tmp_path, SHORT, SMALL)
    parts = train.split_for(SMALL, 0, 20)
    assert run.target == pytest.approx(error_percent(run.best, parts.train_images, parts.train_labels))
    assert 0 < run.target < 90


# What it depends on


def test_the_test_set_has_no_influence(tmp_path):
    """Neither have its labels, nor its images, though its error is in the log."""
    rng = np.random.default_rng(9)
    poisoned = replace(
        SMALL,
        test_images=rng.random(SMALL.test_images.shape, dtype=np.float32),
        test_labels=rng.permutation(SMALL.test_labels),
    )
    every_epoch = replace(SHORT, stages=tuple(replace(s, record_every=s.layer in (0, 3)) for s in SHORT.stages))
    for name, dataset in (("sound", SMALL), ("poisoned", poisoned)):
        trained(tmp_path / name, every_epoch, dataset)
    for file in ("net.npz", "greedy.npz"):
        assert_same_bits(tmp_path / "sound" / file, tmp_path / "poisoned" / file)
    rows = {name: log_of(tmp_path / name) for name in ("sound", "poisoned")}
    tested = {name: [row.pop("test_error", None) for row in rows[name]] for name in rows}
    assert tested["sound"] != tested["poisoned"]
    assert rows["sound"] == rows["poisoned"]


def test_a_seed_gives_the_same_bits_again_and_another_seed_others(tmp_path):
    short = preset(*greedy(1), up_down(1))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(tmp_path / name, short, SMALL, seed)
    assert_same_bits(tmp_path / "a" / "net.npz", tmp_path / "b" / "net.npz")
    assert log_of(tmp_path / "a") == log_of(tmp_path / "b")
    one, other = arrays_of(tmp_path / "a" / "net.npz"), arrays_of(tmp_path / "c" / "net.npz")
    assert all((one[name] != other[name]).any() for name in one)


def test_the_parts_of_a_data_set_follow_from_the_seed_of_the_run(tmp_path):
    dataset = noisy_prototypes(300, 60)
    run = train.Run(preset(*greedy(1), batch_size=100), dataset, 5, tmp_path)
    for name, images, labels in (
        ("train", run.split.train_images, run.split.train_labels),
        ("validation", run.split.validation_images, run.split.validation_labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        part = train.part(dataset, name, 5)
        np.testing.assert_array_equal(part[0], images)
        np.testing.assert_array_equal(part[1], labels)
    assert (train.part(dataset, "train", 6)[0] != run.split.train_images).any()
    with pytest.raises(InputError, match="no split called 'all'; choose one of test, validation, train"):
        train.part(dataset, "all", 5)


def test_images_of_16x16_are_learned_by_three_fifths_of_the_units(tmp_path):
    trained(tmp_path, preset(*greedy(1), up_down(1), layers=(20, 15, 25)), noisy_prototypes(300, 20, (16, 16)))
    assert store.load(tmp_path / "net.npz").sizes == (256, 12, 9, 15, 10)


@pytest.mark.parametrize("n_stages", [1, 2])
def test_a_run_that_ends_before_the_top_keeps_what_it_has_learned(tmp_path, n_stages):
    run = trained(tmp_path, preset(*greedy(1)[:n_stages]), SMALL)
    net = arrays_of(tmp_path / "net.npz")
    for i, name in enumerate(("vishid", "hidpen")):
        np.testing.assert_array_equal(net[name], run.rbms[i].W)
    np.testing.assert_array_equal(net["visgenbiases"], run.rbms[0].vis_bias)
    assert net["visgenbiases"].any()


# What it tells


def test_the_log_has_a_line_an_epoch_with_what_can_be_checked_afterwards(tmp_path):
    what = preset(*greedy(3), up_down(4, (0.08, 0.01), record_every=2))
    trained(tmp_path, what, SMALL)
    rows = log_of(tmp_path)
    stages = ["greedy 1"] * 3 + ["greedy 2"] * 3 + ["greedy 3"] * 3 + ["up-down"] * 4
    assert [row["stage"] for row in rows] == stages
    assert [row["epoch"] for row in rows] == [1, 2, 3] * 3 + [1, 2, 3, 4]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.3] * 9 + [0.08, 0.04, 0.02, 0.01])
    assert ["reconstruction_error" in row for row in rows] == [True] * 9 + [False] * 4
    assert ["validation_error" in row for row in rows] == [False] * 6 + [True] * 7
    assert ["test_error" in row for row in rows] == [False] * 10 + [True, False, True]
    assert ["train_error" in row for row in rows] == ["test_error" in row for row in rows]
    net, parts = arrays_of(tmp_path / "greedy.npz"), train.split_for(SMALL, 0, 20)
    assert rows[8]["validation_error"] == pytest.approx(
        error_percent(net, parts.validation_images, parts.validation_labels)
    )
    x = parts.train_images.astype(np.float64)
    h = 1 / (1 + np.exp(-(x @ net["vishid"] + net["hidrecbiases"])))
    v = 1 / (1 + np.exp(-(h @ net["hidvis"] + net["visgenbiases"])))
    assert rows[2]["reconstruction_error"] == pytest.approx(np.square(v - x).sum(axis=1).mean(), rel=1e-4)


def test_recorded_errors_are_those_of_the_net_at_that_epoch(tmp_path):
    """One epoch of up-down, so that the last net and the best are the same."""
    trained(tmp_path, preset(*greedy(4), up_down(1, record_every=1)), SMALL)
    net, parts, row = arrays_of(tmp_path / "net.npz"), train.split_for(SMALL, 0, 20), log_of(tmp_path)[-1]
    for name, images, labels in (
        ("train_error", parts.train_images, parts.train_labels),
        ("validation_error", parts.validation_images, parts.validation_labels),
        ("test_error", SMALL.test_images, SMALL.test_labels),
    ):
        assert row[name] == pytest.approx(error_percent(net, images, labels))


def test_a_net_says_where_it_comes_from(tmp_path):
    trained(tmp_path, preset(*greedy(1), up_down(1)), SMALL, seed=4)
    about = store.read_meta(tmp_path / "net.npz")
    assert (about["seed"], about["backend"], about["preset"]["name"]) == (4, "numpy", "easy")
    assert about["preset"]["stages"][3]["epochs"] == 1
    assert about["data"].startswith("prototypes, 300 images")
    assert about["last_epoch"]["stage"] == "up-down"
    assert about["versions"]["numpy"] == np.__version__


def test_a_copy_that_is_not_installed_says_so(monkeypatch):
    def absent(name):
        raise provenance.PackageNotFoundError

    monkeypatch.setattr(provenance, "version", absent)
    assert provenance.versions()["dbn-lite"] == "not installed"


def test_seconds_add_up_over_interruptions(tmp_path, monkeypatch):
    """With a clock that goes on by a second whenever it is looked at."""
    clock = iter(range(10**6))
    monkeypatch.setattr(train.time, "monotonic", lambda: float(next(clock)))
    interrupt_at(monkeypatch, [5])
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, preset(*greedy(2)), SMALL)
    stopped = meta_of(tmp_path / "checkpoint.npz")["seconds"]
    assert 6 <= stopped <= next(clock)
    run = trained(tmp_path, preset(*greedy(2)), SMALL, resume=True)
    seconds = [row["seconds"] for row in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())]
    assert stopped + 5 <= seconds[0] <= stopped + 10
    assert all(11 <= later - earlier <= 20 for earlier, later in pairwise(seconds))
    assert store.read_meta(tmp_path / "net.npz")["seconds"] == run.seconds == seconds[-1]


def test_progress_shows_epoch_error_and_time_left_and_ends_at_100_percent(tmp_path, capsys, recwarn):
    for what, out in ((preset(*greedy(2), up_down(2)), "a"), (preset(*greedy(1), batch_size=60), "b")):
        train.Run(what, SMALL, 0, tmp_path / out).train()
    shown = capsys.readouterr().err
    assert "greedy 3, epoch 2/2, reconstruction " in shown
    assert "up-down, epoch 2/2, validation " in shown
    assert "100 % [00:0" in shown
    assert "<00:0" in shown  # time left
    assert not [str(warning.message) for warning in recwarn if "clamping" in str(warning.message)]


def test_a_quiet_run_is_quiet(tmp_path, capfd):
    trained(tmp_path, preset(*greedy(1), up_down(1)), SMALL)
    assert capfd.readouterr() == ("", "")


# It stops and goes on


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    run = trained(out, SHORT, SMALL)
    assert [row["validation_error"] for row in run.log if row["stage"] == "ruinous"][-1] > run.best_error
    return out


def assert_same_run(out, undisturbed):
    assert_same_bits(out / "net.npz", undisturbed / "net.npz")
    assert_same_bits(out / "greedy.npz", undisturbed / "greedy.npz")
    assert_same_bits(out / "checkpoint.npz", undisturbed / "checkpoint.npz")
    assert log_of(out) == log_of(undisturbed)


def interrupt_at(monkeypatch, steps, times=1):
    """Press Ctrl-C in the given steps, counted from 0 over all that follow."""
    count = [0]
    for learner in (train.GreedyLearner, train.UpDownLearner):

        def step(*given, original=learner.step):
            if count[0] in steps:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            count[0] += 1
            return original(*given)

        monkeypatch.setattr(learner, "step", step)


# first, middle and last mini-batches of epochs, and first and last epochs, of each stage
@pytest.mark.parametrize(
    "step", [0, 5, 10, 11, 21, 22, 30, 43, 44, 50, 65, 66, 70, 76, 77, 87, 88, 95, 109, 110, 111, 124]
)
def test_ctrl_c_loses_nothing(tmp_path, monkeypatch, undisturbed, step):
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_at(patch, [step])
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, SHORT, SMALL)
    assert signal.getsignal(signal.SIGINT) is before
    about = meta_of(tmp_path / "checkpoint.npz")
    assert about["batch"] > 0
    done = about["batch"] + 11 * len(about["log"]) + 4 * (about["epoch"] if about["stage_index"] == 5 else 0)
    assert done == step + 1  # not one mini-batch is done twice
    trained(tmp_path, SHORT, SMALL, resume=True)
    assert_same_run(tmp_path, undisturbed)


def test_a_run_may_be_stopped_again_and_again(tmp_path, monkeypatch, undisturbed):
    interrupt_at(monkeypatch, [3, 4, 20, 40, 60, 70, 80, 100, 112])
    for _ in range(9):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, SHORT, SMALL, resume=True)
    trained(tmp_path, SHORT, SMALL, resume=True)
    assert_same_run(tmp_path, undisturbed)


def test_a_run_in_a_notebook_goes_on_where_it_was_stopped(tmp_path, monkeypatch, undisturbed):
    interrupt_at(monkeypatch, [25])
    run = train.Run(SHORT, SMALL, 0, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.train(progress=False)
    try:
        run.train(progress=False)
    except KeyboardInterrupt:
        pytest.fail("the run still obeys the Ctrl-C that stopped it before")
    assert_same_run(tmp_path, undisturbed)


def test_a_second_ctrl_c_stops_at_once_and_the_checkpoint_before_it_will_do(tmp_path, monkeypatch, undisturbed):
    with monkeypatch.context() as patch:
        interrupt_at(patch, [25], times=2)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, SHORT, SMALL)
    about = meta_of(tmp_path / "checkpoint.npz")
    assert (about["stage_index"], about["epoch"], about["batch"]) == (1, 0, 0)
    trained(tmp_path, SHORT, SMALL, resume=True)
    assert_same_run(tmp_path, undisturbed)


def test_a_checkpoint_is_written_as_often_as_the_clock_says(tmp_path, monkeypatch, undisturbed):
    written = []
    save = train.Run._save
    monkeypatch.setattr(train.Run, "_save", lambda run: (save(run), written.append(run.batch)))
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0.0)
    trained(tmp_path, SHORT, SMALL)
    assert [batch for batch in written if batch][:11] == list(range(1, 12))
    assert_same_run(tmp_path, undisturbed)


def test_going_on_with_a_finished_run_changes_nothing(tmp_path):
    short = preset(*greedy(1), up_down(1))
    trained(tmp_path, short, SMALL)
    before = contents(tmp_path)
    run = trained(tmp_path, short, SMALL, resume=True)
    assert contents(tmp_path) == before
    assert run.stage is None
    assert len(run.log) == 4


def test_resume_in_an_empty_folder_begins(tmp_path):
    trained(tmp_path / "new" / "run", preset(*greedy(1)), SMALL, resume=True)
    assert (tmp_path / "new" / "run" / "net.npz").is_file()


def test_it_can_be_run_outside_the_main_thread(tmp_path):
    thread = threading.Thread(target=trained, args=(tmp_path, preset(*greedy(1)), SMALL))
    thread.start()
    thread.join()
    assert (tmp_path / "net.npz").is_file()


# It is killed. A process of its own each time, because nothing of a killed process may matter.

VICTIM = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from dbn_lite import provenance, train
from test_train import SHORT, SMALL

out, seconds, commit, before = sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "before"
train.CHECKPOINT_SECONDS, train.LOG_SECONDS = seconds, -1.0
replace, count = os.replace, [0]

def replace_and_die(*paths):
    count[0] += 1
    if count[0] == commit and before:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
    if count[0] == commit:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace_and_die
if not seconds:  # so that the run is not over before it is killed
    finite = train.Run._check_finite
    train.Run._check_finite = lambda *given: (time.sleep(0.005), finite(*given))
print("go", flush=True)
train.Run(SHORT, SMALL, 0, out, resume=True).train(progress=False)
"""


def victim(out, seconds=60.0, commit=0, when="before"):
    arguments = [sys.executable, "-c", VICTIM, str(Path(__file__).parent), str(out), str(seconds), str(commit), when]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def no_file_is_half_written(folder):
    for path in folder.glob("*.npz"):
        arrays_of(path)
    for line in (folder / "log.jsonl").read_text().splitlines() if (folder / "log.jsonl").exists() else []:
        json.loads(line)


def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path, undisturbed):
    """SIGKILL from outside, wherever that hits, with checkpoints after every mini-batch."""
    rng, kills, code, positions = random.Random(0), 0, None, set()
    while code != 0:
        process = victim(tmp_path, seconds=0.0)
        assert process.stdout.readline() == "go\n"
        try:
            code = process.wait(rng.uniform(0.02, 0.15) if kills < 8 or len(positions) < 3 else 60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            assert code == -signal.SIGKILL
            kills += 1
            if (tmp_path / "checkpoint.npz").exists():
                about = meta_of(tmp_path / "checkpoint.npz")
                positions.add((about["stage_index"], about["epoch"], about["batch"]))
        process.stdout.close()
        no_file_is_half_written(tmp_path)
    assert kills >= 4
    assert len(positions) >= 3
    assert_same_run(tmp_path, undisturbed)


def test_killed_around_the_commit_of_any_file_it_ends_with_the_same_bits(tmp_path, undisturbed):
    """Between the bytes and the name of a file, or between two files that belong together."""
    rng, kills, code = random.Random(1), 0, None
    while code != 0:
        process = victim(tmp_path, 60.0, rng.randint(2, 5) if kills < 12 else 0, rng.choice(["before", "after"]))
        process.communicate()
        code = process.returncode
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        no_file_is_half_written(tmp_path)
    assert kills >= 8
    assert_same_run(tmp_path, undisturbed)


# Two at once, and what was deleted or left behind


def test_two_runs_do_not_mix_in_one_folder(tmp_path):
    """Started together with two seeds, in processes of their own: one trains, the other is refused."""
    go = """
import sys
sys.path.insert(0, sys.argv[1])
from dbn_lite import train
from dbn_lite.errors import InputError
from test_train import SHORT, SMALL
print("ready", flush=True)
sys.stdin.readline()
try:
    train.Run(SHORT, SMALL, int(sys.argv[3]), sys.argv[2]).train(progress=False)
except InputError as error:
    sys.exit(f"{error}")
"""
    for turn in range(3):
        out = tmp_path / str(turn)
        both = [
            subprocess.Popen(
                [sys.executable, "-c", go, str(Path(__file__).parent), str(out), seed],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for seed in "01"
        ]  # fmt: skip
        for process in both:
            assert process.stdout.readline() == "ready\n"
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 1], said
        (winner,) = (seed for seed, process in enumerate(both) if not process.returncode)
        assert "already holds a run" in said[1 - winner] or "another process works in" in said[1 - winner]
        assert {meta_of(path)["seed"] for path in out.glob("[!c]*.npz")} == {winner}
        assert meta_of(out / "checkpoint.npz")["settings"]["seed"] == winner


def test_a_folder_in_which_a_run_goes_on_is_refused_to_all_others(tmp_path, monkeypatch, undisturbed):
    refusals, step = [], train.UpDownLearner.step

    def disturbed(learner, *given):
        for resume in (False, True):
            with pytest.raises(InputError) as caught:
                train.Run(SHORT, SMALL, 0, tmp_path, resume=resume)
            refusals.append(str(caught.value))
        return step(learner, *given)

    with monkeypatch.context() as patch:
        patch.setattr(train.UpDownLearner, "step", disturbed)
        run = trained(tmp_path, SHORT, SMALL)
    assert len(refusals) > 100
    assert set(refusals) == {f"another process works in {tmp_path}; wait for it, or choose another folder."}
    assert_same_run(tmp_path, undisturbed)
    assert run.stage is None


@pytest.mark.parametrize("stages", [(*greedy(1), up_down(2)), greedy(1), SHORT.stages])
def test_a_net_that_was_deleted_comes_back_from_the_checkpoint(tmp_path, stages):
    what = preset(*stages)
    trained(tmp_path, what, SMALL)
    before, about = contents(tmp_path), store.read_meta(tmp_path / "net.npz")
    (tmp_path / "net.npz").unlink()
    trained(tmp_path, what, SMALL, resume=True)
    assert contents(tmp_path) == before
    assert store.read_meta(tmp_path / "net.npz") == about


def test_what_killed_runs_left_half_written_is_removed_and_nothing_else(tmp_path, undisturbed):
    stale = [".checkpoint.npz.0123abcd.partial", ".net.npz.0123abcd.partial", ".log.jsonl.0123abcd.partial"]
    mine = [".mine.partial", "notes.txt", "net.npz.partial"]
    for name in (*stale, *mine):
        (tmp_path / name).write_bytes(b"half")
    trained(tmp_path, SHORT, SMALL)
    assert_same_run(tmp_path, undisturbed)
    for name in stale:
        (tmp_path / name).write_bytes(b"half")
    trained(tmp_path, SHORT, SMALL, resume=True)
    assert not any((tmp_path / name).exists() for name in stale)
    assert all((tmp_path / name).read_bytes() == b"half" for name in mine)


# What a checkpoint says is not believed


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """The folder of a run that was stopped in the middle of an epoch of up-down, two epochs of the stage before it."""
    out = tmp_path_factory.mktemp("halfway")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, [6 * 11 + 2 * 11 + 15])
        with pytest.raises(KeyboardInterrupt):
            trained(out, SHORT, SMALL)
    about = meta_of(out / "checkpoint.npz")
    assert (about["stage_index"], about["epoch"], about["batch"]) == (4, 1, 5)
    return out


def rewritten(halfway, folder, change):
    """A copy of a run in which `change` has done something to what its checkpoint says."""
    for path in halfway.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    about = meta_of(folder / "checkpoint.npz")
    del about["check"]  # as in one that is older than that
    change(about)
    arrays = arrays_of(folder / "checkpoint.npz")
    np.savez(folder / "checkpoint.npz", meta=np.array(json.dumps(about)), **arrays)


WRONG = [
    *({name: value} for name in ("stage_index", "epoch", "batch") for value in (-1, 99, 1.0, "1", None, True, [])),
    {"batch": 12}, {"epoch": 2}, {"epoch": 0}, {"stage_index": 3}, {"stage_index": 6}, {"stage_index": 6, "epoch": 0},
    {"rng_state": {}}, {"rng_state": None}, {"rng_state": {"state": {"state": [1, 2]}}}, {"rng_state": {"state": "x"}},
    {"log": []}, {"log": None}, {"log": [{}]}, {"log": "x"}, {"best_error": None}, {"best_error": float("nan")},
    {"seconds": "x"}, {"settings": []},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_checkpoint_that_says_what_cannot_be_is_refused(tmp_path, halfway, wrong):
    rewritten(halfway, tmp_path, lambda about: about.update(wrong))
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"checkpoint.npz (cannot be gone on from: .*; start again|is of a run with)"):
        train.Run(SHORT, SMALL, 0, tmp_path, resume=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["stage_index", "epoch", "batch", "rng_state", "log", "best_error", "seconds"])
def test_a_checkpoint_that_lacks_anything_is_refused(tmp_path, halfway, name):
    rewritten(halfway, tmp_path, lambda about: about.pop(name))
    with pytest.raises(InputError, match=f"checkpoint.npz cannot be gone on from: its description has no '{name}'"):
        train.Run(SHORT, SMALL, 0, tmp_path, resume=True)


def test_a_checkpoint_sets_nothing_but_where_a_run_stands(tmp_path, halfway, undisturbed):
    """Neither its seed nor anything else that it is made of."""
    more = {"seed": 1, "preset": None, "net": 3, "train": 4, "interrupted": True, "target": -1}
    rewritten(halfway, tmp_path, lambda about: about.update(more))
    run = trained(tmp_path, SHORT, SMALL, resume=True)
    assert run.seed == 0
    assert_same_run(tmp_path, undisturbed)


def test_a_checkpoint_that_was_changed_after_it_was_written_is_refused(tmp_path, halfway):
    """By a weight or by a random number, where nothing else could tell."""
    about, arrays = meta_of(halfway / "checkpoint.npz"), arrays_of(halfway / "checkpoint.npz")
    other = json.loads(json.dumps(about))
    other["rng_state"]["state"]["state"][0] ^= 1
    one, two = "net.hidrecbiases", "net.hidgenbiases"
    swapped = arrays | {one: arrays[two], two: arrays[one]}
    for told, saved in ((other, arrays), (about, {**arrays, one: -arrays[one]}), (about, swapped)):
        np.savez(tmp_path / "checkpoint.npz", meta=np.array(json.dumps(told)), **saved)
        with pytest.raises(InputError, match="it was changed after it was written; start again in another folder"):
            train.Run(SHORT, SMALL, 0, tmp_path, resume=True)


def test_other_labels_are_another_data_set_and_older_checkpoints_go_on(tmp_path, halfway, undisturbed):
    turned = replace(SMALL, train_labels=SMALL.train_labels[::-1].copy())
    with pytest.raises(InputError, match="is of a run with another data; resume with the same data"):
        train.Run(SHORT, turned, 0, halfway, resume=True)

    def older(about):
        about["settings"]["data"] = about["settings"]["data"].rpartition(", labels ")[0]

    rewritten(halfway, tmp_path, older)
    assert meta_of(tmp_path / "checkpoint.npz")["settings"]["data"].count(",") == 2
    trained(tmp_path, SHORT, SMALL, resume=True)
    assert_same_run(tmp_path, undisturbed)


# It fails


@pytest.mark.filterwarnings("error")  # it is told in a sentence, not by the arithmetic
@pytest.mark.parametrize("seconds", [60.0, 0.0])
@pytest.mark.parametrize(("place", "name"), [(0, "greedy 1"), (2, "greedy 3"), (3, "up-down")])
def test_a_run_that_diverges_stops_at_once_and_keeps_the_last_good_state(tmp_path, monkeypatch, seconds, place, name):
    """Whether or not a checkpoint fell due while the weights went wrong. The second epoch is the bad one."""
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", seconds)
    monkeypatch.setattr(train, "LOG_SECONDS", -1.0)  # after every epoch
    stages = [*greedy(1), up_down(1)]
    stages[place] = replace(stages[place], epochs=3, learning_rate=(1e-3, 1e17), weight_decay=1e5)
    with pytest.raises(InputError) as caught:
        trained(tmp_path, preset(*stages), SMALL)
    words = f"training diverged in epoch 2 of {name}: weights are no longer finite; start again with a smaller"
    assert str(caught.value).startswith(words)
    assert not (tmp_path / "net.npz").exists()
    assert [row["epoch"] for row in log_of(tmp_path) if row["stage"] == name] == [1]
    about, saved = meta_of(tmp_path / "checkpoint.npz"), arrays_of(tmp_path / "checkpoint.npz")
    good = 0 if seconds else 1  # with a checkpoint a minute the last one is from the beginning of the stage
    assert (about["stage_index"], about["epoch"]) == (place, good)
    assert all(np.isfinite(a).all() for key, a in saved.items() if not key.startswith("velocity."))
    run = train.Run(preset(*stages), SMALL, 0, tmp_path, resume=True)
    assert (run.stage.name, run.epoch, len(run.log)) == (name, good, place + good)


def test_divergence_is_noticed_within_fifty_mini_batches(tmp_path, monkeypatch):
    spy = Spy(monkeypatch)
    broken = preset(replace(greedy(1)[0], learning_rate=(1e9, 1e9), weight_decay=1e9), batch_size=10)
    with pytest.raises(InputError, match="epoch 1 of greedy 1"):
        trained(tmp_path, broken, noisy_prototypes(900, 10))
    assert len(spy.steps) == 50 < 900 * 44 // 60 // 10


def test_a_full_disk_stops_it_with_a_sentence_and_it_goes_on_when_there_is_room(tmp_path, undisturbed):
    """A limit on the size of files: the first half of a net or a checkpoint is written, the rest is not."""
    resource = pytest.importorskip("resource")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, [70])
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, SHORT, SMALL)
    before, limits = contents(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    half = (tmp_path / "checkpoint.npz").stat().st_size // 2
    assert half > 10_000
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (half, limits[1]))
        with pytest.raises(InputError, match=r"cannot write .*\.npz: the disk is full; free some space"):
            trained(tmp_path, SHORT, SMALL, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = contents(tmp_path)
    log = str(tmp_path / "log.jsonl")  # small enough to be written; it may be ahead of the checkpoint
    assert after.pop(log).startswith(before.pop(log))
    assert after == before
    trained(tmp_path, SHORT, SMALL, resume=True)
    assert_same_run(tmp_path, undisturbed)


def read_only_folder(tmp_path):
    """A folder that even root cannot write to, where permissions do not bind it."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if not os.access(folder, os.W_OK):
        return folder
    if Path("/sys/kernel").is_dir():
        return Path("/sys/kernel")
    pytest.skip("everything can be written to here")


def test_a_folder_that_cannot_be_made_or_written_to(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    locked = read_only_folder(tmp_path)
    before = contents(tmp_path)
    for out in (tmp_path / "file", tmp_path / "file" / "run", locked / "run"):
        with pytest.raises(InputError, match=f"cannot make the folder {out} .*; choose another"):
            train.Run(SHORT, SMALL, 0, out)
    with pytest.raises(InputError, match=r"cannot write .*checkpoint.npz: .*; choose a folder that can be written to"):
        train.Run(SHORT, SMALL, 0, locked)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["checkpoint.npz", "net.npz", "log.jsonl"])
def test_a_folder_that_holds_a_run_is_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="already holds a run; go on with it by --resume or choose another folder"):
        train.Run(SHORT, SMALL, 0, tmp_path)
    assert contents(tmp_path) == {str(tmp_path / name): b""}


def test_a_run_without_its_checkpoint_is_not_begun_anew_over_its_net(tmp_path):
    (tmp_path / "net.npz").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"holds a run without its checkpoint.npz; choose another folder"):
        train.Run(SHORT, SMALL, 0, tmp_path, resume=True)
    assert contents(tmp_path) == {str(tmp_path / "net.npz"): b"precious"}


OTHER_STAGES = [
    {"name": "x"}, {"layer": 2}, {"epochs": 3}, {"learning_rate": (0.3, 0.2)}, {"weight_decay": 1e-4},
    {"momentum": (0.5, 0.8)}, {"n_gibbs": 2}, {"all_images": True}, {"until_matched": True}, {"record_every": 1},
    {"steady": 1}, {"wandering": 0.3},
]  # fmt: skip


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a run that has just begun."""
    out = tmp_path_factory.mktemp("interrupted")
    train.Run(preset(*greedy(2)), SMALL, 0, out)
    return out


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        *(("preset", {"stages": (replace(greedy(2)[0], **other), *greedy(2)[1:])}) for other in OTHER_STAGES),
        ("preset", {"stages": (*greedy(2), up_down(1))}),
        ("preset", {"name": "other"}),
        ("preset", {"layers": (30, 30, 61)}),
        ("preset", {"batch_size": 10}),
        ("preset", {"sample_labels": False}),
        ("seed", {"seed": 1}),
        ("data", {"name": "others"}),
        ("data", {"train_images": SMALL.train_images[::-1].copy()}),
        ("backend", {"backend": "cupy"}),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(interrupted, monkeypatch, setting, change):
    assert set(OTHER_STAGES[0] | OTHER_STAGES[1]) <= set(asdict(greedy(2)[0]))
    assert {key for other in OTHER_STAGES for key in other} == set(asdict(greedy(2)[0]))  # none is forgotten
    what = replace(preset(*greedy(2)), **change) if setting == "preset" else preset(*greedy(2))
    dataset = replace(SMALL, **change) if setting == "data" else SMALL
    monkeypatch.setattr(backend.NumPyOps, "name", change.get("backend", "numpy"))
    monkeypatch.setattr(Preset, "check", lambda *given: None)  # some changes alone could not run
    before = contents(interrupted)
    with pytest.raises(InputError, match=f"is of a run with another {setting}; resume with the same {setting}"):
        train.Run(what, dataset, change.get("seed", 0), interrupted, resume=True)
    assert contents(interrupted) == before


def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(tmp_path, interrupted):
    whole = (interrupted / "checkpoint.npz").read_bytes()
    arrays = arrays_of(interrupted / "checkpoint.npz")
    about = meta_of(interrupted / "checkpoint.npz")
    del about["check"]  # as in one that is older than that
    meta = np.array(json.dumps(about))
    path, what = tmp_path / "checkpoint.npz", preset(*greedy(2))

    def refused(words):
        before = contents(tmp_path)
        with pytest.raises(InputError, match=words):
            train.Run(what, SMALL, 0, tmp_path, resume=True)
        assert contents(tmp_path) == before

    for n in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        refused("is not an .npz file of plain arrays")
    for name in arrays:
        np.savez(path, meta=meta, **{key: a for key, a in arrays.items() if key != name})
        refused(f"has no array {name} of shape .*; start again in another folder")
        np.savez(path, meta=meta, **{**arrays, name: arrays[name][1:]})
        refused(f"has no array {name} of shape")
        np.savez(path, meta=meta, **{**arrays, name: arrays[name].astype("U9")})
        refused(f"has no array {name} of shape")
    np.savez(path, **arrays)
    refused("is of a run with another preset")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (preset(*greedy(0)), "greedy 1 has epochs = 0"),
        (preset(*greedy(1), up_down(1, n_gibbs=0)), "up-down has n_gibbs = 0"),
        (preset(*greedy(1), batch_size=1000), "a mini-batch of 1000 does not fit 300 training images"),
        (preset(*greedy(1), batch_size=300), "a batch of 300 is larger than the data"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder_behind(tmp_path, what, words):
    with pytest.raises(InputError, match=words):
        train.Run(what, SMALL, 0, tmp_path / "run")
    assert os.listdir(tmp_path) == []


def test_a_run_that_goes_on_with_other_threads_says_so(tmp_path, monkeypatch, capsys):
    """Its last bits will not be those of a run that was never stopped."""
    train.Run(SHORT, SMALL, 0, tmp_path)
    train.Run(SHORT, SMALL, 0, tmp_path, resume=True)
    assert capsys.readouterr().err == ""
    here = provenance.arithmetic()
    monkeypatch.setattr(provenance, "arithmetic", lambda: here | {"threads": here["threads"] + 1})
    train.Run(SHORT, SMALL, 0, tmp_path, resume=True)
    told = capsys.readouterr().err
    assert f"{here['threads']} threads, and goes on with" in told
    assert "last bits will differ" in told


@pytest.mark.parametrize(("named", "threads"), [("1", 1), ("0", None), ("x", None), ("999", None)])
def test_the_threads_that_multiply_are_known(monkeypatch, named, threads):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", named)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert provenance.arithmetic()["threads"] == (threads or cores)
