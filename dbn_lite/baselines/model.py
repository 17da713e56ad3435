"""This model's row: not run here but read from its recorded runs, or else from the best net that is shipped."""

from __future__ import annotations

import numpy as np

from .. import reproduce, sources, store
from ..data import Dataset
from ..dbn import predict
from ..errors import InputError
from .row import Job, Outcome

SHIPPED = ("trained/paper.npz", "trained/quick.npz")


def model_row(digits: Dataset, job: Job) -> Outcome:
    """The test predictions of every finished run of the paper preset, by seed; of a shipped net if there is none."""
    done = [run for run in reproduce.recorded_runs(reproduce.results_folder(), digits.name) if run["finished"]]
    if not done:
        return _of_shipped(digits)
    predictions = [np.array(list(run["predictions"]["final"]), np.uint8) for run in done]
    seconds = round(float(np.mean([run["seconds"] for run in done])), 1)
    settings = {"preset": "paper", "seeds": [run["seed"] for run in done]}
    return Outcome(predictions, settings, {"seconds": seconds, "cpu_seconds": None, "peak_mib": None})


def _of_shipped(digits: Dataset) -> Outcome:
    for name in SHIPPED:
        try:
            path = sources.shipped(name)
        except InputError:
            continue
        about = store.read_meta(path)
        preset = about["preset"]["name"]
        notes = {"seconds": about["seconds"], "cpu_seconds": None, "peak_mib": None}
        notes["stand_in"] = f"the shipped net of the preset {preset!r}, as no run of the paper's is finished"
        return Outcome([predict(store.load(path), digits.test_images)], {"preset": preset}, notes)
    raise InputError("neither a finished run nor a trained net comes with this copy; check it out again.")
