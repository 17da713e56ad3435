"""Data sets by name: found or fetched, verified, loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ..dataset import (
    Dataset,
    Split,
    arrange_balanced,
    arrange_in_proportion,
    arrange_random,
    check_images,
    check_labels,
    floats,
    split,
)
from ..errors import InputError
from .dreamed import write_dreamed
from .formats import FULL_INK
from .own import from_arrays, read_own
from .sources import Checked, NotFetchedError, fetch, find, read, verify

__all__ = [
    "NAMES", "Checked", "Dataset", "NotFetchedError", "Split", "arrange_balanced", "arrange_in_proportion",
    "arrange_random", "check_images", "check_labels", "fetch", "from_arrays", "load", "split", "verify",
    "write_dreamed",
]  # fmt: skip

#: what `load` takes
NAMES = ("auto", "mnist", "dreamed", "usps")


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def load(name: str = "auto", say: Callable[[str], None] = _to_stderr) -> Dataset:
    """Load a data set, "mnist", "usps" or "dreamed", from DBN_LITE_DATA, the cache or a mirror, verified.

    A name that ends in .npz is the path of one's own: `images` and `labels`, and `test_images` and `test_labels` if
    there are any, as `from_arrays` takes them.

    "auto" is MNIST if it is at hand or can be fetched, else the embedded dreamed digits, of which `say` is told in one
    sentence; nothing stands in where DBN_LITE_DATA is set. Raises InputError for an unknown name, a damaged file, and
    a DBN_LITE_DATA that leads nowhere, NotFetchedError (an InputError) if no mirror gives a set that is not at hand.
    """
    if name.endswith(".npz"):
        return read_own(name)
    if name not in NAMES:
        known = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
        raise InputError(f"there is no data set {name!r}; choose {known}, or give the path of an .npz file.")
    if name == "auto":
        try:
            return load("mnist")
        except NotFetchedError:
            if os.environ.get("DBN_LITE_DATA"):
                raise  # whoever names a folder means its data, and no other
            say(
                "MNIST is not at hand and no mirror gives it, so the embedded dreamed digits stand in: "
                "no figure that follows is one on MNIST."
            )
            return load("dreamed")
    train, train_labels, test, test_labels = read(name, find(name))
    return Dataset(
        name,
        floats(train, FULL_INK[name]),
        train_labels.copy(),
        floats(test, FULL_INK[name]),
        test_labels.copy(),
        (train.shape[1], train.shape[2]),
    )
