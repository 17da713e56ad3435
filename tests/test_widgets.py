"""The JavaScript of the live figures against the Python of the library, under Node."""

import json
import os
import re
import shutil
import subprocess
from typing import Any

import literal
import numpy as np
import pytest

from dbn_lite import dbn, rbm
from dbn_lite.widgets import bundle

NODE = shutil.which("node")
# A machine that is meant to run these tests fails rather than pass them over.
pytestmark = pytest.mark.skipif(NODE is None and not os.environ.get("CI"), reason="no Node is installed")
CORE = (bundle.HERE / "core.js").read_text(encoding="utf-8")


def run(program: str, **given: Any) -> Any:
    """What `program` returns under Node, with the core and `given` (arrays become lists, bytes a buffer)."""
    plain = {name: list(a) if isinstance(a, bytes) else np.asarray(a).tolist() for name, a in given.items()}
    source = (
        f"{CORE}\nconst given = {json.dumps(plain)};\n"
        "const f32 = (a) => Float32Array.from(a);\n"
        "const bytes = (a) => Uint8Array.from(a).buffer;\n"
        "const numbers = (a) => { let i = 0; return () => a[i++]; };\n"
        f"const result = (() => {{ {program} }})();\n"
        "const plain = (key, x) => ArrayBuffer.isView(x) ? Array.from(x) : x;\n"
        "process.stdout.write(JSON.stringify(result, plain));"
    )
    assert NODE, "no Node is installed"
    done = subprocess.run([NODE, "-"], input=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Drawn:
    """A stream of random bits that keeps, as numbers in [0, 1), what it handed out, for the other side to draw."""

    def __init__(self, seed: int) -> None:
        self.source, self.numbers = np.random.default_rng(seed), []

    def int16(self, shape: tuple[int, ...]) -> np.ndarray:
        bits = self.source.integers(-32768, 32767, shape, dtype=np.int16)
        self.numbers += ((bits.ravel() + 32768.5) / 65536).tolist()
        return bits

    def uniform(self, n: int) -> np.ndarray:
        u = self.source.random(n, dtype=np.float32)
        self.numbers += u.tolist()
        return u


def half(a: np.ndarray) -> np.ndarray:
    """Values that float16 holds exactly, so that packing loses nothing."""
    return a.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> dbn.DBN:
    """A small untied net with weights large enough for states that are far from certain and far from even."""
    sizes, draw = {"vis": 30, "hid": 13, "pen": 11, "top": 17, "lab": 4}, np.random.default_rng(3)
    arrays = {}
    for name in ("vishid", "hidpen", "pentop", "labtop", "penhid", "hidvis"):
        arrays[name] = half(draw.normal(scale=0.7, size=(sizes[name[:3]], sizes[name[3:]])))
    for name in ("hidrec", "penrec", "top", "pengen", "labgen", "hidgen", "visgen"):
        arrays[f"{name}biases"] = half(draw.normal(size=sizes[name[:3]]))
    return dbn.from_arrays(arrays)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    values = np.random.default_rng(4).random(30, dtype=np.float32)
    values[::3] = 0  # rows that the script passes over
    return values


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found, dtype=float), np.asarray(expected, dtype=float), rtol=1e-4, atol=1e-4)


def test_packed_net_arrives_whole(net: dbn.DBN, image: np.ndarray) -> None:
    found = run("return DBN.decode(bytes(given.content));", content=bundle.pack(net, image[None], [3], (5, 6)))
    for name, expected in net.arrays().items():
        np.testing.assert_array_equal(np.float32(found[name]), expected.ravel(), err_msg=name)
    assert found["images"] == np.rint(image * 255).astype(int).tolist()
    assert found["labels"] == [3]
    assert found["meta"] == {"shape": [5, 6], "n_labels": 0}


def test_every_half_is_decoded_as_numpy_does() -> None:
    bits = np.arange(65536, dtype=np.uint16).view(np.float16)
    bits = bits[np.isfinite(bits)]
    machine = rbm.RBM(bits[None].astype(np.float32), np.zeros(1, np.float32), np.zeros(bits.size, np.float32))
    content = bundle.pack(machine)
    found = run("return DBN.decode(bytes(given.content)).vishid;", content=content)
    np.testing.assert_array_equal(np.float32(found), bits.astype(np.float32))


def test_tied_weights_travel_once(net: dbn.DBN) -> None:
    names = ("vishid", "hidpen", "hidrecbiases", "penrecbiases", "hidgenbiases", "visgenbiases")
    parts = {name: a for name, a in net.arrays().items() if name in names}
    tied = dbn.DBN(top=net.top, penhid=net.hidpen.T.copy(), hidvis=net.vishid.T.copy(), **parts)
    content = bundle.pack(tied)
    assert len(bundle.pack(net)) - len(content) > 2 * (net.hidvis.size + net.penhid.size)
    found = run("return DBN.decode(bytes(given.content));", content=content)
    close(found["hidvis"], tied.hidvis.ravel())
    close(found["penhid"], tied.penhid.ravel())


