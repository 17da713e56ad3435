"""Data sets as training sees them: the paper's split, the embedded set, and the checks of what users hand in."""

import json
import os

import numpy as np
import pytest

from dbn_lite import data, places
from dbn_lite.data import dreamed, formats, sources
from dbn_lite.errors import InputError

MNIST_CLASSES = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
USPS_CLASSES = [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
rng = np.random.default_rng


def numbered(counts):
    """A set of one-pixel images, each of its own grey, in mixed order: which image is which can be told."""
    labels = rng(0).permutation(np.repeat(np.arange(10, dtype=np.uint8), counts))
    n = len(labels)
    greys = (np.arange(n, dtype=np.float32) / n)[:, None]
    return data.Dataset("numbered", greys, labels, greys[:1], labels[:1], (1, 1))


def where_from(images, n):
    return np.rint(images[:, 0] * n).astype(int)


# The split


def test_the_papers_split():
    """Section 6.1: 440 mini-batches with 10 examples of each class, validation from the remaining 16,000."""
    mnist = numbered(MNIST_CLASSES)
    cut = data.split(mnist, rng(0))
    assert cut.train_images.shape == (44_000, 1)
    assert cut.validation_images.shape == (10_000, 1)
    for batch in cut.train_labels.reshape(440, 100):
        assert np.bincount(batch, minlength=10).tolist() == [10] * 10
    train, validation = where_from(cut.train_images, 60_000), where_from(cut.validation_images, 60_000)
    assert len(set(train) | set(validation)) == 54_000  # none twice
    np.testing.assert_array_equal(mnist.train_labels[train], cut.train_labels)
    np.testing.assert_array_equal(mnist.train_labels[validation], cut.validation_labels)
    assert cut.train_images.dtype == cut.validation_images.dtype == np.float32
    assert cut.train_images.flags.c_contiguous


def test_validation_is_drawn_at_random_from_what_is_left():
    """Its classes are those of the remaining 16,000: few fives (1,021 of 5,421), many ones (2,342 of 6,742)."""
    cut = data.split(numbered(MNIST_CLASSES), rng(0))
    expected = (np.array(MNIST_CLASSES) - 4400) * (10_000 / 16_000)
    counts = np.bincount(cut.validation_labels, minlength=10)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())
    assert np.mean(where_from(cut.validation_images, 60_000)) == pytest.approx(30_000, abs=5 * 60_000 / np.sqrt(12e4))


