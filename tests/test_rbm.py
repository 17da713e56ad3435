"""The RBM and contrastive divergence against exact sums over all states, plain loops, and scikit-learn."""

import numpy as np
import pytest
from sklearn.neural_network import BernoulliRBM
from tiny import machines, means_agree, misfit

from dbn_lite import backend, exact, rbm
from dbn_lite.errors import InputError

both = pytest.mark.parametrize("n_labels", [0, 2])
GREY = np.float32([[0.2, 0.9, 0.5, 0.0], [1.0, 0.3, 0.6, 0.1], [0.0, 0.7, 1.0, 0.4]])


def stream(seed=0):
    return backend.Random(seed, "test")


def fields(machine):
    return {"W": machine.W, "vis_bias": machine.vis_bias, "hid_bias": machine.hid_bias}


def copy(machine):
    return rbm.RBM(*(a.copy() for a in fields(machine).values()), machine.n_labels)


def states(machine, n, seed=0):
    """n visible states drawn evenly, float32."""
    chosen = np.random.default_rng(seed).integers(len(machine.v_states), size=n)
    return np.float32(machine.v_states[chosen])


# ---- Conditionals and free energies


@both
def test_mean_h_from_v_is_exact(n_labels):
    ours, oracle = machines(4, 3, n_labels, scale=2)
    for v in (oracle.v_states, GREY):
        np.testing.assert_allclose(rbm.mean_h_from_v(ours, np.float32(v)), exact.mean_h_from_v(oracle, v), atol=1e-6)


@both
def test_mean_v_from_h_is_exact(n_labels):
    ours, oracle = machines(5, 3, n_labels, scale=2)
    h = oracle.h_states
    np.testing.assert_allclose(rbm.mean_v_from_h(ours, np.float32(h)), exact.mean_v_from_h(oracle, h), atol=1e-6)


@both
@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_free_energy_is_minus_log_of_the_sum_over_hidden_states(n_labels, scale):
    ours, oracle = machines(5, 4, n_labels, scale=scale)
    v = oracle.v_states
    np.testing.assert_allclose(rbm.free_energy(ours, np.float32(v)), exact.free_energy(oracle, v), atol=1e-4, rtol=1e-6)


def test_free_energy_of_grey_images():
    ours, oracle = machines()
    np.testing.assert_allclose(rbm.free_energy(ours, GREY), exact.free_energy(oracle, GREY), atol=1e-4)


def test_free_energies_differ_as_log_probabilities_do():
    ours, oracle = machines(5, 4, 2)
    log_p = exact.log_prob(oracle)
    energies = rbm.free_energy(ours, np.float32(oracle.v_states))
    np.testing.assert_allclose(-energies - exact.log_partition(oracle), log_p, atol=1e-4)


def test_two_thousand_hidden_units_do_not_overflow():
    """A public bug: the free energy as log of prod(1 + exp(x)), which 2,000 units carry past the largest float."""
    rng = np.random.default_rng(0)
    ours = rbm.RBM(np.float32(rng.normal(size=(20, 2000))), np.float32(rng.normal(size=20)), np.zeros(2000, "f4"))
    v = np.float32(rng.random((5, 20)))
    x = np.float64(v) @ np.float64(ours.W)
    with np.errstate(over="ignore"):
        assert np.isinf(np.prod(1 + np.exp(x), axis=1)).all()  # the bug is reached, in float64 even
    in_float64 = -v @ np.float64(ours.vis_bias) - np.logaddexp(0, x).sum(axis=1)
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(rbm.free_energy(ours, v), in_float64, rtol=1e-5)


@pytest.mark.parametrize("x", [-1e30, -1e4, -100.0, -1.0, -1e-6, 0.0, 1e-6, 1.0, 88.0, 100.0, 1e4, 1e30])
def test_softplus(x):
    with np.errstate(all="raise", under="ignore"):
        assert rbm.softplus(np.float32([x]))[0] == pytest.approx(np.logaddexp(0, np.float64(x)), rel=1e-6, abs=1e-40)


