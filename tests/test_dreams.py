"""How well a net dreams: the judge on pictures whose worth is known, the chains on nets that can be followed."""

import numpy as np
import pytest
from tiny import LAB, PEN, VIS, nets

from dbn_lite.dataset import Dataset
from dbn_lite.errors import InputError
from dbn_lite.study import dreams

RNG = np.random.default_rng(0)
LABELS = np.arange(400) % 2
SHAPES = np.repeat([[1, 1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1, 1]], 1, axis=0)  # class 0 above, 1 below
IMAGES = np.clip(SHAPES[LABELS] * RNG.uniform(0.6, 1, (400, 9)), 0, 1).astype(np.float32)
DIGITS = Dataset("two bars", IMAGES[:200], LABELS[:200], IMAGES[200:], LABELS[200:], (3, 3), 2)


def test_real_images_are_as_far_apart_and_as_new_as_real_images():
    found = dreams.judge(DIGITS.test_images[:40], DIGITS.test_labels[:40], DIGITS)
    assert found == {"dreams": 40, "faint": 0, "right": 40, "another": 0, "spread": 1.0, "nearest": 1.0}


def test_an_empty_page_is_faint_and_the_other_bar_is_another():
    images = np.concatenate([np.zeros((3, 9), np.float32), DIGITS.test_images[:4]])
    held = np.array([0, 0, 1, 0, 1, 1, 0])  # of the four bars 0, 1, 0, 1 the last two are not what was asked for
    found = dreams.judge(images, held, DIGITS)
    assert (found["faint"], found["right"], found["another"]) == (3, 2, 2)


def test_a_chain_that_is_stuck_at_a_training_image_shows_no_spread_and_nothing_new():
    found = dreams.judge(DIGITS.train_images[[0] * 10 + [1] * 10], np.repeat([0, 1], 10), DIGITS)
    assert (found["right"], found["spread"], found["nearest"]) == (20, 0.0, 0.0)


def test_of_faint_pages_alone_nothing_is_said():
    found = dreams.judge(np.zeros((4, 9), np.float32), np.array([0, 0, 1, 1]), DIGITS)
    assert (found["faint"], found["spread"], found["nearest"]) == (4, None, None)


def set_of_vis():
    images = np.float32(RNG.random((60, VIS)) > 0.5)
    labels = np.arange(60) % LAB
    return Dataset("x", images, labels, images, labels, (1, VIS), LAB)


@pytest.mark.parametrize("start", dreams.STARTS)
def test_chains_hold_their_labels_from_every_start_and_come_in_order(start):
    (net, _), labels = nets(0), np.arange(8) % LAB
    penlab = dreams.begin(net, start, labels, set_of_vis(), 0)
    np.testing.assert_array_equal(penlab[:, PEN:], np.eye(LAB)[labels])
    assert set(np.unique(penlab[:, :PEN])) <= {0, 1}
    seen = list(dreams.dream(net, start, labels, set_of_vis(), (5, 0, 2), 0))
    assert [n for n, _ in seen] == [0, 2, 5]
    assert all(images.shape == (8, VIS) for _, images in seen)


def test_random_top_units_are_on_with_probability_one_half():
    """Seen through a memory whose penultimate units each copy one top unit."""
    net, _ = nets(0)
    net.top.W[...] = 0
    n = min(PEN, net.top.n_hid)
    net.top.W[np.arange(n), np.arange(n)] = 40
    net.top.vis_bias[:] = -20
    penlab = dreams.begin(net, "top", np.zeros(4000, int), set_of_vis(), 0)
    np.testing.assert_allclose(penlab[:, :n].mean(axis=0), 0.5, atol=0.04)


def test_another_start_is_refused():
    with pytest.raises(InputError, match="chains do not start from 'nowhere'; choose one of noise, digits, top"):
        dreams.begin(nets(0)[0], "nowhere", np.zeros(2, int), set_of_vis())


def test_a_row_for_each_start_and_time():
    rows = dreams.measure(nets(0)[0], set_of_vis(), each=2, after=(1, 3))
    assert [(row["start"], row["after"]) for row in rows] == [(s, n) for s in dreams.STARTS for n in (1, 3)]
    assert {row["faint"] + row["right"] + row["another"] for row in rows} == {2 * LAB}
