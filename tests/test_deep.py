"""Nets of any depth against the paper's own code, plain loops, and sums over every state of tiny ones."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tiny import HID, LAB, PEN, TOP, VIS, Known, misfit, nets

import dbn_lite
from dbn_lite import backend, dbn, deep, exact, store
from dbn_lite.errors import InputError
from dbn_lite.rbm import RBM, ContrastiveDivergence, random_rbm
from dbn_lite.updown import UpDown

CASES = 6
DEPTHS = {0: (VIS,), 1: (VIS, 3), 2: (VIS, 4, 3), 3: (VIS, 4, 3, 2), 4: (VIS, 4, 3, 4, 3)}  # directed layers: units


def deep_net(n_layers, n_labels=LAB, seed=0, scale=1.0, n_top=TOP):
    """A net with untied random weights."""
    rng, units = np.random.default_rng(seed), DEPTHS[n_layers]

    def normal(*shape):
        return np.float32(scale * rng.normal(size=shape))

    layers = [deep.Layer(normal(a, b), normal(b), normal(b, a), normal(a)) for a, b in itertools.pairwise(units)]
    n_vis = units[-1] + n_labels
    return deep.DeepNet(layers, RBM(normal(n_vis, n_top), normal(n_vis), normal(n_top), n_labels))


def same_as(net):
    """A paper's net of its own with the same numbers, as a net of any depth."""
    own = dbn.from_arrays({name: np.array(a) for name, a in net.arrays().items()})
    return deep.DeepNet(own.layers, own.top)


def batch(n=CASES, n_labels=LAB, seed=1):
    rng = np.random.default_rng(seed)
    images = np.float32(rng.random((n, VIS)))
    if not n_labels:
        return images, np.zeros((n, 0), np.float32)
    return images, np.eye(n_labels, dtype=np.float32)[rng.integers(n_labels, size=n)]


def assert_same_bits(one, other):
    assert one.arrays().keys() == other.arrays().keys()
    for name, a in one.arrays().items():
        np.testing.assert_array_equal(a, other.arrays()[name], err_msg=name)


def logistic(x):
    return 1 / (1 + np.exp(-x))


# ---- Up-down


@pytest.mark.parametrize("top_probs", [False, True])
@pytest.mark.parametrize("sample_labels", [False, True])
def test_for_the_papers_layers_up_down_gives_the_bits_of_appendix_b(sample_labels, top_probs):
    paper, _ = nets(3)
    general, before = same_as(paper), {name: a.copy() for name, a in paper.arrays().items()}
    learners = UpDown(paper, CASES, sample_labels, top_probs), deep.UpDown(general, CASES, sample_labels, top_probs)
    for learner in learners:
        rng = backend.Random(5, "test")
        for t in range(8):
            learner.step(*batch(seed=t), rng, 1 + t % 3, 0.2, 0.5, 0.01)
    assert_same_bits(paper, general)
    assert all((a != before[name]).any() for name, a in general.arrays().items())


def test_up_down_takes_the_papers_net_as_it_is():
    (paper, _), (other, _) = nets(3), nets(3)
    UpDown(paper, CASES).step(*batch(), backend.Random(0), 2, 0.1)
    deep.UpDown(other, CASES).step(*batch(), backend.Random(0), 2, 0.1)
    assert_same_bits(paper, other)


@pytest.mark.parametrize("n_labels", [0, LAB])
def test_without_layers_up_down_is_contrastive_divergence(n_labels):
    net, other = deep_net(0, n_labels), deep_net(0, n_labels)
    learner, rival = deep.UpDown(net, CASES), ContrastiveDivergence(other.top, CASES, sample_visible=True)
    one, two = backend.Random(0, "test"), backend.Random(0, "test")
    for t in range(5):
        images, targets = batch(n_labels=n_labels, seed=t)
        learner.step(images, targets, one, 3, 0.1, 0.5)
        rival.step(np.hstack([images, targets]), two, 0.1, 0.5, n_gibbs=3)
    assert_same_bits(net, other)
    assert (net.top.W != deep_net(0, n_labels).top.W).all()


