"""A data set: what users hand in, checked, and cut into the paper's mini-batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ROUNDING, InputError, whole


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images: float32 (n, height * width) in [0, 1], C-contiguous, and uint8 labels (n,).

    What is handed in is converted to that, see `check_images` and `check_labels`, or refused with InputError. There may
    be no test images, an array of length 0. One class alone stands for images without labels.
    """

    name: str
    train_images: NDArray[np.float32]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.uint8]
    shape: tuple[int, int] = (28, 28)
    n_classes: int = 10
    class_names: tuple[str, ...] = ()  # what the labels 0, 1, ... were called, where they had other names
    file: str = ""  # where it was read from, if from a file of one's own

    def __post_init__(self) -> None:
        n_classes = whole("n_classes", self.n_classes)
        if n_classes > 256:
            raise InputError(f"{n_classes} classes are too many; labels are kept as numbers from 0 to 255.")
        n_pixels = int(np.prod([whole("shape", side) for side in self.shape]))
        for part in ("train", "test"):
            try:
                given = getattr(self, f"{part}_images")
                none = part == "test" and isinstance(given, np.ndarray) and not len(given)
                images = np.empty((0, n_pixels), np.float32) if none else check_images(given, n_pixels)
                labels = check_labels(getattr(self, f"{part}_labels"), len(images), n_classes)
            except InputError as error:
                raise InputError(f"of the data set {self.name}, for {part}ing, {error}") from error
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)

    @property
    def labelled(self) -> bool:
        """Whether there is a label to be wrong about."""
        return self.n_classes > 1

    def expect_test(self) -> None:
        """Raise InputError if there are no test images."""
        if not len(self.test_images):
            raise InputError(f"the data set {self.name} has no test images; give it some, or choose another split.")


