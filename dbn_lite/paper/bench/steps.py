"""What the benchmark times: one mini-batch of one stage, by this library, by its rivals, and the floor under all.

A maker takes a `Problem` and returns a `Runner`. All rows get the same data, weights and settings, in float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ... import backend, dbn, rbm, updown

STAGES = ("greedy 1", "greedy 2", "greedy 3", "up-down k=3", "up-down k=6", "up-down k=10")


class Runner(NamedTuple):
    """One row at work: a function that does the next mini-batch, and one that shows the parameters by name."""

    step: Callable[[], object]
    weights: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """Units a layer, images a mini-batch, and how many mini-batches the data set has."""

    vis: int = 784
    hid: int = 500
    pen: int = 500
    top: int = 2000
    lab: int = 10
    batch: int = 100
    n_batches: int = 20

    def layer(self, stage: str) -> tuple[int, int, int]:
        """Visible units, hidden units and labels among the visible of a greedy stage."""
        return {
            "greedy 1": (self.vis, self.hid, 0),
            "greedy 2": (self.hid, self.pen, 0),
            "greedy 3": (self.pen + self.lab, self.top, self.lab),
        }[stage]


@dataclass
class Problem:
    """Data and starting weights of a stage, the same for every row: made from one seed."""

    stage: str
    sizes: Sizes = field(default_factory=Sizes)
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 1e-4

    def __post_init__(self) -> None:
        s, rng = self.sizes, np.random.default_rng(7)
        n = s.batch * s.n_batches
        self.images = rng.random((n, s.vis), dtype=np.float32)
        self.targets = np.eye(s.lab, dtype=np.float32)[np.arange(n) % s.lab]
        self.n_gibbs = int(self.stage.split("=")[1]) if "=" in self.stage else 1
        if self.greedy:
            self.inputs = rng.random((n, s.layer(self.stage)[0]), dtype=np.float32)
            if n_labels := s.layer(self.stage)[2]:
                self.inputs[:, -n_labels:] = self.targets

    @property
    def greedy(self) -> bool:
        """Whether the stage trains one RBM."""
        return self.stage.startswith("greedy")

    def rows(self, i: int) -> slice:
        """The rows of mini-batch i."""
        i %= self.sizes.n_batches
        return slice(i * self.sizes.batch, (i + 1) * self.sizes.batch)

    def rbm(self) -> rbm.RBM:
        """The machine of a greedy stage, on the backend in use."""
        return _machine(np.random.default_rng(8), *self.sizes.layer(self.stage))

    def net(self) -> dbn.DBN:
        """The net of an up-down stage, on the backend in use."""
        rng = np.random.default_rng(8)
        return dbn.stack(*(_machine(rng, *self.sizes.layer(f"greedy {layer}")) for layer in (1, 2, 3)))


def _machine(rng: np.random.Generator, n_vis: int, n_hid: int, n_labels: int) -> rbm.RBM:
    W, vis_bias, hid_bias = (rng.normal(scale=0.05, size=size) for size in ((n_vis, n_hid), n_vis, n_hid))
    ops = backend.current()
    return rbm.RBM(ops.asarray(W), ops.asarray(vis_bias), ops.asarray(hid_bias), n_labels)


def ours(p: Problem, rng: Any = None) -> Runner:
    """This library, its random numbers from `rng` or a stream of the backend."""
    ops, batch = backend.current(), itertools.count()
    rng = ops.random(0, "bench") if rng is None else rng
    if p.greedy:
        machine, inputs = p.rbm(), ops.asarray(p.inputs)
        learn = ops.record(rbm.ContrastiveDivergence(machine, p.sizes.batch).step)
        return Runner(
            lambda: learn(inputs[p.rows(next(batch))], rng, p.rate, p.momentum, p.decay, p.n_gibbs),
            lambda: {"W": machine.W, "vis_bias": machine.vis_bias, "hid_bias": machine.hid_bias},
        )
    net, images, targets = p.net(), ops.asarray(p.images), ops.asarray(p.targets)
    learn = ops.record(updown.UpDown(net, p.sizes.batch).step)

    def step() -> None:
        rows = p.rows(next(batch))
        learn(images[rows], targets[rows], rng, p.n_gibbs, p.rate, p.momentum, p.decay)

    return Runner(step, net.arrays)


def products(p: Problem) -> list[tuple[tuple[int, int], tuple[int, int], str]]:
    """The matrix products that remain after merging: the shapes of both operands in memory, and which is transposed.

    "nn" is a b, "nt" is a b^T, "tn" is a^T b.
    """
    s, n = p.sizes, p.sizes.batch
    if p.greedy:
        v, h, _ = s.layer(p.stage)
        gibbs = [((n, h), (v, h), "nt"), ((n, v), (v, h), "nn")] * p.n_gibbs
        return [((n, v), (v, h), "nn"), *gibbs, ((2 * n, v), (2 * n, h), "tn")]
    m = s.pen + s.lab
    up = [((n, s.vis), (s.vis, s.hid), "nn"), ((n, s.hid), (s.hid, s.pen), "nn"), ((n, m), (m, s.top), "nn")]
    gibbs = [((n, s.top), (m, s.top), "nt"), ((n, m), (m, s.top), "nn")] * p.n_gibbs
    down = [((2 * n, s.pen), (s.pen, s.hid), "nn"), ((2 * n, s.hid), (s.hid, s.vis), "nn")]
    predict = [((n, s.hid), (s.hid, s.pen), "nn"), ((n, s.vis), (s.vis, s.hid), "nn")]
    learn = [
        ((n, s.hid), (n, s.vis), "tn"),
        ((n, s.pen), (n, s.hid), "tn"),
        ((2 * n, m), (2 * n, s.top), "tn"),
        ((n, s.hid), (n, s.pen), "tn"),
        ((n, s.vis), (n, s.hid), "tn"),
    ]
    return up + gibbs + down + predict + learn


def gflop(p: Problem) -> float:
    """Arithmetic of the products of one mini-batch, in billions of operations."""
    return 2e-9 * sum(a[0] * a[1] * (b[0] if how == "nt" else b[1]) for a, b, how in products(p))


def floor(p: Problem) -> Runner:
    """The products alone, on operands that stay the same: what no program built on them can beat."""
    ops, rng = backend.current(), np.random.default_rng(0)
    held: dict[tuple[str, tuple[int, int]], backend.Array] = {}

    def operand(role: str, shape: tuple[int, int]) -> backend.Array:
        if (role, shape) not in held:
            held[role, shape] = ops.asarray(rng.random(shape, dtype=np.float32))
        return held[role, shape]

    calls = []
    for a_shape, b_shape, how in products(p):
        a, b = operand("a", a_shape), operand("b", b_shape)
        a, b = (a.T if how == "tn" else a), (b.T if how == "nt" else b)
        calls.append((a, b, operand("out " + how, (a.shape[0], b.shape[1]))))

    def step() -> None:
        for a, b, out in calls:
            ops.matmul(a, b, out=out)

    return Runner(ops.record(step), dict)