def plain_step(net, data, targets, uniforms, rate, n_gibbs, by=0.0):
    """Appendix B for any depth, float64, layer by layer: what is added to each array, in the order of `arrays`."""
    draws = iter(uniforms)
    layers = [[np.float64(a) for a in vars(layer).values()] for layer in net.layers]
    W, vis_bias, hid_bias = (np.float64(a) for a in (net.top.W, net.top.vis_bias, net.top.hid_bias))

    def states(x):
        return np.float64(next(draws) + by < logistic(x))

    def label(x):
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        return np.eye(x.shape[1])[(p.cumsum(axis=1) < next(draws) + by).sum(axis=1)]

    wake = [np.float64(data)]
    for up, up_bias, _, _ in layers:
        wake.append(states(wake[-1] @ up + up_bias))
    memory = np.hstack([wake[-1], targets])
    waketop, chain = logistic(memory @ W + hid_bias), memory
    h = states(memory @ W + hid_bias)
    for i in range(n_gibbs):
        x = h @ W.T + vis_bias
        chain = states(x[:, : net.n_pen])
        if net.n_labels:
            chain = np.hstack([chain, label(x[:, net.n_pen :])])
        negtop = logistic(chain @ W + hid_bias)
        h = states(chain @ W + hid_bias) if i < n_gibbs - 1 else None
    sleep = [chain[:, : net.n_pen]]
    for k in reversed(range(len(layers))):
        x = sleep[0] @ layers[k][2] + layers[k][3]
        sleep.insert(0, states(x) if k else logistic(x))
    added = []
    for k, (up, up_bias, down, down_bias) in enumerate(layers):
        up_miss = sleep[k + 1] - logistic(sleep[k] @ up + up_bias)
        down_miss = wake[k] - logistic(wake[k + 1] @ down + down_bias)
        added += [sleep[k].T @ up_miss, up_miss.sum(axis=0), wake[k + 1].T @ down_miss, down_miss.sum(axis=0)]
    gained = memory.T @ waketop - chain.T @ negtop
    biases = (memory - chain).sum(axis=0)
    added += [gained[: net.n_pen], gained[net.n_pen :], (waketop - negtop).sum(axis=0)]
    added += [biases[: net.n_pen], biases[net.n_pen :]]
    return [rate / len(data) * a for a in added]


@pytest.mark.parametrize("n_labels", [0, LAB])
@pytest.mark.parametrize("n_layers", [0, 1, 2, 4])
def test_a_step_at_any_depth_equals_a_plain_one(n_layers, n_labels):
    for seed in itertools.count():
        net, start, known = deep_net(n_layers, n_labels, seed), deep_net(n_layers, n_labels, seed), Known(seed)
        images, targets = batch(n_labels=n_labels)
        deep.UpDown(net, CASES).step(images, targets, known, 2, 0.5)
        want, *moved = (plain_step(start, images, targets, known.uniforms, 0.5, 2, by) for by in (0, -1e-4, 1e-4))
        if all(np.abs(a - b).max(initial=0) < 1e-3 for other in moved for a, b in zip(want, other, strict=True)):
            break  # no number so near its threshold that 16 bits may decide otherwise
    for (name, a), change in zip(net.arrays().items(), want, strict=True):
        np.testing.assert_allclose(a - start.arrays()[name], change, atol=2e-6, err_msg=name)
    assert sum(np.abs(a).max(initial=0) > 0.01 for a in want) >= 3 + 4 * n_layers


def test_a_step_refuses_what_does_not_fit():
    learner = deep.UpDown(deep_net(1), CASES)
    images, targets = batch()
    with pytest.raises(InputError, match=r"targets have the shape \(6, 0\); give \(6, 2\)"):
        learner.step(images, targets[:, :0], 0, 1, 0.1)
    with pytest.raises(InputError, match="n_gibbs is 0"):
        learner.step(images, targets, 0, 0, 0.1)


