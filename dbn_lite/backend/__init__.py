"""The array switch: NumPy on a CPU, CuPy on a GPU, behind the few operations that the algorithm needs.

Everything above this file is written once, against the operations object that `current()` returns.
The operations of the training loop work in place on buffers that their caller owns, because at the
paper's sizes a temporary costs as much as the arithmetic it stands between.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from ..errors import InputError, whole
from .cpu import NumPyOps
from .random import Random

__all__ = ["NAMES", "Array", "NumPyOps", "Random", "current", "stream", "use"]

Array = Any  #: a numpy.ndarray or a cupy.ndarray: whichever the current operations own

#: what `use` takes
NAMES = ("auto", "numpy", "cupy", "cupy-tf32")
_current: Any = None


def current() -> Any:
    """The operations object in use: at first what DBN_LITE_BACKEND names, or NumPy's."""
    return _current or use(os.environ.get("DBN_LITE_BACKEND") or "numpy")


def use(name: str) -> Any:
    """Choose the array library for everything that follows in this process; returns its operations.

    "numpy"; "cupy", or "cupy-tf32" with products in TF32; "auto" is what DBN_LITE_BACKEND names, or else CuPy where
    that works, or else NumPy. Raises InputError for any other name, and for CuPy where it does not work.
    """
    global _current
    if name == "auto":
        name = os.environ.get("DBN_LITE_BACKEND") or name
    if name not in NAMES:
        raise InputError(f"there is no backend called {name!r}; choose one of {', '.join(NAMES)}.")
    _current = NumPyOps() if name == "numpy" else _cupy_ops(name)
    return _current


def stream(rng: Random | int, consumer: str) -> Random:
    """`rng` itself if it is a stream of random bits, or the one of that consumer for a seed.

    Raises InputError for anything else: NumPy's generators give other bits, and None would give none.
    """
    if callable(getattr(rng, "int16", None)) or hasattr(rng, "arguments"):
        return rng  # type: ignore[return-value]
    try:
        seed = whole("rng", rng, 0)
    except InputError as error:
        kind = type(rng).__name__
        raise InputError(
            f"rng is {rng if isinstance(rng, int) else 'of the type ' + kind}; give a seed of 0 or more, "
            f"or a stream, dbn_lite.backend.current().random(seed)."
        ) from error
    random: Random = current().random(seed, consumer)
    return random


def _cupy_ops(name: str) -> Any:
    from .gpu import CuPyOps

    try:
        with warnings.catch_warnings(action="ignore"):  # CuPy's, about a CUDA that it does not find
            return CuPyOps(tf32=name == "cupy-tf32")
    except Exception as error:  # whatever a missing package, driver or device brings forth
        if name == "auto":
            return NumPyOps()
        lines = str(error.__cause__ or error).splitlines()  # CuPy frames what it says of its import by empty ones
        why = next((line.strip(" .") for line in lines if line.strip(" =.")), type(error).__name__)
        raise InputError(
            f"CuPy does not work here ({why}); install cupy-cuda12x[ctk] or cupy-cuda13x[ctk] to match "
            f"the driver of an NVIDIA GPU, or choose the backend numpy."
        ) from error
