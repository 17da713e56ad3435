"""Why do the dreams of the paper's procedure fade? Eight short trainings from one seed, each with one thing changed.

Left to itself with its label held on, a chain of the memory often ends at a page with next to no ink. Within what the
paper leaves open there are several suspects: where the biases start, how the gradient is taken, how long the memory's
chain is and what it is fed, states or probabilities in the statistics. Each has an arm here; so have appendix B to the
letter, and the chains that wander of the preset `dream`. Below the memory all arms learn alike but for the biases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .. import backend, provenance, train
from ..backend import Array
from ..dataset import Dataset
from ..dbn import DBN, stack, up_pass
from ..files import TEXT, count, expect_folder
from ..rbm import RBM, ContrastiveDivergence, mean_h_from_v, move, random_rbm
from ..study import dreams
from ..updown import UpDown
from . import record

LAYERS, BATCH = (500, 500, 2000), 100
RATE, DECAYS = 0.1, (2e-4, 2e-4, 5e-4)  # of greedy learning
GREEDY_EPOCHS, UP_DOWN_EPOCHS, LOOK_EVERY = 12, 10, 10
AFTER = 1000  # Gibbs iterations of the dreams that are counted
OF_FADING = {"settings": {"data": TEXT, "seed": count()}, "rows": [{"arm": TEXT, "epochs": count()}]}


@dataclass(frozen=True)
class Arm:
    """One training: what differs from the preset `paper`."""

    name: str
    log_odds: bool = False  # visible biases begin at log p/(1 - p), p a unit's mean over the data, in every layer
    hid_bias: float = 0.0  # where the hidden biases begin
    centred: bool = False  # updates of the memory with activities less their mean over the mini-batch
    n_gibbs: int = 1  # of the memory in greedy learning
    sampled: bool = False  # greedy learning feeds the memory states of the penultimate units
    states: bool = False  # states in all statistics of the memory
    label_probs: bool = False  # label probabilities are fed on
    momentum: float = 0.9  # of up-down, whose rate is RATE (1 - momentum): a step goes as far in the end
    decay: float = 2e-4  # of up-down
    n_wandering: int = 0  # chains of up-down


ARMS = (
    Arm("as the preset paper"),
    Arm("visible biases start at log p/(1 - p)", log_odds=True),
    Arm("the same, hidden biases at -2", log_odds=True, hid_bias=-2.0),
    Arm("centred updates of the memory", centred=True),
    Arm("greedy memory: ten iterations, sampled input", n_gibbs=10, sampled=True),
    Arm("memory: states in all statistics", sampled=True, states=True),
    Arm("appendix B to the letter", sampled=True, states=True, label_probs=True, momentum=0.0, decay=0.0),
    Arm("as the preset dream", n_wandering=30),
)


class Memory(ContrastiveDivergence):
    """Contrastive divergence on the top memory, its chain spelled out so that an arm can change it."""

    def __init__(self, rbm: RBM, arm: Arm, batch_size: int = BATCH) -> None:
        super().__init__(rbm, batch_size)
        self.arm = arm

    def learn(self, data: Array, rng: backend.Random, rate: float, momentum: float, decay: float) -> None:
        """One mini-batch, data (batch_size, n_vis): follow <v0 h0> - <vk hk>, k the iterations of the arm."""
        ops, rbm, arm, n = backend.current(), self.rbm, self.arm, self.rbm.n_vis - self.rbm.n_labels
        rng.tick()
        v0, v = self.v[: self.batch_size], self.v[self.batch_size :]
        v0[...] = data
        if arm.sampled:
            v0[:, :n] = rng.uniform(v0[:, :n].size).reshape(len(v0), n) < v0[:, :n]
        self.h[: self.batch_size] = self._hidden(v0, rng)
        for _ in range(arm.n_gibbs):
            v[...] = self.states @ rbm.W.T
            if arm.states:
                ops.sample(v[:, :n], rbm.vis_bias[:n], rng)
            else:
                ops.logistic(v[:, :n], rbm.vis_bias[:n])
            if arm.label_probs:
                ops.softmax(v[:, n:], rbm.vis_bias[n:])
            else:
                ops.sample_softmax(v[:, n:], rbm.vis_bias[n:], rng)
            self.h[self.batch_size :] = self._hidden(v, rng)
        if not arm.centred:
            return self._follow(rate, momentum, decay)
        self.h[self.batch_size :] *= -1
        pulls = decay * rate / (1 - momentum), 0.0, 0.0
        for gradient, pull, name in zip(centred(self.v, self.h), pulls, ("W", "vis_bias", "hid_bias"), strict=True):
            move(getattr(rbm, name), getattr(self.velocity, name), rate / self.batch_size * gradient, momentum, pull)
        return None

    def _hidden(self, v: Array, rng: backend.Random) -> Array:
        """What enters the statistics; the chain goes on from the states."""
        probs = v @ self.rbm.W
        backend.current().sample(probs, self.rbm.hid_bias, rng, out=self.states, keep_probs=True)
        return self.states if self.arm.states else probs


def centred(v: Array, h: Array) -> tuple[Array, Array, Array]:
    """Gradients of weights, visible and hidden biases, summed over cases, of a machine that sees units less means.

    v (2n, n_vis) and h (2n, n_hid) have the positive phase above and the negative below, there h negated; the means are
    over the positive phase (Montavon and Mueller 2012).
    """
    n = len(v) // 2
    signs = np.repeat(np.array([1, -1], np.float32), n)[:, None]
    mean_v, mean_h = v[:n].mean(axis=0), h[:n].mean(axis=0)
    W = (v - mean_v).T @ (h - signs * mean_h)
    return W, (signs * v).sum(axis=0) - W @ mean_h, h.sum(axis=0) - mean_v @ W


class CentredUpDown(UpDown):
    """Up-down whose memory takes centred gradients."""

    def _update(self, name: str, a: Array, b: Array, r: float, momentum: float, decay: float = 0.0) -> None:
        if name == "penlabtop":
            self._found = dict(zip(("penlabtop", "penlabgenbiases", "topbiases"), centred(a, b), strict=True))
        if name not in ("penlabtop", "penlabgenbiases", "topbiases"):
            return super()._update(name, a, b, r, momentum, decay)
        return move(self.parameters()[name], self.velocity[name], r * self._found[name], momentum, decay)


def fading(
    dataset: Dataset, out: str | Path, arms: Sequence[Arm] = ARMS, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Train every arm, greedily and by up-down; count how its dreams fade, in `out`/fading.json.

    A row for each arm after greedy learning and every so many epochs of up-down. Called again, it goes on with the arms
    that are not recorded yet. Raises InputError for a record of another seed or other data.
    """
    expect_folder(out)
    path, settings = Path(out) / "fading.json", {"data": dataset.name, "seed": seed, "after": AFTER}
    rows = record.resumed(path, OF_FADING, settings)
    below: dict[tuple[bool, float], tuple[list[RBM], Array]] = {}
    result: dict[str, Any] = {"settings": settings, **provenance.origin(), "rows": rows}
    bar = tqdm(arms, desc="fading", unit="arm", disable=not progress)
    for arm in bar:
        if arm.name in {row["arm"] for row in rows}:
            continue
        bar.set_description(arm.name)
        start = arm.log_odds, arm.hid_bias
        if start not in below:
            below[start] = lower_layers(dataset, arm, seed)
        of_arm = trained(dataset, arm, seed, *below[start])
        rows += [{"arm": arm.name, "epochs": epochs, **worth(net, dataset, seed)} for epochs, net in of_arm]
        record.write(result, path)
    return result


