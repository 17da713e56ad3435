"""The few operations everything stands on, against formulas in float64 and counts over every random number."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny import means_agree

from dbn_lite import backend, dbn, rbm
from dbn_lite.errors import InputError
from dbn_lite.updown import UpDown

BOUND = 3.1e-5  # what the docstring of `sample` promises
EVERY_R = np.arange(-32768, 32768).astype(np.int16)
INPUTS = np.concatenate([np.linspace(-14, 14, 113), [-100, 100, -1e-4, 1e-4, -1e30, 1e30]])


@pytest.fixture
def ops():
    return backend.current()


class Given:
    """Hands out the numbers it was given."""

    def __init__(self, numbers):
        self.numbers = numbers

    def int16(self, shape):
        return np.broadcast_to(self.numbers, shape)

    def uniform(self, n):
        return np.broadcast_to(np.float32(self.numbers), n)


def logistic(x):
    x = np.float64(x)
    return np.exp(-np.logaddexp(0, -x))


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---- Binary units


def implied_probability(ops, total_input, bias=0.0):
    """In how many of the 65,536 equally likely cases the unit turns on."""
    x = np.full((1, len(EVERY_R)), total_input, np.float32)
    return ops.sample(x, np.full(len(EVERY_R), bias, np.float32), Given(EVERY_R)).mean(dtype=np.float64)


@pytest.mark.parametrize("total_input", INPUTS)
def test_sample_implies_the_logistic_probability(ops, total_input):
    assert abs(implied_probability(ops, total_input) - logistic(total_input)) <= BOUND


def test_sampling_is_symmetric_and_fair_at_zero(ops):
    assert implied_probability(ops, 0.0) == 0.5
    for x in (0.3, 2.0, 7.0):
        assert implied_probability(ops, x) == 1 - implied_probability(ops, -x)


def test_bias_adds_to_the_total_input(ops):
    assert implied_probability(ops, 1.0, bias=-3.0) == implied_probability(ops, -2.0)
    assert implied_probability(ops, 1.0, bias=-3.0) != implied_probability(ops, 1.0)


def test_samples_come_at_the_logistic_rate_from_the_real_stream(ops):
    bias = np.linspace(-4, 4, 9, dtype=np.float32)
    states = ops.sample(ops.zeros(200_000, 9), bias, ops.random(3, "rate"))
    assert set(np.unique(states)) == {0, 1}
    assert means_agree(states, logistic(bias))
    assert not means_agree(states, logistic(1.03 * bias))  # and so near a miss is seen
    pairs = np.corrcoef(states.T) - np.eye(9)
    assert abs(pairs).max() < 5 / np.sqrt(200_000)  # units do not share bits


def test_sample_keeps_what_it_is_told_to_keep(ops):
    x, bias, r = rows(5, 7), rows(7, seed=1), EVERY_R[:: len(EVERY_R) // 35][:35].reshape(5, 7)
    plain, out, probs, states = x.copy(), ops.empty(5, 7), x.copy(), ops.empty(5, 7)
    assert ops.sample(plain, bias, Given(r)) is plain
    assert ops.sample(x.copy(), bias, Given(r), out=out) is out
    assert ops.sample(probs, bias, Given(r), out=states, keep_probs=True) is states
    np.testing.assert_array_equal(plain, logistic(x + bias) > (r + 32768.5) / 65536)
    np.testing.assert_array_equal(plain, out)
    np.testing.assert_array_equal(plain, states)
    np.testing.assert_allclose(probs, logistic(x + bias), atol=1e-6)


def test_operations_work_on_part_of_a_buffer_and_leave_the_rest(ops):
    whole = np.full((4, 9), 7, np.float32)
    part = whole[:, 2:6]
    part[...] = x = rows(4, 4)
    ops.logistic(part, ops.zeros(4))
    np.testing.assert_allclose(whole[:, 2:6], logistic(x), atol=1e-6)
    part[...] = x
    ops.softmax(part, ops.zeros(4))
    ops.sample(part, ops.zeros(4), ops.random(0))
    ops.sample_softmax(part, ops.zeros(4), ops.random(0))
    assert (part.sum(axis=1) == 1).all()
    assert (whole[:, [0, 1, 6, 7, 8]] == 7).all()


def test_logistic(ops):
    x, bias = np.float32(INPUTS)[None], np.linspace(-1, 1, len(INPUTS), dtype=np.float32)
    out = x.copy()
    assert ops.logistic(out, bias) is out
    np.testing.assert_allclose(out, logistic(x + bias), atol=2e-7)
    assert ((out >= 0) & (out <= 1)).all()


@pytest.mark.parametrize("x", [-100.0, 100.0])
def test_extreme_inputs_raise_no_warning(ops, x):
    with np.errstate(all="raise", under="ignore"):
        assert ops.logistic(np.float32([[x]]), ops.zeros(1))[0, 0] == (x > 0)
        ops.sample(np.float32([[x]]), ops.zeros(1), ops.random(0))
        probs = ops.softmax(np.float32([[x, -x, 0]]), ops.zeros(3))
        np.testing.assert_allclose(probs, [[x > 0, x < 0, 0]], atol=1e-40)


def test_nan_shows_in_probabilities_and_no_sample_is_out_of_range(ops):
    """Divergence must reach the weights, where training looks for it: through the reconstruction's probabilities."""
    nan = np.full((3, 5), np.nan, np.float32)
    assert np.isnan(ops.logistic(nan.copy(), ops.zeros(5))).all()
    assert np.isnan(ops.softmax(nan.copy(), ops.zeros(5))).all()
    with np.errstate(invalid="ignore"):
        assert set(np.unique(ops.sample(nan.copy(), ops.zeros(5), ops.random(0)))) <= {0, 1}
    assert (ops.sample_softmax(nan.copy(), ops.zeros(5), ops.random(0)).sum(axis=1) == 1).all()


