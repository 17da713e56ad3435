"""What users hand to the library by mistake: the right answer, or one sentence, never a silent wrong one."""

import json

import numpy as np
import pytest
from tiny import nets

from dbn_lite import backend, data, dbn, rbm, store, train
from dbn_lite.errors import InputError, whole
from dbn_lite.presets import PRESETS
from dbn_lite.updown import UpDown

MACHINE = rbm.random_rbm(6, 4, 0)
ROWS = np.random.default_rng(0).random((5, 6)).astype(np.float32)
STATES = (ROWS[:, :4] > 0.5).astype(np.float32)


def small():
    """A net of a few units, with two labels."""
    return nets(0)[0]


OF_ACTIVITIES = {
    "mean_h_from_v": lambda v: rbm.mean_h_from_v(MACHINE, v),
    "sample_h_from_v": lambda v: rbm.sample_h_from_v(MACHINE, v, 0),
    "free_energy": lambda v: rbm.free_energy(MACHINE, v),
    "gibbs_step": lambda v: rbm.gibbs_step(MACHINE, v, 0),
    "a step of contrastive divergence": lambda v: rbm.ContrastiveDivergence(
        rbm.random_rbm(6, 4, 0), len(v)
    ).step(v, 0, 0.1),
}  # fmt: skip
NO_ACTIVITIES = {
    "bytes of 0 to 255": (ROWS * 255).astype(np.uint8),
    "NaN": np.where(ROWS[0, 0] == ROWS, np.nan, ROWS),
    "infinity": np.where(ROWS[0, 0] == ROWS, np.inf, ROWS),
    "below zero": ROWS - 0.5,
}


@pytest.mark.parametrize("call", OF_ACTIVITIES.values(), ids=OF_ACTIVITIES)
@pytest.mark.parametrize("given", NO_ACTIVITIES.values(), ids=NO_ACTIVITIES)
def test_what_is_no_activity_is_refused_wherever_it_is_taken(call, given):
    with pytest.raises(InputError, match=r"reach from .*; scale them to 0 to 1"):
        call(given)


def test_what_rounding_adds_is_no_reason_to_refuse():
    assert rbm.mean_h_from_v(MACHINE, ROWS * 0 + 1.000001).shape == (5, 4)
    assert data.check_images(np.full((1, 4), 1 + 1e-6)).max() == 1


def test_a_step_of_up_down_looks_at_what_it_is_given():
    net = small()
    before = {name: a.copy() for name, a in net.arrays().items()}
    learner, targets = UpDown(net, 5), np.eye(net.n_labels, dtype=np.float32)[[0] * 5]
    images = np.full((5, net.sizes[0]), 0.5, np.float32)
    for bad in (images * 255, images * np.nan, images - 1):
        with pytest.raises(InputError, match="data reach from"):
            learner.step(bad, targets, 0, 1, 0.1)
    with pytest.raises(InputError, match="targets reach from"):
        learner.step(images, targets * 9, 0, 1, 0.1)
    assert all((a == before[name]).all() for name, a in net.arrays().items())


RNGS = [None, -1, 1.5, "0", np.random.default_rng(0), True]
OF_RNG = {
    "sample_h_from_v": lambda rng: rbm.sample_h_from_v(MACHINE, ROWS, rng),
    "sample_v_from_h": lambda rng: rbm.sample_v_from_h(MACHINE, STATES, rng),
    "gibbs_step": lambda rng: rbm.gibbs_step(MACHINE, ROWS, rng),
    "generate": lambda rng: dbn.generate(small(), 0, 2, 2, rng),
    "evolve": lambda rng: dbn.evolve(small(), 0, 2, 2, 2, rng),
    "samples_by_class": lambda rng: dbn.samples_by_class(small(), 1, 1, rng),
    "predict, stochastic": lambda rng: dbn.predict(small(), np.ones((3, small().sizes[0])), "stochastic", rng),
    "predict, gibbs": lambda rng: dbn.predict(small(), np.ones((3, small().sizes[0])), "gibbs", rng),
    "sampled_log_probs": lambda rng: dbn.sampled_log_probs(small(), np.ones((3, small().sizes[0])), rng),
}


@pytest.mark.parametrize("call", OF_RNG.values(), ids=OF_RNG)
@pytest.mark.parametrize("rng", RNGS, ids=lambda rng: type(rng).__name__ + str(rng)[:3])
def test_what_is_no_stream_and_no_seed_is_refused(call, rng):
    with pytest.raises(InputError, match=r"^rng is .*; give a seed of 0 or more"):
        call(rng)


@pytest.mark.parametrize("call", OF_RNG.values(), ids=OF_RNG)
def test_a_seed_of_numpy_is_a_seed(call):
    for one, other in zip(call(3), call(np.int64(3)), strict=True):
        np.testing.assert_array_equal(one, other)


class Elsewhere:
    """As an array on a GPU, or with a gradient: it says itself what to call."""

    dtype, shape = np.dtype("float32"), (5, 6)

    def __array__(self, *given, **more):
        raise TypeError("call .detach().cpu() first")