def lower_layers(dataset: Dataset, arm: Arm, seed: int) -> tuple[list[RBM], Array]:
    """The two machines below the memory, learned greedily, and their probabilities for the training images (n, pen)."""
    ops, parts, rbms = backend.current(), train.split_for(dataset, seed, BATCH), []
    inputs = ops.asarray(parts.train_images)
    for layer, n_hid in enumerate(LAYERS[:2], 1):
        rbm = begin(inputs, n_hid, arm, seed, f"greedy {layer}")
        learner = ContrastiveDivergence(rbm, BATCH)
        for rows, rng, momentum in mini_batches(len(inputs), GREEDY_EPOCHS, seed, f"fading {layer}"):
            learner.step(inputs[rows], rng, RATE, momentum, DECAYS[layer - 1])
        rbms.append(rbm)
        inputs = mean_h_from_v(rbm, inputs)
    return rbms, inputs


def begin(inputs: Array, n_hid: int, arm: Arm, seed: int, consumer: str, n_labels: int = 0) -> RBM:
    """A machine to start from, its biases where the arm has them."""
    rbm = random_rbm(inputs.shape[1], n_hid, seed, n_labels, consumer)
    rbm.hid_bias += np.float32(arm.hid_bias)
    if arm.log_odds:
        on = np.clip(inputs.mean(axis=0), 1 / len(inputs), 1 - 1 / len(inputs))
        rbm.vis_bias += np.log(on / (1 - on))
    return rbm


