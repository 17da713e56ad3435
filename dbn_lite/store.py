"""Nets and checkpoints on disk: .npz without pickle, written atomically, checked on the way in."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, places
from .dbn import DBN, from_arrays
from .errors import InputError
from .files import NUMBER, TEXT, atomic_write, count, fault

NAMES = [
    "vishid", "hidrecbiases", "hidpen", "penrecbiases", "pentop", "labtop", "topbiases", "pengenbiases", "labgenbiases",
    "penhid", "hidgenbiases", "hidvis", "visgenbiases",
]  # fmt: skip

ABOUT = {
    "seed?": count(),
    "data?": TEXT,
    "backend?": TEXT,
    "seconds?": NUMBER,
    "best_validation_error?": NUMBER,
    "last_epoch?": {"stage?": TEXT},
}
MOST_BYTES = 1 << 30  # of arrays in one file: a hundred times the net of the paper


def save(net: DBN, path: str | Path, dtype: str = "float32", **meta: Any) -> None:
    """Write a net: one array for each name of appendix B, and `meta` as a JSON string.

    `dtype` "float16" halves the file, for shipping. Raises InputError if the folder cannot be written, and for a net
    that `load` would refuse, before anything is touched.
    """
    if dtype not in ("float16", "float32", "float64"):
        raise InputError(f"a net cannot be kept as {dtype}; choose float16, float32 or float64.")
    with np.errstate(over="ignore"):  # what overflows is refused below
        arrays = {name: backend.current().to_numpy(a).astype(dtype) for name, a in net.arrays().items()}
    if not {*NAMES} <= arrays.keys():
        raise InputError(f"{net} has other layers than appendix B has names for; use dbn_lite.deep.save.")
    _expect_net(arrays, path)
    save_arrays(path, arrays, meta)


def load(path: str | Path) -> DBN:
    """Read a net written by `save`, or by anybody who keeps to the names and shapes of appendix B.

    Raises InputError, naming the file, for what is no net: wrong format, missing arrays, shapes that do not fit
    each other, values that are not finite.
    """
    return net_of(load_arrays(path, NAMES)[0], path)


def net_of(arrays: dict[str, np.ndarray], path: str | Path) -> DBN:
    """The net that arrays from the file `path` make; raises InputError like `load`, naming the file."""
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise InputError(f"{path} is not a net: it has no array {missing[0]!r}; train one with `dbn-lite train`.")
    _expect_net(arrays, path)
    return from_arrays({name: arrays[name] for name in NAMES})


def _expect_net(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    """Refuse, with InputError, arrays that make no net; `path` is where they come from or go to."""
    for name, shape in _shapes(arrays, path).items():
        a = arrays[name]
        if a.shape != shape or a.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} is {a.dtype} of shape {a.shape}, but a net of these layers has floats of {shape}."
            )
        if not (np.abs(a) <= np.finfo(np.float32).max).all():
            raise InputError(f"{path}: {name} has values that are not finite; train the net again with a smaller rate.")


def shipped() -> Path:
    """Where the net is that comes with the library, trained by the paper's preset."""
    return places.shipped("trained/paper.npz")


def read_meta(path: str | Path) -> dict[str, Any]:
    """What was written beside a net or a checkpoint: settings, seed, errors, versions.

    Whatever it says is taken, but what is computed with: raises InputError if that cannot be.
    """
    about = load_arrays(path, ())[1]
    why = fault(about, ABOUT, "its description")
    if not why and isinstance(about.get("preset"), dict):
        why = fault(about["preset"], {"name?": TEXT, "batch_size?": count(1)}, "its preset")
    if why:
        raise InputError(f"{path} cannot be used: {why}; train it or fetch it again.")
    return about


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write named arrays and a JSON-ready `meta` to an .npz, atomically."""
    meta_string = np.array(json.dumps(meta, default=plain))
    atomic_write(path, lambda file: np.savez(file, **(arrays | {"meta": meta_string})))  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """What JSON has no word for: NumPy's numbers and arrays, and paths."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise InputError(f"a {type(value).__name__} cannot be kept beside a net; give text, numbers, lists or dicts.")


def load_arrays(
    path: str | Path,
    names: Collection[str] | None = None,
    most: int = MOST_BYTES,
    remedy: str = "train it or fetch it again",
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote: the description, and all arrays or, of these `names`, those that are there.

    Raises InputError for a file that is missing, damaged, carries a pickle, or holds more than `most` bytes.
    """
    another = "give the path of an .npz file"
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; {another}.")
    if not os.path.isfile(path):
        raise InputError(f"{path} {'is no regular file' if os.path.exists(path) else 'does not exist'}; {another}.")
    try:
        with zipfile.ZipFile(path) as packed:
            _expect_at_most(most, packed, path, names)
        with np.load(path, allow_pickle=False) as file:
            wanted = [name for name in file.files if name == "meta" or names is None or name in names]
            arrays = {name: file[name] for name in wanted}
        meta = json.loads(str(arrays.pop("meta", "{}")))
        if not isinstance(meta, dict):
            raise ValueError("meta is no JSON object")
    except InputError:
        raise
    except Exception as error:  # what a damaged file raises depends on which of its bytes are wrong
        pickled = "Object arrays" in str(error)
        why = "it carries a pickle, which is never read" if pickled else "it is damaged, cut short or something else"
        raise InputError(f"{path} is not an .npz file of plain arrays ({why}); {remedy}.") from error
    return arrays, meta


def _expect_at_most(most: int, packed: zipfile.ZipFile, path: str | Path, names: Collection[str] | None) -> None:
    """Refuse what would fill the memory, by the sizes that the file itself declares, before any of it is unpacked."""
    wanted = None if names is None else {"meta.npy", *(f"{name}.npy" for name in names)}
    declared = sum(m.file_size for m in packed.infolist() if wanted is None or m.filename in wanted)
    if declared > most:
        raise InputError(f"{path} would take {declared} bytes of memory, more than {most}; give a smaller one.")


def _shapes(arrays: dict[str, np.ndarray], path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have, given the sizes that the recognition weights and the memory name."""
    if any(arrays[name].ndim != 2 for name in ("vishid", "pentop", "labtop")):
        raise InputError(f"{path} is not a net: vishid, pentop and labtop must be matrices.")
    (vis, hid), (pen, top), lab = arrays["vishid"].shape, arrays["pentop"].shape, len(arrays["labtop"])
    sizes = {"vis": vis, "hid": hid, "pen": pen, "top": top, "lab": lab}
    if not all(sizes.values()):
        raise InputError(f"{path} is not a net: it has a layer without units.")
    shapes: dict[str, tuple[int, ...]] = {}
    for name in NAMES:
        if name.endswith("biases"):
            shapes[name] = (sizes[name[:3]],)
        else:
            shapes[name] = (sizes[name[:3]], sizes[name[3:]])
    return shapes
