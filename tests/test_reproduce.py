"""Records of runs and the scoreboard: counted again by other means, and plain about what there is not."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from easy import arrays_of, assert_same_bits, contents, error_percent, greedy, log_of, noisy_prototypes, preset, up_down
from scipy.stats import binomtest

from dbn_lite import dbn, places, provenance, store, train
from dbn_lite.data import formats
from dbn_lite.errors import InputError
from dbn_lite.paper import figures, record, runs, scoreboard

DIGITS = noisy_prototypes(900, 500, (8, 8), noise=0.25)
STAGES = (
    *greedy(6),
    replace(greedy(2)[2], name="greedy 3, CD-3", n_gibbs=3),
    up_down(2, (0.05, 0.05), "up-down k=3", n_gibbs=3),
    up_down(2, (0.05, 0.05), "up-down k=6", n_gibbs=6),
    up_down(2, (0.05, 0.02), "up-down k=10", n_gibbs=10),
    up_down(2, (0.02, 0.02), "all images", all_images=True, until_matched=True, record_every=1),
)
SMALL = preset(*STAGES, layers=(20, 15, 30))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a whole run of every stage that the paper's preset has."""
    out = tmp_path_factory.mktemp("runs") / "paper-seed4"
    train.Run(SMALL, DIGITS, 4, out).train(progress=False)
    return out


@pytest.fixture(scope="module")
def of_finished(finished):
    return record.of_run(finished, DIGITS)


@pytest.fixture(scope="module", autouse=True)
def short_dreams():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "DREAMS_AFTER", (2, 5))
        yield


def stopped(folder, when, small=SMALL):
    """A run that is interrupted in the first epoch of the stage of that name."""
    run = train.Run(small, DIGITS, 4, folder)
    step, stage = type(run)._run_epoch, when
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Run, "_run_epoch", lambda self, s: _stop() if s.name == stage else step(self, s))
        with pytest.raises(KeyboardInterrupt):
            run.train(progress=False)
    run._save()
    return folder


def _stop():
    raise KeyboardInterrupt


# A run as a record


def test_a_record_has_the_errors_of_the_three_nets_counted_again_in_float64(finished, of_finished):
    images, labels = DIGITS.test_images, DIGITS.test_labels
    best = {k.removeprefix("best."): a for k, a in arrays_of(finished / "checkpoint.npz").items() if "best." in k}
    nets = {"greedy": arrays_of(finished / "greedy.npz"), "best": best, "final": arrays_of(finished / "net.npz")}
    counts = {name: round(error_percent(net, images, labels) * len(labels) / 100) for name, net in nets.items()}
    assert len({of_finished["predictions"][name] for name in nets}) == 3  # else a mix-up would go unseen
    assert {name: of_finished[f"{name}_test_errors"] for name in nets} == counts
    for name, count in counts.items():
        guesses = np.array([int(digit) for digit in of_finished["predictions"][name]])
        assert (guesses != labels).sum() == count
    assert of_finished["finished"] is True
    assert of_finished["test_images"] == 500


def test_a_record_says_what_decided_where_the_stages_ended(finished, of_finished):
    own = train.split_for(DIGITS, 4, SMALL.batch_size)
    best = {k.removeprefix("best."): a for k, a in arrays_of(finished / "checkpoint.npz").items() if "best." in k}
    held_out = error_percent(best, own.validation_images, own.validation_labels)
    assert of_finished["best_validation_error"] == pytest.approx(held_out, abs=1e-3)
    up_down_rows = [row for row in of_finished["rows"] if row["stage"].startswith("up-down")]
    assert of_finished["best_validation_error"] == pytest.approx(min(r["validation_error"] for r in up_down_rows))
    learned = error_percent(best, own.train_images, own.train_labels)
    assert of_finished["best_train_error"] == pytest.approx(learned, abs=1e-3)


def test_the_rows_of_a_record_are_the_log_with_none_for_what_was_not_measured(finished, of_finished):
    logged = log_of(finished)
    assert [(r["stage"], r["epoch"]) for r in of_finished["rows"]] == [(r["stage"], r["epoch"]) for r in logged]
    for row, line in zip(of_finished["rows"], logged, strict=True):
        for name in ("train_error", "validation_error", "test_error"):
            assert row[name] == (pytest.approx(line[name], abs=1e-4) if name in line else None)
    assert of_finished["rows"][-1]["test_error"] is not None
    assert of_finished["rows"][0]["test_error"] is None


