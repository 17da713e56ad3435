"""Shape contexts: digits as points along their outlines, matched one to one, bent into each other, and compared.

After Belongie, Malik and Puzicha; where they give a number it is theirs. A point's shape context says how the other
points lie about it: a histogram over 12 directions and 5 distances, finer near by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import contourpy
import numpy as np
from numpy.typing import NDArray

from ...dataset import Dataset
from .neighbours import nearest, vote
from .pieces import Arrays, Pieces
from .record import UNTRIED
from .row import Job, Outcome

N_POINTS = 100
DIRECTIONS, EDGES = 12, np.geomspace(1 / 8, 2, 5)  # of the histogram; the edges in units of the mean distance
LOOSE, LOOSE_COST = 25, 0.25  # points of each shape that may stay without a partner, and what each costs
ANGLE_SHARE = 0.1  # of the cost of a pair of points is in the directions of their outlines
STIFFNESS = (1000.0, 1.0, 1.0)  # in the rounds of matching and bending; the first is nearly an affine map
WEIGHTS = (1.6, 1.0, 0.3)  # of appearance, shape contexts and bending in the distance of two digits
WINDOW = np.array([(x, y) for y in range(-2, 3) for x in range(-2, 3)], float)  # where grey is compared, 5 x 5 pixels
NEAR = np.exp(-(WINDOW**2).sum(1) / 2) / np.exp(-(WINDOW**2).sum(1) / 2).sum()  # and how much each place counts
PROTOTYPES, CANDIDATES, BLOCK = 20_000, 200, 200
KS = (1, 3, 5)
Floats = NDArray[np.float64]
Features = tuple[NDArray[np.float32], NDArray[np.float32]]


class Shape(NamedTuple):
    """A digit: points (N_POINTS, 2) along its outline, column then row, and the outline's direction at each.

    `contexts` are those of the points, `windows` (N_POINTS, 25) the grey about each, `size` their mean distance.
    """

    points: Floats
    angles: Floats
    contexts: NDArray[np.uint8]
    windows: NDArray[np.float32]
    size: float


def outline(image: NDArray[np.float32]) -> Shape:
    """N_POINTS equally far apart along the lines where the ink is half as dark as the darkest; image (28, 28)."""
    padded = np.pad(image.astype(float), 1)
    level = max(float(padded.max()), 1e-6) / 2
    found: Any = contourpy.contour_generator(z=padded).lines(level)
    lines = [line - 1 for line in found if len(line) > 2] or [np.full((2, 2), 13.5)]  # one point if there is no ink
    steps = [np.diff(line, axis=0) for line in lines]
    starts = np.concatenate([line[:-1] for line in lines])
    step = np.concatenate(steps)
    ends = np.cumsum(np.hypot(*step.T))
    where = (np.arange(N_POINTS) + 0.5) * ends[-1] / N_POINTS
    segment = np.minimum(np.searchsorted(ends, where), len(ends) - 1)
    length = np.maximum(np.hypot(*step[segment].T), 1e-9)
    share = 1 - (ends[segment] - where) / length
    points, angles = starts[segment] + share[:, None] * step[segment], np.arctan2(*step[segment].T[::-1])
    return Shape(points, angles, contexts(points), _windows(image, points), float(_apart(points)[2].mean()))


def contexts(points: Floats) -> NDArray[np.uint8]:
    """The shape context of each point: how many of the others lie in each of 60 places about it, (N_POINTS, 60).

    Points farther away than twice the mean distance are not counted.
    """
    n, (x, y, far) = len(points), _apart(points)
    mean = max(float(far.mean()), 1e-9)
    ring = np.zeros((n, n), np.int64)
    for edge in EDGES:
        ring += far >= np.float32(edge * mean)
    np.fill_diagonal(ring, len(EDGES))  # beyond the last, with what is too far away
    turn = np.arctan2(y, x) * np.float32(DIRECTIONS / (2 * np.pi))
    direction = np.minimum(turn + DIRECTIONS * (turn < 0), DIRECTIONS - 1).astype(np.int64)
    bins = np.arange(n)[:, None] * ((len(EDGES) + 1) * DIRECTIONS) + ring * DIRECTIONS + direction
    counts = np.bincount(bins.ravel(), minlength=n * (len(EDGES) + 1) * DIRECTIONS)
    return counts.reshape(n, -1)[:, : len(EDGES) * DIRECTIONS].astype(np.uint8)


def _apart(points: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """How far apart the points of all pairs are: in columns, in rows, and in all."""
    x, y = ((at - at[:, None]).astype(np.float32) for at in np.ascontiguousarray(points.T))
    return x, y, np.sqrt(x * x + y * y)


def _table() -> NDArray[np.float32]:
    """A table (N_POINTS, 8) of f with sum_k f[h, k] f[g, k] = h g / (h + g) for counts h and g, to 0.0002.

    The matrix of all h g / (h + g) is positive, and its eigenvalues fall so fast that eight are enough.
    """
    h = np.arange(N_POINTS)[:, None]
    even = np.sqrt(np.maximum(h, 1))  # small counts, which are frequent, are to be as exact as large ones
    values, vectors = np.linalg.eigh(h * h.T / np.maximum(h + h.T, 1) / (even * even.T))
    return (even * vectors[:, -8:] * np.sqrt(values[-8:])).astype(np.float32)


TABLE = _table()


def features(h: NDArray[np.uint8]) -> Features:
    """Contexts (n, 60) looked up in TABLE, (n, 480), and how many points each counts, (n,): what `costs` is given."""
    return TABLE[h].reshape(len(h), -1), h.sum(1, dtype=np.float32)


def costs(h: Features, g: Features, turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """What it costs to pair each point of one shape with each of another, (n, n), from 0 to 1.

    Most of it is the chi-squared distance of their contexts, given as features, the rest how far they are `turned`.
    As (h - g)^2 / (h + g) = h + g - 4 h g / (h + g), the chi-squared distances are one product of matrices.
    """
    chi = 0.5 * np.add.outer(h[1], g[1]) - 2 * (h[0] @ g[0].T)
    chi *= np.float32((1 - ANGLE_SHARE) / (N_POINTS - 1))
    return chi + np.float32(ANGLE_SHARE) * turned


def match(cost: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest way to give points of two shapes partners, one to one; LOOSE of each may go without.

    cost (n, n). Returns the numbers of the partners, pair by pair. A point of the second shape is loose for each of
    the first, so that LOOSE columns are enough: what both cost is in one.
    """
    from scipy.optimize import linear_sum_assignment  # here: a page in a browser loads SciPy only if it matches shapes

    n = len(cost)
    wide = np.full((n, n + LOOSE), LOOSE_COST)
    wide[:, :n] = cost
    rows, columns = linear_sum_assignment(wide)
    real = columns < n
    return rows[real], columns[real]