def test_a_machine_of_its_own(net: dbn.DBN) -> None:
    """Conditionals, free energy and a Gibbs step of an RBM with a label group, on the same random numbers."""
    draw, drawn, program = np.random.default_rng(5), Drawn(5), """
        const { layers: [machine] } = DBN.decode(bytes(given.content)), v = f32(given.v), h = f32(given.h);
        return { h: DBN.meanHFromV(machine, v), v: DBN.meanVFromH(machine, h), energy: DBN.freeEnergy(machine, v),
                 step: DBN.gibbsStep(machine, v, numbers(given.numbers)) };
    """  # fmt: skip
    machine = rbm.RBM(net.top.W, net.top.vis_bias, net.top.hid_bias, n_labels=4)
    v = draw.random((1, machine.n_vis), dtype=np.float32)
    h = np.float32(draw.random((1, machine.n_hid)) < 0.5)
    states, visible = rbm.gibbs_step(machine, v, drawn)
    found = run(program, content=bundle.pack(machine), v=v[0], h=h[0], numbers=drawn.numbers)
    close(found["h"], rbm.mean_h_from_v(machine, v)[0])
    close(found["v"], rbm.mean_v_from_h(machine, h)[0])
    close(found["energy"], rbm.free_energy(machine, v)[0])
    close(found["step"]["h"], states[0])
    close(found["step"]["v"], visible[0])
    assert 0 < states.sum() < states.size


def test_up_down_and_labels(net: dbn.DBN, image: np.ndarray) -> None:
    up, down = Drawn(6), Drawn(7)
    pen = dbn.up_pass(net, image[None], up)
    seen = dbn.down_pass(net, pen, down)
    program = """
        const net = DBN.decode(bytes(given.content)), image = f32(given.image), mean = DBN.upPass(net, image);
        const pen = DBN.upPass(net, image, numbers(given.up));
        return { mean, pen, seen: DBN.downPass(net, pen, numbers(given.down)),
                 energies: DBN.labelFreeEnergies(net, mean), logs: DBN.labelLogProbs(net, image) };
    """
    found = run(program, content=bundle.pack(net), image=image, up=up.numbers, down=down.numbers)
    mean = dbn.up_pass(net, image[None])
    close(found["mean"], mean[0])
    close(found["pen"], pen[0])
    close(found["seen"], seen[0])
    close(found["energies"], dbn.label_free_energies(net, mean)[0])
    close(found["logs"], dbn.label_log_probs(net, image[None])[0])


@pytest.mark.parametrize("clamped", [False, True])
def test_a_hundred_iterations_of_the_memory(net: dbn.DBN, clamped: bool) -> None:
    drawn, penlab = Drawn(8), np.zeros((1, 15), dtype=np.float32)
    penlab[0, 12] = 1
    expected = []
    for _ in range(100):
        states = dbn.memory_step(net, penlab, drawn, clamped)
        expected.append([*states[0], *penlab[0]])
    program = """
        const net = DBN.decode(bytes(given.content)), rng = numbers(given.numbers), penlab = f32(given.start);
        return Array.from({ length: 100 }, () => [...DBN.memoryStep(net, penlab, rng, given.clamped), ...penlab]);
    """
    start = np.eye(15)[12]
    found = run(program, content=bundle.pack(net), numbers=drawn.numbers, start=start, clamped=clamped)
    close(found, expected)
    labels = np.array(found)[:, -4:]
    assert (labels.sum(axis=1) == 1).all()
    assert (len({*labels.argmax(axis=1)}) == 1) == clamped


def test_free_energies_of_a_hundred_thousand_nats_do_not_overflow() -> None:
    found = run("return [1e5, -1e5, 0].map(DBN.softplus).concat(Array.from(DBN.softmax([1e5, 0])));")
    close(found, [1e5, 0, np.log(2), 1, 0])


def test_random_numbers_are_uniform_and_depend_on_the_seed() -> None:
    program = "return [0, 1, 2].map((s) => { const r = DBN.random(s); return Array.from({ length: 20000 }, r); });"
    streams = np.array(run(program))
    assert len({tuple(s[:3]) for s in streams}) == 3
    np.testing.assert_array_equal(streams, run(program))
    counts = np.stack([np.histogram(s, bins=20, range=(0, 1))[0] for s in streams])
    assert (((counts - 1000) ** 2 / 1000).sum(axis=1) < 43.8).all()  # chi-squared, 19 degrees, 0.1 %
    assert (np.abs(np.corrcoef(streams[:, 1:], streams[:, :-1])[np.triu_indices(6, 1)]) < 0.04).all()