# ---- On the other backend


def test_captured_steps_give_the_bits_of_appendix_b(cupy_ops):
    (paper, _), ops = nets(3), cupy_ops
    own, _ = nets(3)
    general = deep.DeepNet(own.layers, own.top)
    for learner in (UpDown(paper, CASES), deep.UpDown(general, CASES)):
        step, rng = ops.record(learner.step), ops.random(5, "test")
        for t in range(5):
            step(*map(ops.asarray, batch(seed=t)), rng, 2, 0.2, 0.5, 0.01)
    for name, a in paper.arrays().items():
        np.testing.assert_array_equal(ops.to_numpy(a), ops.to_numpy(general.arrays()[name]), err_msg=name)


@pytest.mark.parametrize("labelled", [True, False])
def test_all_of_it_works_on_the_other_backend(cupy_ops, labelled, tmp_path):
    data = load_digits()
    images, labels = np.float32(data.data[:200] / 16), data.target[:200] if labelled else None
    rbms = deep.greedy(images, labels, (12, 10, 8, 16), epochs=2, batch_size=20)
    net = deep.stack(rbms)
    deep.up_down(net, images, labels, epochs=1, batch_size=20)
    deep.save(net, tmp_path / "net.npz")
    seen, dreams = deep.features(net, images), deep.generate(net, None, 3, 2)
    assert dreams.shape == (3, 64)
    backend.use("numpy")
    np.testing.assert_allclose(deep.features(deep.load(tmp_path / "net.npz"), images), seen, atol=1e-5)


# ---- Reading and dreaming, by enumeration


def machine_of(net):
    return exact.BoltzmannMachine(net.top.W, net.top.vis_bias, net.top.hid_bias, net.n_labels)


def up(net, images, n_layers=None):
    below = np.float64(images)
    for layer in net.layers[:n_layers]:
        below = logistic(below @ np.float64(layer.up) + np.float64(layer.up_bias))
    return below


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_layers", DEPTHS)
def test_a_net_reads_by_the_exact_distribution_of_its_labels(n_layers, seed):
    net, images = deep_net(n_layers, seed=seed), batch(20)[0]
    pen = up(net, images)
    of_label = [-exact.free_energy(machine_of(net), np.hstack([pen, np.tile(on, (20, 1))])) for on in np.eye(LAB)]
    want = np.transpose(of_label) - exact.log_sum(np.transpose(of_label), axis=1)[:, None]
    np.testing.assert_allclose(deep.label_log_probs(net, images), want, atol=1e-5)
    np.testing.assert_array_equal(deep.predict(net, images), want.argmax(axis=1))


@pytest.mark.parametrize("label", [None, 0, 1])
@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_dreams_have_the_exact_distribution(n_layers, label):
    net = deep_net(n_layers, seed=2, scale=0.7)
    log_p = exact.log_prob(machine_of(net)).reshape(-1, LAB)
    log_prior = exact.log_sum(log_p, axis=1) if label is None else log_p[:, label] - exact.log_sum(log_p[:, label])
    biases = [layer.down_bias for layer in net.layers] + [net.top.vis_bias[: net.n_pen]]
    want = np.exp(exact.net_log_prob(exact.BeliefNet([layer.down for layer in net.layers], biases, log_prior)))
    dreams = deep.generate(net, label, 20_000, 30, rng=1)
    seen = np.random.default_rng(0).random(dreams.shape) < dreams
    assert misfit(exact.state_index(seen, VIS), want) < 1
    assert misfit(exact.state_index(seen, VIS), np.exp(-np.log(2) * VIS) * np.ones(2**VIS)) > 2  # the test can tell


