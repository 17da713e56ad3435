"""How well a net dreams: chains with a label held on, judged by a reader that is not the net itself.

A dream is faint if it has less ink than digits have, right if its nearest training images show the label that was held,
and another digit otherwise. Two more figures keep a chain that is stuck at one picture from counting as good: how far
the dreams of a class lie apart, and how far each is from the training image nearest to it, both beside what holds for
real digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..dataset import Dataset
from ..dbn import DBN, down_pass, memory_step, start_from_noise, up_pass
from ..errors import InputError, whole

STARTS = ("noise", "digits", "top")
NEIGHBOURS = 3  # training images that vote on what a dream shows
FAINT = 0.001  # the share of test images with less ink than a page that is called faint


def begin(net: DBN, start: str, labels: np.ndarray, dataset: Dataset, rng: backend.Random | int = 0) -> Array:
    """States of the memory, (n, pen + lab), for chains that hold `labels` (n,) on.

    From an up-pass of random pixels ("noise", figure 9), of test images of the class ("digits"), or from top units of
    which each is on with probability one half ("top", the authors' own demonstration). Raises InputError for any other
    start.
    """
    ops, rng = backend.current(), backend.stream(rng, "dreams")
    if start not in STARTS:
        raise InputError(f"chains do not start from {start!r}; choose one of {', '.join(STARTS)}.")
    penlab = start_from_noise(net, labels.tolist(), len(labels), rng)
    if start == "digits":
        turn = [np.sum(labels[:i] == label) for i, label in enumerate(labels)]
        of_class = {label: np.flatnonzero(dataset.test_labels == label) for label in set(labels.tolist())}
        rows = [of_class[label][i % len(of_class[label])] for i, label in zip(turn, labels.tolist(), strict=True)]
        penlab[:, : net.n_pen] = up_pass(net, dataset.test_images[rows], rng)
    elif start == "top":
        coins = ops.sample(ops.zeros(len(labels), net.top.n_hid), ops.zeros(net.top.n_hid), rng)
        pen = coins @ net.top.W[: net.n_pen].T
        penlab[:, : net.n_pen] = ops.sample(pen, net.top.vis_bias[: net.n_pen], rng)
    return penlab


def dream(
    net: DBN,
    start: str,
    labels: np.ndarray,
    dataset: Dataset,
    after: Sequence[int],
    rng: backend.Random | int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
    """The images that chains with these labels held stand for, (n, vis), after so many Gibbs iterations each."""
    ops, rng, done = backend.current(), backend.stream(rng, "dreams"), 0
    penlab = begin(net, start, labels, dataset, rng)
    for n in sorted(whole("after", n, 0) for n in after):
        for _ in range(n - done):
            memory_step(net, penlab, rng, clamped=True)
        done = n
        yield n, ops.to_numpy(down_pass(net, penlab[:, : net.n_pen], rng))


def faint(images: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Which pages, (n, vis), have less ink than digits have, that is, than 999 of 1,000 test images: (n,)."""
    return images.sum(axis=1) < np.quantile(dataset.test_images.sum(axis=1), FAINT)


def judge(images: np.ndarray, labels: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """What dreams (n, vis) of these labels are worth: counts of faint, right and another, and two distances.

    `spread` is the mean distance between two dreams of a class that are not faint, `nearest` the mean distance to the
    nearest training image, each divided by the same figure for as many test images of each class.
    """
    empty = faint(images, dataset)
    near, guesses = _neighbours(images, dataset)
    right = ~empty & (guesses == labels)
    real = np.concatenate([np.flatnonzero(dataset.test_labels == k)[: np.sum(labels == k)] for k in np.unique(labels)])
    real_images, real_labels = dataset.test_images[real], dataset.test_labels[real]
    nearest = float(near[~empty].mean()) if (~empty).any() else None
    return {
        "dreams": len(labels),
        "faint": int(empty.sum()),
        "right": int(right.sum()),
        "another": int((~empty & ~right).sum()),
        "spread": _ratio(_spread(images[~empty], labels[~empty]), _spread(real_images, real_labels)),
        "nearest": _ratio(nearest, float(_neighbours(real_images, dataset)[0].mean())),
    }


def _ratio(ours: float | None, real: float | None) -> float | None:
    return None if ours is None or not real else round(ours / real, 3)


def _neighbours(images: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The Euclidean distance to the nearest training image, and the class that most of the nearest few have."""
    train, labels = dataset.train_images, dataset.train_labels
    squares = (train**2).sum(axis=1) - 2 * images @ train.T + (images**2).sum(axis=1)[:, None]
    order = np.argpartition(squares, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    votes = np.stack([np.bincount(labels[few], minlength=dataset.n_classes) for few in order])
    near = np.linalg.norm(images[:, None] - train[order], axis=2).min(axis=1)  # the squares above are rounded
    return near, votes.argmax(axis=1)


def _spread(images: np.ndarray, labels: np.ndarray) -> float | None:
    """The mean distance between two images of one class; None where no class has two."""
    apart = [
        np.linalg.norm(one - other)
        for k in np.unique(labels)
        for i, one in enumerate(images[labels == k])
        for other in images[labels == k][:i]
    ]
    return float(np.mean(apart)) if apart else None


def measure(
    net: DBN, dataset: Dataset, each: int = 10, after: Sequence[int] = (100, 1000), seed: int = 0
) -> list[dict[str, Any]]:
    """A row for each start and number of Gibbs iterations: what `judge` says of `each` chains for each label."""
    dataset.expect_test()
    if (dataset.n_classes, dataset.test_images.shape[1]) != (net.n_labels, net.sizes[0]):
        raise InputError(f"the net is not one of {dataset.name}; give the data set that it was trained on.")
    labels = np.repeat(np.arange(net.n_labels), whole("each", each))
    return [
        {"start": start, "after": n, **judge(images, labels, dataset)}
        for start in STARTS
        for n, images in dream(net, start, labels, dataset, after, seed)
    ]
