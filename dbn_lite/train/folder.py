"""What a run keeps on disk: its checkpoint, its log, and the nets that it leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..dbn import DBN
from ..errors import InputError
from ..files import atomic_write


class RunFolder:
    """The folder of one run, every file in it written atomically.

    It holds checkpoint.npz and log.jsonl while the run goes on; greedy.npz, a net for each stage of up-down, called
    after it, and net.npz, the last, come as they are reached.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.npz"

    def open(self, resume: bool) -> bool:
        """Make the folder, or find the run in it: whether there is one to go on with.

        Raises InputError for a run that nobody asked to resume, one without its checkpoint, and where none can be made.
        """
        holds_a_run = any((self.path / name).exists() for name in ("checkpoint.npz", "net.npz", "log.jsonl"))
        if holds_a_run and not resume:
            raise InputError(f"{self.path} already holds a run; go on with it by --resume or choose another folder.")
        if self.checkpoint.is_file():
            return True
        if holds_a_run:
            raise InputError(f"{self.path} holds a run without its checkpoint.npz; choose another folder.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.path} ({error.strerror}); choose another.") from error
        return False

    def save_checkpoint(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Write all that a resumed run goes on from."""
        store.save_arrays(self.checkpoint, arrays, meta)

    def load_checkpoint(self, settings: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What `save_checkpoint` wrote, but for its settings; raises InputError unless they are the same as these."""
        arrays, meta = store.load_arrays(self.checkpoint)
        theirs = meta.pop("settings", {})
        for name, ours in settings.items():
            if theirs.get(name) != ours:
                raise InputError(
                    f"{self.checkpoint} is of a run with another {name}; resume with the same {name} "
                    f"or choose another folder."
                )
        return arrays, meta

    def save_net(self, name: str, net: DBN, meta: dict[str, Any]) -> None:
        """Write a net as NAME.npz."""
        store.save(net, self.path / f"{name}.npz", **meta)

    def load_net(self, name: str) -> DBN:
        """The net that was written as NAME.npz."""
        return store.load(self.path / f"{name}.npz")

    def write_log(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write what every epoch found, a line each."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        atomic_write(self.path / "log.jsonl", lambda file: file.write(lines.encode()))
