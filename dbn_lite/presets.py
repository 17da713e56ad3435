"""What to train: stages, their schedules, and the presets that the command line knows by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .errors import MOST, InputError, whole
from .files import NUMBER, TEXT, TRUTH, Kind, count, fault, read_json

OF_A_RUN = ("", ".", "..", "net", "greedy", "checkpoint")  # names that a file of a run has, or no file can have
MNIST_SIZE = 60_000  # images that the epochs of the presets are meant for


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
    """A whole training: its stages, the units of the three hidden layers, the mini-batch.

    The units are those for 28x28 images, see `layers_for`, unless somebody chose them: then they are taken as chosen.
    """

    name: str
    stages: tuple[Stage, ...]
    layers: tuple[int, int, int] = (500, 500, 2000)
    batch_size: int = 100
    sample_labels: bool = True
    chosen: bool = False  # the units, by somebody, for the images at hand

    def check(self, n_images: int) -> None:
        """Refuse, with InputError, a preset that cannot be run on a training set of so many images."""
        if not self.stages:
            raise InputError(f"preset {self.name} has no stages; give it at least one.")
        for i, stage in enumerate(self.stages):
            for what in ("epochs", "n_gibbs"):
                if getattr(stage, what) < 1:
                    raise InputError(f"{stage.name} has {what} = {getattr(stage, what)}; it must be at least 1.")
            if not stage.name.isprintable() or set(stage.name) & set("/\\:") or stage.name in OF_A_RUN:
                raise InputError(f"a stage is called {stage.name!r}; give it a name that its file can have in a run.")
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
        if not self.chosen:
            del read["chosen"]  # for the same reason
        return read

    @classmethod
    def from_json(cls, given: dict[str, Any] | str | Path) -> Preset:
        """The preset that `as_json` wrote, or somebody by hand, as a dict or the path of a file.

        What has a default in `Stage` and `Preset` may be left out. Layers are taken as chosen, but in what `as_json`
        wrote of a preset of this file. Raises InputError, in one sentence, for an entry that is wrong, missing or
        unknown.
        """
        what, remedy = "a preset", "write it as `dbn_lite.presets.PRESETS['quick'].as_json()` reads"
        if isinstance(given, str | Path):
            where, read = str(given), read_json(given, FILE, what, remedy=remedy)
        else:
            where, read = "it", given
            if why := fault(read, FILE):
                raise InputError(f"{where} is not {what} ({why}); {remedy}.")
        known: dict[bool, set[str]] = {True: {f.name for f in fields(cls)}, False: {f.name for f in fields(Stage)}}
        for entry in (read, *read["stages"]):
            if unknown := sorted(entry.keys() - known[entry is read]):
                raise InputError(f"{where} is not {what} (it has an unknown entry {unknown[0]!r}); {remedy}.")
        stages = tuple(Stage(**{name: _tuple(value) for name, value in stage.items()}) for stage in read["stages"])
        preset = cls(**{name: _tuple(value) for name, value in read.items()} | {"stages": stages})
        if preset == PRESETS.get(preset.name):
            return preset
        return replace(preset, chosen=read.get("chosen", "layers" in read))

    def layers_for(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """Units for images of a shape: as chosen, or for 16x16 three fifths as many as for 28x28 (footnote 6)."""
        if shape == (16, 16) and not self.chosen:
            return tuple(3 * n // 5 for n in self.layers)  # type: ignore[return-value]
        return self.layers

    def scaled(self, n_images: int) -> Preset:
        """The same training for a set of so many images: as many mini-batches as 60,000 of them would take.

        Epochs, those that are steady and those between two recordings are multiplied by 60,000 / n_images, and by 1 if
        there is one: a single epoch is a look, no schedule.
        """

        def times(epochs: int) -> int:
            return epochs if epochs <= 1 else max(1, round(epochs * MNIST_SIZE / n_images))

        stages = tuple(
            replace(s, epochs=times(s.epochs), steady=times(s.steady), record_every=times(s.record_every))
            for s in self.stages
        )
        return replace(self, stages=stages)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _numbers(n: int, what: str, low: int | None = None) -> Kind:
    each = NUMBER if low is None else count(low)
    return Kind(
        f"a list of {what}", lambda value: isinstance(value, list) and len(value) == n and all(map(each.fits, value))
    )


RATES = _numbers(2, "two numbers, for the first and the last epoch")
FILE = {
    "name": TEXT, "layers?": _numbers(3, "three whole numbers of units, at least 1 each", 1), "batch_size?": count(1),
    "sample_labels?": TRUTH, "chosen?": TRUTH,
    "stages": [{
        "name": TEXT, "layer": count(), "epochs": count(1), "learning_rate": RATES, "weight_decay": NUMBER,
        "momentum?": _numbers(2, "two numbers, for the first five epochs and after"), "n_gibbs?": count(1),
        "all_images?": TRUTH, "until_matched?": TRUTH, "steady?": count(), "record_every?": count(),
        "wandering?": NUMBER,
    }],
}  # fmt: skip


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


def preset_for(given: str | Path | Preset, data: str, n_images: int, layers: Sequence[int] | None = None) -> Preset:
    """The preset to train on a data set with: `given`, a name or the path of a .json file, with `layers` if not None.

    A named preset is meant for MNIST, and for the dreamed digits that stand in for it; on other data it is `scaled`.
    What comes as a file or as a Preset is taken as it is. Raises InputError for what is none, and for layers that are
    not three whole numbers.
    """
    if isinstance(given, Preset):
        preset = given
    elif Path(given).suffix == ".json":
        preset = Preset.from_json(given)
    else:
        preset = preset_named(str(given))
        if data not in ("mnist", "dreamed"):
            preset = preset.scaled(n_images)
    if layers is None:
        return preset
    if not isinstance(layers, Sequence) or len(layers) != 3:
        raise InputError(f"layers are {layers!r}; give the units of three hidden layers, as in (500, 500, 2000).")
    first, second, third = (whole("layers", n, most=MOST) for n in layers)
    return replace(preset, layers=(first, second, third), chosen=True)
