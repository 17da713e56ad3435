"""The restricted Boltzmann machine, with an optional softmax group of label units, and contrastive divergence.

Energy, for visible units v and hidden units h (section 3 of the paper):

    E(v, h) = - v W h^T - v vis_bias - h hid_bias

The last `n_labels` visible units, if there are any, form one softmax group: exactly one of them is on. Activities
are rows, one for each case, of numbers from 0 to 1; a function that takes them raises InputError for any others.
Where a function draws, `rng` is a stream, `backend.current().random(seed)`, or a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import backend
from .backend import Array
from .errors import MOST, ROUNDING, InputError, whole


@dataclass(eq=False)
class RBM:
    """The parameters: W (n_vis, n_hid), vis_bias (n_vis,), hid_bias (n_hid,), and the size of the label group.

    Raises InputError if they do not fit each other.
    """

    W: Array
    vis_bias: Array
    hid_bias: Array
    n_labels: int = 0

    def __post_init__(self) -> None:
        self.W, self.vis_bias, self.hid_bias = map(_floats, (self.W, self.vis_bias, self.hid_bias))
        sizes = self.vis_bias.shape + self.hid_bias.shape
        if self.W.ndim != 2 or self.W.shape != sizes:
            raise InputError(
                f"weights of shape {self.W.shape} do not join layers with biases of {sizes}; give (n_vis, n_hid)."
            )
        self.n_labels = whole("n_labels", self.n_labels, 0)
        if self.n_labels > self.n_vis:
            raise InputError(f"{self.n_labels} label units do not fit into {self.n_vis} visible ones.")

    def __repr__(self) -> str:
        labels = f", {self.n_labels} of them labels" if self.n_labels else ""
        return f"RBM({self.n_vis} visible units{labels}, {self.n_hid} hidden)"

    @property
    def n_vis(self) -> int:
        """How many visible units, the label group included."""
        return self.W.shape[0]

    @property
    def n_hid(self) -> int:
        """How many hidden units."""
        return self.W.shape[1]


def random_rbm(n_vis: int, n_hid: int, seed: int, n_labels: int = 0, consumer: str = "weights") -> RBM:
    """A machine to start learning from: weights from a normal distribution of deviation 0.01, biases zero.

    Raises InputError for sizes below 1 and seeds below 0.
    """
    ops, n_vis, n_hid = backend.current(), whole("n_vis", n_vis, most=MOST), whole("n_hid", n_hid, most=MOST)
    stream = np.random.default_rng([whole("seed", seed, 0), *consumer.encode()])
    W = stream.normal(scale=0.01, size=(n_vis, n_hid))
    return RBM(ops.asarray(W), ops.zeros(n_vis), ops.zeros(n_hid), n_labels)


def _floats(numbers: Array) -> Array:
    """`numbers` as a float32 array of the backend, without a copy where it is that already."""
    try:
        kind = getattr(getattr(numbers, "dtype", None), "kind", None) or np.asarray(numbers).dtype.kind
        if kind not in "fiub":
            raise TypeError("its numbers are not real")
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is no activity
            return backend.current().asarray(numbers)
    except Exception as error:  # text, ragged rows, an array with a gradient or on another device
        kind = type(numbers).__name__
        raise InputError(f"a {kind} is no array of numbers here ({error}); convert it to one of NumPy's.") from error


def _rows(activities: Array, n_units: int) -> Array:
    rows = _floats(activities)
    if rows.ndim != 2 or rows.shape[1] != n_units:
        raise InputError(f"activities of shape {rows.shape} do not fit; give one row of {n_units} for each case.")
    expect_activities("activities", rows)
    return rows


def expect_activities(name: str, rows: Array) -> None:
    """Refuse, with InputError, what is no activity: numbers below 0 or above 1, but for rounding, and NaN."""
    if rows.size and not (rows.min() >= -ROUNDING and rows.max() <= 1 + ROUNDING):
        raise InputError(f"{name} reach from {float(rows.min()):.6g} to {float(rows.max()):.6g}; scale them to 0 to 1.")


def expect_step(
    batch: dict[str, tuple[Array, tuple[int, int]]], learning_rate: float, momentum: float, weight_decay: float
) -> None:
    """Refuse, with InputError, a step whose arrays would be broadcast, or whose settings cannot be learned with.

    `batch` has, for each array by name, the array and the shape that its learner was made for. What they hold is looked
    at on NumPy; within a captured graph of a GPU nothing can be.
    """
    for name, (one, shape) in batch.items():
        given = one if hasattr(one, "shape") else _floats(one)
        if np.shape(given) != shape:
            raise InputError(f"{name} have the shape {np.shape(given)}; give {shape}, one row for each case.")
        if backend.current().name == "numpy":
            expect_activities(name, _floats(given))
    if not learning_rate >= 0 or not 0 <= momentum < 1 or not weight_decay >= 0:
        raise InputError(
            f"no step can be taken at rate {learning_rate}, momentum {momentum}, decay {weight_decay}; "
            f"give a rate and a decay of 0 or more, and a momentum from 0 to below 1."
        )


def mean_h_from_v(rbm: RBM, v: Array) -> Array:
    """Probabilities of the hidden units, (n, n_hid), given visible activities v (n, n_vis)."""
    return backend.current().logistic(_rows(v, rbm.n_vis) @ rbm.W, rbm.hid_bias)


def sample_h_from_v(rbm: RBM, v: Array, rng: backend.Random | int) -> Array:
    """Binary states of the hidden units, (n, n_hid), given visible activities v (n, n_vis)."""
    rng = backend.stream(rng, "sample")
    return backend.current().sample(_rows(v, rbm.n_vis) @ rbm.W, rbm.hid_bias, rng)


def mean_v_from_h(rbm: RBM, h: Array) -> Array:
    """Probabilities of the visible units, (n, n_vis), given hidden states h (n, n_hid); labels by eq. 10."""
    ops, n = backend.current(), rbm.n_vis - rbm.n_labels
    v = _rows(h, rbm.n_hid) @ rbm.W.T
    ops.logistic(v[:, :n], rbm.vis_bias[:n])
    if rbm.n_labels:
        ops.softmax(v[:, n:], rbm.vis_bias[n:])
    return v


def sample_v_from_h(rbm: RBM, h: Array, rng: backend.Random | int) -> Array:
    """Binary states of the visible units, (n, n_vis), given h (n, n_hid); exactly one label is on."""
    ops, n, rng = backend.current(), rbm.n_vis - rbm.n_labels, backend.stream(rng, "sample")
    v = _rows(h, rbm.n_hid) @ rbm.W.T
    ops.sample(v[:, :n], rbm.vis_bias[:n], rng)
    if rbm.n_labels:
        ops.sample_softmax(v[:, n:], rbm.vis_bias[n:], rng)
    return v


def gibbs_step(rbm: RBM, v: Array, rng: backend.Random | int) -> tuple[Array, Array]:
    """One full step of alternating Gibbs sampling from v: the hidden states h and the visible states that follow."""
    rng = backend.stream(rng, "sample")
    h = sample_h_from_v(rbm, v, rng)
    return h, sample_v_from_h(rbm, h, rng)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow, whatever the size of x."""
    xp = backend.current().xp
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def free_energy(rbm: RBM, v: Array) -> Array:
    """-log sum_h exp(-E(v, h)) for each row of v (n, n_vis): shape (n,), in nats."""
    v = _rows(v, rbm.n_vis)
    return -(v @ rbm.vis_bias) - softplus(v @ rbm.W + rbm.hid_bias).sum(axis=1)


