"""The oracle itself, held against loops over states, finite differences, and numbers worked out by hand."""

import ast
import inspect
import itertools
import math

import numpy as np
import pytest

from dbn_lite import exact
from dbn_lite.errors import InputError


def machine(n_vis=4, n_hid=3, n_labels=0, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return exact.BoltzmannMachine(
        *(scale * rng.normal(size=size) for size in ((n_vis, n_hid), n_vis, n_hid)), n_labels)


def visible_loop(m):
    """Visible states by itertools, labels 0, 1, ... in turn within each state of the rest: no code of the module."""
    labels = [tuple(int(k == on) for k in range(m.n_labels)) for on in range(m.n_labels)] or [()]
    return [free + one for free in itertools.product((0, 1), repeat=len(m.vis_bias) - m.n_labels) for one in labels]


def weight_loop(m):
    """exp(-E) of every (v, h), summed term by term."""
    def weight(v, h):
        pairs = sum(m.W[i, j] * v[i] * h[j] for i in range(len(v)) for j in range(len(h)))
        return math.exp(pairs + sum(m.vis_bias * v) + sum(m.hid_bias * h))
    return {(v, h): weight(v, h) for v in visible_loop(m) for h in itertools.product((0, 1), repeat=len(m.hid_bias))}


def derivative(f, array, step=1e-5):
    """Central differences of f() by each entry of array, which is changed in place and restored."""
    slopes = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value, ends = array[index], []
        for moved in (value + step, value - step):
            array[index] = moved
            ends.append(f())
        array[index], slopes[index] = value, (ends[0] - ends[1]) / (2 * step)
    return slopes


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


both = pytest.mark.parametrize("n_labels", [0, 2])
DATA = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 1], [1, 0, 0, 1]])  # also states with two labels at the end


# ---- States


def test_states_are_all_different_and_in_counting_order():
    states = exact.binary_states(4)
    assert states.dtype == np.float64
    np.testing.assert_array_equal(states @ [8, 4, 2, 1], np.arange(16))


def test_label_group_has_exactly_one_unit_on():
    states = exact.binary_states(5, 3)
    assert len({tuple(s) for s in states}) == len(states) == 4 * 3
    assert (states[:, 2:].sum(axis=1) == 1).all()
    assert len(exact.binary_states(3, 3)) == 3
    assert exact.binary_states(0).shape == (1, 0)


@pytest.mark.parametrize(("n_units", "n_labels"), [(5, 0), (5, 1), (5, 3), (3, 3)])
def test_state_index_finds_each_state(n_units, n_labels):
    states = exact.binary_states(n_units, n_labels)
    np.testing.assert_array_equal(exact.state_index(states, n_units, n_labels), np.arange(len(states)))


def test_log_sum_does_not_overflow():
    x = np.array([[1000.0, 1000.0], [-1000.0, -np.inf]])
    np.testing.assert_allclose(exact.log_sum(x, axis=1), [1000 + math.log(2), -1000], rtol=1e-15)
    assert exact.log_sum(x) == pytest.approx(1000 + math.log(2))


def test_kl_by_hand():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    assert exact.kl(p, q) == pytest.approx(0.5 * math.log(2))
    assert exact.kl(q, q) == 0


# ---- The Boltzmann machine against loops


