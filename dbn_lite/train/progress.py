"""What is shown of a run: a bar that counts arithmetic, since mini-batches of different stages differ in cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..presets import Preset, Stage
from .folder import SEEN

if TYPE_CHECKING:
    from tqdm import tqdm

LAYOUT = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}<{remaining}]"


class Progress:
    """The bar of one run, on standard error; `sizes` (vis, hid, pen, top, lab), `n_train` and `n_all` count images."""

    def __init__(self, preset: Preset, sizes: tuple[int, ...], n_train: int, n_all: int) -> None:
        self.preset, self.sizes = preset, sizes
        self.place, self.title = 0, ""  # which line of a terminal that several runs share, and what comes first there
        self.n_batches = {False: n_train // preset.batch_size, True: n_all // preset.batch_size}

    def bar(self, stage_index: int, epoch: int, batch: int, shown: bool) -> tqdm[Any]:
        """A bar for the whole preset that stands where the run does."""
        from tqdm import tqdm  # a twentieth of a second that no other command should wait for

        tick = 0.2 if sys.stderr.isatty() else 10.0
        done = self.work(self.preset.stages[:stage_index])
        if stage_index < len(self.preset.stages):
            stage = self.preset.stages[stage_index]
            done += self.cost(stage) * (epoch * self.n_batches[stage.all_images] + batch)
        total = self.work(self.preset.stages)
        shape = {"bar_format": LAYOUT, "mininterval": tick, "position": self.place}
        return tqdm(total=total, initial=done, disable=not shown, **shape)

    def cost(self, stage: Stage) -> int:
        """Arithmetic of one mini-batch, in operations."""
        vis, hid, pen, top, lab = self.sizes
        one = {1: vis * hid, 2: hid * pen, 3: (pen + lab) * top}
        if stage.layer:
            return 2 * self.preset.batch_size * (3 + 2 * stage.n_gibbs) * one[stage.layer]
        return 2 * self.preset.batch_size * (6 * (one[1] + one[2]) + (3 + 2 * stage.n_gibbs) * one[3])

    def work(self, stages: Sequence[Stage]) -> int:
        """Arithmetic of whole stages."""
        return sum(stage.epochs * self.n_batches[stage.all_images] * self.cost(stage) for stage in stages)


def in_words(stage: Stage, epoch: int, last: dict[str, Any]) -> str:
    """Which epoch is under way, and what the last one found."""
    found = [
        f"{name.split('_')[0]} {last[name]:.2f}"
        for name in ("reconstruction_error", "validation_error", SEEN)
        if name in last
    ]
    return ", ".join([f"{stage.name}, epoch {epoch + 1}/{stage.epochs}", *found])