def test_an_array_that_is_not_numpys_is_refused_with_its_own_words():
    calls = [rbm.mean_h_from_v, lambda _, a: data.check_images(a), lambda _, a: data.check_labels(a, 5)]
    calls += [lambda _, a: dbn.predict(small(), a), lambda _, a: rbm.RBM(a, np.zeros(5), np.zeros(6))]
    for call in calls:
        with pytest.raises(InputError, match=r"call .detach\(\).cpu\(\) first\); convert"):
            call(MACHINE, Elsewhere())


@pytest.mark.parametrize("value", [2.0, "2", None, True, 0, -1])
def test_only_whole_numbers_count(value):
    with pytest.raises(InputError, match=r"^epochs is .*; give a whole number of at least 1"):
        whole("epochs", value)
    assert whole("epochs", np.uint8(7)) == 7


def test_nets_and_sets_compare_by_identity_and_can_be_kept_in_a_dict():
    one, other = small(), small()
    assert one == one
    assert one != other
    assert {one: 1, one.top: 2}[one] == 1


def test_more_than_256_labels_are_told_apart():
    sizes = {"vis": 4, "hid": 3, "pen": 3, "top": 3, "lab": 300}
    arrays = {
        n: np.zeros([sizes[n[:3]]] if n.endswith("biases") else [sizes[n[:3]], sizes[n[3:]]], np.float32)
        for n in store.NAMES
    }
    arrays["labgenbiases"][299] = 20
    assert dbn.predict(dbn.from_arrays(arrays), np.zeros((2, 4))).tolist() == [299, 299]


@pytest.mark.parametrize("method", dbn.METHODS)
def test_a_net_with_nan_reads_no_label(method):
    net = small()
    net.top.W[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        dbn.predict(net, np.full((3, net.sizes[0]), 0.5), method)
    with pytest.raises(InputError, match="not finite"):
        dbn.generate(net, 0, 2, 2)


# Nets on disk


def test_what_load_would_refuse_is_not_written_and_nothing_is_lost(tmp_path):
    net, path = small(), tmp_path / "net.npz"
    store.save(net, path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="cannot be kept as int8"):
        store.save(net, path, dtype="int8")
    net.vishid[0, 0] = 70_000
    with pytest.raises(InputError, match="not finite"):
        store.save(net, path, dtype="float16")
    net.vishid[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        store.save(net, path)
    assert path.read_bytes() == before


def test_numbers_of_numpy_are_kept_beside_a_net_and_other_things_refused(tmp_path):
    store.save(small(), tmp_path / "net.npz", seed=np.int64(3), errors=np.array([1.5, 2.0]), where=tmp_path)
    assert store.read_meta(tmp_path / "net.npz") == {"seed": 3, "errors": [1.5, 2.0], "where": str(tmp_path)}
    with pytest.raises(InputError, match="a set cannot be kept beside a net"):
        store.save(small(), tmp_path / "net.npz", oops={1})


# Data sets of one's own

IMAGES = np.random.default_rng(1).random((30, 4)).astype(np.float32)
LABELS = np.arange(30) % 3


def mine(images=IMAGES, labels=LABELS, shape=(2, 2), n_classes=3):
    return data.Dataset("mine", images, labels, images[:6], labels[:6], shape, n_classes)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"images": IMAGES * 255}, "for training, images reach from .* scale them"),
        ({"images": np.where(IMAGES[0, 0] == IMAGES, np.nan, IMAGES)}, "images hold NaN"),
        ({"labels": LABELS[:20]}, r"labels have the shape \(20,\)"),
        ({"labels": LABELS + 1}, "labels reach from 1 to 3; they must lie from 0 to 2"),
        ({"labels": LABELS - 1}, "labels reach from -1 to 1"),
        ({"labels": LABELS.astype(float)}, "labels have the type float64"),
        ({"labels": np.eye(3, dtype=int)[LABELS]}, r"labels have the shape \(30, 3\)"),
        ({"labels": LABELS.astype(str)}, "labels have the type"),
        ({"shape": (3, 3)}, "images have 4 pixels; give images of 9"),
        ({"n_classes": 257}, "257 classes are too many"),
    ],
)
def test_a_data_set_is_checked_when_it_is_made(given, why):
    with pytest.raises(InputError, match=why):
        mine(**given)


def test_a_data_set_is_converted_when_it_is_made():
    fortran = np.asfortranarray((IMAGES.reshape(30, 2, 2) * 255).astype(np.uint8))
    made = mine(images=fortran[::-1], labels=LABELS.astype(np.int64))
    assert (made.train_images.dtype, made.train_labels.dtype) == (np.float32, np.uint8)
    assert made.train_images.flags.c_contiguous
    np.testing.assert_allclose(made.train_images, np.rint(IMAGES[::-1] * 255) / 255, atol=1 / 255)


def test_a_class_without_an_image_is_named():
    with pytest.raises(InputError, match="no image is of class 2"):
        data.split(mine(labels=LABELS % 2), np.random.default_rng(0), 6)


def test_a_net_is_not_scored_on_classes_that_it_does_not_know():
    with pytest.raises(InputError, match="the net tells 2 classes apart"):
        train.error_percent(small(), np.full((4, small().sizes[0]), 0.5), np.array([0, 1, 2, 1]))


def test_presets_still_read_as_they_were_written():
    assert json.dumps(PRESETS["paper"].as_json())
    assert backend.stream(5, "x").int16((4,)).tolist() == backend.current().random(5, "x").int16((4,)).tolist()
