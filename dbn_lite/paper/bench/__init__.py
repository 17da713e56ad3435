"""The benchmark: seconds a mini-batch, as a ratio to the products alone, rows interleaved, one process a row."""

from __future__ import annotations

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ... import presets, provenance
from .steps import STAGES

ROUNDS, BATCHES = 5, 15  # each row gets so many turns of so many mini-batches
ON_CPU = ("floor", "dbn_lite", "textbook", "sklearn", "torch", "torch.compile")
ON_GPU = ("floor", "dbn_lite", "textbook")
SWEEPS: dict[str, list[dict[str, int]]] = {
    "batch size": [{"batch": n} for n in (20, 50, 100, 200, 400)],
    "layer width": [{"hid": n, "pen": n, "top": 4 * n} for n in (125, 250, 500, 1000)],
    "number of images": [{"n_batches": n} for n in (10, 100, 440)],
}
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Row:
    """A process of its own for one row: it makes the equality check, or times mini-batches on request."""

    def __init__(self, stage: str, who: str, threads: int, backend: str, sizes: dict[str, int], *mode: str) -> None:
        self.who = who
        self.seconds: list[float] = []
        self.turns: list[float] = []
        self.last: dict[str, Any] = {}
        # -P: a numpy.py in the current folder is not NumPy; the library is found where it is
        command = [sys.executable, "-P", "-m", "dbn_lite.paper.bench.worker"]
        command += [stage, who, backend, json.dumps(sizes), *mode]
        found = [str(Path(__file__).resolve().parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": os.pathsep.join(found)}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (a pipe that nobody reads could fill)
        self.process: Any = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.first = self._answer()

    def time(self, batches: int) -> None:
        """One turn: so many mini-batches."""
        self.process.stdin.write(f"{batches}\n")
        self.process.stdin.flush()
        self.last = self._answer()
        self.seconds += self.last["seconds"]
        self.turns.append(statistics.median(self.last["seconds"]))

    def close(self) -> dict[str, Any]:
        """End the process; returns its first answer."""
        self.process.communicate()
        self.errors.close()
        return self.first

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"the row {self.who} failed:\n{self.errors.read()}")
        return json.loads(line)


def check_rows(stage: str, who: Iterable[str], backend_name: str = "numpy", **sizes: int) -> dict[str, dict[str, Any]]:
    """Make the equality check of each row of a stage: what it found, by row, see `rows.check_row`."""
    return {name: Row(stage, name, 1, backend_name, sizes, "check").close() for name in who}


def compare(
    stage: str, threads: int, who: Iterable[str], backend_name: str = "numpy", **sizes: int
) -> list[dict[str, Any]]:
    """Time the rows of one stage in turns; the first is the floor, and all ratios are to it.

    A row's figure is its median mini-batch; its range is the lowest and highest median of a turn. Rows of a package
    that is not installed, or of a method that does not know the stage, are left out.
    """
    made = [Row(stage, name, threads, backend_name, sizes) for name in who]
    rows = [row for row in made if "skipped" not in row.first]
    for _ in range(ROUNDS):
        for row in rows:
            row.time(BATCHES)
    for row in made:
        row.close()
    floor = statistics.median(rows[0].seconds)
    return [{"stage": stage, "who": row.who, "threads": threads, **_figures(row, floor), **sizes} for row in rows]


def _figures(row: Row, floor: float) -> dict[str, Any]:
    seconds = statistics.median(row.seconds)
    return {
        "seconds": round(seconds, 7),
        "range": [round(min(row.turns), 7), round(max(row.turns), 7)],
        "ratio": round(seconds / floor, 4),
        "gflop_per_s": round(row.first["gflop"] / seconds, 1),
        **{name: mib for name, mib in row.last.items() if name.endswith("_mib")},
    }


def sweeps(threads: int, backend_name: str, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """How the cost of an up-down mini-batch (k=3) grows with its size, the width of the layers, and the images."""
    found = []
    for what, settings in SWEEPS.items():
        for sizes in settings:
            rows = compare("up-down k=3", threads, ("floor", "dbn_lite"), backend_name, **sizes)
            found += [{"sweep": what, **row} for row in rows]
            say(f"{what} {next(iter(sizes.values()))}: {_in_words(rows[1])}")
    return found


def paper_hours(rows: list[dict[str, Any]], threads: int) -> float | None:
    """The whole paper preset in hours, from the mini-batches measured; the last stage takes 59 epochs.

    Greedy learning with more than one Gibbs step is computed from that with one, by the number of its products.
    None where not all stages were timed.
    """
    ours = {row["stage"]: row["seconds"] for row in rows if (row["who"], row.get("threads")) == ("dbn_lite", threads)}
    seconds = 0.0
    for stage in presets.PRESETS["paper"].stages:
        epochs, batches = (59, 600) if stage.all_images else (stage.epochs, 440)
        name, times = f"up-down k={stage.n_gibbs}", 1.0
        if stage.layer:
            name, times = f"greedy {stage.layer}", (3 + 2 * stage.n_gibbs) / 5
        if name not in ours:
            return None
        seconds += epochs * batches * times * ours[name]
    return seconds / 3600


def run(backend_name: str, say: Callable[[str], None], threads: Iterable[int] = (1, 2)) -> dict[str, Any]:
    """The whole benchmark: every stage by every row that is installed, then the sweeps; `say` hears how it goes on."""
    on_cpu = backend_name == "numpy"
    counts = [n for n in threads if n <= (os.cpu_count() or 1)] if on_cpu else [1]
    rows: list[dict[str, Any]] = []
    for stage in STAGES:
        rows += _stage(stage, counts, ON_CPU if on_cpu else ON_GPU, backend_name, say)
    hours = {str(n): float(f"{found:.4g}") for n in counts if (found := paper_hours(rows, n))}
    return {
        "rows": rows + sweeps(counts[0], backend_name, say),
        "paper_hours": hours,
        "settings": {"rounds": ROUNDS, "batches": BATCHES, "backend": backend_name},
        "versions": provenance.versions("torch", "scikit-learn"),
        "machine": provenance.machine(),
        "date": datetime.date.today().isoformat(),
    }


def _stage(
    stage: str, counts: list[int], who: Iterable[str], backend_name: str, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    say(f"{stage}: checking")
    found = check_rows(stage, who, backend_name)
    for name, answer in found.items():
        for why in answer.keys() & {"skipped", "refused"}:
            say(f"{stage}, {name}: {why}, {answer[why]}")
    rows = [{"stage": stage, "who": name, **answer} for name, answer in found.items() if "refused" in answer]
    good = [name for name, answer in found.items() if not answer.keys() & {"skipped", "refused"}]
    for n in counts:
        timed = compare(stage, n, good, backend_name)
        rows += [row | found[row["who"]] for row in timed]
        for row in timed:
            say(f"{stage}, {n} thread{'s' * (n > 1)}, {row['who']}: {_in_words(row)}")
    return rows


def _in_words(row: dict[str, Any]) -> str:
    return f"{1e3 * row['seconds']:.2f} ms, {row['ratio']:.2f} times the floor, {row['peak_mib']} MiB"
