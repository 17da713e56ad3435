"""The benchmark: its floor is what the library multiplies, its check lets only equals through, its sums add up."""

import importlib.util
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import standin_cupy

from dbn_lite import backend, cli, plot, presets
from dbn_lite.backend import gpu, random
from dbn_lite.paper import bench
from dbn_lite.paper.bench import equality, rivals, rows, steps

TINY = {"vis": 12, "hid": 9, "pen": 8, "top": 15, "lab": 4, "batch": 6, "n_batches": 3}
INSTALLED = [
    name
    for name, package in {
        "textbook": "numpy",
        "torch": "torch",
    }.items()  # torch.compile is like torch, but slow to test
    if importlib.util.find_spec(package)
]


@pytest.fixture
def ops():
    """Operations of NumPy that count products: (rows, inner, columns) and which operand is transposed."""

    class CountingOps(backend.NumPyOps):
        def __init__(self):
            super().__init__()
            self.products = Counter()

        def matmul(self, a, b, out):
            turned = "nt" if b.strides[0] < b.strides[1] else "nn"
            self.products[(*a.shape, b.shape[1], turned)] += 1
            return super().matmul(a, b, out)

        def accumulate(self, parameter, velocity, a, b, *settings):
            if len(parameter) > 1:  # not a bias
                self.products[(*a.T.shape, b.shape[1], "tn")] += 1
            super().accumulate(parameter, velocity, a, b, *settings)

    before, backend._current = backend.current(), CountingOps()
    yield backend._current
    backend._current = before


@pytest.fixture
def quickly(monkeypatch):
    """Few turns of few mini-batches."""
    monkeypatch.setattr(bench, "ROUNDS", 2)
    monkeypatch.setattr(bench, "BATCHES", 2)


# ---- The floor


@pytest.mark.parametrize("stage", steps.STAGES)
def test_the_floor_has_the_products_that_the_library_takes_and_no_other(ops, stage):
    problem = steps.Problem(stage, steps.Sizes(**TINY))
    steps.ours(problem).step()
    claimed = Counter()
    for a, b, how in steps.products(problem):
        left = a[::-1] if how == "tn" else a
        right = b[::-1] if how == "nt" else b
        assert left[1] == right[0]
        claimed[(*left, right[1], how)] += 1
    assert claimed == ops.products


@pytest.mark.parametrize("stage", steps.STAGES)
def test_the_floor_takes_the_products_that_it_claims(monkeypatch, stage):
    taken, matmul = [], backend.NumPyOps.matmul

    def counting(self, a, b, out):
        taken.append((a.shape, b.shape, a.flags.c_contiguous, b.flags.c_contiguous))
        return matmul(self, a, b, out)

    monkeypatch.setattr(backend.NumPyOps, "matmul", counting)
    problem = steps.Problem(stage, steps.Sizes(**TINY))
    steps.floor(problem).step()
    assert taken == [
        (a[::-1] if how == "tn" else a, b[::-1] if how == "nt" else b, how != "tn", how != "nt")
        for a, b, how in steps.products(problem)
    ]


@pytest.mark.parametrize(("k", "expected"), [(3, 2.61), (6, 3.83), (10, 5.46)])
def test_arithmetic_of_up_down(k, expected):
    """From the sizes alone: for 100 cases 3 + 2k products with the top weights, 6 with those of each other layer."""
    by_hand = 2e-9 * 100 * ((3 + 2 * k) * 510 * 2000 + 6 * 500 * 500 + 6 * 784 * 500)
    problem = steps.Problem(f"up-down k={k}", steps.Sizes(n_batches=1))
    assert steps.gflop(problem) == pytest.approx(expected, abs=0.005)
    assert steps.gflop(problem) == pytest.approx(by_hand)


def test_arithmetic_of_a_greedy_layer():
    """Up, down, up, and the statistics of data and reconstruction: five products of 784 x 500 for 100 cases."""
    problem = steps.Problem("greedy 1", steps.Sizes(n_batches=1))
    assert steps.gflop(problem) == pytest.approx(5 * 2e-9 * 100 * 784 * 500)


# ---- The equality check


@pytest.mark.parametrize("stage", ["greedy 1", "greedy 3", "up-down k=3"])
@pytest.mark.parametrize("who", INSTALLED)
def test_a_right_rival_passes(who, stage):
    answer = rows.check_row(who, stage, steps.Sizes(**TINY))
    assert 0 <= answer["difference"] < equality.TOLERANCE


