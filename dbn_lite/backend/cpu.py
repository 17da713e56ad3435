"""The operations on a CPU: NumPy, in place, four random integers from each draw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .random import Random

Array = Any  # a numpy.ndarray


class _Scratch(threading.local):
    """Buffers that are kept from call to call, each thread its own: shared ones would mix the states of two."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[tuple[int, ...], type], np.ndarray] = {}


class NumPyOps:
    """The operations on NumPy arrays: float32, in place, no temporaries in the loop; threads share no scratch."""

    name = "numpy"
    xp = np
    block = 500  # images to read out at a time: few enough for the caches, many enough for the products

    def __init__(self) -> None:
        self._scratch = _Scratch()

    def asarray(self, a: Any) -> Array:
        """Bring `a` to this library as a contiguous float32 array (a copy only where one is needed)."""
        return np.ascontiguousarray(a, dtype=np.float32)

    def to_numpy(self, a: Array) -> np.ndarray:
        """Bring `a` to NumPy."""
        return np.asarray(a)

    def empty(self, *shape: int) -> Array:
        """A float32 buffer."""
        return np.empty(shape, dtype=np.float32)

    def zeros(self, *shape: int) -> Array:
        """A float32 buffer of zeros."""
        return np.zeros(shape, dtype=np.float32)

    def random(self, seed: int, consumer: str = "") -> Random:
        """A stream of random bits for one consumer of the seed."""
        return Random(seed, consumer)

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b."""
        return np.matmul(a, b, out=out)

    def logistic(self, x: Array, bias: Array) -> Array:
        """In place: x = 1 / (1 + exp(-(x + bias))), as 0.5 + 0.5 tanh((x + bias) / 2), which cannot overflow."""
        self._half_tanh(x, bias)
        x *= 0.5
        x += 0.5
        return x

    def sample(self, x: Array, bias: Array, rng: Random, out: Array | None = None, keep_probs: bool = False) -> Array:
        """Binary states: out (or x itself) = 1 with probability logistic(x + bias), else 0; returns them.

        x is overwritten, with `keep_probs` by the probabilities. Sampling does not need them: with
        t = tanh((x + bias) / 2) and a uniform 16-bit integer r, r < 32767 t happens with probability
        logistic(x + bias) to within 3.1e-5.
        """
        self._half_tanh(x, bias)
        threshold = self._buffer(x.shape, np.int16)
        state = self._buffer(x.shape, np.bool_)
        np.multiply(x, 32767, out=threshold, casting="unsafe")
        np.less(rng.int16(x.shape), threshold, out=state)
        if keep_probs:
            x *= 0.5
            x += 0.5
        out = x if out is None else out
        np.copyto(out, state)
        return out

    def softmax(self, x: Array, bias: Array) -> Array:
        """In place: the rows of x become softmax(x + bias), eq. 10."""
        x += bias
        x -= x.max(axis=1, keepdims=True)
        np.exp(x, out=x)
        x /= x.sum(axis=1, keepdims=True)
        return x

    def sample_softmax(self, x: Array, bias: Array, rng: Random) -> Array:
        """In place: one unit of each row of x turns on, unit i with probability softmax(x + bias)_i."""
        weights = np.add(x.T, bias[:, None], order="C")  # one row a unit: sums over ten short rows are quicker
        weights -= weights.max(axis=0)
        below = np.exp(weights, out=weights).cumsum(axis=0)
        chosen = (below < rng.uniform(len(x)) * below[-1]).sum(axis=0)
        x[...] = 0
        x[np.arange(len(x)), chosen] = 1
        return x

    def accumulate(
        self, parameter: Array, velocity: Array, a: Array, b: Array, rate: float, momentum: float, shrink: float
    ) -> None:
        """One step of a parameter along a^T b.

        velocity = momentum * velocity + rate * a^T b, then parameter = shrink * parameter + velocity.
        """
        gradient = self._buffer(parameter.shape, np.float32)
        np.matmul(a.T, b, out=gradient)
        gradient *= rate
        velocity *= momentum
        velocity += gradient
        if shrink != 1:
            parameter *= shrink
        parameter += velocity

    def record(self, step: Callable[..., None]) -> Callable[..., None]:
        """Prepare a step for many repetitions: here the function itself, on a GPU a captured graph."""
        return step

    def synchronize(self) -> None:
        """Wait until all that was asked for is done: here it always is."""

    def _half_tanh(self, x: Array, bias: Array) -> None:
        x += bias
        x *= 0.5
        np.tanh(x, out=x)

    def _buffer(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        buffers, key = self._scratch.buffers, (shape, dtype)
        if key not in buffers:
            buffers[key] = np.empty(shape, dtype)
        return buffers[key]