def test_a_net_without_labels_dreams_its_own_distribution():
    net = deep_net(1, 0, seed=2, scale=0.7)
    biases = [net.layers[0].down_bias, net.top.vis_bias]
    belief = exact.BeliefNet([net.layers[0].down], biases, exact.log_prob(machine_of(net)))
    dreams = deep.generate(net, None, 20_000, 30, rng=1)
    seen = np.random.default_rng(0).random(dreams.shape) < dreams
    assert misfit(exact.state_index(seen, VIS), np.exp(exact.net_log_prob(belief))) < 1


def test_a_net_without_labels_cannot_read_and_says_so():
    net, images = deep_net(2, 0), batch(3)[0]
    with pytest.raises(InputError, match="this net has no label units to read"):
        deep.predict(net, images)
    with pytest.raises(InputError, match="label 0 is out of range; this net has no labels: give None"):
        deep.generate(net, 0, 2, 1)
    assert deep.generate(net, None, 2, 1).shape == (2, VIS)


@pytest.mark.parametrize("method", dbn.METHODS)
def test_the_papers_net_reads_the_same_in_either_form(method):
    paper, _ = nets(1)
    images = batch(30)[0]
    np.testing.assert_array_equal(deep.predict(same_as(paper), images, method), dbn.predict(paper, images, method))


def test_one_dream_is_not_another_s_buffer():
    """Where no layer lies between, what is seen is the chain's own state: it must not move on."""
    net = deep_net(0, 0)
    columns = dbn.evolve(net, None, 50, 1, 5)
    assert len({column.tobytes() for column in columns}) == 5


# ---- Layer by layer


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return np.float32(data.data / 16), data.target


def test_each_layer_learns_from_the_probabilities_below(digits):
    """The second RBM is what contrastive divergence makes of the first one's hidden probabilities, and so on."""
    images, labels = digits[0][:200], digits[1][:200]
    rbms = deep.greedy(images, labels, (12, 10, 16), epochs=2, batch_size=20)
    assert [(r.n_vis, r.n_hid, r.n_labels) for r in rbms] == [(64, 12, 0), (12, 10, 0), (20, 16, 10)]
    hidden = logistic(np.float64(images) @ rbms[0].W + rbms[0].hid_bias)
    (alone,) = deep.greedy(np.float32(hidden), None, (10,), epochs=2, batch_size=20)
    assert np.abs(alone.W - random_rbm(12, 10, 0, consumer="greedy 1").W).max() > 0.01
    first = deep.greedy(images, None, (12,), epochs=2, batch_size=20)[0]
    np.testing.assert_array_equal(first.W, rbms[0].W)  # labels change nothing below the top


def test_learning_raises_the_exact_likelihood():
    images = np.float32([[1, 1, 0, 0, 1], [0, 0, 1, 1, 0]])
    data, labels = np.tile(images, (10, 1)), np.tile([0, 1], 10)
    for layers in ((6,), (4, 6), (4, 3, 6), (4, 4, 3, 6)):
        net = deep.stack(deep.greedy(data, labels, layers, epochs=400, batch_size=20))
        assert (deep.predict(net, images) == [0, 1]).all()
        assert likelihood(net, images) > -2.5, layers  # chance is 6 log(1/2) = -4.2, and log(1/2) = -0.7 the best
        fresh = deep.stack(deep.greedy(data, labels, layers, epochs=0))
        assert likelihood(fresh, images) < -4
        for one in (net, fresh):
            deep.up_down(one, data, labels, epochs=1000, batch_size=20, learning_rate=0.05)
            assert likelihood(one, images) > -2.5, layers


def likelihood(net, images):
    """The mean of log p(image, label) for image i with label i."""
    log_p, total = exact.log_prob(machine_of(net)).reshape(-1, net.n_labels), 0.0
    biases = [layer.down_bias for layer in net.layers] + [net.top.vis_bias[: net.n_pen]]
    for i, image in enumerate(images):
        of_label = exact.log_sum(log_p[:, i])
        belief = exact.BeliefNet([layer.down for layer in net.layers], biases, log_p[:, i] - of_label)
        total += float(exact.net_log_prob(belief, image[None])[0] + of_label)
    return total / len(images)


