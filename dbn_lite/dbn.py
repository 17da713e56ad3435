"""The deep belief net of figure 1: pixels, two hidden layers, and an associative memory that holds labels too.

    vis <--> hid <--> pen <==> top <==> lab

Recognition weights (vishid, hidpen) carry an image up; generative weights (penhid, hidvis) carry a state down;
the undirected top RBM joins the penultimate layer and the labels to the top units. Names are those of
appendix B: a weight matrix is called from-to, "rec" biases recognise, "gen" biases generate. Where a function draws,
`rng` is a stream, `backend.current().random(seed)`, or a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import backend
from .backend import Array
from .dataset import check_images
from .errors import MOST, InputError, whole
from .rbm import RBM, softplus

METHODS = ("deterministic", "stochastic", "average-p", "average-log-p", "gibbs")


@dataclass(eq=False)
class Layer:
    """Two sets of weights between one layer and the next: recognition leads up, generation down."""

    up: Array  # (below, above)
    up_bias: Array  # (above,)
    down: Array  # (above, below)
    down_bias: Array  # (below,)


class Net:
    """What is passed up, read, and dreamed from below: a memory on top of directed layers, however many they are."""

    layers: Sequence[Layer]  # from the pixels up
    top: RBM  # visible side: the last of those layers, and the labels if there are any

    @property
    def n_pen(self) -> int:
        """How many units the penultimate layer has: the one below the top units."""
        return self.top.n_vis - self.top.n_labels

    @property
    def n_labels(self) -> int:
        """How many label units there are."""
        return self.top.n_labels

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many units: pixels, each hidden layer, and last the labels."""
        return (*(layer.up.shape[0] for layer in self.layers), self.n_pen, self.top.n_hid, self.n_labels)

    def arrays(self) -> dict[str, Array]:
        """Every parameter by name: views, so that writing to them changes the net."""
        raise NotImplementedError

    def __repr__(self) -> str:
        *units, labels = self.sizes
        return f"{type(self).__name__}({'-'.join(map(str, units))}, {labels} labels)"


@dataclass(eq=False, repr=False)
class DBN(Net):
    """The parameters; with layer sizes 784, 500, 500, 2000 and 10 labels it is the net of the paper."""

    vishid: Array  # (vis, hid)
    hidrecbiases: Array  # (hid,)
    hidpen: Array  # (hid, pen)
    penrecbiases: Array  # (pen,)
    top: RBM  # visible side: pen and lab, (pen + lab, top)
    penhid: Array  # (pen, hid)
    hidgenbiases: Array  # (hid,)
    hidvis: Array  # (hid, vis)
    visgenbiases: Array  # (vis,)

    @property
    def layers(self) -> tuple[Layer, Layer]:  # type: ignore[override]  # read from the names, never set
        """The same parameters without their names: views, so that writing to them changes the net."""
        first = Layer(self.vishid, self.hidrecbiases, self.hidvis, self.visgenbiases)
        return first, Layer(self.hidpen, self.penrecbiases, self.penhid, self.hidgenbiases)

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """How many units: vis, hid, pen, top, lab."""
        return (*self.vishid.shape, self.n_pen, self.top.n_hid, self.n_labels)

    def arrays(self) -> dict[str, Array]:
        """Every parameter under its name in appendix B: views, so that writing to them changes the net."""
        n, top = self.n_pen, self.top
        return {
            "vishid": self.vishid,
            "hidrecbiases": self.hidrecbiases,
            "hidpen": self.hidpen,
            "penrecbiases": self.penrecbiases,
            "pentop": top.W[:n],
            "labtop": top.W[n:],
            "topbiases": top.hid_bias,
            "pengenbiases": top.vis_bias[:n],
            "labgenbiases": top.vis_bias[n:],
            "penhid": self.penhid,
            "hidgenbiases": self.hidgenbiases,
            "hidvis": self.hidvis,
            "visgenbiases": self.visgenbiases,
        }


def from_arrays(arrays: dict[str, np.ndarray]) -> DBN:
    """The net whose parameters are `arrays`, NumPy arrays under their names in appendix B, copied to the backend."""
    ops = backend.current()
    own = {name: ops.asarray(np.array(a, dtype=np.float32)) for name, a in arrays.items()}
    memory = RBM(
        ops.asarray(np.vstack([arrays["pentop"], arrays["labtop"]])),
        ops.asarray(np.concatenate([arrays["pengenbiases"], arrays["labgenbiases"]])),
        own["topbiases"],
        n_labels=len(arrays["labgenbiases"]),
    )
    inside = ("pentop", "labtop", "pengenbiases", "labgenbiases", "topbiases")
    return DBN(top=memory, **{name: a for name, a in own.items() if name not in inside})


