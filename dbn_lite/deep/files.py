"""Nets of any depth on disk: .npz without pickle, named as `net.names` says, written atomically, checked on reading."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend
from ..dbn import Layer, Net
from ..errors import InputError
from ..rbm import RBM
from ..store import load_arrays, save_arrays
from .net import DeepNet, names

MEMORY = ("pentop", "labtop", "topbiases", "pengenbiases", "labgenbiases")


def save(net: Net, path: str | Path, **meta: Any) -> None:
    """Write a net as float32, and `meta` as a JSON string; of two directed layers and labels as `dbn_lite.save` would.

    Raises InputError if the folder cannot be written, or the net has values that are not finite.
    """
    arrays = {name: backend.current().to_numpy(a).astype(np.float32) for name, a in net.arrays().items()}
    _expect_finite(arrays, path)
    save_arrays(path, arrays, meta)


def load(path: str | Path) -> DeepNet:
    """Read a net of any depth, also one that `dbn_lite.save` wrote.

    Raises InputError, naming the file, for what is no net: wrong format, missing arrays, shapes that do not fit
    each other, values that are not finite.
    """
    arrays = load_arrays(path)[0]
    paper = "vishid" in arrays
    n_layers = 2 if paper else next(i for i in count() if names(i, 0)[0] not in arrays)
    wanted = [names(i, n_layers if paper else 0) for i in range(n_layers)]
    for name in (*(name for four in wanted for name in four), *MEMORY):
        if name not in arrays:
            raise InputError(f"{path} is not a net: it has no array {name!r}; give one that dbn_lite.deep.save wrote.")
        if arrays[name].ndim != 2 - ("biases" in name) or arrays[name].dtype.kind != "f":
            kind = "vector" if "biases" in name else "matrix"
            raise InputError(f"{path} is not a net: {name} is no {kind} of floats; give one that was saved whole.")
    _expect_finite(arrays, path)
    try:
        return from_arrays(arrays, wanted)
    except ValueError as error:  # also an InputError: they do not fit each other
        raise InputError(f"{path} is not a net: {str(error).rstrip('.')}.") from error


def from_arrays(arrays: Mapping[str, np.ndarray], layers: list[tuple[str, str, str, str]]) -> DeepNet:
    """The net of arrays under their names, copied to the backend; `layers` names the four of each directed layer."""
    ops = backend.current()
    own = {name: ops.asarray(np.array(a, dtype=np.float32)) for name, a in arrays.items()}
    W = ops.asarray(np.vstack([arrays["pentop"], arrays["labtop"]]))
    vis_bias = ops.asarray(np.concatenate([arrays["pengenbiases"], arrays["labgenbiases"]]))
    memory = RBM(W, vis_bias, own["topbiases"], n_labels=len(arrays["labgenbiases"]))
    if len(arrays["labtop"]) != memory.n_labels:
        raise InputError(f"labtop is of {len(arrays['labtop'])} labels and labgenbiases of {memory.n_labels}.")
    return DeepNet([Layer(*(own[name] for name in four)) for four in layers], memory)


def _expect_finite(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    for name, a in arrays.items():
        if not (np.abs(a) <= np.finfo(np.float32).max).all():
            raise InputError(f"{path}: {name} has values that are not finite; train the net again with a smaller rate.")