def test_a_record_says_where_it_comes_from(finished, of_finished):
    assert of_finished["seed"] == 4
    assert of_finished["settings"]["preset"]["stages"][3]["n_gibbs"] == 3
    assert of_finished["settings"]["data"].startswith("prototypes, 900 images")
    assert of_finished["settings"]["backend"] == "numpy"
    assert of_finished["versions"].keys() >= {"dbn-lite", "numpy", "python"}
    assert of_finished["device"]["cores"] > 0
    assert of_finished["seconds"] == json.loads((finished / "log.jsonl").read_text().splitlines()[-1])["seconds"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", of_finished["date"])
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", of_finished["commit"])
    assert record.of_run(finished, DIGITS, commit="abc")["commit"] == "abc"


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance._commit() == "unknown"


def test_the_commit_is_not_that_of_a_checkout_that_the_library_is_installed_in(monkeypatch, tmp_path):
    """A virtual environment often lies inside the repository of somebody's own project."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        if shutil.which("git") is None or subprocess.run([*git, *command]).returncode:
            pytest.skip("git makes no repository here")
    for where, found in ((tmp_path / "site-packages" / "dbn_lite", False), (tmp_path / "dbn_lite", True)):
        where.mkdir(parents=True)
        monkeypatch.setattr(provenance, "__file__", str(where / "provenance.py"))
        assert (provenance._commit() != "unknown") == found


def test_a_record_is_read_as_it_was_written_a_row_on_each_line(of_finished, tmp_path):
    record.write(of_finished, tmp_path / "a.json")
    assert record.read(tmp_path / "a.json") == of_finished
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert sum('"stage": "up-down k=6"' in line for line in lines if '"epoch"' in line) == 2


def test_a_run_under_way_is_recorded_as_far_as_it_has_come(tmp_path):
    stages = ("greedy 2", "greedy 3, CD-3", "up-down k=6")
    folders = [stopped(tmp_path / str(i), stage) for i, stage in enumerate(stages)]
    before = contents(tmp_path)
    early, top, late = (record.of_run(folder, DIGITS) for folder in folders)
    assert contents(tmp_path) == before
    assert (tmp_path / "1" / "greedy.npz").is_file()
    assert top["greedy_test_errors"] is None  # the top memory has not learned to the end
    assert early["finished"] is late["finished"] is False
    assert {early[f"{name}_test_errors"] for name in ("greedy", "best", "final")} == {None}
    assert early["best_validation_error"] is None
    assert len(early["rows"]) == 6
    assert late["greedy_test_errors"] > 0
    assert late["best_test_errors"] > 0
    assert late["final_test_errors"] is late["read_outs"] is late["predictions"]["final"] is None
    assert late["rows"][-1]["stage"] == "up-down k=3"
    assert runs.standing(late) == "seed 4, under way: up-down k=3, epoch 2"
    assert runs.standing(late | {"rows": []}) == "seed 4, just begun"
    assert runs.standing(late | {"finished": True}) == "seed 4, finished"


def test_what_is_no_run_is_refused(finished, tmp_path):
    with pytest.raises(InputError, match=r"nothing/checkpoint\.npz does not exist"):
        record.of_run(tmp_path / "nothing", DIGITS)
    store.save_arrays(tmp_path / "checkpoint.npz", {"a": np.zeros(1)}, {})
    with pytest.raises(InputError, match=r"checkpoint\.npz is of no run .its description has no 'settings'.; give the"):
        record.of_run(tmp_path, DIGITS)
    with pytest.raises(InputError, match=r"on prototypes, \d+ images, crc .*; record it with that data, not mnist"):
        record.of_run(finished, replace(DIGITS, name="mnist"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read .*x.json .No such file"),
        ("{", "x.json is no JSON file; record the run again"),
        ("[" * 100_000, "x.json is no JSON file; record the run again"),
        ("[]", r"x.json is not a record .it is \[\], not an object.; record the run again"),
        ("{}", "x.json is not a record .it has no 'rows'."),
        ('{"rows": 1}', "x.json is not a record .it.rows is 1, not a list."),
        ('{"rows": [1]}', r"x.json is not a record .it.rows\[0\] is 1, not an object."),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=words):
        record.read(tmp_path / "x.json")


# One net, measured


def test_each_read_out_counts_what_predict_gets_wrong(finished):
    net, images, labels = store.load(finished / "net.npz"), DIGITS.test_images, DIGITS.test_labels
    for seed in (0, 3):
        found = record.read_outs(net, images, labels, seed)
        for method in ("deterministic", "average-p", "average-log-p"):
            assert found[method] == (dbn.predict(net, images, method, seed) != labels).sum(), method
        assert len(found["stochastic"]) == 20
        assert found["stochastic"][0] == (dbn.predict(net, images, "stochastic", seed) != labels).sum()
        assert found["gibbs"][1] == (dbn.predict(net, images, "gibbs", seed + 1) != labels).sum()
        for name, top_states in (("gibbs-label-p", True), ("gibbs-p", False)):
            settled = dbn.settled_label_probs(net, images, seed, top_states)
            assert found[name] == (settled.argmax(axis=1) != labels).sum(), name
        assert len(set(found["stochastic"])) > 3
        assert len(set(found["gibbs"])) > 1


def test_a_call_is_close_when_right_and_the_second_within_0_3():
    probs = np.array([[0.6, 0.35, 0.05], [0.6, 0.29, 0.11], [0.35, 0.6, 0.05], [0.4, 0.3, 0.3], [0.02, 0.49, 0.49]])
    labels = np.array([0, 0, 0, 0, 2])
    assert record.close_calls(np.log(probs), labels).tolist() == [True, False, False, True, False]
    assert record.close_calls(np.log(probs), labels, within=0.32).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize(("errors", "n"), [(0, 50), (1, 50), (125, 10_000), (50, 50), (3, 7)])
def test_the_interval_is_wilsons(errors, n):
    interval = binomtest(errors, n).proportion_ci(0.95, method="wilson")
    assert scoreboard.wilson(errors, n) == pytest.approx((100 * interval.low, 100 * interval.high), abs=1e-3)


# The scoreboard


def made_up(seed, greedy=250, best=140, final=125, finished=True, **more):
    """A record with the entries that the scoreboard reads."""
    stages = [("up-down k=3", 2.5), ("up-down k=6", 2.0), ("up-down k=10", 1.5), ("all images", 1.0)]
    rows = [
        {"stage": stage, "epoch": epoch, "validation_error": error + seed / 10 + (epoch == 1), "seconds": 60.0 * epoch}
        for stage, error in stages
        for epoch in range(1, 8)
    ]
    outs = {"deterministic": 125, "stochastic": [175] * 20, "average-p": 126, "average-log-p": 124, "gibbs": [225] * 5}
    return {
        "seed": seed, "finished": finished, "settings": {"data": "mnist, 60000 images"}, "test_images": 10_000,
        "greedy_test_errors": greedy, "best_test_errors": best, "final_test_errors": final if finished else None,
        "best_validation_error": 1.5 - seed / 10, "close_calls": 49 if finished else None, "seconds": 7200.0,
        "read_outs": outs if finished else None, "rows": rows if finished else rows[:10],
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def measured(finished):
    return scoreboard.measure(finished / "net.npz", finished / "greedy.npz", DIGITS)


def board(measured, runs, folder):
    return {row.number: row for row in scoreboard.rows(measured, runs, folder)}


def test_over_runs_a_row_is_the_mean_and_the_standard_deviation(measured, tmp_path):
    rows = board(measured, [made_up(0), made_up(1, greedy=270, final=135), made_up(2, final=115)], tmp_path)
    assert rows[1].runs == "2.57 ± 0.12 % (seeds 0, 1, 2)"
    assert rows[2].runs == "1.40 ± 0.00 % (seeds 0, 1, 2)"
    assert rows[3].runs == "1.25 ± 0.10 % (seeds 0, 1, 2)"
    assert rows[4].runs == "125 ± 10 (seeds 0, 1, 2)"
    assert rows[5].runs == "49 ± 0 (seeds 0, 1, 2)"
    assert rows[6].runs == "2.60 → 2.10 → 1.60 %"
    assert rows[7].runs == "labels sampled: +1.00 ± 0.00 points (seeds 0, 1, 2)"
    assert rows[8].runs == "+0.50 ± 0.00 points (seeds 0, 1, 2)"
    assert rows[9].runs.startswith("p: +0.01 ± 0.00 points (seeds 0, 1, 2), log p: -0.01 ± 0.00 points")
    assert rows[10].runs == "no recorded run"
    assert rows[11].runs == "2.0 ± 0.0 hours (seeds 0, 1, 2)"


def test_what_no_run_has_reached_is_said_to_have_no_run(measured, tmp_path):
    rows = board(measured, [], tmp_path)
    untold = [*range(1, 12), 13, 14]
    assert [n for n, row in rows.items() if row.runs == "no recorded run"] == untold
    under_way = board(measured, [made_up(3, finished=False)], tmp_path)
    assert under_way[1].runs == "2.50 % (seed 3 alone)"
    assert under_way[2].runs == "no recorded run; 1.40 % so far (seed 3, under way)"
    assert [n for n, row in under_way.items() if row.runs == "no recorded run"] == untold[2:]


def test_the_runs_of_dream_have_a_column_of_their_own(measured, tmp_path):
    dream = {"start": "noise", "dreams": 50, "faint": 1, "right": 49}
    dreams = [dream | {"after": 1000}, dream | {"after": 10_000, "right": 40}, dream | {"start": "top", "after": 1000}]
    rows = {
        row.number: row
        for row in scoreboard.rows(measured, [made_up(2)], tmp_path, [made_up(0, final=117, dreams=dreams), made_up(1)])
    }
    assert (rows[3].runs, rows[3].dream) == ("1.25 % (seed 2 alone)", "1.21 ± 0.06 % (seeds 0, 1)")
    assert (rows[14].runs, rows[14].dream) == ("no recorded run", "98, 2; 80, 2 (seed 0 alone)")
    assert rows[10].dream == rows[12].dream == ""
    assert {row.dream for row in board(measured, [made_up(2)], tmp_path).values()} == {""}


def test_a_finished_run_says_what_its_record_lacks_or_is_refused(measured, tmp_path):
    lacks = {"greedy_test_errors": "the net was not kept"}
    record.write(made_up(0, greedy=None, lacks=lacks), tmp_path / "dream-seed0.json")
    dreaming = runs.recorded_runs(tmp_path, preset="dream")
    told = scoreboard.rows(measured, [], tmp_path, dreaming)
    assert (told[0].runs, told[0].dream) == ("no recorded run", "the net was not kept")
    record.write(made_up(0, greedy=None), tmp_path / "dream-seed0.json")
    with pytest.raises(InputError, match=r"no greedy_test_errors"):
        runs.recorded_runs(tmp_path, preset="dream")
    record.write(made_up(0, best=None, lacks=lacks), tmp_path / "dream-seed0.json")
    with pytest.raises(InputError, match=r"no best_test_errors"):
        runs.recorded_runs(tmp_path, preset="dream")


def test_the_time_to_an_accuracy_is_that_of_the_first_record_of_it(measured, tmp_path):
    rows = [
        {"stage": "greedy 1", "epoch": 1, "seconds": 60.0},
        {"stage": "greedy 3", "epoch": 1, "seconds": 600.0, "validation_error": 2.6},
        {"stage": "up-down k=3", "epoch": 1, "seconds": 1200.0, "validation_error": 1.3},
        {"stage": "up-down k=3", "epoch": 2, "seconds": 1800.0, "validation_error": 1.6, "test_error": 1.39},
        {"stage": "all images", "epoch": 1, "seconds": 3000.0, "validation_error": 1.0, "test_error": 1.26},
    ]
    one = made_up(0, greedy=249, rows=rows)
    assert [scoreboard.minutes_to(one, percent) for percent in (2.49, 1.39, 1.26, 1.25)] == [10, 30, 50, None]
    assert scoreboard.minutes_to(one | {"greedy_test_errors": 250}, 2.49) == 30
    other = made_up(1, greedy=240, rows=[row | {"seconds": 2 * row["seconds"]} for row in rows])
    assert board(measured, [one, other], tmp_path)[13].runs == "15 (2 of 2), 45 (2 of 2), never (0 of 2)"


def test_every_number_of_the_paper_has_its_row(measured, tmp_path):
    rows = board(measured, [], tmp_path)
    told = {n: row.paper for n, row in rows.items()}
    assert list(told) == list(range(1, 15))
    assert (told[1], told[2], told[3], told[4], told[5]) == ("2.49 %", "1.39 %", "1.25 %", "125", "49")
    assert "1.12 to 1.31 %" in told[10]
    assert "week" in told[11]


def test_the_one_net_is_measured_with_an_interval(finished, measured, tmp_path, of_finished):
    rows = board(measured, [], tmp_path)
    wrong, n = of_finished["final_test_errors"], 500
    low, high = scoreboard.wilson(wrong, n)
    assert rows[3].net == f"{wrong / 5:.2f} % (95 %: {low:.2f} to {high:.2f})"
    assert rows[2].net == ""
    assert rows[1].net.startswith(f"{of_finished['greedy_test_errors'] / 5:.2f} % (95 %: ")
    assert rows[4].net == str(wrong)
    assert rows[5].net == str(of_finished["close_calls"])
    outs = of_finished["read_outs"]
    settled = {"labels sampled": "gibbs", "label probabilities": "gibbs-label-p", "all probabilities": "gibbs-p"}
    readings = [f"{how}: {(np.mean(outs[name]) - wrong) / 5:+.2f} points" for how, name in settled.items()]
    assert rows[7].net == "; ".join(readings)
    assert rows[8].net == f"{(np.mean(outs['stochastic']) - wrong) / 5:+.2f} points"
    assert f"log p: {(outs['average-log-p'] - wrong) / 5:+.2f} points" in rows[9].net
    tied, untied = 64 * 20 + 20 * 15 + 25 * 30, 2 * (64 * 20 + 20 * 15) + 25 * 30
    assert rows[12].net == f"{tied:,} or {untied:,}"
    assert measured["seconds"] == pytest.approx(of_finished["seconds"], abs=1)
    assert board(measured | {"seconds": 5400}, [], tmp_path)[11].net == "1.5 hours"


HALF = {"stages": [{"name": "up-down", "all_images": False}, {"name": "all images", "all_images": True}]}


@pytest.mark.parametrize(
    "about",
    [{}, {"preset": "by hand"}, {"preset": {}}, {"preset": HALF}, {"preset": HALF, "last_epoch": {"stage": "up-down"}}],
)
def test_a_net_that_never_saw_all_images_is_not_in_the_row_of_those_that_did(finished, tmp_path, about):
    store.save(store.load(finished / "net.npz"), tmp_path / "net.npz", **about)
    rows = board(scoreboard.measure(tmp_path / "net.npz", None, DIGITS), [], tmp_path)
    assert (rows[1].net, rows[3].net, rows[11].net) == ("", "", "")
    assert "95 %" in rows[2].net


def test_single_experiments_are_told_when_they_are_recorded(measured, tmp_path):
    rows = [{"epoch": e, "test_error": t} for e, t in enumerate((1.31, 1.12, 1.2), 1)]
    record.write({"settings": {"seed": 4}, "rows": rows}, tmp_path / "left-running.json")
    effect = {"rows": [], "ends": {"3, 6, 10": {"100": 2.0, "101": 2.2}, "3, 3, 3": {"100": 2.5, "101": 2.7}}}
    record.write(effect, tmp_path / "k-effect.json")
    rows = board(measured, [], tmp_path)
    assert rows[10].runs == "1.12 to 1.31 % in 3 epochs (seed 4 alone)"
    assert rows[6].runs == (
        "in the experiment k = 3, 6, 10: 2.10 ± 0.14 % (seeds 100, 101), k = 3, 3, 3: 2.60 ± 0.14 % (seeds 100, 101)"
    )
    both = board(measured, [made_up(0)], tmp_path)
    assert both[6].runs.startswith("2.50 → 2.00 → 1.50 %; in the experiment")


def test_the_end_of_a_stage_is_the_mean_of_its_last_five_epochs_once_it_is_over():
    assert scoreboard.stage_ends(made_up(0)["rows"]) == pytest.approx([2.5, 2.0, 1.5])
    assert scoreboard.stage_ends(made_up(0)["rows"][:14]) == pytest.approx([2.5])  # the second is not over yet
    assert scoreboard.stage_ends([]) == []


def test_the_net_to_ship_is_chosen_by_validation_among_the_finished():
    recorded = [made_up(0), made_up(1, final=200), made_up(2, finished=False)]
    assert runs.chosen(recorded)["seed"] == 1  # whatever its test error
    assert runs.chosen([made_up(2, finished=False)]) is None


def test_the_nets_that_ship_are_of_the_run_that_the_rule_names():
    recorded = {name: runs.recorded_runs(runs.results_folder(), preset=name) for name in runs.PROTOCOLS}
    named = runs.chosen(recorded["paper"])["seed"]
    nets = [store.shipped(), places.shipped("trained/greedy.npz")]
    assert [store.read_meta(path)["seed"] for path in nets] == [named] * 2
    about = store.read_meta(places.shipped("trained/dream.npz"))
    assert (about["preset"]["name"], about["seed"]) == ("dream", runs.chosen(recorded["dream"])["seed"])
    dreamed_by = store.load_arrays(places.shipped(formats.DREAMED))[1]["net"]
    assert dreamed_by["seed"] == named


def test_runs_are_read_by_seed_and_only_those_on_the_data(tmp_path):
    for seed, data in ((2, "mnist"), (0, "mnist"), (1, "dreamed")):
        record.write(made_up(seed, settings={"data": f"{data}, 1 images"}), tmp_path / f"paper-seed{seed}.json")
    record.write(made_up(7), tmp_path / "search.json")
    assert [run["seed"] for run in runs.recorded_runs(tmp_path)] == [0, 2]
    assert [run["seed"] for run in runs.recorded_runs(tmp_path, "dreamed")] == [1]
    assert runs.recorded_runs(tmp_path / "none") == []


def test_lines_for_a_terminal_leave_out_empty_columns():
    rows = [scoreboard.Row(1, "one", "2 %", "3 %", "6 %", ""), scoreboard.Row(12, "two", "4 %", "", "", "5 %")]
    assert scoreboard.in_lines(rows).splitlines() == [
        " 1  one",
        "              the paper  2 %",
        "               our runs  3 %",
        "      our runs of dream  6 %",
        "12  two",
        "              the paper  4 %",
        "               this net  5 %",
    ]


# The figures


class Told:
    """A stand-in for the net of a figure: it says what it was told to say of the test images."""

    def __init__(self, monkeypatch, probs):
        monkeypatch.setattr(figures, "label_log_probs", lambda net, images: np.log(probs))
        monkeypatch.setattr(figures, "predict", lambda net, images: probs.argmax(axis=1))


def cases(labels):
    """A data set whose test images are known by their one shade."""
    images = np.repeat(np.arange(1, len(labels) + 1)[:, None] / 10, 4, axis=1).astype(np.float32)
    y = np.array(labels)
    return replace(DIGITS, train_images=images, train_labels=y, test_images=images, test_labels=y, shape=(2, 2))


def shown(figure):
    """What a figure of cases shows: the shade of each picture and its title, in the order of the sheet."""
    (axis,) = figure.axes
    sheet = np.asarray(axis.images[0].get_array())
    titles = [text.get_text() for text in axis.texts]
    shades = sheet[-1].reshape(len(titles), -1)[:, 0]
    return [(round(10 * float(shade)), title) for shade, title in zip(shades, titles, strict=True)]


def test_figures_6_and_7_show_the_right_cases_by_class_with_the_guesses(monkeypatch):
    probs = np.array([[0.3, 0.5, 0.2], [0.05, 0.05, 0.9], [0.2, 0.39, 0.41], [0.4, 0.35, 0.25], [0.1, 0.2, 0.7]])
    digits, net = cases([1, 2, 2, 0, 0]), Told(monkeypatch, probs)
    assert shown(figures.close_calls(net, digits)) == [(4, "0, 1?"), (1, "1, 0?"), (3, "2, 1?")]
    assert shown(figures.errors(net, digits)) == [(5, "2")]


def test_where_there_is_no_such_case_there_is_no_figure(monkeypatch, tmp_path):
    net, digits = Told(monkeypatch, np.array([[0.9, 0.1], [0.1, 0.9]])), cases([0, 1])
    assert figures.close_calls(net, digits) is None
    assert figures.draw("figure7-errors.png", net, digits, tmp_path) == []
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(("draw", "chains"), [("samples", "samples_by_class"), ("evolution", "evolution_by_class")])
def test_figures_8_and_9_have_a_row_for_each_class(monkeypatch, draw, chains):
    images = np.random.default_rng(0).random((10, 10, 4)).astype(np.float32)
    monkeypatch.setattr(figures, chains, lambda net: images)
    net = dbn.from_arrays({k: np.zeros(s, np.float32) for k, s in shapes(vis=4).items()})
    figure = getattr(figures, draw)(net, cases([0]))
    sheet = np.asarray(figure.axes[0].images[0].get_array()).reshape(10, 2, 10, 2)
    np.testing.assert_array_equal(sheet.swapaxes(1, 2).reshape(10, 10, 4), images)


def shapes(vis, hid=3, pen=3, top=4, lab=10):
    return {
        "vishid": (vis, hid), "hidrecbiases": (hid,), "hidpen": (hid, pen), "penrecbiases": (pen,),
        "pentop": (pen, top), "labtop": (lab, top), "topbiases": (top,), "pengenbiases": (pen,),
        "labgenbiases": (lab,), "penhid": (pen, hid), "hidgenbiases": (hid,), "hidvis": (hid, vis),
        "visgenbiases": (vis,),
    }  # fmt: skip


def test_figures_are_written_as_png_or_refused(finished, tmp_path):
    net = store.load(finished / "net.npz")
    (path,) = figures.draw("figure7-errors.png", net, DIGITS, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "figure7-errors.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/figure7"):
        figures.draw("figure7-errors.png", net, DIGITS, tmp_path / "file")


# From scratch


def test_from_scratch_trains_each_seed_once_records_it_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    small = replace(SMALL, name="paper")
    before = dict(os.environ)
    stopped(tmp_path / "paper-seed4", "up-down k=6", small)
    runs.train_and_record(tmp_path, DIGITS, small, seeds=(3, 4), progress=False)
    assert dict(os.environ) == before
    recorded = runs.recorded_runs(tmp_path, "prototypes")
    assert [(run["seed"], run["finished"]) for run in recorded] == [(3, True), (4, True)]
    assert {run["settings"]["preset"]["name"] for run in recorded} == {"paper"}
    assert runs.recorded_runs(tmp_path, "prototypes", "dream") == []
    train.Run(small, DIGITS, 4, tmp_path / "whole").train(progress=False)
    assert_same_bits(tmp_path / "paper-seed4" / "net.npz", tmp_path / "whole" / "net.npz")
    steps = []
    monkeypatch.setattr(train.GreedyLearner, "step", lambda *given: steps.append(given))
    runs.train_and_record(tmp_path, DIGITS, small, seeds=(3,), progress=False)
    assert steps == []


def test_one_seed_that_fails_is_not_the_trouble_of_the_others(tmp_path):
    small = replace(SMALL, name="dream")
    (tmp_path / "dream-seed3").mkdir()
    (tmp_path / "dream-seed3" / "checkpoint.npz").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"^seed 3: .*checkpoint\.npz"):
        runs.train_and_record(tmp_path, DIGITS, small, seeds=(3, 4), progress=False)
    assert [run["seed"] for run in runs.recorded_runs(tmp_path, "prototypes", "dream")] == [4]


def test_a_finished_run_is_recorded_once(tmp_path, finished, monkeypatch):
    shutil.copytree(finished, tmp_path / "dream-seed4")
    runs.record_runs(tmp_path, DIGITS)
    (run,) = runs.recorded_runs(tmp_path, "prototypes", "dream")
    assert [(d["start"], d["after"]) for d in run["dreams"]] == [
        (start, after) for start in ("noise", "digits", "top") for after in record.DREAMS_AFTER
    ]
    monkeypatch.setattr(record, "of_run", lambda *given: pytest.fail("recorded again"))
    runs.record_runs(tmp_path, DIGITS)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run called paper-seed0 or the like; train one"):
        runs.record_runs(tmp_path, DIGITS)


def test_the_net_is_that_of_the_chosen_run_or_the_shipped_one(tmp_path):
    folder = tmp_path / "runs"
    net, greedy_net = runs.net_and_forebear([made_up(0), made_up(1)], folder)
    assert (net, greedy_net) == (folder / "paper-seed1" / "net.npz", folder / "paper-seed1" / "greedy.npz")
    for recorded, where in (([made_up(0)], None), ([made_up(0, finished=False)], folder)):
        net, greedy_net = runs.net_and_forebear(recorded, where)
        assert net == store.shipped()
        assert greedy_net.name == "greedy.npz"