def test_four_hidden_layers_read_digits(digits):
    images, labels = digits
    rbms = deep.greedy(images[:1400], labels[:1400], (60, 50, 50, 150), epochs=25, batch_size=20, learning_rate=0.05)
    net = deep.stack(rbms)
    assert np.mean(deep.predict(net, images[1400:]) != labels[1400:]) < 0.15
    assert repr(net) == "DeepNet(64-60-50-50-150, 10 labels)"


def test_every_image_comes_in_every_epoch():
    numbers = np.arange(23, dtype=np.float32)[:, None]
    rows = list(deep.learn.mini_batches("x", 0, 3, 10, numbers))
    assert len(rows) == 9
    for epoch in range(3):
        mine = [data[0].ravel() for e, _, data in rows if e == epoch]
        assert {len(m) for m in mine} == {10}
        assert set(np.concatenate(mine)) == set(range(23))
    assert (rows[0][2][0] != rows[3][2][0]).any()


def test_the_same_seed_gives_the_same_bits(digits):
    one, two, other = (deep.greedy(digits[0][:100], None, (8, 6), 2, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one[1].W, two[1].W)
    assert (one[1].W != other[1].W).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"layers": ()}, "there are no layers to learn"),
        ({"layers": (0,)}, "layers is 0; give a whole number of at least 1"),
        ({"labels": np.arange(19)}, r"give one label for each image, \(20,\)"),
        ({"labels": np.full(20, -1)}, "labels reach from -1"),
        ({"labels": np.full(20, 0.5)}, "labels have the type float64"),
        ({"labels": np.array(["a"] * 20)}, "labels have the type <U1"),
        ({"images": np.full((20, VIS), 2.0)}, "scale them to lie from 0 to 1"),
        ({"epochs": -1}, "epochs is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 1e39, "weight_decay": 0.0}, "greedy 1 diverged: .* take a smaller learning rate"),
    ],
)
def test_bad_input_is_one_sentence(given, sentence):
    fine = {"images": batch(20)[0], "labels": np.arange(20) % 2, "layers": (4, 3), "epochs": 3, "batch_size": 10}
    with pytest.raises(InputError, match=sentence), np.errstate(all="ignore"):
        deep.greedy(**fine | given)


def test_up_down_asks_for_labels_where_there_are_some():
    images, labels = batch(20)[0], np.arange(20) % 2
    for net, wrong in ((deep_net(1), None), (deep_net(1, 0), labels)):
        with pytest.raises(InputError, match=f"the net has {net.n_labels} label units; give labels if it has some"):
            deep.up_down(net, images, wrong, batch_size=10)
    with pytest.raises(InputError, match="labels reach from 0 to 2; they must lie from 0 to 1"):
        deep.up_down(deep_net(1), images, np.arange(20) % 3, batch_size=10)


# ---- Stacks


def test_a_stack_starts_tied_and_owns_its_arrays():
    rbms = [random_rbm(5, 4, 0), random_rbm(4, 3, 1), random_rbm(5, 6, 2, LAB)]
    net = deep.stack(rbms)
    assert_same_bits(net, dbn.stack(*rbms))
    for a in net.arrays().values():
        assert not any(np.shares_memory(a, part) for rbm in rbms for part in (rbm.W, rbm.vis_bias, rbm.hid_bias))
    one = deep.stack([random_rbm(5, 1, 0), random_rbm(1, 3, 1)])  # a transposed column is contiguous as it is
    assert not np.shares_memory(one.layers[0].up, one.layers[0].down)


