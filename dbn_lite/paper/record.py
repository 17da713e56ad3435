"""What a run was worth, measured once and kept as a file that the book draws from (`data/results/*.json`)."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend, provenance, store, train
from ..dataset import Dataset
from ..dbn import DBN, label_log_probs, predict, sampled_log_probs, settled_label_probs
from ..errors import InputError
from ..files import MAYBE, NUMBER, TEXT, TRUTH, Kind, atomic_write, count, fault, make_folder, read_json
from ..study import dreams
from ..train.folder import SEEN, RunFolder

PASSES = 20  # stochastic up-passes that section 6.2 averages over
GIBBS_TRIES = 5  # repetitions of the read-out by Gibbs sampling
DREAMS_AFTER = (100, 1000, 10_000)  # Gibbs iterations, the label held on
ERRORS = ("train_error", "validation_error", "test_error")
ANY: dict[str, Any] = {"rows": [{}]}
READ_OUTS = {
    "deterministic": NUMBER, "stochastic": [NUMBER], "average-p": NUMBER, "average-log-p": NUMBER, "gibbs": [NUMBER],
    "gibbs-label-p?": NUMBER, "gibbs-p?": NUMBER,
}  # fmt: skip
OF_RUN = {
    "seed": count(), "finished": TRUTH, "settings": {"data": TEXT}, "test_images": count(1), "seconds": NUMBER,
    "greedy_test_errors": MAYBE, "best_test_errors": MAYBE, "final_test_errors": MAYBE, "best_validation_error": MAYBE,
    "predictions?": {"final": Kind("null or digits", lambda v: v is None or (isinstance(v, str) and v.isdecimal()))},
    "close_calls": MAYBE, "read_outs": Kind("null or errors", lambda v: v is None or not fault(v, READ_OUTS)),
    "lacks?": {"*": TEXT},  # what a finished run cannot tell any more, and why
    "dreams?": [{"start": TEXT, "after": count(), "dreams": count(1), "faint": count(), "right": count()}],
    "rows": [{"stage": TEXT, "epoch": count(1), "validation_error?": MAYBE}],
}  # fmt: skip
OF_CHECKPOINT = {
    "settings": {
        "data": TEXT, "seed": count(), "backend": TEXT,
        "preset": {"stages": [{"name": TEXT, "layer": count()}], "batch_size": count(1)},
    },
    "stage_index": count(),
}  # fmt: skip


def of_run(folder: str | Path, dataset: Dataset, commit: str | None = None) -> dict[str, Any]:
    """The record of a training run: where it comes from, every epoch, and the test predictions image by image.

    Works on a run still under way: then `finished` is false and what has not been reached is None. `rows` has errors
    in percent; `greedy_test_errors`, `best_test_errors` (of the net that was best on validation images in the second
    stage) and `final_test_errors` are counts, `predictions` strings of digits, one for each test image. `commit` is
    that of the code that trained, by default of this checkout. Raises InputError if the folder holds no run, or one
    on other data.
    """
    dataset.expect_test()
    folder = Path(folder)
    arrays, state = store.load_arrays(folder / "checkpoint.npz")
    if why := fault(state, OF_CHECKPOINT, "its description"):
        checkpoint = folder / "checkpoint.npz"
        raise InputError(f"{checkpoint} is of no run ({why}); give the folder of `dbn-lite train --out`.")
    settings = state["settings"]
    if settings["data"].split(",")[0] != dataset.name:
        raise InputError(f"{folder} is a run on {settings['data']}; record it with that data, not {dataset.name}.")
    rows = epochs(folder, {stage["name"] for stage in settings["preset"]["stages"] if stage.get("all_images")})
    left = settings["preset"]["stages"][state["stage_index"] :]
    nets = _nets(folder, arrays, greedy_over=not any(stage["layer"] for stage in left))
    guesses = {name: predict(net, dataset.test_images) if net else None for name, net in nets.items()}
    about = {
        "finished": nets["final"] is not None,
        "settings": {"preset": settings["preset"], "data": settings["data"], "backend": settings["backend"]},
        "seed": settings["seed"],
        **provenance.origin((folder / "log.jsonl").stat().st_mtime),
        "seconds": rows[-1]["seconds"] if rows else 0.0,
        "test_images": len(dataset.test_labels),
    }
    if commit:
        about["commit"] = commit
    dreamed = {"dreams": dreams.measure(nets["final"], dataset, after=DREAMS_AFTER)} if nets["final"] else {}
    worth = _worth(nets, guesses, settings, dataset)
    return about | worth | dreamed | {"rows": rows, "predictions": _digits(guesses)}


def _nets(folder: Path, checkpoint: dict[str, np.ndarray], greedy_over: bool) -> dict[str, DBN | None]:
    """The nets that the run has left so far: after greedy learning, best on validation, final."""
    best = {name.removeprefix("best."): a for name, a in checkpoint.items() if name.startswith("best.")}
    final = folder / "net.npz"
    return {
        "greedy": store.load(folder / "greedy.npz") if greedy_over else None,
        "best": store.net_of(best, folder / "checkpoint.npz") if best else None,
        "final": store.load(final) if final.is_file() else None,
    }


def _worth(
    nets: dict[str, DBN | None], guesses: dict[str, np.ndarray | None], settings: dict[str, Any], dataset: Dataset
) -> dict[str, Any]:
    """What can be said of the nets: errors on test images, and what decided where stages ended."""
    labels = dataset.test_labels
    found: dict[str, Any] = {
        f"{name}_test_errors": None if guess is None else int((guess != labels).sum())
        for name, guess in guesses.items()
    }
    found |= {"best_validation_error": None, "best_train_error": None, "close_calls": None, "read_outs": None}
    if best := nets["best"]:
        batch_size = settings["preset"]["batch_size"]
        for name in ("validation", "train"):
            images = train.part(dataset, name, settings["seed"], batch_size)
            found[f"best_{name}_error"] = round(train.error_percent(best, *images), 4)
    if final := nets["final"]:
        found |= of_net(final, dataset.test_images, labels)
    return found


def epochs(folder: str | Path, seen: Collection[str] = ()) -> list[dict[str, Any]]:
    """Every epoch that a run has logged, with every kind of error in percent, None where it was not measured.

    Logs once called a validation error what a stage that learned from those images, one of `seen`, still makes of them.
    """
    rows = expect_validated(RunFolder(folder).read_log(), Path(folder) / "log.jsonl")
    for row in rows:
        if row["stage"] in seen and "validation_error" in row:
            row[SEEN] = row.pop("validation_error")
        if SEEN in row:
            row[SEEN] = round(row[SEEN], 4)
    return [row | {name: round(row[name], 4) if name in row else None for name in ERRORS} for row in rows]


def expect_validated(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """The rows; raises InputError, naming the file that they are from, unless each epoch of up-down was validated."""
    for row in rows:
        if row["stage"].startswith("up-down") and row.get("validation_error") is None:
            raise InputError(f"{path} has an epoch of {row['stage']} without a validation error; record the run again.")
    return rows


def _digits(guesses: dict[str, np.ndarray | None]) -> dict[str, str | None]:
    return {name: None if g is None else "".join(map(str, g.tolist())) for name, g in guesses.items()}


def of_net(net: DBN, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """What rows 4, 5 and 7 to 9 of the scoreboard need of one net: close calls, and the errors of every read-out."""
    log_probs = label_log_probs(net, images)
    return {"close_calls": int(close_calls(log_probs, labels).sum()), "read_outs": read_outs(net, images, labels)}


def close_calls(log_probs: np.ndarray, labels: np.ndarray, within: float = 0.3) -> np.ndarray:
    """Which cases (n,) are right although the second best probability is within 0.3 of the best (figure 6).

    log_probs (n, lab) in nats.
    """
    probs = np.sort(np.exp(log_probs), axis=1)
    close: np.ndarray = probs[:, -1] - probs[:, -2] < within
    return close & (log_probs.argmax(axis=1) == labels)


def read_outs(net: DBN, images: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Errors of every read-out of section 6.2 on the same net: counts, or lists of counts where it was repeated.

    `stochastic` has one count for each of twenty sampled up-passes, the averages are over the same twenty, so that
    each figure is that of `predict` with the same seed; `gibbs` is repeated with seeds of its own. After it come
    the same with probabilities of the labels fed back, and with those of the top units, too: `settled_label_probs`.
    """

    def wrong(scores: np.ndarray) -> int:
        return int((scores.argmax(axis=1) != labels).sum())

    rng = backend.current().random(seed, "predict")
    passes = [sampled_log_probs(net, images, rng) for _ in range(PASSES)]
    return {
        "deterministic": int((predict(net, images) != labels).sum()),
        "stochastic": [wrong(log_probs) for log_probs in passes],
        "average-p": wrong(np.mean([np.exp(log_probs) for log_probs in passes], axis=0)),
        "average-log-p": wrong(np.mean(passes, axis=0)),
        "gibbs": [int((predict(net, images, "gibbs", seed + i) != labels).sum()) for i in range(GIBBS_TRIES)],
        "gibbs-label-p": wrong(settled_label_probs(net, images, seed, top_states=True)),
        "gibbs-p": wrong(settled_label_probs(net, images, seed, top_states=False)),
    }


def write(result: dict[str, Any], path: str | Path) -> None:
    """Write a record as JSON, each entry and each of its rows on a line of its own; its folder is made if need be."""
    make_folder(Path(path).parent)
    rows = ",\n  ".join(map(json.dumps, result["rows"]))
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items() if name != "rows"]
    text = ",\n ".join([*lines, f'"rows": [\n  {rows}\n ]'])
    atomic_write(path, lambda file: file.write(f"{{\n {text}\n}}\n".encode()))


def resumed(path: Path, schema: dict[str, Any], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a record to go on with, none if there is no file yet.

    Raises InputError, naming the file, for a record that `schema` does not fit, or one of other settings.
    """
    if not path.exists():
        return []
    found = read(path, schema)
    if found["settings"] != settings:
        raise InputError(f"{path} is of {found['settings']}, not {settings}; choose another folder.")
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def read(path: str | Path, schema: dict[str, Any] = ANY) -> dict[str, Any]:
    """Read a record; raises InputError, naming the file, for what is none, or not one as `schema` says."""
    result: dict[str, Any] = read_json(path, schema, "a record")
    return result
