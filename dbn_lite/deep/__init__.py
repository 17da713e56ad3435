"""Any depth: nets of one hidden layer or of many, with labels or without, from greedy learning to back-propagation."""

from __future__ import annotations

from ..dbn import Layer
from .mlp import to_torch
from .net import DeepNet, features, stack

__all__ = ["DeepNet", "Layer", "features", "stack", "to_torch"]
