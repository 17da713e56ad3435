"""A row of table 1: what it is, what a run of it is given, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dataset import Dataset
from .pieces import Pieces


@dataclass
class Job:
    """What a run is given: how large it is to be, its seed, and the folder for what is finished."""

    folder: Path
    size: int
    seed: int = 0
    say: Callable[[str], None] = lambda line: None

    def pieces(self, settings: dict[str, Any], shared: str) -> Pieces:
        """The folder of a run with these settings; rows that name the same `shared` work share it."""
        return Pieces(self.folder / shared, settings | {"seed": self.seed}, self.say)

    def rng(self, *key: int) -> np.random.Generator:
        """Random numbers of their own for each key."""
        return np.random.default_rng([self.seed, *key])

    def validation(self, digits: Dataset) -> NDArray[np.int64]:
        """The numbers of the training images held out to choose settings, a sixth of all (MNIST: 10,000)."""
        n = len(digits.train_labels)
        return np.sort(self.rng(0).permutation(n)[: n // 6])


@dataclass
class Outcome:
    """What came out: the predictions of each repeat, uint8 (n_test,), how they came about, and what else was found.

    255 marks a test image that was not tried. Repeats differ in what the paper leaves to chance: a seed, or which
    images were drawn.
    """

    predictions: list[NDArray[np.uint8]]
    settings: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    pieces: list[Pieces] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A row as the paper has it, and how it is run here.

    `size` is the full size, counted in `unit`; the cost grows as its power `growth`. `year` and `source` say where
    the paper's figure comes from, `departs` where the run goes its own way.
    """

    name: str
    task: str
    method: str
    paper_error: float
    year: int
    source: str
    departs: str
    size: int
    unit: str
    run: Callable[[Dataset, Job], Outcome]
    growth: float = 1.0
