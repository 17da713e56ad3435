"""Nets that learn by back-propagation in mini-batches: two fully connected ones, LeNet5 and Simard's convolutional net.

PyTorch does the work. All hidden units are tanh, as in their day, and all learn by gradient descent with momentum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dataset import Dataset
from ...train import Change
from .extras import needed
from .pieces import Arrays, Pieces
from .row import Job, Outcome


@dataclass(frozen=True)
class Recipe:
    """How a net learns; the rate falls in a half cosine to nothing, or stays if it is `steady`."""

    epochs: int
    rate: float
    momentum: float = 0.9
    decay: float = 0.0  # half of this times the squared weights is added to the error; biases are spared
    batch_size: int = 100
    steady: bool = False
    spread: float | None = None  # deviation of a fully connected net's first weights; 1 / sqrt(inputs) without it

    def rate_in(self, epoch: float) -> float:
        """The learning rate at a time in epochs."""
        return self.rate if self.steady else self.rate * 0.5 * (1 + np.cos(np.pi * epoch / self.epochs))


class Backprop:
    """A net that learns from images, an epoch a step; a `Learner` for `Pieces.chain`.

    images (n, n_pixels) and labels (n,). `distort` makes each epoch's images from them. After every epoch the errors
    on the `watched` images and labels are counted into `history`.
    """

    def __init__(
        self,
        net: Any,
        loss: Callable[[Any, Any], Any],
        images: NDArray[np.float32],
        labels: NDArray[np.uint8],
        recipe: Recipe,
        seed: int,
        distort: Change | None = None,
        watched: tuple[NDArray[np.float32], NDArray[np.uint8]] | None = None,
    ) -> None:
        self.torch = needed("torch")
        self.net, self.loss, self.recipe, self.seed = net, loss, recipe, seed
        self.images, self.labels, self.distort, self.watched = images, labels.astype(np.int64), distort, watched
        self.parameters = list(net.parameters())
        weights = [w for w in self.parameters if w.ndim > 1]
        biases = [w for w in self.parameters if w.ndim == 1]
        groups = [{"params": weights, "weight_decay": recipe.decay}, {"params": biases}]
        self.descent = self.torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)
        self.history: list[int] = []

    def step(self, t: int) -> None:
        """One epoch."""
        rng = np.random.default_rng([self.seed, t])
        side = round(self.images.shape[1] ** 0.5)
        order = rng.permutation(len(self.labels))
        size, n = self.recipe.batch_size, len(order)
        for start in range(0, n, size):
            batch = order[start : start + size]
            x = self.images[batch]
            x = self.distort(x, (side, side), rng) if self.distort else x
            self._descend(self.torch.from_numpy(x), self.torch.from_numpy(self.labels[batch]), t + start / n)
        if self.watched:
            self.history.append(int((self.predict(self.watched[0]) != self.watched[1]).sum()))

    def _descend(self, x: Any, y: Any, epoch: float) -> None:
        for group in self.descent.param_groups:
            group["lr"] = self.recipe.rate_in(epoch)
        self.descent.zero_grad()
        self.loss(self.net(x), y).backward()
        self.descent.step()

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The class whose output unit is most active, (n,)."""
        with self.torch.no_grad():
            blocks = [self.net(self.torch.from_numpy(images[i : i + 1000])) for i in range(0, len(images), 1000)]
        return self.torch.cat(blocks).argmax(1).numpy().astype(np.uint8)

    def arrays(self) -> Arrays:
        """Weights, momenta and history."""
        momenta = [self.descent.state[w].get("momentum_buffer") for w in self.parameters]
        kept = {f"w{i}": w.detach().numpy().copy() for i, w in enumerate(self.parameters)}
        kept |= {f"m{i}": m.numpy().copy() for i, m in enumerate(momenta) if m is not None}
        return kept | {"history": np.array(self.history, int)}

    def restore(self, arrays: Arrays) -> None:
        """Take them back."""
        for i, w in enumerate(self.parameters):
            w.data.copy_(self.torch.from_numpy(arrays[f"w{i}"]))
            if f"m{i}" in arrays:
                self.descent.state[w]["momentum_buffer"] = self.torch.from_numpy(arrays[f"m{i}"].copy())
        self.history = arrays["history"].tolist()


def layers(sizes: tuple[int, ...], seed: int, spread: float | None = None) -> Any:
    """A fully connected net of tanh units, linear at the top; `spread` is the deviation of its first weights.

    Without it, 1 / sqrt(inputs of the unit).
    """
    torch = needed("torch")
    torch.manual_seed(seed)
    parts: list[Any] = []
    for n_in, n_out in pairwise(sizes):
        linear = torch.nn.Linear(n_in, n_out)
        torch.nn.init.normal_(linear.weight, std=spread or n_in**-0.5)
        torch.nn.init.zeros_(linear.bias)
        parts += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*parts[:-1])


def softmax_loss(x: Any, y: Any) -> Any:
    """Cross-entropy of a softmax group, the mean over the batch."""
    return needed("torch.nn.functional").cross_entropy(x, y)


def logistic_loss(x: Any, y: Any) -> Any:
    """A cross-entropy for each of the ten output units on its own, their sum, the mean over the batch."""
    functional = needed("torch.nn.functional")
    targets = functional.one_hot(y, x.shape[1]).to(x.dtype)
    return functional.binary_cross_entropy_with_logits(x, targets, reduction="sum") / len(x)


