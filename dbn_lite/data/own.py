"""Data sets of one's own: arrays, or a file of them, made into a `Dataset`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import store
from ..dataset import Dataset, as_array, check_images, nearly_square
from ..errors import InputError, whole

ARRAYS = ("images", "labels", "test_images", "test_labels")
MOST_CLASSES = 256  # labels are kept as uint8, and each class is a unit that the memory looks at for every image


def from_arrays(
    images: ArrayLike,
    labels: ArrayLike | None,
    test: tuple[ArrayLike, ArrayLike | None] | None = None,
    name: str = "own",
    shape: tuple[int, int] | None = None,
) -> Dataset:
    """Make a data set of one's own arrays, checked and cast.

    `images` (n, height, width), or (n, height * width) with their `shape`, which need not be given for squares: numbers
    from 0 to 1, or uint8 from 0 to 255. `labels` (n,) are whole numbers or words. Words are sorted and numbered from 0,
    and so are numbers that do not begin at 0 or have gaps, since a class without images would only be a unit of the net
    that is always off; `class_names` of the data set keeps what they were. `labels` None makes one class of all images:
    a net that dreams, and has nothing to read. `test` is another pair. Raises InputError, which says what is wrong.
    """
    if test is not None and (not isinstance(test, tuple | list) or len(test) != 2):
        raise InputError("test is no pair; give (images, labels).")
    if test is not None and (labels is None) != (test[1] is None):
        raise InputError(f"of the data set {name} only one part has labels; give them for both, or for none.")
    pixels, side = _train_images(images, shape, name)
    none: tuple[ArrayLike, ArrayLike | None] = np.empty((0, pixels.shape[1]), np.float32), np.empty(0, np.int64)
    test_images, given = none if test is None else test
    try:
        train_labels = _labels(labels, len(pixels))
        test_labels = _labels(given, len(np.asarray(test_images)))
    except InputError as error:
        raise InputError(f"of the data set {name}, {error}") from error
    classes, numbers = np.unique(train_labels, return_inverse=True)
    if len(classes) > MOST_CLASSES:
        raise InputError(
            f"the data set {name} has {len(classes)} different labels, and a net tells {MOST_CLASSES} classes apart; "
            f"put some together, or look whether these are labels."
        )
    strange = [one for one in np.unique(test_labels).tolist() if one not in classes.tolist()]
    if strange:
        raise InputError(
            f"the data set {name} has test images of class {strange[0]!r}, and none to learn it from; leave them out, "
            f"or write the labels alike."
        )
    renamed = classes.dtype.kind == "U" or not np.array_equal(classes, np.arange(len(classes)))
    names = tuple(map(str, classes)) if renamed else ()
    sorted_in = np.searchsorted(classes, test_labels)
    return Dataset(name, pixels, numbers, np.asarray(test_images), sorted_in, side, len(classes), names)  # type: ignore[arg-type]


def _labels(labels: ArrayLike | None, n: int) -> NDArray[Any]:
    """Labels (n,) as whole numbers or words; zeros where there are none."""
    if labels is None:
        return np.zeros(n, np.int64)
    y = as_array(labels, "labels")
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y.flat):
        y = y.astype(str)
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and np.array_equal(y, np.trunc(y))):
        y = y.astype(np.int64)
    if y.dtype.kind not in "iuU":
        raise InputError(f"labels have the type {y.dtype}; give a whole number or a word for each image.")
    if y.shape != (n,):
        raise InputError(f"labels have the shape {y.shape}; give one label for each image, ({n},).")
    return y


def _train_images(images: ArrayLike, shape: tuple[int, int] | None, name: str) -> tuple[NDArray[np.float32], Any]:
    """Images as (n, pixels), and their height and width: as given, as the array has them, or of a square."""
    try:
        pixels = check_images(images)
        if shape is None and np.ndim(images) == 3:
            shape = np.shape(images)[1:]
        if shape is not None:
            if np.shape(shape) != (2,):
                raise InputError(f"shape is {shape!r}; give height and width.")
            height, width = (whole("shape", side) for side in shape)
            return check_images(pixels, height * width), (height, width)
    except InputError as error:
        raise InputError(f"of the data set {name}, for training, {error}") from error
    height, width = nearly_square(pixels.shape[1])
    if height != width:
        raise InputError(
            f"of the data set {name}, images have {height * width} pixels, which make no square; say their shape, "
            f"(height, width), or give (n, height, width)."
        )
    return pixels, (height, width)


def read_own(path: str) -> Dataset:
    """Read an .npz file of `images`, and of `labels`, `test_images` and `test_labels` if there are any.

    Nothing is unpickled. Raises InputError for a file that cannot be read, and what `from_arrays` raises.
    """
    remedy = "write it by np.savez(file, images=..., labels=...), words as an array of str"
    arrays, _ = store.load_arrays(path, ARRAYS, remedy=remedy)
    for one, other in (("images", "labels"), ("images", "test_images"), ("test_images", "test_labels")):
        if one not in arrays and (other in arrays or one == "images"):
            raise InputError(f"{path} has no array {one!r}; {remedy}.")
    test = (arrays["test_images"], arrays.get("test_labels")) if "test_images" in arrays else None
    name = Path(path).name.replace(",", " ")  # with its ending, and so never that of a published set
    made = from_arrays(arrays["images"], arrays.get("labels"), test, name)
    return replace(made, file=path)
