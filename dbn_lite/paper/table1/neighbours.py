"""Nearest neighbours: the class that most of the k nearest training images have, in the L2 or the L3 norm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dataset import Dataset
from ...errors import InputError
from .distort import Images, deskew
from .pieces import Arrays, Pieces
from .row import Job, Outcome
from .svm import unit_length

KEPT = 100  # neighbours of an image that are kept: enough to find those among fewer training images, too
KS = range(1, 11)
DRAWS = 20  # which 20,000 the paper does not say
BLOCK = 1000  # test images in a piece
PREPARED: dict[str, Callable[[Images], Images]] = {  # what else might be done to 28 x 28 images first
    "black and white": np.rint,
    "unit length": unit_length,
    "deskewed": partial(deskew, shape=(28, 28)),
}


def knn_row(digits: Dataset, job: Job, p: int) -> Outcome:
    """The error of k nearest neighbours among `job.size` training images, k chosen on validation images.

    All training images take part in choosing k. With fewer than all, DRAWS random subsets of the size are tried.
    """
    n, labels = len(digits.train_labels), digits.train_labels
    held_out = job.validation(digits)
    pieces, test, wrong = _search(digits, job, held_out, p, "none")
    k = min(wrong, key=lambda k: wrong[k])
    draws = [job.rng(i).choice(n, min(job.size, n), replace=False) for i in range(DRAWS if job.size < n else 1)]
    tried = {each: [vote(restrict(test, draw, n, each), labels) for draw in draws] for each in KS}
    errors = {each: [int((guess != digits.test_labels).sum()) for guess in tried[each]] for each in KS}
    notes: dict[str, Any] = {"validation_errors_by_k": wrong, "test_errors_by_k": errors}
    if p == 2 and job.size >= n:
        notes["by_preprocessing"] = {name: _prepared(digits, job, held_out, name) for name in PREPARED}
    return Outcome(tried[k], {"norm": f"L{p}", "k": k, "preprocessing": "none"}, notes, [pieces])


def _search(
    digits: Dataset, job: Job, held_out: NDArray[np.int64], p: int, prepared: str
) -> tuple[Pieces, NDArray[np.int32], dict[int, int]]:
    """The neighbours of the test images among all, and the errors of each k on validation images among the others."""
    prepare = PREPARED.get(prepared, lambda images: images)
    train, labels, n = prepare(digits.train_images), digits.train_labels, len(digits.train_labels)
    settings = {"norm": p, "kept": KEPT} | ({"prepared": prepared} if prepared in PREPARED else {})
    pieces = job.pieces(settings, shared=f"nearest-l{p}")
    test = all_nearest(pieces, "test", train, prepare(digits.test_images), p)
    validation = all_nearest(pieces, "validation", train, train[held_out], p)
    among = np.setdiff1d(np.arange(n), held_out)
    near = {k: restrict(validation, among, n, k) for k in KS}
    return pieces, test, {k: int((vote(near[k], labels) != labels[held_out]).sum()) for k in KS}


def _prepared(digits: Dataset, job: Job, held_out: NDArray[np.int64], name: str) -> dict[str, Any]:
    """What a preparation of the images is worth: errors on validation and on test images by k, and the k to choose."""
    _, test, wrong = _search(digits, job, held_out, 2, name)
    errors = {k: int((vote(test[:, :k], digits.train_labels) != digits.test_labels).sum()) for k in KS}
    return {"k": min(wrong, key=lambda k: wrong[k]), "validation": wrong, "test": errors}


def all_nearest(
    pieces: Pieces, name: str, train: NDArray[np.float32], queries: NDArray[np.float32], p: int
) -> NDArray[np.int32]:
    """The KEPT nearest of `train` for each query, nearest first, (n_queries, KEPT), a block of queries a piece."""

    def block(start: int) -> Arrays:
        return {"nearest": nearest(train, queries[start : start + BLOCK], min(KEPT, len(train)), p)}

    starts = range(0, len(queries), BLOCK)
    return np.concatenate([pieces.once(f"{name}-{i}", partial(block, i))["nearest"] for i in starts])


def nearest(train: NDArray[np.float32], queries: NDArray[np.float32], n_kept: int, p: int) -> NDArray[np.int32]:
    """The `n_kept` of n images that are nearest to each query, nearest first, (n_queries, n_kept).

    train (n, n_pixels) and queries (n_queries, n_pixels), values in [0, 1]; p is 2 or 3. One product of matrices gives
    all squared L2 distances, S = sum d^2 over the differences d of pixels. For L3 it gives a lower bound:

        sum |d|^3 >= S^2 / sum |d| >= S^2 / (sum a + sum b - 2 a b),

    by Cauchy and Schwarz, and because min(a, b) >= a b between 0 and 1. Both are equalities for black and white images.
    So only images whose bound lies below the distance of the n_kept nearest found so far are looked at in full.
    """
    found, lengths, ink = [], (train**2).sum(1), train.sum(1)
    for start in range(0, len(queries), 200):
        few = queries[start : start + 200]
        dots = few @ train.T
        squares = np.maximum((few**2).sum(1)[:, None] + lengths - 2 * dots, 0)
        if p == 2:
            found += [_smallest(row, n_kept) for row in squares]
            continue
        bounds = squares**2 / np.maximum(few.sum(1)[:, None] + ink - 2 * dots, 1e-6)
        found += [_nearest_cubed(train, query, bound, n_kept) for query, bound in zip(few, bounds, strict=True)]
    return np.stack(found).astype(np.int32)


def _nearest_cubed(
    train: NDArray[np.float32], query: NDArray[np.float32], bound: NDArray[np.float32], n_kept: int
) -> NDArray[np.int64]:
    """The nearest in L3 for one query, given lower bounds (n,) on the distances."""
    first = _smallest(bound, n_kept)
    reach = _cubed(train[first], query).max()
    inside = np.flatnonzero(bound <= reach * 1.0001 + 1e-4)  # some room for float32
    return inside[_smallest(_cubed(train[inside], query), n_kept)]


def _cubed(images: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of |a - b|^3 over the pixels, for each image."""
    d = np.abs(images - query)
    return np.einsum("ij,ij->i", d * d, d)


def _smallest(values: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Where the n smallest of the values stand, smallest first."""
    few = np.argpartition(values, n - 1)[:n]
    return few[np.argsort(values[few], kind="stable")]


def restrict(near: NDArray[np.int32], among: NDArray[np.int64], n: int, k: int) -> NDArray[np.int32]:
    """Of each row of neighbours, nearest first, keep the first k that are in `among`, (n_queries, k).

    near (n_queries, KEPT), numbers below n. Raises InputError if a row holds fewer.
    """
    allowed = np.zeros(n, bool)
    allowed[among] = True
    kept = allowed[near]
    if kept.sum(1).min() < k:
        raise InputError(f"{near.shape[1]} neighbours do not hold {k} of the {len(among)} images; keep more.")
    first = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(near, first, axis=1)


def vote(near: NDArray[np.int32], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class that most neighbours have, (n_queries,); of classes with equal votes the one with the nearest.

    near (n_queries, k), nearest first; labels of the training images.
    """
    votes = np.zeros((len(near), int(labels.max()) + 1))
    for rank, column in enumerate(near.T):
        votes[np.arange(len(near)), labels[column]] += 1 + 1e-3 * 0.5**rank
    return votes.argmax(1).astype(np.uint8)
