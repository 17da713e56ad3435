"""A deep belief net in a hundred lines of NumPy: take it away, change it.

Rows are cases; a weight matrix leads (from, to); images are numbers from 0
to 1, targets rows of ten with a single 1; rng is np.random.default_rng(seed).
"""

import numpy as np


def logistic(x):
    """Eq. 1: the probability of being on, given the total input."""
    return 1 / (1 + np.exp(-x))


def sample(x, rng):
    """States: each unit is on with its own probability."""
    return (rng.random(x.shape) < logistic(x)).astype(float)


def choose(x, rng):
    """Eq. 10: in each row exactly one unit is on."""
    p = np.exp(x - x.max(axis=1, keepdims=True)).cumsum(axis=1)
    passed = p[:, :-1] < rng.random((len(x), 1)) * p[:, -1:]
    return np.eye(x.shape[1])[passed.sum(axis=1)]


def batches(n, epochs, rng):
    """The numbers of n cases, a hundred at a time."""
    for _ in range(epochs):
        yield from np.array_split(rng.permutation(n), max(1, n // 100))


class RBM:
    """A restricted Boltzmann machine, and how it learns from data."""

    def __init__(self, n_vis, n_hid, rng):
        self.W = rng.normal(scale=0.01, size=(n_vis, n_hid))
        self.b, self.c = np.zeros(n_vis), np.zeros(n_hid)
        self.dW = self.db = self.dc = 0  # the latest step of each

    def up(self, v):  # the total input of each hidden unit
        return v @ self.W + self.c

    def down(self, h, rng):  # a reconstruction, grey as pixels are
        return logistic(h @ self.W.T + self.b)

    def learn(self, v0, rng, rate=0.1, momentum=0.9, decay=0.0002):
        """CD-1 on a mini-batch: eq. 5 after one full step of the chain."""
        x0 = self.up(v0)
        v1 = self.down(sample(x0, rng), rng)
        h0, h1, r = logistic(x0), logistic(self.up(v1)), rate / len(v0)
        self.dW = momentum * self.dW + r * (v0.T @ h0 - v1.T @ h1)
        self.db = momentum * self.db + r * (v0 - v1).sum(axis=0)
        self.dc = momentum * self.dc + r * (h0 - h1).sum(axis=0)
        self.W += self.dW - decay * rate / (1 - momentum) * self.W
        self.b += self.db
        self.c += self.dc


class Memory(RBM):
    """The top machine: its last ten visible units are the labels."""

    def down(self, h, rng):
        x = h @ self.W.T + self.b
        return np.hstack([logistic(x[:, :-10]), choose(x[:, -10:], rng)])


def greedy(images, targets, sizes, epochs, rng):
    """Three machines, each learned from what the one below makes of images."""
    data, machines = images, []
    for kind, n_hid in zip((RBM, RBM, Memory), sizes, strict=True):
        if kind is Memory:
            data = np.hstack([data, targets])
        machines.append(kind(data.shape[1], n_hid, rng))
        for rows in batches(len(data), epochs, rng):
            machines[-1].learn(data[rows], rng)
        data = logistic(machines[-1].up(data))
    return machines


class Net:
    """Three machines as one net, its arrays named as in appendix B."""

    def __init__(self, first, second, memory):
        self.vishid, self.hidvis = first.W, first.W.T.copy()
        self.visgenbiases, self.hidrecbiases = first.b, first.c
        self.hidpen, self.penhid = second.W, second.W.T.copy()
        self.hidgenbiases, self.penrecbiases = second.b, second.c
        self.pentop, self.labtop = np.split(memory.W, [-10])
        self.pengenbiases, self.labgenbiases = np.split(memory.b, [-10])
        self.topbiases = memory.c


def up_down(net, data, targets, rng, r=0.1, numCDiters=3):
    """Appendix B on a mini-batch: awake, asleep, and each learns from both."""
    wakehidstates = sample(data @ net.vishid + net.hidrecbiases, rng)
    wakepenstates = sample(wakehidstates @ net.hidpen + net.penrecbiases, rng)
    waketop = wakepenstates @ net.pentop + targets @ net.labtop + net.topbiases
    negtop = waketop
    for _ in range(numCDiters):
        negtopstates = sample(negtop, rng)
        negpen = negtopstates @ net.pentop.T + net.pengenbiases
        neglab = negtopstates @ net.labtop.T + net.labgenbiases
        negpenstates, neglabstates = sample(negpen, rng), choose(neglab, rng)
        negtop = negpenstates @ net.pentop + neglabstates @ net.labtop
        negtop += net.topbiases
    sleephidstates = sample(negpenstates @ net.penhid + net.hidgenbiases, rng)
    sleepvisprobs = logistic(sleephidstates @ net.hidvis + net.visgenbiases)
    pvisprobs = logistic(wakehidstates @ net.hidvis + net.visgenbiases)
    phidprobs = logistic(wakepenstates @ net.penhid + net.hidgenbiases)
    psleephid = logistic(sleepvisprobs @ net.vishid + net.hidrecbiases)
    psleeppen = logistic(sleephidstates @ net.hidpen + net.penrecbiases)
    waketop, negtop, r = logistic(waketop), logistic(negtop), r / len(data)
    net.hidvis += r * wakehidstates.T @ (data - pvisprobs)
    net.visgenbiases += r * (data - pvisprobs).sum(axis=0)
    net.penhid += r * wakepenstates.T @ (wakehidstates - phidprobs)
    net.hidgenbiases += r * (wakehidstates - phidprobs).sum(axis=0)
    net.pentop += r * (wakepenstates.T @ waketop - negpenstates.T @ negtop)
    net.pengenbiases += r * (wakepenstates - negpenstates).sum(axis=0)
    net.labtop += r * (targets.T @ waketop - neglabstates.T @ negtop)
    net.labgenbiases += r * (targets - neglabstates).sum(axis=0)
    net.topbiases += r * (waketop - negtop).sum(axis=0)
    net.hidpen += r * sleephidstates.T @ (negpenstates - psleeppen)
    net.penrecbiases += r * (negpenstates - psleeppen).sum(axis=0)
    net.vishid += r * sleepvisprobs.T @ (sleephidstates - psleephid)
    net.hidrecbiases += r * (sleephidstates - psleephid).sum(axis=0)


def read(net, images):
    """log p(label | image), a row of ten: by the free energy of each label."""
    hid = logistic(images @ net.vishid + net.hidrecbiases)
    pen = logistic(hid @ net.hidpen + net.penrecbiases)
    top = pen @ net.pentop + net.topbiases
    on = [np.logaddexp(0, top + label).sum(axis=1) for label in net.labtop]
    scores = np.transpose(on) + net.labgenbiases
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def dream(net, targets, steps, rng):
    """What chains from noise have in mind, each with its label held on."""
    noise = sample(np.zeros((len(targets), len(net.vishid))), rng)
    hid = sample(noise @ net.vishid + net.hidrecbiases, rng)
    pen = sample(hid @ net.hidpen + net.penrecbiases, rng)
    label = targets @ net.labtop + net.topbiases
    for _ in range(steps):
        top = sample(pen @ net.pentop + label, rng)
        pen = sample(top @ net.pentop.T + net.pengenbiases, rng)
    hid = sample(pen @ net.penhid + net.hidgenbiases, rng)
    return logistic(hid @ net.hidvis + net.visgenbiases)
