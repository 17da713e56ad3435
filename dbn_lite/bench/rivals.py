"""The rivals: the same mini-batches in textbook NumPy, in PyTorch (eager and compiled), and scikit-learn's BernoulliRBM.

PyTorch gets what this library gives itself: merged products, buffers made beforehand, in-place operations.
scikit-learn knows only the first layer, has no momentum or decay, and does persistent contrastive divergence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .steps import DECAY, MOMENTUM, RATE, Problem, Step


def textbook(p: Problem) -> Step:
    """As one would type it from the paper: NumPy, float32, a fresh array for every result."""
    return _textbook_greedy(p) if p.greedy else _textbook_up_down(p)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _textbook_greedy(p: Problem) -> Step:
    rng, W, n_labels = np.random.default_rng(0), p.W.copy(), p.sizes.layer(p.stage)[2]
    b, c, velocity = np.zeros(len(W), np.float32), np.zeros(W.shape[1], np.float32), np.zeros_like(W)
    batch = iter(range(10**9))

    def step() -> None:
        nonlocal W, b, c, velocity
        v0 = p.inputs[p.rows(next(batch))]
        h0 = _logistic(v0 @ W + c)
        x = (rng.random(h0.shape, dtype=np.float32) < h0).astype(np.float32) @ W.T + b
        v1 = (
            np.hstack([_logistic(x[:, : len(b) - n_labels]), _softmax(x[:, len(b) - n_labels :])])
            if n_labels
            else _logistic(x)
        )
        h1 = _logistic(v1 @ W + c)
        velocity = MOMENTUM * velocity + RATE * ((v0.T @ h0 - v1.T @ h1) / len(v0) - DECAY * W)
        W = W + velocity
        b = b + RATE * (v0 - v1).mean(axis=0)
        c = c + RATE * (h0 - h1).mean(axis=0)

    return step


def _textbook_up_down(p: Problem) -> Step:
    net = {name: np.array(a) for name, a in p.net().arrays().items()}
    velocity = {name: np.zeros_like(a) for name, a in net.items()}
    rng, batch = np.random.default_rng(0), iter(range(10**9))

    def sampled(probs: np.ndarray) -> np.ndarray:
        return (probs > rng.random(probs.shape, dtype=np.float32)).astype(np.float32)

    def learn(name: str, gradient: np.ndarray) -> None:
        velocity[name] = MOMENTUM * velocity[name] + RATE * (gradient / p.sizes.batch - DECAY * net[name])
        net[name] = net[name] + velocity[name]

    def step() -> None:
        data, targets = p.images[p.rows(i := next(batch))], p.targets[p.rows(i)]
        wakehid = sampled(_logistic(data @ net["vishid"] + net["hidrecbiases"]))
        wakepen = sampled(_logistic(wakehid @ net["hidpen"] + net["penrecbiases"]))
        waketop = sampled(_logistic(wakepen @ net["pentop"] + targets @ net["labtop"] + net["topbiases"]))
        negtop = waketop
        for _ in range(p.n_gibbs):
            negpen = sampled(_logistic(negtop @ net["pentop"].T + net["pengenbiases"]))
            neglab = _softmax(negtop @ net["labtop"].T + net["labgenbiases"])
            negtop = sampled(_logistic(negpen @ net["pentop"] + neglab @ net["labtop"] + net["topbiases"]))
        sleephid = sampled(_logistic(negpen @ net["penhid"] + net["hidgenbiases"]))
        sleepvis = _logistic(sleephid @ net["hidvis"] + net["visgenbiases"])
        ppen = _logistic(sleephid @ net["hidpen"] + net["penrecbiases"])
        phid = _logistic(sleepvis @ net["vishid"] + net["hidrecbiases"])
        wakevis = data - _logistic(wakehid @ net["hidvis"] + net["visgenbiases"])
        wakehiderror = wakehid - _logistic(wakepen @ net["penhid"] + net["hidgenbiases"])
        learn("hidvis", wakehid.T @ wakevis), learn("visgenbiases", wakevis.sum(axis=0))
        learn("penhid", wakepen.T @ wakehiderror), learn("hidgenbiases", wakehiderror.sum(axis=0))
        learn("pentop", wakepen.T @ waketop - negpen.T @ negtop), learn("pengenbiases", (wakepen - negpen).sum(axis=0))
        learn("labtop", targets.T @ waketop - neglab.T @ negtop), learn("labgenbiases", (targets - neglab).sum(axis=0))
        learn("topbiases", (waketop - negtop).sum(axis=0))
        learn("hidpen", sleephid.T @ (negpen - ppen)), learn("penrecbiases", (negpen - ppen).sum(axis=0))
        learn("vishid", sleepvis.T @ (sleephid - phid)), learn("hidrecbiases", (sleephid - phid).sum(axis=0))

    return step


def sklearn(p: Problem) -> Step:
    """scikit-learn's BernoulliRBM, `partial_fit` on one mini-batch."""
    from sklearn.neural_network import BernoulliRBM

    if p.stage != "greedy 1":
        raise NotImplementedError("BernoulliRBM knows one layer without labels")
    machine = BernoulliRBM(n_components=p.sizes.hid, learning_rate=RATE, batch_size=p.sizes.batch, random_state=0)
    batch = iter(range(10**9))
    return lambda: machine.partial_fit(p.inputs[p.rows(next(batch))])


