"""A net that was trained without back-propagation, as the start of one that is trained with it (PyTorch)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..dbn import Net
from ..errors import InputError
from .net import recognition


def to_torch(net: Net) -> Any:
    """The recognition weights as a `torch.nn.Sequential` of linear maps and logistic units, pixels to top units.

    Where the net has labels one more map leads from the top units to them: its outputs are the logits that the memory
    gives the labels, in the mean, after starting with all of them at the same activity. Weights are copied, float32.
    Raises InputError where PyTorch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise InputError("PyTorch is not installed here; run `pip install 'dbn-lite[baselines]'`.") from error
    parts: list[Any] = []
    for W, bias in recognition(net):
        parts += [_linear(torch, W, bias), torch.nn.Sigmoid()]
    if net.n_labels:
        parts.append(_linear(torch, net.top.W[net.n_pen :].T, net.top.vis_bias[net.n_pen :]))
    return torch.nn.Sequential(*parts)


def _linear(torch: Any, W: Array, bias: Array) -> Any:
    """The map x W + bias; PyTorch keeps weights (to, from)."""
    linear = torch.nn.Linear(*W.shape)
    for theirs, ours in ((linear.weight, W.T), (linear.bias, bias)):
        theirs.data.copy_(torch.from_numpy(np.array(backend.current().to_numpy(ours))))
    return linear
