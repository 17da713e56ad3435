"""Beside the table: back-propagation that starts from what greedy learning made (Hinton and Salakhutdinov 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import places, store
from ...dataset import Dataset
from ...deep import to_torch
from ...errors import InputError
from ...train import split_for
from .extras import needed
from .nets import REPEATS, Recipe, Search, softmax_loss
from .row import Job, Outcome

RATES = (0.03, 0.1, 0.3, 1.0)
SHARE = 0.5  # of the training images is enough to choose one of them


def pretrained_row(digits: Dataset, job: Job) -> Outcome:
    """The shipped net after greedy learning, its rate chosen on validation images; then all images, REPEATS seeds.

    The validation images are those that greedy learning never saw. Raises InputError for images of another size.
    """
    needed("torch")
    path = places.shipped("trained/greedy.npz")
    net, about = store.load(path), store.read_meta(path)
    if net.sizes[0] != digits.train_images.shape[1]:
        raise InputError(f"{path} was trained on images of {net.sizes[0]} pixels; give a data set of such.")
    job = _HeldOut(**vars(job), numbers=held_out(digits, about["seed"], about["preset"]["batch_size"]))
    search = Search(digits, job, "dbn-backprop", lambda seed, _: to_torch(net), softmax_loss)
    best, errors = search.best({f"rate-{rate:g}": Recipe(job.size, rate) for rate in RATES}, SHARE)
    by_rate = dict(zip(RATES, errors, strict=True))
    return search.repeat(best, REPEATS, {"validation_errors_by_rate": by_rate, "net": path.name})


def held_out(digits: Dataset, seed: int, batch_size: int) -> NDArray[np.int64]:
    """The numbers of the training images that a run with that seed keeps for validation."""
    numbers: Any = np.arange(len(digits.train_labels))
    numbered: Any = SimpleNamespace(
        train_images=numbers, train_labels=digits.train_labels, n_classes=digits.n_classes
    )  # cut like the images themselves
    return np.sort(split_for(numbered, seed, batch_size).validation_images)


@dataclass
class _HeldOut(Job):
    """A job whose validation images are given."""

    numbers: Any = ()

    def validation(self, digits: Dataset) -> NDArray[np.int64]:
        return np.asarray(self.numbers)
