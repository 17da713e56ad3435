"""The benchmark: seconds a mini-batch, as a ratio to the products alone, rows interleaved, one process a row."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .. import presets, train
from .steps import STAGES
from .worker import WHO

ROUNDS, BATCHES = 7, 15  # each row gets so many turns of so many mini-batches
SWEEPS: dict[str, list[dict[str, int]]] = {
    "batch size": [{"batch": n} for n in (20, 50, 100, 200, 400)],
    "layer width": [{"hid": n, "pen": n, "top": 4 * n} for n in (125, 250, 500, 1000)],
    "number of images": [{"n_batches": n} for n in (10, 100, 440)],
}


class Row:
    """A worker process that times one row on request."""

    def __init__(self, stage: str, who: str, threads: int, backend_name: str, sizes: dict[str, int]) -> None:
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(threads))
        command = [sys.executable, "-m", "dbn_lite.bench.worker", stage, who, backend_name, json.dumps(sizes)]
        self.who, self.seconds, self.rounds, self.peak = who, [], [], 0  # type: tuple[str, list[float], list[float], int]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.ready = self._answer()

    def time(self, batches: int) -> None:
        """One turn: so many mini-batches."""
        assert self.process.stdin
        self.process.stdin.write(f"{batches}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.seconds += answer["seconds"]
        self.rounds.append(statistics.median(answer["seconds"]))
        self.peak = answer["peak_mib"]

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.who} failed:\n{self.process.stderr.read()}")
        return json.loads(line)  # type: ignore[no-any-return]


def compare(
    stage: str, threads: int, who: Iterable[str], backend_name: str = "numpy", **sizes: int
) -> list[dict[str, Any]]:
    """Time the rows of one stage in turns; the floor comes first and all ratios are to it.

    A row's figure is its median mini-batch; its range is the lowest and highest median of a turn.
    """
    rows = [Row(stage, name, threads, backend_name, sizes) for name in who]
    skipped = [row for row in rows if "skipped" in row.ready]
    rows = [row for row in rows if row not in skipped]
    for _ in range(ROUNDS):
        for row in rows:
            row.time(BATCHES)
    for row in (*rows, *skipped):
        row.close()
    base = statistics.median(rows[0].seconds)
    return [
        {
            "stage": stage,
            "who": row.who,
            "threads": threads,
            "seconds": statistics.median(row.seconds),
            "range": [min(row.rounds), max(row.rounds)],
            "ratio": round(statistics.median(row.seconds) / base, 4),
            "gflop_per_s": round(row.ready["gflop"] / statistics.median(row.seconds), 1),
            "peak_mib": row.peak,
            **sizes,
        }
        for row in rows
    ]


def sweeps(threads: int, backend_name: str) -> list[dict[str, Any]]:
    """How the cost of a mini-batch grows with its size, the width of the layers, the images, and the Gibbs iterations."""
    found = []
    for what, settings in SWEEPS.items():
        for sizes in settings:
            rows = compare("up-down k=3", threads, ("floor", "dbn_lite"), backend_name, **sizes)
            found += [{"sweep": what, **row} for row in rows]
    return found


def paper_hours(rows: list[dict[str, Any]], threads: int) -> float:
    """The whole paper preset in hours, from the measured mini-batches: 59 epochs in its last stage, as in the paper."""
    ours = {row["stage"]: row["seconds"] for row in rows if row["who"] == "dbn_lite" and row["threads"] == threads}
    seconds = 0.0
    for stage in presets.PRESETS["paper"].stages:
        epochs, batches, name = (59, 600, "up-down k=10") if stage.all_images else (stage.epochs, 440, stage.name)
        seconds += epochs * batches * ours[name]
    return seconds / 3600


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.processor(), "cores": os.cpu_count(), "system": platform.system()}


def run(backend_name: str, say: Callable[[str], None], threads: Iterable[int] = (1, 2)) -> dict[str, Any]:
    """The whole benchmark: every stage by every row that is installed, then the sweeps; `say` hears each row as it comes."""
    rows: list[dict[str, Any]] = []
    counts = [n for n in threads if n <= (os.cpu_count() or 1)] if backend_name == "numpy" else [1]
    who = list(WHO) if backend_name == "numpy" else ["floor", "dbn_lite"]
    for n in counts:
        for stage in STAGES:
            found = compare(stage, n, who, backend_name)
            rows += found
            for row in found:
                say(
                    f"{stage}, {n} threads, {row['who']}: {1e3 * row['seconds']:.2f} ms, {row['ratio']:.2f} of the floor"
                )
    hours = {str(n): round(paper_hours(rows, n), 3) for n in counts}
    rows += sweeps(counts[0], backend_name)
    return {
        "rows": rows,
        "paper_hours": hours,
        "settings": {"rounds": ROUNDS, "batches": BATCHES, "backend": backend_name},
        "versions": train.versions(),
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
