"""Annealed importance sampling against enumeration: partition functions, from both ends, and the bound on images."""

import numpy as np
import pytest
from tiny import VIS, machines, nets

from dbn_lite import exact
from dbn_lite.errors import InputError
from dbn_lite.rbm import RBM
from dbn_lite.study import ais

BETAS = np.linspace(0, 1, 41)
SMALL = {  # n_vis, n_hid, n_labels, seed, scale
    "plain": (6, 5, 0, 1, 1.0),
    "strong weights": (8, 4, 0, 2, 2.0),
    "two labels": (6, 4, 2, 3, 1.0),
    "ten labels": (14, 5, 10, 4, 1.5),
}


def pair(name):
    *sizes, seed, scale = SMALL[name]
    return machines(*sizes, seed=seed, scale=scale)


def states(oracle, n=1000, seed=5):
    """Independent samples of the visible states, from the table of their probabilities."""
    p = np.exp(exact.log_prob(oracle))
    return oracle.v_states[np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_both_directions_agree_with_enumeration_within_their_own_errors(name, centred):
    rbm, oracle = pair(name)
    typical = states(oracle, 50) if centred else None
    truth = exact.log_partition(oracle)
    there = ais.forward(rbm, BETAS, 1000, typical)
    back = ais.backward(rbm, BETAS, states(oracle), typical)
    for estimate in (there, back):
        assert 0 < estimate.standard_error < 0.1
        assert abs(estimate.log_z - truth) < 4 * estimate.standard_error
        assert 100 < estimate.effective_chains <= 1000


@pytest.mark.parametrize("name", SMALL)
def test_the_two_directions_bracket_log_z(name):
    """Single chains: the log of an unbiased estimate of Z is too low on average, that of 1 / Z too low as well."""
    rbm, oracle = pair(name)
    coarse, truth = np.linspace(0, 1, 4), exact.log_partition(oracle)
    low, high = ais.forward(rbm, coarse, 1000).log_ratios, ais.backward(rbm, coarse, states(oracle)).log_ratios
    assert low.mean() + 3 * low.std() / np.sqrt(1000) < truth < high.mean() - 3 * high.std() / np.sqrt(1000)
    fine = ais.forward(rbm, np.linspace(0, 1, 101), 1000).log_ratios
    assert truth - fine.mean() < 0.5 * (truth - low.mean())  # more steps, tighter bracket


def test_one_long_step_is_plain_importance_sampling():
    rbm, oracle = pair("two labels")
    path, both = ais.Path(rbm), np.array([0.0, 1.0])
    chains = ais.forward(rbm, both, 20_000)
    weights = np.exp(chains.log_ratios - exact.log_partition(oracle))
    base = exact.BoltzmannMachine(0 * oracle.W, oracle.vis_bias, oracle.hid_bias, oracle.n_labels)
    ratios = np.exp(exact.log_prob(oracle) - exact.log_prob(base))  # what a chain from each state weighs
    second = float(np.exp(exact.log_prob(base)) @ ratios**2)
    assert path.log_z0() == pytest.approx(exact.log_partition(base), abs=1e-6)
    assert np.mean(weights**2) == pytest.approx(second, rel=0.1)
    assert set(np.round(weights, 6)) <= set(np.round(ratios, 6))


def test_the_path_leads_from_independent_units_to_the_machine():
    rbm, oracle = pair("ten labels")
    typical = states(oracle, 20)
    v = oracle.v_states[:7]
    for path in (ais.Path(rbm), ais.Path(rbm, typical)):
        np.testing.assert_allclose(path.log_f(1.0, v, v @ path.W), -exact.free_energy(oracle, v), atol=1e-9)
        zero = exact.BoltzmannMachine(0 * oracle.W, path.vis0, path.hid0, oracle.n_labels)
        assert path.log_z0() == pytest.approx(exact.log_partition(zero), abs=1e-9)
    k = exact.mean_h_from_v(oracle, typical).mean(axis=0)  # centred: -(v - m) W (h - k) in place of -v W h
    np.testing.assert_allclose(path.vis0, oracle.vis_bias + oracle.W @ k, atol=1e-9)
    np.testing.assert_allclose(path.hid0, oracle.hid_bias + typical.mean(axis=0) @ oracle.W, atol=1e-9)


def test_reverse_chains_confined_to_a_valley_measure_it_by_the_share_of_forward_chains():
    """Two valleys, 111000 with the hidden unit on and 000111 with it off, that hardly any step leaves."""
    W = 5 * np.array([[1.0], [1], [1], [-1], [-1], [-1]])
    oracle = exact.BoltzmannMachine(W, -W[:, 0] / 2, [0.0])
    rbm = RBM(oracle.W, oracle.vis_bias, oracle.hid_bias)
    p = np.exp(exact.log_prob(oracle))
    in_valley = oracle.v_states[:, :3].sum(axis=1) > oracle.v_states[:, 3:].sum(axis=1)
    within = np.where(in_valley, p, 0) / p[in_valley].sum()
    start = oracle.v_states[np.random.default_rng(0).choice(len(p), 4000, p=within)]
    there = ais.forward(rbm, BETAS, 4000)
    ended = there.ends[:, :3].sum(axis=1) > there.ends[:, 3:].sum(axis=1)
    share = ended.mean()
    assert 0.03 < share < 0.3  # half of the probability is there, but chains from beta = 0 favour the other one
    of_valley = exact.log_partition(oracle) + np.log(p[in_valley].sum())
    estimate = ais.backward(rbm, BETAS, start)
    assert estimate.log_z == pytest.approx(of_valley - np.log(share), abs=0.3)
    assert estimate.log_z > of_valley + 1
    forward = there.within(ended)  # without such a correction
    assert forward.log_z == pytest.approx(of_valley, abs=4 * forward.standard_error)


def test_estimates_of_known_weights():
    forward = ais.Estimate(np.log([1.0, 2.0, 3.0]) + 800, np.eye(3))
    assert forward.log_z == pytest.approx(np.log(2) + 800)
    assert forward.standard_error == pytest.approx(1 / 2 / np.sqrt(3))
    assert forward.effective_chains == pytest.approx(36 / 14)
    assert forward.within(forward.ends[:, 0] == 0).log_z == pytest.approx(np.log(5 / 3) + 800)
    reverse = ais.Estimate(forward.log_ratios, forward.ends, reverse=True)
    assert reverse.log_z == pytest.approx(800 - np.log((1 + 1 / 2 + 1 / 3) / 3))


@pytest.mark.parametrize("betas", [[0.0], [0.0, 0.5], [0.1, 1.0], [0.0, 0.7, 0.3, 1.0], [1.0, 0.0]])
def test_a_path_that_does_not_rise_from_0_to_1_is_refused(betas):
    rbm, oracle = pair("plain")
    with pytest.raises(InputError, match=r"must rise from 0 to 1"):
        ais.forward(rbm, np.array(betas), 10)
    with pytest.raises(InputError, match=r"must rise from 0 to 1"):
        ais.backward(rbm, np.array(betas), states(oracle, 10))


def exact_bound(arrays, image):
    """Equation 8 for the net's own recognition, by enumeration; the memory, labels summed out, is the prior of pen."""
    weights, biases = (arrays["vishid"], arrays["hidpen"]), (arrays["hidrecbiases"], arrays["penrecbiases"])
    q = exact.up_pass_posterior(image, weights, biases)
    return exact.variational_bound(exact.generative_net(arrays), image, q)


@pytest.mark.parametrize(("seed", "scale"), [(0, 1.0), (1, 2.0), (2, 0.5)])
def test_the_bound_is_that_of_equation_8_and_below_log_p(seed, scale):
    net, arrays = nets(seed, scale)
    log_z = exact.log_partition(exact.top_machine(arrays))
    for image in exact.binary_states(VIS)[::7]:
        passes = ais.log_weights(net, np.tile(image, (4000, 1)), seed) - log_z
        found = exact_bound(arrays, image)
        error = passes.std() / np.sqrt(len(passes))
        assert abs(passes.mean() - found.bound) < 4.5 * error + 1e-5
        assert passes.mean() < found.log_prob + 3 * error
        weights = np.exp(passes - found.log_prob)  # their mean is p itself; with strong weights they vary too much
        assert scale > 1 or abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(len(weights))


def test_grey_images_count_as_the_average_of_what_they_are_probabilities_of():
    net, arrays = nets(3)
    grey = np.random.default_rng(0).random(VIS)
    weights, biases = (arrays["vishid"], arrays["hidpen"]), (arrays["hidrecbiases"], arrays["penrecbiases"])
    q = exact.up_pass_posterior(grey, weights, biases)
    images = exact.binary_states(VIS)
    each = [exact.variational_bound(exact.generative_net(arrays), image, q).bound for image in images]
    truth = exact.factorial(grey) @ np.array(each)
    log_z = exact.log_partition(exact.top_machine(arrays))
    passes = ais.log_weights(net, np.tile(grey, (20_000, 1))) - log_z
    assert abs(passes.mean() - truth) < 4 * passes.std() / np.sqrt(20_000)


def test_the_bound_averages_passes_of_every_image():
    net, arrays = nets(4)
    images = np.vstack([exact.binary_states(VIS)] * 20)  # more than one block
    found = ais.bound(net, images, log_z=3.0, n_passes=40)
    want = np.array([exact_bound(arrays, image).bound for image in exact.binary_states(VIS)])
    log_z = exact.log_partition(exact.top_machine(arrays))
    by_image = found.reshape(20, -1) + 3.0 - log_z
    errors = by_image.std(axis=0) / np.sqrt(20)
    assert (np.abs(by_image.mean(axis=0) - want) < 5 * errors).all()
    assert (ais.bound(net, images, 3.0, n_passes=1) != ais.bound(net, images, 3.0, n_passes=1, seed=9)).any()
