"""Back-propagation against finite differences, the nets against their sources' counts, and runs that are stopped."""

import json
from pathlib import Path

import numpy as np
import pytest

import dbn_lite
from dbn_lite import data, places
from dbn_lite.errors import InputError
from dbn_lite.paper import table1
from dbn_lite.paper.table1 import command, extras, nets, online, pretrained

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    dreamed = data.load("dreamed")
    return data.Dataset("dreamed", dreamed.train_images[:600], dreamed.train_labels[:600], dreamed.test_images[:150],
                        dreamed.test_labels[:150])  # fmt: skip


# ---- One image at a time, in NumPy: needs no extra


def error_of(net, x, target):
    y = x
    for W, b in zip(net.weights, net.biases, strict=True):
        y = np.tanh(y @ W + b)
    return 0.5 * ((y - target) ** 2).sum()


def tiny_online():
    images = (RNG.random((8, 12)) * (RNG.random((8, 12)) < 0.5)).astype(np.float32)
    net = online.Online(images, np.arange(8, dtype=np.uint8), (7, 5), 0.05, 4, seed=0)
    net.weights = [W.astype(np.float64) for W in net.weights]  # finite differences need the digits
    net.biases = [RNG.normal(size=b.shape) for b in net.biases]
    return net


def test_online_steps_go_down_the_slope_of_the_error():
    net = tiny_online()
    x, target, rate, h = net.images[0].astype(float), net.targets[3].astype(float), 0.1, 1e-6
    before = [a.copy() for a in (*net.weights, *net.biases)]
    slopes = []
    for a in (*net.weights, *net.biases):
        slope = np.empty_like(a)
        for place in np.ndindex(*a.shape):
            kept = a[place]
            a[place] = kept + h
            up = error_of(net, x, target)
            a[place] = kept - h
            slope[place] = (up - error_of(net, x, target)) / (2 * h)
            a[place] = kept
        slopes.append(slope)
    net.learn(x, target, rate)
    for a, was, slope in zip((*net.weights, *net.biases), before, slopes, strict=True):
        np.testing.assert_allclose((was - a) / rate, slope, atol=1e-7)


def test_online_learns_and_its_rate_ends_at_nothing(digits):
    net = online.Online(digits.train_images, digits.train_labels, (60, 30), 0.03, 6, seed=1)
    rates, learn = [], net.learn
    net.learn = lambda x, target, rate: rates.append(rate) or learn(x, target, rate)
    for t in range(6):
        net.step(t)
    assert (net.predict(digits.train_images) == digits.train_labels).mean() > 0.9
    assert (net.predict(digits.test_images) == digits.test_labels).mean() > 0.55
    assert rates[0] == 0.03
    assert 0 < rates[-1] < 1e-4
    assert np.diff(rates).max() < 0


def test_without_an_end_the_rate_stays_and_the_watched_are_counted_each_epoch(digits):
    watched = (digits.test_images, digits.test_labels)
    net = online.Online(digits.train_images, digits.train_labels, (20, 10), 0.02, np.inf, 1, watched)
    rates, learn = set(), net.learn
    net.learn = lambda x, target, rate: rates.add(rate) or learn(x, target, rate)
    net.step(0)
    net.step(1)
    assert rates == {0.02}
    assert len(net.history) == 2
    assert net.history[-1] == (net.predict(watched[0]) != watched[1]).sum()


# ---- Runs that are stopped and go on


def stopped_at(learner, t):
    step = learner.step

    def step_until(at):
        if at == t:
            raise KeyboardInterrupt
        step(at)

    learner.step = step_until
    return learner


