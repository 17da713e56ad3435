"""What the live figures are made of: the scripts, joined, and nets as bytes that a page can read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from dbn_lite import backend
from dbn_lite.dbn import DBN
from dbn_lite.rbm import RBM

HERE = Path(__file__).resolve().parent
_TIED = {"hidvis": "vishid", "penhid": "hidpen"}  # generative: the recognition weights it may be the transpose of


def script() -> str:
    """The whole program of the figures: the models, the kit, one file a figure, and appendix B, which one runs."""
    first = [HERE / f"{name}.js" for name in ("core", "kit", "input", "chart", "net")]
    files = [*first, *sorted((HERE / "figures").glob("*.js"))]
    lines = (HERE / "updown.m").read_text(encoding="utf-8").splitlines()
    return "\n".join([*(file.read_text(encoding="utf-8") for file in files), f"DBN.appendixB = {json.dumps(lines)};\n"])


def style() -> str:
    """The style sheet of the figures."""
    return (HERE / "figures.css").read_text(encoding="utf-8")


def pack(
    model: DBN | RBM,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    shape: tuple[int, int] = (28, 28),
) -> bytes:
    """A net or a single machine as bytes for a page, weights in float16, with images (n, vis) to start from.

    Layout: the length of the header (uint32, little-endian), the header (JSON: names, kinds and sizes of the arrays,
    and meta), then the arrays one after the other. Tied generative weights are left out: the page transposes.
    """
    ops = backend.current()
    arrays = {name: ops.to_numpy(a) for name, a in _arrays(model).items()}
    for copy, original in _TIED.items():
        if copy in arrays and np.array_equal(arrays[copy], arrays[original].T):
            del arrays[copy]
    stored: dict[str, np.ndarray] = {name: np.ascontiguousarray(a, dtype="<f2") for name, a in arrays.items()}
    if images is not None:
        stored["images"] = np.rint(np.asarray(images) * 255).astype(np.uint8)
    if labels is not None:
        stored["labels"] = np.asarray(labels, dtype=np.uint8)
    n_labels = model.n_labels if isinstance(model, RBM) else 0  # a net's are counted by its arrays
    return _join(stored, {"shape": list(shape), "n_labels": n_labels})


def _join(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> bytes:
    listed = [[name, str(a.dtype), a.size] for name, a in arrays.items()]
    header = json.dumps({"arrays": listed, "meta": meta}).encode()
    header += b" " * (-len(header) % 4)  # so that the arrays start where a page can lay a view on them
    return struct.pack("<I", len(header)) + header + b"".join(a.tobytes() for a in arrays.values())


def _arrays(model: DBN | RBM) -> dict[str, Any]:
    if isinstance(model, RBM):
        return {"vishid": model.W, "hidrecbiases": model.hid_bias, "visgenbiases": model.vis_bias}
    return model.arrays()
