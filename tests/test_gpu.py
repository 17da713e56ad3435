"""The GPU's operations without a GPU: the kernels compiled as C, all else on a stand-in for CuPy; and with one.

Each operation, each step of learning and whole trainings are held against NumPy's given the same random numbers.
"""

import ctypes
import functools
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import standin_cupy
from easy import arrays_of, greedy, log_of, noisy_prototypes, preset, up_down
from scipy.stats import chi2

from dbn_lite import backend, dbn, store, train
from dbn_lite.backend import gpu, random
from dbn_lite.errors import InputError
from dbn_lite.rbm import ContrastiveDivergence, random_rbm
from dbn_lite.updown import UpDown

compiled = pytest.mark.skipif(not standin_cupy.COMPILER, reason="no C compiler here to compile the kernels with")
SHAPES = [(1, 1), (1, 7), (7, 1), (3, 5), (10, 13), (100, 51)]
KNOWN_ANSWERS = [  # from the authors' library, Random123: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def rows(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


@pytest.fixture(autouse=True)
def leave_the_backend_as_it_was(monkeypatch):
    monkeypatch.setattr(backend, "_current", None)
    monkeypatch.delenv("DBN_LITE_BACKEND", raising=False)


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.fixture(params=["stand-in", pytest.param("device", marks=pytest.mark.gpu)])
def cupy_ops(request, monkeypatch):
    """The operations of the GPU: on the stand-in, and where there is one on a device."""
    if request.param == "stand-in":
        return stand_in(monkeypatch)
    try:
        ops = on_device()
    except InputError as error:
        pytest.skip(str(error))
    ops.stream.use()  # a test may have chosen other operations
    monkeypatch.setattr(backend, "_current", ops)
    return ops


@functools.cache
def on_device():
    """One for all tests: each has a handle of cuBLAS, and memory."""
    return backend.use("cupy")


def stand_in(monkeypatch):
    if not standin_cupy.COMPILER:
        pytest.skip("no C compiler here to compile the kernels with")
    monkeypatch.setitem(sys.modules, "cupy", standin_cupy)
    monkeypatch.setattr(gpu, "cublas_library", standin_cupy.CuBLAS)
    return backend.use("cupy")


@pytest.fixture
def numpy_ops():
    """NumPy's operations, drawing what the GPU draws."""
    ops = backend.NumPyOps()
    ops.random = random.PhiloxRandom
    return ops


# ---- The generator


def words(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter, key, answer):
    np.testing.assert_array_equal(random.philox(words(counter)[:, None], words(key)).ravel(), words(answer))


@pytest.fixture(scope="module")
def c_philox():
    """The kernels' generator, out of their source: the function is private to it, so a caller is added."""
    if not standin_cupy.COMPILER:
        pytest.skip("no C compiler here to compile the kernels with")
    caller = "\nvoid draw(u32 *counter, u32 key0, u32 key1) { philox(counter, key0, key1); }\n"
    draw = standin_cupy.compile_c(gpu.SOURCE.read_text() + caller, ("-O2",)).draw
    draw.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]

    def call(counter, key):
        c = np.array(counter, np.uint32)
        draw(c.ctypes.data, int(key[0]), int(key[1]))
        return c

    return call


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_the_kernels_philox_gives_the_known_answers(c_philox, counter, key, answer):
    np.testing.assert_array_equal(c_philox(words(counter), words(key)), words(answer))


def test_both_generators_agree_bit_for_bit(c_philox):
    rng = np.random.default_rng(0)
    counters, key = rng.integers(2**32, size=(4, 500), dtype=np.uint32), rng.integers(2**32, size=2, dtype=np.uint32)
    ours = random.philox(counters, key)
    np.testing.assert_array_equal(ours.T, [c_philox(c, key) for c in counters.T])