def run_chain(make, tmp_path, monkeypatch):
    """The state after 4 steps in one go, and after a stop before step 2, in a folder each."""
    monkeypatch.setattr("dbn_lite.paper.table1.pieces.SAVE_EVERY", 0.0)
    whole, broken = make(), stopped_at(make(), 2)
    table1.Pieces(tmp_path / "whole", {}).chain("net", 4, whole)
    with pytest.raises(KeyboardInterrupt):
        table1.Pieces(tmp_path / "broken", {}).chain("net", 4, broken)
    again, pieces = make(), table1.Pieces(tmp_path / "broken", {})
    taken, step = [], again.step
    again.step = lambda t: taken.append(t) or step(t)
    pieces.chain("net", 4, again)
    assert taken == [2, 3]
    return whole.arrays(), again.arrays(), pieces


def test_a_stopped_online_run_goes_on_to_the_same_bits(digits, tmp_path, monkeypatch):
    def make():
        return online.Online(digits.train_images[:50], digits.train_labels[:50], (20, 10), 0.03, 4, seed=0)

    whole, again, pieces = run_chain(make, tmp_path, monkeypatch)
    assert whole.keys() == again.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], again[name])
    seconds, processor, mib = pieces.spent["net"]
    assert seconds > 0
    assert processor > 0
    assert mib > 10


def test_a_piece_is_made_once_and_other_settings_have_a_folder_of_their_own(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"x": np.arange(3)}

    for settings in ({"rate": 1}, {"rate": 1}, {"rate": 2}):
        found = table1.Pieces(tmp_path, settings).once("piece", make)
        np.testing.assert_array_equal(found["x"], np.arange(3))
    assert len(made) == 2


def test_a_missing_extra_is_one_sentence_that_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match=r"needs torch.*pip install 'dbn-lite\[baselines\]'"):
        extras.needed("torch.nn.functional")


# ---- In mini-batches, in PyTorch


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="the extra baselines is not installed")
    torch.set_num_threads(1)
    return torch


def backprop(digits, recipe, **more):
    net = nets.layers((784, 30, 10), seed=2)
    return nets.Backprop(net, nets.softmax_loss, digits.train_images, digits.train_labels, recipe, 0, **more)


@pytest.mark.parametrize("loss", [nets.softmax_loss, nets.logistic_loss])
def test_the_losses_are_minus_log_probabilities(loss, torch):
    x, y = RNG.normal(size=(4, 10)), np.array([1, 0, 9, 9])
    target = np.eye(10)[y]
    if loss is nets.softmax_loss:
        wanted = -(np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True)) * target).sum() / 4
    else:
        p = 1 / (1 + np.exp(-x))
        wanted = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum() / 4
    assert float(loss(torch.from_numpy(x), torch.from_numpy(y))) == pytest.approx(wanted)


def test_a_step_is_momentum_and_decay_of_weights_not_of_biases(digits, torch):
    """One batch of all images, twice, against the rule in NumPy."""
    few = data.Dataset("dreamed", digits.train_images[:20], digits.train_labels[:20], digits.test_images[:1],
                       digits.test_labels[:1])  # fmt: skip
    recipe = nets.Recipe(2, 0.5, momentum=0.7, decay=0.01, batch_size=20, steady=True)
    learner = backprop(few, recipe)
    ours = [w.detach().numpy().astype(float) for w in learner.parameters]
    speed = [np.zeros_like(w) for w in ours]
    x, target = few.train_images.astype(float), np.eye(10)[few.train_labels]
    for t in range(2):
        learner.step(t)
        W, b, V, c = ours
        hidden = np.tanh(x @ W.T + b)
        out = np.exp(hidden @ V.T + c)
        top = (out / out.sum(1, keepdims=True) - target) / 20
        below = (top @ V) * (1 - hidden**2)
        slopes = [below.T @ x + 0.01 * W, below.sum(0), top.T @ hidden + 0.01 * V, top.sum(0)]
        speed = [0.7 * v + s for v, s in zip(speed, slopes, strict=True)]
        ours = [w - 0.5 * v for w, v in zip(ours, speed, strict=True)]
    for w, theirs in zip(ours, learner.parameters, strict=True):
        np.testing.assert_allclose(theirs.detach().numpy(), w, atol=1e-5)


