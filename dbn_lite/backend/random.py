"""Random bits: one stream for each consumer of a seed, NumPy's own, and the GPU's on NumPy."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np


class Random:
    """A stream of random bits for NumPy: one for each consumer, from one seed.

    Two consumers of the same seed never share bits; the same seed and consumer always give the same bits.
    """

    def __init__(self, seed: int, consumer: str = "") -> None:
        self.bits = np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(consumer.encode()),)))

    def int16(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform signed 16-bit integers; four from each 64-bit draw, the cheapest noise there is."""
        n = int(np.prod(shape))
        return self.bits.random_raw(-(-n // 4)).view(np.int16)[:n].reshape(shape)

    def uniform(self, n: int) -> np.ndarray:
        """Uniform float32 numbers in [0, 1), shape (n,)."""
        return np.random.Generator(self.bits).random(n, dtype=np.float32)

    def tick(self) -> None:
        """Mark a new mini-batch (the GPU's generator counts them; this one has no need to)."""

    @property
    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON-ready values; assigning it goes back there."""
        state: dict[str, Any] = dict(self.bits.state)
        return state | {"state": {"state": [int(word) for word in state["state"]["state"]]}}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        words = np.array(state["state"]["state"], dtype=np.uint64)
        self.bits.state = state | {"state": {"state": words}}  # type: ignore[assignment]


class PhiloxRandom:
    """The GPU's random numbers, on NumPy: with them both backends take the same step.

    A counter-based generator: a number depends on the seed and the consumer (the key), the mini-batch (`step`), how
    many draws that saw before (`site`), and the element; on nothing else.
    """

    step = 0

    def __init__(self, seed: int, consumer: str = "") -> None:
        source = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(consumer.encode()),))
        self.key, self.site = source.generate_state(2), 0

    def int16(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform signed 16-bit integers, from one draw."""
        n = int(np.prod(shape))
        return self._draw(-(-n // 4)).astype(np.uint16).view(np.int16).ravel()[:n].reshape(shape)

    def uniform(self, n: int) -> np.ndarray:
        """Uniform float32 numbers in [0, 1), shape (n,), from one draw."""
        return (self._draw(n)[0] >> 8).astype(np.float32) * np.float32(2**-24)

    def tick(self) -> None:
        """Mark a new mini-batch."""
        self.step, self.site = self.step + 1, 0

    def next_site(self) -> int:
        """The number of this draw within the mini-batch."""
        self.site += 1
        return self.site - 1

    @property
    def state(self) -> dict[str, int]:
        """Where the stream stands, as JSON-ready values; assigning it goes back there."""
        return {"step": self.step, "site": self.site}

    @state.setter
    def state(self, state: dict[str, int]) -> None:
        self.step, self.site = state["step"], state["site"]

    def _draw(self, n: int) -> np.ndarray:
        """Four words for each of n counters, (4, n)."""
        counter = np.zeros((4, n), np.uint32)
        counter[0] = np.arange(n)
        counter[1], counter[2] = self.next_site(), self.step
        return philox(counter, self.key)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox4x32-10 (Salmon et al. 2011) of counters (4, n), under a key (2,), all uint32: words (4, n)."""
    c0, c1, c2, c3 = counter.astype(np.uint64)
    low, word = np.uint64(0xFFFFFFFF), np.uint64(32)
    key0, key1 = (np.uint64(k) for k in key)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> word) ^ c1 ^ key0, p1 & low, (p0 >> word) ^ c3 ^ key1, p0 & low
        key0, key1 = (key0 + np.uint64(0x9E3779B9)) & low, (key1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)