def test_the_integers_are_uniform():
    r = random.PhiloxRandom(0).int16((1 << 10, 1 << 10))
    assert (r.dtype, r.shape) == (np.int16, (1 << 10, 1 << 10))
    counts = np.bincount(np.int64(r.ravel()) + 32768, minlength=65536)
    assert abs(((counts - 16) ** 2 / 16).sum() - 65535) < 5 * 362
    flat = np.float64(r.ravel())
    for lag in (1, 2, 4, 1 << 18):  # the last: the same thread's next element
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 5 / math.sqrt(len(flat) - lag)


def test_the_uniform_numbers_are():
    u = random.PhiloxRandom(1).uniform(100_001)
    assert (u.dtype, u.shape) == (np.float32, (100_001,))
    assert 0 <= u.min() < 1e-3
    assert 0.999 < u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / math.sqrt(12 * 100_001)


def test_seed_consumer_mini_batch_and_draw_each_change_the_numbers():
    def bits(seed=0, consumer="", ticks=0, draws=0):
        rng = random.PhiloxRandom(seed, consumer)
        for _ in range(ticks):
            rng.tick()
        for _ in range(draws):
            rng.int16((3,))
        return rng.int16((1000,))

    different = [bits(), bits(seed=1), bits(consumer="a"), bits(ticks=1), bits(draws=1), bits(ticks=1, draws=1)]
    for i, one in enumerate(different):
        for other in different[:i]:
            assert (one == other).mean() < 0.01  # chance gives 1 in 65,536
    np.testing.assert_array_equal(bits(), bits())


def test_a_stream_goes_on_from_its_state(cupy_ops):
    for make in (random.PhiloxRandom, cupy_ops.random):
        rng = make(7, "who")
        rng.tick()
        rng.int16((5,))
        state = json.loads(json.dumps(rng.state))
        assert state == {"step": 1, "site": 1}
        ahead = rng.int16((9,)), rng.uniform(4)
        other = make(7, "who")
        other.state = state
        for mine, its in zip(ahead, (other.int16((9,)), other.uniform(4)), strict=True):
            np.testing.assert_array_equal(mine, its)


# ---- Each operation