@pytest.mark.parametrize(
    ("rbms", "sentence"),
    [
        ([], "a net is a stack of one RBM or more"),
        ([random_rbm(5, 4, 0, 2), random_rbm(4, 3, 0)], "only the last may have labels"),
        ([random_rbm(5, 4, 0), random_rbm(3, 3, 0)], "a memory on 3 units does not fit on a layer of 4; give as many"),
        ([random_rbm(5, 4, 0), random_rbm(3, 3, 0), random_rbm(3, 3, 0)], r"layer 2 does not fit: up is \(3, 3\)"),
    ],
)
def test_what_does_not_stack_is_refused(rbms, sentence):
    with pytest.raises(InputError, match=sentence):
        deep.stack(rbms)


# ---- Files


@pytest.mark.parametrize("n_labels", [0, LAB])
@pytest.mark.parametrize("n_layers", DEPTHS)
def test_a_net_comes_back_as_it_was(n_layers, n_labels, tmp_path):
    net = deep_net(n_layers, n_labels)
    deep.save(net, tmp_path / "net.npz", seed=3)
    back = deep.load(tmp_path / "net.npz")
    assert_same_bits(net, back)
    assert (back.n_labels, back.sizes, store.read_meta(tmp_path / "net.npz")) == (n_labels, net.sizes, {"seed": 3})


def test_the_papers_net_is_one_file_for_both(tmp_path):
    paper, _ = nets(0)
    store.save(paper, tmp_path / "paper.npz")
    deep.save(deep.load(tmp_path / "paper.npz"), tmp_path / "deep.npz")
    assert_same_bits(dbn_lite.load(tmp_path / "deep.npz"), paper)
    deep.save(paper, tmp_path / "again.npz")
    assert_same_bits(deep.load(tmp_path / "again.npz"), deep.load(tmp_path / "deep.npz"))


def spoilt(how):
    arrays = {name: a.copy() for name, a in deep_net(3).arrays().items()}
    how(arrays)
    return arrays


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (lambda a: a.pop("down2"), "it has no array 'down2'; give one that dbn_lite.deep.save wrote"),
        (lambda a: a.pop("pentop"), "it has no array 'pentop'"),
        (lambda a: a.update(up1=a["up1"][0]), "up1 is no matrix of floats"),
        (lambda a: a.update(topbiases=a["topbiases"].astype(int)), "topbiases is no vector of floats"),
        (lambda a: a.update(up2=a["up2"][:2]), "layer 2 does not fit"),
        (lambda a: a.update(upbiases3=a["upbiases3"][:1]), "layer 3 does not fit"),
        (lambda a: a.update(down1=a["down1"] * np.nan), "down1 has values that are not finite"),
        (lambda a: a.update(labtop=a["labtop"][:1]), "is not a net"),
        (lambda a: a.update(pengenbiases=a["pengenbiases"][:1], labgenbiases=np.float32([1, 2, 3])), "is not a net"),
        (lambda a: a.update(pentop=a["pentop"][:, :2]), "is not a net"),
    ],
)
def test_what_is_no_net_is_refused_by_its_name(how, sentence, tmp_path):
    np.savez(tmp_path / "net.npz", **spoilt(how))
    with pytest.raises(InputError, match=sentence) as error:
        deep.load(tmp_path / "net.npz")
    assert "net.npz" in str(error.value)
    assert str(error.value).count("\n") == 0


def test_a_net_that_is_not_finite_is_not_saved(tmp_path):
    net = deep_net(1)
    net.top.W[0, 0] = np.inf
    with pytest.raises(InputError, match="pentop has values that are not finite"):
        deep.save(net, tmp_path / "net.npz")
    assert not list(tmp_path.iterdir())


def test_the_papers_own_save_leads_to_the_other(tmp_path):
    with pytest.raises(InputError, match=r"use dbn_lite.deep.save"):
        dbn_lite.save(deep_net(3), tmp_path / "net.npz")


# ---- Features