def torch_eager(p: Problem) -> Step:
    """PyTorch as it comes: `out=`, `addmm_`, in-place operations, under `no_grad`."""
    return _torch(p, compiled=False)


def torch_compiled(p: Problem) -> Step:
    """PyTorch through `torch.compile`: the element-wise chains between the products become one kernel each."""
    return _torch(p, compiled=True)


def _torch(p: Problem, compiled: bool) -> Step:
    import torch

    model = _TorchGreedy(torch, p) if p.greedy else _TorchUpDown(torch, p)
    step = torch.compile(model.step) if compiled else model.step
    batch = iter(range(10**9))

    def run() -> None:
        with torch.no_grad():
            step(*(x[p.rows(i)] for i in (next(batch),) for x in model.data))

    return run


class _TorchGreedy:
    """CD-1 on buffers (2n, units): data above, reconstruction below."""

    def __init__(self, torch: Any, p: Problem) -> None:
        self.torch, self.n, self.n_labels = torch, p.sizes.batch, p.sizes.layer(p.stage)[2]
        self.data = [torch.from_numpy(p.inputs)]
        self.W = torch.from_numpy(p.W.copy())
        n_vis, n_hid = self.W.shape
        self.b, self.c, self.velocity = torch.zeros(n_vis), torch.zeros(n_hid), torch.zeros_like(self.W)
        self.b_velocity, self.c_velocity = torch.zeros(n_vis), torch.zeros(n_hid)
        self.v, self.h = torch.empty(2 * self.n, n_vis), torch.empty(2 * self.n, n_hid)
        self.states = torch.empty(self.n, n_hid)

    def step(self, data: Any) -> None:
        torch, n, k = self.torch, self.n, self.v.shape[1] - self.n_labels
        v0, v1, h0, h1 = self.v[:n], self.v[n:], self.h[:n], self.h[n:]
        v0.copy_(data)
        torch.mm(v0, self.W, out=h0).add_(self.c).sigmoid_()
        torch.mm(torch.bernoulli(h0, out=self.states), self.W.t(), out=v1).add_(self.b)
        v1[:, :k].sigmoid_()
        if self.n_labels:
            v1[:, k:] = torch.softmax(v1[:, k:], dim=1)
        torch.mm(v1, self.W, out=h1).add_(self.c).sigmoid_()
        h1.neg_()
        self.velocity.addmm_(self.v.t(), self.h, beta=MOMENTUM, alpha=RATE / n)
        self.W.mul_(1 - RATE / (1 - MOMENTUM) * DECAY).add_(self.velocity)
        self.b.add_(self.b_velocity.mul_(MOMENTUM).add_((v0 - v1).sum(0), alpha=RATE / n))
        self.c.add_(self.c_velocity.mul_(MOMENTUM).add_(self.h.sum(0), alpha=RATE / n))


