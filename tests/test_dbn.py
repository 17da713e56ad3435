"""The deep belief net against explicit loops and sums over every state of a tiny one."""

import math

import literal
import numpy as np
import pytest
from tiny import HID, LAB, PEN, SIZES, TOP, VIS, Known, machines, means_agree, misfit, nets

from dbn_lite import backend, dbn, exact, rbm
from dbn_lite.errors import InputError

GREY = np.float32([[0.1, 0.8, 0.5, 0.0, 1.0], [0.9, 0.2, 0.4, 1.0, 0.3], [0.0, 0.6, 1.0, 0.7, 0.2]])


# Recognition that copies the first pixels of binary images to the penultimate layer, and so is no matter of chance.
SATURATED = {
    "vishid": 400 * np.eye(VIS, HID), "hidrecbiases": -200, "hidpen": 400 * np.eye(HID, PEN), "penrecbiases": -200
}  # fmt: skip


def stream(seed=0):
    return backend.Random(seed, "test")


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def layer(below, weights, biases):
    """One layer's probabilities for one case, unit by unit."""
    n = range(len(below))
    return [sigmoid(sum(below[i] * weights[i][j] for i in n) + biases[j]) for j in range(len(biases))]


def recognition(arrays):
    return [arrays["vishid"], arrays["hidpen"]], [arrays["hidrecbiases"], arrays["penrecbiases"]]


def pen_posterior(arrays, image):
    """Q(pen | image) of a sampled up-pass, (2**PEN,), by summing out the hidden layer."""
    return exact.up_pass_posterior(np.float64(image), *recognition(arrays)).sum(axis=0)


# ---- Passes


def test_deterministic_up_pass_against_a_loop():
    net, arrays = nets()
    for image, pen in zip(GREY, dbn.up_pass(net, GREY), strict=True):
        hid = layer(image.tolist(), arrays["vishid"], arrays["hidrecbiases"])
        np.testing.assert_allclose(pen, layer(hid, arrays["hidpen"], arrays["penrecbiases"]), atol=1e-6)


def test_stochastic_up_pass_has_the_exact_distribution():
    """Every hidden state is sampled: probabilities in the middle would leave another distribution of pen."""
    net, arrays = nets(1, 3)
    for image in GREY:
        pen = dbn.up_pass(net, np.tile(image, (40_000, 1)), stream())
        places = exact.state_index(pen, PEN)
        assert misfit(places, pen_posterior(arrays, image)) < 1
        assert misfit(places, exact.factorial(dbn.up_pass(net, image[None])[0])) > 2  # the test can tell


def test_up_pass_is_recognition_s_and_down_pass_generation_s():
    """Untied weights: neither pass may use the other's transposed."""
    (net, _), (other, _) = nets(0), nets(1)
    up, down = dbn.up_pass(net, GREY), dbn.down_pass(net, np.ones((3, PEN), "f4"), stream())
    for name in ("hidvis", "penhid", "visgenbiases", "hidgenbiases"):
        getattr(net, name)[...] = getattr(other, name)
    np.testing.assert_array_equal(dbn.up_pass(net, GREY), up)
    assert np.abs(dbn.down_pass(net, np.ones((3, PEN), "f4"), stream()) - down).max() > 0.01
    down = dbn.down_pass(net, np.ones((3, PEN), "f4"), stream())
    for name in ("vishid", "hidpen", "hidrecbiases", "penrecbiases"):
        getattr(net, name)[...] = getattr(other, name)
    np.testing.assert_array_equal(dbn.down_pass(net, np.ones((3, PEN), "f4"), stream()), down)


def test_down_pass_against_a_loop():
    """Each image is what one hidden state shows, and hidden states come as often as they should."""
    net, arrays = nets(2)
    pen = [1, 0, 1]
    images = dbn.down_pass(net, np.tile(np.float32(pen), (40_000, 1)), stream())
    shown = np.array([layer(h, arrays["hidvis"], arrays["visgenbiases"]) for h in exact.binary_states(HID)])
    gaps = np.abs(images[:, None] - shown).max(axis=2)
    assert gaps.min(axis=1).max() < 1e-5
    hid = exact.factorial(layer(pen, arrays["penhid"], arrays["hidgenbiases"]))
    assert misfit(gaps.argmin(axis=1), hid) < 1


# ---- Labels: free energies and the read-outs of section 6.2


