"""The table: what is recorded, what is printed, and what the two files of requirements promise."""

import json
import re
import tomllib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pybtex.database import parse_file
from scipy.stats import binom

from dbn_lite import cli, data
from dbn_lite.errors import InputError
from dbn_lite.paper import runs, table1
from dbn_lite.paper.table1 import ROWS, Job, Outcome, Row, command, neighbours, record
from dbn_lite.paper.table1.pieces import Pieces
from dbn_lite.paper.table1.rows import BESIDE

ROOT = Path(__file__).parents[1]
PAPER = [1.25, 1.4, 1.51, 1.53, 2.95, 2.8, 3.1, 4.0, 4.4, 0.4, 0.56, 0.63, 0.8, 0.95]
RECORDED = ROOT / "data/results/table1.json"


@pytest.fixture(scope="module")
def digits():
    return data.load("dreamed")


def always(answer, n):
    """A row that answers every test image alike, wrongly `n` times more in each further repeat."""

    def run(digits, job):
        first = np.full(len(digits.test_labels), answer, np.uint8)
        return Outcome([first, digits.test_labels.copy()][:n], {"answer": answer})

    return Row("always", "", "always the same", 90.0, 2006, "", "", 10, "epochs", run)


# ---- The rows


def test_the_rows_are_the_papers_in_its_order():
    assert [row.paper_error for row in ROWS] == PAPER
    assert len({row.name for row in ROWS}) == 14
    assert all(row.departs.endswith(".") for row in ROWS)


def test_every_source_is_in_the_bibliography():
    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    for row in ROWS + BESIDE:
        assert int(entries[row.source].fields["year"]) == row.year, row.name


# ---- Records


def test_a_record_counts_errors_and_averages_repeats(digits, tmp_path):
    row = always(3, 2)
    line, predictions = record.run(row, digits, Job(tmp_path, 4))
    wrong = int((digits.test_labels != 3).sum())
    assert line["errors"] == wrong
    assert line["wrong"] == np.flatnonzero(digits.test_labels != 3).tolist()
    assert line["repeats"] == [wrong, 0]
    assert line["error"] == pytest.approx(100 * wrong / 2 / len(digits.test_labels), abs=1e-4)
    assert (line["size"], line["full_size"], line["data"], line["seed"]) == (4, 10, "dreamed", 0)
    assert set(predictions) == {3}
    assert {"versions", "date", "device", "settings", "seconds", "peak_mib"} <= line.keys()


def test_images_that_were_not_tried_are_no_errors(digits, tmp_path):
    row, some = always(3, 1), np.arange(len(digits.test_labels)) % 2 == 0

    def run(digits, job):
        outcome = always(3, 1).run(digits, job)
        outcome.predictions[0][~some] = 255
        return outcome

    line, _ = record.run(Row(**{**vars(row), "run": run}), digits, Job(tmp_path, 4))
    assert line["test_images"] == some.sum()
    assert line["errors"] == (digits.test_labels[some] != 3).sum()


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_size_that_the_row_cannot_have_is_refused(size, digits, tmp_path):
    with pytest.raises(table1.record.InputError, match="use 1 to 10 epochs"):
        record.run(always(3, 1), digits, Job(tmp_path, size))


def test_records_are_written_one_by_one_in_the_order_of_the_table(tmp_path):
    path = tmp_path / "table.json"
    for name, guess in (("b", 1), ("a", 2), ("b", 3)):
        record.write(path, {"name": name, "error": guess}, np.full(4, guess, np.uint8), ["a", "b"])
    assert record.read(path) == [{"name": "a", "error": 2}, {"name": "b", "error": 3}]
    with np.load(tmp_path / "table-predictions.npz") as kept:
        assert {name: int(kept[name][0]) for name in kept} == {"a": 2, "b": 3}


def test_mcnemar_is_a_sign_test_on_the_images_that_only_one_gets_wrong():
    a, b = {"wrong": [*range(12), 90]}, {"wrong": [10, 11, 12, 13, 95]}
    only_a, only_b, p = record.compare(a, b)
    assert (only_a, only_b) == (11, 3)
    assert p == pytest.approx(2 * binom.cdf(3, 14, 0.5))
    assert record.compare(a, b, tried=range(90))[:2] == (10, 2)
    assert record.compare(b, b) == (0, 0, 1.0)


def test_the_rest_of_a_run_grows_as_its_row_says():
    line = {"cpu_seconds": 60.0, "size": 10, "full_size": 30}
    assert record.rest(line, 1.0) == pytest.approx(120)
    assert record.rest(line, 2.0) == pytest.approx(480)


# ---- What is recorded


