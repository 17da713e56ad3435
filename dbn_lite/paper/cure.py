"""A cure for chains that end at an empty page (chapter 7): up-down in which some are never sent back to the data.

The paper has nothing of the kind. In persistent contrastive divergence (Tieleman 2008) every chain goes on from where
it stands; here some do, and the others keep to the data.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from .. import backend
from ..dataset import Dataset
from ..dbn import DBN, from_arrays
from ..errors import InputError
from ..presets import preset_named
from ..train import split_for
from ..updown import UpDown

SHARE = 0.3  # of the chains of a mini-batch
N_BATCHES = 880  # two sweeps of 44,000 images


def cure(net: DBN, dataset: Dataset, seed: int = 0, n_batches: int = N_BATCHES, progress: bool = True) -> DBN:
    """A copy of a net after so many mini-batches of `UpDown` with chains that wander, a minute or two on two cores.

    Gibbs iterations, first rate, later momentum and decay are those of the last stage of the preset `paper`; the
    mini-batches are the balanced ones of its first stages for a run with that seed, sweep after sweep in one order.
    Raises InputError for a net that does not fit the images or their labels.
    """
    ops, preset = backend.current(), preset_named("paper")
    if (net.sizes[0], net.n_labels) != (dataset.train_images.shape[1], dataset.n_classes):
        raise InputError(
            f"a net of {net.sizes[0]} pixels and {net.n_labels} labels does not fit {dataset.name}; choose other data."
        )
    stage, size = preset.stages[-1], preset.batch_size
    parts = split_for(dataset, seed, size)
    images = ops.asarray(parts.train_images)
    targets = ops.asarray(np.eye(dataset.n_classes)[parts.train_labels])
    cured = from_arrays({name: ops.to_numpy(a) for name, a in net.arrays().items()})
    learner, rng = UpDown(cured, size, n_wandering=round(SHARE * size)), ops.random(seed, "cure")
    order = np.random.default_rng([seed, 4]).permutation(len(images) // size)
    settings = stage.n_gibbs, stage.learning_rate[0], stage.momentum[1], stage.weight_decay
    with tqdm(np.resize(order, n_batches), desc="wandering", unit="mini-batch", disable=not progress) as batches:
        for batch in batches:
            rows = slice(batch * size, (batch + 1) * size)
            learner.step(images[rows], targets[rows], rng, *settings)
    return cured