# ---- Softmax groups


def test_softmax_is_equation_10(ops):
    x, bias = 3 * rows(6, 10), rows(10, seed=1)
    by_hand = [[np.exp(xi) / sum(np.exp(row)) for xi in row] for row in np.float64(x + bias)]
    np.testing.assert_allclose(ops.softmax(x, bias), by_hand, rtol=1e-5, atol=1e-7)


def test_softmax_does_not_overflow(ops):
    probs = ops.softmax(np.float32([[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]]), ops.zeros(3))
    np.testing.assert_allclose(probs, [[0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)


def test_one_unit_of_each_group_comes_on_at_its_probability(ops):
    x, bias = np.float32([0.3, -1.0, 2.0, 0.0]), np.float32([0.0, 1.5, -1.0, -2.0])
    states = ops.sample_softmax(np.tile(x, (200_000, 1)), bias, ops.random(5, "labels"))
    assert set(np.unique(states)) == {0, 1}
    assert (states.sum(axis=1) == 1).all()
    probs = np.exp(np.float64(x + bias)) / np.exp(np.float64(x + bias)).sum()
    assert means_agree(states, probs)
    assert not means_agree(states, np.full(4, 0.25))


@pytest.mark.parametrize(("u", "unit"), [(0.0, 0), (0.2, 0), (0.3, 1), (0.7, 1), (0.8, 2), (1 - 2**-24, 2)])
def test_a_uniform_number_picks_the_unit_whose_interval_holds_it(ops, u, unit):
    x = np.log(np.float32([[0.25, 0.5, 0.25]] * 2))
    np.testing.assert_array_equal(ops.sample_softmax(x, ops.zeros(3), Given(u)), [np.eye(3)[unit]] * 2)


@pytest.mark.parametrize("n", [2, 10, 1000])
def test_rounding_never_leaves_a_group_without_a_unit(ops, n):
    x = ops.sample_softmax(rows(500, n), ops.zeros(n), Given(1 - 2**-24))
    assert (x.sum(axis=1) == 1).all()


# ---- Learning


def test_accumulate_against_a_plain_loop(ops):
    parameter, velocity, a, b = rows(3, 4), rows(3, 4, seed=1), rows(5, 3, seed=2), rows(5, 4, seed=3)
    w, u = np.float64(parameter), np.float64(velocity)
    for _ in range(3):
        ops.accumulate(parameter, velocity, a, b, 0.1, 0.9, 0.95)
        for i in range(3):
            for j in range(4):
                u[i, j] = 0.9 * u[i, j] + 0.1 * sum(float(a[k, i]) * float(b[k, j]) for k in range(5))
                w[i, j] = 0.95 * w[i, j] + u[i, j]
    np.testing.assert_allclose(parameter, w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(velocity, u, rtol=1e-5, atol=1e-6)


# ---- Random bits


def test_same_seed_same_bits_and_other_seed_or_consumer_other_bits():
    def bits(*who):
        return backend.Random(*who).int16((1000,))

    np.testing.assert_array_equal(bits(1, "a"), bits(1, "a"))
    for other in (bits(1, "b"), bits(2, "a"), bits(1)):
        assert (bits(1, "a") == other).mean() < 0.01  # chance gives 1 in 65,536


def test_consumers_of_one_seed_are_uncorrelated():
    n = 100_000
    first, second = (np.float64(backend.Random(0, name).int16((n,))) for name in ("states 0 0", "states 0 1"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(n)


def test_integers_are_uniform_over_all_16_bits():
    r = backend.Random(0).int16((1 << 10, 1 << 10))
    assert r.dtype == np.int16
    assert r.shape == (1 << 10, 1 << 10)
    counts = np.bincount(np.int64(r.ravel()) + 32768, minlength=65536)
    chi_square = ((counts - 16) ** 2 / 16).sum()  # mean 65,535, deviation 362
    assert abs(chi_square - 65535) < 5 * 362
    for lag in (1, 2, 3, 4):  # four are cut from each draw of 64 bits
        flat = np.float64(r.ravel())
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 5 / 1024


def test_uniform_numbers_lie_in_the_half_open_interval():
    u = backend.Random(0).uniform(100_001)
    assert u.dtype == np.float32
    assert u.shape == (100_001,)
    assert 0 <= u.min() < 1e-3
    assert 0.999 < u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(12 * 100_001)


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (5, 3), (1, 1)])
def test_any_number_of_integers_can_be_asked_for(shape):
    assert backend.Random(0).int16(shape).shape == shape


@pytest.mark.parametrize("before", [0, 1, 2, 7])
def test_state_goes_through_json_and_the_stream_goes_on_from_it(before):
    rng = backend.Random(7, "who")
    rng.uniform(before)  # an odd number leaves half a draw behind, which must not be lost
    rng.int16((before,))
    saved = json.loads(json.dumps(rng.state))
    ahead = rng.uniform(5), rng.int16((9,)), rng.uniform(4)
    other = backend.Random(0, "someone else")
    other.state = saved
    for mine, its in zip(ahead, (other.uniform(5), other.int16((9,)), other.uniform(4)), strict=True):
        np.testing.assert_array_equal(mine, its)
    rng.tick()


# ---- The switch


def test_arrays_are_float32_and_contiguous(ops):
    for a in (np.eye(3), [[1, 2], [3, 4]], np.arange(12, dtype=np.uint8).reshape(3, 4).T):
        own = ops.asarray(a)
        assert own.dtype == np.float32
        assert own.flags.c_contiguous
        np.testing.assert_array_equal(ops.to_numpy(own), a)
    assert ops.empty(2, 3).dtype == ops.zeros(2, 3).dtype == np.float32
    assert not ops.zeros(2, 3).any()


def test_no_operation_leaves_float32(ops):
    x, bias, rng = rows(4, 3), rows(3), ops.random(0)
    for result in (
        ops.logistic(x.copy(), bias),
        ops.softmax(x.copy(), bias),
        ops.sample(x.copy(), bias, rng),
        ops.sample_softmax(x.copy(), bias, rng),
        ops.matmul(x, ops.asarray(np.eye(3)), out=ops.empty(4, 3)),
    ):
        assert result.dtype == np.float32


def test_matmul_writes_where_it_is_told(ops):
    a, b, out = rows(4, 3), rows(3, 5, seed=1), ops.zeros(4, 5)
    assert ops.matmul(a, b, out=out) is out
    np.testing.assert_allclose(out, [[sum(a[i] * b[:, j]) for j in range(5)] for i in range(4)], rtol=1e-5, atol=1e-6)


def test_recording_a_step_changes_nothing_on_numpy(ops):
    called = []
    ops.record(called.append)(3)
    assert called == [3]


def test_use_switches_and_names_what_there_is():
    ops = backend.use("numpy")
    assert ops is backend.current()
    assert ops.name == "numpy"
    with pytest.raises(InputError, match=r"there is no backend called 'abacus'; choose .*numpy"):
        backend.use("abacus")
    assert backend.current() is ops  # a refusal changes nothing


# ---- Threads


def test_threads_that_sample_and_learn_come_to_the_bits_of_one_after_another():
    layers = [rbm.random_rbm(64, 100, 0), rbm.random_rbm(100, 80, 0), rbm.random_rbm(90, 200, 0, n_labels=10)]
    images, labels = np.random.default_rng(0).random((100, 64), dtype=np.float32), np.eye(10)[np.arange(100) % 10]

    def work(seed):
        rng, machine, net = backend.current().random(seed), rbm.random_rbm(64, 100, seed), dbn.stack(*layers)
        greedy, up_down = rbm.ContrastiveDivergence(machine, 100), UpDown(net, 100, n_wandering=30)
        for _ in range(40):
            greedy.step(images, rng, 0.1, 0.5)
            up_down.step(images, labels, rng, 3, 0.05)
        read = [dbn.predict(net, images, method, seed) for method in dbn.METHODS]
        return [machine.W, *net.arrays().values(), dbn.generate(net, 3, 50, 100, seed), *read]

    one_by_one = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(work, range(4)))
    for serial, threaded in zip(one_by_one, at_once, strict=True):
        for a, b in zip(serial, threaded, strict=True):
            np.testing.assert_array_equal(a, b)
