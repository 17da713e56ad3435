"""What to train: stages, their schedules, and the presets that the command line knows by name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from .errors import InputError


@dataclass(frozen=True)
class Stage:
    """One stage of training: greedy learning of one layer (1, 2 or 3), or up-down (layer 0)."""

    name: str
    layer: int
    epochs: int
    learning_rate: tuple[float, float]  # in the first and in the last epoch, geometric between
    weight_decay: float
    momentum: tuple[float, float] = (0.5, 0.9)  # in the first five epochs, and after
    n_gibbs: int = 1
    all_images: bool = False  # also those held out for validation; starts from the best net so far
    until_matched: bool = False  # stop once the training error is down to that of the net it started from
    steady: int = 0  # epochs at the first learning rate before it starts to change
    record_every: int = 0  # epochs between two recordings of training and test error; 0 for never
    wandering: float = 0.0  # the share of the chains of a mini-batch of up-down that never go back to the data

    def rate_in(self, epoch: int) -> float:
        """The learning rate in an epoch, counted from 0: first steady, then changing by equal ratios."""
        first, last = self.learning_rate
        changing = max(0, epoch - self.steady) / max(1, self.epochs - 1 - self.steady)
        return first * (last / first) ** changing

    def momentum_in(self, epoch: int) -> float:
        """The momentum in an epoch, counted from 0."""
        return self.momentum[epoch >= 5]


@dataclass(frozen=True)
class Preset:
    """A whole training: its stages, the units of the three hidden layers for 28x28 images, the mini-batch."""

    name: str
    stages: tuple[Stage, ...]
    layers: tuple[int, int, int] = (500, 500, 2000)
    batch_size: int = 100
    sample_labels: bool = True

    def check(self, n_images: int) -> None:
        """Refuse, with InputError, a preset that cannot be run on a training set of so many images."""
        if not self.stages:
            raise InputError(f"preset {self.name} has no stages; give it at least one.")
        for i, stage in enumerate(self.stages):
            for what in ("epochs", "n_gibbs"):
                if getattr(stage, what) < 1:
                    raise InputError(f"{stage.name} has {what} = {getattr(stage, what)}; it must be at least 1.")
            if stage.layer not in (0, 1, 2, 3):
                raise InputError(f"{stage.name} has layer = {stage.layer}; give 1, 2 or 3, or 0 for up-down.")
            if min(stage.learning_rate) <= 0:
                raise InputError(f"{stage.name} has the learning rates {stage.learning_rate}; they must be above 0.")
            if not 0 <= stage.wandering <= 1 or (stage.wandering and (stage.layer or stage.n_gibbs < 2)):
                raise InputError(
                    f"{stage.name} has wandering = {stage.wandering}; give a share from 0 to 1, "
                    f"and one above 0 only to up-down with at least 2 Gibbs iterations."
                )
            if stage.until_matched and stage.record_every != 1:
                raise InputError(f"{stage.name} stops by its training error; give it record_every = 1.")
            if stage.until_matched and not stage.all_images:
                raise InputError(f"{stage.name} has no training error to match; only a stage of all images has.")
            if stage.record_every and stage.layer in (1, 2):
                raise InputError(f"{stage.name} knows no labels to be wrong about; give it record_every = 0.")
            if stage.all_images and not any(not s.layer and not s.all_images for s in self.stages[:i]):
                raise InputError(f"{stage.name} goes on from the best net; put a stage of up-down before it.")
        if not 0 < self.batch_size <= n_images:
            raise InputError(
                f"a mini-batch of {self.batch_size} does not fit {n_images} training images; choose a smaller one."
            )

    def as_json(self) -> dict[str, Any]:
        """All of it, as it reads in a file: tuples are lists there, and only chains that wander are spoken of."""
        read: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for stage in read["stages"]:
            if not stage["wandering"]:
                del stage["wandering"]  # runs that are older than the setting are still runs of this preset
        return read

    def layers_for(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """Units for images of a shape: for 16x16 three fifths as many (footnote 6)."""
        if shape == (16, 16):
            return tuple(3 * n // 5 for n in self.layers)  # type: ignore[return-value]
        return self.layers


def _greedy(epochs: int, last_rate: float = 0.1, steady: int = 0) -> tuple[Stage, ...]:
    decays = (2e-4, 2e-4, 5e-4)  # the top memory needs more, or its label weights overfit
    return tuple(
        Stage(f"greedy {layer}", layer, epochs, (0.1, last_rate), decay, steady=steady)
        for layer, decay in enumerate(decays, 1)
    )


def _top_memory(steady: int, falling: int) -> tuple[Stage, ...]:
    """The third layer in two stages: three Gibbs steps while the rate falls, for then the chain mixes slowly."""
    first, rates, momentum = _greedy(steady)[2], (0.1, 0.01), (0.9, 0.9)
    return first, Stage("greedy 3, CD-3", 3, falling, rates, first.weight_decay, momentum, n_gibbs=3)


def _up_down(n_gibbs: int, epochs: int, rates: tuple[float, float], decay: float = 1e-5, **more: Any) -> Stage:
    return Stage(f"up-down k={n_gibbs}", 0, epochs, rates, decay, momentum=(0.9, 0.9), n_gibbs=n_gibbs, **more)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("smoke", (*_greedy(1), _up_down(3, 1, (0.01, 0.01)))),
        Preset(
            "quick",
            (
                *_greedy(12),
                _up_down(3, 16, (0.02, 0.01)),
                _up_down(6, 12, (0.01, 0.005)),
                _up_down(10, 8, (0.005, 0.0005)),
            ),
        ),
        Preset(
            "paper",
            (
                *_greedy(30, last_rate=0.01, steady=20)[:2],
                *_top_memory(steady=18, falling=12),
                # gentle, with the decay of the lower layers throughout (data/results/search.json)
                _up_down(3, 100, (0.01, 0.01), 2e-4, record_every=10),
                _up_down(6, 100, (0.01, 0.01), 2e-4, record_every=10),
                _up_down(10, 100, (0.01, 0.0003), 2e-4, record_every=10),
                replace(
                    _up_down(10, 60, (0.001, 0.0003), 2e-4, record_every=1),
                    name="all images",
                    all_images=True,
                    until_matched=True,
                ),
            ),
        ),
        Preset(
            "dream",  # `paper` but for chains that wander, which allow fewer epochs
            (
                *_greedy(30, last_rate=0.01, steady=20)[:2],
                *_top_memory(steady=18, falling=12),
                _up_down(3, 60, (0.01, 0.01), 2e-4, record_every=10, wandering=0.3),
                _up_down(6, 60, (0.01, 0.01), 2e-4, record_every=10, wandering=0.3),
                _up_down(10, 60, (0.01, 0.0003), 2e-4, record_every=10, wandering=0.3),
                replace(
                    _up_down(10, 40, (0.001, 0.0003), 2e-4, record_every=1, wandering=0.3),
                    name="all images",
                    all_images=True,
                ),
            ),
        ),
    )
}


def preset_named(name: str) -> Preset:
    """The preset of that name; raises InputError, listing what there is, for any other."""
    if name not in PRESETS:
        raise InputError(f"there is no preset called {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
