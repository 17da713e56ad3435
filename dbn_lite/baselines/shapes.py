"""Shape contexts: digits as points along their outlines, matched one to one, bent into each other, and compared.

After Belongie, Malik and Puzicha; where they give a number it is theirs. A point's shape context says how the other
points lie about it: a histogram over 12 directions and 5 distances, finer near by.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..data import Dataset
from .neighbours import nearest, vote
from .pieces import Arrays
from .record import UNTRIED
from .row import Job, Outcome

N_POINTS = 100
DIRECTIONS, EDGES = 12, np.geomspace(1 / 8, 2, 5)  # of the histogram; the edges in units of the mean distance
LOOSE, LOOSE_COST = 25, 0.25  # points of each shape that may stay without a partner, and what each costs
ANGLE_SHARE = 0.1  # of the cost of a pair of points is in the directions of their outlines
STIFFNESS = (1000.0, 1.0, 1.0)  # in the rounds of matching and bending; the first is nearly an affine map
WEIGHTS = (1.6, 1.0, 0.3)  # of appearance, shape contexts and bending in the distance of two digits
PROTOTYPES, CANDIDATES = 20_000, 200
Floats = NDArray[np.float64]


class Shape(NamedTuple):
    """A digit: points (N_POINTS, 2) along its outline, column then row, the outline's direction there, its image."""

    points: Floats
    angles: Floats
    image: NDArray[np.float32]


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
    return Shape(starts[segment] + share[:, None] * step[segment], np.arctan2(*step[segment].T[::-1]), image)


def contexts(points: Floats) -> NDArray[np.uint8]:
    """The shape context of each point: how many of the others lie in each of 60 places about it, (N_POINTS, 60).

    Points farther away than twice the mean distance are not counted.
    """
    d = (points[None] - points[:, None]).astype(np.float32)
    far = np.hypot(d[..., 0], d[..., 1])
    ring = np.searchsorted((EDGES * max(far.mean(), 1e-9)).astype(np.float32), far, side="right")
    direction = (np.arctan2(d[..., 1], d[..., 0]) * (DIRECTIONS / (2 * np.pi)) % DIRECTIONS).astype(int) % DIRECTIONS
    inside = (ring < len(EDGES)) & ~np.eye(len(points), dtype=bool)
    row = np.nonzero(inside)[0]
    bins = (row * len(EDGES) + ring[inside]) * DIRECTIONS + direction[inside]
    counts = np.bincount(bins, minlength=len(points) * len(EDGES) * DIRECTIONS)
    return counts.reshape(len(points), -1).astype(np.uint8)


def _exponentials() -> NDArray[np.float32]:
    """A table (N_POINTS, 20) of f with sum_k f[h, k] f[g, k] = h g / (h + g) for counts h and g.

    It is the integral of h e^(-h t) g e^(-g t) over t, taken at 20 places that are equally far apart in log t.
    """
    places = np.linspace(-12, 2, 20)
    t, step = np.exp(places), places[1] - places[0]
    counts = np.arange(N_POINTS)[:, None]
    return (np.sqrt(t * step) * counts * np.exp(-t * counts)).astype(np.float32)


TABLE = _exponentials()


def costs(h: NDArray[np.uint8], g: NDArray[np.uint8], a: Floats, b: Floats) -> Floats:
    """What it costs to pair each point of one shape with each of another, (n, n), from 0 to 1.

    Most of it is the chi-squared distance of the contexts h and g, the rest the difference of the directions a and b.
    As (h - g)^2 / (h + g) = h + g - 4 h g / (h + g), the chi-squared distances are one product of matrices.
    """
    shared = TABLE[h].reshape(len(h), -1) @ TABLE[g].reshape(len(g), -1).T
    chi = (0.5 * (h.sum(1)[:, None] + g.sum(1)) - 2 * shared) / (N_POINTS - 1)
    turned = 0.5 * (1 - np.cos(a[:, None] - b))
    return (1 - ANGLE_SHARE) * chi + ANGLE_SHARE * turned


