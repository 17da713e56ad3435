"""Nets small enough to enumerate, random numbers that are known, and what decides whether samples fit."""

import numpy as np
from scipy.stats import chi2

from dbn_lite import dbn, exact
from dbn_lite.rbm import RBM

VIS, HID, PEN, TOP, LAB = 5, 4, 3, 6, 2  # all different, so that no transposed array fits
SIZES = {
    "vishid": (VIS, HID), "hidrecbiases": (HID,), "hidpen": (HID, PEN), "penrecbiases": (PEN,),
    "pentop": (PEN, TOP), "labtop": (LAB, TOP), "topbiases": (TOP,), "pengenbiases": (PEN,), "labgenbiases": (LAB,),
    "penhid": (PEN, HID), "hidgenbiases": (HID,), "hidvis": (HID, VIS), "visgenbiases": (VIS,),
}  # fmt: skip


def machines(n_vis=4, n_hid=3, n_labels=0, seed=0, scale=1.0):
    """One machine twice: the library's, float32, and the oracle's, the same numbers in float64."""
    rng = np.random.default_rng(seed)
    own = [np.float32(scale * rng.normal(size=size)) for size in ((n_vis, n_hid), n_vis, n_hid)]
    return RBM(*own, n_labels), exact.BoltzmannMachine(*map(np.float64, own), n_labels)


def nets(seed=0, scale=1.0, **changes):
    """One deep belief net twice: the library's, and float64 arrays of the same numbers; `changes` replace arrays."""
    rng = np.random.default_rng(seed)
    arrays = {name: np.float32(scale * rng.normal(size=size)) for name, size in SIZES.items()}
    arrays |= {name: np.broadcast_to(np.float32(a), SIZES[name]) for name, a in changes.items()}
    return dbn.from_arrays(arrays), {name: np.float64(a) for name, a in arrays.items()}


class Known:
    """Random numbers for the library, remembered as the uniform numbers that they stand for, in order of use."""

    def __init__(self, seed=0):
        self.source, self.uniforms = np.random.default_rng(seed), []

    def int16(self, shape):
        r = self.source.integers(-32768, 32768, size=shape, dtype=np.int16)
        self.uniforms.append((r + 32768.5) / 65536)
        return r

    def uniform(self, n):
        u = self.source.random(n, dtype=np.float32)
        self.uniforms.append(u[:, None])
        return u

    def tick(self):
        pass


def misfit(places, probs):
    """Pearson's chi-square of how often each state came (places (n,), indices) against its probability, as a ratio.

    Over 1 means: worse than a right sampler is once in a million samples.
    """
    expected = len(places) * probs
    rare = expected < 10  # together they make one cell
    counts = np.bincount(places, minlength=len(probs))
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], max(expected[rare].sum(), 1.0))
    return float(((observed - expected) ** 2 / expected).sum() / chi2.isf(1e-6, len(expected) - 1))


def means_agree(rows, means, sigmas=5.0):
    """Whether the means of independent rows (n, k) are `means` (k,) to within `sigmas` standard errors."""
    errors = rows.std(axis=0, dtype=np.float64) / np.sqrt(len(rows)) + 4e-5  # the 16-bit thresholds' share
    return bool((np.abs(rows.mean(axis=0, dtype=np.float64) - means) < sigmas * errors).all())
