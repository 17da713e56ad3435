"""Support vector machines with a polynomial kernel of degree 9, alone and retrained on shifted support vectors.

Both follow DeCoste and Schölkopf: images scaled to unit length, the kernel ((x y + 1) / 2)^9, and for the virtual
machine deskewed images, whose support vectors are shifted by up to two pixels and learnt again. Here each pair of
digits has its machine, and the 45 vote; there each digit was told from all others.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...dataset import Dataset
from ...errors import InputError
from . import distort
from .extras import needed
from .pieces import Arrays, Pieces
from .row import Job, Outcome

DEGREE = 9
FEW = 4_000  # training images to begin with; a machine takes in at most so many more at a time
MANY = 30_000  # shifted vectors to begin with, as many of them have a part in the machine; 11 GB for so many
SLACK = 2e-3  # a margin so little below 1 counts as 1; libsvm's own tolerance is half of it
COSTS = (0.5, 2.0, 8.0)  # of which validation images choose one
FOR_COST = 10_000  # training images that are enough to choose it


class Machine(NamedTuple):
    """Tells two digits apart: the first where the sum over support vectors is positive, else the second."""

    vectors: NDArray[np.float32]  # (n_vectors, n_pixels), of unit length
    coefficients: NDArray[np.float32]  # (n_vectors,)
    bias: float


def svm_row(digits: Dataset, job: Job) -> Outcome:
    """The error of 45 machines on `job.size` training images, their cost chosen on validation images."""
    train, test = unit_length(digits.train_images), unit_length(digits.test_images)
    used = training_images(digits, job)
    cost, notes, choice = choose_cost(train, digits, job, shared="svm")
    pieces = job.pieces({"cost": cost, "images": len(used)}, shared="svm")
    votes, n_vectors = vote(pieces, train[used], digits.train_labels[used], test, cost, shift=0)
    settings = {"degree": DEGREE, "cost": cost, "machines": "one for each pair of digits"}
    return Outcome(
        [votes.argmax(1).astype(np.uint8)], settings, {**notes, "support_vectors": n_vectors}, [choice, pieces]
    )


def virtual_svm_row(digits: Dataset, job: Job, shift: int = 2) -> Outcome:
    """The same on deskewed images, each machine retrained on its support vectors shifted by up to `shift` pixels."""
    train, test = (unit_length(distort.deskew(x, digits.shape)) for x in (digits.train_images, digits.test_images))
    used = training_images(digits, job)
    cost, notes, choice = choose_cost(train, digits, job, shared="virtual-svm")
    pieces = job.pieces({"cost": cost, "images": len(used), "shift": shift}, shared="virtual-svm")
    votes, n_vectors = vote(pieces, train[used], digits.train_labels[used], test, cost, shift)
    settings = {"degree": DEGREE, "cost": cost, "shift": shift, "machines": "one for each pair of digits"}
    return Outcome(
        [votes.argmax(1).astype(np.uint8)], settings, {**notes, "support_vectors": n_vectors}, [choice, pieces]
    )


def training_images(digits: Dataset, job: Job) -> NDArray[np.int64]:
    """The numbers of the training images that a run of this size uses: all, or a random part.

    Raises InputError for so few that a class is missing.
    """
    used = np.sort(job.rng(1).permutation(len(digits.train_labels))[: job.size])
    if len(np.unique(digits.train_labels[used])) < 10:
        raise InputError(f"{job.size} training images do not hold all ten digits; use some hundreds.")
    return used


def choose_cost(
    images: NDArray[np.float32], digits: Dataset, job: Job, shared: str
) -> tuple[float, dict[str, Any], Pieces]:
    """The cost with the fewest errors on the validation images after learning from FOR_COST others."""
    held_out = job.validation(digits)
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    used = job.rng(2).permutation(rest)[: min(FOR_COST, job.size)]
    labels, pieces = digits.train_labels, job.pieces({"images": len(used)}, shared=f"{shared}-cost")

    def errors(cost: float) -> Arrays:
        votes = np.zeros((len(held_out), 10), np.float32)
        for pair in combinations(range(10), 2):
            machine = fit(*of_pair(images[used], labels[used], pair), cost)
            votes += pair_votes(machine, images[held_out], pair)
        return {"errors": (votes.argmax(1) != labels[held_out]).sum()}

    found = {cost: int(pieces.once(f"cost-{cost:g}", partial(errors, cost))["errors"]) for cost in COSTS}
    return min(found, key=lambda cost: found[cost]), {"validation_errors_by_cost": found}, pieces


def vote(
    pieces: Pieces,
    train: NDArray[np.float32],
    labels: NDArray[np.uint8],
    test: NDArray[np.float32],
    cost: float,
    shift: int,
) -> tuple[NDArray[np.float32], int]:
    """The votes of all pairs of digits on the test images, (n_test, 10), one pair a piece, and all support vectors."""
    votes, n_vectors = np.zeros((len(test), 10), np.float32), 0

    def one(pair: tuple[int, int]) -> Arrays:
        machine = fit(*of_pair(train, labels, pair), cost, shift)
        return {"votes": pair_votes(machine, test, pair), "n_vectors": np.array(len(machine.vectors))}

    for pair in combinations(range(10), 2):
        found = pieces.once(f"pair-{pair[0]}{pair[1]}", partial(one, pair))
        votes += found["votes"]
        n_vectors += int(found["n_vectors"])
    return votes, n_vectors


def of_pair(
    images: NDArray[np.float32], labels: NDArray[np.uint8], pair: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The images of two digits, and +1 for the first and -1 for the second."""
    either = np.isin(labels, pair)
    return images[either], np.where(labels[either] == pair[0], 1, -1).astype(np.float32)


