"""What the closing chapter and the departures say in words, held to the records and the settings that say it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dbn_lite.paper import runs, table1
from dbn_lite.paper.table1 import command, record
from dbn_lite.presets import PRESETS

ROOT = Path(__file__).parents[1]
BACKPROP = "backprop-500-300", "backprop-800"
LINES = {line["name"]: line for line in command.table() if "error" in line}
RUNS = {preset: runs.recorded_runs(runs.results_folder(), preset=preset) for preset in runs.PROTOCOLS}
FINISHED = [run for found in RUNS.values() for run in found if run["finished"]]


def page(name: str) -> str:
    """A page of text on one line, so that a sentence is found wherever it is broken."""
    return re.sub(r"\s+", " ", (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def classes() -> np.ndarray:
    """The class of every test image, from any row of table 1 that reads it rightly; -1 where none does."""
    found = np.full(10_000, -1)
    with np.load(command.recorded_at().with_name("table1-predictions.npz")) as kept:
        for name, line in LINES.items():
            sure = (kept[name] != record.UNTRIED) & ~np.isin(np.arange(10_000), line["wrong"])
            found[sure] = kept[name][sure]
    return found


def chance(run: dict, rival: str, classes: np.ndarray) -> tuple[bool, float]:
    """Whether a run has fewer errors than a row of table 1, and the p of McNemar's test."""
    guesses = np.array(list(map(int, run["predictions"]["final"])))
    only_it, only_other, p = table1.compare({"wrong": np.flatnonzero(guesses != classes).tolist()}, LINES[rival])
    return only_it < only_other, p


def test_the_claim_against_discriminative_nets_falls_in_two_as_the_closing_chapter_says(classes: np.ndarray) -> None:
    text = page("08-test-of-time")
    assert "back-propagation: held, narrowly; support vectors: open; did not last" in text
    assert "Every training of ours makes fewer errors than both nets that learned by it" in text
    of = {rival: [chance(run, rival, classes) for run in FINISHED] for rival in BACKPROP}
    assert all(better for found in of.values() for better, _ in found)
    assert "Beside 784-500-300-10 the difference is more than chance for all six" in text
    assert "beside 784-800-10 for three of them" in text
    assert [sum(p < 0.05 for _, p in of[rival]) for rival in BACKPROP] == [6, 3]
    assert "by more than chance in nine comparisons of twelve" in text
    assert "whose settings were searched in as many trials as ours" in text
    ours = json.loads((ROOT / "data" / "results" / "search.json").read_text())["rows"]
    assert {len(LINES[rival]["trials"]) for rival in BACKPROP} == {len(ours)}
    assert "None of our trainings can be told apart from it." in text
    assert all(chance(run, "svm", classes)[1] > 0.05 for run in FINISHED)
    assert "our row for the first is worse than the one that the paper prints" in text
    assert "row 4 is as printed, row 3 worse" in page("departures")
    worse_by = [LINES[rival]["error"] - LINES[rival]["paper_error"] for rival in BACKPROP]
    assert worse_by[0] > 0.05 > abs(worse_by[1])


def test_one_of_our_trainings_is_ahead_of_the_papers_and_they_are_too_few_to_decide() -> None:
    text = page("08-test-of-time")
    assert "Of our six trainings one makes fewer errors than the paper's 125: a net of the preset `dream`" in text
    assert len(FINISHED) == 6
    fewer = [(run["settings"]["preset"]["name"], run["final_test_errors"]) for run in FINISHED
             if run["final_test_errors"] <= 125]  # fmt: skip
    assert fewer == [("dream", 122)]
    assert "too few to say whether the rest" in text
    counts = [run["final_test_errors"] for run in RUNS["paper"]]
    t = (np.mean(counts) - 125) / (np.std(counts, ddof=1) * np.sqrt(1 + 1 / len(counts)))
    assert 2 * stats.t.sf(abs(t), len(counts) - 1) > 0.05


def test_departures_say_how_the_last_stage_ended_and_what_validation_chose() -> None:
    text = page("departures")
    cap = PRESETS["paper"].stages[-1].epochs
    assert f"ends after {cap} epochs at the latest. Every run of the preset `paper` came to that end before it" in text
    for run in RUNS["paper"]:
        last = [row for row in run["rows"] if row["stage"] == "all images"]
        assert len(last) == cap
        assert last[-1]["train_error"] > run["best_train_error"]
    assert "rate, first weights and, in row 3, decay are the best of 41 trials on validation images" in text
    for rival in BACKPROP:
        best = min(LINES[rival]["trials"], key=lambda trial: trial["validation_errors"])
        assert len(LINES[rival]["trials"]) == 41
        assert [LINES[rival]["settings"][name] for name in ("rate", "decay", "spread")] == [*best.values()][:3]
    trials = json.loads((ROOT / "data" / "results" / "search.json").read_text())["rows"]
    began = {row["seed"] for row in trials if row["stage"] == "up-down"}
    assert began == {0, 2}
    assert "began at nets of seeds 0 and 2" in text


def test_departures_name_the_settings_of_the_presets() -> None:
    text, stages = page("departures"), {stage.name: stage for stage in PRESETS["paper"].stages}
    first, second, memory, later = (stages[f"greedy {n}"] for n in ("1", "2", "3", "3, CD-3"))
    assert "two and a half times the decay of the layers below" in text
    assert memory.weight_decay == later.weight_decay == 2.5 * first.weight_decay == 2.5 * second.weight_decay
    assert "one; three in the last 12 of the memory's 30 epochs" in text
    assert (later.epochs, memory.epochs + later.epochs, memory.n_gibbs, later.n_gibbs) == (12, 30, 1, 3)
    assert "its rate falls over 12 epochs, not 10" in text
    assert first.epochs - first.steady == second.epochs - second.steady == 10
    assert "the decay is that of the two lower layers" in text
    up_down = [stage for stage in PRESETS["paper"].stages if not stage.layer]
    assert {stage.weight_decay for stage in up_down} == {first.weight_decay}
    assert "steady for 200 epochs, then falling" in text
    steady = [stage.epochs for stage in up_down if stage.learning_rate[0] == stage.learning_rate[1]]
    assert sum(steady) == 200
    assert "begins at a tenth of up-down's" in text
    assert up_down[-1].learning_rate[0] * 10 == pytest.approx(up_down[0].learning_rate[0])
    dream = [stage for stage in PRESETS["dream"].stages if not stage.layer]
    assert "60 epochs for each number of iterations, not 100, and 40 in the last stage" in text
    assert [stage.epochs for stage in dream] == [60, 60, 60, 40]


def test_every_page_that_differs_from_the_paper_is_named_among_the_departures() -> None:
    text = (ROOT / "book" / "departures.md").read_text(encoding="utf-8")
    for path in (ROOT / "book").glob("*.ipynb"):
        source = path.read_text(encoding="utf-8")
        if "margin differs" not in source:
            continue
        labels = {path.stem, *re.findall(r'"\(([a-z0-9-]+)\)=', source)}
        assert any(f"]({label})" in text for label in labels), path.name