def on_both(numpy_ops, cupy_ops, call, *arrays):
    """What an operation makes of the same arrays and the same random numbers: all it returned and wrote, twice."""
    found = []
    for ops in (numpy_ops, cupy_ops):
        own, rng = [ops.asarray(a.copy()) for a in arrays], ops.random(5, "test")
        rng.tick()
        result = call(ops, rng, *own)
        found.append([ops.to_numpy(a) for a in (*([] if result is None else [result]), *own)])
    return zip(*found, strict=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("columns", [slice(None), slice(1, -1)])
def test_logistic_and_softmax(numpy_ops, cupy_ops, shape, columns):
    x, bias = rows(shape[0], shape[1] + 2, scale=3), rows(shape[1] + 2, seed=1)
    for name in ("logistic", "softmax"):
        both = on_both(
            numpy_ops, cupy_ops, lambda o, _, x, b, n=name: getattr(o, n)(x[:, columns], b[columns]), x, bias
        )
        for ours, theirs in both:
            np.testing.assert_allclose(theirs, ours, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("columns", [slice(None), slice(1, -1)])
@pytest.mark.parametrize("keep_probs", [False, True])
def test_sample(numpy_ops, cupy_ops, shape, columns, keep_probs):
    x, bias, out = rows(shape[0], shape[1] + 2), rows(shape[1] + 2, seed=1), np.full((shape[0], shape[1] + 5), 7)

    def call(ops, rng, x, bias, out):
        ops.sample(x[:, columns], bias[columns], rng, out[:, : x[:, columns].shape[1]], keep_probs)
        if not keep_probs:  # then NumPy's has used x as scratch
            x[...] = 0

    for ours, theirs in on_both(numpy_ops, cupy_ops, call, x, bias, out):
        np.testing.assert_allclose(theirs, ours, rtol=2e-6, atol=2e-7)


def test_sample_in_place(numpy_ops, cupy_ops):
    def call(ops, rng, x, bias):
        return ops.sample(x[1:, 2:9], bias, rng)

    for ours, theirs in on_both(numpy_ops, cupy_ops, call, rows(20, 11), rows(7, seed=1)):
        np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_sample_softmax(numpy_ops, cupy_ops, n):
    def call(ops, rng, x, bias):
        return ops.sample_softmax(x[:, 2 : n + 2], bias, rng)

    for ours, theirs in on_both(numpy_ops, cupy_ops, call, rows(500, n + 3, scale=2), rows(n, seed=1)):
        np.testing.assert_array_equal(theirs, ours)


def test_draws_follow_one_another_and_mini_batches(numpy_ops, cupy_ops):
    def call(ops, rng, x, bias, *outs):
        for i, out in enumerate(outs):
            if i == 2:
                rng.tick()
            ops.sample(x, bias, rng, out=out, keep_probs=True)

    *_, first, second, third = on_both(numpy_ops, cupy_ops, call, rows(30, 20), rows(20), *[rows(30, 20)] * 3)
    for ours, theirs in (first, second, third):
        np.testing.assert_array_equal(theirs, ours)
    assert (first[0] != second[0]).any()
    assert (second[0] != third[0]).any()


@pytest.mark.parametrize("total_input", [-100.0, -3.0, -0.5, 0.0, 0.5, 3.0, 100.0])
def test_states_come_at_the_logistic_rate(cupy_ops, total_input):
    n = 400_000
    x, bias = cupy_ops.zeros(1000, n // 1000), cupy_ops.asarray(np.full(n // 1000, total_input))
    on = cupy_ops.to_numpy(cupy_ops.sample(x, bias, cupy_ops.random(0, "rate"))).mean(dtype=np.float64)
    p = 1 / (1 + math.exp(-total_input))
    assert abs(on - p) < 5 * math.sqrt(p * (1 - p) / n) + 3.1e-5


def test_labels_come_at_the_softmax_rate(cupy_ops):
    x = np.float32([0.3, -1.0, 2.0, 0.0])
    states = cupy_ops.sample_softmax(cupy_ops.asarray(np.tile(x, (100_000, 1))), cupy_ops.zeros(4), cupy_ops.random(1))
    counts, expected = cupy_ops.to_numpy(states).sum(axis=0), 100_000 * np.exp(x) / np.exp(x).sum()
    assert counts.sum() == 100_000
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, 3)


def test_nan_stays_visible_and_no_state_is_out_of_range(cupy_ops):
    def nan():
        return cupy_ops.asarray(np.full((9, 5), np.nan))

    rng, bias = cupy_ops.random(0), cupy_ops.zeros(5)
    assert np.isnan(cupy_ops.to_numpy(cupy_ops.logistic(nan(), bias))).all()
    assert np.isnan(cupy_ops.to_numpy(cupy_ops.softmax(nan(), bias))).all()
    assert set(np.unique(cupy_ops.to_numpy(cupy_ops.sample(nan(), bias, rng)))) <= {0, 1}
    assert (cupy_ops.to_numpy(cupy_ops.sample_softmax(nan(), bias, rng)).sum(axis=1) == 1).all()


def test_softmax_does_not_overflow(cupy_ops):
    x = cupy_ops.asarray([[-1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]])
    probs = cupy_ops.to_numpy(cupy_ops.softmax(x, cupy_ops.zeros(3)))
    np.testing.assert_allclose(probs, [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-6)


OPERANDS = {
    "whole": lambda ops, a: ops.asarray(a),
    "turned": lambda ops, a: ops.asarray(a.T).T,
    "some columns": lambda ops, a: ops.asarray(np.pad(a, ((0, 0), (2, 3)), constant_values=9))[:, 2:-3],
    "some rows": lambda ops, a: ops.asarray(np.pad(a, ((1, 2), (0, 0)), constant_values=9))[1:-2],
    "some columns, turned": lambda ops, a: ops.asarray(np.pad(a.T, ((0, 0), (2, 3)), constant_values=9))[:, 2:-3].T,
}


@pytest.mark.parametrize("of_a", OPERANDS)
@pytest.mark.parametrize("of_b", OPERANDS)
def test_products_of_parts_and_transposes(cupy_ops, of_a, of_b):
    for m, k, n in [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 6, 1), (1, 1, 1)]:
        a, b, whole = rows(m, k), rows(k, n, seed=1), cupy_ops.zeros(m + 2, n + 3)
        out = whole[1:-1, 1:-2]
        assert cupy_ops.matmul(OPERANDS[of_a](cupy_ops, a), OPERANDS[of_b](cupy_ops, b), out=out) is out
        expected = np.pad(a.astype(np.float64) @ b, ((1, 1), (1, 2)))
        np.testing.assert_allclose(cupy_ops.to_numpy(whole), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "error"), [("cupy", 3e-6), ("cupy-tf32", 2**-10)])
def test_products_are_as_exact_as_their_precision(cupy_ops, name, error):
    """Of a column of 784 terms, in units of the sum of their sizes; TF32 comes to some 6e-5."""
    ops = cupy_ops if name == "cupy" else backend.use(name)
    a, b = rows(100, 784), rows(784, 500, seed=1)
    product = ops.to_numpy(ops.matmul(ops.asarray(a), ops.asarray(b), out=ops.empty(100, 500)))
    assert (np.abs(product - np.float64(a) @ b) < error * (np.abs(np.float64(a)) @ np.abs(b))).all()


def test_products_that_do_not_fit_are_refused(cupy_ops):
    a, b, square = cupy_ops.zeros(3, 4), cupy_ops.zeros(4, 5), cupy_ops.zeros(8, 8)
    for wrong in ((a, a, square[:3, :4]), (a, b, square[:3, :4]), (a, b, square[:5, :3].T)):
        with pytest.raises(ValueError, match="no product of"):
            cupy_ops.matmul(*wrong)
    with pytest.raises(ValueError, match="neither rows nor columns"):
        cupy_ops.matmul(square[:3, ::2], b, square[:3, :5])
    with pytest.raises(TypeError, match="float32, not float64"):
        cupy_ops.matmul(a, cupy_ops.xp.zeros((4, 5)), square[:3, :5])
    with pytest.raises(ValueError, match="kernels work on rows of float32"):
        cupy_ops.logistic(square.T, cupy_ops.zeros(8))


@pytest.mark.parametrize("n", [1, 4])
def test_accumulate(numpy_ops, cupy_ops, n):
    def call(ops, rng, parameter, velocity, a, b):
        for _ in range(3):
            ops.accumulate(parameter, velocity, a, b[:, 1:], 0.1, 0.9, 0.95)

    arrays = rows(n, 6), rows(n, 6, seed=1), rows(8, n, seed=2), rows(8, 7, seed=3)
    for ours, theirs in on_both(numpy_ops, cupy_ops, call, *arrays):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_accumulate_on_biases(numpy_ops, cupy_ops):
    def call(ops, rng, bias, velocity, ones, b):
        ops.accumulate(bias[None], velocity[None], ones, b, 0.1, 0.9, 1.0)

    arrays = rows(6), rows(6, seed=1), np.ones((8, 1)), rows(8, 6, seed=3)
    for ours, theirs in on_both(numpy_ops, cupy_ops, call, *arrays):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_arrays_come_and_go(cupy_ops):
    for a in (np.eye(3), [[1, 2], [3, 4]], np.arange(12, dtype=np.uint8).reshape(3, 4).T):
        own = cupy_ops.asarray(a)
        assert own.dtype == np.float32
        assert own.flags.c_contiguous
        back = cupy_ops.to_numpy(own)
        assert type(back) is np.ndarray
        np.testing.assert_array_equal(back, a)
    own = cupy_ops.asarray(rows(3, 4))
    np.testing.assert_array_equal(cupy_ops.to_numpy(cupy_ops.asarray(own.T)), rows(3, 4).T)
    assert cupy_ops.empty(2, 3).dtype == cupy_ops.zeros(2, 3).dtype == np.float32
    with pytest.raises(TypeError):
        np.asarray(own)


def logistic_of_0(times):
    """The logistic function, iterated from 0."""
    x = 0.0
    for _ in range(times):
        x = 1 / (1 + math.exp(-x))
    return x


# ---- Steps of learning, as they are and captured


def learners(ops, kind):
    """A learner of a small net, on an operations object that is the current one: its step, its parameters, its data."""
    net = dbn.stack(random_rbm(12, 9, 0), random_rbm(9, 7, 1), random_rbm(7 + 3, 11, 2, 3))
    for a in net.arrays().values():
        a *= 60
    images, labels = np.random.default_rng(0).random((40, 12)), np.eye(3)[np.arange(40) % 3]
    if kind == "up-down":
        learner = UpDown(net, 8)
        return learner.step, net.arrays(), [ops.asarray(images), ops.asarray(labels)]
    data = np.hstack([np.float32(np.random.default_rng(0).random((40, 7)) > 0.5), labels])
    learner = ContrastiveDivergence(net.top, 8, persistent=kind == "persistent")
    return learner.step, {"W": net.top.W, "hid": net.top.hid_bias, "vis": net.top.vis_bias}, [ops.asarray(data)]


def learn(ops, kind, monkeypatch, record, epochs=3):
    """A few epochs over five mini-batches, another rate and another stream in each, the last without its first half."""
    monkeypatch.setattr(backend, "_current", ops)
    step, parameters, data = learners(ops, kind)
    step = ops.record(step) if record else step
    for epoch in range(epochs):
        rng = ops.random(3, f"epoch {epoch}")
        for batch in (2, 0, 4, 1, 3):
            part = [a[8 * batch : 8 * batch + 8] for a in data]
            scalars = (
                (2 + epoch, 0.1 / (1 + epoch), 0.5, 1e-3) if kind == "up-down" else (0.1 / (1 + epoch), 0.5, 1e-3, 2)
            )
            step(*part, rng, *scalars)
    return {name: ops.to_numpy(a) for name, a in parameters.items()}, rng.state


@pytest.mark.parametrize("kind", ["contrastive divergence", "persistent", "up-down"])
def test_steps_agree_with_numpy_as_they_are_and_captured(numpy_ops, cupy_ops, kind, monkeypatch):
    ours, state = learn(numpy_ops, kind, monkeypatch, record=False)
    for record in (False, True):
        theirs, its_state = learn(cupy_ops, kind, monkeypatch, record)
        assert its_state == state
        assert state["step"] == 5
        for name, a in ours.items():
            np.testing.assert_allclose(theirs[name], a, rtol=1e-4, atol=1e-5, err_msg=name)


def test_captured_or_not_the_bits_are_the_same(cupy_ops, monkeypatch):
    plain, captured = (learn(cupy_ops, "up-down", monkeypatch, record)[0] for record in (False, True))
    for name, a in plain.items():
        assert a.tobytes() == captured[name].tobytes(), name


@compiled
def test_one_graph_serves_all_mini_batches_of_an_epoch(monkeypatch):
    ops, counts = stand_in(monkeypatch), []
    for record, epochs in ((False, 1), (True, 3)):
        before = dict(standin_cupy.launches)
        learn(ops, "up-down", monkeypatch, record, epochs)
        counts.append({what: n - before[what] for what, n in standin_cupy.launches.items()})
    plain, captured = counts
    assert (plain["graph"], captured["graph"]) == (0, 3 * 5 - 1)  # the first step is taken as it is,
    assert captured["capture"] == 3
    for what in ("product", "kernel"):
        assert captured[what] == plain[what] / 5  # and nothing is launched singly after that


@compiled
def test_a_step_that_asks_for_memory_cannot_be_captured_and_leaves_the_stream_usable(monkeypatch):
    ops = stand_in(monkeypatch)
    x = ops.zeros(2, 2)
    wrongs = [lambda a: ops.empty(2, 2), lambda a: x + a, lambda a: x @ a, lambda a: float(a.sum()), ops.to_numpy]
    wrongs.append(lambda a: ops.xp.subtract(x[:1], x[1:], out=x[:1]))  # which CuPy sees as two that overlap
    for wrong in wrongs:
        step = ops.record(wrong)
        step(x)
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            step(x)
        ops.to_numpy(x)


@compiled
def test_a_step_that_fails_leaves_no_half_a_graph_behind(monkeypatch):
    ops = stand_in(monkeypatch)
    first, second, bias = ops.zeros(1, 1), ops.zeros(1, 1), ops.zeros(1)

    def both(_, fail):
        ops.logistic(first, bias)
        if fail:
            raise InputError("halfway")
        ops.logistic(second, bias)

    step = ops.record(both)
    with pytest.raises(InputError):
        step(bias, True)  # the first time: nothing is captured, and the next call still takes the step as it is
    before = dict(standin_cupy.launches)
    step(bias, False)
    assert (standin_cupy.launches["capture"], standin_cupy.launches["graph"]) == (before["capture"], before["graph"])
    step(bias, False)
    with pytest.raises(InputError):
        step(bias, True)
    step(bias, False)
    assert float(second[0, 0]) == pytest.approx(logistic_of_0(3))


@compiled
def test_a_recorded_step_goes_on_when_the_backend_is_chosen_again(monkeypatch):
    ops = stand_in(monkeypatch)
    x, bias = ops.zeros(1, 1), ops.zeros(1)
    step = ops.record(lambda _: backend.current().logistic(x, bias))
    step(bias)
    assert backend.use("cupy").stream is not ops.stream
    before = standin_cupy.launches["graph"]
    step(bias)
    step(bias)
    assert standin_cupy.launches["graph"] == before + 2
    assert float(x[0, 0]) == pytest.approx(logistic_of_0(3))


@compiled
def test_the_stand_in_is_as_unforgiving_as_a_device(monkeypatch):
    ops = stand_in(monkeypatch)
    a = ops.asarray(rows(3, 4))
    for mix in (lambda: a + rows(3, 4), lambda: rows(3, 4) * a, lambda: a.__setitem__(0, rows(4)), lambda: np.exp(a)):
        with pytest.raises(TypeError):
            mix()
    assert a.sum().shape == ()
    assert np.isnan(ops.to_numpy(ops.empty(2))).all()
    bias = ops.zeros(4)
    for use in (lambda x: ops.logistic(x, bias), lambda x: ops.xp.subtract(a, x, out=x), lambda x: x.__setitem__(0, 1)):
        x = ops.zeros(3, 4)
        ops.stream.begin_capture()
        use(x)
        graph = ops.stream.end_capture()
        graph.launch()
        assert ops.to_numpy(x).any()
        del x
        with pytest.raises(RuntimeError, match="memory that has been freed"):
            graph.launch()


# ---- Whole trainings


def trained(ops, folder, monkeypatch, **more):
    """A whole run of a tiny preset, left in a folder."""
    monkeypatch.setattr(backend, "_current", ops)
    stages = preset(*greedy(2), up_down(2), up_down(2, n_gibbs=3, name="up-down, longer"), layers=(12, 10, 16))
    train.Run(stages, noisy_prototypes(300, 100, (5, 5)), 3, folder, **more).train(progress=False)
    return folder


def test_a_whole_training_agrees_with_numpy(numpy_ops, cupy_ops, tmp_path, monkeypatch):
    ours = trained(numpy_ops, tmp_path / "numpy", monkeypatch)
    theirs = trained(cupy_ops, tmp_path / "cupy", monkeypatch)
    start, end, its_end = (arrays_of(f) for f in (ours / "greedy.npz", ours / "net.npz", theirs / "net.npz"))
    assert max(abs(end[name] - start[name]).max() for name in end) > 0.01  # there was something to agree on
    for name, a in end.items():
        np.testing.assert_allclose(its_end[name], a, rtol=1e-3, atol=1e-4, err_msg=name)
    for mine, its in zip(log_of(ours), log_of(theirs), strict=True):
        assert mine.keys() == its.keys()
        for key, value in mine.items():
            assert its[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1.1))