class _TorchUpDown:
    """Up-down on stacked buffers, wake above and sleep below, as in updown.py."""

    def __init__(self, torch: Any, p: Problem) -> None:
        s, n = p.sizes, p.sizes.batch
        self.torch, self.n, self.pen, self.n_gibbs = torch, n, s.pen, p.n_gibbs
        self.data = [torch.from_numpy(p.images), torch.from_numpy(p.targets)]
        net = {name: torch.from_numpy(np.array(a)) for name, a in p.net().arrays().items()}
        self.top = torch.cat([net.pop("pentop"), net.pop("labtop")])
        self.topgen = torch.cat([net.pop("pengenbiases"), net.pop("labgenbiases")])
        self.net = {**net, "top": self.top, "topgen": self.topgen}
        self.velocity = {name: torch.zeros_like(a) for name, a in self.net.items()}
        self.hid, self.hidprobs = torch.empty(2 * n, s.hid), torch.empty(2 * n, s.hid)
        self.penlab, self.topstates = torch.empty(2 * n, s.pen + s.lab), torch.empty(2 * n, s.top)
        self.vis, self.ppen, self.phid = torch.empty(2 * n, s.vis), torch.empty(n, s.pen), torch.empty(n, s.hid)

    def step(self, data: Any, targets: Any) -> None:
        torch, n, pen, net = self.torch, self.n, self.pen, self.net
        wakepenlab, negpenlab = self.penlab[:n], self.penlab[n:]
        waketop, negtop = self.topstates[:n], self.topstates[n:]
        wakepenlab[:, pen:] = targets
        torch.mm(data, net["vishid"], out=self.hid[:n]).add_(net["hidrecbiases"]).sigmoid_().bernoulli_(
            self.hid[:n].clone()
        )
        wakepenlab[:, :pen] = torch.bernoulli((self.hid[:n] @ net["hidpen"]).add_(net["penrecbiases"]).sigmoid_())
        torch.bernoulli(torch.mm(wakepenlab, self.top).add_(net["topbiases"]).sigmoid_(), out=waketop)
        negtop.copy_(waketop)
        for _ in range(self.n_gibbs):
            x = torch.mm(negtop, self.top.t(), out=negpenlab).add_(self.topgen)
            negpenlab[:, pen:] = torch.softmax(x[:, pen:], dim=1)
            negpenlab[:, :pen] = torch.bernoulli(x[:, :pen].sigmoid_())
            torch.bernoulli(torch.mm(negpenlab, self.top).add_(net["topbiases"]).sigmoid_(), out=negtop)
        torch.mm(self.penlab[:, :pen], net["penhid"], out=self.hidprobs).add_(net["hidgenbiases"]).sigmoid_()
        torch.bernoulli(self.hidprobs[n:], out=self.hid[n:])
        torch.mm(self.hid, net["hidvis"], out=self.vis).add_(net["visgenbiases"]).sigmoid_()
        torch.mm(self.hid[n:], net["hidpen"], out=self.ppen).add_(net["penrecbiases"]).sigmoid_()
        torch.mm(self.vis[n:], net["vishid"], out=self.phid).add_(net["hidrecbiases"]).sigmoid_()
        self._learn("hidvis", "visgenbiases", self.hid[:n], self.vis[:n].neg_().add_(data))
        self._learn("penhid", "hidgenbiases", wakepenlab[:, :pen], self.hidprobs[:n].neg_().add_(self.hid[:n]))
        self._update("topgen", (wakepenlab - negpenlab).sum(0))
        negtop.neg_()
        self._learn("top", "topbiases", self.penlab, self.topstates)
        self._learn("hidpen", "penrecbiases", self.hid[n:], self.ppen.neg_().add_(negpenlab[:, :pen]))
        self._learn("vishid", "hidrecbiases", self.vis[n:], self.phid.neg_().add_(self.hid[n:]))

    def _learn(self, name: str, bias: str, a: Any, b: Any) -> None:
        self.velocity[name].addmm_(a.t(), b, beta=MOMENTUM, alpha=RATE / self.n)
        self.net[name].mul_(1 - RATE / (1 - MOMENTUM) * DECAY).add_(self.velocity[name])
        self._update(bias, b.sum(0))

    def _update(self, name: str, gradient: Any) -> None:
        self.net[name].add_(self.velocity[name].mul_(MOMENTUM).add_(gradient, alpha=RATE / self.n))
