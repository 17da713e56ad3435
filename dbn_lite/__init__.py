"""dbn_lite: deep belief nets as Hinton, Osindero and Teh (2006) made them, on NumPy or CuPy arrays."""

from .backend import use
from .dbn import DBN, generate, label_log_probs, predict
from .errors import InputError
from .rbm import RBM, free_energy, mean_h_from_v, mean_v_from_h
from .store import load, save

__version__ = "0.1.0"

__all__ = [
    "DBN",
    "RBM",
    "InputError",
    "free_energy",
    "generate",
    "label_log_probs",
    "load",
    "mean_h_from_v",
    "mean_v_from_h",
    "predict",
    "save",
    "use",
]
