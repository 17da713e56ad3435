"""The runs that the scoreboard is made of: trained, recorded, found again, and the one that is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .. import backend, places, store, train
from ..dataset import Dataset
from ..errors import InputError
from ..presets import Preset
from . import record

SEEDS = (0, 1, 2)  # fixed before the first of them was run; all are reported
PROTOCOLS = ("paper", "dream")  # the presets for the whole of section 6
BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def results_folder() -> Path:
    """Where the recorded runs are that came with this copy of the library."""
    return places.shipped("registry.json").parent / "results"


def recorded_runs(folder: str | Path, data: str = "mnist", preset: str = "paper") -> list[dict[str, Any]]:
    """The records of a preset in a folder that are on `data`, by seed; raises InputError for a damaged one."""
    runs = [_read(path) for path in Path(folder).glob(f"{preset}-seed*.json")]
    return sorted((r for r in runs if r["settings"]["data"].split(",")[0] == data), key=lambda r: r["seed"])


def _read(path: Path) -> dict[str, Any]:
    run = record.read(path, record.OF_RUN)
    record.expect_validated(run["rows"], path)
    measured = ("greedy_test_errors", "best_test_errors", "final_test_errors", "best_validation_error", "read_outs")
    told = run.get("lacks", {})
    if run["finished"] and (lacking := [name for name in measured if run[name] is None and name not in told]):
        raise InputError(f"{path} is not the record of a finished run (no {lacking[0]}); record the run again.")
    return run


def chosen(runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The finished run whose net did best on validation images: the rule for what is shipped never looks at test."""
    finished = [run for run in runs if run["finished"]]
    return min(finished, key=lambda run: run["best_validation_error"], default=None)


def train_and_record(
    folder: str | Path, dataset: Dataset, preset: Preset, seeds: Sequence[int] = SEEDS, progress: bool = True
) -> None:
    """Train a preset for each seed, or go on where that was stopped, and record every run in the folder.

    Side by side, as many as there are cores, which share them; on a GPU one after the other. What goes wrong with one
    seed is not the others' trouble: raises InputError, when all have ended, for those that failed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = min(len(seeds), cores) if backend.current().name == "numpy" else 1
    runs = [(Path(folder), dataset, preset, seed, progress, place) for place, seed in enumerate(seeds)]
    if at_once < 2:
        troubles = [_trouble(_train_one, *run) for run in runs]
    else:
        with _threads(cores // at_once), ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
            troubles = [_trouble(future.result) for future in [pool.submit(_train_one, *run) for run in runs]]
    if failed := [f"seed {seed}: {why}" for seed, why in zip(seeds, troubles, strict=True) if why]:
        raise InputError("; ".join(failed))


def _train_one(folder: Path, dataset: Dataset, preset: Preset, seed: int, progress: bool, place: int) -> None:
    out = folder / f"{preset.name}-seed{seed}"
    run = train.Run(preset, dataset, seed, out, resume=True)
    run.progress.place, run.progress.title = place, f"seed {seed}, "
    run.train(progress)
    record.write(record.of_run(out, dataset), f"{out}.json")


def _trouble(work: Callable[..., Any], *given: Any) -> str:
    try:
        work(*given)
    except Exception as error:  # of whatever kind, the others go on
        return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Let processes that are started meanwhile multiply matrices on so many threads each."""
    before = {name: os.environ.get(name) for name in BLAS}
    os.environ.update(dict.fromkeys(BLAS, str(n)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def record_runs(folder: str | Path, dataset: Dataset) -> None:
    """Write the record of each run in a folder, finished or not: of paper-seed0 as paper-seed0.json beside it.

    A finished run is recorded once. Raises InputError if there is no such run.
    """
    found = [out for name in PROTOCOLS for out in sorted(Path(folder).glob(f"{name}-seed*")) if out.is_dir()]
    if not found:
        raise InputError(f"{folder} holds no run called paper-seed0 or the like; train one, or use --from-scratch.")
    for out in found:
        path, net = Path(f"{out}.json"), out / "net.npz"
        if not (net.exists() and path.exists() and path.stat().st_mtime > net.stat().st_mtime):
            record.write(record.of_run(out, dataset), path)


def standing(run: dict[str, Any]) -> str:
    """Which seed a run is of and how far it has come, in words."""
    if run["finished"]:
        return f"seed {run['seed']}, finished"
    if not run["rows"]:
        return f"seed {run['seed']}, just begun"
    last = run["rows"][-1]
    return f"seed {run['seed']}, under way: {last['stage']}, epoch {last['epoch']}"


def net_and_forebear(runs: Sequence[dict[str, Any]], folder: str | Path | None) -> tuple[Path, Path | None]:
    """The files of the net to measure and of what it was after greedy learning: of a folder of runs, or as shipped.

    In a folder it is the run of the paper preset that `chosen` names; what ships stands in while none has finished.
    """
    best = chosen(runs) if folder else None
    if folder and best:
        out = Path(folder, f"paper-seed{best['seed']}")
        return out / "net.npz", out / "greedy.npz"
    try:
        return store.shipped(), places.shipped("trained/greedy.npz")
    except InputError:
        return store.shipped(), None