def test_the_check_is_not_of_weights_that_stand_still():
    problem = steps.Problem("up-down k=3", steps.Sizes(**TINY), **equality.HARD)
    runner = steps.ours(problem)
    before = {name: a.copy() for name, a in runner.weights().items()}
    runner.step()
    for name, a in runner.weights().items():
        assert np.abs(a - before[name]).max() > 100 * equality.TOLERANCE, name


BROKEN = {
    "no momentum": lambda row: setattr(row.p, "momentum", 0.0),
    "no decay": lambda row: setattr(row.p, "decay", 0.0),
    "another rate": lambda row: setattr(row.p, "rate", 0.99 * row.p.rate),
    "another batch": lambda row: setattr(row, "batch", iter([1, 0])),
    "labels as probabilities": lambda row: setattr(row, "one_on", softmax_for(row)),
}


def softmax_for(row):
    def softmax(x):
        row.uniform((len(x), 1))
        e = np.exp(x)
        return e / e.sum(axis=1, keepdims=True)

    return softmax


@pytest.mark.parametrize("stage", ["greedy 3", "up-down k=3"])
@pytest.mark.parametrize("slip", BROKEN)
def test_a_broken_rival_is_refused(monkeypatch, slip, stage):
    def broken(p, uniform):
        copy = steps.Problem(p.stage, p.sizes, p.rate, p.momentum, p.decay)
        row = (rivals._TextbookGreedy if p.greedy else rivals._TextbookUpDown)(copy, uniform)
        BROKEN[slip](row)
        return steps.Runner(row.step, row.weights)

    monkeypatch.setitem(rows.WHO, "textbook", broken)
    assert "weights differ" in rows.check_row("textbook", stage, steps.Sizes(**TINY))["refused"]


def test_weights_that_are_not_numbers_are_refused(monkeypatch):
    monkeypatch.setattr(equality, "rival_differs", lambda *a: float("nan"))
    assert "refused" in rows.check_row("textbook", "greedy 1", steps.Sizes(**TINY))


def test_a_rival_that_samples_something_else_is_told():
    numbers = equality.Numbers()
    numbers.int16((3, 2))
    with pytest.raises(ValueError, match=r"\(2, 3\) where this library samples \(3, 2\)"):
        numbers.replay()((2, 3))


def test_the_numbers_of_a_check_are_uniform_and_keep_away_from_their_thresholds():
    numbers = equality.Numbers()
    numbers.thresholds = np.linspace(-32767, 32767, 40_000).reshape(200, 200)
    r = numbers.int16((200, 200))
    u = numbers.replay()((200, 200))
    assert np.abs(r - numbers.thresholds).min() >= equality.MARGIN
    np.testing.assert_allclose(u, (r + 32768.5) / 65536)
    assert np.abs(np.histogram(u, bins=10, range=(0, 1))[0] / 4000 - 1).max() < 0.1


def test_scikit_learn_must_have_the_same_sizes_in_float32(monkeypatch):
    pytest.importorskip("sklearn")
    sizes = steps.Sizes(**TINY)
    assert rows.check_row("sklearn", "greedy 1", sizes) == {"note": rivals.SKLEARN_NOTE}
    with pytest.raises(NotImplementedError):
        rows.check_row("sklearn", "greedy 2", sizes)
    other = rivals.sklearn(steps.Problem("greedy 1", steps.Sizes(**TINY | {"hid": 10})))
    monkeypatch.setattr(rivals, "sklearn", lambda p: other)
    assert "refused" in rows.check_row("sklearn", "greedy 1", sizes)


@pytest.mark.parametrize("stage", ["greedy 3", "up-down k=3"])
def test_the_other_backend_is_held_to_numpy(cupy_ops, stage):
    captured = standin_cupy.launches["graph"]
    assert rows.check_row("dbn_lite", stage, steps.Sizes())["difference"] < equality.TOLERANCE
    assert standin_cupy.launches["graph"] > captured  # replayed steps were among those compared
    assert backend.current() is cupy_ops


def test_a_broken_backend_is_refused(cupy_ops, monkeypatch):
    right = gpu.CuPyOps.accumulate
    monkeypatch.setattr(gpu.CuPyOps, "accumulate", lambda *a: right(*a[:-2], 0.0, a[-1]))  # no momentum
    assert "weights differ" in rows.check_row("dbn_lite", "greedy 1", steps.Sizes())["refused"]


def test_the_floor_is_captured_too(cupy_ops):
    """Or the ratio would be of one launch to twenty-odd."""
    problem = steps.Problem("up-down k=3", steps.Sizes(**TINY))
    floor, before = steps.floor(problem), dict(standin_cupy.launches)
    for _ in range(4):
        floor.step()
    counted = {what: n - before[what] for what, n in standin_cupy.launches.items()}
    assert (counted["product"], counted["capture"], counted["graph"]) == (len(steps.products(problem)), 1, 3)


