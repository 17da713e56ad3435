"""Walks in a memory small enough to list all its states: energies by enumeration, steps one unit at a time."""

from itertools import permutations

import numpy as np
import pytest
from tiny import LAB, PEN, machines, nets

from dbn_lite import backend, exact
from dbn_lite.errors import InputError
from dbn_lite.study import ravines


def energy(oracle, *states):
    return exact.free_energy(oracle, np.array(states, float))


def test_a_greedy_walk_takes_the_lowest_next_state_each_time():
    memory, oracle = machines(7, 5, n_labels=3, seed=2, scale=1.5)
    start, end = np.array([0, 1, 0, 1, 1, 0, 0]), np.array([1, 0, 1, 1, 0, 0, 1])
    walked, state, want = ravines.flip_walk(memory, start, end), start.copy(), []
    want.append(energy(oracle, state)[0])
    while (state != end).any():
        options = []
        for unit in np.flatnonzero(state[:4] != end[:4]):
            options.append(np.where(np.arange(7) == unit, end, state))
        if (state[4:] != end[4:]).any():
            options.append(np.r_[state[:4], end[4:]])
        energies = energy(oracle, *options)
        state = options[energies.argmin()]
        want.append(energies.min())
    assert len(want) == 5  # three penultimate units and the label
    np.testing.assert_allclose(walked, want, atol=1e-5)


def test_a_random_walk_takes_every_order():
    memory, oracle = machines(4, 3, seed=3, scale=2.0)
    start, end = np.zeros(4), np.array([1.0, 1, 0, 1])
    orders = []
    for order in permutations([0, 1, 3]):
        states = [start.copy()]
        for unit in order:
            states.append(states[-1] + np.eye(4)[unit])
        orders.append(energy(oracle, *states))
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        walked = ravines.flip_walk(memory, start, end, rng)
        (which,) = [i for i, order in enumerate(orders) if np.allclose(order, walked, atol=1e-5)]
        seen.add(which)
    assert seen == set(range(6))


def test_a_walk_to_where_it_is_has_one_state_and_no_barrier():
    memory, oracle = machines(4, 3, seed=1)
    walked = ravines.flip_walk(memory, np.ones(4), np.ones(4))
    np.testing.assert_allclose(walked, energy(oracle, np.ones(4)), atol=1e-5)
    assert ravines.barrier(walked) == 0


def test_the_barrier_is_above_the_higher_end():
    assert ravines.barrier(np.array([-3.0, 1.0, 4.0, 2.0])) == 2.0
    assert ravines.barrier(np.array([-3.0, -5.0, -4.0])) == 0.0


def test_between_two_valleys_there_is_a_barrier_and_within_one_there_is_none():
    W = 3 * np.array([[1.0], [1], [1], [-1], [-1], [-1]])
    memory, _ = machines(6, 1)
    memory.W[:], memory.vis_bias[:], memory.hid_bias[:] = W, -W[:, 0] / 2, 0
    one, other, near = np.r_[1, 1, 1, 0, 0, 0], np.r_[0, 0, 0, 1, 1, 1], np.r_[1, 1, 0, 0, 0, 0]
    assert ravines.barrier(ravines.flip_walk(memory, one, other)) > 3
    assert ravines.barrier(ravines.flip_walk(memory, one, near)) == 0


@pytest.mark.parametrize("bad", [0.5, 2, np.nan])
def test_states_that_are_not_binary_are_refused(bad):
    memory, _ = machines(4, 3)
    for ends in ((np.full(4, bad), np.ones(4)), (np.ones(4), np.full(4, bad))):
        with pytest.raises(InputError, match=r"needs states of 0 and 1"):
            ravines.flip_walk(memory, *ends)


