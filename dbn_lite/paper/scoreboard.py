"""The scoreboard: every number that the paper reports, beside the recorded runs and a net measured here and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..dataset import Dataset
from ..dbn import predict
from ..errors import InputError
from ..files import NUMBER, TEXT, TRUTH, count, fault
from . import record

UNTOLD = "no recorded run"
OF_EFFECT = {"ends": {"*": {"*": NUMBER}}, "rows": [{}]}
OF_LEFT = {"settings": {"seed": count()}, "rows": [{"test_error": NUMBER}]}
AVERAGES = {"p": "average-p", "log p": "average-log-p"}
# Of row 7, which the paper leaves open: what goes back up from the labels, and what from the top units comes down.
SETTLED = {"labels sampled": "gibbs", "label probabilities": "gibbs-label-p", "all probabilities": "gibbs-p"}

# Number, claim, what the paper reports (section 6; 12 is counted from figure 1).
CLAIMS = (
    (1, "test error after greedy learning alone", "2.49 %"),
    (2, "test error of the net that did best on validation images in up-down", "1.39 %"),
    (3, "test error after going on with all 60,000 images", "1.25 %"),
    (4, "test images that it gets wrong, drawn in figure 7", "125"),
    (5, "right, but second best within 0.3 probability, drawn in figure 6", "49"),
    (6, "more Gibbs iterations, 3, 6, 10, lower the validation error each time", "noticeably"),
    (7, "label read by Gibbs sampling, started at 0.1: how much worse", "almost 1 %"),
    (8, "exact free energies after one stochastic up-pass: how much worse", "about 0.5 %"),
    (9, "twenty stochastic passes averaged, p or log p, against the deterministic pass", "very similar"),
    (10, "test error while left running at a very small rate", "1.12 to 1.31 %"),
    (11, "training time", "about a week"),
    (12, "weights, recognition tied or untied", "about 1.7 million"),
    (13, "minutes until a test error of 2.49, 1.39 and 1.25 % was first recorded", ""),
    (14, "of 100 dreams from noise, label held, after 1,000 and 10,000 iterations: right, faint", ""),
)
TARGETS = (2.49, 1.39, 1.25)  # of row 13: what the paper came to


@dataclass(frozen=True)
class Row:
    """A number of the paper and ours: over the recorded runs of `paper` and of `dream`, and of the one net measured."""

    number: int
    claim: str
    paper: str
    runs: str
    dream: str
    net: str


def wilson(errors: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval (Wilson 1927) of an error rate, in percent, after `errors` in n cases."""
    rate = errors / n
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return float(100 * max(0.0, middle - half)), float(100 * min(1.0, middle + half))


def in_lines(rows: Sequence[Row]) -> str:
    """The scoreboard for a terminal: each claim, then a line for each column that is not empty."""
    lines = []
    for row in rows:
        told = {"the paper": row.paper, "our runs": row.runs, "our runs of dream": row.dream, "this net": row.net}
        lines += [f"{row.number:>2}  {row.claim}"]
        lines += [f"      {name:>17}  {text}" for name, text in told.items() if text]
    return "\n".join(lines)


def measure(path: Path, greedy_path: Path | None, dataset: Dataset) -> dict[str, Any]:
    """What the scoreboard says of one net and of its greedy forebear: measured on the test images, half a minute."""
    dataset.expect_test()
    net, about, labels = store.load(path), store.read_meta(path), dataset.test_labels
    preset = about.get("preset")
    stages = preset.get("stages", []) if isinstance(preset, dict) else []
    if why := fault(stages, [{"all_images": TRUTH, "name": TEXT}], "preset.stages"):
        raise InputError(f"{path} cannot be used: {why}; train it or fetch it again.")
    reached = about.get("last_epoch", {}).get("stage")
    untied = sum(a.size for name, a in net.arrays().items() if not name.endswith("biases"))
    found = record.of_net(net, dataset.test_images, labels) | {
        "test_images": len(labels),
        "all_images": any(stage["all_images"] and stage["name"] == reached for stage in stages),
        "seconds": about.get("seconds"),
        "weights": (untied - net.penhid.size - net.hidvis.size, untied),
    }
    if greedy_path:
        found["greedy_test_errors"] = int((predict(store.load(greedy_path), dataset.test_images) != labels).sum())
    return found


