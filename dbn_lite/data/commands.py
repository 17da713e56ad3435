"""The command `dbn-lite data`: fetch, verify, dream up."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import NAMES, sources
from .dreamed import dream

SETS = ", ".join(NAMES)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_data)
    parser.add_argument("action", choices=("fetch", "verify", "dream"))
    parser.add_argument("what", nargs="?", default="mnist", help="mnist, usps or fsdd; for dream the net, an .npz file")
    parser.add_argument("--out", type=Path, default=None, help="where dream writes (default: the embedded set)")
    parser.add_argument("--seed", type=int, default=0)


def _data(a: argparse.Namespace) -> dict[str, Any]:
    if a.action == "dream":
        return dream(a.what, a.out, a.seed, progress=not a.json)
    folder = sources.fetch(a.what) if a.action == "fetch" else None
    rows = sources.verify(a.what)  # after fetching too: what DBN_LITE_DATA holds is not looked at there
    for row in rows:
        if not row.ok:
            sentence = f"{Path(row.where, row.file)} {row.why}; {sources.remedy(a.what, Path(row.where))}."
            raise InputError(sentence)
    return {"folder": str(folder)} if folder else {row.file: f"ok, in {row.where}" for row in rows}