def test_scikit_learn_agrees():
    ours, _ = machines(6, 4, scale=1.5)
    theirs, mirror = BernoulliRBM(n_components=4), BernoulliRBM(n_components=6)
    theirs.components_, theirs.intercept_visible_, theirs.intercept_hidden_ = ours.W.T, ours.vis_bias, ours.hid_bias
    mirror.components_, mirror.intercept_visible_, mirror.intercept_hidden_ = ours.W, ours.hid_bias, ours.vis_bias
    v, h = (np.float32(np.random.default_rng(0).random((20, n))) for n in (6, 4))
    np.testing.assert_allclose(rbm.mean_h_from_v(ours, v), theirs.transform(v), atol=1e-6)
    np.testing.assert_allclose(rbm.mean_v_from_h(ours, h), mirror.transform(h), atol=1e-6)
    np.testing.assert_allclose(rbm.free_energy(ours, v), theirs._free_energy(v), rtol=1e-5)


# ---- Sampling


def test_hidden_samples_have_the_exact_conditional():
    ours, oracle = machines()
    for v in GREY:
        h = rbm.sample_h_from_v(ours, np.tile(v, (50_000, 1)), stream())
        assert misfit(exact.state_index(h, 3), exact.prob_h_given_v(oracle, v)[0]) < 1


@both
def test_visible_samples_have_the_exact_conditional(n_labels):
    ours, oracle = machines(5, 3, n_labels)
    for h in np.float32(oracle.h_states[[0, 3, 6]]):
        v = rbm.sample_v_from_h(ours, np.tile(h, (50_000, 1)), stream())
        assert misfit(exact.state_index(v, 5, n_labels), exact.prob_v_given_h(oracle, h)[0]) < 1


def test_labels_are_one_group_not_independent_bits():
    """A public bug: ten labels as ten independent logistic units, so that none, or several, can be on."""
    ours, oracle = machines(12, 3, 10)
    v = rbm.sample_v_from_h(ours, np.tile(np.float32([1, 0, 1]), (50_000, 1)), stream())
    assert (v[:, 2:].sum(axis=1) == 1).all()
    assert misfit(v[:, 2:].argmax(axis=1), exact.mean_v_from_h(oracle, [1, 0, 1])[0, 2:]) < 1
    bits = rbm.sample_v_from_h(rbm.RBM(ours.W, ours.vis_bias, ours.hid_bias), v[:, :3], stream())
    assert (bits[:, 2:].sum(axis=1) != 1).mean() > 0.5  # what the test would have seen


@both
def test_gibbs_sampling_reaches_the_exact_joint_distribution(n_labels):
    ours, oracle = machines(5, 3, n_labels, scale=0.7)
    v, rng = np.tile(states(oracle, 1), (20_000, 1)), stream()
    log_p, n_h = exact.log_prob(oracle), len(oracle.h_states)
    for step in range(25):
        h, v = rbm.gibbs_step(ours, v, rng)
        if step == 0:
            assert misfit(exact.state_index(v, 5, n_labels), np.exp(log_p)) > 2  # not there yet, and the test sees it
    v_places, h_places = exact.state_index(v, 5, n_labels), exact.state_index(h, 3)
    assert misfit(v_places, np.exp(log_p)) < 1
    assert misfit(v_places * n_h + h_places, np.exp(exact.log_joint(oracle)).ravel()) < 1  # h is what made this v


# ---- Contrastive divergence


def update(machine, data, n_gibbs=1, seed=0, **settings):
    """What one step at rate 1 adds to each parameter, and the learner."""
    ours = copy(machine)
    learner = rbm.ContrastiveDivergence(ours, len(data), **settings)
    learner.step(np.float32(data), stream(seed), 1.0, n_gibbs=n_gibbs)
    return {name: a - fields(machine)[name] for name, a in fields(ours).items()}, learner


def agrees(got, want, n, sigmas=5.0):
    """Whether mean updates over n cases are the statistics wanted: what is sampled lies in [0, 1], deviation 1/2."""
    return gap(got, want) < sigmas / 2 / np.sqrt(n)


def gap(got, want):
    return max(np.abs(got[name] - getattr(want, name)).max() for name in got)


N = 50_000


