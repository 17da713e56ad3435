"""The up-down step against appendix B transcribed, and each reading of the printed code against a proof."""

import itertools

import literal
import numpy as np
import pytest
from tiny import HID, LAB, PEN, SIZES, TOP, VIS, Known, nets

from dbn_lite import backend, dbn, exact, rbm
from dbn_lite.errors import InputError
from dbn_lite.updown import UpDown

CASES = 6


def batch(n=CASES, seed=1):
    """Grey images and one label each, float32."""
    rng = np.random.default_rng(seed)
    return np.float32(rng.random((n, VIS))), np.eye(LAB, dtype=np.float32)[rng.integers(LAB, size=n)]


def changes(before, net):
    return {name: np.float64(a) - before[name] for name, a in net.arrays().items()}


def furthest(got, want):
    assert got.keys() == want.keys() == SIZES.keys()
    return max(np.abs(got[name] - want[name]).max() for name in SIZES)


def step(n_gibbs, sample_labels, seed, top_probs=False):
    """One step of the library at rate 0.5: what it added to each parameter, and what it began with."""
    net, before = nets(seed)
    data, targets = batch()
    known = Known(seed)
    UpDown(net, CASES, sample_labels, top_probs).step(data, targets, known, n_gibbs, 0.5)
    return changes(before, net), (before, data, targets, known.uniforms, 0.5, n_gibbs, sample_labels)


def shifted(arguments, by):
    before, data, targets, uniforms, *rest = arguments
    return (before, data, targets, [u + by for u in uniforms], *rest)


# ---- The transcription


READINGS = {False: literal.up_down, True: literal.with_top_probs}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("top_probs", READINGS)
@pytest.mark.parametrize("sample_labels", [False, True])
@pytest.mark.parametrize("n_gibbs", [1, 3])
def test_a_step_equals_appendix_b(n_gibbs, sample_labels, top_probs, seed):
    def updates(arguments):
        return literal.updates(*arguments, up_down=READINGS[top_probs])

    while True:
        got, arguments = step(n_gibbs, sample_labels, seed, top_probs)
        want = updates(arguments)
        if all(furthest(updates(shifted(arguments, by)), want) < 1e-3 for by in (-1e-4, 1e-4)):
            break
        seed += 100  # a number so near its threshold that 16 bits may decide otherwise: take others
    assert furthest(got, want) < 1e-5
    moved = [name for name in SIZES if np.abs(want[name]).max() > 0.01]
    assert len(moved) >= 12  # the label biases stand still where as many labels came on as were on


def test_momentum_and_decay_against_a_plain_loop():
    net, now = nets(3)
    data, targets = batch()
    learner, known = UpDown(net, CASES, top_probs=False), Known(7)
    velocity = {name: np.zeros(size) for name, size in SIZES.items()}
    for _ in range(3):
        known.uniforms.clear()
        learner.step(data, targets, known, 2, 0.2, 0.8, 0.3)
        for name, change in literal.updates(now, data, targets, known.uniforms, 0.2, 2, True).items():
            velocity[name] = 0.8 * velocity[name] + change
            decay = 0.3 * 0.2 / (1 - 0.8) if name in literal.WEIGHTS else 0
            now[name] = now[name] - decay * now[name] + velocity[name]
    for name, a in net.arrays().items():
        np.testing.assert_allclose(a, now[name], atol=1e-5, err_msg=name)


# ---- The proofs


def derivative(f, x, width=1e-5):
    """Central differences of the number f(x) by each entry of x."""
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        away = np.zeros_like(x)
        away[index] = width
        slopes[index] = (f(x + away) - f(x - away)) / (2 * width)
    return slopes


def log_prob(states, x):
    """log p of the states (or grey values) of logistic units whose total inputs are x."""
    return -(states * np.logaddexp(0, -x) + (1 - states) * np.logaddexp(0, x)).sum()


