"""What learns within an epoch: one layer by contrastive divergence, or the whole net by up-down."""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..dbn import DBN
from ..presets import Preset, Stage
from ..rbm import RBM, ContrastiveDivergence, mean_h_from_v, mean_v_from_h
from ..updown import UpDown


class GreedyLearner:
    """Contrastive divergence on one layer of the stack (section 4), its input computed once from the layers below."""

    def __init__(self, rbms: list[RBM], stage: Stage, images: Array, targets: Array, batch_size: int) -> None:
        self.below, self.rbm, self.batch_size = rbms[: stage.layer - 1], rbms[stage.layer - 1], batch_size
        self.targets = targets
        self.see(images)
        self.learner = ContrastiveDivergence(self.rbm, batch_size)
        self._step = backend.current().record(self.learner.step)

    def see(self, images: Array) -> None:
        """Learn from these images from now on, as many and of the same classes as before."""
        self.inputs = images
        for below in self.below:
            self.inputs = mean_h_from_v(below, self.inputs)
        if self.rbm.n_labels:
            self.inputs = backend.current().xp.hstack([self.inputs, self.targets])

    def step(self, batch: int, rng: backend.Random, stage: Stage, rate: float, momentum: float) -> None:
        """Learn from one mini-batch."""
        rows = self.inputs[batch * self.batch_size : (batch + 1) * self.batch_size]
        self._step(rows, rng, rate, momentum, stage.weight_decay, stage.n_gibbs)

    def velocities(self) -> dict[str, Array]:
        """The velocity of each parameter."""
        velocity = self.learner.velocity
        return {"W": velocity.W, "vis_bias": velocity.vis_bias, "hid_bias": velocity.hid_bias}

    def chains(self) -> dict[str, Array]:
        """No chain outlives its mini-batch."""
        return {}

    def reconstruction_error(self) -> float:
        """The squared error of the reconstruction, summed over units, averaged over the first 1,000 cases."""
        v = self.inputs[:1000]
        return float(((mean_v_from_h(self.rbm, mean_h_from_v(self.rbm, v)) - v) ** 2).sum(axis=1).mean())


class UpDownLearner:
    """The up-down algorithm on the whole net (section 5)."""

    def __init__(self, net: DBN, stage: Stage, images: Array, targets: Array, preset: Preset) -> None:
        self.images, self.targets, self.batch_size = images, targets, preset.batch_size
        n_wandering = round(stage.wandering * preset.batch_size)
        self.learner = UpDown(net, preset.batch_size, preset.sample_labels, n_wandering=n_wandering)
        self._step = backend.current().record(self.learner.step)

    def see(self, images: Array) -> None:
        """Learn from these images from now on, as many and of the same classes as before."""
        self.images = images

    def step(self, batch: int, rng: backend.Random, stage: Stage, rate: float, momentum: float) -> None:
        """Learn from one mini-batch."""
        rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        data, targets = self.images[rows], self.targets[rows]
        self._step(data, targets, rng, stage.n_gibbs, rate, momentum, stage.weight_decay)

    def velocities(self) -> dict[str, Array]:
        """The velocity of each parameter."""
        return self.learner.velocity

    def chains(self) -> dict[str, Array]:
        """Where the chains that wander stand, if there are any."""
        return {"wandering": self.learner.wandering} if len(self.learner.wandering) else {}
