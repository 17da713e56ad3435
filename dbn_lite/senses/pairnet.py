"""Two senses over one memory: what figure 1 of the paper draws where its other net has ten labels.

    image <--> hid <--> pen <==> memory <==> pen <--> hid <--> sound

Each sense has a pathway: recognition weights carry what is seen or heard up to features, generative weights carry
features down. The memory is an RBM whose visible units are the features of both. Hold those of one sense on, let Gibbs
sampling find those of the other, and carry them down: the net imagines what it would see or hear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend, store
from ..backend import Array
from ..dataset import check_images
from ..errors import MOST, InputError, whole
from ..rbm import RBM

SENSES = ("image", "sound")


@dataclass(eq=False)
class Pathway:
    """One sense: for each layer, the lowest first, weights and biases that lead up from below, and down to it.

    rec[i] is W (n_below, n_above) and biases (n_above,); gen[i] is W (n_above, n_below) and biases (n_below,).
    """

    rec: list[tuple[Array, Array]]
    gen: list[tuple[Array, Array]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many units each layer has, from what is sensed to the features."""
        return (len(self.rec[0][0]), *(len(biases) for _, biases in self.rec))


@dataclass(eq=False)
class PairNet:
    """Two pathways and the memory over them: its visible units are the image's features, then the sound's."""

    image: Pathway
    sound: Pathway
    memory: RBM

    def __post_init__(self) -> None:
        features = self.image.sizes[-1] + self.sound.sizes[-1]
        if self.memory.n_vis != features:
            raise InputError(f"a memory of {self.memory.n_vis} visible units does not hold {features} features.")

    def features(self, sense: str) -> slice:
        """Where the features of a sense lie among the visible units of the memory; InputError for any other sense."""
        n = self.image.sizes[-1]
        return slice(0, n) if expect_sense(sense) == "image" else slice(n, self.memory.n_vis)


def expect_sense(sense: str) -> str:
    """`sense`, or InputError if this net has none of that name."""
    if sense not in SENSES:
        raise InputError(f"there is no sense called {sense!r}; choose {' or '.join(SENSES)}.")
    return sense


def other(sense: str) -> str:
    """The sense that is imagined where this one is given."""
    return SENSES[1 - SENSES.index(expect_sense(sense))]


def tied(rbms: Sequence[RBM]) -> Pathway:
    """A pathway of RBMs learned greedily, the lowest first: both directions start with the same weights, copied."""
    return Pathway(
        [(rbm.W.copy(), rbm.hid_bias.copy()) for rbm in rbms],
        [(backend.current().xp.ascontiguousarray(rbm.W.T), rbm.vis_bias.copy()) for rbm in rbms],
    )


def up(pathway: Pathway, data: Array, rng: backend.Random | None = None) -> Array:
    """The features of what is sensed (n, vis): probabilities all the way, or with `rng` states: (n, features)."""
    ops = backend.current()
    x = ops.asarray(data)
    for W, biases in pathway.rec:
        x = ops.sample(x @ W, biases, rng) if rng else ops.logistic(x @ W, biases)
    return x


def down(pathway: Pathway, features: Array, rng: backend.Random) -> Array:
    """What features (n, features) stand for: states on the way, probabilities in the end, (n, vis)."""
    ops, x = backend.current(), backend.current().asarray(features)
    for W, biases in reversed(pathway.gen[1:]):
        x = ops.sample(x @ W, biases, rng)
    W, biases = pathway.gen[0]
    return ops.logistic(x @ W, biases)


def imagine(
    memory: RBM, known: slice, given: Array, unknown: slice, states: Array, n_gibbs: int, rng: backend.Random
) -> Array:
    """Alternating Gibbs sampling of some visible units with all others held: `states` (n, unknown), in place.

    `given` (n, known) may be probabilities. Returns the top states (n, n_hid) before the last step.
    """
    ops = backend.current()
    held = given @ memory.W[known] + memory.hid_bias  # the same in every iteration
    W, biases, none = memory.W[unknown], memory.vis_bias[unknown], ops.zeros(memory.n_hid)
    top = held.copy()
    for _ in range(n_gibbs):
        ops.matmul(states, W, out=top)
        top += held
        ops.sample(top, none, rng)
        ops.matmul(top, W.T, out=states)
        ops.sample(states, biases, rng)
    return top


