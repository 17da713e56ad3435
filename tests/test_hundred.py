"""The hundred lines of the book against the library: given the same random numbers, they take the same steps."""

import ast
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import Known

from dbn_lite import data, dbn, places, store
from dbn_lite.rbm import RBM, ContrastiveDivergence
from dbn_lite.study import hundred
from dbn_lite.updown import UpDown

ROOT = Path(__file__).parents[1]
VIS, HID, PEN, TOP, LAB = 9, 8, 7, 12, 10  # all different, so that no transposed array fits
CASES, BATCHES = 6, 8


class Replay:
    """A generator for the hundred lines: gives the uniform numbers that the library used, in its order."""

    def __init__(self, known, by=0.0):
        self.left, self.by = iter(known.uniforms), by

    def random(self, shape):
        numbers = next(self.left)
        assert numbers.shape == shape, "the hundred lines draw other numbers, or in another order"
        return np.float64(numbers) + self.by

    def used_up(self):
        return next(self.left, None) is None


def agree(library, ours, seed):
    """Whether `ours(rng)` gives what `library(known)` gave, for every array to 1e-5.

    The library draws with 16 bits. Where a number lies so near its threshold that they could decide otherwise, others
    are taken; where the two sides differ for any other reason, this fails.
    """
    while True:
        known = Known(seed)
        want = library(known)
        got, *near = (run(ours, known, by) for by in (0.0, -1e-4, 1e-4))
        if all(furthest(shifted, got) < 1e-3 for shifted in near):
            return furthest(got, want) < 1e-5
        seed += 100
        assert seed < 10_000


def run(ours, known, by):
    rng = Replay(known, by)
    arrays = ours(rng)
    assert rng.used_up(), "the library draws more numbers than the hundred lines use"
    return arrays


def furthest(some, others):
    assert some.keys() == others.keys()
    return max(np.abs(np.float64(some[name]) - others[name]).max() for name in some)


def random_machines(seed=0):
    """Weights and biases of three machines, float32, the last with labels."""
    rng = np.random.default_rng(seed)
    sizes = (VIS, HID), (HID, PEN), (PEN + LAB, TOP)
    return [[np.float32(rng.normal(size=size)) for size in ((n, m), n, m)] for n, m in sizes]


def in_library(machines):
    return [RBM(*[a.copy() for a in one], n_labels=LAB * (i == 2)) for i, one in enumerate(machines)]


def in_hundred(machines):
    made = []
    for kind, (W, b, c) in zip((hundred.RBM, hundred.RBM, hundred.Memory), machines, strict=True):
        machine = kind(*W.shape, np.random.default_rng(0))
        machine.W, machine.b, machine.c = map(np.float64, (W, b, c))
        made.append(machine)
    return made


def cases(n_units, labels, seed=1):
    rng = np.random.default_rng(seed)
    grey = np.float32(rng.random((BATCHES, CASES, n_units)))
    targets = np.eye(LAB, dtype=np.float32)[rng.integers(LAB, size=(BATCHES, CASES))]
    return np.concatenate([grey, targets], axis=2) if labels else (grey, targets)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_each_machine_learns_what_the_library_learns(layer):
    machines = random_machines()
    n_grey = (VIS, HID, PEN)[layer]
    batches = cases(n_grey, labels=True) if layer == 2 else cases(n_grey, labels=False)[0]

    def library(known):
        machine = in_library(machines)[layer]
        learner = ContrastiveDivergence(machine, CASES)
        for batch in batches:
            learner.step(batch, known, 0.1, 0.8, 0.02)
        return {"W": machine.W, "b": machine.vis_bias, "c": machine.hid_bias}

    def ours(rng):
        machine = in_hundred(machines)[layer]
        for batch in batches:
            machine.learn(np.float64(batch), rng, 0.1, 0.8, 0.02)
        return {"W": machine.W, "b": machine.b, "c": machine.c}

    assert agree(library, ours, seed=layer)
    moved = furthest(library(Known(layer)), dict(zip("Wbc", machines[layer], strict=True)))
    assert moved > 0.05


def test_a_machine_starts_as_the_library_s_does():
    W = hundred.RBM(300, 200, np.random.default_rng(0)).W
    assert W.shape == (300, 200)
    assert abs(W.std() / 0.01 - 1) < 0.02
    assert abs(W.mean()) < 1e-3