@both
def test_partition_function_and_probabilities_by_loops(n_labels):
    m = machine(n_labels=n_labels)
    weights, vs = weight_loop(m), visible_loop(m)
    z, hs = sum(weights.values()), list(itertools.product((0, 1), repeat=3))
    assert exact.log_partition(m) == pytest.approx(math.log(z), rel=1e-13)
    joint = np.array([[weights[v, h] / z for h in hs] for v in vs])
    np.testing.assert_allclose(np.exp(exact.log_joint(m)), joint, rtol=1e-12)
    np.testing.assert_allclose(exact.log_prob(m, vs), np.log(joint.sum(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(exact.log_prob_h(m), np.log(joint.sum(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(
        exact.free_energy(m, vs), [-math.log(sum(weights[v, h] for h in hs)) for v in vs], rtol=1e-12)
    np.testing.assert_allclose(
        exact.prob_h_given_v(m, vs), joint / joint.sum(axis=1, keepdims=True), rtol=1e-11)
    np.testing.assert_allclose(exact.prob_v_given_h(m, hs), (joint / joint.sum(axis=0)).T, rtol=1e-11)


def test_probabilities_survive_energies_that_overflow():
    m = machine(scale=400.0)
    assert np.exp(exact.log_prob(m)).sum() == pytest.approx(1, abs=1e-12)
    assert np.isfinite(exact.log_partition(m))


def test_arrays_of_any_kind_are_reckoned_in_float64():
    m = machine()
    single = exact.BoltzmannMachine(*(np.float32(a) for a in (m.W, m.vis_bias, m.hid_bias)))
    lists = exact.BoltzmannMachine(single.W.tolist(), single.vis_bias.tolist(), single.hid_bias.tolist())
    assert exact.log_prob(single).dtype == exact.log_prob(lists).dtype == np.float64
    np.testing.assert_array_equal(exact.log_prob(single), exact.log_prob(lists))


def test_conditional_means_are_logistic_and_softmax():
    m = machine(6, 3, n_labels=3)
    v, h = np.random.default_rng(1).random((5, 6)), m.h_states
    np.testing.assert_allclose(exact.mean_h_from_v(m, v), sigmoid(v @ m.W + m.hid_bias), rtol=1e-12)
    x, mean = h @ m.W.T + m.vis_bias, exact.mean_v_from_h(m, h)
    np.testing.assert_allclose(mean[:, :3], sigmoid(x[:, :3]), rtol=1e-12)
    softmax = np.exp(x[:, 3:]) / np.exp(x[:, 3:]).sum(axis=1, keepdims=True)  # eq. 10
    np.testing.assert_allclose(mean[:, 3:], softmax, rtol=1e-12)
    assert np.abs(mean[:, 3:] - sigmoid(x[:, 3:])).max() > 0.05  # ten independent bits would be another model


def test_free_energy_is_the_softplus_formula_for_real_values_too():
    m, v = machine(), np.random.default_rng(1).random((5, 4))
    np.testing.assert_allclose(
        exact.free_energy(m, v), -v @ m.vis_bias - np.log1p(np.exp(v @ m.W + m.hid_bias)).sum(axis=1), rtol=1e-12)


def test_label_posterior_is_the_joint_conditioned():
    m = machine(5, 3, n_labels=3)
    joint = np.exp(exact.log_prob(m)).reshape(4, 3)  # labels change fastest
    np.testing.assert_allclose(
        exact.label_posterior(m, exact.binary_states(2)), joint / joint.sum(axis=1, keepdims=True), rtol=1e-12)
    assert exact.label_posterior(m, [0.3, 0.8]).sum() == pytest.approx(1)


# ---- Gradients


@both
@pytest.mark.parametrize("name", ["W", "vis_bias", "hid_bias"])
def test_ml_gradient_is_the_slope_of_the_log_likelihood(n_labels, name):
    m = machine(n_labels=n_labels)
    slope = derivative(lambda: exact.log_prob(m, DATA).mean(), getattr(m, name))
    np.testing.assert_allclose(getattr(exact.ml_gradient(m, DATA), name), slope, atol=1e-9)


@pytest.mark.parametrize("name", ["W", "vis_bias", "hid_bias"])
def test_ml_gradient_of_real_valued_data(name):
    m, data = machine(), np.random.default_rng(1).random((5, 4))
    slope = derivative(lambda: -exact.free_energy(m, data).mean() - exact.log_partition(m), getattr(m, name))
    np.testing.assert_allclose(getattr(exact.ml_gradient(m, data), name), slope, atol=1e-9)


@both
def test_model_statistics_by_loops(n_labels):
    m = machine(n_labels=n_labels)
    weights = weight_loop(m)
    z = sum(weights.values())
    found = exact.model_statistics(m)
    np.testing.assert_allclose(found.W, sum(w * np.outer(v, h) for (v, h), w in weights.items()) / z, rtol=1e-11)
    np.testing.assert_allclose(
        found.vis_bias, sum(w * np.array(v) for (v, _), w in weights.items()) / z, rtol=1e-11)
    np.testing.assert_allclose(
        found.hid_bias, sum(w * np.array(h) for (_, h), w in weights.items()) / z, rtol=1e-11)


# ---- The Gibbs chain


@both
def test_gibbs_chain_keeps_detailed_balance_with_the_model(n_labels):
    m = machine(n_labels=n_labels)
    transition, p = exact.gibbs_transition(m), np.exp(exact.log_prob(m))
    np.testing.assert_allclose(transition.sum(axis=1), 1, rtol=1e-13)
    flow = p[:, None] * transition
    np.testing.assert_allclose(flow, flow.T, rtol=1e-11)
    assert np.abs(transition - transition.T).max() > 0.01  # so that balance is no accident of symmetry


def test_gibbs_transition_of_one_pair_by_loops():
    m = machine()
    weights, hs = weight_loop(m), list(itertools.product((0, 1), repeat=3))
    start, end = (1, 0, 0, 1), (0, 1, 1, 1)
    chance = sum(
        weights[start, h] / sum(weights[start, k] for k in hs)
        * weights[end, h] / sum(weights[v, h] for v in visible_loop(m)) for h in hs)
    assert exact.gibbs_transition(m)[0b1001, 0b0111] == pytest.approx(chance, rel=1e-12)


def test_after_gibbs_goes_step_by_step_to_equilibrium():
    m = machine()
    p0 = exact.data_distribution(m, DATA)
    assert p0[0b1001] == 0.5
    assert p0.sum() == 1
    np.testing.assert_array_equal(exact.after_gibbs(m, p0, 0), p0)
    twice = exact.after_gibbs(m, exact.after_gibbs(m, p0, 1), 1)
    np.testing.assert_allclose(exact.after_gibbs(m, p0, 2), twice, rtol=1e-12)
    np.testing.assert_allclose(exact.after_gibbs(m, p0, 500), np.exp(exact.log_prob(m)), atol=1e-12)


@both
def test_divergences_of_equation_6(n_labels):
    m = machine(n_labels=n_labels, scale=2.0)
    p0 = exact.data_distribution(m, DATA)
    rows = np.array([exact.contrastive_divergence(m, p0, n) for n in range(8)])
    entropy = -(p0[p0 > 0] @ np.log(p0[p0 > 0]))
    np.testing.assert_allclose(rows[:, 0], -exact.log_prob(m, DATA).mean() - entropy, rtol=1e-12)
    np.testing.assert_allclose(rows[:, 0] - rows[:, 1], rows[:, 2], atol=1e-15)
    assert rows[0, 2] == 0
    assert (np.diff(rows[:, 1]) < 0).all()  # every Gibbs step comes closer, so the difference is never negative


# ---- The expected gradient of contrastive divergence


@both
def test_expected_cd_is_the_chain_statistics(n_labels):
    m = machine(n_labels=n_labels)
    for n in (1, 2, 5):
        after = exact.after_gibbs(m, exact.data_distribution(m, DATA), n)
        negative = exact.data_statistics(m, m.v_states, after)
        for found, a, b in zip(exact.expected_cd_gradient(m, DATA, n), exact.data_statistics(m, DATA), negative,
                               strict=True):
            np.testing.assert_allclose(found, a - b, atol=1e-14)


@both
def test_cd_tends_to_maximum_likelihood(n_labels):
    m = machine(n_labels=n_labels)
    ml = exact.ml_gradient(m, DATA)
    errors = [max(np.abs(a - b).max() for a, b in zip(exact.expected_cd_gradient(m, DATA, n), ml, strict=True))
              for n in (1, 2, 4, 8, 16)]
    assert (np.diff(errors) < 0).all()
    assert errors[0] > 0.01
    assert errors[-1] < 1e-5 * errors[0]


def sampled_cd(m, data, n_gibbs, mean_units, n_chains, rng):
    """CD-n by simulation, written with logistic units and a label draw: the average that expected_cd computes."""
    mean_units, n_free = np.broadcast_to(mean_units, m.vis_bias.shape), len(m.vis_bias) - m.n_labels
    v = v0 = np.repeat(np.asarray(data, float), n_chains, axis=0)
    for _ in range(n_gibbs):
        p = sigmoid(v @ m.W + m.hid_bias)
        x = (p > rng.random(p.shape)) @ m.W.T + m.vis_bias
        p = sigmoid(x)
        p[:, n_free:] = np.exp(x[:, n_free:]) / np.exp(x[:, n_free:]).sum(axis=1, keepdims=True)
        state = (p > rng.random(p.shape)).astype(float)
        if m.n_labels:
            state[:, n_free:] = rng.multinomial(1, p[:, n_free:])
        v = np.where(mean_units, p, state)
    p0, p = sigmoid(v0 @ m.W + m.hid_bias), sigmoid(v @ m.W + m.hid_bias)
    products = v0[:, :, None] * p0[:, None] - v[:, :, None] * p[:, None]
    return products.mean(axis=0), products.std(axis=0) / np.sqrt(len(v))


@pytest.mark.parametrize("mean_units", [False, True, [False, False, True, True]])
def test_expected_cd_agrees_with_simulation_from_real_valued_data(mean_units):
    rng = np.random.default_rng(3)
    m, data = machine(n_labels=2, scale=2.0), np.hstack([rng.random((3, 2)), np.eye(2)[[0, 1, 1]]])
    for n in (1, 3):
        mean, error = sampled_cd(m, data, n, mean_units, 20_000, rng)
        assert (np.abs(exact.expected_cd_gradient(m, data, n, mean_units).W - mean) < 5 * error).all()
        assert error.max() < 0.005


def test_cd_with_probabilities_for_visible_states_does_not_tend_to_ml():
    m = machine(scale=2.0)
    far = np.abs(exact.expected_cd_gradient(m, DATA, 500, True).W - exact.ml_gradient(m, DATA).W).max()
    assert far > 0.01
    assert np.abs(exact.expected_cd_gradient(m, DATA, 500).W - exact.ml_gradient(m, DATA).W).max() < 1e-6


# ---- Directed nets


def random_net(sizes, seed=0, scale=1.0):
    """Layer sizes from visible to top."""
    rng = np.random.default_rng(seed)
    weights = [scale * rng.normal(size=(above, below)) for below, above in itertools.pairwise(sizes)]
    return exact.BeliefNet(weights, [scale * rng.normal(size=n) for n in sizes])


HOUSE = exact.BeliefNet([[[20], [20]]], [[-20], [-10, -10]])  # fig. 2: truck and earthquake make the house jump


def test_house_that_jumps_by_hand():
    joint = np.exp(exact.net_log_joint(HOUSE))[1].reshape(2, 2)  # the house jumps; truck, earthquake
    off, on = 1 / (1 + math.exp(-10)), 1 / (1 + math.exp(10))
    by_hand = [[off * off / (1 + math.exp(20)), off * on / 2], [on * off / 2, on * on / (1 + math.exp(-20))]]
    np.testing.assert_allclose(joint, by_hand, rtol=1e-12)
    assert on / off == pytest.approx(math.exp(-10))
    truck_and_quake = np.exp(exact.net_log_prior(HOUSE))
    assert truck_and_quake[3] / truck_and_quake[0] == pytest.approx(math.exp(-20))  # "wasteful"


def test_one_cause_explains_the_other_away():
    p = exact.net_posterior(HOUSE, [1])
    assert p[1] == p[2] == pytest.approx(0.5, abs=1e-4)
    assert p[3] / p[1] == pytest.approx(2 * math.exp(-10), rel=1e-8)  # on top of one cause, another costs e^-10
    assert p[0] / p[1] == pytest.approx(2 * math.exp(-10), rel=1e-4)  # e^-20 for the jump, e^10 for no cause
    means = p @ exact.binary_states(2)
    covariance = p[3] - means[0] * means[1]
    assert covariance / (means[0] * (1 - means[0])) == pytest.approx(-1, abs=1e-3)
    prior = np.exp(exact.net_log_prior(HOUSE)).reshape(2, 2)
    np.testing.assert_allclose(prior, np.outer(prior.sum(axis=1), prior.sum(axis=0)), rtol=1e-12)


def test_joint_of_a_layered_net_by_loops():
    net = random_net([2, 3, 2])
    table = exact.net_log_joint(net)
    assert table.shape == (4, 8, 4)
    for (a, v), (b, h), (c, t) in itertools.product(*(enumerate(exact.binary_states(n)) for n in (2, 3, 2))):
        ons = [(t, net.biases[2]), (h, t @ net.weights[1] + net.biases[1]), (v, h @ net.weights[0] + net.biases[0])]
        p = math.prod(sigmoid(x) if s else 1 - sigmoid(x) for states, xs in ons
                      for s, x in zip(states, xs, strict=True))
        assert math.exp(table[a, b, c]) == pytest.approx(p, rel=1e-12)


def test_log_prob_and_posterior_follow_from_the_joint():
    net = random_net([3, 2, 3, 2])
    joint = np.exp(exact.net_log_joint(net))
    np.testing.assert_allclose(exact.net_log_prob(net), np.log(joint.sum(axis=(1, 2, 3))), rtol=1e-12)
    np.testing.assert_allclose(exact.net_log_prob(net, [[1, 0, 1]]), exact.net_log_prob(net)[[0b101]])
    np.testing.assert_allclose(exact.net_posterior(net, [1, 0, 1]), joint[0b101] / joint[0b101].sum(), rtol=1e-12)


def test_a_given_prior_replaces_the_top_units_and_a_net_may_be_only_a_prior():
    prior = np.log([0.4, 0.3, 0.2, 0.1])
    net = random_net([3, 2])
    correlated = exact.BeliefNet(net.weights, net.biases, prior)
    np.testing.assert_allclose(np.exp(exact.net_log_joint(correlated)).sum(axis=0), np.exp(prior), rtol=1e-12)
    np.testing.assert_array_equal(exact.net_log_prob(exact.BeliefNet([], [np.zeros(2)], prior)), prior)


# ---- Factorial approximations


def test_factorial_by_hand():
    np.testing.assert_allclose(exact.factorial([0.25, 0.5]), [0.375, 0.375, 0.125, 0.125])


def test_best_factorial_recovers_a_factorial_distribution():
    probs, gap = exact.best_factorial(exact.factorial([0.2, 0.7, 0.9]))
    np.testing.assert_allclose(probs, [0.2, 0.7, 0.9], atol=1e-9)
    assert abs(gap) < 1e-12


def test_best_factorial_picks_one_of_the_two_causes():
    p = exact.net_posterior(HOUSE, [1])
    probs, gap = exact.best_factorial(p)
    assert sorted(probs.round(3)) == [0, 1]
    assert gap == pytest.approx(math.log(2), abs=1e-3)
    marginals = exact.factorial(p @ exact.binary_states(2))  # right marginals, half its mass where p has none
    assert exact.kl(marginals, p) > 3


def test_best_factorial_prefers_the_likelier_of_two_causes():
    probs, gap = exact.best_factorial(np.array([1e-6, 0.7, 0.3, 1e-6]) / 1.000002)
    np.testing.assert_allclose(probs, [0, 1], atol=1e-4)
    assert gap == pytest.approx(-math.log(0.7), abs=1e-4)


def test_best_factorial_has_converged():
    p = np.random.default_rng(5).dirichlet(np.ones(8))
    probs, _ = exact.best_factorial(p)
    np.testing.assert_allclose(derivative(lambda: exact.kl(exact.factorial(probs), p), probs), 0, atol=1e-8)


def test_no_factorial_on_a_grid_is_better():
    p = np.random.default_rng(5).dirichlet(np.ones(4))
    _, gap = exact.best_factorial(p)
    grid = [exact.kl(exact.factorial([a, b]), p) for a in np.linspace(0, 1, 81) for b in np.linspace(0, 1, 81)]
    assert gap <= min(grid)
    assert gap == pytest.approx(min(grid), abs=1e-3)
    hurried = exact.best_factorial(p, max_sweeps=1)[1]
    assert gap < hurried


# ---- The infinite tied net


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_layer_of_the_tied_net_has_the_machines_marginal(depth):
    m = machine(3, 2)
    net = exact.unroll(m, depth)
    joint = np.exp(exact.net_log_joint(net))
    assert joint.ndim == depth + 1
    marginals = [np.exp(exact.log_prob(m)), np.exp(exact.log_prob_h(m))]
    for layer in range(depth + 1):  # eq. 26, 27
        others = tuple(k for k in range(depth + 1) if k != layer)
        np.testing.assert_allclose(joint.sum(axis=others), marginals[layer % 2], rtol=1e-11)
    pair = joint.sum(axis=tuple(range(2, depth + 1)))
    np.testing.assert_allclose(pair, np.exp(exact.log_joint(m)), rtol=1e-11)
    np.testing.assert_allclose(exact.net_log_prob(net), exact.log_prob(m), rtol=1e-11)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_inference_by_transposed_weights_is_exact_when_tied(depth):
    net = exact.unroll(machine(3, 2), depth)
    for v in exact.binary_states(3):
        np.testing.assert_allclose(exact.transposed_posterior(net, v), exact.net_posterior(net, v), atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_inference_by_transposed_weights_is_inexact_when_one_matrix_is_untied(layer):
    net = exact.unroll(machine(3, 2), 3)
    weights = [w + (k == layer) * np.random.default_rng(2).normal(size=w.shape) for k, w in enumerate(net.weights)]
    untied = exact.BeliefNet(weights, net.biases, net.log_prior)
    gap = np.abs(exact.transposed_posterior(untied, [1, 0, 1]) - exact.net_posterior(untied, [1, 0, 1])).max()
    assert gap > 0.01


def test_inference_is_inexact_under_independent_units_at_the_top():
    net = exact.unroll(machine(3, 2), 1)
    plain = exact.BeliefNet(net.weights, net.biases)  # no complementary prior: explaining away
    assert np.abs(exact.transposed_posterior(plain, [1, 0, 1]) - exact.net_posterior(plain, [1, 0, 1])).max() > 0.01


def test_up_pass_posterior_by_loops():
    rng = np.random.default_rng(4)
    weights, biases = [rng.normal(size=(2, 3)), rng.normal(size=(3, 2))], [rng.normal(size=3), rng.normal(size=2)]
    v, q = np.array([1.0, 0.0]), exact.up_pass_posterior([1, 0], weights, biases)
    for (a, h), (b, t) in itertools.product(enumerate(exact.binary_states(3)), enumerate(exact.binary_states(2))):
        p_h, p_t = sigmoid(v @ weights[0] + biases[0]), sigmoid(h @ weights[1] + biases[1])
        by_hand = np.where(h == 1, p_h, 1 - p_h).prod() * np.where(t == 1, p_t, 1 - p_t).prod()
        assert q[a, b] == pytest.approx(by_hand, rel=1e-12)


def first(terms, n):
    return list(itertools.islice(terms, n))


def test_terms_of_equation_4_are_the_slopes_of_the_single_matrices():
    m, v0, depth = machine(3, 2), [1, 0, 1], 4
    terms = first(exact.tied_gradient_terms(m, [v0]), depth)
    for k, term in enumerate(terms):
        net = exact.unroll(m, depth)
        net.weights = [w.copy() for w in net.weights]  # untied, so that one can move alone
        slope = derivative(lambda net=net: exact.net_log_prob(net, [v0])[0], net.weights[k])
        np.testing.assert_allclose(term, slope if k % 2 else slope.T, atol=1e-9)
    assert max(np.abs(term).max() for term in terms) > 0.05


def test_equation_4_telescopes_to_cd_and_to_the_gradient_of_the_machine():
    m, data = machine(), np.random.default_rng(1).random((3, 4))
    sums = np.cumsum(first(exact.tied_gradient_terms(m, data), 200), axis=0)
    for n in (1, 2, 5):  # two terms for each full step of the chain
        np.testing.assert_allclose(sums[2 * n - 1], exact.expected_cd_gradient(m, data, n).W, atol=1e-13)
    np.testing.assert_allclose(sums[-1], exact.ml_gradient(m, data).W, atol=1e-9)
    assert np.abs(sums[0] - sums[-1]).max() > 0.01


# ---- The variational bound


def bound_by_loop(net, v, q):
    """Equation 8 for one directed layer, term by term."""
    total, energy = 0.0, 0.0
    for place, h in enumerate(exact.binary_states(len(net.biases[1]))):
        p = sigmoid(h @ net.weights[0] + net.biases[0])
        log_p = exact.net_log_prior(net)[place] + math.log(np.where(np.array(v) == 1, p, 1 - p).prod())
        total, energy = total + q[place] * (log_p - math.log(q[place])), energy - q[place] * log_p
    return total, energy


def test_bound_by_loop_and_its_gap():
    rng = np.random.default_rng(6)
    net = exact.BeliefNet([rng.normal(size=(3, 4))], [rng.normal(size=4), rng.normal(size=3)],
                          np.log(rng.dirichlet(np.ones(8))))
    v, q = [1, 0, 1, 1], rng.dirichlet(np.ones(8))
    found = exact.variational_bound(net, v, q)
    assert (found.bound, found.energy) == pytest.approx(bound_by_loop(net, v, q), rel=1e-12)
    assert found.entropy == pytest.approx(-(q @ np.log(q)), rel=1e-12)
    assert found.log_prob == pytest.approx(exact.net_log_prob(net, [v])[0], rel=1e-12)
    assert found.gap == pytest.approx(found.log_prob - found.bound, rel=1e-10)
    assert found.gap > 0.1
    assert exact.variational_bound(net, v, exact.net_posterior(net, v)).gap == pytest.approx(0, abs=1e-14)


def test_bound_is_tight_when_tied_and_not_when_a_new_memory_is_learned_on_top():
    m, other, v = machine(3, 3), machine(3, 3, seed=1), [1, 0, 1]
    for depth in (1, 2, 3):
        assert abs(exact.variational_bound(exact.unroll(m, depth), v).gap) < 1e-12
    tied = exact.unroll(m, 1)
    greedy = exact.BeliefNet(tied.weights, tied.biases, exact.log_prob(other))  # H0 is the new visible layer
    assert exact.variational_bound(greedy, v).gap > 0.01


def test_bound_with_a_certain_q_and_an_impossible_state():
    with np.errstate(divide="ignore"):
        net = exact.BeliefNet([np.ones((1, 1))], [np.zeros(1), np.zeros(1)], np.log([0.0, 1.0]))
    found = exact.variational_bound(net, [1], np.array([0.0, 1.0]))
    assert found.bound == found.log_prob == pytest.approx(math.log(sigmoid(1.0)))
    assert found.entropy == found.gap == 0


def test_greedy_learning_by_equation_9_never_falls_below_the_tied_net():
    m, data = machine(3, 3, scale=2.0), np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1]])
    start = exact.log_prob(m, data).mean()
    tied = exact.unroll(m, 1)
    h_data = exact.prob_h_given_v(m, data).mean(axis=0)  # Q(h0 | v0) over the data
    upper = exact.BoltzmannMachine(m.W.T.copy(), m.hid_bias.copy(), m.vis_bias.copy())  # H0 visible to it
    bounds, log_probs = [], []
    for _ in range(30):
        net = exact.BeliefNet(tied.weights, tied.biases, exact.log_prob(upper))
        found = [exact.variational_bound(net, v) for v in data]
        bounds.append(np.mean([b.bound for b in found]))
        log_probs.append(np.mean([b.log_prob for b in found]))
        slope = exact.data_statistics(upper, upper.v_states, h_data).minus(exact.model_statistics(upper))
        for name in ("W", "vis_bias", "hid_bias"):
            setattr(upper, name, getattr(upper, name) + 0.1 * getattr(slope, name))
    assert bounds[0] == pytest.approx(start, abs=1e-12)  # tight at step 2
    assert (np.diff(bounds) > 0).all()
    assert bounds[-1] > start + 0.01
    assert (np.array(log_probs) >= np.array(bounds) - 1e-12).all()


# ---- The deep belief net


def small_dbn(n_vis=3, n_hid=2, n_pen=3, n_top=2, n_lab=2, seed=7):
    rng = np.random.default_rng(seed)
    shapes = {"hidvis": (n_hid, n_vis), "visgenbiases": n_vis, "penhid": (n_pen, n_hid), "hidgenbiases": n_hid,
              "pentop": (n_pen, n_top), "labtop": (n_lab, n_top), "pengenbiases": n_pen, "labgenbiases": n_lab,
              "topbiases": n_top}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def dbn_by_loops(net):
    """p(vis, pen, label) of figure 1 by loops over every unit of every layer."""
    n_pen, n_lab, n_vis = len(net["pengenbiases"]), len(net["labgenbiases"]), len(net["visgenbiases"])
    bits = lambda n: np.array(list(itertools.product((0, 1), repeat=n)))  # noqa: E731
    chance = lambda s, x: np.where(s == 1, sigmoid(x), 1 - sigmoid(x)).prod()  # noqa: E731
    table = np.zeros((2**n_vis, 2**n_pen, n_lab))
    for (b, pen), lab in itertools.product(enumerate(bits(n_pen)), range(n_lab)):
        memory = sum(
            math.exp(pen @ net["pentop"] @ top + net["labtop"][lab] @ top + pen @ net["pengenbiases"]
                     + net["labgenbiases"][lab] + top @ net["topbiases"]) for top in bits(len(net["topbiases"])))
        for a, vis in enumerate(bits(n_vis)):
            table[a, b, lab] = memory * sum(
                chance(hid, pen @ net["penhid"] + net["hidgenbiases"])
                * chance(vis, hid @ net["hidvis"] + net["visgenbiases"]) for hid in bits(len(net["hidgenbiases"])))
    return table / table.sum()


def test_dbn_by_loops():
    net = small_dbn()
    table = dbn_by_loops(net)  # (vis, pen, label)
    np.testing.assert_allclose(np.exp(exact.log_prob_pen_label(net)), table.sum(axis=0), rtol=1e-11)
    np.testing.assert_allclose(
        np.exp(exact.net_log_prior(exact.generative_net(net))), table.sum(axis=(0, 2)), rtol=1e-11)
    np.testing.assert_allclose(np.exp(exact.log_prob_image_label(net)), table.sum(axis=1), rtol=1e-11)
    np.testing.assert_allclose(
        np.exp(exact.log_prob_image_label(net, [[0, 1, 1]])), table.sum(axis=1)[[0b011]], rtol=1e-11)
    np.testing.assert_allclose(
        np.exp(exact.net_log_prob(exact.generative_net(net))), table.sum(axis=(1, 2)), rtol=1e-11)
    np.testing.assert_allclose(
        np.exp(exact.net_log_prob(exact.generative_net(net, 1))),
        table[:, :, 1].sum(axis=1) / table[:, :, 1].sum(), rtol=1e-11)
    pen_label = table.sum(axis=0)
    np.testing.assert_allclose(
        exact.label_posterior(exact.top_machine(net), exact.binary_states(3)),
        pen_label / pen_label.sum(axis=1, keepdims=True), rtol=1e-11)


# ---- Bad input


@pytest.mark.parametrize(("call", "says"), [
    (lambda: exact.binary_states(784), r"784 units make 2\^784 states.*limit of 2\^21"),
    (lambda: exact.binary_states(40, 10), r"2\^33\.32 states"),
    (lambda: exact.binary_states(3, 4), "4 label units do not fit into a layer of 3"),
    (lambda: exact.binary_states(3, -1), "-1 label units do not fit"),
    (lambda: exact.log_partition(machine(12, 11)), r"4,096 visible and 2,048 hidden states make 2\^23 states"),
    (lambda: exact.gibbs_transition(machine(11, 2)), r"All pairs of visible states make 2\^22 states"),
    (lambda: exact.log_joint(machine(11, 11)), r"2\^22 states, more than the limit of 2\^21"),
    (lambda: exact.net_log_prob(random_net([11, 12])), r"Layers 0 and 1 make 2\^23 states"),
    (lambda: exact.net_log_joint(random_net([8, 8, 8])), r"All layers together make 2\^24 states"),
    (lambda: exact.up_pass_posterior([1, 0], [np.zeros((2, 11)), np.zeros((11, 12))], [np.zeros(11), np.zeros(12)]),
     r"hidden layers together make 2\^23 states"),
    (lambda: exact.log_prob(machine(), [[0.5, 0, 0, 1]]), "make every unit 0 or 1"),
    (lambda: exact.log_prob(machine(n_labels=2), [[1, 0, 1, 1]]), "one label unit 1"),
    (lambda: exact.log_prob(machine(n_labels=2), [[1, 0, 0, 0]]), "one label unit 1"),
    (lambda: exact.free_energy(machine(), np.ones((2, 5))), r"layer of 4 units cannot take .* \(2, 5\)"),
    (lambda: exact.free_energy(machine(), np.ones((1, 1, 4))), r"cannot take an array of shape \(1, 1, 4\)"),
    (lambda: exact.BoltzmannMachine(np.ones((3, 2)), np.ones(3), np.ones(1)), r"W has shape \(3, 2\)"),
    (lambda: exact.expected_cd_gradient(machine(), DATA, 0), "at least one Gibbs step, not 0"),
    (lambda: exact.BeliefNet([np.ones((2, 3))], [np.ones(3)]), "1 weight matrices join 2 layers"),
    (lambda: exact.BeliefNet([np.ones((3, 2))], [np.ones(3), np.ones(2)]), r"weights\[0\] has shape \(3, 2\)"),
    (lambda: exact.net_log_prob(exact.BeliefNet([], [np.ones(1)], np.zeros(2))), "do not sum to 1"),
    (lambda: exact.net_log_prob(exact.BeliefNet([], [np.ones(1)], np.zeros(1))), r"log_prior has shape \(1,\)"),
    (lambda: exact.after_gibbs(machine(), np.ones(16) / 16, -1), "cannot take -1 Gibbs steps"),
    (lambda: exact.label_posterior(machine(), np.ones(4)), "no label group"),
    (lambda: exact.net_posterior(HOUSE, [[0], [1]]), r"v has shape \(2, 1\)"),
    (lambda: exact.transposed_posterior(HOUSE, [[0], [1]]), r"v has shape \(2, 1\)"),
    (lambda: exact.variational_bound(HOUSE, [1], np.array([0.5, 0.5])), r"q has shape \(2,\)"),
    (lambda: exact.best_factorial(np.array([1.0, 0.0])), "p holds a zero"),
    (lambda: exact.unroll(machine(n_labels=2), 2), "without labels"),
    (lambda: exact.unroll(machine(), 0), "at least one layer"),
    (lambda: exact.generative_net(small_dbn(), 2), "no label 2: this net has labels 0 to 1"),
    (lambda: exact.generative_net(small_dbn(), -1), "no label -1"),
])
def test_bad_input_is_one_sentence(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_the_oracle_shares_no_code_with_what_it_judges():
    tree = ast.parse(inspect.getsource(exact))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in names if name.startswith("dbn_lite")} == {"dbn_lite.errors"}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
