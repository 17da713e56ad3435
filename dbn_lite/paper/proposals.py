"""Three things that the paper proposes and does not show, at a size that a laptop has in half an hour.

Distorted images and weight sharing with sub-sampling (section 6.1), and an ensemble of nets that only learned greedily
(section 8). All learn from 5,000 images, with three fifths of the paper's units, each with three seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from .. import backend, provenance, store, train
from ..dataset import Dataset, Split
from ..dbn import Net, label_log_probs, samples_by_class
from ..deep import greedy, stack, up_down
from ..deep.learn import mini_batches
from ..files import TEXT, count, expect_folder, packed
from ..presets import Preset, Stage
from ..rbm import RBM, mean_h_from_v
from ..study.shared import local_features
from . import record
from .scoreboard import mean_and_scatter
from .table1 import distort
from .table1.neighbours import nearest

N_IMAGES = 6_850  # of which `dataset.split` takes 5,000 for learning
LAYERS, LARGER, DEEPER = (300, 300, 1200), (450, 450, 1800), (300, 300, 300, 1200)
GREEDY_EPOCHS, UP_DOWN_EPOCHS, RATES = 20, 42, (0.02, 0.001)
DREAM_EVERY = 200  # Gibbs iterations between two dreams of a chain
MEMBERS = 4  # of an ensemble
SIDE, STRIDE, FEATURES = 8, 4, 24  # windows of a first layer: 36 of them on 28 by 28 pixels, 864 features
RATES_OF_FIRST = (0.03, 0.1, 0.3)
SEEDS = (0, 1, 2)
OF_PROPOSALS = {"settings": {"data": TEXT}, "rows": [{"what": TEXT, "seed": count()}]}


def proposals(dataset: Dataset, out: str | Path, seeds: Sequence[int] = SEEDS, progress: bool = True) -> dict[str, Any]:
    """Train all of it; what each net was worth, in `out`/proposals.json, a row for each net and seed.

    Called again, it goes on with what is not recorded yet. Errors are in percent, of the read-out by free energies.
    Raises InputError for a record of other data or settings.
    """
    expect_folder(out)
    path = Path(out) / "proposals.json"
    settings = {
        "data": dataset.name, "images": N_IMAGES, "layers": [*LAYERS], "greedy_epochs": GREEDY_EPOCHS,
        "up_down_epochs": UP_DOWN_EPOCHS, "rates": [*RATES], "window": SIDE, "stride": STRIDE, "features": FEATURES,
    }  # fmt: skip
    rows = record.resumed(path, OF_PROPOSALS, settings)
    known = {(row["what"], row["seed"]) for row in rows}
    small = {seed: part_of(dataset, seed) for seed in seeds}
    trials = [(what, seed) for what in TRIALS for seed in seeds if (what, seed) not in known]
    for what, seed in tqdm(trials, desc="proposals", unit="net", disable=not progress):
        began = time.process_time()
        for row in TRIALS[what](small[seed], seed):
            about = {"what": what, "seed": seed, "cpu_seconds": round(time.process_time() - began, 1)}
            rows.append(about | row)
        record.write({"settings": settings, **provenance.origin(), "rows": rows}, path)
    return {"settings": settings, "rows": rows}


def part_of(dataset: Dataset, seed: int) -> Dataset:
    """A data set of the first so many of its training images in a random order, and all of its test images."""
    rows = np.random.default_rng([seed, *b"part"]).permutation(len(dataset.train_images))[:N_IMAGES]
    return replace(dataset, train_images=dataset.train_images[rows], train_labels=dataset.train_labels[rows])


def preset() -> Preset:
    """Greedy learning of each layer and then up-down, as `quick` has it, in fewer stages."""
    learn = [Stage(f"greedy {k}", k, GREEDY_EPOCHS, (0.1, 0.1), 5e-4 if k == 3 else 2e-4) for k in (1, 2, 3)]
    tune = Stage("up-down", 0, UP_DOWN_EPOCHS, RATES, 1e-5, momentum=(0.9, 0.9), n_gibbs=3)
    return Preset("proposals", (*learn, tune), LAYERS, chosen=True)


def errors(net: Net, dataset: Dataset, parts: Split) -> dict[str, float]:
    """In percent, on images for validation and on the test images."""
    return {
        "validation_error": round(train.error_percent(net, parts.validation_images, parts.validation_labels), 3),
        "test_error": round(train.error_percent(net, dataset.test_images, dataset.test_labels), 3),
    }


def changed(change: train.Change | None) -> Callable[[Dataset, int], Iterator[dict[str, Any]]]:
    """A trial: the whole training on images that are changed as they are drawn, or are not."""

    def trial(dataset: Dataset, seed: int) -> Iterator[dict[str, Any]]:
        with TemporaryDirectory() as folder:
            run = train.Run(preset(), dataset, seed, Path(folder) / "run", change=change)
            net = run.train(progress=False)
            yield {"stage": "up-down", **errors(net, dataset, run.split)}

    return trial


def ensemble(layers: Sequence[int]) -> Callable[[Dataset, int], Iterator[dict[str, Any]]]:
    """A trial: nets that only learned greedily, their log probabilities of the labels averaged, net after net."""

    def trial(dataset: Dataset, seed: int) -> Iterator[dict[str, Any]]:
        parts, total = train.split_for(dataset, seed), np.zeros(1)
        for members in range(1, MEMBERS + 1):
            of_member = 100 * seed + members
            net = stack(greedy(parts.train_images, parts.train_labels, layers, GREEDY_EPOCHS, seed=of_member))
            total = total + label_log_probs(net, dataset.test_images)
            wrong = float(100 * np.mean(total.argmax(axis=1) != dataset.test_labels))
            alone = errors(net, dataset, parts)["test_error"]
            yield {"members": members, "test_error": round(wrong, 3), "alone": alone}

    return trial


def first_layer(shared: bool | None) -> Callable[[Dataset, int], Iterator[dict[str, Any]]]:
    """A trial: features that see windows, with or without shared weights, or as many that see all; then up-down.

    Validation images choose the rate of the first layer, by the errors of the whole net after greedy learning.
    """

    def trial(dataset: Dataset, seed: int) -> Iterator[dict[str, Any]]:
        parts = train.split_for(dataset, seed)
        images, labels = parts.train_images, parts.train_labels
        tried = {}
        for rate in RATES_OF_FIRST:
            first, features = whole_or_windows(dataset, images, shared, rate, seed)
            above = backend.current().to_numpy(mean_h_from_v(first, images))
            net = stack([first, *greedy(above, labels, LAYERS[1:], GREEDY_EPOCHS, seed=seed)])
            tried[rate] = net, errors(net, dataset, parts), features
        rate = min(tried, key=lambda rate: tried[rate][1]["validation_error"])
        net, worth, features = tried[rate]
        by_rate = {str(each): worth["validation_error"] for each, (_, worth, _) in tried.items()}
        yield {"stage": "greedy", "rate": rate, **worth, "validation_by_rate": by_rate} | features
        for rate_of_part in np.geomspace(*RATES, 6):
            up_down(net, images, labels, UP_DOWN_EPOCHS // 6, seed=seed, learning_rate=float(rate_of_part))
        yield {"stage": "up-down", **errors(net, dataset, parts)}

    return trial


def whole_or_windows(
    dataset: Dataset, images: np.ndarray, shared: bool | None, rate: float, seed: int
) -> tuple[RBM, dict[str, str]]:
    """A first layer that has learned greedily, and shared features as pictures: what they weigh, from 0 to 1.

    A shared weight feels every place, so its rate is divided by the root of their number.
    """
    features = local_features(dataset.shape, SIDE, STRIDE, FEATURES, bool(shared), seed)
    places = len(features.windows)
    if shared is None:
        return greedy(images, None, [places * FEATURES], GREEDY_EPOCHS, seed=seed, learning_rate=rate)[0], {}
    rate /= (places / len(features.W)) ** 0.5
    for epoch, rng, (batch,) in mini_batches("features", seed, GREEDY_EPOCHS, 100, images):
        features.step(batch, rng, rate, 0.9 if epoch >= 5 else 0.5, 2e-4)
    W = backend.current().to_numpy(features.W[0].T)
    shown = {"windows": packed((W - W.min()) / max(float(np.ptp(W)), 1e-9))} if shared else {}
    return features.as_rbm(), shown


def of(rows: Sequence[dict[str, Any]], what: str, key: str = "test_error", **which: Any) -> dict[int, float]:
    """One number for each seed, of the rows of a trial that have certain other entries: `stage="up-down"`, say."""
    fitting = (row for row in rows if row["what"] == what and all(row.get(k) == v for k, v in which.items()))
    return {row["seed"]: row[key] for row in fitting}


def in_words(numbers: dict[int, float]) -> str:
    """The mean over seeds, with its deviation where there are several."""
    return mean_and_scatter(list(numbers.values())) if numbers else "not recorded"


def compared(ours: dict[int, float], theirs: dict[int, float]) -> str:
    """How many points of error `ours` has less or more than `theirs`, seed by seed: words for a sentence."""
    seeds = ours.keys() & theirs.keys()
    if not seeds:
        return "not recorded yet"
    less = [theirs[seed] - ours[seed] for seed in sorted(seeds)]
    size, which = abs(float(np.mean(less))), "less" if np.mean(less) > 0 else "more"
    if len(less) > 1 and min(less) <= 0 <= max(less):
        return f"{size:.2f} points {which} in the mean, but seeds disagree"
    return f"{size:.2f} points {which}" + (f", in each of {len(less)} seeds" if len(less) > 1 else "")


def other_digits(folder: str | Path, dataset: Dataset, out: str | Path) -> dict[str, Any]:
    """What a finished run on other digits was worth, beside the nearest neighbour, in `out`/other-digits.json.

    Ten dreams of each class go with it. Raises InputError for a folder of no such run.
    """
    expect_folder(out)
    result = record.of_run(folder, dataset)
    net = store.load(Path(folder) / "net.npz")
    dreams = samples_by_class(net, 10, DREAM_EVERY).reshape(-1, net.sizes[0])
    near = nearest(dataset.train_images, dataset.test_images, n_kept=1, p=2)[:, 0]
    wrong = int((dataset.train_labels[near] != dataset.test_labels).sum())
    del result["predictions"]
    result |= {"nearest_neighbour_errors": wrong, "shape": dataset.shape, "dreamt": packed(dreams)}
    record.write(result, Path(out) / "other-digits.json")
    return result


TRIALS = {
    "images as they are": changed(None),
    "images shifted, scaled and sheared": changed(distort.affine),
    "images warped": changed(distort.elastic),
    "ensemble of greedy nets": ensemble(LAYERS),
    "ensemble of larger greedy nets": ensemble(LARGER),
    "ensemble of deeper greedy nets": ensemble(DEEPER),
    "first layer sees everything": first_layer(None),
    "first layer sees windows": first_layer(shared=False),
    "first layer sees windows, weights shared": first_layer(shared=True),
}