@pytest.mark.parametrize("n_layers", DEPTHS)
def test_features_are_the_activities_of_a_layer(n_layers):
    net, images = deep_net(n_layers), batch(9)[0]
    for layer in range(1, n_layers + 1):
        np.testing.assert_allclose(dbn_lite.features(net, images, layer), up(net, images, layer), atol=1e-6)
    penlab = np.hstack([up(net, images), np.full((9, LAB), 1 / LAB)])
    want = logistic(penlab @ np.float64(net.top.W) + net.top.hid_bias)
    np.testing.assert_allclose(dbn_lite.features(net, images), want, atol=1e-6)
    np.testing.assert_array_equal(dbn_lite.features(net, images), dbn_lite.features(net, images, layer=n_layers + 1))
    with pytest.raises(InputError, match=f"layer is 9; give a whole number of at most {n_layers + 1}"):
        dbn_lite.features(net, images, 9)


def test_features_of_the_papers_net():
    paper, arrays = nets(0)
    images = batch(dbn_lite.backend.current().block + 7)[0]  # more than one block
    hid = logistic(images @ arrays["vishid"] + arrays["hidrecbiases"])
    np.testing.assert_allclose(dbn_lite.features(paper, images, 1), hid, atol=1e-6)
    np.testing.assert_allclose(dbn_lite.features(paper, images, 2), dbn.up_pass(paper, images), atol=1e-6)
    assert [dbn_lite.features(paper, images, layer).shape[1] for layer in (1, 2, 3)] == [HID, PEN, TOP]


def test_what_is_needed_comes_with_one_import_and_only_when_it_is_asked_for():
    code = (
        "import sys, dbn_lite; assert 'numpy' not in sys.modules; "
        "dbn_lite.features, dbn_lite.deep.greedy, dbn_lite.train.Run, dbn_lite.data.load, dbn_lite.presets.PRESETS; "
        "assert not {'torch', 'sklearn'} & sys.modules.keys(); assert {'deep', 'features'} <= set(dir(dbn_lite))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_line_each():
    paper, _ = nets(0)
    assert repr(paper) == "DBN(5-4-3-6, 2 labels)"
    assert repr(paper.top) == "RBM(5 visible units, 2 of them labels, 6 hidden)"
    assert repr(deep_net(0, 0)) == "DeepNet(5-6, 0 labels)"


# ---- PyTorch


@pytest.mark.parametrize("n_labels", [0, LAB])
@pytest.mark.parametrize("n_layers", DEPTHS)
def test_the_net_of_pytorch_computes_what_recognition_does(n_layers, n_labels):
    torch = pytest.importorskip("torch")
    net, images = deep_net(n_layers, n_labels), batch(9)[0]
    theirs = deep.to_torch(net)
    with torch.no_grad():
        out = theirs(torch.from_numpy(images)).numpy()
    top = dbn_lite.features(net, images)
    if not n_labels:
        np.testing.assert_allclose(out, top, atol=1e-6)
        return
    seen = dbn_lite.rbm.mean_v_from_h(net.top, top)[:, net.n_pen :]  # the labels that the memory then expects
    np.testing.assert_allclose(torch.softmax(torch.from_numpy(out), 1).numpy(), seen, atol=1e-6)
    np.testing.assert_allclose(
        out, np.float64(top) @ net.top.W[net.n_pen :].T + net.top.vis_bias[net.n_pen :], atol=1e-5
    )


def test_back_propagation_leaves_the_net_alone():
    torch = pytest.importorskip("torch")
    net, before = deep_net(2), deep_net(2)
    theirs = deep.to_torch(net)
    assert all(p.requires_grad for p in theirs.parameters())
    for p in theirs.parameters():
        p.data += 1
    assert_same_bits(net, before)
    assert torch.get_default_dtype() == next(theirs.parameters()).dtype


def test_without_pytorch_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"PyTorch is not installed here; run `pip install 'dbn-lite\[baselines\]'`"):
        deep.to_torch(deep_net(1))