@dataclass(frozen=True, eq=False)
class Split:
    """Images to train on, mini-batch b in rows b * batch_size to (b + 1) * batch_size, and to validate on."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.uint8]
    validation_images: NDArray[np.float32]
    validation_labels: NDArray[np.uint8]


def nearly_square(pixels: int) -> tuple[int, int]:
    """Height and width of images of so many pixels, as near to a square as can be, and never higher than wide."""
    height = next(side for side in range(math.isqrt(pixels), 0, -1) if pixels % side == 0)
    return height, pixels // height


def floats(x: NDArray[Any], white: int) -> NDArray[np.float32]:
    """Divide integers by `white`: float32 (n, pixels), cast block by block and so without a second copy."""
    return np.divide(np.ascontiguousarray(x.reshape(len(x), -1)), np.float32(white), dtype=np.float32)


# What users hand in


def check_images(images: ArrayLike, n_pixels: int | None = None) -> NDArray[np.float32]:
    """Return images as float32 (n, pixels) in [0, 1], C-contiguous; without a copy if they are that already.

    Takes (n, pixels) or (n, height, width), ink 1 on a ground of 0. uint8 is read as 0 to 255 and divided by 255; all
    other numbers must lie in [0, 1]. Raises InputError for NaN, values out of range, the wrong width or type, no
    images at all, and uint8 that stops at 1, which would otherwise turn black in silence.
    """
    x = as_array(images, "images")
    if x.dtype.kind not in "fiub":
        raise InputError(f"images have the type {x.dtype}; give numbers from 0 to 1, or uint8 from 0 to 255.")
    if n_pixels is not None and x.ndim in (1, 2) and x.size == n_pixels and x.shape != (1, n_pixels):
        raise InputError(f"images have the shape {x.shape}, which is one image; give it as (1, {n_pixels}).")
    if x.ndim not in (2, 3) or not x.size:
        raise InputError(f"images have the shape {x.shape}; give one row for each image, (n, pixels).")
    x = x.reshape(len(x), -1)
    if n_pixels is not None and x.shape[1] != n_pixels:
        raise InputError(f"images have {x.shape[1]} pixels; give images of {n_pixels} pixels.")
    if x.dtype == np.uint8 and x.max() == 1:
        raise InputError("images of uint8 are read as 0 to 255 but these stop at 1; convert them to float32.")
    if x.dtype == np.uint8:
        return floats(x, 255)
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        x = np.ascontiguousarray(x, np.float32)
    low, high = x.min(), x.max()
    if np.isnan(low):
        raise InputError("images hold NaN; give numbers from 0 to 1.")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(f"images reach from {low:.6g} to {high:.6g}; scale them to lie from 0 to 1.")
    return x if low >= 0 and high <= 1 else np.clip(x, 0, 1)


def check_labels(labels: ArrayLike, n: int, n_classes: int = 10) -> NDArray[np.uint8]:
    """Return the labels of `n` images as uint8 (n,).

    Raises InputError unless they are n integers from 0 to n_classes - 1.
    """
    y = as_array(labels, "labels")
    if y.dtype.kind not in "iu":
        raise InputError(f"labels have the type {y.dtype}; give integers from 0 to {n_classes - 1}.")
    if y.shape != (n,):
        raise InputError(f"labels have the shape {y.shape}; give one label for each image, ({n},).")
    if n and (y.min() < 0 or y.max() >= n_classes):
        raise InputError(f"labels reach from {y.min()} to {y.max()}; they must lie from 0 to {n_classes - 1}.")
    return y.astype(np.uint8)


def hint(images: NDArray[np.float32]) -> str:
    """A sentence if images (n, pixels), 1 for ink as everywhere here, look like dark ink on white; else empty.

    The mean pixel is 0.13 in MNIST, 0.25 in USPS, and so above 0.6 in both when they are inverted.
    """
    mean = float(images.mean())
    if mean <= 0.6:
        return ""
    return f"The images have a mean of {mean:.2f}: if they are dark on white, give 1 - images, ink 1 on a ground of 0."


def as_array(given: ArrayLike, what: str) -> NDArray[Any]:
    """An array of what is called `what`; raises InputError for what is none."""
    try:
        return np.asarray(given)
    except ValueError as error:
        raise InputError(f"{what} differ in length; give one array of equally many numbers each.") from error
    except Exception as error:  # an array on a GPU or with a gradient says itself what to call
        raise InputError(f"{what} are no array of NumPy's ({error}); convert them to one.") from error


# Mini-batches


def arrange_balanced(
    labels: ArrayLike, batch_size: int, n_batches: int, rng: np.random.Generator, n_classes: int = 10
) -> NDArray[np.int64]:
    """Draw mini-batches that hold equally many of each class: indices (n_batches * batch_size,), none twice.

    Within a batch the classes are in random order. Raises InputError if a batch cannot hold the classes
    equally, or a class has too few examples.
    """
    _check_batches(batch_size, n_batches)
    if batch_size % n_classes:
        raise InputError(f"a batch of {batch_size} cannot hold {n_classes} classes equally; use a multiple.")
    each = batch_size // n_classes
    columns = []
    for k in range(n_classes):
        members = np.flatnonzero(np.asarray(labels) == k)
        if len(members) < n_batches * each:
            raise InputError(
                f"class {k} has {len(members)} examples, too few for {n_batches} balanced batches of "
                f"{batch_size}; ask for at most {len(members) // each}."
            )
        columns.append(rng.permutation(members)[: n_batches * each].reshape(n_batches, each))
    return rng.permuted(np.concatenate(columns, axis=1), axis=1).reshape(-1)


def arrange_random(n: int, batch_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Assign `n` examples to mini-batches at random, as for the last stage of the paper (footnote 8).

    Returns indices of whole batches, none twice; n % batch_size examples are left out.
    """
    _check_batches(batch_size, n // max(batch_size, 1))
    return rng.permutation(n)[: n - n % batch_size]


def _check_batches(batch_size: int, n_batches: int) -> None:
    if batch_size < 1:
        raise InputError(f"the batch size is {batch_size}; use at least 1.")
    if n_batches < 1:
        raise InputError(f"a batch of {batch_size} is larger than the data; use a smaller one.")


def arrange_in_proportion(
    labels: ArrayLike, batch_size: int, n_batches: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Deal images out to mini-batches that hold each class as often as the data do, to one image.

    Returns the indices of n_batches * batch_size images, batch by batch, and those of all others, which have each class
    in the same proportion too; none is left out and none comes twice. Within a batch the classes are in random order.
    """
    y = np.asarray(labels)
    _check_batches(batch_size, n_batches)
    by_class = rng.permutation(len(y))
    by_class = by_class[np.argsort(y[by_class], kind="stable")]
    share = np.arange(len(y) + 1) * n_batches * batch_size // len(y)
    chosen = share[1:] > share[:-1]  # evenly along the classes, so that each gives its share
    dealt = by_class[chosen].reshape(batch_size, n_batches).T  # like cards
    return rng.permuted(dealt, axis=1).reshape(-1), rng.permutation(by_class[~chosen])


def split(dataset: Dataset, rng: np.random.Generator, batch_size: int = 100) -> Split:
    """Cut the training images in mini-batches and a validation set of 1/6 of them, or a little more.

    As section 6.1 does where the classes are even enough: balanced mini-batches of 44/60 of the images (MNIST: 44,000
    in 440), and 10,000 of the rest for validation. Where the rarest class does not fill them, or they cannot hold the
    classes equally, every image is used once: 5/6 of them are arranged in mini-batches that hold each class as often as
    the data do, and all others, with those that fill no mini-batch, are for validation. To repeat the few of a rare
    class would be to learn them by heart, and the net should know how rare they are. Raises InputError for a batch size
    that cannot be.
    """
    labels, n = dataset.train_labels, len(dataset.train_labels)
    of_each = np.bincount(labels, minlength=dataset.n_classes)
    rarest = int(of_each.min())
    if not rarest:
        raise InputError(f"no image is of class {int(of_each.argmin())}; number the classes from 0 without a gap.")
    images, size = dataset.train_images, max(batch_size, 1)
    n_batches = n * 44 // 60 // size
    if size % dataset.n_classes or rarest * dataset.n_classes // size < max(n_batches, 1):
        train, kept = arrange_in_proportion(labels, batch_size, (n - n // 6) // size, rng)
    else:
        train = arrange_balanced(labels, batch_size, n_batches, rng, dataset.n_classes)
        kept = rng.permutation(np.setdiff1d(np.arange(n), train))[: n // 6]
    return Split(images[train], labels[train], images[kept], labels[kept])