def ascends(known, cause, effect, weights, biases):
    """The gap between two updates and the slope of log p(effect | cause), found by finite differences."""
    net, workspace = known

    def of_weights(w):
        return log_prob(workspace[effect], workspace[cause] @ w + net[biases])

    def of_biases(b):
        return log_prob(workspace[effect], workspace[cause] @ net[weights] + b)

    gaps = [workspace[weights] - net[weights] - derivative(of_weights, net[weights])]
    gaps.append(workspace[biases][0] - net[biases] - derivative(of_biases, net[biases]))
    return max(np.abs(gap).max() for gap in gaps)


def generative_image_rule(known):
    return ascends(known, "wakehidstates", "data", "hidvis", "visgenbiases")


def generative_hidden_rule(known):
    return ascends(known, "wakepenstates", "wakehidstates", "penhid", "hidgenbiases")


def recognition_pen_rule(known):
    return ascends(known, "sleephidstates", "sleeppenstates", "hidpen", "penrecbiases")


def recognition_hid_rule(known):
    return ascends(known, "sleepvisprobs", "sleephidstates", "vishid", "hidrecbiases")


def always_on_rule(known):
    """A bias is the weight from a unit that is always on: the pen unit 0 of the net used here."""
    net, workspace = known
    return np.abs((workspace["pentop"] - net["pentop"])[0] - (workspace["topbiases"] - net["topbiases"])[0]).max()


def worst(rule, up_down):
    """The largest gap over twenty cases, each at rate 1."""
    gaps, on = [], np.float32([100, 0, 0])
    for seed in range(20):
        _, net = nets(seed, penrecbiases=on, pengenbiases=on)
        data, targets = (np.float64(a) for a in batch(1, seed))
        source = np.random.default_rng(seed)
        workspace = up_down(net, data, targets, lambda one, n, s=source: s.random((one, n)), 1.0, 2)
        gaps.append(rule((net, workspace)))
    return max(gaps)