def test_the_rate_falls_in_half_a_cosine_or_stays():
    falling = nets.Recipe(10, 0.2)
    assert [round(falling.rate_in(t), 6) for t in (0, 5, 10)] == [0.2, 0.1, 0.0]
    assert nets.Recipe(10, 0.2, steady=True).rate_in(9) == 0.2


def test_a_stopped_run_goes_on_to_the_same_bits(digits, torch, tmp_path, monkeypatch):
    def make():
        return backprop(digits, nets.Recipe(4, 0.1), distort=lambda x, shape, rng: x * rng.random(),
                        watched=(digits.test_images, digits.test_labels))  # fmt: skip

    whole, again, _ = run_chain(make, tmp_path, monkeypatch)
    assert whole.keys() == again.keys()
    assert len(whole["history"]) == 4
    for name in whole:
        np.testing.assert_array_equal(whole[name], again[name])


def test_settings_are_chosen_without_a_look_at_the_test_images(digits, torch, tmp_path, monkeypatch):
    monkeypatch.setattr(nets, "REPEATS", 1)
    monkeypatch.setattr(nets, "TRIALS", 4)
    blank, labels = np.zeros((3, 784), np.float32), np.zeros(3, np.uint8)
    blind = data.Dataset("dreamed", digits.train_images, digits.train_labels, blank, labels)
    blind.test_images[...] = np.nan  # no data set can be made of that: whoever looks at it is found out
    outcome = nets.weight_decay_row(blind, table1.Job(tmp_path, 2))
    best = min(outcome.notes["trials"], key=lambda trial: trial["validation_errors"])
    assert len(outcome.notes["trials"]) == len({trial["rate"] for trial in outcome.notes["trials"]}) == 4
    assert [outcome.settings[name] for name in ("rate", "decay", "spread")] == [*best.values()][:3]
    assert 0 < best["validation_errors"] < 100


def test_back_propagation_has_as_many_trials_as_this_model_had():
    searched = json.loads(places.shipped("results/search.json").read_text())
    assert len(searched["rows"]) == nets.TRIALS
    trials = nets.drawn(table1.Job(Path(), 20))
    assert len(trials) == nets.TRIALS
    of = {name: [getattr(trial, name) for trial in trials] for name in ("rate", "decay", "spread")}
    for name, (low, high) in {"rate": nets.RATES, "decay": nets.DECAYS, "spread": nets.SPREADS}.items():
        assert low <= min(of[name]) < 1.5 * low < high / 1.5 < max(of[name]) <= high
    assert abs(np.corrcoef(np.log([*of.values()]))[np.triu_indices(3, 1)]).max() < 0.4  # each goes its own way


def test_early_stopping_stops_where_validation_errors_are_fewest(digits, torch, tmp_path, monkeypatch):
    monkeypatch.setattr(nets, "REPEATS", 1)
    monkeypatch.setattr(nets, "TRIALS", 2)
    outcome = nets.early_stopping_row(digits, table1.Job(tmp_path, 5))
    assert outcome.settings["steady"]
    assert outcome.settings["decay"] == 0
    history = outcome.notes["validation_errors_by_epoch"]
    assert len(history) == 5
    assert outcome.settings["epochs"] == 1 + history.index(min(history))


# ---- Convolutional nets


def test_lenet5_has_as_many_weights_as_its_source_says(torch):
    """156, 12, 1,516, 32, 48,120 and 10,164: figure 2 and section II.B of LeCun and others."""
    from dbn_lite.paper.table1 import conv

    net = conv.lenet5(0)
    layers = [m for m in net if sum(p.numel() for p in m.parameters())]
    counts = [sum(p.numel() for p in m.parameters()) for m in layers]
    mask = layers[2].mask
    counts[2] -= int((mask == 0).sum())
    assert counts == [156, 12, 1516, 32, 48120, 10164, 850]
    assert mask.sum(dim=(2, 3)).count_nonzero(1).tolist() == [3] * 6 + [4] * 9 + [6]
    assert mask.amax((2, 3)).sum(0).tolist() == [10] * 6  # each map of S2 is seen by ten


