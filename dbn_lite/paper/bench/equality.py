"""The equality check: given the same random numbers, a rival's steps must lead to the weights that this library's do.

Without it a benchmark compares different work. The decay is large here, and there are two steps or more, so that
decay and momentum show in the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ... import backend
from ...backend.random import PhiloxRandom
from . import steps

TOLERANCE = 1e-5  # of any weight
RIVAL_STEPS, GPU_STEPS = 2, 3  # on a GPU the third is the first that replays a graph
GPU_SEED = 3  # of numbers none of which lies at the threshold that it is compared with
HARD = {"rate": 0.1, "decay": 0.1}
SMALL = {"vis": 40, "hid": 30, "pen": 25, "top": 50, "batch": 20, "n_batches": 3}
MARGIN = 100  # of 65,536

Uniform = Callable[[tuple[int, ...]], np.ndarray]


class Numbers:
    """Random numbers for this library, remembered as the uniform numbers in [0, 1) that they stand for to a rival.

    None is close to the threshold that it will be compared with: rounding must not decide about a state.
    """

    def __init__(self) -> None:
        self.source, self.drawn = np.random.default_rng(9), []  # type: np.random.Generator, list[np.ndarray]
        self.thresholds = np.zeros(1)

    def int16(self, shape: tuple[int, ...]) -> np.ndarray:
        """Signed 16-bit integers."""
        r, t = self.source.integers(-32768, 32768, size=shape), self.thresholds
        r -= np.where(np.abs(r - t) < MARGIN, 4 * MARGIN * np.where(t > 0, 1, -1), 0)
        self.drawn.append(((r + 32768.5) / 65536).astype(np.float32))
        return r.astype(np.int16)

    def uniform(self, n: int) -> np.ndarray:
        """Float32 numbers in [0, 1), shape (n,); a rival gets a column of them."""
        u = self.source.random(n, dtype=np.float32)
        self.drawn.append(u[:, None])
        return u

    def tick(self) -> None:
        """Nothing to count."""

    def replay(self) -> Uniform:
        """A source for a rival, which must ask for the same shapes in the same order."""
        left: Iterator[np.ndarray] = iter(self.drawn)

        def uniform(shape: tuple[int, ...]) -> np.ndarray:
            u = next(left)
            if u.shape != shape:
                raise ValueError(f"the rival samples {shape} where this library samples {u.shape}.")
            return u

        return uniform


class CarefulOps(backend.NumPyOps):
    """NumPy's operations, which let `Numbers` know the thresholds before it draws."""

    def sample(self, x: Any, bias: Any, rng: Any, out: Any = None, keep_probs: bool = False) -> Any:
        """As ever."""
        rng.thresholds = 32767 * np.tanh((x + bias) / 2)
        return super().sample(x, bias, rng, out, keep_probs)


def rival_differs(maker: Callable[..., steps.Runner], stage: str, sizes: steps.Sizes) -> float:
    """The largest difference between a rival's weights and this library's on NumPy after two steps."""
    p, numbers, ops = steps.Problem(stage, sizes, **HARD), Numbers(), backend.current()
    try:
        backend._current = CarefulOps()
        right = _weights_after(RIVAL_STEPS, steps.ours(p, numbers))
    finally:
        backend._current = ops
    return _difference(_weights_after(RIVAL_STEPS, maker(p, numbers.replay())), right)


def backend_differs(stage: str) -> float:
    """The largest difference between this library's weights on the backend in use and on NumPy, for a small net.

    Both draw the numbers of one counter-based generator. In a large net some state would lie at its threshold.
    """
    p, ops = steps.Problem(stage, steps.Sizes(**SMALL), **HARD), backend.current()
    there = _weights_after(GPU_STEPS, steps.ours(p, ops.random(GPU_SEED, "bench")))
    try:
        backend._current = backend.NumPyOps()
        here = _weights_after(GPU_STEPS, steps.ours(p, PhiloxRandom(GPU_SEED, "bench")))
    finally:
        backend._current = ops
    return _difference(there, here)


def _weights_after(n: int, runner: steps.Runner) -> dict[str, np.ndarray]:
    for _ in range(n):
        runner.step()
    to_numpy = backend.current().to_numpy
    return {name: np.array(to_numpy(a)) for name, a in runner.weights().items()}


def _difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    if ours.keys() != theirs.keys():
        raise ValueError(f"these have other parameters: {sorted(ours)} and {sorted(theirs)}.")
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
