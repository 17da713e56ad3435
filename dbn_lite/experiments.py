"""Two experiments of section 6 that take hours, not minutes: resumable, and recorded as they go on.

Does raising the number of Gibbs iterations help (claim 6), or would more epochs alone have done it? And how far does
the test error of the last net wander while it is left running at a very small rate (claim 10)?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import record, store, train
from .data import Dataset
from .errors import InputError
from .presets import Preset, preset_named

STEM = "k=3"
ARMS = {"3, 6, 10": "k=3, 6, 10", "3, 3, 3": "k=3, 3, 3"}  # as the record calls them: their folders
LAST = 5  # epochs that the figure at the end is a mean over


def k_effect(
    starts: Sequence[str | Path], dataset: Dataset, out: str | Path, epochs: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Up-down with 3, 6 and 10 Gibbs iterations against a control that keeps 3, at the same rates for as many epochs.

    From each net in `starts`, the greedy.npz of a run: one stage with 3 iterations, then both continuations from the
    same weights. Stages are those of the paper preset, each of `epochs` where that is given. The runs and the record,
    k-effect.json, are in the folder `out`; called again, it goes on where it stopped. Raises InputError for a start
    that does not say which seed, and so which validation images, it had, and for two of one seed.
    """
    paper, seeds = preset_named("paper"), [_seed_of(start, dataset) for start in starts]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"the nets come from runs of the seeds {seeds}; give one of each seed.")
    first, *later = (
        replace(stage, epochs=epochs or stage.epochs, record_every=0)
        for stage in paper.stages
        if not stage.layer and not stage.all_images
    )
    result: dict[str, Any] = {"settings": {"epochs": epochs or first.epochs}, "ends": {arm: {} for arm in ARMS}}
    rows: list[dict[str, Any]] = []
    for start, seed in zip(starts, seeds, strict=True):
        folder = Path(out) / f"seed{seed}"
        stem = _from_net(start, replace(paper, name=STEM, stages=(first,)), dataset, seed, folder / STEM, progress)
        rows += _rows(stem, "both")
        for arm, name in ARMS.items():
            stages = later if arm == "3, 6, 10" else [replace(s, n_gibbs=3, name=f"{s.name} kept at 3") for s in later]
            preset = replace(paper, name=name, stages=tuple(stages))
            run = _from_net(folder / STEM / "net.npz", preset, dataset, seed, folder / name, progress)
            rows += _rows(run, arm)
            result["ends"][arm][str(seed)] = float(np.mean([row["validation_error"] for row in run.log[-LAST:]]))
            record.write(result | record.origin() | {"rows": rows}, Path(out) / "k-effect.json")
    return result


def left_running(
    start: str | Path, dataset: Dataset, out: str | Path, epochs: int = 100, rate: float = 1e-4, progress: bool = True
) -> dict[str, Any]:
    """Go on with the last net of a run, its net.npz, on all images at a very small rate: the band of its test error.

    After one epoch on the 44,000 images come `epochs` on all 60,000, but for the rate as in the last stage of the paper
    preset. The run and the record, left-running.json, are in the folder `out`; called again, it goes on where it
    stopped. Raises InputError like `k_effect`.
    """
    paper, seed = preset_named("paper"), _seed_of(start, dataset)
    last = replace(
        paper.stages[-1],
        name="left running",
        epochs=epochs,
        learning_rate=(rate, rate),
        until_matched=False,
        record_every=1,
    )
    first = replace(last, name="up-down", epochs=1, all_images=False, record_every=0)
    preset = replace(paper, name="left running", stages=(first, last))
    run = _from_net(start, preset, dataset, seed, Path(out) / "run", progress)
    rows = [row for row in run.log if row["stage"] == last.name]
    fewest = min(rows, key=lambda row: row["train_error"])
    result = {
        "settings": {"learning_rate": rate, "epochs": epochs, "seed": seed},
        "test_error_at_fewest_training_errors": fewest["test_error"],
    }
    record.write(result | record.origin() | {"seconds": run.seconds, "rows": rows}, Path(out) / "left-running.json")
    return result


def _seed_of(net: str | Path, dataset: Dataset) -> int:
    about = store.read_meta(net)
    if "seed" not in about or str(about.get("data")).split(",")[0] != dataset.name:
        raise InputError(f"{net} does not come from a run on {dataset.name}; give greedy.npz or net.npz of one.")
    return int(about["seed"])


def _from_net(start: str | Path, preset: Preset, dataset: Dataset, seed: int, out: Path, progress: bool) -> train.Run:
    """Run a preset that has only stages of up-down, from a net on disk in place of greedy learning."""
    run = train.Run(preset, dataset, seed, out, resume=True)
    if not (run.log or run.batch or run.stage_index):  # it has learned nothing yet
        given = store.load(start).arrays()
        for name, a in run.net.arrays().items():
            if a.shape != given[name].shape:
                raise InputError(f"{start} has {name} of shape {given[name].shape}, not {a.shape} as the preset has.")
            a[...] = given[name]
    run.train(progress)
    return run


def _rows(run: train.Run, arm: str) -> list[dict[str, Any]]:
    return [{"arm": arm, "seed": run.seed, **row} for row in run.log]
