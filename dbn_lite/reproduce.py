"""The scoreboard: every number that the paper reports, beside the recorded runs and a net measured here and now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import plot, record, sources, store, train
from .data import Dataset
from .dbn import DBN, evolution_by_class, label_log_probs, predict, samples_by_class
from .errors import InputError
from .files import atomic_write
from .presets import preset_named

SEEDS = (0, 1, 2)  # fixed before the first of them was run; all are reported
UNTOLD = "no recorded run"
AVERAGES = {"p": "average-p", "log p": "average-log-p"}

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
)


@dataclass(frozen=True)
class Row:
    """A number of the paper and ours: over the recorded runs, and of the one net that was measured."""

    number: int
    claim: str
    paper: str
    runs: str
    net: str


def wilson(errors: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval (Wilson 1927) of an error rate, in percent, after `errors` in n cases."""
    rate = errors / n
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return float(100 * max(0.0, middle - half)), float(100 * min(1.0, middle + half))


def results_folder() -> Path:
    """Where the recorded runs are that came with this copy of the library."""
    return sources.shipped("registry.json").parent / "results"


def recorded_runs(folder: str | Path, data: str = "mnist") -> list[dict[str, Any]]:
    """The records of the paper preset in a folder that are on `data`, by seed; raises InputError for a damaged one."""
    runs = [record.read(path) for path in Path(folder).glob("paper-seed*.json")]
    return sorted((r for r in runs if r["settings"]["data"].split(",")[0] == data), key=lambda r: r["seed"])