def every_pen_and_grey_ones():
    return np.float32(np.vstack([exact.binary_states(PEN), np.random.default_rng(0).random((5, PEN))]))


@pytest.mark.parametrize("scale", [0.1, 1, 20])
def test_label_free_energies_are_exact(scale):
    net, arrays = nets(3, scale)
    machine, pen = exact.top_machine(arrays), every_pen_and_grey_ones()
    want = [exact.free_energy(machine, np.hstack([pen, np.tile(label, (len(pen), 1))])) for label in np.eye(LAB)]
    np.testing.assert_allclose(dbn.label_free_energies(net, pen), np.transpose(want), atol=1e-4, rtol=1e-6)


def test_label_free_energies_give_the_exact_posterior():
    net, arrays = nets(3, 2)
    pen = every_pen_and_grey_ones()
    scores = np.exp(-np.float64(dbn.label_free_energies(net, pen)))
    want = exact.label_posterior(exact.top_machine(arrays), pen)
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), want, atol=1e-5)


def test_label_free_energies_are_those_of_the_top_rbm():
    net, _ = nets(4)
    pen = every_pen_and_grey_ones()
    for label, energies in enumerate(dbn.label_free_energies(net, pen).T):
        rows = np.hstack([pen, np.tile(np.eye(LAB, dtype="f4")[label], (len(pen), 1))])
        np.testing.assert_allclose(energies, rbm.free_energy(net.top, rows), atol=1e-5)


def test_two_thousand_top_units_do_not_overflow():
    """A public bug: prod(1 + exp(x)) over 2,000 units is infinite for every label, and the first one wins."""
    rng = np.random.default_rng(0)
    sizes = SIZES | {"pentop": (PEN, 2000), "labtop": (LAB, 2000), "topbiases": (2000,)}
    net = dbn.from_arrays({name: rng.normal(size=size) for name, size in sizes.items()})
    net.top.hid_bias += 2
    pen = np.float32(rng.random((4, PEN)))
    x = (np.float64(pen) @ np.float64(net.top.W[:PEN]) + net.top.hid_bias)[:, None] + np.float64(net.top.W[PEN:])
    with np.errstate(over="ignore"):
        assert np.isinf(np.prod(1 + np.exp(x), axis=2)).all()  # in float64 even
    want = -np.logaddexp(0, x).sum(axis=2) - net.top.vis_bias[PEN:] - (pen @ net.top.vis_bias[:PEN])[:, None]
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(dbn.label_free_energies(net, pen), want, rtol=1e-5)
        log_p = dbn.label_log_probs(net, GREY)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, atol=1e-5)


def test_label_log_probs_against_loops_and_enumeration():
    net, arrays = nets(5, 2)
    pen = [layer(layer(v, arrays["vishid"], arrays["hidrecbiases"]), arrays["hidpen"], arrays["penrecbiases"])
           for v in GREY.tolist()]  # fmt: skip
    want = np.log(exact.label_posterior(exact.top_machine(arrays), pen))
    got = dbn.label_log_probs(net, GREY)
    np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_array_equal(dbn.predict(net, GREY), want.argmax(axis=1))


def test_more_images_than_a_block_keep_their_order():
    net, _ = nets(7, 2, **SATURATED)  # sampled passes give what the deterministic one gives
    images = np.float32(np.random.default_rng(0).random((1234, VIS)) > 0.5)
    whole = dbn.label_log_probs(net, images)
    assert whole.shape == (1234, LAB)
    for i in (0, 499, 500, 501, 1000, 1233):
        np.testing.assert_allclose(whole[i : i + 1], dbn.label_log_probs(net, images[i : i + 1]), atol=1e-5)
    labels = dbn.predict(net, images)
    np.testing.assert_array_equal(labels, whole.argmax(axis=1))
    assert 0.1 < labels.mean() < 0.9
    for method in ("stochastic", "average-p", "average-log-p"):
        assert (dbn.predict(net, images, method, n_passes=3) == labels).mean() > 0.99, method


def test_grey_images_are_read_as_grey():
    """A public bug: training on one kind of pixels and testing on another."""
    net, _ = nets(5, 2)
    assert np.abs(dbn.label_log_probs(net, np.round(GREY)) - dbn.label_log_probs(net, GREY)).max() > 0.01


def label_posteriors(arrays):
    return exact.label_posterior(exact.top_machine(arrays), exact.binary_states(PEN))