def test_the_recorded_rows_are_runs_on_mnist_and_agree_with_their_predictions():
    rows = record.read(RECORDED)
    assert len(rows) >= 5
    with np.load(RECORDED.with_name("table1-predictions.npz")) as kept:
        predictions = dict(kept)
    assert predictions.keys() == {line["name"] for line in rows}
    assert [line["name"] for line in rows] == [row.name for row in ROWS if row.name in predictions]
    for line in rows:
        guess = predictions[line["name"]]
        assert (guess.dtype, guess.shape) == (np.uint8, (10000,))
        assert line["data"] == "mnist"
        assert line["paper_error"] == table1.row_named(line["name"]).paper_error
        assert (guess != 255).sum() == line["test_images"]
        assert line["repeats"][0] == line["errors"] == len(line["wrong"])
        assert line["error"] == pytest.approx(100 * np.mean(line["repeats"]) / line["test_images"], abs=1e-3)


def test_the_recorded_errors_are_those_of_the_predictions_on_mnist():
    try:
        labels = data.load("mnist").test_labels
    except data.NotFetchedError:
        pytest.skip("MNIST is not at hand")
    with np.load(RECORDED.with_name("table1-predictions.npz")) as kept:
        for line in record.read(RECORDED):
            guess = kept[line["name"]]
            wrong = np.flatnonzero((guess != labels) & (guess != 255)).tolist()
            assert wrong == line["wrong"], line["name"]


def test_what_was_recorded_beside_the_table_agrees_with_its_predictions():
    for row in BESIDE:
        path = RECORDED.with_name(f"{row.name}.json")
        if not path.exists():
            pytest.skip(f"{row.name} is not recorded")
        (line,) = record.read(path)
        with np.load(path.with_name(f"{row.name}-predictions.npz")) as kept:
            guess = kept[row.name]
        assert (line["name"], line["data"], line["size"]) == (row.name, "mnist", row.size)
        assert (guess.dtype, guess.shape) == (np.uint8, (10000,))
        assert line["repeats"][0] == line["errors"] == len(line["wrong"])
        assert line["error"] == pytest.approx(np.mean(line["repeats"]) / 100, abs=1e-3)
        try:
            labels = data.load("mnist").test_labels
        except data.NotFetchedError:
            continue
        assert np.flatnonzero(guess != labels).tolist() == line["wrong"]


# ---- This model's row


def test_this_models_row_repeats_the_predictions_of_every_finished_run(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "results_folder", lambda: tmp_path)
    row = table1.row_named("this-model")
    with pytest.raises(InputError, match=r"no finished run on dreamed is recorded; make one with .*--from-scratch"):
        row.run(digits, Job(tmp_path, 1))
    for seed, finished in ((0, True), (1, False), (2, True)):
        guesses = str(seed) * len(digits.test_labels)
        predictions = {"greedy": None, "best": None, "final": guesses if finished else None}
        kept = {"seed": seed, "finished": finished, "seconds": 60.0 + seed, "settings": {"data": "dreamed, 1"}}
        outs = dict.fromkeys(("deterministic", "average-p", "average-log-p"), 1) | {"stochastic": [1], "gibbs": [1]}
        counts = ("greedy_test_errors", "best_test_errors", "final_test_errors", "best_validation_error", "close_calls")
        kept |= dict.fromkeys(counts, 1) | {"test_images": len(guesses), "read_outs": outs}
        (tmp_path / f"paper-seed{seed}.json").write_text(json.dumps(kept | {"predictions": predictions, "rows": []}))
    outcome = row.run(digits, Job(tmp_path, 1))
    assert [set(p.tolist()) for p in outcome.predictions] == [{0}, {2}]
    assert (outcome.settings["seeds"], outcome.notes["seconds"]) == ([0, 2], 61.0)


# ---- The command