def chosen(runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The finished run whose net did best on validation images: the rule for what is shipped never looks at test."""
    finished = [run for run in runs if run["finished"]]
    return min(finished, key=lambda run: run["best_validation_error"], default=None)


def train_and_record(folder: str | Path, dataset: Dataset, seeds: Sequence[int] = SEEDS, progress: bool = True) -> None:
    """Train the paper preset for each seed, or go on where that was stopped, and record every run in the folder."""
    for seed in seeds:
        out = Path(folder, f"paper-seed{seed}")
        train.Run(preset_named("paper"), dataset, seed, out, resume=True).train(progress)
        record.write(record.of_run(out, dataset), f"{out}.json")


def record_runs(folder: str | Path, dataset: Dataset) -> None:
    """Write the record of each run in a folder, finished or not: of paper-seed0 as paper-seed0.json beside it.

    Raises InputError if there is no such run.
    """
    found = [out for out in sorted(Path(folder).glob("paper-seed*")) if out.is_dir()]
    if not found:
        raise InputError(f"{folder} holds no run called paper-seed0 or the like; train one, or use --from-scratch.")
    for out in found:
        record.write(record.of_run(out, dataset), f"{out}.json")


def standing(run: dict[str, Any]) -> str:
    """Which seed a run is of and how far it has come, in words."""
    if run["finished"]:
        return f"seed {run['seed']}, finished"
    if not run["rows"]:
        return f"seed {run['seed']}, just begun"
    last = run["rows"][-1]
    return f"seed {run['seed']}, under way: {last['stage']}, epoch {last['epoch']}"


def in_lines(rows: Sequence[Row]) -> str:
    """The scoreboard for a terminal: each claim, then a line for each column that is not empty."""
    lines = []
    for row in rows:
        told = {"the paper": row.paper, "our runs": row.runs, "this net": row.net}
        lines += [f"{row.number:>2}  {row.claim}"]
        lines += [f"      {name:>9}  {text}" for name, text in told.items() if text]
    return "\n".join(lines)


def measure(path: Path, greedy_path: Path | None, dataset: Dataset) -> dict[str, Any]:
    """What the scoreboard says of one net and of its greedy forebear: measured on the test images, half a minute."""
    net, about, labels = store.load(path), store.read_meta(path), dataset.test_labels
    preset = about.get("preset")
    stages = preset.get("stages", []) if isinstance(preset, dict) else []
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


def scoreboard(measured: dict[str, Any], runs: Sequence[dict[str, Any]], results: str | Path) -> list[Row]:
    """All twelve rows, from what `measure` found, the recorded runs, and the records of single experiments.

    The last, k-effect.json and left-running.json, are looked for in the folder `results`.
    """
    over = _over_errors(runs) | _over_read_outs(runs) | _over_experiments(runs, Path(results))
    here = _of_net(measured)
    return [Row(n, claim, paper, over.get(n, ""), here.get(n, "")) for n, claim, paper in CLAIMS]


def _over_errors(runs: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Rows 1 to 5 and 11, over runs: only greedy learning may count before a run has finished."""

    def percents(name: str, among: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
        return [(r["seed"], 100 * r[name] / r["test_images"]) for r in among if r[name] is not None]

    done = [run for run in runs if run["finished"]]
    under_way = percents("best_test_errors", [run for run in runs if not run["finished"]])
    so_far = "".join(f"; {percent:.2f} % so far (seed {seed}, under way)" for seed, percent in under_way)
    return {
        1: spread(percents("greedy_test_errors", runs)),
        2: spread(percents("best_test_errors", done)) + so_far,
        3: spread(percents("final_test_errors", done)),
        4: spread([(r["seed"], r["final_test_errors"]) for r in done], unit="", digits=0),
        5: spread([(r["seed"], r["close_calls"]) for r in done], unit="", digits=0),
        11: spread([(r["seed"], r["seconds"] / 3600) for r in done], unit=" hours", digits=1),
    }


def spread(found: Sequence[tuple[int, float]], unit: str = " %", digits: int = 2, sign: str = "") -> str:
    """Mean and standard deviation over seeds in words, of (seed, value); one seed is called that."""
    if not found:
        return UNTOLD
    seeds, values = zip(*found, strict=True)
    scatter = f" ± {np.std(values, ddof=1):.{digits}f}" if len(found) > 1 else ""
    return f"{np.mean(values):{sign}.{digits}f}{scatter}{unit} {_of_seeds(*seeds)}"


def _of_seeds(*seeds: int) -> str:
    return f"(seeds {', '.join(map(str, seeds))})" if len(seeds) > 1 else f"(seed {seeds[0]} alone)"


def worse(counts: float | Sequence[int], read_outs: dict[str, Any], n: int) -> float:
    """How much higher an error rate is than that of the deterministic read-out of the same net, in points."""
    return float(100 * (np.mean(counts) - read_outs["deterministic"]) / n)


def _over_read_outs(runs: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Rows 7 to 9, over runs."""

    def points(method: str) -> list[tuple[int, float]]:
        read = [(r["seed"], r["read_outs"], r["test_images"]) for r in runs if r["read_outs"]]
        return [(seed, worse(outs[method], outs, n)) for seed, outs, n in read]

    def text(method: str) -> str:
        return spread(points(method), unit=" points", sign="+")

    averages = f"p: {text('average-p')}, log p: {text('average-log-p')}" if points("average-p") else UNTOLD
    return {7: text("gibbs"), 8: text("stochastic"), 9: averages}


def _over_experiments(runs: Sequence[dict[str, Any]], results: Path) -> dict[int, str]:
    """Rows 6 and 10: validation errors at the end of each stage, beside the control; the band of the last net."""
    ends = [after for run in runs if len(after := stage_ends(run["rows"])) == 3]
    texts = [" → ".join(f"{np.mean(stage):.2f}" for stage in zip(*ends, strict=True)) + " %"] if ends else []
    if (results / "k-effect.json").is_file():
        texts.append(control_in_words(record.read(results / "k-effect.json")))
    band = UNTOLD
    if (results / "left-running.json").is_file():
        left = record.read(results / "left-running.json")
        tests = [row["test_error"] for row in left["rows"]]
        band = f"{min(tests):.2f} to {max(tests):.2f} % in {len(tests)} epochs {_of_seeds(left['settings']['seed'])}"
    return {6: "; ".join(texts) or UNTOLD, 10: band}


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
    averages = [f"{how}: {worse(outs[name], outs, n):+.2f} points" for how, name in AVERAGES.items()]
    return {
        1: "" if greedy is None else with_interval(greedy, n),
        3 if measured["all_images"] else 2: with_interval(outs["deterministic"], n),
        4: str(outs["deterministic"]),
        5: str(measured["close_calls"]),
        7: f"{worse(outs['gibbs'], outs, n):+.2f} points",
        8: f"{worse(outs['stochastic'], outs, n):+.2f} points",
        9: ", ".join(averages),
        11: "" if seconds is None else f"{seconds / 3600:.1f} hours",
        12: "{:,} or {:,}".format(*measured["weights"]),
    }


def with_interval(errors: int, n: int) -> str:
    """An error rate in percent with its 95 % interval, in words."""
    low, high = wilson(errors, n)
    return f"{100 * errors / n:.2f} % (95 %: {low:.2f} to {high:.2f})"


def close_calls(net: DBN, dataset: Dataset) -> Figure | None:
    """Figure 6: test images that the net gets right, but only just, with its two best guesses; None if there are none.

    By class, as the paper sorts its figures.
    """
    log_probs = label_log_probs(net, dataset.test_images)
    cases = _by_class(record.close_calls(log_probs, dataset.test_labels), dataset.test_labels)
    best, second = np.argsort(-log_probs[cases], axis=1)[:, :2].T
    titles = [f"{one}, {other}?" for one, other in zip(best, second, strict=True)]
    return _cases(dataset, cases, titles)


def errors(net: DBN, dataset: Dataset) -> Figure | None:
    """Figure 7: the test images that the net gets wrong, by true class, each with the net's guess; None for none."""
    guess = predict(net, dataset.test_images)
    cases = _by_class(guess != dataset.test_labels, dataset.test_labels)
    return _cases(dataset, cases, guess[cases].astype(str).tolist())


def _by_class(which: np.ndarray, labels: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(which)
    return places[np.argsort(labels[places], kind="stable")]


def _cases(dataset: Dataset, cases: np.ndarray, titles: list[str]) -> Figure | None:
    if not len(cases):
        return None
    return plot.contact_sheet(dataset.test_images[cases], dataset.shape, min(len(cases), 15), titles)


def samples(net: DBN, dataset: Dataset) -> Figure:
    """Figure 8: ten samples of each class, 1,000 iterations of Gibbs sampling between them."""
    images = samples_by_class(net)
    return plot.contact_sheet(images.reshape(-1, net.sizes[0]), dataset.shape, images.shape[1])


def evolution(net: DBN, dataset: Dataset) -> Figure:
    """Figure 9: what a chain of each class has in mind, from a random image on, every 20 iterations."""
    images = evolution_by_class(net)
    return plot.contact_sheet(images.reshape(-1, net.sizes[0]), dataset.shape, images.shape[1])


PICTURES: dict[str, Callable[[DBN, Dataset], Figure | None]] = {
    "figure6-close-calls.png": close_calls,
    "figure7-errors.png": errors,
    "figure8-samples.png": samples,
    "figure9-evolution.png": evolution,
}


def draw(name: str, net: DBN, dataset: Dataset, folder: str | Path) -> list[Path]:
    """Write one of PICTURES to a folder as PNG: its path, or none where there is nothing to draw.

    Raises InputError if the file cannot be written.
    """
    figure, path = PICTURES[name](net, dataset), Path(folder, name)
    if figure is None:
        return []
    with contextlib.suppress(OSError):  # what is wrong with the folder is told when it is written to
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda file: figure.savefig(file, format="png", dpi=200))
    return [path]


def net_and_forebear(runs: Sequence[dict[str, Any]], folder: str | Path | None) -> tuple[Path, Path | None]:
    """The files of the net to measure and of what it was after greedy learning: of a folder of runs, or as shipped.

    In a folder it is the run that `chosen` names; the shipped ones stand in while none has finished.
    """
    best = chosen(runs) if folder else None
    if folder and best:
        out = Path(folder, f"paper-seed{best['seed']}")
        return out / "net.npz", out / "greedy.npz"
    try:
        return store.shipped(), sources.shipped("trained/greedy.npz")
    except InputError:
        return store.shipped(), None