def share_of_label_1(net, image, method, n=4000, **how):
    return dbn.predict(net, np.tile(image, (n, 1)), method, rng=3, **how).mean(dtype=np.float64)


def near(share, p, n=4000):
    return abs(share - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-4


def test_stochastic_read_out_has_the_exact_distribution():
    net, arrays = nets(2, 2)
    for image in GREY:
        p = pen_posterior(arrays, image) @ (label_posteriors(arrays).argmax(axis=1) == 1)
        assert near(share_of_label_1(net, image, "stochastic"), p)
        assert 0.1 < p < 0.9


def test_averages_of_p_and_of_log_p_are_told_apart_as_enumeration_tells_them():
    """A net and an image that the two averages, by enumeration, give to different labels."""
    (net, arrays), image = nets(152, 3), GREY[2]
    q, p = pen_posterior(arrays, image), label_posteriors(arrays)
    assert (q @ p).argmax() == 1
    assert (q @ np.log(p)).argmax() == 0
    assert (dbn.predict(net, image[None], "average-p", n_passes=4000) == [1]).all()
    assert (dbn.predict(net, image[None], "average-log-p", n_passes=4000) == [0]).all()


@pytest.mark.parametrize("method", ["average-p", "average-log-p"])
def test_twenty_passes_are_averaged_case_by_case(method):
    net, _ = nets(7, 3)
    images = np.float32(np.random.default_rng(0).random((300, VIS)))
    rng, total = stream(5), np.zeros((300, LAB))
    for _ in range(20):
        energies = np.float64(dbn.label_free_energies(net, dbn.up_pass(net, images, rng)))
        p = np.exp(-energies) / np.exp(-energies).sum(axis=1, keepdims=True)
        total += p if method == "average-p" else np.log(p)
    clear = np.abs(total[:, 0] - total[:, 1]) > 1e-3
    assert clear.sum() > 290
    got = dbn.predict(net, images, method, rng=stream(5))
    np.testing.assert_array_equal(got[clear], total.argmax(axis=1)[clear])
    once = dbn.predict(net, images, "stochastic", rng=stream(5))
    assert (got != once).any()


@pytest.mark.parametrize("n_gibbs", [1, 2, 5])
def test_gibbs_read_out_has_the_exact_distribution(n_gibbs):
    """Labels begin at 0.1; then top states and labels in turn; the last labels are read as probabilities."""
    net, arrays = nets(2, 2, **SATURATED)
    machine, image = exact.top_machine(arrays), np.float32([1, 0, 1, 0, 0])
    pen, top = image[:PEN], exact.binary_states(TOP)
    scores = top @ arrays["labtop"].T + arrays["labgenbiases"]
    p_label = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)  # of each top state

    def p_top(labels):
        return exact.prob_h_given_v(machine, np.hstack([np.tile(pen, (len(labels), 1)), labels]))

    chain = p_label @ p_top(np.eye(LAB))  # from top state to top state
    at = p_top(np.full((1, LAB), 0.1))[0]
    shares = []
    for _ in range(5):
        shares.append(at @ (p_label[:, 1] > 0.5))
        at = at @ chain
    got = share_of_label_1(net, image, "gibbs", n=20_000, n_gibbs=n_gibbs)
    assert near(got, shares[n_gibbs - 1], 20_000)
    if n_gibbs != 2:
        assert not near(got, shares[1], 20_000)  # the number of iterations is seen
    started_at_one = p_top(np.full((1, LAB), 1 / LAB))[0] @ (p_label[:, 1] > 0.5)
    assert n_gibbs > 1 or not near(got, started_at_one, 20_000)  # and so is where they start


@pytest.mark.parametrize("n_gibbs", [1, 3])
def test_gibbs_read_out_against_a_loop(n_gibbs):
    """The same random numbers, case by case: labels start at exactly 0.1 and are sampled between iterations."""
    net, arrays = nets(2, 2, **SATURATED)
    image, known = np.float32([1, 0, 1, 0, 0]), Known()
    got = dbn._gibbs_labels(net, np.tile(image, (500, 1)), n_gibbs, known)

    def by_hand(case, shift):
        row, labels = [u[case] + shift for u in known.uniforms[2:]], np.full((1, LAB), 0.1)  # after an up-pass
        for iteration in range(n_gibbs):
            x = image[None, :PEN] @ arrays["pentop"] + labels @ arrays["labtop"] + arrays["topbiases"]
            probs = literal.softmax((literal.logistic(x) > row.pop(0)) @ arrays["labtop"].T + arrays["labgenbiases"])
            labels = literal.one_on(probs, row.pop(0)[None]) if iteration < n_gibbs - 1 else probs
        assert not row
        return labels[0]

    sure = [case for case in range(500) if np.array_equal(by_hand(case, -1e-4), by_hand(case, 1e-4))]
    assert len(sure) > 480
    np.testing.assert_allclose(got[sure], [by_hand(case, 0) for case in sure], atol=1e-5)