def test_table1_prints_fourteen_rows_each_with_the_papers_figure(capsys):
    assert cli.main(["table1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [float(re.search(r"paper +([\d.]+) %", line)[1]) for line in lines] == PAPER
    recorded = {line["name"]: line for line in record.read(RECORDED)}
    for line, row in zip(lines, ROWS, strict=True):
        wanted = f"ours {recorded[row.name]['error']:6.2f} %" if row.name in recorded else "not run"
        assert wanted in line
        assert (row.name in recorded) or f"all of it: {row.size:,} {row.unit}" in line


def test_table1_speaks_json(capsys):
    assert cli.main(["table1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["paper_error"] for row in rows] == PAPER
    assert all({"name", "method"} <= row.keys() for row in rows)


def test_a_part_of_a_run_says_its_size_and_what_the_rest_costs():
    line = {"name": "lenet5", "error": 1.2, "size": 5, "full_size": 20, "unit": "epochs", "cpu_seconds": 1200.0}
    assert "at 5 of 20 epochs; the rest: about 60 minutes" in command.in_words(line)
    assert "epochs" not in command.in_words(line | {"size": 20})


def test_table1_runs_a_row_again_and_records_it_where_it_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(neighbours, "PREPARED", {})  # an experiment beside the row, tested with it
    before, out = RECORDED.read_bytes(), tmp_path / "mine.json"
    given = ["knn-l2-60k", "--data", "dreamed", "--state", str(tmp_path), "--json"]
    assert cli.main(["table1", *given, "--out", str(out)]) == 0
    (line,) = json.loads(capsys.readouterr().out)["rows"]
    assert record.read(out) == [line]
    assert line["data"] == "dreamed"
    assert 0 < line["error"] < 40
    assert cli.main(["table1", *given]) == 0  # without --out nothing is recorded
    assert RECORDED.read_bytes() == before


@pytest.mark.parametrize("data_set", ["dreamed", "mnist"])
@pytest.mark.parametrize("size", ["20", None])
def test_a_trial_never_touches_the_record_that_ships(tmp_path, capsys, monkeypatch, digits, data_set, size):
    """Nor does the full size, unless it is told where to; then on MNIST only."""
    shipped = tmp_path / "results" / "table1.json"
    shipped.parent.mkdir()
    shipped.write_bytes(RECORDED.read_bytes())
    before, line, ran = shipped.read_bytes(), {"name": "svm", "error": 50.0, "size": 1, "full_size": 1}, []
    monkeypatch.setattr(command, "recorded_at", lambda: shipped)
    monkeypatch.setattr(command.data, "load", lambda name: replace(digits, name=name))
    monkeypatch.setattr(command.record, "run", lambda *given: ran.append(1) or (line, np.zeros(4, np.uint8)))
    given = ["table1", "svm", "--data", data_set, "--state", str(tmp_path / "state")]
    given += ["--size", size] if size else []
    assert cli.main(given) == 0
    assert shipped.read_bytes() == before
    (tmp_path / "link.json").symlink_to(shipped)
    for name in (shipped, tmp_path / "link.json"):
        in_full = data_set == "mnist" and not size
        ran.clear()
        assert cli.main([*given, "--out", str(name)]) == (0 if in_full else 2)
        assert (ran == [], shipped.read_bytes() == before) == (not in_full, not in_full)
        if not in_full:
            assert "is what ships, of MNIST and in full; name another file for a trial." in capsys.readouterr().err
        shipped.write_bytes(before)


def test_rows_under_names_that_are_not_known_stay(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"rows": [{"name": "my own method", "error": 0.5}, {"name": "svm", "error": 9}]}')
    record.write(path, {"name": "svm", "error": 1.5}, np.zeros(4, np.uint8), [row.name for row in table1.ROWS])
    assert record.read(path) == [{"name": "svm", "error": 1.5}, {"name": "my own method", "error": 0.5}]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"rows": 1}', '{"rows": [{}]}', '{"rows": [{"name": "a", "error": "x"}]}']
)
def test_what_is_no_record_is_refused_before_anything_is_run_and_left(tmp_path, capsys, monkeypatch, content):
    monkeypatch.setattr(command.record, "run", None)
    (tmp_path / "mine.json").write_text(content)
    given = ["table1", "svm", "--data", "dreamed", "--state", str(tmp_path), "--out", str(tmp_path / "mine.json")]
    assert cli.main(given) == 2
    assert re.search(r"mine.json is (no JSON file|not a record of table 1 .*); record", capsys.readouterr().err)
    assert (tmp_path / "mine.json").read_text() == content


def test_a_damaged_piece_of_a_run_is_named(tmp_path):
    pieces = Pieces(tmp_path, {})
    pieces.once("a", lambda: {"x": np.zeros(3)})
    path = pieces.folder / "a.npz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"a.npz is not an .npz file of plain arrays"):
        Pieces(tmp_path, {}).once("a", dict)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(InputError, match=r"a.npz is no piece of a run; delete it"):
        Pieces(tmp_path, {}).once("a", dict)


def test_an_odd_number_of_threads_is_passed_over(monkeypatch):
    cores = record.os.cpu_count()
    for told, found in (("x", cores), ("3", 3), ("", cores), ("2,1", cores)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert record._threads() == found


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["no-such-row"], "has no row 'no-such-row'"),
        (["lenet5", "--size", "0"], "use 1 to"),
    ],
)
def test_bad_input_is_one_sentence(given, sentence, tmp_path, capsys):
    assert cli.main(["table1", *given, "--data", "dreamed", "--state", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1


def test_a_stopped_run_says_that_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(command.record, "run", stop)
    assert cli.main(["table1", "svm", "--data", "dreamed", "--state", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err


# ---- The extra


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return {canonicalize_name(k): v for k, _, v in (line.partition("==") for line in lines if line and line[0] != "#")}


def test_the_lock_of_the_extra_satisfies_it_and_leaves_the_other_alone():
    common, own = pins("requirements.lock"), pins("requirements-baselines.lock")
    assert not common.keys() & own.keys()
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["baselines"]
    for requirement in map(Requirement, extra):
        version = (common | own)[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_the_lock_of_the_extra_is_closed_for_what_is_installed():
    common, own = pins("requirements.lock"), pins("requirements-baselines.lock")
    for name in own:
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        for requirement in needed:
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            cuda = requirement.name.startswith(("nvidia-", "cuda-", "triton"))  # of the build that is not for CPUs
            assert cuda or not wanted or canonicalize_name(requirement.name) in common | own, f"{name}: {requirement}"
