"""Annealed importance sampling: the partition function of machines too large to enumerate, and what follows from it.

A path of machines leads from one without weights (beta = 0), whose partition function is a product, to the machine
itself (beta = 1). Chains walk along it and gather weights whose mean is the ratio of the two partition functions
(Neal, 2001; Salakhutdinov and Murray, 2008). Everything here is float64, and logarithms are natural.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import backend
from ..backend import Array
from ..dbn import DBN
from ..errors import InputError
from ..rbm import RBM, softplus


@dataclass
class Estimate:
    """log Z as estimated by independent chains, each of which gives log_ratios (n,), the log of its own Z.

    `ends` (n, n_vis) are the states that they came to.
    """

    log_ratios: np.ndarray
    ends: np.ndarray
    reverse: bool = False

    @property
    def log_z(self) -> float:
        """The log of the mean over chains; a reverse estimate is the inverse of the mean of inverses."""
        sign = -1 if self.reverse else 1
        peak = (sign * self.log_ratios).max()
        return float(sign * (peak + np.log(self._shares().mean())))

    @property
    def standard_error(self) -> float:
        """Of log_z, in nats, from the spread of the chains; it says nothing of what none of them has seen."""
        shares = self._shares()
        return float(shares.std(ddof=1) / shares.mean() / np.sqrt(len(shares)))

    @property
    def effective_chains(self) -> float:
        """How many chains of equal weight would be worth as much."""
        shares = self._shares()
        return float(shares.sum() ** 2 / (shares**2).sum())

    def within(self, part: np.ndarray) -> Estimate:
        """The same for the sum over a part of the states only: forward chains by whether they end in it, (n,) bool."""
        return Estimate(np.where(part, self.log_ratios, -np.inf), self.ends)

    def _shares(self) -> np.ndarray:
        logs = -self.log_ratios if self.reverse else self.log_ratios
        return np.asarray(np.exp(logs - logs.max()))


class Path:
    """The machines from beta = 0 to beta = 1 for one RBM, and Gibbs sampling in them.

    Without `typical`, beta scales the weights and leaves the biases. With rows of typical visible states (n, n_vis) it
    scales the weights around their means m and the hidden means k that they cause, -beta (v - m) W (h - k): units are
    then about as active at the start of the path as at its end, so that chains need not pass through other states.
    """

    def __init__(self, rbm: RBM, typical: Array | None = None) -> None:
        xp = backend.current().xp
        self.W, self.vis, self.hid = (xp.asarray(a, dtype=xp.float64) for a in (rbm.W, rbm.vis_bias, rbm.hid_bias))
        self.n_free, self.vis0, self.hid0 = rbm.n_vis - rbm.n_labels, self.vis, self.hid
        if typical is not None:
            rows = xp.asarray(typical, dtype=xp.float64)
            self.vis0 = self.vis + self.W @ _logistic(rows @ self.W + self.hid).mean(axis=0)
            self.hid0 = self.hid + rows.mean(axis=0) @ self.W

    def hid_input(self, beta: float, vW: Array) -> Array:
        """Total input of the hidden units, (n, n_hid), for vW = v W."""
        return (1 - beta) * self.hid0 + beta * (self.hid + vW)

    def log_f(self, beta: float, v: Array, vW: Array) -> Array:
        """log of the unnormalised probability of v (n, n_vis): its negative free energy in the machine at beta."""
        return v @ ((1 - beta) * self.vis0 + beta * self.vis) + softplus(self.hid_input(beta, vW)).sum(axis=1)

    def sample_v(self, vis_input: Array, rng: np.random.Generator) -> Array:
        """Visible states for their total inputs (n, n_vis): independent units, then one label of the group."""
        xp, n = backend.current().xp, self.n_free
        v = _bernoulli(vis_input, rng)
        if vis_input.shape[1] > n:  # the largest of log p + Gumbel noise is a sample
            gumbel = -xp.log(-xp.log(rng.random(vis_input[:, n:].shape)))
            v[:, n:] = xp.eye(vis_input.shape[1] - n)[(vis_input[:, n:] + gumbel).argmax(axis=1)]
        return v

    def step(self, beta: float, vW: Array, rng: np.random.Generator) -> Array:
        """One full step of Gibbs sampling in the machine at beta, from vW = v W to the next v (n, n_vis)."""
        h = _bernoulli(self.hid_input(beta, vW), rng)
        return self.sample_v((1 - beta) * self.vis0 + beta * (self.vis + h @ self.W.T), rng)

    def log_z0(self) -> float:
        """log Z at beta = 0, where all units are independent."""
        free, labels = self.vis0[: self.n_free], self.vis0[self.n_free :]
        group = float(_log_sum(labels[None])[0]) if len(labels) else 0.0
        return float(softplus(self.hid0).sum() + softplus(free).sum()) + group

    def walk(self, betas: np.ndarray, v: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Chains from v (n, n_vis), a sample at betas[0], to betas[-1]: log weights (n,) and the last states."""
        log_weights, vW = 0.0, v @ self.W
        for before, beta in zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True):
            log_weights = log_weights + self.log_f(beta, v, vW) - self.log_f(before, v, vW)
            v = self.step(beta, vW, rng)
            vW = v @ self.W
        return log_weights, v