def test_maps_of_c3_feel_only_the_maps_that_they_see(torch):
    from dbn_lite.paper.table1 import conv

    net = conv.lenet5(0)
    c3 = next(m for m in net if hasattr(m, "mask"))
    x = torch.randn(1, 6, 14, 14, requires_grad=True)
    c3(x)[0, 6].sum().backward()  # the first that sees four
    assert x.grad.abs().sum(dim=(0, 2, 3)).nonzero().ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["lenet5", "lenet5-affine", "convnet-elastic"])
def test_convolutional_rows_run_and_learn(name, digits, torch, tmp_path):
    record, predictions = table1.run(table1.row_named(name), digits, table1.Job(tmp_path, 6))
    assert predictions.shape == (150,)
    assert record["error"] < 60
    assert record["size"] == 6
    assert record["full_size"] > 6
    assert record["cpu_seconds"] > 0


# ---- Back-propagation that starts from greedy learning


def test_the_validation_images_are_those_that_greedy_learning_never_saw():
    from dbn_lite.train import part

    digits = data.load("dreamed")
    numbers = pretrained.held_out(digits, 2, 100)
    images, labels = part(digits, "validation", 2, 100)
    assert len(set(numbers)) == len(labels)
    np.testing.assert_array_equal(np.bincount(digits.train_labels[numbers]), np.bincount(labels))
    ours, theirs = digits.train_images[numbers], images
    assert {a.tobytes() for a in ours} == {a.tobytes() for a in theirs}


def test_the_row_starts_from_the_shipped_net_and_is_chosen_on_held_out_images(digits, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    seen = []
    monkeypatch.setattr(pretrained, "RATES", (1e-9, 0.02))
    monkeypatch.setattr(nets.Search, "validate", spy(nets.Search.validate, seen))
    row = table1.row_named("dbn-backprop")
    assert row not in table1.ROWS
    outcome = row.run(digits, table1.Job(tmp_path, 2))
    errors = outcome.notes["validation_errors_by_rate"]
    assert list(errors) == [1e-9, 0.02]
    assert outcome.settings["rate"] == min(errors, key=errors.get)
    assert all((job.validation(digits) == pretrained.held_out(digits, 2, 100)).all() for job in seen)
    for guess in outcome.predictions:  # another net's dreams of digits, and still they are read
        assert np.mean(guess != digits.test_labels) < 0.1
    unmoved = dbn_lite.deep.to_torch(dbn_lite.load(places.shipped("trained/greedy.npz")))
    held = pretrained.held_out(digits, 2, 100)
    torch = extras.needed("torch")
    with torch.no_grad():
        first = unmoved(torch.from_numpy(digits.train_images[held])).argmax(1).numpy()
    assert errors[1e-9] == (first != digits.train_labels[held]).sum()


def spy(function, seen):
    def called(search, *given):
        seen.append(search.job)
        return function(search, *given)

    return called


def test_the_row_refuses_images_of_another_size(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "needed", lambda module: None)
    small = data.Dataset("small", np.zeros((20, 64)), np.zeros(20, int), np.zeros((5, 64)), np.zeros(5, int), (8, 8))
    with pytest.raises(InputError, match="was trained on images of 784 pixels; give a data set of such"):
        pretrained.pretrained_row(small, table1.Job(tmp_path, 1))


def test_the_row_beside_the_table_says_whose_figure_it_stands_beside():
    line = {"name": "dbn-backprop", "error": 1.2, "size": 10, "full_size": 10, "unit": "epochs"}
    assert command.in_words(line).startswith("2006 ")
    assert "dbn-backprop" not in [line["name"] for line in command.table()]
