"""Long runs in pieces: what is finished is kept in a folder, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import InputError
from ...files import atomic_write
from ...store import load_arrays

Arrays = dict[str, Any]
SAVE_EVERY = 20.0  # seconds between two states of a chain on disk


class Learner(Protocol):
    """What learns in steps, and whose whole state is arrays."""

    def arrays(self) -> Arrays:
        """The state after the last step."""

    def restore(self, arrays: Arrays) -> None:
        """Go back to a state."""

    def step(self, t: int) -> None:
        """Make step t, which must depend on nothing but the state and t."""


class Pieces:
    """The finished pieces of one run, in a folder of their own for each set of `settings`.

    `spent` holds for each piece the seconds of the clock and of the processor, and the peak of the process in MiB.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], say: Callable[[str], None] = lambda line: None) -> None:
        content = json.dumps(settings, sort_keys=True, indent=1).encode()
        self.folder, self.say = folder / hashlib.sha256(content).hexdigest()[:12], say
        self.spent: dict[str, np.ndarray] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write(self.folder / "settings.json", lambda out: out.write(content))

    def once(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays that `make` returns: from the folder if they were made before, else made and kept."""
        found = self._load(key)
        if found is None:
            clock = _clock()
            found = make()
            self._keep(key, found, _clock() - clock)
            self.say(f"{key}: {self.spent[key][0]:.0f} s")
        return found

    def chain(self, key: str, n: int, learner: Learner) -> None:
        """Take `learner` to its state after `n` steps, from the last state that was kept."""
        state = self._load(key)
        done = 0
        if state is not None:
            done = int(state.pop("steps"))
            learner.restore(state)
        clock, saved = _clock() - self.spent.get(key, np.zeros(2))[:2], time.perf_counter()
        for t in range(done, n):
            learner.step(t)
            if t + 1 == n or time.perf_counter() - saved > SAVE_EVERY:
                self._keep(key, learner.arrays() | {"steps": np.array(t + 1)}, _clock() - clock)
                self.say(f"{key}: step {t + 1} of {n}, {self.spent[key][0]:.0f} s")
                saved = time.perf_counter()

    def _load(self, key: str) -> Arrays | None:
        path = self.folder / f"{key}.npz"
        if not path.exists():
            return None
        arrays: Arrays = load_arrays(path)[0]
        if not {"spent"} <= arrays.keys():
            raise InputError(f"{path} is no piece of a run; delete it.")
        self.spent[key] = arrays.pop("spent")
        return arrays

    def _keep(self, key: str, arrays: Arrays, spent: np.ndarray) -> None:
        self.spent[key] = np.append(spent, peak_mib())
        content: Any = arrays | {"spent": self.spent[key]}
        atomic_write(self.folder / f"{key}.npz", lambda out: np.savez(out, **content))


def _clock() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def peak_mib() -> float:
    """The most memory that this process has held, in MiB; 0 where the system does not tell (Windows, a browser)."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