def match(cost: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest way to give points of two shapes partners, one to one; LOOSE of each may go without.

    Returns the numbers of the partners, pair by pair.
    """
    n, m = cost.shape
    square = np.full((n + LOOSE, m + LOOSE), LOOSE_COST)
    square[:n, :m] = cost
    rows, columns = linear_sum_assignment(square)
    real = (rows < n) & (columns < m)
    return rows[real], columns[real]


class Spline:
    """The thin plate that takes points `source` near to `target` (n, 2); a larger `stiffness` lets it bend less."""

    def __init__(self, source: Floats, target: Floats, stiffness: float) -> None:
        n, self.source = len(source), source
        self.K = _plate(source, source)
        P = np.column_stack([np.ones(n), source])
        system = np.block([[self.K + stiffness * np.eye(n), P], [P.T, np.zeros((3, 3))]])
        wanted = np.vstack([target, np.zeros((3, 2))])
        try:
            solved = np.linalg.solve(system, wanted)
        except np.linalg.LinAlgError:  # the points lie in a line, or are too few
            solved = np.linalg.lstsq(system, wanted, rcond=None)[0]
        self.w, self.affine = solved[:n], solved[n:]

    def __call__(self, points: Floats) -> Floats:
        """Where the plate takes points (n, 2)."""
        return np.column_stack([np.ones(len(points)), points]) @ self.affine + _plate(points, self.source) @ self.w

    def bending(self) -> float:
        """How much it is bent: 0 for an affine map; the same at every size."""
        return float(np.einsum("ij,ik,kj->j", self.w, self.K, self.w).mean())


def _plate(a: Floats, b: Floats) -> Floats:
    """r^2 log r^2 for the distances r of all pairs of points."""
    squared = ((a[:, None] - b) ** 2).sum(2)
    return squared * np.log(np.maximum(squared, 1e-12))


def terms(a: Shape, b: Shape, h: NDArray[np.uint8], g: NDArray[np.uint8]) -> Floats:
    """How far a is from b in appearance, in shape contexts and in bending, (3,); h and g are their contexts."""
    scale = float(np.hypot(*(b.points[:, None] - b.points).T).mean()) ** 2
    cost = costs(h, g, a.angles, b.angles)
    for stiffness in STIFFNESS:
        mine, theirs = match(cost)
        spline = Spline(a.points[mine], b.points[theirs], scale * stiffness)
        cost = costs(contexts(spline(a.points)), g, a.angles, b.angles)
    mine, theirs = match(cost)
    return np.array([_appearance(a, b, mine, theirs), cost.min(0).mean() + cost.min(1).mean(), spline.bending()])


def _appearance(a: Shape, b: Shape, mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """The mean squared difference of grey about partners, in windows of 5 x 5 pixels with a Gaussian weight."""
    away = np.array([(x, y) for y in range(-2, 3) for x in range(-2, 3)], float)
    weight = np.exp(-(away**2).sum(1) / 2)
    grey_a, grey_b = (_grey(s.image, s.points[i][:, None] + away) for s, i in ((a, mine), (b, theirs)))
    return float(((grey_a - grey_b) ** 2 @ weight).mean() / weight.sum())


def _grey(image: NDArray[np.float32], places: Floats) -> Floats:
    """The image between its pixels, at places (..., 2), column then row; 0 outside."""
    padded = np.pad(image, 3)
    x, y = np.moveaxis(np.clip(places + 3, 0, np.array(padded.shape)[::-1] - 1.001), -1, 0)
    i, j = y.astype(int), x.astype(int)
    down, right = y - i, x - j
    upper = padded[i, j] * (1 - right) + padded[i, j + 1] * right
    lower = padded[i + 1, j] * (1 - right) + padded[i + 1, j + 1] * right
    return upper * (1 - down) + lower * down


def shapes_row(digits: Dataset, job: Job) -> Outcome:
    """The error on `job.size` test images, every fifth of all in random order, each a piece of its own.

    A digit is compared with the CANDIDATES nearest to it in L2 of PROTOTYPES training images, and takes the class of
    the most alike.
    """
    n, n_test = len(digits.train_labels), len(digits.test_labels)
    prototypes = job.rng(0).permutation(n)[:PROTOTYPES]
    tried = job.rng(1).permutation(np.arange(0, n_test, 5))[: job.size]
    candidates = min(CANDIDATES, len(prototypes))
    pieces = job.pieces({"prototypes": len(prototypes), "candidates": candidates}, shared="shape-contexts")
    images = digits.train_images[prototypes]

    @cache
    def stored(i: int) -> tuple[Shape, NDArray[np.uint8]]:
        shape = outline(images[i].reshape(digits.shape))
        return shape, contexts(shape.points)

    def one(test: int) -> Arrays:
        near = nearest(images, digits.test_images[test : test + 1], candidates, 2)[0]
        shape = outline(digits.test_images[test].reshape(digits.shape))
        h = contexts(shape.points)
        against = ((shape, b, h, g) for b, g in (stored(int(i)) for i in near))
        return {"near": near, "terms": np.stack([terms(*pair) for pair in against])}

    predictions = np.full(n_test, UNTRIED, np.uint8)
    for test in tried:
        found = pieces.once(f"test-{test}", partial(one, int(test)))
        order = found["near"][np.argsort(found["terms"] @ np.array(WEIGHTS), kind="stable")]
        predictions[test] = vote(order[None, :1], digits.train_labels[prototypes])[0]
    settings = {"points": N_POINTS, "weights": list(WEIGHTS), "k": 1, "candidates": candidates}
    return Outcome([predictions], settings, {}, [pieces])