@pytest.mark.parametrize("n_gibbs", [1, 2])
def test_labels_fed_back_as_probabilities_have_the_exact_mean(n_gibbs):
    """From states of the top units, summed over all of them; from their probabilities, case by case."""
    net, arrays = nets(2, 2, **SATURATED)
    machine, image = exact.top_machine(arrays), np.float32([1, 0, 1, 0, 0])
    pen, top = image[:PEN], exact.binary_states(TOP)

    def p_label(states):
        scores = states @ arrays["labtop"].T + arrays["labgenbiases"]
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    def p_top(labels):  # of each state of the top units, and of each unit
        p = exact.prob_h_given_v(machine, np.hstack([np.tile(pen, (len(labels), 1)), labels]))
        return p, p @ top

    start, (means, smooth), at, labels = np.full((1, LAB), 0.1), ([], []), None, np.full((1, LAB), 0.1)
    for _ in range(n_gibbs):
        at = p_top(start)[0] if at is None else at @ p_top(p_label(top))[0]
        means.append(at @ p_label(top))
        labels = p_label(p_top(labels)[1])
        smooth.append(labels)
    copies = np.tile(image, (20_000, 1))
    drawn = dbn.settled_label_probs(net, copies, stream(), top_states=True, n_gibbs=n_gibbs)
    assert means_agree(drawn, np.mean(means, axis=0)[0])
    assert not means_agree(drawn, np.mean(smooth, axis=0)[0])
    for rng in (3, None):  # the up-pass of this net leaves nothing to chance
        got = dbn.settled_label_probs(net, copies[:2], rng, top_states=False, n_gibbs=n_gibbs)
        np.testing.assert_allclose(got, np.tile(np.mean(smooth, axis=0), (2, 1)), atol=1e-5)
    with pytest.raises(InputError, match="n_gibbs"):
        dbn.settled_label_probs(net, copies[:2], None, top_states=False, n_gibbs=0)


def test_gibbs_read_out_ends_at_the_exact_posterior():
    net, arrays = nets(8)
    image = GREY[0]
    probs = dbn._gibbs_labels(net, np.tile(image, (20_000, 1)), 15, stream())
    assert means_agree(probs, pen_posterior(arrays, image) @ label_posteriors(arrays))
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("method", dbn.METHODS)
def test_predictions_are_labels_by_the_seed(method):
    net, _ = nets(2, 2)  # whose sampled passes disagree
    labels = dbn.predict(net, GREY, method)
    assert labels.dtype == np.uint8
    assert labels.shape == (3,)
    seeds = (4, np.int64(4), 5)
    again = [dbn.predict(net, np.tile(GREY, (400, 1)), method, rng=seed, n_passes=1) for seed in seeds]
    np.testing.assert_array_equal(again[0], again[1])
    assert np.array_equal(again[0], again[2]) == (method == "deterministic")


# ---- Generation


def chains(net, n, steps, clamped, label=0):
    penlab = np.zeros((n, PEN + LAB), "f4")
    penlab[:, PEN + label] = 1
    rng = stream()
    for _ in range(steps):
        top = dbn.memory_step(net, penlab, rng, clamped)
    return penlab, top


def test_memory_step_has_the_exact_equilibrium():
    net, arrays = nets(10)
    machine = exact.top_machine(arrays)
    penlab, top = chains(net, 20_000, 25, clamped=False)
    assert misfit(exact.state_index(penlab, PEN + LAB, LAB), np.exp(exact.log_prob(machine))) < 1
    pairs = exact.state_index(penlab, PEN + LAB, LAB) * 2**TOP + exact.state_index(top, TOP)
    assert misfit(pairs, np.exp(exact.log_joint(machine)).ravel()) < 1  # the top states that made these
    penlab, _ = chains(net, 20_000, 1, clamped=False)
    assert misfit(exact.state_index(penlab, PEN + LAB, LAB), np.exp(exact.log_prob(machine))) > 2