def stack(first: RBM, second: RBM, top: RBM) -> DBN:
    """Three RBMs, learned greedily, as one net: recognition and generative weights start tied (section 4).

    Everything is copied: what the net learns later leaves the RBMs as they are.
    """
    xp = backend.current().xp
    return DBN(
        vishid=first.W.copy(),
        hidrecbiases=first.hid_bias.copy(),
        hidpen=second.W.copy(),
        penrecbiases=second.hid_bias.copy(),
        top=RBM(top.W.copy(), top.vis_bias.copy(), top.hid_bias.copy(), top.n_labels),
        penhid=xp.ascontiguousarray(second.W.T),
        hidgenbiases=second.vis_bias.copy(),
        hidvis=xp.ascontiguousarray(first.W.T),
        visgenbiases=first.vis_bias.copy(),
    )


def up_pass(net: Net, images: Array, rng: backend.Random | int | None = None) -> Array:
    """The penultimate layer for images (n, vis): shape (n, pen).

    Without `rng` probabilities stand in for states all the way (the deterministic up-pass that the paper's
    error rates use); with it every hidden state is sampled.
    """
    ops, rng = backend.current(), None if rng is None else backend.stream(rng, "sample")
    below = ops.asarray(images)
    for layer in net.layers:
        above = below @ layer.up
        below = ops.sample(above, layer.up_bias, rng) if rng else ops.logistic(above, layer.up_bias)
    return below


def down_pass(net: Net, pen: Array, rng: backend.Random | int) -> Array:
    """The image, as probabilities (n, vis), that the generative weights make of penultimate states (n, pen).

    All states on the way are sampled. Where no layer lies between, the penultimate states are the image.
    """
    ops, rng = backend.current(), backend.stream(rng, "sample")
    above = ops.asarray(pen)
    if not net.layers:
        return above.copy()  # the chain moves on
    for layer in reversed(net.layers[1:]):
        above = ops.sample(above @ layer.down, layer.down_bias, rng)
    return ops.logistic(above @ net.layers[0].down, net.layers[0].down_bias)


def label_free_energies(net: Net, pen: Array) -> Array:
    """The exact free energy of the top memory with each label on in turn: (n, lab) for pen (n, pen), in nats.

    Nearly all the work, pen @ pentop, is the same for every label (section 6.2).
    """
    ops, top, n = backend.current(), net.top, net.n_pen
    pen = ops.asarray(pen)
    shared = pen @ top.W[:n] + top.hid_bias
    energies = ops.empty(len(pen), net.n_labels)
    for label in range(net.n_labels):
        energies[:, label] = -softplus(shared + top.W[n + label]).sum(axis=1)
    return energies - top.vis_bias[n:] - (pen @ top.vis_bias[:n])[:, None]


def label_log_probs(net: Net, images: np.ndarray) -> np.ndarray:
    """log p(label | image) by the deterministic up-pass and exact free energies: (n, lab), NumPy, in nats.

    Raises InputError for images that are not (n, vis) numbers in [0, 1].
    """
    return _read_out(net, images, lambda block: _log_softmax(-label_free_energies(net, up_pass(net, block))))


def sampled_log_probs(net: Net, images: np.ndarray, rng: backend.Random | int) -> np.ndarray:
    """log p(label | states) after one stochastic up-pass, by exact free energies: otherwise as `label_log_probs`."""
    rng = backend.stream(rng, "predict")
    return _read_out(net, images, lambda block: _log_softmax(-label_free_energies(net, up_pass(net, block, rng))))


def settled_label_probs(
    net: Net, images: np.ndarray, rng: backend.Random | int | None, top_states: bool, n_gibbs: int = 20
) -> np.ndarray:
    """The read-out by Gibbs sampling if labels stay the real values that they start as: (n, lab), NumPy, a mean.

    Over `n_gibbs` iterations; probabilities of the labels are fed back, from states of the top units (`top_states`) or
    from their probabilities. The up-pass is sampled; without `rng` nothing is. Section 6.2 leaves this open.
    Raises InputError for no iterations, or images that are not (n, vis) numbers in [0, 1].
    """
    n_gibbs, rng = whole("n_gibbs", n_gibbs, most=MOST), None if rng is None else backend.stream(rng, "predict")
    return _read_out(net, images, lambda block: _settled(net, block, n_gibbs, rng, top_states and rng is not None))


