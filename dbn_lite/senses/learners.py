"""How a net of two senses learns: each pathway greedily, the memory by recall, then all of it by up-down."""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..errors import InputError, whole
from ..rbm import RBM, ContrastiveDivergence, expect_step
from .pairnet import SENSES, PairNet, Pathway, imagine


class Recall(ContrastiveDivergence):
    """Learning of the memory: it is to find the features of one sense when those of the other are held.

    Contrastive divergence starts at the pair that was met, and so never learns what the memory would make of one half
    of it. Here the other half goes on from where it was left, from whatever it was imagined of then, under what is held
    now (persistent contrastive divergence, on a conditional distribution): what it should not have become is unlearned.
    In the upper half of a mini-batch the sound is held, in the lower one the image.
    """

    def __init__(self, memory: RBM, n_image: int, batch_size: int) -> None:
        if whole("batch_size", batch_size) % 2:
            raise InputError(f"a mini-batch of {batch_size} has no two halves; give an even number.")
        super().__init__(memory, batch_size)  # rows: pairs above, imagined below
        self.n_image = whole("n_image", n_image)
        self.v[batch_size:] = 0.5

    def step(
        self,
        pairs: Array,
        rng: backend.Random | int,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        n_gibbs: int = 5,
    ) -> None:
        """One mini-batch of features (batch_size, n_vis): towards them, away from what is imagined in their stead."""
        rng = backend.stream(rng, "states")
        n, m, ops, memory = self.batch_size, self.n_image, backend.current(), self.rbm
        expect_step({"pairs": (pairs, (n, memory.n_vis))}, learning_rate, momentum, weight_decay)
        rng.tick()
        self.v[:n] = pairs
        image, sound = slice(0, m), slice(m, memory.n_vis)
        heard, watched = (slice(0, n // 2), sound, image), (slice(n // 2, n), image, sound)
        for half, known, unknown in (heard, watched):
            chain, given = self.v[n:][half], self.v[:n][half]
            states = ops.xp.ascontiguousarray(chain[:, unknown])
            imagine(memory, known, given[:, known], unknown, states, n_gibbs, rng)
            chain[:, known], chain[:, unknown] = given[:, known], states
        ops.logistic(ops.matmul(self.v, memory.W, out=self.h), memory.hid_bias)
        self._follow(learning_rate, momentum, weight_decay)

    @property
    def imagined(self) -> Array:
        """The lower rows: pairs of which one half was given and the other imagined, (batch_size, n_vis)."""
        return self.v[self.batch_size :]


class PairUpDown:
    """The up-down algorithm (section 5) with two pathways: `net` is changed in place.

    Wake: recognition picks states for a pair, and generative weights learn to make each layer from the one above.
    Then the memory learns by `Recall`. Sleep: what it imagined goes down, and recognition weights learn to find it.
    """

    def __init__(self, net: PairNet, batch_size: int) -> None:
        ops = backend.current()
        self.net, self.batch_size = net, batch_size
        self.recall = Recall(net.memory, net.image.sizes[-1], batch_size)
        self.ones = ops.zeros(batch_size, 1) + 1
        self.velocity = {
            sense: {
                way: [(ops.zeros(*W.shape), ops.zeros(*b.shape)) for W, b in getattr(getattr(net, sense), way)]
                for way in ("rec", "gen")
            }
            for sense in SENSES
        }

    def step(
        self,
        images: Array,
        sounds: Array,
        rng: backend.Random,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        n_gibbs: int = 5,
        memory_rate: float | None = None,
    ) -> None:
        """One mini-batch of pairs: images (batch_size, vis) and sounds (batch_size, vis) in [0, 1], row by row."""
        ops, n = backend.current(), self.batch_size
        pathways = {"image": self.net.image, "sound": self.net.sound}
        batch = {s: (x, (n, p.sizes[0])) for (s, p), x in zip(pathways.items(), (images, sounds), strict=True)}
        expect_step({f"{sense}s": pair for sense, pair in batch.items()}, learning_rate, momentum, weight_decay)
        wake = {sense: _states_up(pathway, batch[sense][0], rng) for sense, pathway in pathways.items()}
        pairs = ops.xp.concatenate([wake[sense][-1] for sense in SENSES], axis=1)
        rate = learning_rate if memory_rate is None else memory_rate
        self.recall.step(pairs, rng, rate, momentum, weight_decay, n_gibbs)
        for sense, pathway in pathways.items():
            sleep = _states_down(pathway, self.recall.imagined[:, self.net.features(sense)], rng)
            args = (learning_rate / n, momentum, 1 - learning_rate / (1 - momentum) * weight_decay)
            for i in range(len(pathway.rec)):
                self._towards(pathway.gen[i], self.velocity[sense]["gen"][i], wake[sense][i + 1], wake[sense][i], *args)
                self._towards(pathway.rec[i], self.velocity[sense]["rec"][i], sleep[i], sleep[i + 1], *args)

    def _towards(
        self,
        weights: tuple[Array, Array],
        velocity: tuple[Array, Array],
        cause: Array,
        effect: Array,
        rate: float,
        momentum: float,
        shrink: float,
    ) -> None:
        """The delta rule: weights are to predict `effect` from `cause`."""
        ops, (W, biases) = backend.current(), weights
        missed = effect - ops.logistic(cause @ W, biases)
        ops.accumulate(W, velocity[0], cause, missed, rate, momentum, shrink)
        ops.accumulate(biases[None], velocity[1][None], self.ones, missed, rate, momentum, 1.0)


def _states_up(pathway: Pathway, data: Array, rng: backend.Random) -> list[Array]:
    """What is sensed, and the states that recognition picks above it, the lowest layer first."""
    ops = backend.current()
    states = [ops.asarray(data)]
    for W, biases in pathway.rec:
        states.append(ops.sample(states[-1] @ W, biases, rng))
    return states


def _states_down(pathway: Pathway, features: Array, rng: backend.Random) -> list[Array]:
    """What is made of features, the lowest layer first: probabilities there, states above, the features last."""
    ops = backend.current()
    states = [ops.xp.ascontiguousarray(features)]
    for W, biases in reversed(pathway.gen[1:]):
        states.append(ops.sample(states[-1] @ W, biases, rng))
    W, biases = pathway.gen[0]
    return [ops.logistic(states[-1] @ W, biases), *reversed(states)]