def test_tf32_is_not_checked(cupy_ops):
    cupy_ops.name = "cupy-tf32"
    assert "not checked" in rows.check_row("dbn_lite", "greedy 1", steps.Sizes())["note"]


def test_no_draw_of_a_devices_check_lies_at_its_threshold(monkeypatch):
    """Or the last bit of some device's tanh would decide about a state, and a right device be refused."""
    distances = []

    class Watching(backend.NumPyOps):
        def sample(self, x, bias, rng, *more, **named):
            threshold, site = 32767 * np.tanh((np.float64(x) + bias) / 2), rng.site
            r, rng.site = rng.int16(x.shape), site
            distances.append(np.abs(threshold - r - (threshold >= 0)).min())  # a state is on if r < trunc(threshold)
            return super().sample(x, bias, rng, *more, **named)

    monkeypatch.setattr(backend, "_current", Watching())
    for stage in steps.STAGES:
        problem = steps.Problem(stage, steps.Sizes(**equality.SMALL), **equality.HARD)
        runner = steps.ours(problem, random.PhiloxRandom(equality.GPU_SEED, "bench"))
        for _ in range(equality.GPU_STEPS):
            runner.step()
    assert len(distances) == equality.GPU_STEPS * (3 * 1 + 3 * 3 + 2 * (3 + 6 + 10))
    assert 0.3 < min(distances) < 1  # float32 is good to 0.05; and so many draws do come close


# ---- Rows and sums


def test_rows_are_timed_in_turns_and_the_floor_is_the_unit(quickly):
    found = bench.compare("greedy 1", 1, ("floor", "dbn_lite", "textbook"), **TINY)
    assert [row["who"] for row in found] == ["floor", "dbn_lite", "textbook"]
    assert found[0]["ratio"] == 1
    for row in found:
        assert row["seconds"] > 0
        assert row["ratio"] == pytest.approx(row["seconds"] / found[0]["seconds"], rel=0.05)
        low, high = row["range"]
        assert low <= row["seconds"] <= high
        assert 10 < row["peak_mib"] < 1000
        assert row["batch"] == TINY["batch"]


def test_a_row_that_does_not_know_the_stage_is_left_out(quickly):
    assert [row["who"] for row in bench.compare("greedy 2", 1, ("floor", "sklearn"), **TINY)] == ["floor"]


def test_a_failing_row_shows_its_error():
    with pytest.raises(RuntimeError, match=r"the row dbn_lite failed:[^$]*there is no backend called"):
        bench.Row("greedy 1", "dbn_lite", 1, "abacus", TINY)


def test_hours_of_the_paper():
    """With one second a mini-batch: 3 x 30 and 3 x 100 epochs of 440, and 59 of 600."""
    measured = [{"stage": stage, "who": "dbn_lite", "threads": 2, "seconds": 1.0} for stage in steps.STAGES]
    other = [{"stage": stage, "who": "floor", "threads": 2, "seconds": 9.0} for stage in steps.STAGES]
    assert bench.paper_hours(measured + other, 2) == pytest.approx(((378 + 12 * 9 / 5) * 440 + 59 * 600) / 3600)
    assert bench.paper_hours(measured, 1) is None
    assert bench.paper_hours(measured[1:], 2) is None


def test_every_stage_of_the_paper_is_measured():
    names = {stage.name for stage in presets.PRESETS["paper"].stages if not stage.all_images}
    assert names - {"greedy 3, CD-3"} == set(steps.STAGES)