def predict(
    net: Net,
    images: np.ndarray,
    method: str = "deterministic",
    rng: backend.Random | int = 0,
    n_passes: int = 20,
    n_gibbs: int = 3,
) -> np.ndarray:
    """The label the net gives to each image (n, vis): (n,) uint8, or wider for more, by a read-out of section 6.2.

    `deterministic`: probabilities go up, the label with the lowest exact free energy wins. `stochastic`: the same
    after one sampled up-pass. `average-p` and `average-log-p`: the label probabilities, or their logarithms, averaged
    over `n_passes` sampled up-passes. `gibbs`: labels start at 0.1 and `n_gibbs` iterations settle them.
    Raises InputError for an unknown method, no passes or iterations, or images that are not (n, vis) numbers in [0, 1].
    """
    if method not in METHODS:
        raise InputError(f"there is no read-out called {method!r}; choose one of {', '.join(METHODS)}.")
    n_passes, n_gibbs, rng = (
        whole("n_passes", n_passes, most=MOST),
        whole("n_gibbs", n_gibbs, most=MOST),
        backend.stream(rng, "predict"),
    )
    if method == "gibbs":
        scores = _read_out(net, images, lambda block: _gibbs_labels(net, block, n_gibbs, rng))
    elif method == "deterministic":
        scores = label_log_probs(net, images)
    else:
        read = np.exp if method == "average-p" else np.asarray
        n_passes = 1 if method == "stochastic" else n_passes
        passes = [sampled_log_probs(net, images, rng) for _ in range(n_passes)]
        scores = np.mean([read(log_probs) for log_probs in passes], axis=0)
    return scores.argmax(axis=1).astype(np.min_scalar_type(net.n_labels - 1))


def memory_step(net: Net, penlab: Array, rng: backend.Random | int, clamped: bool = False) -> Array:
    """One iteration of alternating Gibbs sampling in the top memory, in place on penlab (n, pen + lab).

    Returns the top states (n, top) that were sampled on the way. With `clamped` the labels stay as they are.
    """
    ops, top, n, rng = backend.current(), net.top, net.n_pen, backend.stream(rng, "sample")
    states = ops.sample(penlab @ top.W, top.hid_bias, rng)
    labels = penlab[:, n:].copy()
    ops.matmul(states, top.W.T, out=penlab)
    ops.sample(penlab[:, :n], top.vis_bias[:n], rng)
    if clamped:
        penlab[:, n:] = labels
    else:
        ops.sample_softmax(penlab[:, n:], top.vis_bias[n:], rng)
    return states


def start_from_noise(net: Net, label: int | Sequence[int] | None, n: int, rng: backend.Random | int) -> Array:
    """States of the memory after an up-pass from n images of fair coin flips (figure 9): (n, pen + lab).

    `label` is on in every state, or one of n labels in each; None gives all labels the same activity.
    Raises InputError for a label that the net does not have, or labels that are not one for each state.
    """
    ops, n, rng = backend.current(), whole("n", n, most=MOST), backend.stream(rng, "generate")
    labels: list[int] = [] if label is None else np.ravel(label).tolist()
    for one in labels:
        if type(one) is not int or not 0 <= one < net.n_labels:
            known = f"knows the labels 0 to {net.n_labels - 1}" if net.n_labels else "has no labels: give None"
            raise InputError(f"label {one!r} is out of range; this net {known}.")
    if label is not None and np.ndim(label) and len(labels) != n:
        raise InputError(f"{len(labels)} labels do not fit {n} chains; give one label for all or one for each.")
    noise = ops.sample(ops.zeros(n, net.sizes[0]), ops.zeros(net.sizes[0]), rng)
    penlab = ops.zeros(n, net.n_pen + net.n_labels)
    penlab[:, : net.n_pen] = up_pass(net, noise, rng)
    if label is not None:
        penlab[:, net.n_pen :] = ops.asarray(np.eye(net.n_labels)[label])
    elif net.n_labels:
        penlab[:, net.n_pen :] = 1 / net.n_labels
    return penlab


def generate(net: Net, label: int | None, n: int, steps: int = 300, rng: backend.Random | int = 0) -> np.ndarray:
    """n images, (n, vis) probabilities as NumPy float32, from n chains of `steps` Gibbs iterations each (section 7).

    The label is clamped, or free where it is None. Each chain starts from an up-pass of random pixels.
    """
    return evolve(net, label, n, every=whole("steps", steps, most=MOST), columns=2, rng=rng)[-1]


