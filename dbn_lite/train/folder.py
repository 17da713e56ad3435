"""What a run keeps on disk: its checkpoint, its log, and the nets that it leaves."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..dbn import DBN
from ..errors import InputError
from ..files import NUMBER, TEXT, alone_in, atomic_write, count, fault, make_folder, read_json

SEEN = "train_error_on_validation_images"  # what the validation error is of a net that has learned from them
ROW = {
    "stage": TEXT, "epoch": count(1), "learning_rate": NUMBER, "seconds": NUMBER, "reconstruction_error?": NUMBER,
    f"{SEEN}?": NUMBER, "validation_error?": NUMBER, "train_error?": NUMBER, "test_error?": NUMBER,
}  # fmt: skip
POSITION = {
    "stage_index": count(), "epoch": count(), "batch": count(), "rng_state": {}, "log": [ROW],
    "best_error": NUMBER, "seconds": NUMBER, "arithmetic?": {},
}  # fmt: skip


class RunFolder:
    """The folder of one run, every file in it written atomically.

    It holds checkpoint.npz and log.jsonl while the run goes on; greedy.npz, a net for each stage of up-down, called
    after it, and net.npz, the last, come as they are reached.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.npz"

    def open(self, resume: bool) -> bool:
        """Look for a run in the folder: whether there is one to go on with.

        Raises InputError for a run that nobody asked to resume, and for one without its checkpoint.
        """
        holds_a_run = any((self.path / name).exists() for name in ("checkpoint.npz", "net.npz", "log.jsonl"))
        if holds_a_run and not resume:
            raise InputError(f"{self.path} already holds a run; go on with it by --resume or choose another folder.")
        if self.checkpoint.is_file():
            return True
        if holds_a_run:
            raise InputError(f"{self.path} holds a run without its checkpoint.npz; choose another folder.")
        return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder if need be, and keep every other run out meanwhile; raises InputError if one is in it."""
        make_folder(self.path)
        with alone_in(self.path):
            yield

    def sweep(self) -> None:
        """Remove what killed runs had not written to its end; only whoever is alone in the folder may."""
        for pattern in (".*.npz.*.partial", ".log.jsonl.*.partial"):
            for stale in self.path.glob(pattern):
                stale.unlink(missing_ok=True)

    def save_checkpoint(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Write all that a resumed run goes on from."""
        store.save_arrays(self.checkpoint, arrays, {**meta, "check": _checksum(arrays, meta)})

    def load_checkpoint(self, settings: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What `save_checkpoint` wrote: arrays, and the entries of POSITION.

        Raises InputError unless its settings are the same as these, and each entry is what it must be.
        """
        arrays, meta = store.load_arrays(self.checkpoint)
        theirs = meta.get("settings")
        for name, ours in settings.items():
            value = theirs.get(name) if isinstance(theirs, dict) else None
            old = name == "data" and value == ours.rpartition(", labels ")[0]  # labels were not looked at once
            if value != ours and not old:
                raise InputError(
                    f"{self.checkpoint} is of a run with another {name}; resume with the same {name} "
                    f"or choose another folder."
                )
        if why := fault(meta, POSITION, "its description"):
            raise self.unusable(why)
        check = meta.pop("check", None)  # checkpoints once had none
        if check is not None and check != _checksum(arrays, meta):
            raise self.unusable("it was changed after it was written")
        return arrays, {name: meta[name] for name in meta if name in POSITION or f"{name}?" in POSITION}

    def recorded_preset(self) -> Any:
        """The preset of the run that the folder holds, as its checkpoint has it; None if there is none."""
        if not self.checkpoint.is_file():
            return None
        settings = store.load_arrays(self.checkpoint, ())[1].get("settings")
        return settings.get("preset") if isinstance(settings, dict) else None

    def unusable(self, why: str) -> InputError:
        """What to say of a checkpoint that cannot be gone on from."""
        return InputError(f"{self.checkpoint} cannot be gone on from: {why}; start again in another folder.")

    def save_net(self, name: str, net: DBN, meta: dict[str, Any]) -> None:
        """Write a net as NAME.npz."""
        store.save(net, self.path / f"{name}.npz", **meta)

    def has_net(self, name: str) -> bool:
        """Whether NAME.npz is there."""
        return (self.path / f"{name}.npz").exists()

    def load_net(self, name: str) -> DBN:
        """The net that was written as NAME.npz."""
        return store.load(self.path / f"{name}.npz")

    def read_log(self) -> list[dict[str, Any]]:
        """What every epoch found."""
        rows: list[dict[str, Any]] = read_json(self.path / "log.jsonl", [ROW], "the log of a run", lines=True)
        return rows

    def write_log(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write what every epoch found, a line each."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        atomic_write(self.path / "log.jsonl", lambda file: file.write(lines.encode()))


def _checksum(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> str:
    """Of all that a checkpoint holds; the format has one for each array, but none for what belongs together."""
    crc = zlib.crc32(json.dumps(meta, sort_keys=True, default=store.plain).encode())
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]).data, zlib.crc32(name.encode(), crc))
    return f"{crc:08x}"