def move(parameter: Array, velocity: Array, step: Array, momentum: float, pull: float) -> None:
    """One step of a parameter in place, as `accumulate` of the backend takes it, along a gradient that is at hand."""
    velocity *= momentum
    velocity += step
    parameter *= 1 - pull
    parameter += velocity


class ContrastiveDivergence:
    """Learning by contrastive divergence (section 3): holds the buffers and the velocities, updates `rbm` in place.

    Visible activities are real values in [0, 1] and are reconstructed as such, by sampled hidden states; in a
    reconstruction exactly one label is on (section 6.1). With `sample_visible` the other visible units are sampled
    too: only then does CD-n tend to maximum likelihood as n grows, eq. 5. The statistics take the hidden
    probabilities in place of the states: their mean given the visible units is the same and their noise is less.
    With `persistent`, the negative phase goes on from where its own chain was left instead of from the data
    (persistent contrastive divergence).
    """

    def __init__(self, rbm: RBM, batch_size: int, persistent: bool = False, sample_visible: bool = False) -> None:
        ops, batch_size = backend.current(), whole("batch_size", batch_size, most=MOST)
        self.rbm, self.batch_size = rbm, batch_size
        self.persistent, self.sample_visible = persistent, sample_visible
        self.v = ops.empty(2 * batch_size, rbm.n_vis)  # rows: data above, reconstruction below
        self.h = ops.empty(2 * batch_size, rbm.n_hid)  # probabilities, the lower ones negated in the end
        self.states = ops.zeros(batch_size, rbm.n_hid)  # of the chain
        self.ones = ops.zeros(2 * batch_size, 1) + 1
        self.signs = ops.zeros(2 * batch_size, 1) + 1
        self.signs[batch_size:] = -1
        self.velocity = RBM(ops.zeros(*rbm.W.shape), ops.zeros(rbm.n_vis), ops.zeros(rbm.n_hid))

    def step(
        self,
        data: Array,
        rng: backend.Random | int,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        n_gibbs: int = 1,
    ) -> None:
        """One mini-batch, data (batch_size, n_vis): follow <v0 h0> - <vn hn>, eq. 5 with n = n_gibbs for infinity.

        The decay pulls the weights straight towards zero at the effective rate learning_rate / (1 - momentum).
        Raises InputError for data of another shape, n_gibbs below 1, or a rate, momentum or decay out of range.
        """
        n_gibbs, rng = whole("n_gibbs", n_gibbs, most=MOST), backend.stream(rng, "states")
        ops, rbm, n = backend.current(), self.rbm, self.batch_size
        expect_step({"data": (data, (n, rbm.n_vis))}, learning_rate, momentum, weight_decay)
        v0, h0, v1, h1 = self.v[:n], self.h[:n], self.v[n:], self.h[n:]
        rng.tick()
        v0[...] = data
        ops.matmul(v0, rbm.W, out=h0)
        if self.persistent:
            ops.logistic(h0, rbm.hid_bias)
        else:
            ops.sample(h0, rbm.hid_bias, rng, out=self.states, keep_probs=True)
        for i in range(n_gibbs):
            self._reconstruct(v1, rng)
            ops.matmul(v1, rbm.W, out=h1)
            if i < n_gibbs - 1 or self.persistent:
                ops.sample(h1, rbm.hid_bias, rng, out=self.states, keep_probs=True)
            else:  # nothing follows from these states
                ops.logistic(h1, rbm.hid_bias)
        self._follow(learning_rate, momentum, weight_decay)

    def _follow(self, learning_rate: float, momentum: float, weight_decay: float) -> None:
        """Along the statistics of the upper rows of v and h, against those of the lower ones; h is spent."""
        ops, rbm, n = backend.current(), self.rbm, self.batch_size
        rate, shrink = learning_rate / n, 1 - learning_rate / (1 - momentum) * weight_decay
        self.h[n:] *= -1  # so that one product over both halves is <v0 h0> - <vn hn>
        ops.accumulate(rbm.W, self.velocity.W, self.v, self.h, rate, momentum, shrink)
        ops.accumulate(rbm.hid_bias[None], self.velocity.hid_bias[None], self.ones, self.h, rate, momentum, 1.0)
        ops.accumulate(rbm.vis_bias[None], self.velocity.vis_bias[None], self.signs, self.v, rate, momentum, 1.0)

    def _reconstruct(self, v: Array, rng: backend.Random | int) -> None:
        ops, rbm, n = backend.current(), self.rbm, self.rbm.n_vis - self.rbm.n_labels
        ops.matmul(self.states, rbm.W.T, out=v)
        if self.sample_visible:
            ops.sample(v[:, :n], rbm.vis_bias[:n], rng)
        else:
            ops.logistic(v[:, :n], rbm.vis_bias[:n])
        if rbm.n_labels:
            ops.sample_softmax(v[:, n:], rbm.vis_bias[n:], rng)