def dream(
    net: PairNet,
    given: np.ndarray,
    sense: str,
    n_gibbs: int = 50,
    rng: backend.Random | int = 0,
    trust: float = 1.0,
) -> np.ndarray:
    """What the net imagines for what one sense is given: (n, vis of the other), probabilities.

    `given` (n, vis) goes up, its features are held, and `n_gibbs` iterations, from states that nothing has caused,
    settle the others; `sense` is "image" or "sound". `trust` is how many times the held features count: at 1 it is the
    memory's own conditional distribution, above that it listens to them more than it learned to. Raises InputError for
    another sense, no iterations, no trust, or what does not fit: not (n, vis) numbers in [0, 1].
    """
    if not 0 < trust < np.inf:
        raise InputError(f"trust is {trust}; give a number above 0, 1 for what the memory learned.")
    n_gibbs, rng = whole("n_gibbs", n_gibbs, most=MOST), backend.stream(rng, "dream")
    pathway, known, unknown = getattr(net, expect_sense(sense)), net.features(sense), net.features(other(sense))
    features = up(pathway, check_images(given, pathway.sizes[0]))
    ops = backend.current()
    width = unknown.stop - unknown.start
    states = ops.sample(ops.zeros(len(features), width), net.memory.vis_bias[unknown], rng)
    imagine(net.memory, known, trust * features, unknown, states, n_gibbs, rng)
    seen: np.ndarray = ops.to_numpy(down(getattr(net, other(sense)), states, rng))
    return seen


# On disk


def arrays_of(net: PairNet) -> dict[str, Array]:
    """Every parameter by name: sense, way, layer from below; and the memory's three."""
    found = {
        f"{sense}.{way}.{i}.{part}": a
        for sense in SENSES for way in ("rec", "gen")
        for i, pair in enumerate(getattr(getattr(net, sense), way)) for part, a in zip(("W", "b"), pair, strict=True)
    }  # fmt: skip
    memory = net.memory
    return found | {"memory.W": memory.W, "memory.vis_bias": memory.vis_bias, "memory.hid_bias": memory.hid_bias}


def save(net: PairNet, path: str | Path, **meta: Any) -> None:
    """Write a net as float16, which is as fine as its dreams need, and `meta` as JSON, to an .npz."""
    to_numpy = backend.current().to_numpy
    store.save_arrays(path, {name: to_numpy(a).astype(np.float16) for name, a in arrays_of(net).items()}, meta)


def load(path: str | Path) -> PairNet:
    """Read a net that `save` wrote; InputError, naming the file, for anything else."""
    arrays, _ = store.load_arrays(path)
    ops = backend.current()
    try:
        paths = {
            sense: Pathway(*(
                [(ops.asarray(arrays[f"{sense}.{way}.{i}.W"]), ops.asarray(arrays[f"{sense}.{way}.{i}.b"]))
                 for i in range(sum(name.startswith(f"{sense}.{way}.") for name in arrays) // 2)]
                for way in ("rec", "gen")
            ))
            for sense in SENSES
        }  # fmt: skip
        memory = RBM(arrays["memory.W"], arrays["memory.vis_bias"], arrays["memory.hid_bias"])
        net = PairNet(paths["image"], paths["sound"], memory)
        fits = all(_fits(getattr(net, sense)) for sense in SENSES)
        fits = fits and all(bool(np.isfinite(a).all()) for a in arrays.values())
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path} is no net of two senses; make one with `dbn-lite senses`.") from error
    if not fits:
        raise InputError(f"{path} holds layers that do not fit each other; make the net again with `dbn-lite senses`.")
    return net


def _fits(pathway: Pathway) -> bool:
    sizes, n = pathway.sizes, len(pathway.rec)
    return len(pathway.gen) == n and all(
        rec[0].shape == (below, above) and rec[1].shape == (above,)
        and gen[0].shape == (above, below) and gen[1].shape == (below,)
        for below, above, rec, gen in zip(sizes[:-1], sizes[1:], pathway.rec, pathway.gen, strict=True)
    )  # fmt: skip