@pytest.mark.parametrize("clamped", [True, False])
def test_gibbs_walks_start_where_they_are_told_and_arrive_at_equilibrium(clamped):
    net, arrays = nets(3)
    oracle, ops = exact.top_machine(arrays), backend.current()
    start = np.tile(np.r_[1, 0, 1, np.eye(LAB)[1]], (20_000, 1)).astype("f4")
    far, energies = ravines.gibbs_walk(net, start, [0, 1, 40], ops.random(0), clamped)
    assert far.shape == energies.shape == (3, 20_000)
    assert (far[0] == 0).all()
    np.testing.assert_allclose(energies[0], energy(oracle, start[0])[0], atol=1e-5)
    assert (start[:, :3] == [1, 0, 1]).all()  # what was given is left alone
    states, p = oracle.v_states, np.exp(exact.log_prob(oracle))
    if clamped:
        p = np.where(states[:, PEN + 1] == 1, p, 0)
    p /= p.sum()
    distance = (states[:, :PEN] != start[0, :PEN]).sum(axis=1)
    for found, want in ((far[2], p @ distance), (energies[2], p @ exact.free_energy(oracle, states))):
        assert abs(found.mean() - want) < 5 * found.std() / np.sqrt(20_000)


def test_the_control_has_the_mean_activities_and_no_order_among_its_units():
    pen = np.float32(np.random.default_rng(0).random((7, 4)) < [0.2, 0.5, 0.9, 0.0])
    control = ravines.independent(pen, 2)
    states = exact.binary_states(6)
    energies = exact.free_energy(exact.BoltzmannMachine(control.W, control.vis_bias, control.hid_bias), states)
    p = np.exp(-energies) / np.exp(-energies).sum()
    np.testing.assert_allclose(p @ states, [*(pen.sum(axis=0) + 0.5) / 8, 0.5, 0.5], atol=1e-6)
    assert ravines.barrier(ravines.flip_walk(control, states[1], states[62])) < 1e-6  # first all that lead down


def test_a_walk_between_classes_of_independent_units_takes_the_lowest_next_state():
    one, other = (ravines.independent(np.float32(pen), 2) for pen in ([[1, 1, 0, 1]] * 3, [[0, 1, 1, 0]] * 5))
    found, p = ravines.independent_walk(one, other), np.array([[7, 7, 1, 7], [1, 11, 11, 1]]) / [[8], [12]]

    def height(on, state):
        return -np.log(np.where(state, p[on], 1 - p[on])).sum()

    on, state, end, heights = 0, np.array([1, 1, 0, 1]), np.array([0, 1, 1, 0]), []
    while True:
        heights.append(height(on, state))
        moves = [(on, np.where(np.arange(4) == i, 1 - state, state)) for i in np.flatnonzero(state != end)]
        moves += [] if on else [(1, state)]
        if not moves:
            break
        on, state = min(moves, key=lambda move: height(*move))
    np.testing.assert_allclose(found, heights, atol=1e-5)
    assert len(found) == 5


def test_scattered_states_are_as_far_as_told_with_as_many_units_on():
    net, _ = nets(0)
    rng = np.random.default_rng(1)
    start = np.tile(np.r_[1, 0, 0, 1, 0], (200, 1)).astype("f4")
    moved = ravines.scatter(net, start, 2, rng)
    assert ((moved != start).sum(axis=1) == 2).all()
    assert (moved[:, :PEN].sum(axis=1) == 1).all()
    assert (moved[:, PEN:] == start[:, PEN:]).all()
    assert len(np.unique(moved, axis=0)) == 2  # either of the two units that were off
    assert (ravines.scatter(net, start, 0, rng) == start).all()


@pytest.mark.parametrize("seed", range(4))
def test_settling_leads_downhill_to_where_it_stays(seed):
    memory, oracle = machines(8, 6, n_labels=3, seed=seed, scale=2.0)
    states = np.float32(oracle.v_states)
    settled = ravines.settle(memory, states)
    assert (settled[:, 5:] == states[:, 5:]).all()
    assert (settled != states).any(axis=1).mean() > 0.5
    before, after = energy(oracle, *states), energy(oracle, *settled)
    assert (after <= before + 1e-6).all()
    assert (after[(settled != states).any(axis=1)] < before[(settled != states).any(axis=1)]).all()
    assert (ravines.settle(memory, settled) == settled).all()
    for label in range(3):  # the lowest state of each label is where it is
        own = states[:, 5 + label] == 1
        lowest = np.flatnonzero(own)[before[own].argmin()]
        assert (settled[lowest] == states[lowest]).all()
    one = ravines.settle(memory, states, max_steps=1)
    h = exact.mean_h_from_v(oracle, states)
    np.testing.assert_array_equal(one[:, :5], h @ oracle.W[:5].T + oracle.vis_bias[:5] > 0)
