"""Live figures: one program in JavaScript with two hosts, a static page and, through anywidget, a notebook.

In a notebook a figure shows the Python objects it is given and, after `refresh`, what has become of them. In a page
built from that notebook the same figure runs on the nets that ship with the book: no kernel, no server.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure as Picture

from dbn_lite import backend, exact, plot
from dbn_lite.dataset import check_images
from dbn_lite.dbn import DBN, down_pass, evolve, memory_step, up_pass
from dbn_lite.errors import InputError
from dbn_lite.rbm import RBM, mean_v_from_h, sample_h_from_v

from .bundle import pack, script, style

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise InputError("the live figures need anywidget; install it with: pip install 'dbn-lite[book]'") from error

__all__ = [
    "Bound",
    "Chain",
    "Draw",
    "ExplainingAway",
    "Figure",
    "Filters",
    "FoldedNet",
    "InfiniteNet",
    "LearningCD",
    "Mind",
    "UpDown",
    "WakeSleep",
]


class Figure(anywidget.AnyWidget):
    """One live figure: its name among the scripts, its options, and the Python objects behind it.

    A subclass names the figure, the caption and how to draw the still for readers without JavaScript.
    """

    _esm = script() + "\nexport default { render: DBN.render };\n"
    _css = style()
    figure = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    options = traitlets.Dict().tag(sync=True)

    NAME: ClassVar[str]
    CAPTION: ClassVar[str]

    def __init__(self, models: dict[str, DBN | RBM] | None = None, **options: Any) -> None:
        """Show `models` by the names that the script knows them by; options go to the script as they are.

        Raises InputError for `images` that are not (n, n_vis) numbers in [0, 1], or uint8.
        """
        images = options.pop("images", None)
        self.images: np.ndarray | None = None if images is None else check_images(images)
        self.labels: np.ndarray | None = options.pop("labels", None)
        self.shape: tuple[int, int] = options.pop("shape", (28, 28))
        self.models = models or {}
        super().__init__(figure=self.NAME, caption=options.pop("caption", self.CAPTION), options=options)
        self.on_msg(self._answer)

    def refresh(self) -> None:
        """Send the models as they are now: the figure goes on with them, in place."""
        for name in self.models:
            self._send_weights(name)

    def _answer(self, _: Any, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content.get("type") == "weights?" and content.get("name") in self.models:
            self._send_weights(content["name"])

    def _send_weights(self, name: str) -> None:
        content = pack(self.models[name], self.images, self.labels, self.shape)
        self.send({"type": "weights", "name": name}, buffers=[content])

    def still(self) -> Picture | None:
        """The picture for readers without JavaScript, or None for the caption alone."""
        return None

    def div(self) -> str:
        """The figure as HTML for a static page: where its script finds it, and what is there without."""
        picture, image = self.still(), ""
        if picture is not None:
            content = io.BytesIO()
            picture.savefig(content, format="webp", dpi=96, facecolor="white", pil_kwargs={"quality": 50})
            source = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
            image = f'<img src="{source}" alt="{html.escape(self.caption)}">'
        options = html.escape(json.dumps(self.options))
        return (
            f'<div class="dbn-host" data-dbn-widget="{self.NAME}" data-options="{options}">'
            f"<figure>{image}<figcaption>{html.escape(self.caption)}</figcaption></figure></div>"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return data | {"text/html": self.div()}, metadata


class Chain(Figure):
    """A Gibbs chain in an RBM (the page's own: layer 1 after greedy learning), one hidden unit opened."""

    NAME = "chain"
    CAPTION = "Pixels and hidden units of a restricted Boltzmann machine take turns: v0, h0, v1, h1, and so on."

    def __init__(self, rbm: RBM, images: np.ndarray | None = None, labels: np.ndarray | None = None, **options: Any):
        """`images` (n, n_vis) in [0, 1], and their `labels`, are where chains may start."""
        super().__init__({"greedy": rbm}, images=images, labels=labels, **options)

    def still(self) -> Picture | None:
        """The first start, or coin flips, and three full steps from there."""
        rbm, rng = self.models["greedy"], backend.current().random(0, "still")
        assert isinstance(rbm, RBM)
        first = int(np.argmax(self.labels == 3)) if self.labels is not None else 0  # the figure starts at a 3, too
        start = np.zeros((1, rbm.n_vis)) if self.images is None else self.images[first : first + 1]
        v, to_numpy = backend.current().asarray(start), backend.current().to_numpy
        visible, hidden = np.empty((4, rbm.n_vis)), np.empty((4, rbm.n_hid))
        for t in range(4):
            h = sample_h_from_v(rbm, v, rng)
            visible[t], hidden[t] = to_numpy(v)[0], to_numpy(h)[0]
            v = mean_v_from_h(rbm, h)
        rows = max(d for d in range(1, math.isqrt(rbm.n_hid) + 1) if rbm.n_hid % d == 0)
        pixels = visible[:, : math.prod(self.shape)]
        return plot.gibbs_chain(pixels, hidden, self.shape, (rows, rbm.n_hid // rows))


class Filters(Figure):
    """Every unit of a net, or of one RBM, as a picture; with `before`, a net to compare it with."""

    NAME = "filters"
    CAPTION = "What each unit looks for: blue pixels call it, red ones forbid it."

    def __init__(self, model: DBN | RBM, before: DBN | RBM | None = None, **options: Any):
        super().__init__({"net": model} | ({"greedy": before} if before else {}), before=before is not None, **options)

    def still(self) -> Picture:
        """The first sixty receptive fields of layer 1."""
        model = self.models["net"]
        weights = backend.current().to_numpy(model.W if isinstance(model, RBM) else model.vishid)
        return plot.image_grid(weights.T[:60, : math.prod(self.shape)], self.shape, columns=15, signed=True)


class ExplainingAway(Figure):
    """The lowest layer of the book's picture: two rare causes of one effect, figure 2 of the paper."""

    NAME = "explaining"
    CAPTION = (
        "The lowest layer. An earthquake and a truck are rare, and each makes the house jump. It jumps: was it one of "
        "them, or both? Press a unit to observe it on, off or not at all (a bold ring: observed); drag a weight or a "
        "bias up or down. Blue lines are positive weights, red ones negative; the wider, the larger."
    )

    def __init__(self, **options: Any):
        super().__init__(**options)

    def still(self) -> Picture:
        """The posterior by the paper's numbers, and the best factorial approximation."""
        net = exact.BeliefNet([np.full((2, 1), 20.0)], [np.array([-20.0]), np.full(2, -10.0)])
        posterior = exact.net_posterior(net, [1])
        best = exact.factorial(exact.best_factorial(posterior)[0])
        cases = ["neither", "truck", "earthquake", "both"]
        return plot.probabilities(posterior, {"best factorial": best}, cases)


class InfiniteNet(Figure):
    """Layers on top of the book's picture, figure 3 of the paper: tied, they cancel the competition of the causes."""

    NAME = "infinite"
    CAPTION = (
        "Layers are put on top, all with the same weights W, up and down in turn. Given the data, the two causes "
        "compete. What must the layers above contribute, so that they no longer do?"
    )
    MACHINE = exact.BoltzmannMachine(  # the script has the same numbers
        W=np.array([[2, 2.5], [2.5, 2], [2, 1.5]]), vis_bias=np.array([-3, -3, -2.5]), hid_bias=np.array([0, -0.5])
    )
    OTHER_W: ClassVar = np.array([[-2, 1], [1, 3], [2, -1]])  # above H0 when the weights are not tied

    @classmethod
    def log_prior(cls, depth: int, tied: bool = True) -> np.ndarray:
        """log p(H0), (4,), of the net that ends with independent units `depth` layers above the data."""
        W = cls.MACHINE.W if tied else cls.OTHER_W
        down, bias = [W.T, W], [cls.MACHINE.vis_bias, cls.MACHINE.hid_bias]
        layers = range(1, depth + 1)
        return exact.net_log_prob(exact.BeliefNet([down[k % 2] for k in layers[:-1]], [bias[k % 2] for k in layers]))

    def still(self) -> Picture:
        """How much the two units of H0 interact in the prior, the likelihood and the posterior, by depth."""
        interaction = np.array([1, -1, -1, 1])
        prior = [float(interaction @ self.log_prior(depth)) for depth in range(1, 9)]
        inputs = exact.binary_states(2) @ self.MACHINE.W.T + self.MACHINE.vis_bias
        likelihood = float(interaction @ exact.log_prob_logistic(inputs, np.zeros((1, 3)))[:, 0])  # of v = 000, or any
        posterior = [x + likelihood for x in prior]
        lines: dict[str, Sequence[float]] = {"prior": prior, "likelihood": [likelihood] * 8, "posterior": posterior}
        return plot.curves(lines, "layers above the data", "interaction in H0 (nats)")


class FoldedNet(Figure):
    """The infinite net folded into a restricted Boltzmann machine, its Gibbs chain, and the terms of equation 4."""

    NAME = "folded"
    CAPTION = (
        "The infinite net of chapter 2 and the machine that it is: fold it, and its layers become the steps of a Gibbs "
        "chain. Each layer adds a term to the gradient of a weight. Which of them does contrastive divergence keep?"
    )

    def still(self) -> Picture:
        """The sum of the first terms of equation 4 for one weight, beside the gradient that it tends to."""
        terms = exact.tied_gradient_terms(InfiniteNet.MACHINE, [[1, 0, 0]])
        sums = np.cumsum([next(terms)[0, 0] for _ in range(8)]).tolist()
        whole = float(exact.ml_gradient(InfiniteNet.MACHINE, [[1, 0, 0]]).W[0, 0])
        lines: dict[str, Sequence[float]] = {"sum of the terms": sums, "gradient": [whole] * 8}
        return plot.curves(lines, "terms of equation 4", "gradient (nats per unit of weight)")


def _moved(machine: exact.BoltzmannMachine, way: exact.Statistics, rate: float = 1) -> exact.BoltzmannMachine:
    """The machine after a step of a gradient."""
    W, vis_bias, hid_bias = machine.W + rate * way.W, machine.vis_bias + rate * way.vis_bias, machine.hid_bias
    return exact.BoltzmannMachine(W, vis_bias, hid_bias + rate * way.hid_bias)


class LearningCD(Figure):
    """A machine small enough to enumerate, learning by the mean of CD-n or by the exact gradient."""

    NAME = "learning"
    CAPTION = (
        "Four patterns of two by two pixels, learned by contrastive divergence in a machine that can be enumerated. "
        "How far does CD-n stray from the gradient of the log probability, and which n is enough?"
    )
    PATTERNS: ClassVar = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])  # the script has them too

    def still(self) -> Picture:
        """The two divergences of eq. 6 as CD-1 learns, by its mean."""
        machine = exact.BoltzmannMachine(4 * np.random.default_rng(0).random((4, 4)) - 2, np.zeros(4), np.zeros(4))
        p0, lines = exact.data_distribution(machine, self.PATTERNS), np.empty((2, 300))
        for t in range(300):
            lines[:, t] = exact.contrastive_divergence(machine, p0, 1)[:2]
            way = exact.expected_cd_gradient(machine, self.PATTERNS, 1)
            machine = _moved(machine, way)
        names = {"KL(P0 || Pinf)": lines[0].tolist(), "KL(P1 || Pinf)": lines[1].tolist()}
        return plot.curves(names, "updates", "nats", x=range(300))


class Bound(Figure):
    """The bottom of the book's picture untied: the bound of eq. 8 rises, and a gap opens between it and log p(v)."""

    NAME = "bound"
    CAPTION = (
        "Two kinds of night, quiet and wild. All layers learn together; then untie them: the bottom is frozen, and the "
        "layers above learn on. Drag a weight above, or the data. Can log p(v) fall below what it was when you untied?"
    )
    NIGHTS: ClassVar = np.array([[0, 0, 0], [1, 1, 1]])  # the script has the same, and the same rate
    RATE = 0.3

    @classmethod
    def learned(cls, n_tied: int, n_untied: int) -> tuple[exact.BoltzmannMachine, exact.BoltzmannMachine, np.ndarray]:
        """The bottom, the machine above it, and mean log p(v) and bound (n_tied + n_untied + 1, 2) on the way."""
        lowest, past = InfiniteNet.MACHINE, []
        for update in range(n_tied + n_untied + 1):
            if update <= n_tied:
                top = exact.BoltzmannMachine(lowest.W.T, lowest.hid_bias, lowest.vis_bias)
            net = exact.BeliefNet([lowest.W.T], [lowest.vis_bias, lowest.hid_bias], exact.log_prob(top))
            parts = [exact.variational_bound(net, v) for v in cls.NIGHTS]
            past.append(np.mean([(part.log_prob, part.bound) for part in parts], axis=0))
            if update == n_tied + n_untied:
                break
            if update < n_tied:
                lowest = _moved(lowest, exact.ml_gradient(lowest, cls.NIGHTS), cls.RATE)
            else:
                seen = exact.data_statistics(top, top.v_states, exact.prob_h_given_v(lowest, cls.NIGHTS).mean(axis=0))
                top = _moved(top, seen.minus(exact.model_statistics(top)), cls.RATE)
        return lowest, top, np.array(past)

    def still(self) -> Picture:
        """Mean log p(v) and its bound over two updates of all layers and forty of those above the bottom."""
        past = self.learned(2, 40)[2]
        names = {"mean log p(v)": past[:, 0].tolist(), "its bound": past[:, 1].tolist()}
        return plot.curves(names, "updates", "nats", x=range(len(past)))


class WakeSleep(Figure):
    """Recognition untied from generation in the book's picture: what the wake phase fits, and what the sleep phase."""

    NAME = "wake"
    CAPTION = (
        "Recognition weights R lead up, generative weights G lead down. Awake, G learns to make the data from what R "
        "finds in them; asleep, R learns to find the causes of what G dreams. Which of the two closes the gap?"
    )

    def still(self) -> Picture:
        """Exact posterior and transposed inference for the quiet night, as greedy learning leaves them."""
        lowest, top, _ = Bound.learned(0, 40)
        net = exact.BeliefNet([lowest.W.T], [lowest.vis_bias, lowest.hid_bias], exact.log_prob(top))
        q = exact.prob_h_given_v(lowest, [0, 0, 0])[0]
        cases = ["neither", "truck", "earthquake", "both"]
        return plot.probabilities(exact.net_posterior(net, [0, 0, 0]), {"recognition": q}, cases)


class _OfNet(Figure):
    """A figure of one whole net, with images of its kind for the reader to start from."""

    MODEL: ClassVar[str] = "net"  # what its script calls the net, and the build the one that ships

    def __init__(self, net: DBN, images: np.ndarray | None = None, labels: np.ndarray | None = None, **options: Any):
        """`images` (n, n_vis) in [0, 1], and their `labels`, are what the figure may start from besides coin flips."""
        super().__init__({self.MODEL: net}, images=images, labels=labels, **options)

    def _net(self) -> DBN:
        net = self.models[self.MODEL]
        assert isinstance(net, DBN)
        return net

    def _starts(self, n: int) -> np.ndarray:
        """The first n images, or coin flips: (n, n_vis)."""
        coins = np.random.default_rng(0).random((n, self._net().sizes[0])) < 0.5
        return np.asarray(coins if self.images is None else self.images[:n], dtype=np.float32)


class UpDown(_OfNet):
    """One case through the wake and the sleep phase of a net, line by line of appendix B."""

    NAME = "updown"
    CAPTION = (
        "The up-down algorithm on one image. Awake, recognition weights carry it up; the top memory takes a few Gibbs "
        "iterations; asleep, generative weights carry its state down. Each way teaches the weights of the other."
    )

    def still(self) -> Picture:
        """Cases, and what the sleep phase makes of each after three Gibbs iterations."""
        net, rng, ops = self._net(), backend.current().random(0, "still"), backend.current()
        data = self._starts(10)
        penlab = ops.zeros(len(data), net.n_pen + net.n_labels)
        penlab[:, : net.n_pen] = up_pass(net, ops.asarray(data), rng)
        for _ in range(3):
            memory_step(net, penlab, rng)
        asleep = ops.to_numpy(down_pass(net, penlab[:, : net.n_pen], rng))
        return plot.image_grid(np.concatenate([data, asleep]), self.shape, columns=len(data))


class Mind(_OfNet):
    """Ten chains of a net's top memory side by side, labels clamped or free: what each has in mind.

    In a built page it is the net of the preset `dream`. With `other`, another net of the same sizes, there that of the
    preset `paper`, the chains can go on in that one's memory from where they stand.
    """

    NAME = "mind"
    MODEL = "dream"
    CAPTION = (
        "Ten chains in the top memory, each with a label held on: the picture that its state stands for, the state of "
        "the top units, the probability of each label, and the free energy F."
    )

    def __init__(
        self,
        net: DBN,
        images: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        other: DBN | None = None,
        **options: Any,
    ):
        if other and other.sizes != net.sizes:
            raise InputError(f"chains cannot go on from layers of {net.sizes} in {other.sizes}; give nets of one size.")
        super().__init__(net, images, labels, other=other is not None, **options)
        self.models |= {"net": other} if other else {}

    def still(self) -> Picture:
        """A column for each label: coin flips, and what the chain has in mind after 100 and 1,000 iterations."""
        net = self._net()
        seen = evolve(net, range(net.n_labels), net.n_labels, every=100, columns=11)[[0, 1, 10]]  # (3, label, vis)
        return plot.image_grid(seen.reshape(-1, seen.shape[2]), self.shape, columns=net.n_labels)


class Draw(_OfNet):
    """A canvas whose drawing a net reads, reconstructs, and goes on dreaming from."""

    NAME = "draw"
    MODEL = "dream"
    CAPTION = (
        "Draw a digit: the net reads it, all ten labels weighed by their free energies, makes a picture of what it has "
        "understood, and dreams on from there."
    )

    def still(self) -> Picture:
        """Images above, and below what the net makes of each."""
        net, rng, ops = self._net(), backend.current().random(0, "still"), backend.current()
        data = self._starts(10)
        made = ops.to_numpy(down_pass(net, up_pass(net, ops.asarray(data)), rng))
        return plot.image_grid(np.concatenate([data, made]), self.shape, columns=len(data))
