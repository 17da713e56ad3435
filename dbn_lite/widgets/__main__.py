"""Lay the live figures out beside the pages: `python -m dbn_lite.widgets FOLDER [--net NET.npz] ...`."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from dbn_lite import data, places, store
from dbn_lite.errors import InputError
from dbn_lite.files import atomic_write, make_folder

from .bundle import pack, script, style

SHIPPED = {"net": "paper.npz", "greedy": "greedy.npz", "dream": "dream.npz"}  # by the figures' names
EXAMPLES = 10  # test images of each class that go with each net


def main(arguments: list[str] | None = None) -> None:
    """Write dbn.js, dbn.css and, for each net at hand, its bytes for a server (.bin) and for a folder (.js)."""
    parser = argparse.ArgumentParser(prog="dbn_lite.widgets", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write; made if it does not exist")
    for name in SHIPPED:
        parser.add_argument(f"--{name}", type=Path, metavar="NET.npz", help="in place of the shipped one")
    options = parser.parse_args(arguments)
    try:
        build(options.folder, {name: getattr(options, name) for name in SHIPPED})
    except InputError as error:
        sys.exit(f"{error}")


def build(folder: Path, given: dict[str, Path | None], starts: tuple[np.ndarray, np.ndarray] | None = None) -> None:
    """Write what the pages load into `folder`; a net neither given nor shipped is left out, and that is said.

    `starts`, images (n, 784) and labels (n,), go with each net in place of `examples`. Raises InputError for a net
    that is there but cannot be read, and a folder that cannot be made or written to; no file is left half written.
    """
    make_folder(folder)
    listed = {}
    for name, file in SHIPPED.items():
        try:
            path = given.get(name) or places.shipped(f"trained/{file}")
        except InputError as error:
            print(f"The figures go without the net {name!r}: {error}", file=sys.stderr)
            continue
        net = store.load(path)
        starts = starts or examples()
        content = pack(net, *starts)
        _write(folder / f"{name}.bin", content)
        _write(folder / f"{name}.js", f'DBN.receive("{name}", "{base64.b64encode(content).decode()}");\n'.encode())
        listed[name] = {"bytes": len(content), "version": hashlib.sha256(content).hexdigest()[:8]}
    _write(folder / "dbn.js", f"{script()}\nObject.assign(DBN.shipped, {json.dumps(listed)});\n".encode())
    _write(folder / "dbn.css", style().encode())


def _write(path: Path, content: bytes) -> None:
    atomic_write(path, lambda file: file.write(content))


def examples() -> tuple[np.ndarray, np.ndarray]:
    """The first test images of each class, (10 n, 784) by class, and their labels: where chains may start."""
    digits = data.load("auto")
    rows = np.concatenate([np.flatnonzero(digits.test_labels == c)[:EXAMPLES] for c in range(digits.n_classes)])
    return digits.test_images[rows], digits.test_labels[rows]


if __name__ == "__main__":
    main()
