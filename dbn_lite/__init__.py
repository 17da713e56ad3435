"""dbn_lite: deep belief nets as Hinton, Osindero and Teh (2006) made them, on NumPy or CuPy arrays.

The algorithm is in the modules beside this file: rbm, dbn, updown, train, and exact for nets that are small enough to
count. The folders are wings: backend (array libraries), data (data sets), deep (nets of any depth), study
(instruments), paper (the reproduction) and widgets (live figures).

What is checked: everything that is handed in, for shape, type and range; what does not fit raises InputError, whose one
sentence says what to do. Within a captured step on a GPU only shapes are.

What is reproducible: the same seed gives the same bits with the same versions, the same array library and the same
number of BLAS threads; a run that was stopped goes on to the bits that it would have had, and says so if the threads or
the library are others than it began with. NumPy and CuPy differ in their last bits, and in their random numbers.

What is thread-safe: functions, and objects that are not shared. Two threads may draw, read out and train at once, with
the results that each would have alone; `use` chooses the array library for all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from . import data, deep, train
    from .backend import use
    from .dbn import DBN, generate, label_log_probs, predict
    from .deep import features
    from .rbm import RBM, free_energy, mean_h_from_v, mean_v_from_h
    from .store import load, save
    from .train import fit

__version__ = "0.2.0"

__all__ = [
    "DBN",
    "RBM",
    "InputError",
    "data",
    "deep",
    "features",
    "fit",
    "free_energy",
    "generate",
    "label_log_probs",
    "load",
    "mean_h_from_v",
    "mean_v_from_h",
    "predict",
    "save",
    "train",
    "use",
]

_HOMES = {
    "backend": ("use",),
    "dbn": ("DBN", "generate", "label_log_probs", "predict"),
    "rbm": ("RBM", "free_energy", "mean_h_from_v", "mean_v_from_h"),
    "store": ("load", "save"),
    "data": (),
    "deep": ("features",),
    "train": ("fit",),
    "presets": (),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `dbn-lite --help` need not wait for NumPy."""
    for module, names in _HOMES.items():
        if name == module or name in names:
            home = import_module(f".{module}", __name__)
            globals()[name] = found = home if name == module else getattr(home, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
