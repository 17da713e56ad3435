"""784-500-150-10 as it was reported in 1998: squared error on each output unit, the weights changed after every image.

NumPy does it, because the first layer need only touch the weights from pixels with ink.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...dataset import Dataset
from .pieces import Arrays
from .row import Job, Outcome

HIDDEN = (500, 150)
REPEATS = 2
RATES = (0.01, 0.02, 0.04)
FOR_RATE = 3, 0.3  # epochs, and share of the training images, that are enough to choose one of them
ON, OFF = 0.8, -0.8  # targets within reach of a tanh


class Online:
    """A fully connected net of tanh units, the ten of the output too, that learns from one image at a time.

    weights[i] (n_in, n_out) and biases[i] (n_out,). The error is half the sum of squared differences from the targets,
    ON for the class and OFF for the others. A `Learner` for `Pieces.chain`: a step is an epoch, and the rate falls in
    a straight line to nothing over `epochs`, or stays if they are infinite.
    """

    def __init__(
        self, images: NDArray[np.float32], labels: NDArray[np.uint8], hidden: tuple[int, ...],
        rate: float, epochs: float, seed: int,
        watched: tuple[NDArray[np.float32], NDArray[np.uint8]] | None = None,
    ) -> None:  # fmt: skip
        self.images, self.labels, self.rate, self.epochs, self.seed = images, labels, rate, epochs, seed
        sizes, rng = (images.shape[1], *hidden, 10), np.random.default_rng(seed)
        self.weights = [(rng.normal(size=(n, m)) * n**-0.5).astype(np.float32) for n, m in pairwise(sizes)]
        self.biases = [np.zeros(m, np.float32) for m in sizes[1:]]
        self.watched = watched
        self.history: list[int] = []
        self.targets = np.where(np.eye(10) > 0, ON, OFF).astype(np.float32)

    def step(self, t: int) -> None:
        """One epoch, in random order."""
        order = np.random.default_rng([self.seed, t]).permutation(len(self.labels))
        for i, example in enumerate(order):
            rate = self.rate * (1 - (t + i / len(order)) / self.epochs)
            self.learn(self.images[example], self.targets[self.labels[example]], rate)
        if self.watched:
            self.history.append(int((self.predict(self.watched[0]) != self.watched[1]).sum()))

    def learn(self, x: NDArray[np.float32], target: NDArray[np.float32], rate: float) -> None:
        """Go down the slope of the error of one image x (n_pixels,)."""
        inked, activities, deltas = self.slopes(x, target)
        for i, delta in enumerate(deltas):
            delta *= rate
            self.biases[i] -= delta
            if i:
                self.weights[i] -= np.multiply.outer(activities[i], delta)
            else:
                self.weights[0][inked] -= np.multiply.outer(activities[0], delta)

    def slopes(
        self, x: NDArray[np.float32], target: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """The pixels with ink, the activities below each layer of weights, and the slopes of the inputs above it.

        The slope of the error in a weight is the activity below it times the slope above it, and nothing for pixels
        without ink.
        """
        inked = np.flatnonzero(x)
        activities = [x[inked]]
        activities.append(np.tanh(activities[0] @ self.weights[0][inked] + self.biases[0]))
        for W, b in zip(self.weights[1:], self.biases[1:], strict=True):
            activities.append(np.tanh(activities[-1] @ W + b))
        delta = (activities[-1] - target) * (1 - activities[-1] ** 2)
        deltas = [delta]
        for W, y in zip(self.weights[:0:-1], activities[-2:0:-1], strict=True):
            delta = (W @ delta) * (1 - y**2)
            deltas.insert(0, delta)
        return inked, activities[:-1], deltas

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The class whose output is largest, (n,)."""
        y = images
        for W, b in zip(self.weights, self.biases, strict=True):
            y = np.tanh(y @ W + b)
        return y.argmax(1).astype(np.uint8)

    def arrays(self) -> Arrays:
        """Weights, biases and history."""
        kept: Arrays = {f"W{i}": W for i, W in enumerate(self.weights)}
        kept |= {f"b{i}": b for i, b in enumerate(self.biases)}
        return kept | {"history": np.array(self.history, int)}

    def restore(self, arrays: Arrays) -> None:
        """Take them back."""
        self.weights = [arrays[f"W{i}"] for i in range(len(self.weights))]
        self.biases = [arrays[f"b{i}"] for i in range(len(self.biases))]
        self.history = arrays["history"].tolist()


def online_row(digits: Dataset, job: Job) -> Outcome:
    """The error after `job.size` epochs, the rate chosen on validation images after fewer; REPEATS seeds."""
    held_out = job.validation(digits)
    rest = np.setdiff1d(np.arange(len(digits.train_labels)), held_out)
    rest = job.rng(3).permutation(rest)[: int(FOR_RATE[1] * len(rest))]
    errors, used = {}, []

    def learn(key: str, train: NDArray[np.int64] | slice, rate: float, epochs: int, seed: int) -> Online:
        net = Online(digits.train_images[train], digits.train_labels[train], HIDDEN, rate, epochs, seed)
        pieces = job.pieces({"rate": rate, "epochs": epochs, "images": len(net.labels)}, "backprop-500-150")
        pieces.chain(key, epochs, net)
        used.append(pieces)
        return net

    for rate in RATES:
        guess = learn("validation", rest, rate, FOR_RATE[0], job.seed).predict(digits.train_images[held_out])
        errors[rate] = int((guess != digits.train_labels[held_out]).sum())
    rate = min(errors, key=lambda rate: errors[rate])
    seeds = range(job.seed, job.seed + REPEATS)
    predictions = [learn(f"seed-{s}", slice(None), rate, job.size, s).predict(digits.test_images) for s in seeds]
    settings = {"rate": rate, "epochs": job.size, "batch_size": 1, "targets": [ON, OFF]}
    notes = {"validation_errors_by_rate": errors, "test_errors_by_epoch_at_steady_rate": _steady(digits, job, rate)}
    return Outcome(predictions, settings, notes, used)


def _steady(digits: Dataset, job: Job, rate: float) -> list[int]:
    """Errors on the test images after each epoch at a rate that stays: what the falling rate is worth."""
    watched = (digits.test_images, digits.test_labels)
    net = Online(digits.train_images, digits.train_labels, HIDDEN, rate, np.inf, job.seed, watched)
    job.pieces({"rate": rate, "epochs": job.size, "steady": True}, "backprop-500-150").chain("net", job.size, net)
    return net.history
