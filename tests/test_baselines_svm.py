"""Support vector machines against scikit-learn's own, and images moved, sheared and bent by hand-made rules."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from sklearn.svm import SVC

from dbn_lite import data
from dbn_lite.errors import InputError
from dbn_lite.paper import table1
from dbn_lite.paper.table1 import distort, svm

SHAPE = (28, 28)


@pytest.fixture(scope="module")
def digits():
    return data.load("dreamed")


@pytest.fixture(scope="module")
def small(digits):
    return data.Dataset("dreamed", digits.train_images[:700], digits.train_labels[:700], digits.test_images[:200],
                        digits.test_labels[:200])  # fmt: skip


# ---- The machines


def test_the_kernel_is_that_of_decoste_and_schoelkopf(small):
    x, y = svm.unit_length(small.train_images[:30]), svm.unit_length(small.test_images[:20])
    wanted = np.array([[(float(a @ b) + 1) ** 9 / 512 for b in y.astype(float)] for a in x.astype(float)])
    np.testing.assert_allclose(svm.kernel(x, y), wanted, rtol=1e-4)


def test_forty_five_machines_vote_as_scikit_learn_does(small, tmp_path):
    outcome = svm.svm_row(small, table1.Job(tmp_path, 700))
    x, y = svm.unit_length(small.train_images), svm.unit_length(small.test_images)
    cost = outcome.settings["cost"]
    theirs = SVC(C=cost, kernel="poly", degree=9, gamma=0.5, coef0=0.5, break_ties=True, decision_function_shape="ovr")
    wanted = theirs.fit(x, small.train_labels).predict(y)
    assert (outcome.predictions[0] == wanted).mean() > 0.98  # ties are broken by sums of different margins
    assert (outcome.predictions[0] == small.test_labels).mean() > 0.6


def test_a_machine_found_from_the_few_that_matter_is_that_of_all(small, monkeypatch):
    """Against scikit-learn on all images at once, with a kernel of its own."""
    x, signs = svm.of_pair(svm.unit_length(small.train_images), small.train_labels, (3, 8))
    theirs = SVC(C=2.0, kernel="poly", degree=9, gamma=0.5, coef0=0.5).fit(x, signs)
    monkeypatch.setattr(svm, "FEW", 16)
    asked, margins = [], svm.margins
    monkeypatch.setattr(svm, "margins", lambda machine, images: asked.append(1) or margins(machine, images))
    machine = svm.fit(x, signs, 2.0)
    assert len(asked) > 2  # rounds
    test = svm.unit_length(small.test_images)
    np.testing.assert_allclose(svm.margins(machine, test), theirs.decision_function(test), atol=5e-3)
    assert set(map(bytes, machine.vectors)) >= {bytes(v) for v, c in zip(theirs.support_vectors_.astype(np.float32),
                                                theirs.dual_coef_[0], strict=True) if abs(c) > 0.01}  # fmt: skip


def test_so_is_a_virtual_machine_that_begins_with_the_hardest(small, monkeypatch):
    x, signs = svm.of_pair(svm.unit_length(small.train_images), small.train_labels, (3, 8))
    test = svm.unit_length(small.test_images)
    whole = svm.margins(svm.fit(x, signs, 2.0, shift=1), test)
    monkeypatch.setattr(svm, "MANY", 50)
    np.testing.assert_allclose(svm.margins(svm.fit(x, signs, 2.0, shift=1), test), whole, atol=5e-3)


def test_a_positive_margin_is_a_vote_for_the_first_digit_of_the_pair(small):
    x, signs = svm.of_pair(svm.unit_length(small.train_images), small.train_labels, (0, 1))
    votes = svm.pair_votes(svm.fit(x, signs, 2.0), x, (0, 1))
    np.testing.assert_array_equal(votes.argmax(1), np.where(signs > 0, 0, 1))
    assert not votes[:, 2:].any()


def test_virtual_vectors_are_all_shifts_of_the_vectors(small):
    vectors = svm.unit_length(small.train_images[:3])
    copies = svm.virtual(vectors, 1).reshape(9, 3, *SHAPE)
    np.testing.assert_allclose(copies[4].reshape(3, -1), vectors, rtol=1e-6)  # the middle one is no shift
    shifted = np.roll(vectors.reshape(3, *SHAPE), (-1, 1), axis=(1, 2))
    assert np.abs(copies[2] - shifted).max() < 0.05  # up to ink that leaves the image, and so its length
    assert len(svm.virtual(vectors, 2)) == 25 * 3


def test_the_virtual_machine_knows_shifts_that_the_plain_one_does_not(small, tmp_path):
    x = svm.unit_length(distort.deskew(small.train_images, SHAPE))
    x, signs = svm.of_pair(x, small.train_labels, (4, 9))
    moved = svm.unit_length(distort.translate(x, SHAPE, 1, 1))
    wrong = []
    for shift in (0, 1):
        machine = svm.fit(x, signs, 2.0, shift)
        margin = svm.margins(machine, moved)
        wrong.append((np.sign(margin) != signs).sum())
    assert wrong[1] < wrong[0] / 2


def test_a_size_without_all_digits_is_refused(small, tmp_path):
    with pytest.raises(InputError, match="all ten digits"):
        svm.virtual_svm_row(small, table1.Job(tmp_path, 8))


# ---- Images moved and bent


def test_warp_is_the_bilinear_interpolation_of_scipy():
    rng = np.random.default_rng(0)
    images = rng.random((5, 784), dtype=np.float32)  # with ink at the edge, too
    rows, columns = (rng.uniform(-3, 31, (5, 784)).astype(np.float32) for _ in range(2))
    found = distort.warp(images, SHAPE, rows, columns)
    for image, r, c, out in zip(images, rows, columns, found, strict=True):
        padded = np.pad(image.reshape(SHAPE), 5)  # scipy fades out over the edge only inside the array
        np.testing.assert_allclose(map_coordinates(padded, [r + 5, c + 5], order=1), out, atol=1e-5)


def test_translate_moves_down_and_right(digits):
    image = np.zeros((1, 784), np.float32)
    image[0, 10 * 28 + 4] = 1
    assert distort.translate(image, SHAPE, 2, -3)[0].argmax() == 12 * 28 + 1
    assert not distort.translate(image, SHAPE, 0, -5).any()
    rows, columns = distort.places(SHAPE)
    by_warp = distort.warp(digits.test_images[:1], SHAPE, rows[None] - 1, columns[None] + 2)
    np.testing.assert_allclose(distort.translate(digits.test_images[:1], SHAPE, 1, -2), by_warp, atol=1e-6)


def test_deskewed_digits_are_centred_and_stand_upright(digits):
    upright = distort.deskew(digits.test_images[:200], SHAPE)
    rows, columns = (x - 13.5 for x in distort.places(SHAPE))
    ink = upright.sum(1)
    mean_row, mean_column = upright @ rows / ink, upright @ columns / ink
    assert np.abs([mean_row, mean_column]).max() < 0.5
    slant = ((upright * (rows - mean_row[:, None]) * (columns - mean_column[:, None])).sum(1)) / (
        (upright * (rows - mean_row[:, None]) ** 2).sum(1)
    )
    before = digits.test_images[:200]
    down, right = rows - (before @ rows / before.sum(1))[:, None], columns - (before @ columns / before.sum(1))[:, None]
    slant_before = (before * down * right).sum(1) / (before * down**2).sum(1)
    assert np.abs(slant).max() < 0.1  # not 0: what is sheared out of the image is lost
    assert np.abs(slant_before).max() > 0.3
    assert np.median(np.abs(slant)) < 0.01


def test_the_blur_is_the_gaussian_filter_of_scipy():
    field = np.random.default_rng(0).uniform(-1, 1, SHAPE)
    blur = distort.blur(28, 4.0)
    wanted = gaussian_filter(field, 4.0, mode="constant", radius=12)
    np.testing.assert_allclose(blur @ field @ blur.T, wanted, atol=1e-6)


@pytest.mark.parametrize("distortion", [distort.affine, distort.elastic])
def test_distortions_are_seeded_differ_between_images_and_keep_the_digit(distortion, digits):
    images = np.repeat(digits.test_images[:20], 5, axis=0)
    found = distortion(images, SHAPE, np.random.default_rng(3))
    np.testing.assert_array_equal(found, distortion(images, SHAPE, np.random.default_rng(3)))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.abs(found[0] - found[1]).max() > 0.3
    ink = found.sum(1) / images.sum(1)
    assert 0.5 < ink.min() < ink.max() < 1.7
    same, other = np.linalg.norm(found - images, axis=1), np.linalg.norm(found - images[::-1], axis=1)
    assert (same < other).mean() > 0.8
