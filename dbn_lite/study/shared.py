"""A first layer of features that see a part of the image each, with weights of their own or shared by all places.

Section 6.1 of the paper expects "weight-sharing and sub-sampling" to help, and does not try it. Here windows of `side`
by `side` pixels stand `stride` apart, and at each place the same number of features looks through its window. It is an
RBM whose weights outside the windows are zero, and with shared weights the same at every place: `as_rbm` writes it out,
and from there on it is stacked, read and dreamed from like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import backend
from ..backend import Array
from ..errors import InputError, whole
from ..rbm import RBM, move


@dataclass(eq=False)
class LocalFeatures:
    """The parameters: W (places or 1, side * side, features), hid_bias (places or 1, 1, features), vis_bias (vis,).

    `windows` (places, side * side) says which pixels each place sees. With a first axis of 1 all places share.
    """

    W: Array
    hid_bias: Array
    vis_bias: Array
    windows: Array

    def __post_init__(self) -> None:
        self.velocity = [backend.current().zeros(*a.shape) for a in (self.W, self.hid_bias, self.vis_bias)]

    def seen(self, v: Array) -> Array:
        """What each place sees of images v (n, vis): (places, n, side * side)."""
        return v[:, self.windows].swapaxes(0, 1)

    def mean_h(self, v: Array) -> Array:
        """Probabilities of the features, (places, n, features), for images v (n, vis)."""
        x = self.seen(v) @ self.W
        return backend.current().logistic(x, self.hid_bias)

    def mean_v(self, h: Array) -> Array:
        """Probabilities of the pixels, (n, vis), for features h (places, n, features): windows overlap and add up."""
        ops, x = backend.current(), h @ self.W.swapaxes(1, 2)
        v = ops.zeros(h.shape[1], len(self.vis_bias))
        for window, of_place in zip(self.windows, x, strict=True):
            v[:, window] += of_place
        return ops.logistic(v, self.vis_bias)

    def gradient(self, v: Array, h: Array) -> list[Array]:
        """Sums of <v h>, <h> and <v> over cases, and over places for shared weights."""
        W, hid_bias = self.seen(v).swapaxes(1, 2) @ h, h.sum(axis=1, keepdims=True)
        if len(self.W) == 1:
            W, hid_bias = W.sum(axis=0, keepdims=True), hid_bias.sum(axis=0, keepdims=True)
        return [W, hid_bias, v.sum(axis=0)]

    def step(self, data: Array, rng: backend.Random, rate: float, momentum: float, decay: float) -> None:
        """One mini-batch of CD-1, data (n, vis); the decay as `rbm.ContrastiveDivergence` has it."""
        rng.tick()
        h0 = self.mean_h(data)
        states = backend.current().asarray(rng.uniform(h0.size).reshape(h0.shape) < h0)
        v1 = self.mean_v(states)
        up, down = self.gradient(data, h0), self.gradient(v1, self.mean_h(v1))
        parameters, pulls = (self.W, self.hid_bias, self.vis_bias), (decay * rate / (1 - momentum), 0.0, 0.0)
        for parameter, velocity, plus, minus, pull in zip(parameters, self.velocity, up, down, pulls, strict=True):
            move(parameter, velocity, rate / len(data) * (plus - minus), momentum, pull)

    def as_rbm(self) -> RBM:
        """The same machine with every weight written out: W (vis, places * features), feature within place."""
        ops, places, features = backend.current(), len(self.windows), self.W.shape[2]
        W = ops.zeros(len(self.vis_bias), places * features)
        for place, window in enumerate(self.windows):
            W[window, place * features : (place + 1) * features] = self.W[place if len(self.W) > 1 else 0]
        hid_bias = ops.zeros(places, features) + self.hid_bias[:, 0]
        return RBM(W, self.vis_bias.copy(), hid_bias.ravel())


def local_features(
    shape: tuple[int, int], side: int, stride: int, features: int, shared: bool, seed: int = 0
) -> LocalFeatures:
    """Features to start learning from: small random weights, biases zero, as `rbm.random_rbm` has them.

    The windows begin at the upper left pixel and stand `stride` apart; the last of a row or column is moved back so
    that it ends with the image. Raises InputError for windows that do not fit the image.
    """
    side, stride, features = whole("side", side), whole("stride", stride), whole("features", features)
    if side > min(shape):
        raise InputError(f"a window of {side} by {side} pixels does not fit an image of {shape}; choose a smaller one.")
    tops, lefts = (sorted({*range(0, n - side, stride), n - side}) for n in shape)
    square = np.add.outer(np.arange(side) * shape[1], np.arange(side)).ravel()
    windows = np.array([top * shape[1] + left + square for top in tops for left in lefts])
    ops, places = backend.current(), 1 if shared else len(windows)
    W = np.random.default_rng([whole("seed", seed, 0), *b"features"]).normal(0, 0.01, (places, side**2, features))
    return LocalFeatures(
        ops.asarray(W), ops.zeros(places, 1, features), ops.zeros(shape[0] * shape[1]), ops.xp.asarray(windows)
    )
