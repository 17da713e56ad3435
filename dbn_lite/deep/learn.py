"""Learning at any depth: layer by layer (section 4), and the up-down algorithm (section 5) as a loop over layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .. import backend
from ..backend import Array
from ..dataset import check_images, check_labels
from ..dbn import Layer, Net
from ..errors import MOST, InputError, whole
from ..rbm import RBM, ContrastiveDivergence, expect_step, mean_h_from_v, random_rbm


def greedy(
    images: np.ndarray,
    labels: np.ndarray | None,
    layers: Sequence[int],
    epochs: int = 10,
    batch_size: int = 100,
    seed: int = 0,
    learning_rate: float = 0.1,
    weight_decay: float = 2e-4,
    n_gibbs: int = 1,
) -> list[RBM]:
    """Learn one RBM for each number of hidden units in `layers`, each on the probabilities of the one below.

    images (n, vis) in [0, 1]; labels (n,), whole numbers from 0 on, which the last RBM learns beside its input, or
    None. The momentum is 0.5 in the first five epochs of an RBM and 0.9 after. Raises InputError for images, labels or
    settings that cannot be, and where learning diverges.
    """
    ops, inputs = backend.current(), check_images(images)
    units = [whole("layers", n, most=MOST) for n in layers]
    if not units:
        raise InputError("there are no layers to learn; give the units of one hidden layer or more.")
    targets = one_hot(labels, len(inputs)) if labels is not None else inputs[:, :0]
    rbms: list[RBM] = []
    for i, n_hid in enumerate(units, 1):
        if rbms:
            inputs = ops.to_numpy(mean_h_from_v(rbms[-1], inputs))
        n_labels, stage = targets.shape[1] if i == len(units) else 0, f"greedy {i}"
        inputs = np.hstack([inputs, targets[:, :n_labels]])
        rbms.append(random_rbm(inputs.shape[1], n_hid, seed, n_labels, stage))
        step = ops.record(ContrastiveDivergence(rbms[-1], batch_size).step)
        for epoch, rng, data in mini_batches(stage, seed, epochs, batch_size, inputs):
            step(*data, rng, learning_rate, 0.9 if epoch >= 5 else 0.5, weight_decay, n_gibbs)
        _expect_finite(stage, rbms[-1].W)
    return rbms


def up_down(
    net: Net,
    images: np.ndarray,
    labels: np.ndarray | None,
    epochs: int = 10,
    batch_size: int = 100,
    seed: int = 0,
    learning_rate: float = 0.01,
    weight_decay: float = 1e-5,
    n_gibbs: int = 3,
) -> None:
    """Fine-tune a whole net in place by the up-down algorithm, with a momentum of 0.9.

    images (n, vis) in [0, 1], labels (n,) as the net knows them, None for a net without. Raises InputError for images,
    labels or settings that cannot be, and where learning diverges.
    """
    ops, images = backend.current(), check_images(images, net.sizes[0])
    if (labels is None) != (not net.n_labels):
        raise InputError(f"the net has {net.n_labels} label units; give labels if it has some, and None if not.")
    targets = one_hot(labels, len(images), net.n_labels) if labels is not None else images[:, :0]
    step = ops.record(UpDown(net, batch_size).step)
    for _, rng, data in mini_batches("up-down", seed, epochs, batch_size, images, targets):
        step(*data, rng, n_gibbs, learning_rate, 0.9, weight_decay)
    _expect_finite("up-down", *net.arrays().values())


def one_hot(labels: np.ndarray, n: int, n_labels: int | None = None) -> np.ndarray:
    """The label group (n, n_labels), float32, for labels (n,); without `n_labels` as wide as the highest label asks."""
    labels = np.asarray(labels)
    if n_labels is None:
        n_labels = int(labels.max()) + 1 if labels.size and labels.dtype.kind in "iu" and 0 <= labels.max() < 256 else 1
    return np.eye(n_labels, dtype=np.float32)[check_labels(labels, n, n_labels)]


def mini_batches(
    stage: str, seed: int, epochs: int, batch_size: int, *arrays: np.ndarray
) -> Iterator[tuple[int, backend.Random, list[Array]]]:
    """Yield epoch, stream, and the rows of each array, in a new order in each epoch.

    Every row comes in every epoch, a few of them twice where the last mini-batch would not be full.
    """
    ops, epochs, batch_size = backend.current(), whole("epochs", epochs, 0), whole("batch_size", batch_size, most=MOST)
    rng, n = ops.random(whole("seed", seed, 0), stage), len(arrays[0])
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch, *stage.encode()]).permutation(n)
        for rows in np.resize(order, (-(-n // batch_size), batch_size)):
            yield epoch, rng, [ops.asarray(a[rows]) for a in arrays]


def _expect_finite(stage: str, *arrays: Array) -> None:
    if not all(bool(backend.current().xp.isfinite(a).all()) for a in arrays):
        raise InputError(f"{stage} diverged: its weights are no longer finite; take a smaller learning rate.")


class UpDown:
    """The algorithm for one net of any depth and one size of mini-batch: `updown.UpDown`, its blocks as loops.

    For the paper's three hidden layers it gives the same bits; where no layer lies between memory and pixels it is
    contrastive divergence with sampled pixels. `sample_labels` and `top_probs` mean what they mean there; no chains
    wander. Holds buffers and velocities, updates `net` in place; nets without labels have none in their mini-batches.
    """

    def __init__(self, net: Net, batch_size: int, sample_labels: bool = True, top_probs: bool = True) -> None:
        ops, n, top = backend.current(), whole("batch_size", batch_size, most=MOST), net.top
        self.net, self.batch_size, self.sample_labels, self.top_probs = net, n, sample_labels, top_probs
        above = [layer.up.shape[1] for layer in net.layers]
        # wake above, sleep below; of each directed layer the states of the units that it leads to, the last in memory
        self.penlab, self.topstates = ops.empty(2 * n, top.n_vis), ops.empty(n, top.n_hid)
        self.states = [*(ops.empty(2 * n, units) for units in above[:-1]), self.penlab[:, : net.n_pen]]
        self.below = [ops.empty(2 * n, layer.up.shape[0]) for layer in net.layers]  # what generation predicts
        self.above = [ops.empty(n, units) for units in above]  # what recognition predicts
        self.top = ops.empty(2 * n, top.n_hid)  # what enters the statistics of the memory
        self.velocity = [Layer(*(ops.zeros(*a.shape) for a in vars(layer).values())) for layer in net.layers]
        self.top_velocity = [ops.zeros(*a.shape) for a in (top.W, top.vis_bias, top.hid_bias)]
        self.ones, self.signs = ops.zeros(2 * n, 1) + 1, ops.zeros(2 * n, 1) + 1
        self.signs[n:] = -1

    def step(
        self,
        data: Array,
        targets: Array,
        rng: backend.Random | int,
        n_gibbs: int,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        """One mini-batch: data (batch_size, vis) in [0, 1], targets (batch_size, lab) with one label on in each row.

        Raises InputError for arrays of other shapes, n_gibbs below 1, or a rate, momentum or decay out of range.
        """
        n, net = self.batch_size, self.net
        n_gibbs, rng = whole("n_gibbs", n_gibbs, most=MOST), backend.stream(rng, "states")
        batch = {"data": (data, (n, net.sizes[0])), "targets": (targets, (n, net.n_labels))}
        expect_step(batch, learning_rate, momentum, weight_decay)
        rng.tick()
        if net.n_labels:
            self.penlab[:n, net.n_pen :] = targets
        self.bottom_up_pass(data, rng)
        self.gibbs_sampling(n_gibbs, rng)
        self.top_down_pass(rng)
        self.predictions()
        self.updates(data, learning_rate / n, momentum, weight_decay * learning_rate / (1 - momentum))

    def bottom_up_pass(self, data: Array, rng: backend.Random) -> None:
        """Wake, or positive, phase: recognition weights pick a state for every hidden unit."""
        ops, n, top, below = backend.current(), self.batch_size, self.net.top, data
        for layer, states in zip(self.net.layers, self.states, strict=False):
            below = ops.sample(ops.matmul(below, layer.up, out=states[:n]), layer.up_bias, rng)
        if not self.net.layers:
            self.states[0][:n] = data
        waketop = ops.matmul(self.penlab[:n], top.W, out=self.top[:n])
        ops.sample(waketop, top.hid_bias, rng, out=self.topstates, keep_probs=True)
        if not self.top_probs:
            waketop[...] = self.topstates

    def gibbs_sampling(self, n_gibbs: int, rng: backend.Random) -> None:
        """Negative phase: alternating Gibbs sampling in the memory, from the wake states on."""
        ops, net, top, n = backend.current(), self.net, self.net.top, self.batch_size
        negpenlab, negtop = self.penlab[n:], self.top[n:]
        for left in reversed(range(n_gibbs)):
            ops.matmul(self.topstates, top.W.T, out=negpenlab)
            ops.sample(negpenlab[:, : net.n_pen], top.vis_bias[: net.n_pen], rng)
            if net.n_labels and self.sample_labels:
                ops.sample_softmax(negpenlab[:, net.n_pen :], top.vis_bias[net.n_pen :], rng)
            elif net.n_labels:
                ops.softmax(negpenlab[:, net.n_pen :], top.vis_bias[net.n_pen :])
            ops.matmul(negpenlab, top.W, out=negtop)
            if left:
                ops.sample(negtop, top.hid_bias, rng, out=self.topstates)
            elif self.top_probs:
                ops.logistic(negtop, top.hid_bias)
            else:
                ops.sample(negtop, top.hid_bias, rng)

    def top_down_pass(self, rng: backend.Random) -> None:
        """Sleep phase, from where the Gibbs run ended; the upper halves predict the wake states on the way."""
        ops, n = backend.current(), self.batch_size
        for k, layer in reversed(list(enumerate(self.net.layers))):
            probs = ops.matmul(self.states[k], layer.down, out=self.below[k])
            if k == 0:  # pixels stay probabilities
                ops.logistic(probs, layer.down_bias)
            else:
                ops.logistic(probs[:n], layer.down_bias)
                ops.sample(probs[n:], layer.down_bias, rng, out=self.states[k - 1][n:])

    def predictions(self) -> None:
        """What recognition makes of the sleep states: probabilities."""
        ops, n = backend.current(), self.batch_size
        for k, layer in enumerate(self.net.layers):
            asleep = self.states[k - 1][n:] if k else self.below[0][n:]
            ops.logistic(ops.matmul(asleep, layer.up, out=self.above[k]), layer.up_bias)

    def updates(self, data: Array, r: float, momentum: float, decay: float) -> None:
        """Directed layers, then the memory: along what was minus what was predicted."""
        xp, n, top, awake = backend.current().xp, self.batch_size, self.net.top, data
        asleep, ones = self.below[0][n:] if self.below else data, self.ones[:n]
        for k, (layer, v) in enumerate(zip(self.net.layers, self.velocity, strict=True)):
            states, missed = self.states[k], self.below[k][:n]
            xp.subtract(awake, missed, out=missed)
            _update(layer.down, v.down, states[:n], missed, r, momentum, decay)
            _update(layer.down_bias, v.down_bias, ones, missed, r, momentum)
            missed = xp.subtract(states[n:], self.above[k], out=self.above[k])
            _update(layer.up, v.up, asleep, missed, r, momentum, decay)
            _update(layer.up_bias, v.up_bias, ones, missed, r, momentum)
            awake, asleep = states[:n], states[n:]
        W, vis_bias, hid_bias = self.top_velocity
        self.top[n:] *= -1  # so that one product is the positive minus the negative statistics
        _update(top.W, W, self.penlab, self.top, r, momentum, decay)
        _update(top.vis_bias, vis_bias, self.signs, self.penlab, r, momentum)
        _update(top.hid_bias, hid_bias, self.ones, self.top, r, momentum)


def _update(parameter: Array, v: Array, a: Array, b: Array, r: float, momentum: float, decay: float = 0.0) -> None:
    if parameter.ndim == 1:
        parameter, v = parameter[None], v[None]
    backend.current().accumulate(parameter, v, a, b, r, momentum, 1 - decay)