def test_the_split_depends_on_the_seed_alone():
    mnist = numbered([600] * 10)
    a, b, c = (data.split(mnist, rng(seed)) for seed in (0, 0, 1))
    for field in ("train_images", "train_labels", "validation_images", "validation_labels"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    assert (a.train_images != c.train_images).any()
    assert (a.validation_images != c.validation_images).any()


def test_neither_batches_nor_their_insides_follow_the_order_of_the_data():
    mnist = numbered([600] * 10)
    cut = data.split(mnist, rng(0))
    assert (cut.train_labels.reshape(-1, 100) != cut.train_labels[:100]).any()
    assert (np.diff(cut.train_labels[:100].astype(int)) < 0).any()
    first_half = where_from(cut.train_images, 6000)[: len(cut.train_images) // 2]
    assert first_half.mean() == pytest.approx(3000, abs=5 * 6000 / np.sqrt(12 * len(first_half)))


@pytest.mark.parametrize(
    ("counts", "n_train", "n_validation"),
    [
        ([1200] * 10, 8800, 2000),  # the embedded set
        (USPS_CLASSES, 5300, 1215),
        ([30] * 10, 200, 50),
    ],
)
def test_smaller_sets_are_cut_in_proportion(counts, n_train, n_validation):
    cut = data.split(numbered(counts), rng(0))
    assert (len(cut.train_labels), len(cut.validation_labels)) == (n_train, n_validation)
    for batch in cut.train_labels.reshape(-1, 100):
        assert np.bincount(batch, minlength=10).tolist() == [10] * 10


def test_batches_of_another_size_are_balanced_too():
    cut = data.split(numbered([30] * 10), rng(0), batch_size=30)
    assert (len(cut.train_labels), len(cut.validation_labels)) == (210, 50)
    for batch in cut.train_labels.reshape(7, 30):
        assert np.bincount(batch, minlength=10).tolist() == [3] * 10


@pytest.mark.parametrize(
    ("batch_size", "words"),
    [
        (500, "a batch of 500 is larger than the data; use a smaller one"),
        (0, "the batch size is 0; use at least 1"),
        (-10, "the batch size is -10; use at least 1"),
    ],
)
def test_batches_that_cannot_be_are_refused(batch_size, words):
    with pytest.raises(InputError, match=words):
        data.split(numbered([30] * 10), rng(0), batch_size)


def test_a_batch_that_cannot_hold_the_classes_equally_is_not_balanced():
    with pytest.raises(InputError, match="a batch of 15 cannot hold 10 classes equally; use a multiple"):
        data.arrange_balanced(np.repeat(np.arange(10), 30), 15, 2, rng(0))


def test_more_batches_than_a_class_can_fill_are_refused():
    labels = np.repeat(np.arange(10), 30)
    with pytest.raises(
        InputError, match=r"class 0 has 30 examples, too few for 4 balanced batches of 100; .* at most 3"
    ):
        data.arrange_balanced(labels, 100, 4, rng(0))


def test_a_set_without_one_of_the_classes_has_no_balanced_batch():
    with pytest.raises(InputError, match="no image is of class 9; number the classes from 0 without a gap"):
        data.split(numbered([30] * 9 + [0]), rng(0))


def test_all_60000_are_assigned_at_random():
    """Footnote 8: every image once, in 600 mini-batches that are not balanced."""
    indices = data.arrange_random(60_000, 100, rng(0))
    np.testing.assert_array_equal(np.sort(indices), np.arange(60_000))
    assert (indices != np.arange(60_000)).mean() > 0.99
    np.testing.assert_array_equal(indices, data.arrange_random(60_000, 100, rng(0)))
    labels = numbered(MNIST_CLASSES).train_labels[indices].reshape(600, 100)
    assert any(np.bincount(batch, minlength=10).tolist() != [10] * 10 for batch in labels)


def test_only_whole_batches_are_assigned():
    indices = data.arrange_random(7291, 100, rng(0))
    assert len(indices) == len(set(indices)) == 7200
    assert indices.max() < 7291
    with pytest.raises(InputError, match="a batch of 100 is larger than the data"):
        data.arrange_random(99, 100, rng(0))
    with pytest.raises(InputError, match="the batch size is 0"):
        data.arrange_random(99, 0, rng(0))


# The embedded set


@pytest.fixture
def embedded(monkeypatch, tmp_path):
    """The path where a package of its own looks for its embedded set."""
    (tmp_path / "dbn_lite" / "_data").mkdir(parents=True)
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "dbn_lite")
    return tmp_path / "dbn_lite" / "_data" / formats.DREAMED


def clouds(n):
    """Soft grey pictures, somewhat as a network dreams them: (n, 784) in [0, 1]."""
    y, x = np.mgrid[:28, :28]
    cx, cy, width = rng(0).uniform(6, 22, (3, n, 1, 1))
    return np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width)).reshape(n, 784).astype(np.float32)


