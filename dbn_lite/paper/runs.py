"""The runs that the scoreboard is made of: trained, recorded, found again, and the one that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import places, store, train
from ..dataset import Dataset
from ..errors import InputError
from ..presets import preset_named
from . import record

SEEDS = (0, 1, 2)  # fixed before the first of them was run; all are reported


def results_folder() -> Path:
    """Where the recorded runs are that came with this copy of the library."""
    return places.shipped("registry.json").parent / "results"


def recorded_runs(folder: str | Path, data: str = "mnist") -> list[dict[str, Any]]:
    """The records of the paper preset in a folder that are on `data`, by seed; raises InputError for a damaged one."""
    runs = [_read(path) for path in Path(folder).glob("paper-seed*.json")]
    return sorted((r for r in runs if r["settings"]["data"].split(",")[0] == data), key=lambda r: r["seed"])


def _read(path: Path) -> dict[str, Any]:
    run = record.read(path, record.OF_RUN)
    record.expect_validated(run["rows"], path)
    measured = ("greedy_test_errors", "best_test_errors", "final_test_errors", "best_validation_error", "read_outs")
    if run["finished"] and (lacking := [name for name in measured if run[name] is None]):
        raise InputError(f"{path} is not the record of a finished run (no {lacking[0]}); record the run again.")
    return run


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


def net_and_forebear(runs: Sequence[dict[str, Any]], folder: str | Path | None) -> tuple[Path, Path | None]:
    """The files of the net to measure and of what it was after greedy learning: of a folder of runs, or as shipped.

    In a folder it is the run that `chosen` names; the shipped ones stand in while none has finished.
    """
    best = chosen(runs) if folder else None
    if folder and best:
        out = Path(folder, f"paper-seed{best['seed']}")
        return out / "net.npz", out / "greedy.npz"
    try:
        return store.shipped(), places.shipped("trained/greedy.npz")
    except InputError:
        return store.shipped(), None