def mini_batches(n: int, epochs: int, seed: int, consumer: str) -> Iterator[tuple[slice, backend.Random, float]]:
    """Epoch after epoch every mini-batch in a new order: its rows, the stream to draw from, the momentum."""
    rng, order = backend.current().random(seed, consumer), np.random.default_rng([seed, *consumer.encode()])
    for epoch in range(epochs):
        for batch in order.permutation(n // BATCH):
            yield slice(batch * BATCH, (batch + 1) * BATCH), rng, 0.9 if epoch >= 5 else 0.5


def trained(dataset: Dataset, arm: Arm, seed: int, rbms: Sequence[RBM], pen: Array) -> Iterator[tuple[int, DBN]]:
    """The net of an arm after greedy learning (0) and every so many epochs of up-down; it goes on learning in place."""
    ops, parts = backend.current(), train.split_for(dataset, seed, BATCH)
    targets = ops.asarray(np.eye(dataset.n_classes)[parts.train_labels])
    inputs = ops.xp.hstack([pen, targets])
    top = begin(inputs, LAYERS[2], arm, seed, "greedy 3", dataset.n_classes)
    memory = Memory(top, arm)
    for rows, rng, momentum in mini_batches(len(inputs), GREEDY_EPOCHS, seed, "fading 3"):
        memory.learn(inputs[rows], rng, RATE, momentum, DECAYS[2])
    net = stack(rbms[0], rbms[1], top)
    yield 0, net
    kind = CentredUpDown if arm.centred else UpDown
    learner = kind(net, BATCH, not arm.label_probs, not arm.states, arm.n_wandering)
    images, settings = ops.asarray(parts.train_images), (RATE * (1 - arm.momentum), arm.momentum, arm.decay)
    per_epoch = len(images) // BATCH
    for i, (rows, rng, _) in enumerate(mini_batches(len(images), UP_DOWN_EPOCHS, seed, "fading up-down"), 1):
        learner.step(images[rows], targets[rows], rng, 3, *settings)
        if i % (LOOK_EVERY * per_epoch) == 0:
            yield i // per_epoch, net


def worth(net: DBN, dataset: Dataset, seed: int) -> dict[str, Any]:
    """Errors in percent, what the memory looks like, and what 100 dreams from each start have come to."""
    parts, to_numpy = train.split_for(dataset, seed, BATCH), backend.current().to_numpy
    top, images = net.top, parts.validation_images[:1000]
    penlab = np.hstack([to_numpy(up_pass(net, images)), np.eye(net.n_labels)[parts.validation_labels[:1000]]])
    on = to_numpy(mean_h_from_v(top, penlab)).mean()
    return {
        "validation_error": round(train.error_percent(net, parts.validation_images, parts.validation_labels), 3),
        "test_error": round(train.error_percent(net, dataset.test_images, dataset.test_labels), 3),
        "memory_weight": round(float(to_numpy(top.W[: net.n_pen]).mean()), 5),
        "top_bias": round(float(to_numpy(top.hid_bias).mean()), 3),
        "pen_bias": round(float(to_numpy(top.vis_bias[: net.n_pen]).mean()), 3),
        "top_on": round(float(on), 4),
        "dreams": dreams.measure(net, dataset, after=(AFTER,), seed=seed),
    }


HEADER = ("training", "validation error, %", "mean weight", "top biases", "top units on")  # and a column for each start


def in_lines(rows: Sequence[dict[str, Any]], epochs: int) -> list[list[str]]:
    """A line for each arm after so many epochs of up-down: as `HEADER` says, then faint and right from each start."""
    return [
        [
            row["arm"],
            f"{row['validation_error']:.2f}",
            f"{row['memory_weight']:+.4f}",
            f"{row['top_bias']:+.2f}",
            f"{row['top_on']:.0%}",
            *(f"{of_start['faint']}, {of_start['right']}" for of_start in row["dreams"]),
        ]
        for row in rows
        if row["epochs"] == epochs
    ]


def in_words(rows: Sequence[dict[str, Any]], epochs: int = UP_DOWN_EPOCHS) -> str:
    """What the table shows, in sentences that its numbers choose: which arms fade less than the unchanged one."""
    ended = {row["arm"]: row for row in rows if row["epochs"] == epochs}
    faint, right = ({arm: _percent(row, what) for arm, row in ended.items()} for what in ("faint", "right"))
    unchanged, wanders = ARMS[0].name, ARMS[-1].name
    if unchanged not in ended or len(ended) < 3:
        return "The record does not hold enough of these trainings yet to compare them."
    base = faint[unchanged]
    if base < 10:
        return f"Unchanged, only {base:.0f} % fade in so short a training: too few to compare."

    def listed(arms: Sequence[str]) -> str:
        return "; ".join(f"*{arm}* ({faint[arm]:.0f} % faint, {right[arm]:.0f} % right)" for arm in arms) or "none"

    arms = [arm for arm in ended if arm != unchanged]
    less, more = [a for a in arms if faint[a] < base / 2], [a for a in arms if faint[a] > 1.5 * base]
    text = f"Over the three starts, {listed([unchanged])}. Less than half as many fade here: {listed(less)}. "
    text += f"More than one and a half times as many: {listed(more)}. " if more else ""
    between = [arm for arm in arms if arm not in less + more]
    ends = sorted(faint[arm] for arm in between)
    text += f"In all others {ends[0]:.0f} to {ends[-1]:.0f} % do. " if len(between) > 1 else ""
    text += f"In between: {listed(between)}. " if len(between) == 1 else ""
    if set(less) - {wanders}:
        text += "So the fading is not in the nature of the procedure: one choice made otherwise can do away with "
        text += "most of it."
        text += _price({arm: ended[arm] for arm in less if arm != wanders}, ended[unchanged], right)
    else:
        text += "So none of the choices recorded here is the one that we got wrong, at least not alone and not in so "
        text += "short a training."
    if wanders in ended:
        best = min(arms, key=lambda arm: faint[arm])
        text += " Fewest of all fade with chains that wander." if best == wanders else f" Fewest fade with *{best}*."
    return text + _of_the_weights(ended, faint)


def _price(cured: dict[str, dict[str, Any]], unchanged: dict[str, Any], right: dict[str, float]) -> str:
    """What nets that do not fade lack otherwise: chains at their digit, or images read right."""
    base = unchanged["validation_error"]
    dear = [
        f"with *{arm}* {right[arm]:.0f} % of the chains are at their digit, and {row['validation_error']:.2f} % of the "
        f"validation images are misread, where {base:.2f} % were"
        for arm, row in cured.items()
        if right[arm] < 75 or row["validation_error"] > 1.25 * base
    ]
    return f" It is not cured by that: {'; '.join(dear)}." if dear else ""


def _percent(row: dict[str, Any], what: str) -> float:
    """The share of chains that are faint, or right, over all starts."""
    return float(100 * sum(of[what] for of in row["dreams"]) / sum(of["dreams"] for of in row["dreams"]))


def _of_the_weights(ended: dict[str, dict[str, Any]], faint: dict[str, float]) -> str:
    """Whether nets with more negative weights fade more, once there are enough of them to ask."""
    if len(ended) < 6:
        return ""
    pairs = [row["memory_weight"] for row in ended.values()], [faint[arm] for arm in ended]
    rank = np.corrcoef([np.argsort(np.argsort(values)) for values in pairs])[0, 1]
    told = f"\n\nAnd the suspicion? Over the {len(ended)} nets the ranks of the mean weight and of the faint share "
    told += f"correlate by {rank:+.2f}: "
    if rank < -0.6:
        return told + "the more negative the weights, the more pages fade, as it says."
    if rank > 0.6:
        return told + "if anything the other way round. What the weights are on average is not the cause by itself."
    return told + (
        "the mean weight does not tell which nets fade. It is a trait of these memories, and not by itself the cause."
    )