# 784-500-300-10 and 784-800-10

REPEATS = 2
TRIALS = 41  # as many as this model's own settings took: the rows of data/results/search.json
RATES, DECAYS, SPREADS = (0.01, 0.3), (1e-6, 1e-3), (0.01, 0.1)  # from the gentlest to the boldest
SHARE = 0.5  # of the training images is enough to choose settings


def weight_decay_row(digits: Dataset, job: Job) -> Outcome:
    """784-500-300-10, softmax: rate, weight decay and first weights chosen on validation images; then all images."""
    search = Search(digits, job, "backprop-500-300", of_width(digits, 500, 300), softmax_loss)
    recipes = {f"trial-{i}": recipe for i, recipe in enumerate(drawn(job))}
    best, errors = search.best(recipes, SHARE)
    return search.repeat(best, REPEATS, {"trials": list(map(_told, recipes.values(), errors))})


def early_stopping_row(digits: Dataset, job: Job) -> Outcome:
    """784-800-10, ten separate cross-entropies, no decay: rate and first weights chosen in the same way.

    Then the best net learns once more, and validation images say when it stops; then all images.
    """
    search = Search(digits, job, "backprop-800", of_width(digits, 800), logistic_loss)
    recipes = {f"trial-{i}": replace(recipe, decay=0.0, steady=True) for i, recipe in enumerate(drawn(job))}
    best, errors = search.best(recipes, SHARE, min)
    history = search.validate("stopping", best)
    stopped = replace(best, epochs=1 + int(np.argmin(history)))
    notes = {"trials": list(map(_told, recipes.values(), errors)), "validation_errors_by_epoch": history}
    return search.repeat(stopped, REPEATS, notes)


def drawn(job: Job) -> list[Recipe]:
    """Settings drawn at random, each alike on a logarithmic scale, as many as `TRIALS`."""
    low, high = np.log([RATES, DECAYS, SPREADS]).T
    of_trial = np.exp(job.rng(4).uniform(low, high, (TRIALS, 3)))
    rounded = [[float(f"{x:.3g}") for x in trial] for trial in of_trial]
    return [Recipe(job.size, rate, decay=decay, spread=spread) for rate, decay, spread in rounded]


def of_width(digits: Dataset, *hidden: int) -> Callable[[int, Recipe], Any]:
    """What makes a net of so many hidden units a layer for these digits."""
    sizes = (digits.train_images.shape[1], *hidden, 10)
    return lambda seed, recipe: layers(sizes, seed, recipe.spread)


def _told(recipe: Recipe, errors: int) -> dict[str, float]:
    """A trial as it is recorded."""
    return {"rate": recipe.rate, "decay": recipe.decay, "spread": recipe.spread or 0, "validation_errors": errors}


class Search:
    """Learn on a part and look at the validation images; then learn on all and look at the test images."""

    def __init__(
        self, digits: Dataset, job: Job, name: str, make: Callable[[int, Recipe], Any],
        loss: Callable[[Any, Any], Any], distort: Change | None = None,
    ) -> None:  # fmt: skip
        self.digits, self.job, self.name, self.make = digits, job, name, make
        self.loss, self.distort = loss, distort
        self.used: list[Pieces] = []

    def _learn(self, key: str, recipe: Recipe, seed: int, train: Any, watched: Any) -> Backprop:
        images, labels = self.digits.train_images[train], self.digits.train_labels[train]
        net = self.make(seed, recipe)
        learner = Backprop(net, self.loss, images, labels, recipe, seed, self.distort, watched)
        pieces = self.job.pieces(asdict(recipe) | {"images": len(labels)}, self.name)
        pieces.chain(key, recipe.epochs, learner)
        self.used.append(pieces)
        return learner

    def validate(self, key: str, recipe: Recipe, share: float = 1.0) -> list[int]:
        """Errors on the validation images after each epoch on the others, or on a share of them."""
        held_out = self.job.validation(self.digits)
        rest = np.setdiff1d(np.arange(len(self.digits.train_labels)), held_out)
        train = np.sort(self.job.rng(3).permutation(rest)[: int(share * len(rest))])
        watched = self.digits.train_images[held_out], self.digits.train_labels[held_out]
        return self._learn(key, recipe, self.job.seed, train, watched).history

    def best(
        self, recipes: dict[str, Recipe], share: float, of: Callable[[list[int]], int] = lambda errors: errors[-1]
    ) -> tuple[Recipe, list[int]]:
        """The recipe with the fewest validation errors, those `of` its epochs, and the errors of all."""
        errors = [of(self.validate(key, recipe, share)) for key, recipe in recipes.items()]
        return list(recipes.values())[int(np.argmin(errors))], errors

    def repeat(self, recipe: Recipe, repeats: int, notes: dict[str, Any]) -> Outcome:
        """Learn from all training images, once for each of so many seeds, and predict the test images."""
        predictions = []
        for seed in range(self.job.seed, self.job.seed + repeats):
            learner = self._learn(f"seed-{seed}", recipe, seed, slice(None), None)
            predictions.append(learner.predict(self.digits.test_images))
        return Outcome(predictions, asdict(recipe), notes, self.used)