def rows(
    measured: dict[str, Any],
    runs: Sequence[dict[str, Any]],
    results: str | Path,
    dreaming: Sequence[dict[str, Any]] = (),
) -> list[Row]:
    """All rows, from what `measure` found, the recorded runs of `paper` and of `dream`, and single experiments.

    The records of these, k-effect.json and left-running.json, are looked for in the folder `results`.
    """
    over = _over(runs) | {6: _raised(runs, Path(results)), 10: _left_running(Path(results))}
    dream = _over(dreaming) | {6: _raised(dreaming)} if dreaming else {}
    here = _of_net(measured)
    return [Row(n, claim, paper, over.get(n, ""), dream.get(n, ""), here.get(n, "")) for n, claim, paper in CLAIMS]


def _over(runs: Sequence[dict[str, Any]]) -> dict[int, str]:
    return _over_errors(runs) | _over_read_outs(runs) | {13: _minutes(runs), 14: _dreams(runs)}


def _over_errors(runs: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Rows 1 to 5 and 11, over runs: only greedy learning may count before a run has finished."""

    def percents(name: str, among: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
        return [(r["seed"], 100 * r[name] / r["test_images"]) for r in among if r[name] is not None]

    done = [run for run in runs if run["finished"]]
    under_way = percents("best_test_errors", [run for run in runs if not run["finished"]])
    so_far = "".join(f"; {percent:.2f} % so far (seed {seed}, under way)" for seed, percent in under_way)
    return {
        1: spread(percents("greedy_test_errors", runs), untold=_lacking(runs, "greedy_test_errors")),
        2: spread(percents("best_test_errors", done)) + so_far,
        3: spread(percents("final_test_errors", done)),
        4: spread([(r["seed"], r["final_test_errors"]) for r in done], unit="", digits=0),
        5: spread([(r["seed"], r["close_calls"]) for r in done], unit="", digits=0),
        11: spread([(r["seed"], r["seconds"] / 3600) for r in done], unit=" hours", digits=1),
    }


def _lacking(runs: Sequence[dict[str, Any]], name: str) -> str:
    """Why no run has a figure: what their records say, or that there is none."""
    return "; ".join(sorted({why for run in runs if (why := run.get("lacks", {}).get(name))})) or UNTOLD


def spread(
    found: Sequence[tuple[int, float]], unit: str = " %", digits: int = 2, sign: str = "", untold: str = UNTOLD
) -> str:
    """Mean and standard deviation over seeds in words, of (seed, value); one seed is called that; `untold` for none."""
    if not found:
        return untold
    seeds, values = zip(*found, strict=True)
    return f"{mean_and_scatter(values, digits, sign)}{unit} {_of_seeds(*seeds)}"


def mean_and_scatter(values: Sequence[float], digits: int = 2, sign: str = "") -> str:
    """The mean, and the standard deviation where there are several values."""
    scatter = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.{digits}f}{scatter}"


def _of_seeds(*seeds: int) -> str:
    return f"(seeds {', '.join(map(str, seeds))})" if len(seeds) > 1 else f"(seed {seeds[0]} alone)"


def worse(counts: float | Sequence[int], read_outs: dict[str, Any], n: int) -> float:
    """How much higher an error rate is than that of the deterministic read-out of the same net, in points."""
    return float(100 * (np.mean(counts) - read_outs["deterministic"]) / n)


def _over_read_outs(runs: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Rows 7 to 9, over runs."""

    def points(method: str) -> list[tuple[int, float]]:
        read = [(r["seed"], r["read_outs"], r["test_images"]) for r in runs if r["read_outs"]]
        return [(seed, worse(outs[method], outs, n)) for seed, outs, n in read if method in outs]

    def text(method: str) -> str:
        return spread(points(method), unit=" points", sign="+")

    averages = f"p: {text('average-p')}, log p: {text('average-log-p')}" if points("average-p") else UNTOLD
    settled = [f"{how}: {text(method)}" for how, method in SETTLED.items() if points(method)]
    return {7: "; ".join(settled) or UNTOLD, 8: text("stochastic"), 9: averages}


def minutes_to(run: dict[str, Any], percent: float) -> float | None:
    """Minutes that a run took to come down to a test error, as far as that was recorded; None if it never did.

    The test error is recorded at the end of greedy learning and every so many epochs of up-down: the run may have been
    there earlier.
    """
    greedy = [row for row in run["rows"] if row["stage"].startswith("greedy")]
    marks = [(row["seconds"], row["test_error"]) for row in run["rows"] if row.get("test_error") is not None]
    if greedy and run["greedy_test_errors"] is not None:
        marks = [(greedy[-1]["seconds"], 100 * run["greedy_test_errors"] / run["test_images"]), *marks]
    return next((seconds / 60 for seconds, error in marks if error <= percent), None)


def _minutes(runs: Sequence[dict[str, Any]]) -> str:
    """Row 13: the mean over the runs that came there, and how many did."""
    done, texts = [run for run in runs if run["finished"]], []
    for percent in TARGETS if done else ():
        took = [minutes for run in done if (minutes := minutes_to(run, percent)) is not None]
        texts.append(f"{np.mean(took):.0f} ({len(took)} of {len(done)})" if took else f"never (0 of {len(done)})")
    return ", ".join(texts) or UNTOLD


def _dreams(runs: Sequence[dict[str, Any]]) -> str:
    """Row 14: means over the runs whose dreams were counted."""
    told, texts = [run for run in runs if run.get("dreams")], []
    for after in (1000, 10_000):
        counted = [d for run in told for d in run["dreams"] if (d["start"], d["after"]) == ("noise", after)]
        if counted:
            right, faint = (np.mean([100 * d[name] / d["dreams"] for d in counted]) for name in ("right", "faint"))
            texts.append(f"{right:.0f}, {faint:.0f}")
    return f"{'; '.join(texts)} {_of_seeds(*[run['seed'] for run in told])}" if texts else UNTOLD


def _raised(runs: Sequence[dict[str, Any]], results: Path | None = None) -> str:
    """Row 6: validation errors at the end of each stage, beside the control if that is recorded."""
    ends = [after for run in runs if len(after := stage_ends(run["rows"])) == 3]
    texts = [" → ".join(f"{np.mean(stage):.2f}" for stage in zip(*ends, strict=True)) + " %"] if ends else []
    if results and (results / "k-effect.json").is_file():
        texts.append(control_in_words(record.read(results / "k-effect.json", OF_EFFECT)))
    return "; ".join(texts) or UNTOLD


def _left_running(results: Path) -> str:
    """Row 10: the band of the last net."""
    if not (results / "left-running.json").is_file():
        return UNTOLD
    left = record.read(results / "left-running.json", OF_LEFT)
    tests = [row["test_error"] for row in left["rows"]]
    seeds = _of_seeds(left["settings"]["seed"])
    return f"{min(tests):.2f} to {max(tests):.2f} % in {len(tests)} epochs {seeds}" if tests else UNTOLD


def stage_ends(rows: Sequence[dict[str, Any]], last: int = 5) -> list[float]:
    """Validation error at the end of each stage of up-down that is over: the mean of its last epochs, in percent."""
    up_down = [row for row in rows if row["stage"].startswith("up-down")]
    names = list(dict.fromkeys(row["stage"] for row in rows))
    over = [name for name in names[:-1] if name.startswith("up-down")]
    return [float(np.mean([r["validation_error"] for r in up_down if r["stage"] == name][-last:])) for name in over]


def control_in_words(experiment: dict[str, Any]) -> str:
    """Validation error at the end with 3, 6, 10 iterations and with 3 throughout, over the seeds of the experiment."""
    ends = {arm: spread(list(by_seed.items())) for arm, by_seed in experiment["ends"].items()}
    return "in the experiment " + ", ".join(f"k = {arm}: {text}" for arm, text in ends.items())


def _of_net(measured: dict[str, Any]) -> dict[int, str]:
    """Rows of the one net; its error rate is that of row 3 if it went on with all images, else that of row 2."""
    outs, n = measured["read_outs"], measured["test_images"]
    greedy, seconds = measured.get("greedy_test_errors"), measured["seconds"]
    averages, settled = (
        [f"{how}: {worse(outs[name], outs, n):+.2f} points" for how, name in among.items() if name in outs]
        for among in (AVERAGES, SETTLED)
    )
    return {
        1: "" if greedy is None else with_interval(greedy, n),
        3 if measured["all_images"] else 2: with_interval(outs["deterministic"], n),
        4: str(outs["deterministic"]),
        5: str(measured["close_calls"]),
        7: "; ".join(settled),
        8: f"{worse(outs['stochastic'], outs, n):+.2f} points",
        9: ", ".join(averages),
        11: "" if seconds is None else f"{seconds / 3600:.1f} hours",
        12: "{:,} or {:,}".format(*measured["weights"]),
    }


def with_interval(errors: int, n: int) -> str:
    """An error rate in percent with its 95 % interval, in words."""
    low, high = wilson(errors, n)
    return f"{100 * errors / n:.2f} % (95 %: {low:.2f} to {high:.2f})"
