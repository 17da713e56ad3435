"""How probable test images are under a net: measured once and kept as data/results/likelihood.json."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend, data, provenance, store
from ..dataset import Dataset
from ..dbn import DBN, down_pass, memory_step, up_pass
from ..errors import InputError
from ..files import NUMBER, TEXT
from ..rbm import softplus
from ..study import ais, dreams
from .record import read, write

# Mean log-probability of a binarised MNIST test image in nats, as others report it.
PUBLISHED = (
    ("mixture of 500 Bernoulli distributions", -137.64, "salakhutdinov2009deep"),
    ("restricted Boltzmann machine, 500 hidden units, CD-25", -86.34, "salakhutdinov2008quantitative"),
    ("deep belief net of two hidden layers, lower bound", -85.97, "salakhutdinov2009deep"),
    ("deep Boltzmann machine, 500 and 1,000 hidden units, lower bound", -84.62, "salakhutdinov2009deep"),
)
OF_NETS = {"settings": {"*": NUMBER}, "rows": [{"net": TEXT, "seconds": NUMBER}]}
SETTINGS = {"chains": 64, "betas": 3000, "plain_betas": 800, "gibbs_steps": 100, "passes": 3, "seed": 0}


def binarised(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Grey images (n, pixels) in [0, 1] as black and white: each pixel on with its grey value as probability."""
    return np.asarray(np.random.default_rng(seed).random(images.shape) < images, dtype=np.float32)


def silent_log_z(net: DBN) -> float:
    """log of what states of the memory with at most one penultimate unit on add to Z: log Z cannot be less.

    Summed over these, all labels and all top units, exactly, in float64.
    """
    top, n = net.top, net.n_pen
    W, vis_bias, hid_bias = (
        backend.current().to_numpy(a).astype(np.float64) for a in (top.W, top.vis_bias, top.hid_bias)
    )
    pen = np.vstack([np.zeros(n), np.eye(n)])
    inputs, own = pen @ W[:n] + hid_bias, pen @ vis_bias[:n]
    by_label = [softplus(inputs + W[k]).sum(axis=1) + vis_bias[k] + own for k in range(n, top.n_vis)]
    return float(np.logaddexp.reduce(np.ravel(by_label)))


def memory_states(net: DBN, images: np.ndarray, labels: np.ndarray, steps: int, seed: int = 0) -> np.ndarray:
    """States of the memory, (n, pen + lab), `steps` free Gibbs iterations after one sampled up-pass of each image."""
    ops = backend.current()
    rng = ops.random(seed, "memory states")
    penlab = ops.xp.hstack([up_pass(net, images, rng), ops.asarray(np.eye(net.n_labels)[labels])])
    for _ in range(steps):
        memory_step(net, penlab, rng)
    return ops.to_numpy(penlab)


def faint(net: DBN, dataset: Dataset, penlab: np.ndarray, seed: int = 0) -> np.ndarray:
    """Whether the image that a state of the memory, (n, pen + lab), stands for is faint: (n,)."""
    ops = backend.current()
    images = down_pass(net, penlab[:, : net.n_pen], ops.random(seed, "down-pass"))
    return dreams.faint(ops.to_numpy(images), dataset)


def equilibrium(net: DBN, found: ais.Estimate, steps: int, seed: int = 0) -> np.ndarray:
    """States drawn from the ends of forward chains by their weights, `steps` Gibbs iterations later, (n, pen + lab)."""
    rng, weights = np.random.default_rng(seed), np.exp(found.log_ratios - found.log_ratios.max())
    drawn = rng.choice(len(weights), len(weights), p=weights / weights.sum())
    ops = backend.current()
    states = ops.xp.asarray(found.ends[drawn])
    _, states = ais.Path(net.top).walk(np.ones(steps + 1), states, ops.xp.random.default_rng(seed))
    return ops.to_numpy(states)


