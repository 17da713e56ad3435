"""Exact answers about nets small enough to enumerate: the oracle that judges the library.

Everything is a sum over all states, in float64, from plain arrays. No code is shared with what is judged, and
no short cut of the library is taken: a free energy is a sum over hidden states here, never a softplus.
Logarithms are natural. Tables over the states of a layer keep the order of `binary_states`; N_v and N_h are
the numbers of visible and hidden states. Equations are those of Hinton, Osindero and Teh (2006), as numbered
in the draft.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dbn_lite.errors import InputError

Array = npt.NDArray[np.float64]
MAX_STATES = 2**21  # entries in the largest table, 16 MiB


# ---- States


def _refuse_too_many(n_states: int, what: str) -> None:
    if n_states > MAX_STATES:
        raise InputError(
            f"{what} make 2^{math.log2(n_states):.4g} states, more than the limit of "
            f"2^{math.log2(MAX_STATES):g} that can be enumerated: use a smaller net."
        )


def _rows(x: npt.ArrayLike, n_units: int) -> Array:
    rows = np.atleast_2d(np.asarray(x, float))
    if rows.ndim != 2 or rows.shape[1] != n_units:
        raise InputError(
            f"A layer of {n_units} units cannot take an array of shape {np.shape(x)}: pass rows of {n_units} values."
        )
    return rows


def _check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, but the rest of the net wants {shape}.")


def binary_states(n_units: int, n_labels: int = 0) -> Array:
    """Return all states of a layer, (n_states, n_units), in counting order: the last unit changes fastest.

    With n_labels, exactly one of the last n_labels units is on, label 0 first, for each state of the others.
    """
    if not 0 <= n_labels <= n_units:
        raise InputError(f"{n_labels} label units do not fit into a layer of {n_units} units.")
    n_free, group = n_units - n_labels, np.eye(n_labels) if n_labels else np.empty((1, 0))
    _refuse_too_many(2**n_free * len(group), f"{n_units} units")
    free = np.arange(2**n_free)[:, None] >> np.arange(n_free)[::-1] & 1
    return np.hstack([np.repeat(free, len(group), axis=0), np.tile(group, (len(free), 1))])


def state_index(v: npt.ArrayLike, n_units: int, n_labels: int = 0) -> npt.NDArray[np.intp]:
    """Return the place of each row of v (n, n_units) in `binary_states`, (n,); InputError if it has none."""
    v = _rows(v, n_units)
    free, label = v[:, : n_units - n_labels], v[:, n_units - n_labels :]
    if not np.isin(v, (0, 1)).all() or (n_labels and (label.sum(axis=1) != 1).any()):
        raise InputError("Only states have a probability: make every unit 0 or 1, and one label unit 1.")
    place = free @ 2.0 ** np.arange(free.shape[1])[::-1]
    return np.asarray(place * max(n_labels, 1) + label @ np.arange(n_labels), np.intp)


def log_sum(x: Array, axis: int | None = None) -> Array:
    """Return log(sum(exp(x))) over one axis, or over all of x, without overflow."""
    peak = x.max(axis=axis, keepdims=True)
    return np.squeeze(peak, axis) + np.log(np.exp(x - peak).sum(axis=axis))


def kl(p: Array, q: Array) -> float:
    """Return KL(p || q), in nats, of two tables of probabilities of one shape; 0 log 0 is 0."""
    on = p > 0
    return float(np.sum(p[on] * (np.log(p[on]) - np.log(q[on]))))


# ---- The restricted Boltzmann machine, section 3


@dataclass
class BoltzmannMachine:
    """A restricted Boltzmann machine whose last n_labels visible units are one softmax group.

    W (n_vis, n_hid), vis_bias (n_vis,), hid_bias (n_hid,).
    """

    W: Array
    vis_bias: Array
    hid_bias: Array
    n_labels: int = 0

    def __post_init__(self) -> None:
        self.W, self.vis_bias = np.asarray(self.W, float), np.asarray(self.vis_bias, float)
        self.hid_bias = np.asarray(self.hid_bias, float)
        _check_shape("W", self.W, (self.vis_bias.size, self.hid_bias.size))

    @property
    def v_states(self) -> Array:
        """Every visible state, (N_v, n_vis)."""
        return binary_states(len(self.vis_bias), self.n_labels)

    @property
    def h_states(self) -> Array:
        """Every hidden state, (N_h, n_hid)."""
        return binary_states(len(self.hid_bias))


class Statistics(NamedTuple):
    """One number for each parameter: <v h>, <v> and <h>, or a gradient, the difference of two such."""

    W: Array
    vis_bias: Array
    hid_bias: Array

    def minus(self, other: "Statistics") -> "Statistics":
        """Return the difference, parameter by parameter."""
        return Statistics(*(mine - its for mine, its in zip(self, other, strict=True)))


def energy(machine: BoltzmannMachine, v: npt.ArrayLike, h: npt.ArrayLike) -> Array:
    """Return E(v, h) = -v W h - v vis_bias - h hid_bias of all pairs of rows.

    v (n, n_vis) and h (m, n_hid), real values allowed: (n, m).
    """
    v, h = _rows(v, len(machine.vis_bias)), _rows(h, len(machine.hid_bias))
    _refuse_too_many(len(v) * len(h), f"{len(v):,} visible and {len(h):,} hidden states")
    return -(v @ machine.W @ h.T + (v @ machine.vis_bias)[:, None] + h @ machine.hid_bias)


def log_partition(machine: BoltzmannMachine) -> float:
    """Return log Z, the log of the sum of exp(-E) over all states."""
    return float(log_sum(-energy(machine, machine.v_states, machine.h_states)))


def log_joint(machine: BoltzmannMachine) -> Array:
    """Return log p(v, h) of all pairs of states, (N_v, N_h)."""
    return -energy(machine, machine.v_states, machine.h_states) - log_partition(machine)


def log_prob(machine: BoltzmannMachine, v: npt.ArrayLike | None = None) -> Array:
    """Return log p(v), (n,), of binary rows v (n, n_vis), or without v of every visible state, (N_v,)."""
    table = log_sum(log_joint(machine), axis=1)
    return table if v is None else table[state_index(v, len(machine.vis_bias), machine.n_labels)]


def log_prob_h(machine: BoltzmannMachine) -> Array:
    """Return log p(h) of every hidden state, (N_h,)."""
    return log_sum(log_joint(machine), axis=0)


def free_energy(machine: BoltzmannMachine, v: npt.ArrayLike) -> Array:
    """Return F(v) = -log sum_h exp(-E(v, h)), (n,), of rows v (n, n_vis), real values allowed."""
    return -log_sum(-energy(machine, v, machine.h_states), axis=1)


def prob_h_given_v(machine: BoltzmannMachine, v: npt.ArrayLike) -> Array:
    """Return p(h | v) of every hidden state, (n, N_h), for rows v (n, n_vis), real values allowed."""
    return np.exp(free_energy(machine, v)[:, None] - energy(machine, v, machine.h_states))


def prob_v_given_h(machine: BoltzmannMachine, h: npt.ArrayLike) -> Array:
    """Return p(v | h) of every visible state, (n, N_v), for rows h (n, n_hid)."""
    scores = -energy(machine, machine.v_states, h).T
    return np.exp(scores - log_sum(scores, axis=1)[:, None])


def mean_h_from_v(machine: BoltzmannMachine, v: npt.ArrayLike) -> Array:
    """Return the probability that each hidden unit is on, (n, n_hid), for rows v (n, n_vis)."""
    return prob_h_given_v(machine, v) @ machine.h_states


def mean_v_from_h(machine: BoltzmannMachine, h: npt.ArrayLike) -> Array:
    """Return the probability that each visible unit is on, (n, n_vis), for rows h (n, n_hid)."""
    return prob_v_given_h(machine, h) @ machine.v_states


def label_posterior(machine: BoltzmannMachine, rest: npt.ArrayLike) -> Array:
    """Return p(label | rest), (n, n_labels), for rows of all other visible units, real values allowed."""
    if not machine.n_labels:
        raise InputError("This machine has no label group: give its n_labels.")
    rest = _rows(rest, len(machine.vis_bias) - machine.n_labels)
    labels = [np.tile(label, (len(rest), 1)) for label in np.eye(machine.n_labels)]
    scores = np.stack([-free_energy(machine, np.hstack([rest, label])) for label in labels], axis=1)
    return np.exp(scores - log_sum(scores, axis=1)[:, None])


# ---- Learning rules, equations 5 and 6


def data_statistics(machine: BoltzmannMachine, v: npt.ArrayLike, weights: Array | None = None) -> Statistics:
    """Return <v h>, <v>, <h> with rows v (n, n_vis) clamped, by weights (n,) of sum 1 or 1 / n each."""
    v, h = _rows(v, len(machine.vis_bias)), mean_h_from_v(machine, v)
    p = np.full(len(v), 1 / len(v)) if weights is None else weights
    return Statistics((v * p[:, None]).T @ h, p @ v, p @ h)


def model_statistics(machine: BoltzmannMachine) -> Statistics:
    """Return <v h>, <v>, <h> at equilibrium: the correlations, and the marginals of single units."""
    p, v, h = np.exp(log_joint(machine)), machine.v_states, machine.h_states
    return Statistics(v.T @ p @ h, p.sum(axis=1) @ v, p.sum(axis=0) @ h)


def ml_gradient(machine: BoltzmannMachine, data: npt.ArrayLike) -> Statistics:
    """Return <v0 h0> - <v_inf h_inf>, the gradient of the mean log p(v) of rows of data (n, n_vis) (eq. 5).

    Of real-valued rows, which have no log p(v), it is the gradient of the mean of -F(v) - log Z.
    """
    return data_statistics(machine, data).minus(model_statistics(machine))


def data_distribution(machine: BoltzmannMachine, data: npt.ArrayLike) -> Array:
    """Return P0, (N_v,): how often each visible state occurs among binary rows of data (n, n_vis)."""
    places = state_index(data, len(machine.vis_bias), machine.n_labels)
    return np.bincount(places, minlength=len(machine.v_states)) / len(places)


def gibbs_transition(machine: BoltzmannMachine) -> Array:
    """Return T, (N_v, N_v): T[v, v'] is the chance that one full step, v to h to v', ends in v'."""
    v = machine.v_states
    _refuse_too_many(len(v) ** 2, "All pairs of visible states")
    return prob_h_given_v(machine, v) @ prob_v_given_h(machine, machine.h_states)


def after_gibbs(machine: BoltzmannMachine, p0: Array, n_gibbs: int) -> Array:
    """Return Pn, (N_v,), the distribution after n_gibbs full steps of the chain from P0 (N_v,)."""
    if n_gibbs < 0:
        raise InputError(f"A chain cannot take {n_gibbs} Gibbs steps: give 0 or more.")
    return p0 @ np.linalg.matrix_power(gibbs_transition(machine), n_gibbs)


def contrastive_divergence(machine: BoltzmannMachine, p0: Array, n_gibbs: int) -> tuple[float, float, float]:
    """Return KL(P0 || Pinf), KL(Pn || Pinf) and their difference, never negative (eq. 6), for P0 (N_v,)."""
    p_inf = np.exp(log_prob(machine))
    of_data, of_chain = kl(p0, p_inf), kl(after_gibbs(machine, p0, n_gibbs), p_inf)
    return of_data, of_chain, of_data - of_chain


def expected_cd_gradient(
    machine: BoltzmannMachine, data: npt.ArrayLike, n_gibbs: int, mean_units: npt.ArrayLike = False
) -> Statistics:
    """Return what CD-n gives on average over its random choices, <v0 h0> - <vn hn>, from data (n, n_vis).

    Hidden states are sampled. So are reconstructions, but units marked in mean_units, (n_vis,) or one bool,
    show their probabilities; only with none marked does CD-n tend to `ml_gradient` as n grows.
    """
    if n_gibbs < 1:
        raise InputError(f"Contrastive divergence takes at least one Gibbs step, not {n_gibbs}.")
    v, h = machine.v_states, machine.h_states
    p_v = prob_v_given_h(machine, h)  # (N_h, N_v)
    seen = np.where(mean_units, (p_v @ v)[:, None, :], v).reshape(-1, v.shape[1])  # (N_h * N_v, n_vis)
    p_next = prob_h_given_v(machine, seen).reshape(*p_v.shape, len(h))  # (N_h, N_v, N_h)
    step = np.einsum("hv,hvk->hk", p_v, p_next)  # from hidden state to hidden state
    p_h = prob_h_given_v(machine, data).mean(axis=0) @ np.linalg.matrix_power(step, n_gibbs - 1)
    return data_statistics(machine, data).minus(data_statistics(machine, seen, (p_h[:, None] * p_v).ravel()))


# ---- Directed nets, sections 1, 2 and 4


@dataclass
class BeliefNet:
    """A logistic belief net in layers (eq. 1): layer 0 is visible, layer k + 1 generates layer k.

    weights[k] (n_{k+1}, n_k) lead down from layer k + 1 to k; biases[k] (n_k,), one more than weights.
    log_prior (2**n_top,), if given, replaces the independent units at the top; their bias then only infers.
    """

    weights: Sequence[Array]
    biases: Sequence[Array]
    log_prior: Array | None = None

    def __post_init__(self) -> None:
        self.weights = [np.asarray(w, float) for w in self.weights]
        self.biases = [np.asarray(bias, float) for bias in self.biases]
        if len(self.biases) != len(self.weights) + 1:
            raise InputError(
                f"{len(self.weights)} weight matrices join {len(self.weights) + 1} layers, "
                f"but there are biases for {len(self.biases)}."
            )
        for k, weights in enumerate(self.weights):
            _check_shape(f"weights[{k}]", weights, (self.biases[k + 1].size, self.biases[k].size))


def log_prob_logistic(x: npt.ArrayLike, states: Array) -> Array:
    """Return log p(state) of independent units by their total inputs (eq. 1).

    x (n, units), states (m, units): (n, m).
    """
    x = _rows(x, states.shape[1])
    return -np.logaddexp(0, -x) @ states.T - np.logaddexp(0, x) @ (1 - states).T


def net_log_prior(net: BeliefNet) -> Array:
    """Return log p of every state of the top layer, (2**n_top,)."""
    top = net.biases[-1]
    if net.log_prior is None:
        return log_prob_logistic(top, binary_states(len(top)))[0]
    log_prior = np.asarray(net.log_prior, float)
    _check_shape("log_prior", log_prior, (2 ** len(top),))
    if abs(log_sum(log_prior)) > 1e-6:
        raise InputError("The probabilities in log_prior do not sum to 1: subtract their log_sum.")
    return log_prior


def log_conditional(net: BeliefNet, k: int) -> Array:
    """Return log p(layer k | layer k + 1) of all pairs of states, (2**n_{k+1}, 2**n_k) (eq. 1)."""
    below, above = net.biases[k], net.biases[k + 1]
    _refuse_too_many(2 ** (len(below) + len(above)), f"Layers {k} and {k + 1}")
    return log_prob_logistic(binary_states(len(above)) @ net.weights[k] + below, binary_states(len(below)))


def net_log_joint(net: BeliefNet) -> Array:
    """Return log p of all layers together, one axis a layer, visible first: (2**n_0, 2**n_1, ...)."""
    _refuse_too_many(2 ** sum(len(bias) for bias in net.biases), "All layers together")
    table = net_log_prior(net)
    for k in reversed(range(len(net.weights))):
        conditional = log_conditional(net, k).T  # (below, above)
        table = conditional.reshape(*conditional.shape, *[1] * (table.ndim - 1)) + table
    return table


def net_log_prob(net: BeliefNet, v: npt.ArrayLike | None = None) -> Array:
    """Return log p(v), (n,), of binary rows v (n, n_vis), or without v of every state, (2**n_0,)."""
    table = net_log_prior(net)
    for k in reversed(range(len(net.weights))):
        table = log_sum(log_conditional(net, k) + table[:, None], axis=0)  # layer k + 1 summed out
    return table if v is None else table[state_index(v, len(net.biases[0]))]


def _log_joint_at(net: BeliefNet, v: npt.ArrayLike) -> Array:
    _check_shape("v", np.asarray(v), net.biases[0].shape)
    return net_log_joint(net)[state_index(v, len(net.biases[0]))[0]]


def net_posterior(net: BeliefNet, v: npt.ArrayLike) -> Array:
    """Return p(hidden layers | v) for one binary v (n_vis,), one axis a layer: (2**n_1, 2**n_2, ...)."""
    log_p = _log_joint_at(net, v)
    return np.exp(log_p - log_sum(log_p))


def up_pass_posterior(v: npt.ArrayLike, weights: Sequence[Array], biases: Sequence[Array]) -> Array:
    """Return Q(hidden layers | v) of an up-pass from one v (n_vis,), each layer sampled from the one below.

    weights[k] (n_k, n_{k+1}) and biases[k] (n_{k+1},) are those of recognition; shaped as `net_posterior`.
    """
    _check_shape("v", np.asarray(v), (len(weights[0]),))
    below, log_q = _rows(v, len(weights[0])), np.zeros(1)
    for w, bias in zip(weights, biases, strict=True):
        states = binary_states(len(bias))
        _refuse_too_many(log_q.size * len(states), "The hidden layers together")
        log_q, below = log_q[..., None] + log_prob_logistic(below @ w + bias, states), states
    return np.exp(log_q[0])


def transposed_posterior(net: BeliefNet, v: npt.ArrayLike) -> Array:
    """Return Q(hidden layers | v) by the transposed generative weights (section 2.1), as `net_posterior`."""
    return up_pass_posterior(v, [w.T for w in net.weights], net.biases[1:])


class Bound(NamedTuple):
    """log p(v) and its lower bound, entropy - energy (eq. 8), in nats; gap = KL(Q || posterior)."""

    log_prob: float
    bound: float
    energy: float
    entropy: float
    gap: float


def variational_bound(net: BeliefNet, v: npt.ArrayLike, q: Array | None = None) -> Bound:
    """Return the bound of eq. 8 for one binary v (n_vis,), from the energy of eq. 7 and the entropy of q.

    q is a table over the hidden layers, shaped as `net_posterior`; without it, `transposed_posterior`.
    """
    log_p = _log_joint_at(net, v)  # log p(h) + log p(v | h)
    q = transposed_posterior(net, v) if q is None else q
    _check_shape("q", q, log_p.shape)
    mean_energy = -float(np.sum(q * np.where(q > 0, log_p, 0)))
    entropy = -kl(q, np.ones_like(q))  # - sum q log q
    gap = kl(q, net_posterior(net, v))
    return Bound(float(log_sum(log_p)), entropy - mean_energy, mean_energy, entropy, gap)


def factorial(probs: npt.ArrayLike) -> Array:
    """Return the probability of every state, (2**n,), of independent units, on with probabilities (n,)."""
    return np.where(binary_states(np.size(probs)) == 1, probs, 1 - np.asarray(probs)).prod(axis=1)


def best_factorial(p: Array, max_sweeps: int = 1000) -> tuple[Array, float]:
    """Return the unit probabilities (n,) of the factorial Q with the least KL(Q || P), and that KL in nats.

    p (2**n,), all positive. Mean field from near each of the 2**n corners: the best local minimum so found.
    """
    if not (p > 0).all():
        raise InputError("KL(Q || P) needs a positive probability for every state: p holds a zero.")
    corners = binary_states(len(p).bit_length() - 1)
    fits = [_mean_field(np.log(p), 0.1 + 0.8 * corner, max_sweeps) for corner in corners]
    return min(((q, kl(factorial(q), p)) for q in fits), key=lambda fit: fit[1])


def _mean_field(log_p: Array, q: Array, max_sweeps: int) -> Array:
    for _ in range(max_sweeps):
        before = q.copy()
        for unit in np.eye(len(q), dtype=bool):
            gain = (factorial(np.where(unit, 1, q)) - factorial(np.where(unit, 0, q))) @ log_p
            q[unit] = np.exp(-np.logaddexp(0, -gain))  # where the derivative of KL(Q || P) vanishes
        if np.abs(q - before).max() < 1e-14:
            break
    return q


# ---- The infinite net with tied weights, section 2.1 and figure 3


def unroll(machine: BoltzmannMachine, depth: int) -> BeliefNet:
    """Return the infinite tied net cut at a depth: V0 <- H0 <- V1 <- ... under a complementary prior.

    The prior is what all layers above would give: the machine's p(h) over an H (odd depth), p(v) over a V.
    """
    if depth < 1 or machine.n_labels:
        raise InputError("Only a machine without labels unrolls, and to a depth of at least one layer.")
    down, bias = [machine.W.T, machine.W], [machine.vis_bias, machine.hid_bias]
    log_prior = log_prob_h(machine) if depth % 2 else log_prob(machine)
    return BeliefNet([down[k % 2] for k in range(depth)], [bias[k % 2] for k in range(depth + 1)], log_prior)


def tied_gradient_terms(machine: BoltzmannMachine, data: npt.ArrayLike) -> Iterator[Array]:
    """Yield the terms of eq. 4 without end, each (n_vis, n_hid), averaged over rows of data (n, n_vis).

    Each is eq. 2 for one matrix of the infinite net: <h0 (v0 - v1)>, then <v1 (h0 - h1)>, <h1 (v1 - v2)>, ...
    """
    up, mean_below = (prob_h_given_v, prob_v_given_h), (mean_v_from_h, mean_h_from_v)
    below, states = _rows(data, len(machine.vis_bias)), (machine.h_states, machine.v_states)
    p, odd = np.full(len(below), 1 / len(below)), 0
    while True:
        above, pair = states[odd], p[:, None] * up[odd](machine, below)  # p(below, above)
        miss = below[:, None] - mean_below[odd](machine, above)  # v0 less its reconstruction from h0
        term = np.einsum("ba,bai,aj->ij", pair, miss, above)
        yield term.T if odd else term
        below, p, odd = above, pair.sum(axis=0), 1 - odd


# ---- The whole deep belief net, figure 1, from arrays named as in appendix B


def top_machine(net: Mapping[str, Array]) -> BoltzmannMachine:
    """Return the associative memory: pen and label units visible, top units hidden."""
    W = np.vstack([net["pentop"], net["labtop"]])
    vis_bias = np.hstack([net["pengenbiases"], net["labgenbiases"]])
    return BoltzmannMachine(W, vis_bias, net["topbiases"], len(net["labtop"]))


def log_prob_pen_label(net: Mapping[str, Array]) -> Array:
    """Return log p(pen, label) under the associative memory, (2**n_pen, n_labels)."""
    return log_prob(top_machine(net)).reshape(-1, len(net["labtop"]))


def generative_net(net: Mapping[str, Array], label: int | None = None) -> BeliefNet:
    """Return the deep belief net as vis <- hid <- pen under the memory's p(pen), or p(pen | label).

    So `net_log_prob(generative_net(net), images)` is log p(image), and with a label log p(image | label).
    """
    log_p = log_prob_pen_label(net)
    if label is not None and not 0 <= label < log_p.shape[1]:
        raise InputError(f"There is no label {label}: this net has labels 0 to {log_p.shape[1] - 1}.")
    log_prior = log_sum(log_p, axis=1) if label is None else log_p[:, label] - log_sum(log_p[:, label])
    biases = [net["visgenbiases"], net["hidgenbiases"], net["pengenbiases"]]
    return BeliefNet([net["hidvis"], net["penhid"]], biases, log_prior)


def log_prob_image_label(net: Mapping[str, Array], images: npt.ArrayLike | None = None) -> Array:
    """Return log p(image, label), (n, n_labels), of binary images (n, n_vis), or of every image."""
    log_p_label = log_sum(log_prob_pen_label(net), axis=0)
    given = [net_log_prob(generative_net(net, label), images) for label in range(len(log_p_label))]
    return np.stack(given, axis=1) + log_p_label