@pytest.mark.parametrize("stage", ["GreedyLearner", "UpDownLearner"])
def test_an_interrupted_training_comes_to_the_same_bits(cupy_ops, stage, tmp_path, monkeypatch):
    straight, resumed, steps = trained(cupy_ops, tmp_path / "straight", monkeypatch), tmp_path / "resumed", []
    learner = getattr(train, stage)
    with monkeypatch.context() as patch:
        patch.setattr(train, "CHECKPOINT_SECONDS", -1.0)  # after every mini-batch
        step = learner.step
        patch.setattr(learner, "step", lambda *a: step(*a) if steps.append(a) or len(steps) < 19 else 1 / 0)
        with pytest.raises(ZeroDivisionError):  # within the second epoch
            trained(cupy_ops, resumed, patch)
    assert store.read_meta(resumed / "checkpoint.npz")["rng_state"]["step"] > 0
    trained(cupy_ops, resumed, monkeypatch, resume=True)
    for name, a in arrays_of(straight / "net.npz").items():
        assert a.tobytes() == arrays_of(resumed / "net.npz")[name].tobytes(), name


def test_nets_move_between_the_two(numpy_ops, cupy_ops, tmp_path, monkeypatch):
    path = trained(cupy_ops, tmp_path / "run", monkeypatch) / "net.npz"
    images = noisy_prototypes(300, 100, (5, 5)).test_images
    found = []
    for ops in (numpy_ops, cupy_ops):
        monkeypatch.setattr(backend, "_current", ops)
        net = store.load(path)
        found.append((dbn.label_log_probs(net, images), dbn.generate(net, 3, 4, steps=5)))
        store.save(net, tmp_path / ops.name)
    for ours, theirs in zip(*found, strict=True):
        assert type(theirs) is np.ndarray
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)
    assert (tmp_path / "numpy").read_bytes() == (tmp_path / "cupy").read_bytes()