def log_partitions(net: DBN, dataset: Dataset, s: dict[str, int]) -> dict[str, ais.Estimate]:
    """log Z of the top memory by annealed importance sampling, and of that part of it whose states stand for digits.

    `plain` scales the weights. `awake` scales them around what training images cause, so that its chains stay away
    from states with hardly a penultimate unit on; `digits` takes those of its chains that do not end at a blank page.
    Reverse chains start at what the forward ones found, or `gibbs_steps` iterations after training images, corrected
    for the share of forward chains that end at digits. Where none does there is nothing to say of digits.
    """
    n, top, seed = s["chains"], net.top, s["seed"]
    plain, awake = (np.linspace(0, 1, s[name] + 1) for name in ("plain_betas", "betas"))
    images, labels = dataset.train_images, dataset.train_labels
    typical = memory_states(net, images[:2000], labels[:2000], 0, seed)
    start = memory_states(net, images[-n:], labels[-n:], s["gibbs_steps"], seed)
    found = {"plain": ais.forward(top, plain, n, seed=seed + 2), "awake": ais.forward(top, awake, n, typical, seed)}
    ends = equilibrium(net, found["awake"], s["gibbs_steps"], seed)
    found["awake reverse"] = ais.backward(top, awake, ends, typical, seed + 3)
    inked, start = ~faint(net, dataset, found["awake"].ends), start[~faint(net, dataset, start)]
    if inked.any() and len(start) > 1:
        back = ais.backward(top, awake, start, typical, seed + 1)
        back.log_ratios = back.log_ratios + np.log(inked.mean())
        found |= {"digits": found["awake"].within(inked), "digits reverse": back}
    return found


def measure(path: str | Path, dataset: Dataset, settings: dict[str, int] = SETTINGS) -> dict[str, Any]:
    """One row of the record: log Z and a bound on log p of test images, in nats an image, with standard errors.

    The bound counts every state of the memory under `all`, leaves out those with at most one penultimate unit on under
    `awake`, and counts those that stand for digits under `digits`. Takes some four minutes of one core.
    """
    clock, net = time.perf_counter(), store.load(path)
    found, silent = log_partitions(net, dataset, settings), silent_log_z(net)
    log_zs = {"all": float(np.logaddexp(silent, found["awake"].log_z))}
    log_zs |= {name: found[name].log_z for name in ("awake", "digits") if name in found}
    row: dict[str, Any] = {"net": Path(path).stem, "silent_log_z": silent}
    for name, e in found.items():
        row[name] = {"log_z": e.log_z, "standard_error": e.standard_error, "effective_chains": e.effective_chains}
    for kind, images in (("binary", binarised(dataset.test_images)), ("grey", dataset.test_images)):
        values = ais.bound(net, images, 0.0, settings["passes"], settings["seed"])
        bounds = {name: float(values.mean()) - log_z for name, log_z in log_zs.items()}
        row[kind] = bounds | {"standard_error": float(values.std() / np.sqrt(len(values)))}
    return _rounded(row) | {"seconds": round(time.perf_counter() - clock, 1)}


def record(paths: Sequence[str | Path], out: str | Path, settings: dict[str, int] = SETTINGS) -> dict[str, Any]:
    """Measure the nets at `paths` on MNIST and write them to `out`; rows of other nets that are there already stay.

    Raises InputError if those were measured with other settings, for the record names only one.
    """
    dataset, out = data.load("mnist"), Path(out)
    before: dict[str, Any] = read(out, OF_NETS) if out.exists() else {"settings": settings, "rows": []}
    kept = [row for row in before["rows"] if row["net"] not in [Path(path).stem for path in paths]]
    if kept and before["settings"] != settings:
        raise InputError(f"{out} keeps nets measured with other settings; measure these again too, or name a new file.")
    rows = kept + [measure(path, dataset, settings) for path in paths]
    result: dict[str, Any] = {
        "settings": dict(settings),
        "data": dataset.name,
        **provenance.origin(),
        "published": [dict(zip(("model", "nats", "source"), line, strict=True)) for line in PUBLISHED],
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "rows": rows,
    }
    write(result, out)
    return result


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers with three decimals: more would be noise."""
    return {
        key: _rounded(value) if isinstance(value, dict) else value if isinstance(value, str) else round(value, 3)
        for key, value in row.items()
    }