def test_what_is_dreamed_is_loaded_again(embedded):
    images, labels = clouds(60), np.arange(60) % 10
    data.write_dreamed(embedded, images, labels, n_test=20, meta={"net": "a test"})
    again = data.load("dreamed")
    assert (again.name, again.shape) == ("dreamed", (28, 28))
    np.testing.assert_allclose(again.train_images, images[:40], atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(again.test_images, images[40:], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(again.train_labels, labels[:40])
    np.testing.assert_array_equal(again.test_labels, labels[40:])
    with np.load(embedded, allow_pickle=False) as file:
        assert sorted(file.files) == sorted([*formats.ARRAYS, "meta"])
        assert json.loads(str(file["meta"])) == {"net": "a test", "grey_levels": 256}
        assert file["train_images"].dtype == np.uint8
        assert file["train_images"].shape == (40, 28, 28)


def test_greys_are_given_up_only_as_far_as_the_size_asks(embedded, monkeypatch):
    images, labels, sizes = clouds(60), np.arange(60) % 10, []
    for levels in (256, 64, 32, 16):
        data.write_dreamed(embedded, images, labels, n_test=20)
        with np.load(embedded) as file:
            assert json.loads(str(file["meta"]))["grey_levels"] == levels
            assert len(np.unique(file["train_images"])) <= levels
            assert file["train_images"].max() == 255
        assert np.abs(data.load("dreamed").train_images - images[:40]).max() <= 0.5 / (levels - 1) + 0.5 / 255
        sizes.append(embedded.stat().st_size)
        monkeypatch.setattr(dreamed, "DREAMED_LIMIT", sizes[-1])
    assert sizes == sorted(sizes, reverse=True)
    before = embedded.read_bytes()
    with pytest.raises(InputError, match=r"60 images do not fit in .* bytes; give fewer or clearer ones"):
        data.write_dreamed(embedded, images, labels, n_test=20)
    assert embedded.read_bytes() == before


def test_fourteen_thousand_soft_pictures_stay_under_four_megabytes(tmp_path):
    data.write_dreamed(tmp_path / "dreamed.npz", clouds(14_000), np.arange(14_000) % 10)
    assert (tmp_path / "dreamed.npz").stat().st_size < 4_000_000
    with np.load(tmp_path / "dreamed.npz") as file:
        assert (len(file["train_labels"]), len(file["test_labels"])) == (12_000, 2_000)


@pytest.mark.parametrize(
    ("images", "labels", "n_test", "words"),
    [
        (np.zeros((5, 100)), np.zeros(5, int), 2, "images have 100 pixels; give images of 784"),
        (np.full((5, 784), 2.0), np.zeros(5, int), 2, "images reach from 2 to 2"),
        (np.zeros((5, 784)), np.zeros(4, int), 2, r"labels have the shape \(4,\)"),
        (np.zeros((5, 784)), np.zeros(5, int), 5, "5 test images cannot be taken from 5"),
        (np.zeros((5, 784)), np.zeros(5, int), 0, "0 test images cannot be taken from 5"),
    ],
)
def test_nothing_is_written_of_bad_dreams(tmp_path, images, labels, n_test, words):
    with pytest.raises(InputError, match=words):
        data.write_dreamed(tmp_path / "dreamed.npz", images, labels, n_test=n_test)
    assert os.listdir(tmp_path) == []


# What users hand in


def test_good_images_pass_without_a_copy():
    images = rng(0).random((3, 6), dtype=np.float32)
    assert data.check_images(images, 6) is images or np.shares_memory(data.check_images(images, 6), images)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([[0, 1], [1, 0]], [[0, 1], [1, 0]]),
        (np.array([[0.25, 0.5]]), [[0.25, 0.5]]),
        (np.array([[True, False]]), [[1, 0]]),
        (np.array([[0, 51, 255]], np.uint8), [[0, 0.2, 1]]),
        (np.zeros((1, 2), np.uint8), [[0, 0]]),
        (np.asfortranarray(np.eye(2)), np.eye(2)),
        (np.full((2, 2, 2), 0.5), np.full((2, 4), 0.5)),
    ],
)
def test_images_become_float32_rows(images, expected):
    checked = data.check_images(images)
    assert checked.dtype == np.float32
    assert checked.flags.c_contiguous
    np.testing.assert_allclose(checked, expected, atol=1e-7)
    assert checked.shape == np.shape(expected)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([[0.0, np.nan]], "images hold NaN; give numbers from 0 to 1"),
        ([[0.0, 1.5]], "images reach from 0 to 1.5; scale them"),
        ([[-0.5, 1.0]], "images reach from -0.5 to 1; scale them"),
        ([[0.0, np.inf]], "images reach from 0 to inf"),
        ([[0.0, 1e300]], "images reach from 0 to inf"),
        (np.array([[0, 255]]), "images reach from 0 to 255"),
        (np.array([[0, 1]], np.uint8), "these stop at 1; convert them to float32"),
        ([0.0, 1.0], r"images have the shape \(2,\); give one row for each image"),
        (np.zeros((0, 4)), r"images have the shape \(0, 4\)"),
        (np.zeros((1, 1, 2, 2)), r"images have the shape \(1, 1, 2, 2\)"),
        ([["a", "b"]], "images have the type <U1; give numbers"),
        (np.array([[None]]), "images have the type object"),
        (np.array([[1j]]), "images have the type complex128"),
        ([[0.0, 1.0], [0.0]], "images differ in length"),
    ],
)
def test_images_that_are_none_are_refused(images, words):
    with pytest.raises(InputError, match=words):
        data.check_images(images)