@pytest.fixture
def small_bench(monkeypatch, quickly):
    """The whole benchmark on a net so small that it takes seconds; the textbook fails its check."""
    compare = bench.compare

    def check_rows(stage, who, backend_name):
        return {name: {"refused": "wrong"} if name == "textbook" else {} for name in who if name in KEPT}

    def small(stage, threads, who, backend_name, **sizes):
        return compare(stage, threads, who, backend_name, **TINY | sizes)

    monkeypatch.setattr(bench, "check_rows", check_rows)
    monkeypatch.setattr(bench, "compare", small)
    monkeypatch.setattr(bench, "STAGES", ("greedy 1",))
    monkeypatch.setattr(bench.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(bench, "paper_hours", lambda rows, threads: 1.25)
    monkeypatch.setattr(bench, "SWEEPS", {"batch size": [{"batch": 5}]})


KEPT, CHECK_ROWS = ("floor", "dbn_lite", "textbook"), bench.check_rows


def test_command_prints_what_it_found(small_bench, capsys, tmp_path):
    out = tmp_path / "bench.json"
    assert cli.main(["bench", "--backend", "numpy", "--out", str(out)]) == 0
    printed, said = capsys.readouterr()
    assert "times the floor" in printed
    assert "not timed: wrong" in printed
    assert "paper preset x1  1.25 hours" in printed
    assert "greedy 1, textbook: refused, wrong" in said
    result = json.loads(out.read_text())
    timed = [row for row in result["rows"] if "seconds" in row]
    assert {row["who"] for row in timed} == {"floor", "dbn_lite"}
    assert any(row.get("sweep") == "batch size" and row["batch"] == 5 for row in timed)
    assert result.keys() == {"rows", "paper_hours", "settings", "versions", "machine", "date"}
    assert result["machine"]["cpu"]
    assert result["versions"]["numpy"] == np.__version__


@pytest.fixture
def cupy_in_every_process(cupy_ops, tmp_path, monkeypatch):
    """The stand-in under the name of cupy, also for the rows' own processes."""
    here = Path(__file__).parent
    patch = "from dbn_lite.backend import gpu\ngpu.cublas_library = CuBLAS\n"
    (tmp_path / "cupy.py").write_text(f"from standin_cupy import *\nfrom standin_cupy import __version__\n{patch}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path, here, here.parent))))


def test_the_benchmark_runs_on_the_other_backend(cupy_in_every_process, small_bench, monkeypatch):
    monkeypatch.setattr(bench, "paper_hours", lambda rows, threads: 50 / 3600)
    monkeypatch.setattr(bench, "check_rows", CHECK_ROWS)
    said = []
    result = bench.run("cupy", said.append)
    timed = [row for row in result["rows"] if "sweep" not in row]
    assert [row["who"] for row in timed] == list(bench.ON_GPU), said
    assert timed[1]["difference"] < equality.TOLERANCE
    for row in timed:
        assert row["seconds"] > 0
        assert row["device_mib"] >= gpu.WORKSPACE / 2**20
    assert result["paper_hours"] == {"1": pytest.approx(50 / 3600, rel=1e-3)}
    assert result["machine"]["gpu"] == "a stand-in"
    assert result["machine"]["cuda"] == {"driver": 13000, "runtime": 12090}
    assert result["versions"]["standin_cupy"] == "stand-in"
    assert (result["settings"]["backend"], bool(result["date"])) == ("cupy", True)


def test_command_prints_json(monkeypatch, capsys):
    result = {"rows": [{"stage": "greedy 1", "who": "floor", "seconds": 1.5}], "paper_hours": {"1": 2.5}}
    monkeypatch.setattr(bench, "run", lambda backend_name, say: say("a line of progress") or result)
    assert cli.main(["bench", "--backend", "numpy", "--json"]) == 0
    printed, said = capsys.readouterr()
    assert json.loads(printed) == result
    assert said == "a line of progress\n"


# ---- The plot


def some_rows():
    """Every row of two stages on one and two threads; the ratio of row i is 1 + i / 10, its range a tenth about it."""
    return [
        {"stage": s, "who": w, "threads": n, "ratio": r, "seconds": 2 * r, "range": [1.9 * r, 2.1 * r]}
        for s in ("greedy 1", "up-down k=3")
        for n in (1, 2)
        for w, r in zip(bench.ON_CPU, np.arange(10, 16) / 10, strict=True)
    ]


def test_the_plot_shows_ratios_and_ranges():
    sweep = {"sweep": "batch size", "stage": "up-down k=3", "who": "floor", "threads": 1, "ratio": 7.0, "seconds": 1.0}
    figure = plot.benchmark([*some_rows(), sweep, {"stage": "greedy 1", "who": "sklearn", "refused": "wrong"}])
    assert [axes.get_title() for axes in figure.axes] == ["1 thread", "2 threads"]
    for axes in figure.axes:
        drawn = {line.get_label(): line.get_ydata() for line in axes.lines[1:]}
        assert list(drawn) == [name for name in bench.ON_CPU if name != "floor"]
        for i, ratios in enumerate(drawn.values()):
            np.testing.assert_allclose(ratios, [1.1 + i / 10] * 2)
        ends = [np.array(bars.get_segments())[:, :, 1] for bars in axes.collections]
        np.testing.assert_allclose(ends[0], [[0.95 * 1.1, 1.05 * 1.1]] * 2)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["greedy 1", "up-down k=3"]


def test_rows_of_the_plot_differ_by_colour_and_by_shape():
    lines = plot.benchmark(some_rows()).axes[0].lines[1:]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == len(lines) == 5