PSLEEP_PEN = "psleeppenstates = logistic(sleephidstates @ hidpen + penrecbiases)"
PSLEEP_HID = "psleephidstates = logistic(sleepvisprobs @ vishid + hidrecbiases)"
ASCENT = "hidvis = hidvis + r * wakehidstates.T @"
MISREADINGS = {
    # slip of the print: the rule that decides, the right text, the wrong one
    "-hidvis descends": (generative_image_rule, ASCENT, "hidvis = hidvis - r * wakehidstates.T @"),
    "-hidvis is flipped": (generative_image_rule, ASCENT, "hidvis = -hidvis - r * wakehidstates.T @"),
    "poshidstates sleep": (generative_image_rule, ASCENT, "hidvis = hidvis + r * sleephidstates.T @"),
    "poshidstates probabilities": (generative_image_rule, ASCENT, "hidvis = hidvis + r * wakehidprobs.T @"),
    "psleeppenstates states": (recognition_pen_rule, PSLEEP_PEN, f"psleeppenstates = 1.0 * ({PSLEEP_PEN[18:]} > 0.5)"),
    "psleephidstates states": (recognition_hid_rule, PSLEEP_HID, f"psleephidstates = 1.0 * ({PSLEEP_HID[18:]} > 0.5)"),
    "waketopsates probabilities": (always_on_rule, "r * (1.0 * waketopstates", "r * (1.0 * waketopprobs"),
    # not slips, but public bugs
    "recognition of what was never regenerated": (
        recognition_hid_rule, "(sleephidstates - psleephidstates)", "(wakehidstates - psleephidstates)"
    ),
    "recognition fits its own samples": (
        recognition_pen_rule, "(sleeppenstates - psleeppenstates)", "(wakepenstates - psleeppenstates)"
    ),
    "binarised images": (generative_image_rule, "(data - pvisprobs)", "(np.round(data) - pvisprobs)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISREADINGS)
def test_the_right_reading_passes_its_proof_and_the_wrong_one_fails_it(name):
    rule, meant, instead = MISREADINGS[name]
    assert worst(rule, literal.up_down) < 1e-8
    assert worst(rule, literal.reread((meant, instead))) > 1e-2


@pytest.mark.parametrize("name", MISREADINGS)
def test_the_library_is_no_misreading(name):
    got, arguments = step(2, False, seed=5)
    assert furthest(got, literal.updates(*arguments)) < 1e-5
    wrong = literal.reread(MISREADINGS[name][1:])
    assert furthest(got, literal.updates(*arguments, up_down=wrong)) > 1e-2


def test_the_rule_of_the_hidden_layer_passes_its_proof_too():
    assert worst(generative_hidden_rule, literal.up_down) < 1e-8


# ---- The associative memory against exact sums: the top states, and the labels of a reconstruction

N = 40_000
BITS = np.float32([[1, 0, 0, 1, 0], [0, 1, 1, 0, 1], [1, 1, 0, 1, 1], [0, 0, 1, 0, 0]])
LABELS = np.eye(LAB, dtype=np.float32)[[0, 1, 1, 0]]


def memory_net():
    """A net whose recognition copies the first pixels, so that its pen states are known: BITS[:, :PEN]."""
    copy = {"vishid": 400 * np.eye(VIS, HID), "hidrecbiases": -200, "hidpen": 400 * np.eye(HID, PEN)}
    return nets(4, 2.5, **copy, penrecbiases=-200)


def memory_update(n_gibbs, sample_labels=True, top_probs=True, learner=UpDown):
    """The mean update of the memory at rate 1 over N cases, as statistics of its machine."""
    net, before = memory_net()
    data, targets = (np.tile(a, (N // 4, 1)) for a in (BITS, LABELS))
    learner(net, N, sample_labels, top_probs).step(data, targets, backend.Random(0, "memory"), n_gibbs, 1.0)
    got = changes(before, net)
    W, vis_bias = (
        np.concatenate([got[a], got[b]]) for a, b in (("pentop", "labtop"), ("pengenbiases", "labgenbiases"))
    )
    return exact.Statistics(W, vis_bias, got["topbiases"])


def memory_machine():
    return exact.top_machine(memory_net()[1]), np.hstack([BITS[:, :PEN], LABELS])


def gap(got, want):
    return max(np.abs(a - b).max() for a, b in zip(got, want, strict=True))


NOISE = 5 / np.sqrt(2 * N)  # five deviations of a mean difference of two binary numbers


@pytest.mark.parametrize("top_probs", READINGS)
@pytest.mark.parametrize("n_gibbs", [1, 2, 4])
def test_the_memory_learns_by_cd_n(n_gibbs, top_probs):
    machine, rows = memory_machine()
    want = {n: exact.expected_cd_gradient(machine, rows, n) for n in (1, 2, 4)}
    got = memory_update(n_gibbs, top_probs=top_probs)
    assert gap(got, want.pop(n_gibbs)) < NOISE
    assert min(gap(got, other) for other in want.values()) > 2 * NOISE  # a chain that does not advance is seen


class TopProbabilities(UpDown):
    """Takes waketopprobs where waketopstates are meant."""

    def bottom_up_pass(self, data, rng):
        super().bottom_up_pass(data, rng)
        backend.current().logistic(np.matmul(self.wakepenlab, self.net.top.W, out=self.waketop),
                                   self.net.top.hid_bias)  # fmt: skip
        self.topstates[...] = self.waketop


class TopOfAnotherCase(UpDown):
    """What MATLAB does with the print: postopprobs is assigned, and waketopprobs is still that of the case before."""

    def bottom_up_pass(self, data, rng):
        super().bottom_up_pass(data, rng)
        self.topstates[...] = np.roll(self.topstates, 1, axis=0)
        self.waketop[...] = self.topstates


@pytest.mark.parametrize("misreading", [TopProbabilities, TopOfAnotherCase])
def test_other_readings_of_the_wake_top_states_fail(misreading):
    """postopprobs, postopstates, waketopprobs, waketopstates: one pair of names, or CD-1 has another mean."""
    machine, rows = memory_machine()
    want = exact.expected_cd_gradient(machine, rows, 1)
    assert gap(memory_update(1, top_probs=False, learner=misreading), want) > 2 * NOISE
    assert gap(memory_update(1, top_probs=False), want) < NOISE


def test_probabilities_of_the_top_units_take_noise_from_an_update_of_the_memory():
    """A draw adds p (1 - p) to the variance of a statistic: at least half of what the wake states added is gone."""
    net, _ = memory_net()
    data, targets = (np.tile(a, (N // 4, 1)) for a in (BITS, LABELS))
    learner, spread = {}, {}
    for top_probs in READINGS:
        learner[top_probs] = UpDown(net, N, top_probs=top_probs)
        learner[top_probs].step(data, targets, backend.Random(0), 2, 0.0)
        spread[top_probs] = np.var(learner[top_probs].waketop + learner[top_probs].negtop, axis=0)  # negtop is negated
    p = learner[True].waketop
    assert (spread[False] - spread[True] > 0.5 * (p * (1 - p)).mean(axis=0)).all()


def test_one_label_on_tends_to_maximum_likelihood_and_label_probabilities_do_not():
    """The tension of section 6.1 with the pseudo-code: equation 5 is reached in the limit only by states."""
    machine, rows = memory_machine()
    want = exact.ml_gradient(machine, rows)
    assert gap(memory_update(15), want) < NOISE
    assert gap(memory_update(15, sample_labels=False), want) > 2 * NOISE


@pytest.mark.parametrize("sample_labels", [False, True])
def test_labels_of_a_reconstruction(sample_labels):
    net, _ = memory_net()
    learner = UpDown(net, N, sample_labels)
    data, targets = (np.tile(a, (N // 4, 1)) for a in (BITS, LABELS))
    learner.step(data, targets, backend.Random(0), 1, 0.0)
    np.testing.assert_allclose(learner.neglabprobs.sum(axis=1), 1, atol=1e-6)
    assert np.isin(learner.neglabprobs, (0, 1)).all() == sample_labels
    np.testing.assert_array_equal(learner.targets, targets)


# ---- Public bugs


def test_recognition_weights_are_the_net_s_and_stay_so():
    """A public bug: recognition weights local to training, and lost when it ends."""
    net, _ = nets(0)
    held, before = net.arrays(), {name: a.copy() for name, a in net.arrays().items()}
    data, targets = batch()
    seen = dbn.up_pass(net, data).copy()
    UpDown(net, CASES).step(data, targets, backend.Random(0), 1, 0.5)
    for name, a in net.arrays().items():
        assert np.shares_memory(a, held[name]), name
        assert (a != before[name]).any(), name
    assert np.abs(dbn.up_pass(net, data) - seen).max() > 0.01


def test_learning_unties_recognition_from_generation():
    net, _ = nets(0)
    net.hidvis[...], net.penhid[...] = net.vishid.T, net.hidpen.T
    data, targets = batch()
    UpDown(net, CASES).step(data, targets, backend.Random(0), 1, 0.5)
    assert np.abs(net.hidvis - net.vishid.T).max() > 0.01
    assert np.abs(net.penhid - net.hidpen.T).max() > 0.01


def test_the_down_pass_regenerates_the_lower_layers():
    """A public bug: a down-pass that keeps the wake states of the lower layers, which recognition fits already."""
    net, before = nets(0, hidrecbiases=-100, hidgenbiases=100)  # awake all off, asleep all on
    data, targets = batch()
    learner = UpDown(net, CASES)
    learner.step(data, targets, backend.Random(0), 1, 0.5)
    assert not learner.wakehidstates.any()
    assert learner.sleephidstates.all()
    np.testing.assert_allclose(learner.sleepvisprobs, np.tile(literal.logistic(
        before["hidvis"].sum(axis=0) + before["visgenbiases"]), (CASES, 1)), atol=1e-6)  # fmt: skip
    np.testing.assert_allclose(changes(before, net)["hidrecbiases"], 0.5, atol=1e-5)


# ---- Types, beginnings, ends


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_stays_float32(dtype):
    net, _ = nets(0)
    learner = UpDown(net, CASES)
    data, targets = (a.astype(dtype) for a in batch())
    learner.step(data, targets, backend.Random(0), 1, 0.5, 0.5, 1e-3)
    held = [a for a in vars(learner).values() if isinstance(a, np.ndarray)]
    assert len(held) > 15
    assert {a.dtype for a in [*held, *net.arrays().values(), *learner.velocity.values()]} == {np.dtype(np.float32)}


def test_a_step_leaves_its_data_alone_and_depends_on_nothing_but_its_numbers():
    data, targets = batch()
    kept = data.copy(), targets.copy()
    (one, _), (two, _) = nets(4), nets(4)
    fresh, used = UpDown(one, CASES), UpDown(two, CASES)
    used.step(*batch(seed=9), backend.Random(5), 4, 0.0)  # rate 0: fills the buffers, changes nothing else
    for learner in (fresh, used):
        learner.step(data, targets, backend.Random(2), 2, 0.1)
    np.testing.assert_array_equal(data, kept[0])
    np.testing.assert_array_equal(targets, kept[1])
    for name, a in one.arrays().items():
        np.testing.assert_array_equal(a, two.arrays()[name], err_msg=name)


@pytest.mark.parametrize("n_gibbs", [0, -1])
def test_zero_gibbs_iterations_are_refused(n_gibbs):
    """They would learn from whatever the buffers held."""
    net, before = nets(0)
    with pytest.raises(InputError, match=f"n_gibbs is {n_gibbs}; give a whole number of at least 1"):
        UpDown(net, CASES).step(*batch(), backend.Random(0), n_gibbs, 0.1)
    assert furthest(changes(before, net), {name: np.zeros(size) for name, size in SIZES.items()}) == 0


def test_learning_raises_the_joint_likelihood():
    """End to end: greedy learning, then up-down; log p(image, label) of the whole net by enumeration."""
    images = np.float32([[1, 1, 0, 0, 1], [0, 0, 1, 1, 0]])
    data, targets = np.tile(images, (10, 1)), np.tile(np.eye(2, dtype=np.float32), (10, 1))
    stack, rng, inputs, sizes = [], backend.Random(0, "learn"), data, (VIS, HID, PEN, TOP)
    for n_below, n_above in itertools.pairwise(sizes):
        n_labels = LAB if n_above == TOP else 0
        stack.append(rbm.random_rbm(n_below + n_labels, n_above, 0, n_labels, f"{n_above}"))
        inputs = np.hstack([inputs, targets]) if n_labels else inputs
        learner = rbm.ContrastiveDivergence(stack[-1], 20)
        for _ in range(300):
            learner.step(inputs, rng, 0.1, 0.5)
        inputs = rbm.mean_h_from_v(stack[-1], inputs)
    net = dbn.stack(*stack)

    def likelihood():
        arrays = {name: np.float64(a) for name, a in net.arrays().items()}
        return np.diag(exact.log_prob_image_label(arrays, images)).mean()

    greedy, learner = likelihood(), UpDown(net, 20)
    for _ in range(1500):
        learner.step(data, targets, rng, 3, 0.1, 0.5)
    assert greedy > -4  # chance is 6 log(1/2) = -4.2
    assert likelihood() > max(-1.2, greedy + 0.1)  # log(1/2) = -0.7 is the best there is
    assert (dbn.predict(net, images) == [0, 1]).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("targets", (10, 1)), ("targets", (1, LAB)), ("targets", (10,)), ("data", (1, VIS)), ("data", (VIS,))],
)
def test_arrays_of_another_shape_are_refused_instead_of_broadcast(name, shape):
    batch = {"data": np.zeros((10, VIS), np.float32), "targets": np.zeros((10, LAB), np.float32)}
    batch[name] = np.zeros(shape, np.float32)
    with pytest.raises(InputError, match=rf"{name} have the shape .*; give \(10, \d+\), one row for each case"):
        UpDown(nets()[0], 10).step(**batch, rng=backend.current().random(0), n_gibbs=1, learning_rate=0.1)


@pytest.mark.parametrize("settings", [(-0.1, 0.0, 0.0), (0.1, 1.0, 0.0), (0.1, 0.0, -1.0)])
def test_settings_out_of_range_are_refused(settings):
    batch = np.zeros((10, VIS), np.float32), np.zeros((10, LAB), np.float32)
    with pytest.raises(InputError, match="no step can be taken at rate"):
        UpDown(nets()[0], 10).step(*batch, backend.current().random(0), 1, *settings)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_an_empty_mini_batch_is_refused(batch_size):
    with pytest.raises(InputError, match=f"batch_size is {batch_size}; give a whole number of at least 1"):
        UpDown(nets()[0], batch_size)
