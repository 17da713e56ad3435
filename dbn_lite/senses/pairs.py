"""Pairs of an image and a sound of the same class: all that a net of two senses is told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, whole


def draw_pairs(
    image_labels: NDArray[np.integer],
    sound_labels: NDArray[np.integer],
    batch_size: int,
    n_batches: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of images and of sounds, (n_batches * batch_size,) each: row by row a pair of one class.

    Each mini-batch holds equally many pairs of each class, in random order; of a class, each image and each sound
    comes as often as any other, give or take one, and who meets whom is drawn anew by every call. Raises InputError
    if one sense lacks a class of the other, or a mini-batch cannot hold the classes equally.
    """
    classes, heard = np.unique(image_labels), np.unique(sound_labels)
    if not len(classes) or not np.array_equal(classes, heard):
        raise InputError(f"images are of the classes {classes}, sounds of {heard}; give both of the same ones.")
    each, rest = divmod(whole("batch_size", batch_size), len(classes))
    if rest or whole("n_batches", n_batches) < 1:
        raise InputError(f"mini-batches of {batch_size} do not hold {len(classes)} classes equally; give a multiple.")
    drawn = [
        np.stack([_in_turns(np.flatnonzero(labels == k), each * n_batches, rng).reshape(n_batches, each)
                  for k in classes], axis=1)
        for labels in (image_labels, sound_labels)
    ]  # fmt: skip
    order = rng.permuted(np.tile(np.arange(batch_size), (n_batches, 1)), axis=1)
    images, sounds = (np.take_along_axis(x.reshape(n_batches, batch_size), order, axis=1).ravel() for x in drawn)
    return images, sounds


def _in_turns(rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """n of `rows`, each as often as any other, in random order."""
    rounds = [rng.permutation(rows) for _ in range(-(-n // len(rows)))]
    return np.concatenate(rounds)[:n]