def test_three_machines_make_the_net_that_the_library_makes():
    machines = random_machines()
    want = dbn.stack(*in_library(machines)).arrays()
    got = vars(hundred.Net(*in_hundred(machines)))
    assert furthest(got, want) == 0


@pytest.mark.parametrize("n_gibbs", [1, 3])
def test_up_down_takes_the_steps_of_the_library(n_gibbs):
    machines = random_machines()
    images, targets = cases(VIS, labels=False)

    def library(known):
        net = dbn.stack(*in_library(machines))
        learner = UpDown(net, CASES)
        for batch in zip(images, targets, strict=True):
            learner.step(*batch, known, n_gibbs, 0.1)
        return net.arrays()

    def ours(rng):
        net = hundred.Net(*in_hundred(machines))
        for batch in zip(np.float64(images), np.float64(targets), strict=True):
            hundred.up_down(net, *batch, rng, 0.1, n_gibbs)
        return vars(net)

    assert agree(library, ours, seed=n_gibbs)
    before = vars(hundred.Net(*in_hundred(machines)))
    after = library(Known(0))
    assert all(np.abs(after[name] - before[name]).max() > 0.01 for name in before)


def test_a_dream_is_the_library_s():
    machines = random_machines()
    net, same = dbn.stack(*in_library(machines)), hundred.Net(*in_hundred(machines))

    def library(known):
        pictures = dbn.generate(net, 7, n=4, steps=5, rng=known)
        del known.uniforms[3]  # it looks at what the chains start from, too, and draws a hidden layer for that
        return {"pictures": pictures}

    def ours(rng):
        return {"pictures": hundred.dream(same, np.eye(LAB)[[7] * 4], 5, rng)}

    assert agree(library, ours, seed=0)


def test_labels_are_read_as_the_library_reads_them_in_the_shipped_net():
    digits = data.load("dreamed").test_images[:300]
    path = places.shipped("trained/paper.npz")
    with np.load(path) as arrays:  # appendix B names them, and so any file of the library will do
        net = SimpleNamespace(**{name: np.float64(arrays[name]) for name in store.NAMES})
    got, want = hundred.read(net, np.float64(digits)), dbn.label_log_probs(store.load(path), digits)
    np.testing.assert_allclose(got, want, atol=5e-4)  # float32 beside float64, sums over 2,000 units
    assert (got.argmax(axis=1) == want.argmax(axis=1)).all()


def test_from_digits_to_dreams():
    digits = data.load("dreamed")
    images, targets = np.float64(digits.train_images[:2000]), np.eye(10)[digits.train_labels[:2000]]
    rng = np.random.default_rng(0)
    net = hundred.Net(*hundred.greedy(images, targets, (60, 60, 100), 10, rng))
    for rows in hundred.batches(len(images), 2, rng):
        hundred.up_down(net, images[rows], targets[rows], rng)
    # Held-out images of the training part: the test images choose nothing, and prove nothing that these do not.
    right = hundred.read(net, digits.train_images[-500:]).argmax(axis=1) == digits.train_labels[-500:]
    assert right.mean() > 0.7
    pictures = hundred.dream(net, np.eye(10), 20, rng)
    assert pictures.shape == (10, images.shape[1])
    assert ((pictures >= 0) & (pictures <= 1)).all()


# ---- The file itself

SOURCE = inspect.getsource(hundred)
TREE = ast.parse(SOURCE)


def test_it_is_about_a_hundred_lines():
    filled = [line for line in SOURCE.splitlines() if line.strip()]
    assert len(filled) <= 120
    assert max(map(len, filled)) < 80  # they are set in a column


def test_it_needs_numpy_and_nothing_else():
    imported = [node for node in ast.walk(TREE) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imported] == ["import numpy as np"]


def quoted():
    """What the chapters print of it by `show.source(hundred. ...)`, by name."""
    named = set()
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            code = "".join(cell["source"])
            if cell["cell_type"] != "code" or "hundred" not in code:
                continue
            code = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "show.source" and node.args:
                    named.add(ast.unparse(node.args[0]).removeprefix("hundred."))
    return named


@pytest.mark.skipif(not quoted(), reason="no chapter quotes the hundred lines yet")
def test_the_chapters_print_all_of_it():
    top = [node.name for node in TREE.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert set(top) <= quoted()