def kernel(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """The polynomial kernel of images of unit length, (n_x, n_y), in [0, 1]."""
    base: NDArray[np.float32] = x @ y.T
    base += 1
    base /= 2
    power = base * base
    power *= power
    power *= power
    power *= base  # ten times as fast as **
    return power


def margins(machine: Machine, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each image lies on the side of the first digit, (n,); 1 is the edge of the margin."""
    blocks = np.split(images, range(FEW, len(images), FEW))
    sums = [kernel(block, machine.vectors) @ machine.coefficients for block in blocks]
    return np.concatenate(sums) + np.float32(machine.bias)


def fit(x: NDArray[np.float32], signs: NDArray[np.float32], cost: float, shift: int = 0) -> Machine:
    """Learn to tell +1 from -1; with a shift, learn again from the support vectors and their shifted copies."""
    machine = solve(x, signs, cost, np.arange(min(len(x), FEW)))
    if shift:
        x = virtual(machine.vectors, shift)
        signs = np.tile(np.sign(machine.coefficients), len(x) // len(machine.vectors))
        hardest = np.argsort(signs * margins(machine, x))[:MANY]
        machine = solve(x, signs, cost, hardest)
    return machine


def solve(x: NDArray[np.float32], signs: NDArray[np.float32], cost: float, working: NDArray[np.int64]) -> Machine:
    """The machine of all x, found from the few that matter; `working` are the numbers of those to begin with.

    What lies outside the margin has no part in a machine. So learn from a part, take in what of the rest lies inside,
    drop what has no part, and again; when nothing of the rest lies inside, the machine is that of all.
    """
    svc = needed("sklearn.svm").SVC(C=cost, kernel="precomputed", cache_size=1000)
    while True:
        svc.fit(kernel(x[working], x[working]).astype(np.float64), signs[working])
        support = working[svc.support_]
        machine = Machine(x[support], svc.dual_coef_[0].astype(np.float32), float(svc.intercept_[0]))
        if len(working) == len(x):
            return machine
        margin = signs * margins(machine, x)
        margin[working] = 1
        inside = np.flatnonzero(margin < 1 - SLACK)
        if not len(inside):
            return machine
        working = np.concatenate([support, inside[np.argsort(margin[inside])[:FEW]]])


def virtual(vectors: NDArray[np.float32], shift: int) -> NDArray[np.float32]:
    """The vectors and their copies shifted by up to `shift` pixels in both directions, one shift after the other."""
    side = int(np.sqrt(vectors.shape[1]))
    moves = list(product(range(-shift, shift + 1), repeat=2))
    return unit_length(np.concatenate([distort.translate(vectors, (side, side), *move) for move in moves]))


def pair_votes(machine: Machine, images: NDArray[np.float32], pair: tuple[int, int]) -> NDArray[np.float32]:
    """One vote for each image, for one digit of the pair, and next to nothing of the margin to break ties, (n, 10)."""
    margin = margins(machine, images)
    votes = np.zeros((len(images), 10), np.float32)
    for digit, sign in zip(pair, (1, -1), strict=True):
        votes[:, digit] = (sign * margin > 0) + 1e-3 * np.tanh(sign * margin)
    return votes


def unit_length(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each image to length 1; an image without ink stays as it is."""
    lengths: NDArray[np.float32] = np.sqrt((images**2).sum(1, keepdims=True))
    return np.divide(images, np.maximum(lengths, 1e-9), dtype=np.float32)