class Plate:
    """A thin plate with points (n, 2) marked on it, which bends to take some of them near to where they should be."""

    def __init__(self, points: Floats) -> None:
        squared = ((points[:, None] - points) ** 2).sum(2)
        self.K = squared * np.log(np.maximum(squared, 1e-12))  # r^2 log r^2
        self.P = np.column_stack([np.ones(len(points)), points])

    def bend(self, mine: NDArray[np.int64], target: Floats, stiffness: float) -> tuple[Floats, float]:
        """Take the points numbered `mine` near to `target`; a larger `stiffness` lets the plate bend less.

        Returns where all points go, and how much the plate is bent: 0 for an affine map, the same at every size.
        """
        n, some, P = len(mine), self.K[:, mine], self.P[mine]
        K = some[mine]
        system = np.block([[K + stiffness * np.eye(n), P], [P.T, np.zeros((3, 3))]])
        wanted = np.vstack([target, np.zeros((3, 2))])
        try:
            solved = np.linalg.solve(system, wanted)
        except np.linalg.LinAlgError:  # the points lie in a line, or are too few
            solved = np.linalg.lstsq(system, wanted, rcond=None)[0]
        w, affine = solved[:n], solved[n:]
        return self.P @ affine + some @ w, float((w * (K @ w)).sum(0).mean())


def terms(a: Shape, others: Iterable[Shape]) -> Floats:
    """How far a is from each of the others in appearance, in shape contexts and in bending, (n, 3)."""
    plate, h = Plate(a.points), features(a.contexts)
    return np.array([_terms(a, plate, h, b) for b in others])