def test_images_of_the_wrong_width_are_refused():
    with pytest.raises(InputError, match="images have 256 pixels; give images of 784 pixels"):
        data.check_images(np.zeros((2, 16, 16)), 784)


def test_labels_become_uint8():
    checked = data.check_labels([0, 9, 3], 3)
    assert checked.dtype == np.uint8
    assert checked.tolist() == [0, 9, 3]
    assert data.check_labels(np.array([], int), 0).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 10], "labels reach from 0 to 10; they must lie from 0 to 9"),
        ([-1, 1, 2], "labels reach from -1 to 2"),
        ([0, 1], r"labels have the shape \(2,\); give one label for each image, \(3,\)"),
        ([[0, 1, 2]], r"labels have the shape \(1, 3\)"),
        ([0.0, 1.0, 2.0], "labels have the type float64; give integers from 0 to 9"),
        (["0", "1", "2"], "labels have the type <U1"),
        ([[0], [1, 2]], "labels differ in length"),
    ],
)
def test_labels_that_are_none_are_refused(labels, words):
    with pytest.raises(InputError, match=words):
        data.check_labels(labels, 3)


def test_labels_of_fewer_classes():
    assert data.check_labels([0, 2], 2, n_classes=3).tolist() == [0, 2]
    with pytest.raises(InputError, match="they must lie from 0 to 2"):
        data.check_labels([0, 3], 2, n_classes=3)


# The real sets, where they are at hand


def at_hand(name):
    folder = sources._place(name)
    if not all((folder / file).is_file() for file in sources._readers(name)):
        pytest.skip(f"{name} is not at hand")
    return data.load(name)


def test_mnist_is_what_the_field_knows():
    mnist = at_hand("mnist")
    assert mnist.train_images.shape == (60_000, 784)
    assert mnist.test_images.shape == (10_000, 784)
    assert np.bincount(mnist.train_labels).tolist() == MNIST_CLASSES
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.train_images.mean(dtype=float) == pytest.approx(0.1307, abs=5e-5)
    assert mnist.train_images.std(dtype=float) == pytest.approx(0.3081, abs=5e-5)
    assert (mnist.train_images.min(), mnist.train_images.max()) == (0, 1)


def test_usps_is_dark_ink_on_nothing_and_upright():
    usps = at_hand("usps")
    assert usps.train_images.shape == (7291, 256)
    assert usps.test_images.shape == (2007, 256)
    assert np.bincount(usps.train_labels).tolist() == USPS_CLASSES
    assert (usps.train_images.min(), usps.train_images.max()) == (0, 1)
    ones = usps.train_images[usps.train_labels == 1].mean(0).reshape(16, 16)
    assert ones[2:14, 7:9].min() > 0.7  # a vertical stroke
    assert ones[:, :3].max() < 0.1
