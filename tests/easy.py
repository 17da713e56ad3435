"""A problem that a small net learns in a second, and stages and presets to learn it with."""

import json

import numpy as np

from dbn_lite.dataset import Dataset
from dbn_lite.presets import Preset, Stage


def noisy_prototypes(n=900, n_test=500, shape=(8, 8), noise=0.2, seed=0):
    """Ten random patterns, each pixel flipped with probability `noise`: guessing is wrong in 90 % of the cases."""
    rng = np.random.default_rng(seed)
    patterns = rng.random((10, shape[0] * shape[1])) < 0.4

    def draw(n):
        labels = rng.permutation(np.arange(n) % 10)
        pixels = patterns[labels] ^ (rng.random((n, patterns.shape[1])) < noise)
        return (0.1 + 0.8 * pixels).astype(np.float32), labels.astype(np.uint8)

    return Dataset("prototypes", *draw(n), *draw(n_test), shape)


def greedy(epochs=8, rate=0.3, decay=2e-4):
    return tuple(Stage(f"greedy {layer}", layer, epochs, (rate, rate), decay) for layer in (1, 2, 3))


def up_down(epochs=4, rates=(0.05, 0.02), name="up-down", **more):
    return Stage(name, 0, epochs, rates, **{"weight_decay": 1e-5, "momentum": (0.9, 0.9), "n_gibbs": 2} | more)


def preset(*stages, **more):
    return Preset("easy", stages, **{"layers": (30, 30, 60), "batch_size": 20} | more)


def error_percent(arrays, images, labels):
    """The error rate of the deterministic read-out, from plain arrays named as in appendix B, in float64."""
    a = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    hid = 1 / (1 + np.exp(-(images @ a["vishid"] + a["hidrecbiases"])))
    pen = 1 / (1 + np.exp(-(hid @ a["hidpen"] + a["penrecbiases"])))
    x = (pen @ a["pentop"] + a["topbiases"])[:, None] + a["labtop"]  # (n, labels, top)
    scores = a["labgenbiases"] + np.logaddexp(0, x).sum(axis=2)
    return 100 * np.mean(scores.argmax(axis=1) != labels)


def arrays_of(path):
    """Every array of an .npz but the description beside them."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "meta"}


def meta_of(path):
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file["meta"]))


def assert_same_bits(one, other):
    """Two .npz files hold the same arrays, bit by bit."""
    ours, theirs = arrays_of(one), arrays_of(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        assert ours[name].tobytes() == theirs[name].tobytes(), name


def log_of(folder):
    """The rows of a log without the one column that no two runs share."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(row.pop("seconds") >= 0 for row in rows)
    return rows


def contents(folder):
    """Every file below a folder with its bytes: what must be the same when a command was refused."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
