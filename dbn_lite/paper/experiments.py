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

from .. import provenance, store, train
from ..dataset import Dataset
from ..errors import InputError
from ..files import NUMBER, count, expect_folder
from ..presets import Preset, preset_named
from . import record

RAISED, KEPT = "3, 6, 10", "3, 3, 3"  # the arms, as the record calls them
OF_EFFECT = {"ends": {RAISED: {"*": NUMBER}, KEPT: {"*": NUMBER}}, "rows": [{"seed": count()}]}
LAST = 5  # epochs that the figure at the end is a mean over


def k_effect(runs: Sequence[str | Path], dataset: Dataset, out: str | Path, progress: bool = True) -> dict[str, Any]:
    """Up-down with 3, 6 and 10 Gibbs iterations against a control that keeps 3, at the same rates for as many epochs.

    Each of `runs`, the folder of a finished run of the paper preset, is one arm. Its control goes on from the weights
    that the run had after its first stage of up-down, and differs in nothing but the iterations: rates, epochs and the
    order of mini-batches are the run's. The controls and the record, k-effect.json, are in the folder `out`; called
    again, it goes on where it stopped, and what is recorded there of other seeds stays. Raises InputError for a folder
    of no such run on this data, and for two of one seed.
    """
    expect_folder(out)
    paper, seeds = preset_named("paper"), [_seed_of(run, dataset) for run in runs]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"the runs have the seeds {seeds}; give one of each seed.")
    at = [i for i, stage in enumerate(paper.stages) if not stage.layer and not stage.all_images]
    stem, until = paper.stages[at[0]], at[-1] + 1
    kept = [replace(stage, n_gibbs=stem.n_gibbs) for stage in paper.stages[at[1] : until]]
    control = replace(paper, name=KEPT, stages=(*paper.stages[: at[1]], *kept))
    over = {stage.name for stage in paper.stages[at[0] : until]}
    path = Path(out) / "k-effect.json"
    nothing: dict[str, Any] = {"ends": {RAISED: {}, KEPT: {}}, "rows": []}
    before = record.read(path, OF_EFFECT) if path.exists() else nothing
    ends = {arm: {s: e for s, e in of.items() if s not in map(str, seeds)} for arm, of in before["ends"].items()}
    rows = [row for row in before["rows"] if row["seed"] not in seeds]
    result: dict[str, Any] = {"ends": ends}
    for folder, seed in zip(map(Path, runs), seeds, strict=True):
        started, after = folder / f"{stem.name}.npz", Path(out) / f"seed{seed}"
        _from_net(started, at[1], control, dataset, seed, after, progress)
        arms = {RAISED: [row for row in record.epochs(folder) if row["stage"] in over], KEPT: record.epochs(after)}
        for arm, log in arms.items():
            rows += [{"arm": "both" if row["stage"] == stem.name else arm, "seed": seed, **row} for row in log]
            ends[arm][str(seed)] = round(float(np.mean([r["validation_error"] for r in log[-LAST:]])), 4)
        record.write(result | provenance.origin() | {"rows": rows}, path)
    return result


def left_running(
    folder: str | Path, dataset: Dataset, out: str | Path, epochs: int = 100, rate: float = 1e-4, progress: bool = True
) -> dict[str, Any]:
    """Go on with the last net of a run on all images, at a very small rate: the band of its test error.

    `folder` is that of a finished run of the paper preset, whose last stage goes on but for its rate and its end. The
    run and the record, left-running.json, are in the folder `out`; called again, it goes on where it stopped. Raises
    InputError like `k_effect`.
    """
    expect_folder(out)
    paper, seed, out = preset_named("paper"), _seed_of(folder, dataset), Path(out)
    at = len(paper.stages) - 1
    last = replace(
        paper.stages[at],
        name="left running",
        epochs=epochs,
        learning_rate=(rate, rate),
        until_matched=False,
        record_every=1,
    )
    preset = replace(paper, name="left running", stages=(*paper.stages[:at], last))
    run = _from_net(Path(folder) / "net.npz", at, preset, dataset, seed, out / "run", progress)
    rows = record.epochs(run.out)
    fewest = min(rows, key=lambda row: row["train_error"])
    result = {
        "settings": {"learning_rate": rate, "epochs": epochs, "seed": seed},
        "test_error_at_fewest_training_errors": fewest["test_error"],
    }
    record.write(result | provenance.origin() | {"seconds": run.seconds, "rows": rows}, out / "left-running.json")
    return result


def _seed_of(folder: str | Path, dataset: Dataset) -> int:
    about = store.read_meta(Path(folder) / "net.npz")
    data, preset = str(about.get("data")).split(",")[0], about.get("preset")
    if data != dataset.name or preset != preset_named("paper").as_json() or "seed" not in about:
        raise InputError(f"{folder} is no run of the paper preset on {dataset.name}; give the folder of one.")
    return int(about["seed"])


def _from_net(
    start: Path, at: int, preset: Preset, dataset: Dataset, seed: int, out: Path, progress: bool
) -> train.Run:
    """The stages of a preset from the one numbered `at` on, from a net on disk."""
    run = train.Run(preset, dataset, seed, out, resume=True)
    if not run.stage_index:  # it was made just now
        run.skip_to(at, store.load(start))
    run.train(progress)
    return run
