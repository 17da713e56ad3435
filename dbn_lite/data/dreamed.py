"""The embedded set: digits that a net dreamed, chosen and packed; it stands in where MNIST cannot be had."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import backend, places, store
from ..dataset import check_images, check_labels
from ..dbn import DBN, generate, label_log_probs
from ..errors import InputError
from ..files import atomic_write, expect_writable
from .formats import ARRAYS, DREAMED

DREAM_STEPS = 300  # Gibbs iterations between a noise image and the digit that goes into the embedded set
DREAM_INK = 0.025  # of the page, at least: as much as the thinnest of MNIST's ones; less is an empty page
DREAM_SURE = 0.9  # the probability, at least, that the net gives to the digit it dreamed of
DREAM_TRIES = 25  # batches of 700 dreams of a digit before its net is given up
DREAMED_LIMIT = 4_000_000  # bytes: the embedded set is committed and travels in the wheel


def dream(path: str | Path, out: Path | None = None, seed: int = 0, progress: bool = True) -> dict[str, Any]:
    """Write 1,400 readable digits of each class as the embedded set, in mixed order; the last 2,000 are for testing.

    They are dreams of the net in the file `path`; without `out` they replace the set that ships. Returns what was
    written; raises InputError if the net is sure of too few of its dreams.
    """
    from tqdm import tqdm

    net, out = store.load(path), out or places.shipped("registry.json").with_name(DREAMED)
    expect_writable(out, path)
    rng = backend.current().random(seed, "dream")
    with tqdm(range(net.n_labels), desc="dreaming", unit="digit", disable=not progress) as digits:
        images = np.concatenate([_readable_dreams(net, digit, 1400, rng) for digit in digits])
    labels = np.repeat(np.arange(net.n_labels), 1400)
    order = np.random.default_rng(seed).permutation(len(labels))
    about = {"net": store.read_meta(path), "steps": DREAM_STEPS, "seed": seed}
    write_dreamed(out, images[order], labels[order], meta=about)
    return {"images": len(images), "bytes": out.stat().st_size, "written": str(out)}


def _readable_dreams(net: DBN, digit: int, n: int, rng: backend.Random) -> np.ndarray:
    """n dreams of a digit, (n, vis), that are no empty pages and in which the net itself is sure to see that digit."""
    kept: list[np.ndarray] = []
    for _ in range(DREAM_TRIES):
        dreams = generate(net, digit, n // 2, DREAM_STEPS, rng)
        sure = label_log_probs(net, dreams)[:, digit] > np.log(DREAM_SURE)
        kept.extend(dreams[sure & (dreams.mean(axis=1) >= DREAM_INK)])
        if len(kept) >= n:
            return np.stack(kept[:n])
    raise InputError(f"the net is sure of few of its dreams of {digit}; train it longer.")


def write_dreamed(
    path: str | Path,
    images: ArrayLike,
    labels: ArrayLike,
    n_test: int = 2000,
    meta: dict[str, Any] | None = None,
) -> None:
    """Write the embedded set: the last `n_test` of the images (n, 784) for testing, the others for training.

    Keeps 256 levels of grey, or 64, 32, 16 equally spaced ones, the most that stay under 4 MB; a JSON string
    `meta` goes with them and says which. Raises InputError for bad images or labels, or if 16 are too many.
    """
    greys = check_images(images, 28 * 28)
    digits = check_labels(labels, len(greys))
    if not 0 < n_test < len(greys):
        raise InputError(f"{n_test} test images cannot be taken from {len(greys)}; leave some for training.")
    for levels in (256, 64, 32, 16):
        stored = np.rint(np.rint(greys * (levels - 1)) * (255 / (levels - 1))).astype(np.uint8)
        content = _pack(stored.reshape(-1, 28, 28), digits, n_test, {**(meta or {}), "grey_levels": levels})
        if len(content) < DREAMED_LIMIT:
            break
    else:
        raise InputError(f"{len(greys)} images do not fit in {DREAMED_LIMIT} bytes; give fewer or clearer ones.")
    atomic_write(path, lambda out: out.write(content))


def _pack(images: NDArray[np.uint8], digits: NDArray[np.uint8], n_test: int, meta: dict[str, Any]) -> bytes:
    arrays = (
        images[:-n_test],
        digits[:-n_test],
        images[-n_test:],
        digits[-n_test:],
        np.array(json.dumps(meta)),
    )
    named: dict[str, Any] = dict(zip((*ARRAYS, "meta"), arrays, strict=True))
    file = io.BytesIO()
    np.savez_compressed(file, **named)
    return file.getvalue()
