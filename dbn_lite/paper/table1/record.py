"""What was run is written down row by row: figures in `table1.json`, predictions image by image beside it."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import provenance, store
from ...dataset import Dataset
from ...errors import InputError
from ...files import MAYBE, NUMBER, TEXT, atomic_write, count, read_json
from .row import Job, Outcome, Row

UNTRIED = 255
LINE = {
    "name": TEXT, "error?": NUMBER, "size?": count(1), "full_size?": count(1), "cpu_seconds?": MAYBE, "unit?": TEXT,
}  # fmt: skip


def run(row: Row, digits: Dataset, job: Job) -> tuple[dict[str, Any], np.ndarray]:
    """Run a row, or go on with it: its record, and the predictions of its first repeat, uint8 (n_test,).

    Raises InputError if the row needs an extra that is missing, or is asked for a size that it cannot have.
    """
    if not 0 < job.size <= row.size:
        raise InputError(f"the size of {row.name} is {job.size}; use 1 to {row.size} {row.unit}.")
    outcome = row.run(digits, job)
    return describe(row, digits, job, outcome), outcome.predictions[0]


def describe(row: Row, digits: Dataset, job: Job, outcome: Outcome) -> dict[str, Any]:
    """The record of a run: `error` is the mean of its repeats in percent, `repeats` their counts.

    `errors` is the count of the first repeat and `wrong` the numbers of the test images that it gets wrong.
    """
    tried = [p != UNTRIED for p in outcome.predictions]
    missed = [(p != digits.test_labels) & t for p, t in zip(outcome.predictions, tried, strict=True)]
    wrong = [int(m.sum()) for m in missed]
    spent = np.array([s for pieces in outcome.pieces for s in pieces.spent.values()]).reshape(-1, 3)
    return {
        "name": row.name,
        "paper_error": row.paper_error,
        "error": round(100 * float(np.mean(wrong)) / int(tried[0].sum()), 4),
        "errors": wrong[0],
        "repeats": wrong,
        "wrong": np.flatnonzero(missed[0]).tolist(),
        "test_images": int(tried[0].sum()),
        "size": job.size,
        "full_size": row.size,
        "unit": row.unit,
        "seconds": round(float(spent[:, 0].sum()), 1),
        "cpu_seconds": round(float(spent[:, 1].sum()), 1),
        "peak_mib": round(float(spent[:, 2].max(initial=0))),
        "device": {**provenance.machine(), "threads": _threads()},
        "data": digits.name,
        "settings": outcome.settings,
        **outcome.notes,
        "seed": job.seed,
        "versions": provenance.versions("torch", "scikit-learn"),
        "date": datetime.date.today().isoformat(),
    }


def _threads() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else os.cpu_count() or 1


def write(path: Path, record: dict[str, Any], predictions: np.ndarray, order: Sequence[str]) -> None:
    """Put a record into the file at `path`, in this order of names, and its predictions into the .npz beside it."""
    rows = {row["name"]: row for row in read(path)} | {record["name"]: record}
    beside = path.with_name(f"{path.stem}-predictions.npz")
    kept: dict[str, Any] = store.load_arrays(beside)[0] if beside.exists() else {}
    kept[record["name"]] = predictions
    atomic_write(beside, lambda out: np.savez_compressed(out, **kept))
    known = [name for name in order if name in rows]
    others = [name for name in rows if name not in known]  # somebody's own rows stay, after ours
    lines = ",\n".join(json.dumps(rows[name]) for name in known + others)
    atomic_write(path, lambda out: out.write(f'{{"rows": [\n{lines}\n]}}\n'.encode()))


def read(path: Path) -> list[dict[str, Any]]:
    """The records in a file, none if there is no file yet."""
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = read_json(path, {"rows": [LINE]}, "a record of table 1")["rows"]
    return rows


def rest(record: dict[str, Any], growth: float) -> float:
    """Seconds on the same processor that the full size would take beyond what was run."""
    return record["cpu_seconds"] * ((record["full_size"] / record["size"]) ** growth - 1)


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's test of two classifiers on the same images, exact: the probability of a difference at least so large.

    That is, if each image that only one of them gets wrong were as likely to be the other's; only_a and only_b are how
    many only the first and only the second gets wrong.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))  # not scipy.stats: a browser loads 20 MB for this one sum
    return min(1.0, 2 * tail / 2**n)


def compare(a: dict[str, Any], b: dict[str, Any], tried: Sequence[int] | None = None) -> tuple[int, int, float]:
    """Two records on the same test images, or on those `tried` by both: what McNemar's test needs, and finds."""
    wrong_a, wrong_b = ({*line["wrong"]} & {*(line["wrong"] if tried is None else tried)} for line in (a, b))
    only_a, only_b = len(wrong_a - wrong_b), len(wrong_b - wrong_a)
    return only_a, only_b, mcnemar(only_a, only_b)