def forward(rbm: RBM, betas: np.ndarray, n_chains: int, typical: Array | None = None, seed: int = 0) -> Estimate:
    """log Z from independent chains that start at beta = 0; the expected log_z is below the truth, never above.

    `betas` rise from 0 to 1: the more of them, the better; `typical` as for `Path`.
    """
    _check(betas)
    path, rng = Path(rbm, typical), backend.current().xp.random.default_rng(seed)
    v = path.sample_v(backend.current().xp.tile(path.vis0, (n_chains, 1)), rng)
    return Estimate(*_in_numpy(path.log_z0(), 1, *path.walk(betas, v, rng)))


def backward(rbm: RBM, betas: np.ndarray, v: Array, typical: Array | None = None, seed: int = 0) -> Estimate:
    """log Z from chains that start at states v (n, n_vis) of the machine itself and walk to beta = 0 (reverse AIS).

    If v is an equilibrium sample the expected log_z is above the truth, so that the two directions bracket it. If v is
    one within a part of the states, exp(log_z) is the sum over that part divided by the share of forward chains that
    end in it.
    """
    _check(betas)
    ops = backend.current()
    path, rng = Path(rbm, typical), ops.xp.random.default_rng(seed)
    walked = path.walk(betas[::-1], ops.xp.asarray(v, dtype=ops.xp.float64), rng)
    return Estimate(*_in_numpy(path.log_z0(), -1, *walked), reverse=True)


def log_weights(net: DBN, images: Array, seed: int = 0) -> np.ndarray:
    """log p(image, hid, pen) + log Z - log q(hid, pen | image) for states of one recognition pass each: (n,), in nats.

    Their mean over passes is the bound of eq. 8 plus log Z; labels and top units are summed out. Images (n, vis) in
    [0, 1]: grey pixels count as the average over all images that they could be the probabilities of.
    """
    xp = backend.current().xp
    a = {name: xp.asarray(array, dtype=xp.float64) for name, array in net.arrays().items()}
    v, rng = xp.asarray(images, dtype=xp.float64), xp.random.default_rng(seed)
    to_hid = v @ a["vishid"] + a["hidrecbiases"]
    hid = _bernoulli(to_hid, rng)
    to_pen = hid @ a["hidpen"] + a["penrecbiases"]
    pen = _bernoulli(to_pen, rng)
    log_p = _log_bernoulli(v, hid @ a["hidvis"] + a["visgenbiases"])
    log_p += _log_bernoulli(hid, pen @ a["penhid"] + a["hidgenbiases"])
    to_top = pen @ a["pentop"] + a["topbiases"]
    by_label = xp.stack([softplus(to_top + label).sum(axis=1) for label in a["labtop"]], axis=1)
    log_p += pen @ a["pengenbiases"] + _log_sum(by_label + a["labgenbiases"])
    log_q = _log_bernoulli(hid, to_hid) + _log_bernoulli(pen, to_pen)
    return np.asarray(backend.current().to_numpy(log_p - log_q))


def bound(net: DBN, images: np.ndarray, log_z: float, n_passes: int = 5, seed: int = 0) -> np.ndarray:
    """A lower bound on log p(image) in nats for each image (n, vis): shape (n,), noisy, right on average.

    It is that of eq. 8 for the net's own recognition, averaged over `n_passes` sampled up-passes.
    """
    block = backend.current().block
    starts = range(0, len(images), block)
    passes = [
        np.concatenate([log_weights(net, images[i : i + block], seed + i * n_passes + k) for i in starts])
        for k in range(n_passes)
    ]
    return np.asarray(np.mean(passes, axis=0) - log_z)


def _in_numpy(log_z0: float, sign: int, log_weights: Array, ends: Array) -> tuple[np.ndarray, np.ndarray]:
    to_numpy = backend.current().to_numpy
    return log_z0 + sign * to_numpy(log_weights), to_numpy(ends)


def _check(betas: np.ndarray) -> None:
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or (np.diff(betas) <= 0).any():
        raise InputError("the betas of a path must rise from 0 to 1; numpy.linspace(0, 1, 1001) does.")


def _logistic(x: Array) -> Array:
    return 0.5 + 0.5 * backend.current().xp.tanh(0.5 * x)


def _bernoulli(x: Array, rng: np.random.Generator) -> Array:
    return (rng.random(x.shape) < _logistic(x)).astype(x.dtype)


def _log_bernoulli(states: Array, x: Array) -> Array:
    """log p of rows of units by their total inputs x; grey states give the mean over what they are probabilities of."""
    return (states * x - softplus(x)).sum(axis=1)


def _log_sum(x: Array) -> Array:
    xp = backend.current().xp
    peak = x.max(axis=1, keepdims=True)
    return peak[:, 0] + xp.log(xp.exp(x - peak).sum(axis=1))