@pytest.mark.parametrize("label", range(LAB))
def test_clamped_memory_has_the_exact_conditional(label):
    net, arrays = nets(10)
    penlab, _ = chains(net, 20_000, 25, clamped=True, label=label)
    np.testing.assert_array_equal(penlab[:, PEN:], np.tile(np.eye(LAB)[label], (20_000, 1)))
    log_p = exact.log_prob_pen_label(arrays)
    wanted = [np.exp(log_p[:, i] - exact.log_sum(log_p[:, i])) for i in range(LAB)]
    places = exact.state_index(penlab[:, :PEN], PEN)
    assert misfit(places, wanted[label]) < 1
    assert misfit(places, wanted[1 - label]) > 2


def moments(arrays, label):
    """Mean of every pixel and of every product of two, under the deep belief net, by enumeration."""
    p = np.exp(exact.net_log_prob(exact.generative_net(arrays, label)))
    v = exact.binary_states(VIS)
    above = np.triu_indices(VIS, 1)
    return p @ v, (v.T @ (p[:, None] * v))[above]


@pytest.mark.parametrize("label", [0, 1, None])
def test_generated_images_have_the_exact_class_conditional_moments(label):
    legible = {"hidvis": 5 * np.eye(HID, VIS), "visgenbiases": -2.5, "penhid": 5 * np.eye(PEN, HID),
               "hidgenbiases": -2.5, "labgenbiases": 0}  # fmt: skip
    net, arrays = nets(71, 2, **legible)  # images of the two labels differ much
    images = dbn.generate(net, label, 20_000, steps=30)
    above = np.triu_indices(VIS, 1)
    products = np.stack([images[:, i] * images[:, j] for i, j in zip(*above, strict=True)], axis=1)

    def agree(other):
        ones, pairs = moments(arrays, other)
        return means_agree(images, ones) and means_agree(products, pairs)

    assert [agree(other) for other in (0, 1, None)] == [other == label for other in (0, 1, None)]


def test_evolution_starts_at_the_up_pass_of_noise_and_arrives():
    net, arrays = nets(11)
    columns = dbn.evolve(net, 1, 20_000, every=4, columns=5)
    assert columns.shape == (5, 20_000, VIS)
    states = exact.binary_states(VIS)
    noise = np.mean([pen_posterior(arrays, v) for v in states], axis=0)  # of pen, after fair coin flips
    start = exact.BeliefNet([arrays["hidvis"], arrays["penhid"]],
                            [arrays["visgenbiases"], arrays["hidgenbiases"], np.zeros(PEN)], np.log(noise))  # fmt: skip
    first, last = np.exp(exact.net_log_prob(start)) @ states, moments(arrays, 1)[0]
    assert means_agree(columns[0], first)
    assert means_agree(columns[-1], last)
    assert not means_agree(columns[0], last)
    assert all((columns[i] != columns[i + 1]).any() for i in range(4))  # a chain that stands still shows one image


@pytest.mark.parametrize(("every", "columns"), [(6, 2), (3, 3), (1, 7)])
def test_evolution_takes_as_many_steps_as_it_says(every, columns, monkeypatch):
    net, _ = nets(11)
    taken, step = [], dbn.memory_step
    monkeypatch.setattr(dbn, "memory_step", lambda *a, **how: taken.append(how["clamped"]) or step(*a, **how))
    assert len(dbn.evolve(net, 0, 2, every, columns)) == columns
    assert taken == [True] * 6
    taken.clear()
    assert dbn.generate(net, None, 2, steps=6).shape == (2, VIS)
    assert taken == [False] * 6


def test_start_from_noise():
    net, arrays = nets(12, 2)
    for label, lab in ((1, [0, 1]), (None, [0.5, 0.5])):
        penlab = dbn.start_from_noise(net, label, 40_000, stream())
        np.testing.assert_array_equal(penlab[:, PEN:], np.tile(lab, (40_000, 1)))
        want = np.mean([pen_posterior(arrays, v) for v in exact.binary_states(VIS)], axis=0)
        assert misfit(exact.state_index(penlab[:, :PEN], PEN), want) < 1
        one_image = pen_posterior(arrays, np.full(VIS, 0.5))
        assert misfit(exact.state_index(penlab[:, :PEN], PEN), one_image) > 1.5  # noise, not grey