@pytest.mark.parametrize("method", dbn.METHODS)
def test_every_read_out_agrees(numpy_ops, cupy_ops, method, monkeypatch):
    images, answers = np.random.default_rng(0).random((60, 12)), []
    for ops in (numpy_ops, cupy_ops):
        monkeypatch.setattr(backend, "_current", ops)
        net = dbn.stack(random_rbm(12, 9, 0), random_rbm(9, 7, 1), random_rbm(7 + 3, 11, 1, 3))
        for a in net.arrays().values():
            a *= 200
        net.hidrecbiases[...] = net.vishid.sum(axis=0) * -0.5  # so that units are on for half of the images
        net.penrecbiases[...] = net.hidpen.sum(axis=0) * -0.5
        net.top.hid_bias[...] = net.top.W.sum(axis=0) * -0.5
        answers.append(dbn.predict(net, images, method, rng=1))
    np.testing.assert_array_equal(*answers)
    assert len(set(answers[0])) > 1


# ---- The switch


def test_numpy_unless_asked(monkeypatch, no_cupy):
    assert backend.current().name == "numpy"
    monkeypatch.setattr(backend, "_current", None)
    monkeypatch.setenv("DBN_LITE_BACKEND", "cupy")
    with pytest.raises(InputError, match="CuPy does not work here"):
        backend.current()


