"""The up-down algorithm (section 5), on mini-batches, in the names and the order of appendix B.

Read it beside the paper: each method is one block of the pseudo-code, each line one of its lines. Five things
differ. A row stands for one case of the mini-batch, so statistics are sums over rows. Products that share a matrix
are taken together: the wake and the sleep half of a layer are the upper and the lower half of one buffer. The last
states of the top units need not be drawn, and some chains may wander, see `UpDown`. And the slips of the printed
code are read as its equations mean them:

    printed                                    meant
    postopprobs, then waketopprobs             one name: waketopprobs (and waketopstates)
    rand(1, numtop));                          one parenthesis too many
    waketopsates                               waketopstates
    poshidstates                               wakehidstates
    -hidvis = hidvis + ...                     hidvis = hidvis + ... (gradient ascent: no minus)
    psleeppenstates, psleephidstates           probabilities, in spite of their names
"""

from __future__ import annotations

from . import backend
from .backend import Array
from .dbn import DBN
from .errors import MOST, InputError, whole
from .rbm import expect_step


class UpDown:
    """The algorithm for one net and one size of mini-batch: holds buffers and velocities, updates `net` in place.

    With `sample_labels` exactly one label is on in each reconstruction, as section 6.1 has it; without, the ten
    probabilities are fed on, as the pseudo-code has it. With `top_probs` the statistics of the memory take the
    probabilities of its top units; without, the states sampled from them, as the pseudo-code has it. The chain runs
    on states either way, and the mean of an update is the same: what goes is the noise of the last draw.

    The first `n_wandering` chains of a mini-batch do not start at the data: they go on from where the last mini-batch
    left them (persistent contrastive divergence, Tieleman 2008), and so reach, and unlearn, what the memory believes
    far from any digit. The paper has none; with all of them it is wake-sleep without the contrastive start. A
    mini-batch moves them on by one iteration less than it takes, because the top states of the last are not drawn.
    """

    def __init__(
        self, net: DBN, batch_size: int, sample_labels: bool = True, top_probs: bool = True, n_wandering: int = 0
    ) -> None:
        batch_size, n_wandering = whole("batch_size", batch_size, most=MOST), whole("n_wandering", n_wandering, 0)
        if n_wandering > batch_size:
            raise InputError(f"{n_wandering} of {batch_size} chains cannot wander; let 0 to {batch_size} of them.")
        ops, n = backend.current(), batch_size
        vis, hid, pen, top, lab = net.sizes
        self.net, self.batch_size, self.sample_labels, self.top_probs = net, n, sample_labels, top_probs
        self.velocity = {name: ops.zeros(*parameter.shape) for name, parameter in self.parameters().items()}
        # wake above, sleep below
        self.hidstates, self.hidprobs = ops.empty(2 * n, hid), ops.empty(2 * n, hid)
        self.penlabstates = ops.empty(2 * n, pen + lab)
        self.top = ops.empty(2 * n, top)  # what enters the statistics of the memory
        self.topstates = ops.empty(n, top)  # where its chain stands
        self.visprobs = ops.empty(2 * n, vis)
        self.wakehidstates, self.sleephidstates = self.hidstates[:n], self.hidstates[n:]
        self.phidprobs, self.sleephidprobs = self.hidprobs[:n], self.hidprobs[n:]
        self.wakepenlab, self.negpenlab = self.penlabstates[:n], self.penlabstates[n:]
        self.wakepenstates, self.targets = self.wakepenlab[:, :pen], self.wakepenlab[:, pen:]
        self.negpenstates, self.neglabprobs = self.negpenlab[:, :pen], self.negpenlab[:, pen:]
        self.waketop, self.negtop = self.top[:n], self.top[n:]
        self.pvisprobs, self.sleepvisprobs = self.visprobs[:n], self.visprobs[n:]
        self.psleeppenstates, self.psleephidstates = ops.empty(n, pen), ops.empty(n, hid)
        self.wandering = ops.zeros(n_wandering, top)  # top states; they set out with no unit on
        self.ones = ops.zeros(2 * n, 1) + 1
        self.signs = ops.zeros(2 * n, 1) + 1
        self.signs[n:] = -1

    def parameters(self) -> dict[str, Array]:
        """Every parameter by name; penlabtop and penlabgenbiases join what appendix B keeps as two arrays each."""
        net, top = self.net, self.net.top
        return {
            "hidvis": net.hidvis,
            "visgenbiases": net.visgenbiases,
            "penhid": net.penhid,
            "hidgenbiases": net.hidgenbiases,
            "penlabtop": top.W,
            "penlabgenbiases": top.vis_bias,
            "topbiases": top.hid_bias,
            "hidpen": net.hidpen,
            "penrecbiases": net.penrecbiases,
            "vishid": net.vishid,
            "hidrecbiases": net.hidrecbiases,
        }

    def step(
        self,
        data: Array,
        targets: Array,
        rng: backend.Random | int,
        n_gibbs: int,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        """One mini-batch: data (batch_size, vis) in [0, 1], targets (batch_size, lab) with one label on in each row.

        Raises InputError for arrays of other shapes, for a rate, momentum or decay out of range, and for n_gibbs below
        1, or below 2 where chains wander: in one they would stand still.
        """
        n_gibbs, rng = whole("n_gibbs", n_gibbs, most=MOST), backend.stream(rng, "states")
        if n_gibbs < 2 and len(self.wandering):
            raise InputError(f"chains do not wander in {n_gibbs} Gibbs iteration; take at least 2.")
        batch = {"data": (data, self.pvisprobs.shape), "targets": (targets, self.targets.shape)}
        expect_step(batch, learning_rate, momentum, weight_decay)
        rng.tick()
        self.targets[...] = targets
        self.bottom_up_pass(data, rng)
        self.gibbs_sampling(n_gibbs, rng)
        self.top_down_pass(rng)
        self.predictions()
        self.updates(data, learning_rate / self.batch_size, momentum, weight_decay * learning_rate / (1 - momentum))

    def bottom_up_pass(self, data: Array, rng: backend.Random) -> None:
        """Wake, or positive, phase: recognition weights pick a state for every hidden unit."""
        ops, net = backend.current(), self.net
        ops.sample(ops.matmul(data, net.vishid, out=self.wakehidstates), net.hidrecbiases, rng)
        ops.sample(ops.matmul(self.wakehidstates, net.hidpen, out=self.wakepenstates), net.penrecbiases, rng)
        waketop = ops.matmul(self.wakepenlab, net.top.W, out=self.waketop)
        ops.sample(waketop, net.top.hid_bias, rng, out=self.topstates, keep_probs=True)
        if not self.top_probs:
            waketop[...] = self.topstates

    def gibbs_sampling(self, numCDiters: int, rng: backend.Random) -> None:
        """Negative phase: alternating Gibbs sampling in the memory, from the wake states on but for what wanders."""
        ops, top, pen = backend.current(), self.net.top, self.net.n_pen
        wanderers = self.topstates[: len(self.wandering)]
        if len(wanderers):
            wanderers[...] = self.wandering
        for left in reversed(range(numCDiters)):
            ops.matmul(self.topstates, top.W.T, out=self.negpenlab)
            ops.sample(self.negpenstates, top.vis_bias[:pen], rng)
            if self.sample_labels:
                ops.sample_softmax(self.neglabprobs, top.vis_bias[pen:], rng)
            else:
                ops.softmax(self.neglabprobs, top.vis_bias[pen:])
            negtop = ops.matmul(self.negpenlab, top.W, out=self.negtop)
            if left:
                ops.sample(negtop, top.hid_bias, rng, out=self.topstates)
            elif self.top_probs:
                ops.logistic(negtop, top.hid_bias)
            else:
                ops.sample(negtop, top.hid_bias, rng)
        if len(wanderers):
            self.wandering[...] = wanderers

    def top_down_pass(self, rng: backend.Random) -> None:
        """Sleep phase, from where the Gibbs run ended; the upper halves predict phidprobs and pvisprobs on the way."""
        ops, net = backend.current(), self.net
        penstates = self.penlabstates[:, : net.n_pen]  # sleeppenstates = negpenstates below, wakepenstates above
        ops.matmul(penstates, net.penhid, out=self.hidprobs)
        ops.logistic(self.phidprobs, net.hidgenbiases)
        ops.sample(self.sleephidprobs, net.hidgenbiases, rng, out=self.sleephidstates)
        ops.logistic(ops.matmul(self.hidstates, net.hidvis, out=self.visprobs), net.visgenbiases)

    def predictions(self) -> None:
        """What recognition makes of the sleep states: probabilities, whatever their names say."""
        ops, net = backend.current(), self.net
        ops.logistic(ops.matmul(self.sleephidstates, net.hidpen, out=self.psleeppenstates), net.penrecbiases)
        ops.logistic(ops.matmul(self.sleepvisprobs, net.vishid, out=self.psleephidstates), net.hidrecbiases)

    def updates(self, data: Array, r: float, momentum: float, decay: float) -> None:
        """Generative parameters, top memory, recognition parameters: along what was minus what was predicted."""
        xp, ones = backend.current().xp, self.ones[: self.batch_size]
        xp.subtract(data, self.pvisprobs, out=self.pvisprobs)
        self._update("hidvis", self.wakehidstates, self.pvisprobs, r, momentum, decay)
        self._update("visgenbiases", ones, self.pvisprobs, r, momentum)
        xp.subtract(self.wakehidstates, self.phidprobs, out=self.phidprobs)
        self._update("penhid", self.wakepenstates, self.phidprobs, r, momentum, decay)
        self._update("hidgenbiases", ones, self.phidprobs, r, momentum)

        self.negtop *= -1  # so that one product is the positive minus the negative statistics
        self._update("penlabtop", self.penlabstates, self.top, r, momentum, decay)
        self._update("penlabgenbiases", self.signs, self.penlabstates, r, momentum)
        self._update("topbiases", self.ones, self.top, r, momentum)

        xp.subtract(self.negpenstates, self.psleeppenstates, out=self.psleeppenstates)
        self._update("hidpen", self.sleephidstates, self.psleeppenstates, r, momentum, decay)
        self._update("penrecbiases", ones, self.psleeppenstates, r, momentum)
        xp.subtract(self.sleephidstates, self.psleephidstates, out=self.psleephidstates)
        self._update("vishid", self.sleepvisprobs, self.psleephidstates, r, momentum, decay)
        self._update("hidrecbiases", ones, self.psleephidstates, r, momentum)

    def _update(self, name: str, a: Array, b: Array, r: float, momentum: float, decay: float = 0.0) -> None:
        parameter, velocity = self.parameters()[name], self.velocity[name]
        if parameter.ndim == 1:
            parameter, velocity = parameter[None], velocity[None]
        backend.current().accumulate(parameter, velocity, a, b, r, momentum, 1 - decay)
