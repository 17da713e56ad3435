"""A deep belief net of any number of hidden layers, with or without labels, and what its layers make of an image.

    vis <--> layer 1 <--> ... <--> pen <==> top <==> lab

Everything in `dbn` that takes a net takes this one: `predict`, `generate`, `evolve` and the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import backend
from ..backend import Array
from ..dataset import check_images
from ..dbn import Layer, Net
from ..errors import InputError, whole
from ..rbm import RBM


@dataclass(eq=False, repr=False)
class DeepNet(Net):
    """The directed layers from the pixels up, and the memory on top of them; without layers it is a single RBM.

    Raises InputError if they do not fit each other.
    """

    layers: Sequence[Layer]
    top: RBM

    def __post_init__(self) -> None:
        self.layers = list(self.layers)
        n_below = self.layers[0].up.shape[:1] if self.layers else (self.n_pen,)
        for i, layer in enumerate(self.layers, 1):
            shape = *n_below, *layer.up_bias.shape
            if layer.up.shape != shape or layer.down.shape != shape[::-1] or layer.down_bias.shape != n_below:
                raise InputError(f"layer {i} does not fit: up is {layer.up.shape}, down {layer.down.shape}, and "
                                 f"{n_below[0]} units lie below; give (below, above) and (above, below).")  # fmt: skip
            n_below = layer.up_bias.shape
        if n_below != (self.n_pen,):
            raise InputError(f"a memory on {self.n_pen} units does not fit on a layer of {n_below[0]}; give as many.")

    def arrays(self) -> dict[str, Array]:
        """Every parameter by name: views. The memory has its names of appendix B, and so have two layers."""
        n, top = self.n_pen, self.top
        named: dict[str, Array] = {}
        for i, layer in enumerate(self.layers):
            named |= dict(zip(names(i, len(self.layers)), vars(layer).values(), strict=True))
        return named | {
            "pentop": top.W[:n],
            "labtop": top.W[n:],
            "topbiases": top.hid_bias,
            "pengenbiases": top.vis_bias[:n],
            "labgenbiases": top.vis_bias[n:],
        }


def names(i: int, n_layers: int) -> tuple[str, str, str, str]:
    """How the four arrays of directed layer `i` of `n_layers` are called: up, its biases, down, its biases."""
    if n_layers == 2:  # the paper's net
        return (
            ("vishid", "hidrecbiases", "hidvis", "visgenbiases"),
            ("hidpen", "penrecbiases", "penhid", "hidgenbiases"),
        )[i]
    return f"up{i + 1}", f"upbiases{i + 1}", f"down{i + 1}", f"downbiases{i + 1}"


def stack(rbms: Sequence[RBM]) -> DeepNet:
    """RBMs that were learned greedily as one net: recognition and generative weights start tied (section 4).

    The last becomes the memory. Everything is copied: what the net learns later leaves the RBMs as they are.
    Raises InputError if there is none, if they do not fit each other, or if one below the last has labels.
    """
    if not rbms or any(rbm.n_labels for rbm in rbms[:-1]):
        raise InputError("a net is a stack of one RBM or more, and only the last may have labels; give such a list.")
    xp, top = backend.current().xp, rbms[-1]
    layers = [
        Layer(rbm.W.copy(), rbm.hid_bias.copy(), xp.ascontiguousarray(rbm.W.T).copy(), rbm.vis_bias.copy())
        for rbm in rbms[:-1]
    ]
    return DeepNet(layers, RBM(top.W.copy(), top.vis_bias.copy(), top.hid_bias.copy(), top.n_labels))


def recognition(net: Net) -> list[tuple[Array, Array]]:
    """Weights (below, above) and biases (above,) of every hidden layer, from the pixels to the top units.

    Those of the top units stand for all labels at the same activity, as the read-out by Gibbs sampling begins.
    """
    n, top = net.n_pen, net.top
    from_labels = top.W[n:].mean(axis=0) if net.n_labels else 0
    return [*((layer.up, layer.up_bias) for layer in net.layers), (top.W[:n], top.hid_bias + from_labels)]


def features(net: Net, images: np.ndarray, layer: int | None = None) -> np.ndarray:
    """What a hidden layer makes of images (n, vis): its activities (n, units), float32, NumPy.

    Layers are counted from 1, the one above the pixels; the last, which None means, are the top units. Probabilities
    go up, and the top units see every label at the same activity, one over their number. Raises InputError for a layer
    that is not there, or images that are not (n, vis) numbers in [0, 1].
    """
    n_hidden = len(net.layers) + 1
    layer = n_hidden if layer is None else whole("layer", layer, most=n_hidden)
    ops, images, blocks = backend.current(), check_images(images, net.sizes[0]), []
    for i in range(0, len(images), ops.block):
        units = ops.asarray(images[i : i + ops.block])
        for W, bias in recognition(net)[:layer]:
            units = ops.logistic(units @ W, bias)
        blocks.append(ops.to_numpy(units))
    return np.concatenate(blocks)
