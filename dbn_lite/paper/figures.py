"""Figures 6 to 9 of the paper, drawn from a net."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .. import plot
from ..dataset import Dataset
from ..dbn import DBN, evolution_by_class, label_log_probs, predict, samples_by_class
from ..files import atomic_write
from . import record


def close_calls(net: DBN, dataset: Dataset) -> Figure | None:
    """Figure 6: test images that the net gets right, but only just, with its two best guesses; None if there are none.

    By class, as the paper sorts its figures.
    """
    log_probs = label_log_probs(net, dataset.test_images)
    cases = _by_class(record.close_calls(log_probs, dataset.test_labels), dataset.test_labels)
    best, second = np.argsort(-log_probs[cases], axis=1)[:, :2].T
    titles = [f"{one}, {other}?" for one, other in zip(best, second, strict=True)]
    return _cases(dataset, cases, titles)


def errors(net: DBN, dataset: Dataset) -> Figure | None:
    """Figure 7: the test images that the net gets wrong, by true class, each with the net's guess; None for none."""
    guess = predict(net, dataset.test_images)
    cases = _by_class(guess != dataset.test_labels, dataset.test_labels)
    return _cases(dataset, cases, guess[cases].astype(str).tolist())


def _by_class(which: np.ndarray, labels: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(which)
    return places[np.argsort(labels[places], kind="stable")]


def _cases(dataset: Dataset, cases: np.ndarray, titles: list[str]) -> Figure | None:
    if not len(cases):
        return None
    return plot.contact_sheet(dataset.test_images[cases], dataset.shape, min(len(cases), 15), titles)


def samples(net: DBN, dataset: Dataset) -> Figure:
    """Figure 8: ten samples of each class, 1,000 iterations of Gibbs sampling between them."""
    images = samples_by_class(net)
    return plot.contact_sheet(images.reshape(-1, net.sizes[0]), dataset.shape, images.shape[1])


def evolution(net: DBN, dataset: Dataset) -> Figure:
    """Figure 9: what a chain of each class has in mind, from a random image on, every 20 iterations."""
    images = evolution_by_class(net)
    return plot.contact_sheet(images.reshape(-1, net.sizes[0]), dataset.shape, images.shape[1])


PICTURES: dict[str, Callable[[DBN, Dataset], Figure | None]] = {
    "figure6-close-calls.png": close_calls,
    "figure7-errors.png": errors,
    "figure8-samples.png": samples,
    "figure9-evolution.png": evolution,
}


def draw(name: str, net: DBN, dataset: Dataset, folder: str | Path) -> list[Path]:
    """Write one of PICTURES to a folder as PNG: its path, or none where there is nothing to draw.

    Raises InputError if the file cannot be written.
    """
    figure, path = PICTURES[name](net, dataset), Path(folder, name)
    if figure is None:
        return []
    with contextlib.suppress(OSError):  # what is wrong with the folder is told when it is written to
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda file: figure.savefig(file, format="png", dpi=200))
    return [path]
