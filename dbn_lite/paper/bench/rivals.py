"""The rivals: the same mini-batches in textbook NumPy, PyTorch (eager and compiled), and scikit-learn's BernoulliRBM.

PyTorch gets what this library gives itself: merged products, buffers made beforehand, in-place operations, and noise
from 16-bit integers, which is four times as fast as its own Bernoulli samples. scikit-learn knows only the first layer,
has no momentum or decay, and does persistent contrastive divergence. A maker that is given `uniform`, a function from
shapes to numbers in [0, 1), samples with these (for the equality check).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ... import backend
from .equality import Uniform
from .steps import Problem, Runner

SKLEARN_NOTE = "another algorithm: persistent contrastive divergence, no momentum, no decay; only sizes and type agree"


# ---- Textbook: as one would type it from the paper, a fresh array for every result; CuPy arrays where that is in use


class _Textbook:
    """Formulas on fresh arrays."""

    def __init__(self, p: Problem, uniform: Uniform | None) -> None:
        self.p, self.ops, self.xp = p, backend.current(), backend.current().xp
        rng = self.xp.random.default_rng(0)
        self.uniform: Any = lambda shape: rng.random(shape, dtype=np.float32)
        if uniform:
            self.uniform = lambda shape: self.ops.asarray(uniform(shape))
        self.batch = itertools.count()

    def logistic(self, x: Any) -> Any:
        return 1 / (1 + self.xp.exp(-x))

    def sampled(self, probs: Any) -> Any:
        return (probs > self.uniform(probs.shape)).astype(np.float32)

    def one_on(self, x: Any) -> Any:
        e = self.xp.exp(x - x.max(axis=1, keepdims=True))
        below = (e / e.sum(axis=1, keepdims=True)).cumsum(axis=1)
        chosen = (below < self.uniform((len(x), 1))).sum(axis=1)
        return self.xp.eye(x.shape[1], dtype=np.float32)[chosen]

    def advanced(self, parameter: Any, velocity: Any, gradient: Any, decay: float = 0.0) -> tuple[Any, Any]:
        p = self.p
        velocity = p.momentum * velocity + p.rate / p.sizes.batch * gradient
        return (1 - p.rate / (1 - p.momentum) * decay) * parameter + velocity, velocity


class _TextbookGreedy(_Textbook):
    def __init__(self, p: Problem, uniform: Uniform | None) -> None:
        super().__init__(p, uniform)
        machine, zeros = p.rbm(), self.xp.zeros_like
        self.W, self.b, self.c, self.n_labels = machine.W, machine.vis_bias, machine.hid_bias, machine.n_labels
        self.W_velocity, self.b_velocity, self.c_velocity = zeros(self.W), zeros(self.b), zeros(self.c)
        self.inputs = self.ops.asarray(p.inputs)

    def step(self) -> None:
        v0 = self.inputs[self.p.rows(next(self.batch))]
        h0 = self.logistic(v0 @ self.W + self.c)
        x = self.sampled(h0) @ self.W.T + self.b
        n = x.shape[1] - self.n_labels
        v1 = self.logistic(x[:, :n])
        if self.n_labels:
            v1 = self.xp.hstack([v1, self.one_on(x[:, n:])])
        h1 = self.logistic(v1 @ self.W + self.c)
        self.W, self.W_velocity = self.advanced(self.W, self.W_velocity, v0.T @ h0 - v1.T @ h1, self.p.decay)
        self.b, self.b_velocity = self.advanced(self.b, self.b_velocity, (v0 - v1).sum(axis=0))
        self.c, self.c_velocity = self.advanced(self.c, self.c_velocity, (h0 - h1).sum(axis=0))

    def weights(self) -> dict[str, Any]:
        return {"W": self.W, "vis_bias": self.b, "hid_bias": self.c}


class _TextbookUpDown(_Textbook):
    def __init__(self, p: Problem, uniform: Uniform | None) -> None:
        super().__init__(p, uniform)
        self.net = p.net().arrays()
        self.velocity = {name: self.xp.zeros_like(a) for name, a in self.net.items()}
        self.images, self.targets = self.ops.asarray(p.images), self.ops.asarray(p.targets)

    def step(self) -> None:
        net, logistic, sampled, learn = self.net, self.logistic, self.sampled, self.learn
        rows = self.p.rows(next(self.batch))
        data, targets = self.images[rows], self.targets[rows]
        wakehid = sampled(logistic(data @ net["vishid"] + net["hidrecbiases"]))
        wakepen = sampled(logistic(wakehid @ net["hidpen"] + net["penrecbiases"]))
        waketop = negtop = logistic(wakepen @ net["pentop"] + targets @ net["labtop"] + net["topbiases"])
        for _ in range(self.p.n_gibbs):
            states = sampled(negtop)
            negpen = sampled(logistic(states @ net["pentop"].T + net["pengenbiases"]))
            neglab = self.one_on(states @ net["labtop"].T + net["labgenbiases"])
            negtop = logistic(negpen @ net["pentop"] + neglab @ net["labtop"] + net["topbiases"])
        sleephid = sampled(logistic(negpen @ net["penhid"] + net["hidgenbiases"]))
        sleepvis = logistic(sleephid @ net["hidvis"] + net["visgenbiases"])
        ppen = logistic(sleephid @ net["hidpen"] + net["penrecbiases"])
        phid = logistic(sleepvis @ net["vishid"] + net["hidrecbiases"])
        wakevis = data - logistic(wakehid @ net["hidvis"] + net["visgenbiases"])
        wakehiderror = wakehid - logistic(wakepen @ net["penhid"] + net["hidgenbiases"])
        learn("hidvis", wakehid.T @ wakevis, "visgenbiases", wakevis)
        learn("penhid", wakepen.T @ wakehiderror, "hidgenbiases", wakehiderror)
        learn("pentop", wakepen.T @ waketop - negpen.T @ negtop, "pengenbiases", wakepen - negpen)
        learn("labtop", targets.T @ waketop - neglab.T @ negtop, "labgenbiases", targets - neglab)
        learn("hidpen", sleephid.T @ (negpen - ppen), "penrecbiases", negpen - ppen)
        learn("vishid", sleepvis.T @ (sleephid - phid), "hidrecbiases", sleephid - phid)
        self.advance("topbiases", (waketop - negtop).sum(axis=0))

    def learn(self, name: str, gradient: Any, bias: str, error: Any) -> None:
        self.advance(name, gradient, self.p.decay)
        self.advance(bias, error.sum(axis=0))

    def advance(self, name: str, gradient: Any, decay: float = 0.0) -> None:
        self.net[name], self.velocity[name] = self.advanced(self.net[name], self.velocity[name], gradient, decay)

    def weights(self) -> dict[str, Any]:
        return self.net


def textbook(p: Problem, uniform: Uniform | None = None) -> Runner:
    """As one would type it from the paper, in float32."""
    row = (_TextbookGreedy if p.greedy else _TextbookUpDown)(p, uniform)
    return Runner(row.step, row.weights)


# ---- scikit-learn


def sklearn(p: Problem) -> Runner:
    """scikit-learn's BernoulliRBM: what its `fit` does for one mini-batch (its `partial_fit` would turn to float64)."""
    from sklearn.neural_network import BernoulliRBM

    if p.stage != "greedy 1":
        raise NotImplementedError("BernoulliRBM knows one layer without labels")
    machine = BernoulliRBM(p.sizes.hid, learning_rate=p.rate, batch_size=p.sizes.batch, n_iter=1, random_state=0)
    machine.fit(p.inputs[p.rows(0)])
    rng, batch = np.random.RandomState(0), itertools.count()  # it takes no newer generator
    names = {"W": "components_", "vis_bias": "intercept_visible_", "hid_bias": "intercept_hidden_"}
    return Runner(
        lambda: machine._fit(p.inputs[p.rows(next(batch))], rng),
        lambda: {ours: getattr(machine, theirs) for ours, theirs in names.items()},
    )


