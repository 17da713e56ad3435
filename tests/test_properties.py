"""Whatever is handed to a public function, the answer is right or it is one sentence."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny import nets

from dbn_lite import data, dbn, rbm, store
from dbn_lite.errors import InputError
from dbn_lite.updown import UpDown

NET, _ = nets(0)
VIS, HID, PEN, TOP, LAB = NET.sizes
MACHINE = rbm.random_rbm(VIS, HID, 0)
LOOSE = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

SHAPES = st.one_of(
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    st.tuples(st.integers(1, 4), st.sampled_from([VIS, HID, PEN, PEN + LAB, LAB, TOP])),
)
TYPES = st.sampled_from(
    ["float16", "float32", "float64", "int8", "uint8", "int64", "bool", "complex64", "U3", "O", "M8[s]"]
)
RIGHT = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(VIS)), elements=st.floats(0, 1, width=32))
LAYOUTS: list[Callable[[Any], Any]] = [
    lambda a: a, np.asfortranarray, lambda a: a[::-1], lambda a: a[..., ::2], lambda a: a.tolist(), lambda a: a.T,
]  # fmt: skip


@st.composite
def anything(draw: Any) -> Any:
    """An array of any shape, type and layout, what is right among them; or no array at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([None, "x", 3, 0.5, [], [[1, 2], [3]], {}, object(), {1, 2}]))
    a = draw(st.one_of(RIGHT, arrays.arrays(draw(TYPES), draw(SHAPES))))
    return draw(st.sampled_from(LAYOUTS))(a) if a.ndim else a


NUMBERS = st.one_of(
    st.integers(-2, 3), st.sampled_from([None, "2", 1.5, 2.0, np.int64(2), np.uint8(1), True, [], float("nan"), 2**70])
)  # fmt: skip


def answer_or_sentence(call: Callable[..., Any], *given: Any) -> Any:
    """What a call gives, or None where it refuses in one sentence; anything else fails."""
    try:
        return call(*given)
    except InputError as error:
        text = str(error)
        assert "\n" not in text.strip()
        assert len(text) < 1000
        return None


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@LOOSE
@given(anything())
def test_probabilities_of_hidden_units(v: Any) -> None:
    found = answer_or_sentence(rbm.mean_h_from_v, MACHINE, v)
    if found is not None:
        right = logistic(np.asarray(v, dtype=np.float64) @ MACHINE.W + MACHINE.hid_bias)
        np.testing.assert_allclose(found, right, atol=1e-5)


@LOOSE
@given(anything())
def test_free_energies(v: Any) -> None:
    found = answer_or_sentence(rbm.free_energy, MACHINE, v)
    if found is not None:
        x = np.asarray(v, dtype=np.float64)
        right = -x @ MACHINE.vis_bias - np.log1p(np.exp(x @ MACHINE.W + MACHINE.hid_bias)).sum(axis=1)
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)


@LOOSE
@given(anything(), NUMBERS)
def test_samples_are_states(v: Any, rng: Any) -> None:
    for call in (rbm.sample_h_from_v, rbm.gibbs_step):
        found = answer_or_sentence(call, MACHINE, v, rng)
        for states in () if found is None else found if isinstance(found, tuple) else (found,):
            assert set(np.unique(states)) <= {0, 1}
            assert len(states) == len(v)


@LOOSE
@given(anything(), st.sampled_from([*dbn.METHODS, "magic", None]), NUMBERS)
def test_labels_are_those_of_the_net(images: Any, method: Any, rng: Any) -> None:
    found = answer_or_sentence(dbn.predict, NET, images, method, rng, 2, 2)
    if found is not None:
        assert found.shape == (len(images),)
        assert found.max(initial=0) < LAB
        if method == "deterministic":
            x = data.check_images(images, VIS)
            one_by_one = [int(dbn.predict(NET, x[i : i + 1])[0]) for i in range(len(x))]
            assert found.tolist() == one_by_one


@LOOSE
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_dreams_are_as_many_as_were_asked_for(label: Any, n: Any, steps: Any, rng: Any) -> None:
    found = answer_or_sentence(dbn.generate, NET, label, n, steps, rng)
    if found is not None:
        assert found.shape == (n, VIS)
        assert ((found >= 0) & (found <= 1)).all()


@LOOSE
@given(anything(), NUMBERS, NUMBERS)
def test_images_come_out_as_they_went_in_or_not_at_all(images: Any, n_pixels: Any, n_classes: Any) -> None:
    found = answer_or_sentence(data.check_images, images)
    if found is not None:
        assert (found.dtype, found.ndim, found.flags.c_contiguous) == (np.float32, 2, True)
        assert ((found >= 0) & (found <= 1)).all()
        given_, scale = np.asarray(images), 255 if np.asarray(images).dtype == np.uint8 else 1
        np.testing.assert_allclose(found, given_.reshape(len(given_), -1) / scale, atol=2e-4)


@LOOSE
@given(anything(), anything())
def test_a_data_set_is_whole_or_refused(images: Any, labels: Any) -> None:
    found = answer_or_sentence(data.Dataset, "mine", images, labels, images, labels, (1, VIS), LAB)
    if found is not None:
        assert len(found.train_images) == len(found.train_labels)
        assert found.train_labels.max(initial=0) < LAB


@LOOSE
@given(
    anything(),
    anything(),
    NUMBERS,
    st.sampled_from([0.1, 0.0, -1.0, float("nan"), 2]),
    st.sampled_from([0, 0.9, 1, -1]),
)
def test_a_step_leaves_a_net_whole_or_untouched(
    images: Any, targets: Any, n_gibbs: Any, rate: Any, momentum: Any
) -> None:
    net = copy.deepcopy(NET)
    learner = UpDown(net, 2)
    before = {name: a.copy() for name, a in net.arrays().items()}
    try:
        learner.step(images, targets, 0, n_gibbs, rate, momentum)
    except InputError:
        assert all((a == before[name]).all() for name, a in net.arrays().items())
    else:
        assert np.shape(images) == (2, VIS)
        assert np.shape(targets) == (2, LAB)
        assert all(np.isfinite(a).all() for a in net.arrays().values())


@LOOSE
@given(
    st.sampled_from(["float16", "float32", "float64", "int8", "U3", "x", None]),
    st.sampled_from([0.0, 1.0, 1e5, np.nan]),
)
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, dtype: Any, weight: float) -> None:
    net, path = copy.deepcopy(NET), tmp_path_factory.mktemp("net") / "net.npz"
    net.vishid[0, 0] = weight
    answer_or_sentence(store.save, net, path, dtype)
    if path.exists():
        np.testing.assert_allclose(store.load(path).vishid, net.vishid, rtol=1e-3, atol=1e-3)
