"""This model's row: not run here but read from its recorded runs."""

from __future__ import annotations

import numpy as np

from ...dataset import Dataset
from ...errors import InputError
from .. import runs
from .row import Job, Outcome


def model_row(digits: Dataset, job: Job) -> Outcome:
    """The test predictions of every finished run of the paper preset, by seed. Raises InputError if there is none."""
    done = [run for run in runs.recorded_runs(runs.results_folder(), digits.name) if run["finished"]]
    if not done:
        raise InputError(
            f"no finished run on {digits.name} is recorded; make one with `dbn-lite reproduce --from-scratch`."
        )
    predictions = [np.array(list(run["predictions"]["final"]), np.uint8) for run in done]
    seconds = round(float(np.mean([run["seconds"] for run in done])), 1)
    settings = {"preset": "paper", "seeds": [run["seed"] for run in done]}
    return Outcome(predictions, settings, {"seconds": seconds, "cpu_seconds": None, "peak_mib": None})