def test_each_chain_keeps_a_label_of_its_own():
    net, arrays = nets(71, 2, labgenbiases=0)
    images = dbn.evolve(net, [0, 1] * 10_000, 20_000, every=30, columns=2)[-1]
    for label in (0, 1):
        agree = [means_agree(images[label::2], moments(arrays, other)[0]) for other in (0, 1)]
        assert agree == [label == 0, label == 1]


def test_figures_8_and_9_are_one_chain_for_each_class():
    down = {"labtop": (LAB, TOP), "pentop": (PEN, TOP), "penhid": (PEN, HID), "hidvis": (HID, VIS)}
    biases = ("topbiases", "pengenbiases", "hidgenbiases", "visgenbiases")
    net, _ = nets(5, **{name: 60 * np.eye(*size) for name, size in down.items()} | dict.fromkeys(biases, -30))
    on = np.eye(LAB, VIS)  # label 0 lights the first pixel, label 1 the second
    samples = dbn.samples_by_class(net, n=3, every=2)
    np.testing.assert_allclose(samples, np.repeat(on[:, None], 3, axis=1), atol=1e-6)
    columns = dbn.evolution_by_class(net, every=2, columns=4)
    np.testing.assert_allclose(columns[:, 1:], samples, atol=1e-6)
    net, _ = nets(5)
    samples, columns = dbn.samples_by_class(net, 3, 2, rng=8), dbn.evolution_by_class(net, 2, 4, rng=8)
    assert (columns[:, 1:] == samples).all()  # the same chains; figure 9 shows the start as well
    assert len(np.unique(columns.reshape(-1, VIS), axis=0)) > LAB
    assert dbn.samples_by_class(net).shape == dbn.evolution_by_class(net).shape == (LAB, 10, VIS)


def test_labels_that_are_not_one_for_each_chain_are_refused():
    net, _ = nets(0)
    with pytest.raises(InputError, match=r"2 labels do not fit 3 chains"):
        dbn.evolve(net, [0, 1], 3)
    with pytest.raises(InputError, match=r"label 7 is out of range"):
        dbn.evolve(net, [0, 7], 2)


def test_generation_by_seed():
    net, _ = nets(11)
    images = dbn.generate(net, 1, 20, 3, rng=5)
    np.testing.assert_array_equal(images, dbn.generate(net, 1, 20, 3, rng=5))
    assert (images != dbn.generate(net, 1, 20, 3, rng=6)).any()
    np.testing.assert_array_equal(images, dbn.generate(net, np.uint8(1), 20, 3, rng=np.int64(5)))
    rng = stream()
    assert (dbn.generate(net, 1, 20, 3, rng) != dbn.generate(net, 1, 20, 3, rng)).any()  # one stream goes on


# ---- Parts


def test_arrays_are_the_net_itself_under_the_names_of_appendix_b():
    net, arrays = nets(0)
    assert net.sizes == (VIS, HID, PEN, TOP, LAB)
    assert (net.n_pen, net.n_labels) == (PEN, LAB)
    assert {name: a.shape for name, a in net.arrays().items()} == SIZES
    for name, a in net.arrays().items():
        np.testing.assert_array_equal(a, arrays[name])
        a += 1
    for name, a in net.arrays().items():
        np.testing.assert_allclose(a, arrays[name] + 1, atol=1e-6)


def test_from_arrays_copies_and_takes_small_floats():
    source = {name: np.random.default_rng(0).normal(size=size).astype("f2") for name, size in SIZES.items()}
    kept = {name: a.copy() for name, a in source.items()}
    net = dbn.from_arrays(source)
    for name, a in net.arrays().items():
        assert a.dtype == np.float32
        a += 1
        np.testing.assert_array_equal(source[name], kept[name])
    own = {name: np.zeros(size, "f4") for name, size in SIZES.items()}
    for a in dbn.from_arrays(own).arrays().values():
        a += 1
    assert not any(a.any() for a in own.values())


