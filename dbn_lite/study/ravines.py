"""Walks in the top memory: how its free energy changes from state to state (the ravines of section 7).

A state is a row of penultimate and label units, (pen + lab,), all 0 or 1. Free energies are in nats, with the top
units summed out: a difference of one nat is a factor of e in probability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import backend
from ..backend import Array
from ..dbn import DBN, memory_step
from ..errors import InputError
from ..rbm import RBM, free_energy, mean_h_from_v, softplus


def flip_walk(memory: RBM, start: Array, end: Array, rng: np.random.Generator | None = None) -> np.ndarray:
    """Free energies on a way from one state to another that changes one unit at a time, (changes + 1,).

    Each time the unit that leads to the lowest free energy changes, or with `rng` one at random. If the labels differ,
    one of the changes turns the old one off and the new one on. Raises InputError if a state is not 0 and 1 throughout.
    """
    ops, moves = backend.current(), _moves(memory, start, end)
    xp, bias, through = ops.xp, moves @ memory.vis_bias, moves @ memory.W
    visible, inputs = ops.asarray(start) @ memory.vis_bias, ops.asarray(start) @ memory.W + memory.hid_bias
    left, energies = list(range(len(moves))), [-float(visible + softplus(inputs).sum())]
    while left:
        if rng is None:
            candidates = bias[left] + softplus(inputs + through[left]).sum(axis=1)
            chosen = left.pop(int(xp.argmax(candidates)))
        else:
            chosen = left.pop(int(rng.integers(len(left))))
        visible, inputs = visible + bias[chosen], inputs + through[chosen]
        energies.append(-float(visible + softplus(inputs).sum()))
    return np.array(energies)


def settle(memory: RBM, states: Array, max_steps: int = 1000) -> Array:
    """The bottom of the valley that each state (n, n_vis) lies in, labels held: no step of this kind leads lower.

    A step gives the hidden units their probabilities, then each free visible unit the likelier of its two values. That
    is expectation maximisation: the free energy cannot rise.
    """
    ops, n = backend.current(), memory.n_vis - memory.n_labels
    states = ops.asarray(states).copy()
    for _ in range(max_steps):
        before = states.copy()
        states[:, :n] = mean_h_from_v(memory, states) @ memory.W[:n].T + memory.vis_bias[:n] > 0
        if (states == before).all():
            break
    return states


def independent(pen: Array, n_labels: int) -> RBM:
    """A machine without weights whose penultimate units are on as often as in `pen` (n, pen), each for itself.

    The control for what is said of a landscape: whatever holds in this one too is no news of the other. No unit is
    taken to be always on or off: a half is added to what is counted, on and off. Its labels cost nothing.
    """
    ops, n = backend.current(), len(pen)
    on = (ops.asarray(pen).sum(axis=0) + 0.5) / (n + 1)
    biases = ops.xp.concatenate([ops.xp.log(on / (1 - on)), ops.zeros(n_labels)])
    return RBM(ops.zeros(len(biases), 1), biases, ops.zeros(1), n_labels)


def independent_walk(one: RBM, other: RBM) -> np.ndarray:
    """A greedy walk from the likeliest state of one machine of `independent` units to that of another: its heights.

    A height is -log p(state | class); one of the changes swaps the class. As `flip_walk` between two valleys.
    """
    n, on, heights = one.n_vis - one.n_labels, 0, []
    bias = np.array([backend.current().to_numpy(control.vis_bias)[:n] for control in (one, other)], dtype=float)
    log_z, (state, end) = np.logaddexp(0, bias).sum(axis=1), (bias > 0).astype(float)
    while True:
        heights.append(log_z[on] - bias[on] @ state)
        left = np.flatnonzero(state != end)
        if on and not len(left):
            return np.array(heights)
        climbs = bias[on, left] * (2 * state[left] - 1)
        swap = np.inf if on else log_z[1] - bias[1] @ state - heights[-1]
        if len(left) and climbs.min() < swap:
            unit = left[climbs.argmin()]
            state[unit] = 1 - state[unit]
        else:
            on = 1


def barrier(energies: np.ndarray) -> float:
    """How far a walk climbs above the higher of its two ends, in nats."""
    return float(energies.max() - max(energies[0], energies[-1]))


def gibbs_walk(
    net: DBN, penlab: Array, times: Sequence[int], rng: backend.Random, clamped: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Chains from states (n, pen + lab): after each of the rising `times`, in Gibbs iterations, where they are.

    Returns how many penultimate units differ from the start, (times, n), and the free energies, (times, n).
    """
    ops, n = backend.current(), net.n_pen
    state, far, energies = penlab.copy(), [], []
    for before, now in zip([0, *times], times, strict=False):
        for _ in range(now - before):
            memory_step(net, state, rng, clamped)
        far.append(ops.to_numpy((state[:, :n] != penlab[:, :n]).sum(axis=1)))
        energies.append(ops.to_numpy(free_energy(net.top, state)))
    return np.array(far), np.array(energies)


def scatter(net: DBN, penlab: np.ndarray, n_flips: int, rng: np.random.Generator) -> np.ndarray:
    """The states (n, pen + lab) with `n_flips` penultimate units changed at random, as many off as on if possible.

    So they are as far from where they were as a walk may be, and as many units are on as before.
    """
    changed = penlab.copy()
    for row in changed:
        on = np.flatnonzero(row[: net.n_pen])
        off = np.flatnonzero(row[: net.n_pen] == 0)
        n_on = min(n_flips // 2, len(on))
        row[rng.choice(on, n_on, replace=False)] = 0
        row[rng.choice(off, min(n_flips - n_on, len(off)), replace=False)] = 1
    return changed


def _moves(memory: RBM, start: Array, end: Array) -> Array:
    """The changes (k, n_vis) that lead from start to end when all are made."""
    ops, n = backend.current(), memory.n_vis - memory.n_labels
    start, end = ops.to_numpy(start), ops.to_numpy(end)
    if not (np.isin(start, (0, 1)).all() and np.isin(end, (0, 1)).all()):
        raise InputError("a walk needs states of 0 and 1; sample them, with `up_pass(net, images, rng)` for example.")
    difference = end - start
    units = np.flatnonzero(difference[:n])
    moves = np.zeros((len(units), memory.n_vis), dtype=np.float32)
    moves[range(len(units)), units] = difference[units]
    if difference[n:].any():
        moves = np.vstack([moves, np.concatenate([np.zeros(n), difference[n:]])])
    return ops.asarray(moves)
