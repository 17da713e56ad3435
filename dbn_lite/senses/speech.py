"""The spoken digits of fsdd: recordings, who speaks, what is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import sources
from ..errors import InputError
from .sound import spectrogram

WARP, STRETCH, SHIFT = 0.04, 0.15, 0.2  # how far a variant of a recording may be from it, see `spectrogram`


@dataclass(frozen=True, eq=False)
class Speech:
    """Recordings: samples from -1 to 1 of each, digits (n,), and the name of each one's speaker (n,)."""

    waves: list[NDArray[np.float32]]
    digits: NDArray[np.uint8]
    speakers: NDArray[np.str_]

    def by(self, *names: str) -> Speech:
        """The recordings of these speakers; InputError for one that is not among them."""
        for name in names:
            if name not in self.speakers:
                known = ", ".join(np.unique(self.speakers))
                raise InputError(f"there is no speaker {name!r}; choose from {known}.")
        rows = np.flatnonzero(np.isin(self.speakers, names))
        return Speech([self.waves[i] for i in rows], self.digits[rows], self.speakers[rows])

    def without(self, *names: str) -> Speech:
        """The recordings of all other speakers."""
        self.by(*names)
        return self.by(*(name for name in np.unique(self.speakers).tolist() if name not in names))

    def pictures(self) -> NDArray[np.float32]:
        """The spectrogram of each recording: (n, FRAMES * BANDS)."""
        return np.stack([spectrogram(wave) for wave in self.waves])

    def variants(self, n: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """n times the spectrograms of all recordings, each a little warped, stretched and shifted."""
        for _ in range(n):
            ways = rng.uniform(-1, 1, (len(self.waves), 3)) * (WARP, STRETCH, SHIFT)
            yield np.stack([
                spectrogram(wave, np.exp(warp), np.exp(stretch), shift)
                for wave, (warp, stretch, shift) in zip(self.waves, ways, strict=True)
            ])  # fmt: skip


def load_speech() -> Speech:
    """The 3,000 recordings of fsdd, verified; raises InputError if they are not at hand and cannot be fetched."""
    samples, lengths, digits, speakers, _, names = sources.read("fsdd", sources.find("fsdd"))
    waves: list[NDArray[np.float32]] = np.split(samples / np.float32(32768), np.cumsum(lengths)[:-1])
    return Speech(waves, digits, names[speakers])