def test_a_stack_starts_tied_and_shares_nothing_with_its_layers():
    first, second = (machines(*size, seed=seed)[0] for seed, size in enumerate([(VIS, HID), (HID, PEN)]))
    top = machines(PEN + LAB, TOP, LAB, seed=2)[0]
    net = dbn.stack(first, second, top)
    np.testing.assert_array_equal(net.hidvis, net.vishid.T)
    np.testing.assert_array_equal(net.penhid, net.hidpen.T)
    want = rbm.mean_h_from_v(second, rbm.mean_h_from_v(first, GREY))
    np.testing.assert_array_equal(dbn.up_pass(net, GREY), want)
    h = np.float32(exact.binary_states(HID))
    np.testing.assert_allclose(h @ net.hidvis + net.visgenbiases, h @ first.W.T + first.vis_bias, atol=1e-6)
    np.testing.assert_array_equal(net.hidgenbiases, second.vis_bias)
    for a in net.arrays().values():
        a[...] = 0
    assert all(machine.W.any() and machine.vis_bias.any() for machine in (first, second, top))


# ---- Types and bad input


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_is_float32_whatever_comes_in(dtype):
    net, _ = nets(0)
    images, pen = GREY.astype(dtype), np.ones((2, PEN), dtype)
    results = [
        dbn.up_pass(net, images),
        dbn.up_pass(net, images, stream()),
        dbn.down_pass(net, pen, stream()),
        dbn.label_free_energies(net, pen),
        dbn.label_log_probs(net, images),
        dbn.start_from_noise(net, 0, 2, stream()),
        dbn.start_from_noise(net, None, 2, stream()),
        dbn.memory_step(net, np.ones((2, PEN + LAB), "f4"), stream()),
        dbn.generate(net, 0, 2, 2),
        dbn.evolve(net, None, 2, 2, 2),
        *net.arrays().values(),
    ]
    assert [a.dtype for a in results] == [np.float32] * len(results)
    np.testing.assert_array_equal(images, GREY.astype(dtype))  # and what comes in is left alone


@pytest.mark.parametrize("method", dbn.METHODS)
@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.full((2, VIS), np.nan), "NaN"),
        (np.full((2, VIS), 1.5), "scale them"),
        (np.zeros((2, VIS + 1)), f"have {VIS + 1} pixels; give images of {VIS} pixels"),
        (np.zeros(VIS), rf"which is one image; give it as \(1, {VIS}\)"),
        (np.zeros(()), "one row for each image"),
        (np.array([["a"] * VIS]), "give numbers"),
        (0.5, "one row for each image"),
    ],
)
def test_images_that_cannot_be_read_are_refused(method, images, sentence):
    net, _ = nets(0)
    with pytest.raises(InputError, match=sentence):
        dbn.predict(net, images, method)


def test_unknown_read_out_names_those_there_are():
    net, _ = nets(0)
    with pytest.raises(InputError, match="no read-out called 'magic'; choose one of deterministic, stochastic"):
        dbn.predict(net, GREY, "magic")


@pytest.mark.parametrize(("method", "how"), [
    ("average-p", {"n_passes": 0}), ("average-log-p", {"n_passes": -1}), ("gibbs", {"n_gibbs": 0})
])  # fmt: skip
def test_a_read_out_of_nothing_is_refused(method, how):
    """It would give every image the same label."""
    net, _ = nets(0)
    with pytest.raises(InputError, match="at least 1"):
        dbn.predict(net, GREY, method, **how)


@pytest.mark.parametrize("label", [-1, LAB, 10, 1.0, 0.5, True, "1"])
def test_a_label_out_of_range_is_refused(label):
    """True would be taken for a mask and set all labels."""
    net, _ = nets(0)
    for make in (dbn.generate, dbn.evolve):
        with pytest.raises(InputError, match=rf"label {label!r} is out of range; this net knows the labels 0 to 1"):
            make(net, label, 2)


@pytest.mark.parametrize(
    ("n", "steps", "which"), [(0, 5, "n"), (-1, 5, "n"), (2.0, 5, "n"), (3, 0, "steps"), (3, -2, "steps")]
)
def test_no_images_or_no_iterations_are_refused(n, steps, which):
    net, _ = nets(0)
    with pytest.raises(InputError, match=rf"^{which} is .*; give a whole number of at least 1"):
        dbn.generate(net, 0, n, steps)


@pytest.mark.parametrize("columns", [0, -3])
def test_a_chain_that_is_never_seen_is_refused(columns):
    net, _ = nets(0)
    with pytest.raises(InputError, match=f"columns is {columns}; give a whole number of at least 1"):
        dbn.evolve(net, 0, 2, 1, columns)