@pytest.mark.parametrize("sample_visible", [False, True])
@pytest.mark.parametrize("n_gibbs", [1, 2, 5])
@pytest.mark.parametrize("n_labels", [0, 2])
def test_cd_n_has_the_exact_mean(n_labels, n_gibbs, sample_visible):
    """Also against a public bug, a Gibbs loop that never advances its chain: CD-5 would equal CD-1."""
    ours, oracle = machines(5, 3, n_labels, seed=3, scale=1.5)
    data = np.float32([[1, 0, 0.3, 1, 0], [0.6, 0.1, 1, 0, 1]])
    shown_as_probs = np.arange(5) < (0 if sample_visible else 5 - n_labels)
    got, _ = update(ours, np.tile(data, (N // 2, 1)), n_gibbs, sample_visible=sample_visible)
    want = [exact.expected_cd_gradient(oracle, data, n, shown_as_probs) for n in (n_gibbs, n_gibbs + 1, 1)]
    assert agrees(got, want[0], N)
    if n_gibbs > 1:
        assert not agrees(got, want[2], N)  # a loop that stands still
    else:
        assert not agrees(got, want[1], N)  # or runs once too often
    other = exact.expected_cd_gradient(oracle, data, n_gibbs, np.arange(5) < (5 - n_labels if sample_visible else 0))
    assert not agrees(got, other, N)  # states and probabilities are told apart


@both
def test_cd_n_tends_to_the_maximum_likelihood_gradient(n_labels):
    """Equation 5: <v0 h0> - <v_inf h_inf>, when visible units are sampled too."""
    ours, oracle = machines(5, 3, n_labels, seed=7, scale=2.5)
    data = states(oracle, 4)
    want = exact.ml_gradient(oracle, data)
    gaps = []
    for n_gibbs in (1, 3, 15):
        got, _ = update(ours, np.tile(data, (N // 4, 1)), n_gibbs, sample_visible=True)
        gaps.append(gap(got, want))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert agrees(got, want, N)


def test_grey_pixels_enter_the_statistics_as_they_are():
    """A public bug: training on binarised pixels and testing on grey ones."""
    ours, _ = machines()
    got, learner = update(ours, GREY)
    reconstruction = learner.v[3:]
    np.testing.assert_allclose(got["vis_bias"], (GREY - reconstruction).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(learner.h[:3], rbm.mean_h_from_v(ours, GREY), atol=1e-6)
    assert not np.isin(reconstruction, (0, 1)).any()
    binarised, _ = update(ours, np.round(GREY))
    assert np.abs(binarised["vis_bias"] - got["vis_bias"]).max() > 0.05


@both
@pytest.mark.parametrize("n_gibbs", [1, 4])
def test_persistent_chain_has_the_machine_s_distribution(n_labels, n_gibbs):
    ours, oracle = machines(5, 3, n_labels, seed=1, scale=0.7)
    data, rng = states(oracle, 20_000), stream()
    learner = rbm.ContrastiveDivergence(ours, len(data), persistent=True, sample_visible=True)
    p_v, p_h = np.exp(exact.log_prob(oracle)), np.exp(exact.log_prob_h(oracle))
    learner.step(data, rng, 0.0)
    assert misfit(exact.state_index(learner.states, 3), p_h) > 1.5  # one step is too few, and the test sees it
    for _ in range(24 // n_gibbs):
        learner.step(data, rng, 0.0, n_gibbs=n_gibbs)
    assert misfit(exact.state_index(learner.states, 3), p_h) < 1
    assert misfit(exact.state_index(learner.v[len(data) :], 5, n_labels), p_v) < 1


def test_persistent_updates_tend_to_maximum_likelihood_whatever_the_data():
    ours, oracle = machines(5, 3, 2, seed=7, scale=2.5)
    data, rng = np.tile(states(oracle, 4), (N // 4, 1)), stream()
    learner = rbm.ContrastiveDivergence(ours, N, persistent=True, sample_visible=True)
    for _ in range(15):
        learner.step(data, rng, 0.0)
    before = copy(ours)
    learner.step(data, rng, 1.0)
    got = {name: a - fields(before)[name] for name, a in fields(ours).items()}
    assert agrees(got, exact.ml_gradient(oracle, data[:4]), N)
    assert not agrees(got, exact.expected_cd_gradient(oracle, data[:4], 1), N)


def test_the_chain_without_persistence_starts_at_the_data_each_time():
    ours, oracle = machines(5, 3, scale=2)
    learner = rbm.ContrastiveDivergence(ours, N)
    for v in oracle.v_states[[0, 31]]:
        learner.step(np.tile(np.float32(v), (N, 1)), stream(), 0.0)
        want = exact.mean_v_from_h(oracle, oracle.h_states)
        assert means_agree(learner.v[N:], exact.prob_h_given_v(oracle, v)[0] @ want)


@pytest.mark.parametrize("n_labels", [0, 2])
@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.5), (0.8, 0.3)])
def test_momentum_and_decay_against_a_plain_loop(n_labels, momentum, weight_decay):
    ours, oracle = machines(5, 3, n_labels)
    want = {name: np.float64(a) for name, a in fields(ours).items()}
    velocity = {name: np.zeros(a.shape) for name, a in want.items()}
    learner, rng, rate = rbm.ContrastiveDivergence(ours, 6), stream(), 0.1
    for turn in range(4):
        learner.step(states(oracle, 6, seed=turn), rng, rate, momentum, weight_decay)
        v, h = np.float64(learner.v), np.float64(learner.h)  # the lower half of h is negated
        gradient = {"W": v.T @ h / 6, "vis_bias": (v[:6] - v[6:]).mean(axis=0), "hid_bias": h.sum(axis=0) / 6}
        for name in want:
            velocity[name] = momentum * velocity[name] + rate * gradient[name]
            decay = weight_decay * rate / (1 - momentum) if name == "W" else 0
            want[name] = want[name] - decay * want[name] + velocity[name]
    for name, a in fields(ours).items():
        np.testing.assert_allclose(a, want[name], atol=1e-6)
        np.testing.assert_allclose(fields(learner.velocity)[name], velocity[name], atol=1e-6)


def test_learning_raises_the_likelihood_of_its_data():
    """End to end: CD-1 on two patterns, the log-likelihood by enumeration."""
    oracle = machines(6, 4)[1]
    data = np.tile(np.float32([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]), (10, 1))
    ours = rbm.random_rbm(6, 4, seed=0)
    learner, rng, before = rbm.ContrastiveDivergence(ours, 20), stream(), []
    for turn in range(1001):
        if turn in (0, 1000):
            oracle.W, oracle.vis_bias, oracle.hid_bias = map(np.float64, fields(ours).values())
            before.append(exact.log_prob(oracle, data).mean())
        learner.step(data, rng, 0.1, 0.5)
    assert before[0] == pytest.approx(6 * np.log(0.5), abs=0.01)
    assert before[1] > -1.5  # log(1/2) = -0.69 is the best there is


@pytest.mark.parametrize("n_gibbs", [0, -1])
def test_zero_gibbs_steps_are_refused(n_gibbs):
    """They would learn from whatever the buffers held."""
    ours, _ = machines()
    before = copy(ours)
    with pytest.raises(InputError, match=f"n_gibbs is {n_gibbs}; give a whole number of at least 1"):
        rbm.ContrastiveDivergence(ours, 3).step(GREY, stream(), 0.1, n_gibbs=n_gibbs)
    for name, a in fields(ours).items():
        np.testing.assert_array_equal(a, fields(before)[name])


# ---- Beginnings, types


def test_random_rbm_starts_small_and_by_its_seed():
    ours = rbm.random_rbm(300, 200, seed=4, n_labels=10)
    assert (ours.n_vis, ours.n_hid, ours.n_labels) == (300, 200, 10)
    assert ours.W.std() == pytest.approx(0.01, rel=0.02)
    assert abs(ours.W.mean()) < 5 * 0.01 / np.sqrt(60_000)
    assert not ours.vis_bias.any()
    assert not ours.hid_bias.any()
    np.testing.assert_array_equal(ours.W, rbm.random_rbm(300, 200, seed=4).W)
    for other in (rbm.random_rbm(300, 200, seed=5), rbm.random_rbm(300, 200, seed=4, consumer="other")):
        assert (other.W != ours.W).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, bool, int])
@pytest.mark.parametrize("n_labels", [0, 2])
def test_everything_is_float32_whatever_comes_in(n_labels, dtype):
    ours, oracle = machines(5, 3, n_labels)
    v, h = oracle.v_states[:4].astype(dtype), oracle.h_states[:4].astype(dtype)
    v_before, h_before = v.copy(), h.copy()
    results = [
        rbm.mean_h_from_v(ours, v),
        rbm.sample_h_from_v(ours, v, stream()),
        rbm.mean_v_from_h(ours, h),
        rbm.sample_v_from_h(ours, h, stream()),
        *rbm.gibbs_step(ours, v, stream()),
        rbm.free_energy(ours, v),
    ]
    assert [a.dtype for a in results] == [np.float32] * len(results)
    np.testing.assert_allclose(results[0], exact.mean_h_from_v(oracle, v), atol=1e-6)
    np.testing.assert_array_equal(v, v_before)  # and what comes in is left alone
    np.testing.assert_array_equal(h, h_before)
    learner = rbm.ContrastiveDivergence(ours, 4)
    learner.step(v, stream(), 0.1, 0.5, 1e-3)
    held = [*fields(ours).values(), *fields(learner.velocity).values(), learner.v, learner.h]
    assert {a.dtype for a in held} == {np.dtype(np.float32)}


def test_a_machine_of_float64_weights_becomes_float32():
    _, oracle = machines()
    ours = rbm.RBM(oracle.W, oracle.vis_bias, oracle.hid_bias)
    assert {a.dtype for a in fields(ours).values()} == {np.dtype(np.float32)}
    assert rbm.mean_h_from_v(ours, GREY).dtype == np.float32


@pytest.mark.parametrize(
    ("W", "vis_bias", "hid_bias"),
    [((3, 2), 3, 1), ((3, 2), 1, 2), ((2, 3), 3, 2), ((3,), 3, 1), ((3, 2), (1, 3), 2), ((1, 3, 2), (1, 3), 2)],
)
def test_parameters_that_do_not_fit_are_refused(W, vis_bias, hid_bias):
    """A bias of one number would be taken for that of every unit, in silence."""
    with pytest.raises(InputError, match=r"weights of shape .* do not join .* give \(n_vis, n_hid\)"):
        rbm.RBM(np.ones(W), np.ones(vis_bias), np.ones(hid_bias))


@pytest.mark.parametrize(("n_labels", "why"), [(4, "4 label units do not fit into 3"), (-1, "is -1"), (1.0, "is 1.0")])
def test_a_label_group_that_is_no_part_of_the_layer_is_refused(n_labels, why):
    with pytest.raises(InputError, match=why):
        rbm.RBM(np.ones((3, 2)), np.ones(3), np.ones(2), n_labels)


@pytest.mark.parametrize("shape", [(), (4,), (3,), (2, 5), (1, 2, 4)])
def test_activities_that_are_not_rows_of_the_layer_are_refused(shape):
    """Also a single image without its row."""
    ours, _ = machines(4, 3)
    for of_visible in (rbm.mean_h_from_v, rbm.free_energy, rbm.sample_h_from_v, rbm.gibbs_step):
        more = () if of_visible in (rbm.mean_h_from_v, rbm.free_energy) else (stream(),)
        with pytest.raises(InputError, match="do not fit; give one row of 4 for each case"):
            of_visible(ours, np.zeros(shape), *more)
    for of_hidden, more in ((rbm.mean_v_from_h, ()), (rbm.sample_v_from_h, (stream(),))):
        with pytest.raises(InputError, match="do not fit; give one row of 3 for each case"):
            of_hidden(ours, np.zeros(shape), *more)


# ---- What a step refuses, instead of broadcasting it


@pytest.mark.parametrize("shape", [(1, 6), (6,), (10, 1), (10, 5), (9, 6), (10, 6, 1)])
def test_data_of_another_shape_are_refused(shape):
    machine = rbm.random_rbm(6, 4, 0)
    learner, before = rbm.ContrastiveDivergence(machine, 10), machine.W.copy()
    with pytest.raises(InputError, match=r"data have the shape \(.*\); give \(10, 6\), one row for each case"):
        learner.step(np.zeros(shape, np.float32), stream(), 0.1)
    np.testing.assert_array_equal(machine.W, before)


@pytest.mark.parametrize(
    "settings", [(-0.1, 0, 0), (np.nan, 0, 0), (0.1, 1, 0), (0.1, -0.1, 0), (0.1, 0, -1)]
)
def test_settings_out_of_range_are_refused(settings):
    learner = rbm.ContrastiveDivergence(rbm.random_rbm(6, 4, 0), 10)
    with pytest.raises(InputError, match=r"no step can be taken at rate .*; give a rate and a decay of 0 or more"):
        learner.step(np.zeros((10, 6), np.float32), stream(), *settings)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_an_empty_mini_batch_is_refused(batch_size):
    with pytest.raises(InputError, match=f"batch_size is {batch_size}; give a whole number of at least 1"):
        rbm.ContrastiveDivergence(rbm.random_rbm(6, 4, 0), batch_size)