# ---- PyTorch


def torch_eager(p: Problem, uniform: Uniform | None = None) -> Runner:
    """PyTorch as it comes: `out=`, `addmm_`, in-place operations, under `no_grad`."""
    row = (_TorchGreedy if p.greedy else _TorchUpDown)(p, uniform, compiled=False)
    return Runner(row.run, row.weights)


def torch_compiled(p: Problem, uniform: Uniform | None = None) -> Runner:
    """PyTorch through `torch.compile`: the element-wise chains between the products become one kernel each."""
    row = (_TorchGreedy if p.greedy else _TorchUpDown)(p, uniform, compiled=True)
    return Runner(row.run, row.weights)


class _Torch:
    """Noise and updates. What is compiled gets its noise as an argument: so made it is faster than inside."""

    def __init__(self, p: Problem, uniform: Uniform | None, compiled: bool) -> None:
        import torch

        self.torch, self.p, self.n, self.given = torch, p, p.sizes.batch, uniform
        self.compiled = torch.compile if compiled else lambda function: function
        self.rate, self.shrink = p.rate / p.sizes.batch, 1 - p.rate / (1 - p.momentum) * p.decay
        self.batch, self.noise = itertools.count(), {}  # type: Any, dict[Any, Any]

    def run(self) -> None:
        with self.torch.no_grad():
            self.step(self.p.rows(next(self.batch)))

    def step(self, rows: slice) -> None:
        raise NotImplementedError

    def uniform(self, *shape: int, slot: int = 0) -> Any:
        """Uniform float32 numbers in (0, 1), from 16-bit integers; they last until that shape and slot come again."""
        if self.given:
            return self.torch.from_numpy(self.given(shape))
        if (shape, slot) not in self.noise:
            words = self.torch.empty(-(-shape[0] * shape[1] // 4), dtype=self.torch.int64)
            integers = words.view(self.torch.int16)[: shape[0] * shape[1]].view(shape)
            self.noise[shape, slot] = words, integers, self.torch.empty(shape)
        words, integers, floats = self.noise[shape, slot]
        words.random_(-(2**63), None)
        return floats.copy_(integers).mul_(2**-16).add_(0.5 + 2**-17)

    def one_on(self, x: Any, u: Any) -> Any:
        """One unit of each row of x on, in place."""
        chosen = (self.torch.softmax(x, dim=1).cumsum(1) < u).sum(1, keepdim=True)
        return x.zero_().scatter_(1, chosen, 1.0)

    def advance(self, parameter: Any, velocity: Any, gradient: Any) -> None:
        parameter.add_(velocity.mul_(self.p.momentum).add_(gradient, alpha=self.rate))

    def learn(self, W: Any, velocity: Any, a: Any, b: Any) -> None:
        velocity.addmm_(a.t(), b, beta=self.p.momentum, alpha=self.rate)
        W.mul_(self.shrink).add_(velocity)


class _TorchGreedy(_Torch):
    """CD-1 on buffers (2n, units): data above, reconstruction below."""

    def __init__(self, p: Problem, uniform: Uniform | None, compiled: bool) -> None:
        super().__init__(p, uniform, compiled)
        torch, machine = self.torch, p.rbm()
        self.inputs, self.n_labels = torch.from_numpy(p.inputs), machine.n_labels
        self.W, self.b, self.c = map(torch.from_numpy, (machine.W, machine.vis_bias, machine.hid_bias))
        self.velocities = [torch.zeros_like(a) for a in (self.W, self.b, self.c)]
        self.v, self.h = torch.empty(2 * self.n, len(self.b)), torch.empty(2 * self.n, len(self.c))
        self.states = torch.empty(self.n, len(self.c))
        self.learn_one = self.compiled(self.one_mini_batch)

    def step(self, rows: slice) -> None:
        noise = self.uniform(self.n, len(self.c))
        self.learn_one(self.inputs[rows], noise, self.uniform(self.n, 1) if self.n_labels else None)

    def one_mini_batch(self, data: Any, noise: Any, label_noise: Any) -> None:
        torch, n, k = self.torch, self.n, len(self.b) - self.n_labels
        v0, v1, h0, h1 = self.v[:n], self.v[n:], self.h[:n], self.h[n:]
        v0.copy_(data)
        torch.mm(v0, self.W, out=h0).add_(self.c).sigmoid_()
        torch.lt(noise, h0, out=self.states)
        torch.mm(self.states, self.W.t(), out=v1).add_(self.b)
        v1[:, :k].sigmoid_()
        if self.n_labels:
            self.one_on(v1[:, k:], label_noise)
        torch.mm(v1, self.W, out=h1).add_(self.c).sigmoid_()
        h1.neg_()
        self.learn(self.W, self.velocities[0], self.v, self.h)
        self.advance(self.b, self.velocities[1], v0.sum(0) - v1.sum(0))
        self.advance(self.c, self.velocities[2], self.h.sum(0))

    def weights(self) -> dict[str, Any]:
        return {"W": self.W, "vis_bias": self.b, "hid_bias": self.c}


class _TorchUpDown(_Torch):
    """Up-down on stacked buffers, wake above and sleep below, as in updown.py."""

    def __init__(self, p: Problem, uniform: Uniform | None, compiled: bool) -> None:
        super().__init__(p, uniform, compiled)
        torch, s, n, net = self.torch, p.sizes, self.n, p.net()
        self.images, self.targets = torch.from_numpy(p.images), torch.from_numpy(p.targets)
        self.arrays = {name: torch.from_numpy(a) for name, a in net.arrays().items()}
        self.net = {**self.arrays, "top": torch.from_numpy(net.top.W), "topgen": torch.from_numpy(net.top.vis_bias)}
        self.velocity = {name: torch.zeros_like(a) for name, a in self.net.items()}
        self.hid, self.hidprobs = torch.empty(2 * n, s.hid), torch.empty(2 * n, s.hid)
        self.penlab, self.top = torch.empty(2 * n, s.pen + s.lab), torch.empty(2 * n, s.top)
        self.vis, self.ppen, self.phid = torch.empty(2 * n, s.vis), torch.empty(n, s.pen), torch.empty(n, s.hid)
        self.up, self.gibbs, self.down = (self.compiled(f) for f in (self.bottom_up, self.gibbs_step, self.top_down))

    def step(self, rows: slice) -> None:
        s, n, uniform = self.p.sizes, self.n, self.uniform
        data, targets = self.images[rows], self.targets[rows]
        self.up(data, targets, uniform(n, s.hid), uniform(n, s.pen, slot=1))
        self.top[n:].copy_(self.top[:n])
        for _ in range(self.p.n_gibbs):
            self.gibbs(uniform(n, s.top), uniform(n, s.pen), uniform(n, 1))
        self.down(data, uniform(n, s.hid))

    def bottom_up(self, data: Any, targets: Any, hid_noise: Any, pen_noise: Any) -> None:
        torch, n, pen, net = self.torch, self.n, self.p.sizes.pen, self.net
        hid, penlab, top = self.hid[:n], self.penlab[:n], self.top[:n]
        torch.lt(hid_noise, (data @ net["vishid"]).add_(net["hidrecbiases"]).sigmoid_(), out=hid)
        penlab[:, :pen] = pen_noise < (hid @ net["hidpen"]).add_(net["penrecbiases"]).sigmoid_()
        penlab[:, pen:] = targets
        torch.mm(penlab, net["top"], out=top).add_(net["topbiases"]).sigmoid_()

    def gibbs_step(self, top_noise: Any, pen_noise: Any, label_noise: Any) -> None:
        torch, n, pen, net = self.torch, self.n, self.p.sizes.pen, self.net
        penlab, top = self.penlab[n:], self.top[n:]
        torch.lt(top_noise, top, out=top)
        torch.mm(top, net["top"].t(), out=penlab).add_(net["topgen"])
        penlab[:, :pen] = pen_noise < penlab[:, :pen].sigmoid_()
        self.one_on(penlab[:, pen:], label_noise)
        torch.mm(penlab, net["top"], out=top).add_(net["topbiases"]).sigmoid_()

    def top_down(self, data: Any, hid_noise: Any) -> None:
        torch, n, pen, net = self.torch, self.n, self.p.sizes.pen, self.net
        wakepen, negpen = self.penlab[:n, :pen], self.penlab[n:, :pen]
        wakehid, sleephid, negtop = self.hid[:n], self.hid[n:], self.top[n:]
        torch.mm(self.penlab[:, :pen], net["penhid"], out=self.hidprobs).add_(net["hidgenbiases"]).sigmoid_()
        torch.lt(hid_noise, self.hidprobs[n:], out=sleephid)
        torch.mm(self.hid, net["hidvis"], out=self.vis).add_(net["visgenbiases"]).sigmoid_()
        torch.mm(sleephid, net["hidpen"], out=self.ppen).add_(net["penrecbiases"]).sigmoid_()
        torch.mm(self.vis[n:], net["vishid"], out=self.phid).add_(net["hidrecbiases"]).sigmoid_()
        self.both("hidvis", "visgenbiases", wakehid, torch.sub(data, self.vis[:n], out=self.vis[:n]))
        self.both("penhid", "hidgenbiases", wakepen, torch.sub(wakehid, self.hidprobs[:n], out=self.hidprobs[:n]))
        negtop.neg_()
        self.both("top", "topbiases", self.penlab, self.top)
        self.bias("topgen", self.penlab[:n].sum(0) - self.penlab[n:].sum(0))
        self.both("hidpen", "penrecbiases", sleephid, torch.sub(negpen, self.ppen, out=self.ppen))
        self.both("vishid", "hidrecbiases", self.vis[n:], torch.sub(sleephid, self.phid, out=self.phid))

    def both(self, name: str, bias: str, a: Any, b: Any) -> None:
        self.learn(self.net[name], self.velocity[name], a, b)
        self.bias(bias, b.sum(0))

    def bias(self, name: str, gradient: Any) -> None:
        self.advance(self.net[name], self.velocity[name], gradient)

    def weights(self) -> dict[str, Any]:
        return self.arrays