def _terms(a: Shape, plate: Plate, h: Features, b: Shape) -> tuple[float, float, float]:
    turned = (0.5 - 0.5 * np.cos(a.angles[:, None] - b.angles)).astype(np.float32)
    g, bending = features(b.contexts), 0.0
    cost = costs(h, g, turned)
    for stiffness in STIFFNESS:
        mine, theirs = match(cost)
        moved, bending = plate.bend(mine, b.points[theirs], b.size**2 * stiffness)
        cost = costs(features(contexts(moved)), g, turned)
    mine, theirs = match(cost)
    appearance = ((a.windows[mine] - b.windows[theirs]) ** 2 @ NEAR).mean()
    return float(appearance), float(cost.min(0).mean() + cost.min(1).mean()), bending


def _windows(image: NDArray[np.float32], points: Floats) -> NDArray[np.float32]:
    """The grey in the WINDOW about each point, between the pixels; 0 outside of the image."""
    padded = np.pad(image, 3)
    places = points[:, None] + WINDOW + 3
    x, y = np.moveaxis(np.clip(places, 0, np.array(padded.shape)[::-1] - 1.001), -1, 0)
    i, j = y.astype(int), x.astype(int)
    down, right = y - i, x - j
    upper = padded[i, j] * (1 - right) + padded[i, j + 1] * right
    lower = padded[i + 1, j] * (1 - right) + padded[i + 1, j + 1] * right
    return (upper * (1 - down) + lower * down).astype(np.float32)


class Gallery:
    """Prototypes to compare digits with: images (n, n_pixels) of this shape, and their labels."""

    def __init__(self, images: NDArray[np.float32], labels: NDArray[np.uint8], shape: tuple[int, int]) -> None:
        self.images, self.labels, self.shape = images, labels, shape
        self.candidates = min(CANDIDATES, len(images))
        self.outline = cache(lambda i: outline(images[i].reshape(shape)))

    def most_alike(
        self, pieces: Pieces, keys: Sequence[str], queries: NDArray[np.float32]
    ) -> dict[int, NDArray[np.uint8]]:
        """For each k the class that most of the k prototypes most alike have, (n_queries,); each query is a piece."""

        @cache
        def block(start: int) -> NDArray[np.int32]:
            return nearest(self.images, queries[start : start + BLOCK], self.candidates, 2)

        def one(i: int) -> Arrays:
            near = block(i - i % BLOCK)[i % BLOCK]
            if len(np.unique(self.labels[near])) == 1:  # whichever is most alike, the answer is the same
                return {"near": near, "terms": np.zeros((len(near), 3))}
            others = (self.outline(int(j)) for j in near)
            return {"near": near, "terms": terms(outline(queries[i].reshape(self.shape)), others)}

        found = [pieces.once(key, partial(one, i)) for i, key in enumerate(keys)]
        order = [f["near"][np.argsort(f["terms"] @ np.array(WEIGHTS), kind="stable")] for f in found]
        return {k: vote(np.reshape(order, (len(keys), self.candidates))[:, :k].astype(int), self.labels) for k in KS}


def shapes_row(digits: Dataset, job: Job) -> Outcome:
    """The error on `job.size` test images, every fifth of all in random order, each a piece of its own.

    A digit is compared with the CANDIDATES nearest to it in L2 of PROTOTYPES training images, and takes the class of
    the k most alike. Of the other training images, a fifth as many as there are test images choose k.
    """
    order, n_test = job.rng(0).permutation(len(digits.train_labels)), len(digits.test_labels)
    prototypes, held_out = order[:PROTOTYPES], order[PROTOTYPES:][: job.size // 5]
    tried = job.rng(1).permutation(np.arange(0, n_test, 5))[: job.size]
    gallery = Gallery(digits.train_images[prototypes], digits.train_labels[prototypes], digits.shape)
    pieces = job.pieces({"prototypes": len(prototypes), "candidates": gallery.candidates}, shared="shape-contexts")
    guesses = gallery.most_alike(pieces, [f"validation-{i}" for i in held_out], digits.train_images[held_out])
    wrong = {k: int((guess != digits.train_labels[held_out]).sum()) for k, guess in guesses.items()}
    k = min(wrong, key=lambda k: wrong[k])
    guesses = gallery.most_alike(pieces, [f"test-{i}" for i in tried], digits.test_images[tried])
    errors = {each: int((guess != digits.test_labels[tried]).sum()) for each, guess in guesses.items()}
    predictions = np.full(n_test, UNTRIED, np.uint8)
    predictions[tried] = guesses[k]
    settings = {"points": N_POINTS, "weights": list(WEIGHTS), "k": k, "candidates": gallery.candidates}
    return Outcome([predictions], settings, {"validation_errors_by_k": wrong, "test_errors_by_k": errors}, [pieces])