def evolve(
    net: Net,
    label: int | Sequence[int] | None,
    n: int,
    every: int = 20,
    columns: int = 10,
    rng: backend.Random | int = 0,
) -> np.ndarray:
    """What n chains have in mind, seen by a down-pass at the start and after every `every` iterations (figure 9).

    `label` is clamped, one for all chains or one for each, or free where it is None. Returns (columns, n, vis)
    probabilities; the first column is the start. Raises InputError for a bad label or count.
    """
    n, every, columns = (whole(*one, most=MOST) for one in (("n", n, 1), ("every", every, 1), ("columns", columns, 1)))
    ops, rng = backend.current(), backend.stream(rng, "generate")
    _expect_finite(net)
    penlab = start_from_noise(net, label, n, rng)
    seen = [down_pass(net, penlab[:, : net.n_pen], rng)]
    for _ in range(columns - 1):
        for _ in range(every):
            memory_step(net, penlab, rng, clamped=label is not None or not net.n_labels)
        seen.append(down_pass(net, penlab[:, : net.n_pen], rng))
    return np.stack([ops.to_numpy(image) for image in seen])


def samples_by_class(net: Net, n: int = 10, every: int = 1000, rng: backend.Random | int = 0) -> np.ndarray:
    """Figure 8: one chain for each label, clamped, seen n times with `every` iterations before each: (lab, n, vis)."""
    return evolve(net, range(net.n_labels), net.n_labels, every, n + 1, rng)[1:].swapaxes(0, 1)


def evolution_by_class(net: Net, every: int = 20, columns: int = 10, rng: backend.Random | int = 0) -> np.ndarray:
    """Figure 9: one chain for each label, clamped, from noise, seen at once and then at times: (lab, columns, vis)."""
    return evolve(net, range(net.n_labels), net.n_labels, every, columns, rng).swapaxes(0, 1)


def _read_out(net: Net, images: np.ndarray, scores_of: Callable[[Array], Array]) -> np.ndarray:
    if not net.n_labels:
        raise InputError("this net has no label units to read; give labels when it is trained, or use its features.")
    ops, images = backend.current(), check_images(images, net.sizes[0])
    blocks = [images[i : i + ops.block] for i in range(0, len(images), ops.block)]
    _expect_finite(net)
    return np.concatenate([ops.to_numpy(scores_of(ops.asarray(block))) for block in blocks])


def _expect_finite(net: Net) -> None:
    """Refuse, with InputError, a net that would read every image as 0 and dream of nothing."""
    for name, a in net.arrays().items():
        if not bool(backend.current().xp.isfinite(a).all()):
            raise InputError(f"{name} of the net has values that are not finite; train it again, or load it.")


def _gibbs_labels(net: Net, images: Array, n_gibbs: int, rng: backend.Random | int) -> Array:
    """Label probabilities after alternating Gibbs sampling between labels and top units, pen states fixed."""
    ops, top, n = backend.current(), net.top, net.n_pen
    pen = up_pass(net, images, rng)
    shared = pen @ top.W[:n]
    labels = ops.zeros(len(pen), net.n_labels) + 0.1
    for iteration in range(n_gibbs):
        states = ops.sample(shared + labels @ top.W[n:], top.hid_bias, rng)
        labels = states @ top.W[n:].T
        if iteration < n_gibbs - 1:
            ops.sample_softmax(labels, top.vis_bias[n:], rng)
    return ops.softmax(labels, top.vis_bias[n:])


def _settled(net: Net, images: Array, n_gibbs: int, rng: backend.Random | None, top_states: bool) -> Array:
    """As `_gibbs_labels`, but it is probabilities of the labels that go back up."""
    ops, top, n = backend.current(), net.top, net.n_pen
    shared = up_pass(net, images, rng) @ top.W[:n]
    labels = ops.zeros(len(shared), net.n_labels) + 0.1
    total = ops.zeros(len(shared), net.n_labels)
    for _ in range(n_gibbs):
        x = shared + labels @ top.W[n:]
        on = ops.sample(x, top.hid_bias, rng) if rng and top_states else ops.logistic(x, top.hid_bias)
        labels = ops.softmax(on @ top.W[n:].T, top.vis_bias[n:])
        total += labels
    return total / n_gibbs


def _log_softmax(x: Array) -> Array:
    x = x - x.max(axis=1, keepdims=True)
    return x - backend.current().xp.log(backend.current().xp.exp(x).sum(axis=1, keepdims=True))