# What goes in


INPUT = (bundle.HERE / "input.js").read_text(encoding="utf-8")


def as_mnist_was_made(ink: np.ndarray) -> np.ndarray:
    """A drawing (size, size) scaled to 20 pixels by the areas that pixels share, its centre of mass at pixel 14."""
    extents = [np.flatnonzero(ink.any(axis))[[0, -1]] + [0, 1] for axis in (1, 0)]
    pixel, shares, corner = max(np.ptp(extent) for extent in extents) / 20, [], []
    for start, end in extents:
        edges = start + pixel * np.arange(np.ceil((end - start) / pixel - 1e-6) + 1)
        reach = np.clip(edges[:, None] - np.arange(len(ink)), 0, 1)  # how much of each pixel lies before each edge
        shares.append(np.diff(reach, axis=0) / pixel)
    small = shares[0] @ ink @ shares[1].T
    for axis, length in enumerate(small.shape):
        centre = (ink.sum(1 - axis) @ (np.arange(len(ink)) + 0.5)) / ink.sum()
        corner.append(int(np.clip(np.floor(15 - (centre - extents[axis][0]) / pixel), 0, 28 - length)))
    return np.pad(small, [(at, 28 - at - length) for at, length in zip(corner, small.shape, strict=True)])


def drawings() -> dict[str, np.ndarray]:
    """Pictures of ink of many sizes, in places far from the middle."""
    draw, all_of = np.random.default_rng(9), {}
    shapes = {"tall": (200, 61), "wide": (33, 170), "tiny": (5, 9), "dot": (1, 1), "whole": (280, 280)}
    for name, (height, width) in shapes.items():
        ink, top, left = np.zeros((280, 280)), *(draw.integers(0, 281 - n) for n in (height, width))
        ink[top : top + height, left : left + width] = draw.random((height, width)) * (
            draw.random((height, width)) < 0.3
        )
        ink[[top, top + height - 1], [left, left + width - 1]] = 1  # the corners
        all_of[name] = ink
    return all_of


@pytest.mark.parametrize("name", drawings())
def test_drawings_are_centred_and_scaled_as_mnist_was(name: str) -> None:
    ink = drawings()[name]
    found = run(f"{INPUT}\nreturn DBN.centred(f32(given.ink), 280);", ink=ink.ravel())
    close(found, as_mnist_was_made(ink).ravel())


def test_an_empty_drawing_is_an_empty_image() -> None:
    assert run(f"{INPUT}\nreturn DBN.centred(new Float32Array(100), 10, 16);") == [0] * 256


def test_lines_of_appendix_b_run_as_the_literal_algorithm(net: dbn.DBN, image: np.ndarray) -> None:
    """Every variable that the figure of up-down leaves, against the transcription of the paper, on the same numbers."""
    drawn = np.random.default_rng(10).random(2000).tolist()
    left, targets = iter(drawn), np.eye(4)[1:2]

    def rand(one: int, n: int) -> np.ndarray:
        return np.array([[next(left) for _ in range(n)]])

    arrays = net.arrays()
    expected = literal.up_down(arrays, np.float64(image)[None], targets, rand, r=0.1, numCDiters=1)
    program = f"""
        DBN.figure = () => {{}};
        {(bundle.HERE / "figures" / "updown.js").read_text(encoding="utf-8")}
        const net = DBN.decode(bytes(given.content)), rng = numbers(given.numbers);
        const workspace = {{ data: f32(given.image), targets: f32(given.targets) }};
        for (const [name, right] of given.lines) workspace[name] = DBN.evaluate(right, workspace, net, rng);
        return workspace;
    """
    text = (bundle.HERE / "updown.m").read_text(encoding="utf-8")
    lines = re.findall(r"^ *(\w+) = (.*);$", text, re.MULTILINE)
    found = run(program, content=bundle.pack(net), numbers=drawn, image=image, targets=targets[0], lines=lines)
    assert {name for name in expected if name.endswith(("probs", "states", "statistics"))} <= set(found)
    assert {*arrays} <= set(found)
    for name, _ in lines:
        if name not in arrays:
            close(found[name], np.ravel(expected[name]))
    multiplied = {
        "vishid": "sleepvisprobs",
        "hidpen": "sleephidstates",
        "penhid": "wakepenstates",
        "hidvis": "wakehidstates",
    }
    for name, before in arrays.items():
        change = (np.ravel(expected[name]) - before.ravel()) / 0.1
        by = np.ravel(expected[multiplied[name]])[:, None] if name in multiplied else 1.0
        np.testing.assert_allclose(np.ravel(by * np.array(found[name])), change, atol=1e-4)


def test_there_are_fewer_than_2000_lines_of_javascript() -> None:
    assert sum(len(file.read_text().splitlines()) for file in bundle.HERE.rglob("*.js")) < 2000
