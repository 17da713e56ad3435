"""dbn_lite: deep belief nets as Hinton, Osindero and Teh (2006) made them, on NumPy or CuPy arrays.

The algorithm is in the modules beside this file: rbm, dbn, updown, train, and exact for nets that are small enough to
count. The folders are wings: backend (array libraries), data (data sets), study (instruments), paper (the
reproduction) and widgets (live figures).
"""

from . import data, train
from .backend import use
from .dbn import DBN, generate, label_log_probs, predict
from .errors import InputError
from .rbm import RBM, free_energy, mean_h_from_v, mean_v_from_h
from .store import load, save

__version__ = "0.2.0"

__all__ = [
    "DBN",
    "RBM",
    "InputError",
    "data",
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
