"""Any depth: nets of one hidden layer or of many, with labels or without, from greedy learning to back-propagation."""

from __future__ import annotations

from ..dbn import Layer, generate, label_log_probs, predict
from .files import load, save
from .learn import UpDown, greedy, up_down
from .mlp import to_torch
from .net import DeepNet, features, stack

__all__ = [
    "DeepNet", "Layer", "UpDown", "features", "generate", "greedy", "label_log_probs", "load", "predict", "save",
    "stack", "to_torch", "up_down",
]  # fmt: skip