def test_auto_takes_numpy_where_cupy_is_missing(no_cupy):
    assert backend.use("auto").name == "numpy"


def test_asking_for_a_missing_cupy_is_one_sentence_and_changes_nothing(no_cupy):
    before = backend.use("numpy")
    for name in ("cupy", "cupy-tf32"):
        with pytest.raises(InputError) as caught:
            backend.use(name)
        assert re.fullmatch(
            r"CuPy does not work here \([^()\n]+\); install cupy-cuda12x\[ctk\] or cupy-cuda13x\[ctk\] to match "
            r"the driver of an NVIDIA GPU, or choose the backend numpy\.",
            str(caught.value),
        )
    assert backend.current() is before


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "raise ImportError('\\n=====\\nFailed to import CuPy.\\n') from OSError('libcuda.so.1: not found\\nmore')",
            "libcuda",
        ),
        ("raise ImportError('\\n=====\\n\\nFailed to import CuPy.\\n=====\\n')", r"\(Failed to import CuPy\)"),
        ("raise RuntimeError", r"\(RuntimeError\)"),
    ],
)
def test_what_a_broken_cupy_says_is_passed_on(source, why, tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(InputError, match=why) as caught:
        backend.use("cupy")
    assert "\n" not in str(caught.value)


@compiled
def test_auto_takes_cupy_where_it_works_unless_the_environment_says_otherwise(monkeypatch):
    stand_in(monkeypatch)
    assert backend.use("auto").name == "cupy"
    monkeypatch.setenv("DBN_LITE_BACKEND", "numpy")
    assert backend.use("auto").name == "numpy"
    assert backend.use("cupy").name == "cupy"  # to ask by name is stronger
    monkeypatch.setenv("DBN_LITE_BACKEND", "abacus")
    with pytest.raises(InputError, match="no backend called 'abacus'"):
        backend.use("auto")


@compiled
@pytest.mark.parametrize("broken", ["no device", "wrong product", "failing product", "no kernel"])
def test_auto_shuns_a_cupy_that_does_not_work(monkeypatch, broken):
    stand_in(monkeypatch)

    def fail(*_, **__):
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected\nand more")

    change = {
        "no device": (standin_cupy.cuda, "Stream", fail),
        "wrong product": (standin_cupy.CuBLAS, "_sgemm", lambda *_: 0),
        "failing product": (standin_cupy.CuBLAS, "_sgemm", lambda *_: 13),
        "no kernel": (standin_cupy, "RawModule", fail),
    }
    monkeypatch.setattr(*change[broken])
    assert backend.use("auto").name == "numpy"
    sentence = {"wrong product": "multiplies wrongly", "failing product": "cublasSgemm_v2 failed with status 13"}
    with pytest.raises(InputError, match=sentence.get(broken, "no CUDA-capable device is detected")) as caught:
        backend.use("cupy")
    assert "\n" not in str(caught.value)


@compiled
def test_tf32_is_asked_for_by_name(monkeypatch):
    made = []
    stand_in(monkeypatch)
    monkeypatch.setattr(gpu, "cublas_library", lambda: made.append(standin_cupy.CuBLAS()) or made[-1])
    assert [backend.use(name).name for name in ("cupy", "cupy-tf32")] == ["cupy", "cupy-tf32"]
    assert [library.math_mode for library in made] == [None, gpu.TF32_TENSOR_OP_MATH]


def test_a_checkpoint_of_one_backend_is_refused_by_the_other(numpy_ops, cupy_ops, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "_current", numpy_ops)
    what = preset(*greedy(1), layers=(5, 5, 6)), noisy_prototypes(100, 50, (4, 4)), 0, tmp_path
    train.Run(*what)
    monkeypatch.setattr(backend, "_current", cupy_ops)
    with pytest.raises(InputError, match="another backend"):
        train.Run(*what, resume=True)


# ---- The source as CUDA


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no CUDA compiler here")
@pytest.mark.parametrize("architecture", ["compute_75", "compute_90"])
def test_the_kernels_compile_as_cuda(tmp_path, architecture):
    command = ["nvcc", "-Werror", "all-warnings", f"-arch={architecture}", "-ptx", gpu.SOURCE, "-o", tmp_path / "k.ptx"]
    subprocess.run(command, check=True)
    text = (tmp_path / "k.ptx").read_text()
    for name in ("logistic", "sample", "softmax", "sample_softmax", "advance", "tick"):
        assert f".entry {name}(" in text  # under its own name, as the library asks for it
    assert ".f64" not in text  # no number in double precision
