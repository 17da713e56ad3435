"""The command line: what it prints, what it writes, its exit codes, and one sentence for whatever is wrong."""

import hashlib
import importlib.metadata
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from easy import (
    arrays_of,
    assert_same_bits,
    contents,
    error_percent,
    greedy,
    log_of,
    meta_of,
    noisy_prototypes,
    preset,
    up_down,
)
from matplotlib.image import imread

from dbn_lite import cli, data, dbn, places, plot, presets, store, train
from dbn_lite.data import dreamed, formats, sources
from dbn_lite.dbn import METHODS
from dbn_lite.errors import InputError
from dbn_lite.paper import figures, record, scoreboard
from dbn_lite.study import dreams

TINY = preset(*greedy(4), up_down(2), layers=(40, 30, 60), batch_size=20)


@pytest.fixture(scope="module")
def digits():
    return noisy_prototypes(400, 200, (28, 28), noise=0.3)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, digits):
    """Those digits as an embedded set, written once."""
    path = tmp_path_factory.mktemp("embedded") / "digits.npz"
    images = np.concatenate([digits.train_images, digits.test_images])
    data.write_dreamed(path, images, np.append(digits.train_labels, digits.test_labels), n_test=200)
    return path


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch, embedded):
    """A package of its own with another embedded set, and a preset that is over at once; nothing else is at hand."""
    shelf = tmp_path / "package" / "_data"
    shelf.mkdir(parents=True)
    shutil.copy(places.shipped("registry.json"), shelf)
    monkeypatch.setattr(places, "_PACKAGE", shelf.parent)
    monkeypatch.delenv("DBN_LITE_DATA", raising=False)
    shutil.copy(embedded, shelf / formats.DREAMED)
    monkeypatch.setitem(presets.PRESETS, "tiny", TINY)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def call(capsys):
    """Run a command and return what it prints as JSON."""

    def run(*argv):
        assert cli.main([*map(str, argv), "--json"]) == 0
        out, _ = capsys.readouterr()
        assert out.count("\n") == 1
        return json.loads(out)

    return run


@pytest.fixture
def refused(capsys, tmp_path):
    """Run a command that must fail: exit code 2, one sentence, nothing on stdout, no file changed."""

    def run(*argv):
        before = contents(tmp_path)
        for more in ([], ["--json"]):
            assert cli.main([*map(str, argv), *more]) == 2
            out, error = capsys.readouterr()
            assert out == ""
            assert error.startswith("dbn-lite: ")
            assert error.endswith(".\n")
            assert error.count("\n") == 1
        assert contents(tmp_path) == before
        return error

    return run


def picture_net(pixels=784, hid=4, pen=3, top=5):
    """A net that dreams one picture whatever happens: its upper half dark, its left half half dark."""
    side = 28 if pixels == 784 else pixels
    ink = np.zeros((side, pixels // side), np.float32)
    ink[: side // 2] = 1
    ink[:, : pixels // side // 2] += 0.5 * (ink[:, : pixels // side // 2] == 0)
    shapes = {
        "vishid": (pixels, hid), "hidrecbiases": (hid,), "hidpen": (hid, pen), "penrecbiases": (pen,),
        "pentop": (pen, top), "labtop": (10, top), "topbiases": (top,), "pengenbiases": (pen,), "labgenbiases": (10,),
        "penhid": (pen, hid), "hidgenbiases": (hid,), "hidvis": (hid, pixels), "visgenbiases": (pixels,),
    }  # fmt: skip
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return dbn.from_arrays({**arrays, "visgenbiases": 40 * (ink.ravel() - 0.5)})


@pytest.fixture(scope="module")
def random_net(tmp_path_factory):
    """A net that is right more often than by chance and far from always."""
    path = tmp_path_factory.mktemp("nets") / "net.npz"
    dataset = noisy_prototypes(400, 200, (28, 28), noise=0.3)
    out = path.parent / "run"
    train.Run(preset(*greedy(10, rate=0.1), layers=(40, 30, 60)), dataset, 7, out).train(progress=False)
    arrays = arrays_of(out / "net.npz")
    arrays["labtop"] += np.random.default_rng(0).normal(scale=1.0, size=arrays["labtop"].shape).astype(np.float32)
    store.save(dbn.from_arrays(arrays), path, seed=7)
    return path


# It does what it says


def test_train_leaves_a_net_that_the_other_commands_take(call, capsys, tmp_path):
    result = call("train", "--preset", "tiny", "--data", "dreamed", "--seed", 3, "--out", "run")
    assert sorted(os.listdir("run")) == ["checkpoint.npz", "greedy.npz", "log.jsonl", "net.npz"]
    assert result["net"] == os.path.join("run", "net.npz")
    assert result["stage"] == "up-down"
    assert result["validation_error"] == log_of(tmp_path / "here" / "run")[-1]["validation_error"]
    about = call("info", "run/net.npz")
    assert (about["vis"], about["hid"], about["pen"], about["top"], about["lab"]) == (784, 40, 30, 60, 10)
    assert about["weights"] == 2 * (784 * 40 + 40 * 30) + (30 + 10) * 60
    assert (about["seed"], about["preset"]) == (3, "easy")
    train.Run(TINY, data.load("dreamed"), 3, tmp_path / "direct").train(progress=False)
    assert_same_bits("run/net.npz", tmp_path / "direct" / "net.npz")


def test_train_with_json_prints_nothing_else_and_without_shows_lines(capsys):
    assert cli.main(["train", "--preset", "tiny", "--data", "dreamed", "--out", "a", "--json"]) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["net"]
    assert error == ""
    assert cli.main(["train", "--preset", "tiny", "--data", "dreamed", "--out", "b"]) == 0
    out, error = capsys.readouterr()
    assert "validation_error" in out
    assert "100 %" in error


def test_info_counts_the_weights_of_the_paper(call):
    store.save(picture_net(784, 500, 500, 2000), "net.npz")
    about = call("info", "net.npz")
    assert about["weights"] == 2_304_000 == 2 * (784 * 500 + 500 * 500) + 510 * 2000


@pytest.mark.parametrize("meta", [{}, {"preset": "by hand"}, {"preset": {}}])
def test_info_takes_any_description(call, meta):
    store.save(picture_net(), "net.npz", **meta)
    assert call("info", "net.npz").get("preset") in (None, "by hand")


def test_info_tells_the_true_sizes_and_steers_no_terminal(call, capsys):
    """Whatever somebody wrote into the file beside the net."""
    store.save(picture_net(), "net.npz", vis=1, weights="none", note="\x1b[31mred")
    about = call("info", "net.npz")
    assert (about["vis"], about["weights"]) == (784, 784 * 4 * 2 + 4 * 3 * 2 + 13 * 5)
    assert cli.main(["info", "net.npz"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[31mred" in out


def test_what_the_output_cannot_encode_is_replaced(monkeypatch):
    """Windows redirects to a code page without the arrow of row 6."""
    store.save(picture_net(), "net.npz", preset="2.5 → 2.0")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert cli.main(["info", "net.npz"]) == 0
    sys.stdout.flush()
    assert b"2.5 ? 2.0" in sys.stdout.buffer.getvalue()


def test_evaluate_takes_any_description(call):
    store.save(picture_net(), "net.npz", preset={})
    assert call("evaluate", "net.npz", "--data", "dreamed", "--split", "train")["images"] == 200


@pytest.mark.parametrize("split", ["test", "validation", "train"])
def test_evaluate_counts_the_errors(call, random_net, split):
    """Counted again in float64, on the split that the net was trained on: that of its own seed."""
    result = call("evaluate", random_net, "--data", "dreamed", "--split", split)
    dataset = data.load("dreamed")
    own = data.split(dataset, np.random.default_rng([7, 1]))
    images, labels = {
        "test": (dataset.test_images, dataset.test_labels),
        "validation": (own.validation_images, own.validation_labels),
        "train": (own.train_images, own.train_labels),
    }[split]
    percent = error_percent(arrays_of(random_net), images, labels)
    assert 5 < percent < 85  # else little would be shown
    assert result["error_percent"] == pytest.approx(percent, abs=1e-4)
    assert (result["errors"], result["images"]) == (round(percent / 100 * len(labels)), len(labels))
    assert (result["data"], result["split"], result["method"]) == ("dreamed", split, "deterministic")
    assert result["seconds"] >= 0


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_images_that_look_inverted_are_mentioned_in_one_line(random_net, capsys, monkeypatch, digits, command):
    inverted = replace(digits, train_images=1 - digits.train_images * 0.2, test_images=1 - digits.test_images * 0.2)
    more = {"evaluate": [str(random_net)], "train": ["--preset", "tiny", "--out", "run"]}[command]
    for dataset, lines in ((inverted, 1), (digits, 0)):
        monkeypatch.setattr(data, "load", lambda name, dataset=dataset: dataset)
        shutil.rmtree("run", ignore_errors=True)
        assert cli.main([command, *more, "--json"]) == 0
        told = capsys.readouterr().err
        assert told.count("\n") == lines
        assert ("give 1 - images" in told) == bool(lines)


@pytest.mark.parametrize("method", METHODS)
def test_evaluate_reads_out_by_the_method_named(call, random_net, method):
    dataset, counts = data.load("dreamed"), []
    for seed in range(4):
        result = call("evaluate", random_net, "--data", "dreamed", "--method", method, "--seed", seed)
        labels = dbn.predict(store.load(random_net), dataset.test_images, method, seed)
        assert result["errors"] == (labels != dataset.test_labels).sum()
        assert result["method"] == method
        counts.append(result["errors"])
    assert (len(set(counts)) == 1) == (method == "deterministic")


def boxes(picture):
    """Bounding boxes of what is not white, cut apart at white columns: (top, bottom, left, right)."""
    inked = (picture < 0.95).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked, [0]])))
    for left, right in edges.reshape(-1, 2):
        rows = np.flatnonzero((picture[:, left:right] < 0.95).any(axis=1))
        yield rows[0], rows[-1] + 1, left, right


def test_generate_writes_a_picture_of_what_the_net_dreams(call):
    store.save(picture_net(), "net.npz")
    result = call("generate", "net.npz", "--label", 3, "--n", 4, "--steps", 2, "--out", "three.png")
    assert result == {"images": 4, "written": "three.png"}
    assert Path("three.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    picture = imread("three.png")[..., :3].mean(axis=2)
    found = list(boxes(picture))
    assert len(found) == 4
    for top, bottom, left, right in found:
        height, width = bottom - top, right - left
        assert height > 50
        assert height == pytest.approx(width, rel=0.1)
        middle_y, middle_x, gap = top + height // 2, left + width // 2, 6
        assert picture[top + 2 : middle_y - gap, left + 2 : right - 2].max() < 0.1  # ink is dark, and above
        grey = picture[middle_y + gap : bottom - 2, left + 2 : middle_x - gap]
        assert 0.4 < grey.min() <= grey.max() < 0.6
        assert picture[middle_y + gap : bottom - 2, middle_x + gap : right - 2].min() > 0.95


def test_generate_clamps_the_label_counts_steps_and_follows_the_seed(call, random_net, monkeypatch):
    asked = []
    made = dbn.generate
    monkeypatch.setattr(dbn, "generate", lambda *given: asked.append(given[1:]) or made(*given))
    for label, seed, out in ((3, 0, "a"), (3, 0, "b"), (3, 1, "c"), (4, 0, "d")):
        call("generate", random_net, "--label", label, "--n", 3, "--steps", 5, "--seed", seed, "--out", out)
    call("generate", random_net, "--out", "free")
    assert asked == [(3, 3, 5, 0), (3, 3, 5, 0), (3, 3, 5, 1), (4, 3, 5, 0), (None, 10, 300, 0)]
    a, b, c, d = (imread(io.BytesIO(Path(name).read_bytes())) for name in "abcd")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert (a != d).any()


@pytest.mark.parametrize("pixels", [6, 7, 256])
def test_generate_draws_nets_of_any_size(call, pixels):
    store.save(picture_net(pixels), "net.npz")
    assert call("generate", "net.npz", "--n", 1, "--steps", 1, "--out", "x.png")["images"] == 1


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("x.png", b"\x89PNG"), ("x.PNG", b"\x89PNG"), ("x", b"\x89PNG"), ("x.jpg", b"\xff\xd8\xff"),
        ("x.jpeg", b"\xff\xd8\xff"), ("x.pdf", b"%PDF-"), ("x.svg", b"<?xml"),
    ],
)  # fmt: skip
def test_a_picture_is_of_the_kind_that_its_name_says(call, name, begins):
    store.save(picture_net(), "net.npz")
    call("generate", "net.npz", "--n", 1, "--steps", 1, "--out", name)
    assert Path(name).read_bytes().startswith(begins)


def test_a_thousand_images_are_one_picture_in_the_time_of_its_pixels(call, monkeypatch):
    """One pair of axes holds them all, in rows and columns that make a square."""
    store.save(picture_net(), "net.npz")
    drawn, sheet = [], plot.contact_sheet
    monkeypatch.setattr(plot, "contact_sheet", lambda *given: drawn.append(sheet(*given)) or drawn[0])
    call("generate", "net.npz", "--n", 1000, "--steps", 1, "--out", "x.png")
    assert len(drawn[0].axes) == 1
    picture = imread("x.png")[..., :3].mean(axis=2)
    height, width = picture.shape
    assert 1500 < width < 6500
    assert height == pytest.approx(width, rel=0.15)
    assert len(list(boxes(picture))) == 32


def test_output_is_tested_before_the_work(refused, monkeypatch):
    """By generate, dream and reproduce; and no input is written over, whatever it is called."""
    store.save(picture_net(), "net.npz")
    os.symlink("net.npz", "link.npz")
    Path("file").write_bytes(b"")
    for module, work in ((dbn, "generate"), (dreamed, "_readable_dreams"), (scoreboard, "measure")):
        monkeypatch.setattr(module, work, None)
    for argv in ("generate net.npz", "data dream net.npz"):
        assert "missing/x.png: the folder missing does not exist" in refused(*argv.split(), "--out", "missing/x.png")
        for out in ("net.npz", "link.npz", os.path.abspath("net.npz")):
            assert "is what is read; name another file to write to" in refused(*argv.split(), "--out", out)
    assert "x.tiff names no kind of picture that is known; end it in .png, .jpg" in refused(
        "generate", "net.npz", "--out", "x.tiff"
    )
    for out in ("file", "file/figures"):
        sentence = refused("reproduce", "--data", "dreamed", "--out", out)
        assert f"cannot make the folder {out} (file is no folder); choose another" in sentence


def test_more_images_than_a_picture_holds_are_refused_before_any_is_made(refused):
    store.save(picture_net(), "net.npz")
    for n in (10_001, 10**9, 10**30):
        assert f"{n} images do not fit in one picture; ask for at most 10000" in refused(
            "generate", "net.npz", "--n", n, "--steps", 1, "--out", "x.png"
        )


@pytest.mark.parametrize("command", ["info", "evaluate"])
@pytest.mark.parametrize("seed", ["x", -1, None, 1.5, [1]])
def test_a_net_whose_seed_is_none_is_refused_by_all(refused, command, seed):
    store.save(picture_net(), "net.npz", seed=seed)
    more = {"info": [], "evaluate": ["--data", "dreamed"]}[command]
    sentence = refused(command, "net.npz", *more)
    assert f"its description.seed is {seed!r}, not a whole number of at least 0; train it" in sentence


def test_half_a_line_of_a_log_is_refused(call, refused):
    call("train", "--preset", "tiny", "--data", "dreamed", "--out", "runs/paper-seed0")
    log = Path("runs/paper-seed0/log.jsonl")
    log.write_text(log.read_text()[:-40])
    sentence = refused("reproduce", "--data", "dreamed", "--runs", "runs")
    assert "paper-seed0/log.jsonl is no JSON file; record the run again" in sentence


def test_no_value_is_dropped(refused):
    assert "--out=-- gives no value; a file of that name is ./--" in refused("generate", "net.npz", "--out=--")


def test_dream_writes_the_embedded_set(call, monkeypatch, tmp_path):
    """At first without one, and with a net whose picture is easy to know again."""
    monkeypatch.setattr(dreamed, "DREAM_STEPS", 1)
    sure_of_all = lambda net, images: np.zeros((len(images), 10))  # noqa: E731
    monkeypatch.setattr(dreamed, "label_log_probs", sure_of_all)
    store.save(picture_net(), "net.npz", seed=5)
    os.remove(tmp_path / "package" / "_data" / formats.DREAMED)
    result = call("data", "dream", "net.npz", "--seed", 1)
    assert result["written"] == str(tmp_path / "package" / "_data" / formats.DREAMED)
    assert result["images"] == 14_000
    kept = data.load("dreamed")
    assert (len(kept.train_labels), len(kept.test_labels)) == (12_000, 2_000)
    assert np.bincount(np.append(kept.train_labels, kept.test_labels)).tolist() == [1400] * 10
    assert np.bincount(kept.test_labels, minlength=10).min() > 120  # mixed, so that every class is in both parts
    assert kept.train_images[:, :300].min() == 1
    about = meta_of(result["written"])
    assert (about["net"]["seed"], about["steps"], about["seed"]) == (5, 1, 1)
    assert call("data", "dream", "net.npz", "--out", "mine.npz")["written"] == "mine.npz"


def shades(net, digit, n, steps, rng):
    """A stand-in for the chains: a shade for each class; a third is the next one's, a third nothing, half unclear."""
    images = np.full((n, 784), (digit + 1) / 11, np.float32)
    images[1::3] = (digit + 2) / 11
    images[2::3] = 0
    images[::2, -1] = 1
    return images


def shade_log_probs(net, images):
    """The class of a shade, or 0 of an empty page, with nearly all probability; less where the dream is unclear."""
    seen = np.clip(np.rint(11 * images[:, 0]) - 1, 0, 9).astype(int)
    sure = np.where(images[:, -1:] == 1, 0.8, 0.99)
    return np.log(np.where(seen[:, None] == np.arange(10), sure, (1 - sure) / 9))


def test_dreams_carry_the_label_that_the_net_is_sure_of_and_none_is_an_empty_page(monkeypatch, call):
    monkeypatch.setattr(dreamed, "generate", shades)
    monkeypatch.setattr(dreamed, "label_log_probs", shade_log_probs)
    store.save(picture_net(), "net.npz")
    call("data", "dream", "net.npz")
    kept = data.load("dreamed")
    for images, labels in ((kept.train_images, kept.train_labels), (kept.test_images, kept.test_labels)):
        np.testing.assert_array_equal(np.rint(11 * images[:, 0]) - 1, labels)
        assert images.max(axis=1).max() < 1  # neither an unclear one nor the shade after the last
        assert images.mean(axis=1).min() > 0


def test_a_net_that_is_not_sure_of_its_dreams_writes_none(monkeypatch, capsys, call, tmp_path):
    monkeypatch.setattr(dreamed, "DREAM_STEPS", 1)
    store.save(picture_net(), "net.npz")
    assert cli.main(["data", "dream", "net.npz", "--out", "mine.npz"]) == 2  # to it all labels are alike
    assert "the net is sure of few of its dreams of 0; train it longer." in capsys.readouterr().err
    assert not (tmp_path / "mine.npz").exists()


def test_reproduce_prints_the_scoreboard_and_writes_the_figures(call, capsys, random_net, tmp_path, monkeypatch):
    """The net that is shipped, and no recorded run: each of the rows says what there is."""
    quick_chains(monkeypatch)
    shelf = tmp_path / "package" / "_data" / "trained"
    shelf.mkdir()
    shutil.copy(random_net, shelf / "paper.npz")
    result = call("reproduce", "--data", "dreamed", "--out", "here/figures")
    names = ("6-close-calls", "7-errors", "8-samples", "9-evolution")
    assert result["figures"] == [os.path.join("here", "figures", f"figure{name}.png") for name in names]
    assert all(Path(path).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in result["figures"])
    assert (result["data"], result["net"], result["runs"]) == ("dreamed", str(shelf / "paper.npz"), [])
    assert [row["number"] for row in result["rows"]] == list(range(1, 15))
    errors = (
        dbn.predict(store.load(random_net), data.load("dreamed").test_images) != data.load("dreamed").test_labels
    ).sum()
    assert result["rows"][3]["net"] == str(errors)
    assert all(row["runs"] == "no recorded run" for row in result["rows"][:11])
    assert cli.main(["reproduce", "--data", "dreamed", "--out", "again"]) == 0
    out, error = capsys.readouterr()
    assert re.search(
        r"test images that it gets wrong.*\n +the paper  125\n +our runs  no recorded run\n +this net  \d+\n", out
    )
    assert re.search(r"runs  none\n", out)
    assert "drawing figure9" in error


def quick_chains(monkeypatch):
    """Figures 8 and 9 from chains of a few steps."""
    for name in ("samples_by_class", "evolution_by_class"):
        monkeypatch.setattr(figures, name, partial(getattr(dbn, name), every=1))


def test_reproduce_from_scratch_trains_three_seeds_and_goes_on_with_what_is_there(call, monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "PICTURES", {})
    last = up_down(2, (0.01, 0.01), "all images", all_images=True, until_matched=True, record_every=1)
    monkeypatch.setitem(presets.PRESETS, "paper", replace(TINY, name="paper", stages=(*TINY.stages, last)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)  # in this process, one by one
    monkeypatch.setattr(record, "DREAMS_AFTER", (2,))
    result = call("reproduce", "--from-scratch", "--data", "dreamed")
    assert result["runs"] == ["seed 0, finished", "seed 1, finished", "seed 2, finished"]
    assert sorted(os.listdir("runs")) == sorted(f"paper-seed{n}{end}" for n in range(3) for end in ("", ".json"))
    runs = [json.loads(Path(f"runs/paper-seed{n}.json").read_text()) for n in range(3)]
    best = min(runs, key=lambda run: run["best_validation_error"])["seed"]
    assert result["net"] == os.path.join("runs", f"paper-seed{best}", "net.npz")
    mean = np.mean([run["final_test_errors"] for run in runs]) / 2
    assert result["rows"][2]["runs"].startswith(f"{mean:.2f} ± ")
    monkeypatch.setattr(train.Run, "_run_epoch", None)  # nothing is trained again
    assert call("reproduce", "--from-scratch", "paper", "--data", "dreamed")["rows"] == result["rows"]
    assert call("reproduce", "--runs", "runs", "--data", "dreamed")["rows"] == result["rows"]


def test_experiments_go_on_from_a_run_and_leave_their_record(call, monkeypatch):
    stages = (*(replace(TINY.stages[-1], name=f"up-down k={k}", n_gibbs=k) for k in (3, 6, 10)),)
    monkeypatch.setitem(presets.PRESETS, "paper", replace(TINY, stages=stages))
    call("train", "--preset", "paper", "--data", "dreamed", "--seed", 3, "--out", "run")
    result = call("experiment", "k-effect", "run", "--data", "dreamed", "--out", "k")
    assert result["ends"].keys() == {"3, 6, 10", "3, 3, 3"}
    assert json.loads(Path("k/k-effect.json").read_text())["ends"] == result["ends"]
    left = ("experiment", "left-running", "run", "--data", "dreamed", "--epochs", 2, "--out", "left")
    assert 0 < call(*left)["test_error_at_fewest_training_errors"] < 100
    assert len(json.loads(Path("left/left-running.json").read_text())["rows"]) == 2


def test_the_command_is_installed_under_its_name():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="dbn-lite")
    assert entry.load() is cli.main


def test_dreams_says_for_each_start_and_time_what_the_chains_show(call, random_net):
    rows = call("dreams", random_net, "--data", "dreamed")["rows"]
    assert [(row["start"], row["after"]) for row in rows] == [(s, n) for s in dreams.STARTS for n in (100, 1000)]
    assert {row["faint"] + row["right"] + row["another"] for row in rows} == {100}


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    commands = ("data", "train", "evaluate", "generate", "reproduce", "experiment", "dreams", "bench", "table1", "info")
    commands += ("watch", "senses")
    assert all(re.search(rf"^ +{name}\b", shown, re.MULTILINE) for name in commands)


def test_ctrl_c_in_any_other_command_is_no_traceback(monkeypatch, capsys):
    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "load", stop)
    assert cli.main(["info", "net.npz"]) == 130
    assert capsys.readouterr() == ("", "stopped.\n")


@pytest.mark.parametrize("argv", ["reproduce --from-scratch", "experiment k-effect run --out k", "table1 svm"])
def test_ctrl_c_in_what_takes_hours_says_that_it_goes_on(monkeypatch, capsys, argv):
    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", stop)
    assert cli.main([*argv.split(), "--data", "dreamed"]) == 130
    assert capsys.readouterr() == ("", "stopped; the same command goes on from what is finished.\n")


def test_ctrl_c_while_training_says_how_to_go_on(call, monkeypatch, capsys, tmp_path):
    train_it = ["train", "--preset", "tiny", "--data", "dreamed", "--out", "run", "--json"]
    step = train.GreedyLearner.step
    with monkeypatch.context() as patch:
        patch.setattr(train.GreedyLearner, "step", lambda *given: (signal.raise_signal(signal.SIGINT), step(*given)))
        assert cli.main(train_it) == 130
    words = "stopped; go on from the last checkpoint in run with the same command and --resume.\n"
    assert capsys.readouterr() == ("", words)
    call(*train_it[:-1], "--resume")
    train.Run(TINY, data.load("dreamed"), 0, tmp_path / "direct").train(progress=False)
    assert_same_bits("run/net.npz", tmp_path / "direct" / "net.npz")


# What is wrong


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("train --preset slow --out run", "there is no preset called 'slow'; choose one of smoke, quick, paper"),
        ("train --preset tiny --data cifar --out run", "there is no data set 'cifar'; choose auto, mnist, dreamed or"),
        ("train --preset tiny --data dreamed --backend torch --out run", "there is no backend called 'torch'; choose"),
        ("train --preset tiny --data dreamed --seed -1 --out run", "the seed is -1; it must be 0 or more"),
        ("train --preset tiny --data dreamed --out net.npz", "cannot make the folder net.npz"),
        ("train --preset tiny --data dreamed --out net.npz/run", "cannot make the folder net.npz/run"),
        ("evaluate net.npz --data cifar", "there is no data set 'cifar'"),
        ("evaluate net.npz --data dreamed --split all", "there is no split called 'all'; choose one of test, val"),
        ("evaluate net.npz --data dreamed --method vote", "there is no read-out called 'vote'; choose one of determin"),
        ("evaluate net.npz --data dreamed --seed -3", "the seed is -3; it must be 0 or more"),
        ("evaluate small.npz --data dreamed", "images have 784 pixels; give images of 256 pixels"),
        ("evaluate none.npz --data dreamed", "none.npz does not exist; give the path of an .npz file"),
        ("evaluate broken.npz --data dreamed", "broken.npz is not an .npz file of plain arrays"),
        ("generate net.npz --label 10 --out x.png", "label 10 is out of range; this net knows the labels 0 to 9"),
        ("generate net.npz --label -1 --out x.png", "label -1 is out of range"),
        ("generate net.npz --n 0 --out x.png", "n is 0; give a whole number of at least 1"),
        ("generate net.npz --n -2 --out x.png", "n is -2; give a whole number of at least 1"),
        ("generate net.npz --steps 0 --out x.png", "steps is 0; give a whole number of at least 1"),
        ("generate net.npz --seed -1 --out x.png", "the seed is -1; it must be 0 or more"),
        ("generate net.npz --n 1 --steps 1 --out missing/x.png", "the folder missing does not exist; make it or"),
        ("generate net.npz --n 1 --steps 1 --out .", "cannot write ."),
        ("generate net.npz --n 1 --steps 1 --out run.d", "cannot write run.d"),
        ("generate broken.npz --out x.png", "broken.npz is not an .npz file of plain arrays"),
        ("info broken.npz", "broken.npz is not an .npz file of plain arrays (it is damaged"),
        ("info run.d", "run.d is a folder; give the path of an .npz file"),
        ("info net.npz --backend torch", "there is no backend called 'torch'"),
        ("reproduce --data cifar", "there is no data set 'cifar'; choose auto, mnist, dreamed or usps"),
        ("reproduce --data dreamed --runs run.d", "run.d holds no run called paper-seed0 or the like; train one, or"),
        ("reproduce --data dreamed", "trained/paper.npz does not come with this copy of dbn_lite; install or check"),
        ("experiment k-effect run.d --data dreamed --out k", "net.npz does not exist; give the path of an .npz file"),
        ("experiment k-effect run.d --data dreamed --epochs 3 --out k", "k-effect has epochs of its own; leave"),
        ("experiment proposals --data dreamed --epochs 3 --out k", "proposals has epochs of its own; leave"),
        ("experiment fading run.d --data dreamed --out k", "fading trains nets of its own and takes no run; leave"),
        ("experiment left-running --data dreamed --out k", "left-running looks at a run that is finished; give"),
        ("experiment left-running a b --data dreamed --out k", "left-running takes one run, not 2; give the"),
        ("experiment left-running a --data dreamed --epochs 0 --out k", "0 epochs are nothing to run; ask for at"),
        ("data dream broken.npz", "broken.npz is not an .npz file of plain arrays"),
        ("data dream net.npz --out missing/x.npz", "cannot write missing/x.npz: the folder missing does not exist"),
        ("bench --out missing/x.json", "cannot write missing/x.json: the folder missing does not exist; make it"),
        ("data dream", "does not exist; give the path of an .npz file"),
        ("data dream net.npz --seed -1", "the seed is -1"),
        ("data fetch cifar", "there is no data set 'cifar' to fetch or verify"),
        ("data verify cifar", "there is no data set 'cifar' to fetch or verify"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_nothing_is_written(refused, argv, words):
    store.save(picture_net(), "net.npz")
    store.save(picture_net(256), "small.npz")
    Path("broken.npz").write_bytes(Path("net.npz").read_bytes()[:-100])
    os.mkdir("run.d")
    assert words in refused(*argv.split())


def test_a_folder_that_holds_a_run_is_refused_without_resume(call, refused):
    train_it = ("train", "--preset", "tiny", "--data", "dreamed", "--out", "run")
    call(*train_it)
    assert "run already holds a run; go on with it by --resume or choose another folder" in refused(*train_it)
    assert "is of a run with another seed" in refused(*train_it, "--resume", "--seed", "1")
    before = contents(places._PACKAGE.parent / "here")
    assert call(*train_it, "--resume")["net"] == os.path.join("run", "net.npz")
    assert contents(places._PACKAGE.parent / "here") == before


def test_a_full_disk_while_drawing_leaves_no_half_picture(refused):
    resource = pytest.importorskip("resource")
    store.save(picture_net(), "net.npz")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        sentence = refused("generate", "net.npz", "--n", "2", "--steps", "1", "--out", "x.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot write x.png: the disk is full; free some space or choose another folder" in sentence


@pytest.mark.parametrize(
    "argv", ["", "fly", "train --preset tiny", "train --preset tiny --seed x --out r"]
)
def test_what_is_no_command_exits_2_and_shows_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv.split())
    assert stopped.value.code == 2
    assert "usage: dbn-lite" in capsys.readouterr().err
    assert os.listdir(".") == []


@pytest.mark.filterwarnings("error")
def test_a_run_that_diverges_is_one_sentence(monkeypatch, capsys):
    bad = preset(*greedy(1, rate=1e20, decay=1e5), layers=(40, 30, 60))
    monkeypatch.setitem(presets.PRESETS, "tiny", bad)
    assert cli.main(["train", "--preset", "tiny", "--data", "dreamed", "--out", "run", "--json"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("dbn-lite: training diverged in epoch 1 of greedy 1: weights are no longer finite; start")
    assert error.count("\n") == 1
    assert sorted(os.listdir("run")) == ["checkpoint.npz", "log.jsonl"]


def test_other_mistakes_are_not_hidden(monkeypatch):
    """Only bad input is a sentence: a mistake of the library must show where it is."""

    def wrong(path):
        raise ZeroDivisionError

    monkeypatch.setattr(store, "load", wrong)
    with pytest.raises(ZeroDivisionError):
        cli.main(["info", "net.npz"])
    assert not issubclass(ZeroDivisionError, InputError)


# Data sets


def test_verify_and_fetch_look_where_the_data_is(call, refused, tmp_path, monkeypatch):
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path / "own"))
    usps_like(tmp_path / "own")
    folder = str(tmp_path / "own" / "usps")
    assert call("data", "verify", "usps") == {"usps.npz": f"ok, in {folder}"}
    assert call("data", "fetch", "usps") == {"folder": folder}
    path = tmp_path / "own" / "usps" / "usps.npz"
    path.write_bytes(path.read_bytes()[:1000])
    for action in ("verify", "fetch"):
        sentence = refused("data", action, "usps")
        assert f"{path} is no sound .npz file of plain arrays; put the published file in its place" in sentence
    embedded = places.shipped(formats.DREAMED)
    embedded.write_bytes(b"")
    assert f"{embedded} is no sound .npz file of plain arrays; write it again with" in refused(
        "data", "verify", "dreamed"
    )


# As a process of its own


def usps_like(folder):
    """A file that passes for USPS: the sizes, range and class counts of the real one, but prototypes for images."""
    parts = {}
    for part, spec in zip(("train", "test"), sources.registry()["usps"]["files"].values(), strict=True):
        labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), spec["classes"])).astype(np.uint8)
        patterns = np.random.default_rng(0).random((10, 16, 16)) < 0.4
        flipped = np.random.default_rng(2).random((len(labels), 16, 16)) < 0.2
        parts |= {f"{part}_images": (2000 * (patterns[labels] ^ flipped)).astype(np.uint16), f"{part}_labels": labels}
    (folder / "usps").mkdir(parents=True)
    np.savez_compressed(folder / "usps" / "usps.npz", **parts)
    known = json.loads(places.shipped("registry.json").read_text())
    for part, spec in zip(("train", "test"), known["usps"]["files"].values(), strict=True):
        content = parts[f"{part}_images"].astype("<u2").tobytes() + parts[f"{part}_labels"].tobytes()
        spec["sha256_arrays"] = hashlib.sha256(content).hexdigest()
    places.shipped("registry.json").write_text(json.dumps(known))


AS_A_PROCESS = """
import sys
from pathlib import Path
from dbn_lite import cli, places
places._PACKAGE = Path(sys.argv.pop(1))
sys.exit(cli.main())
"""


def process(*argv, **environment):
    """The command as a process of its own, with what ships in this test."""
    return subprocess.Popen(
        [sys.executable, "-c", AS_A_PROCESS, str(places._PACKAGE), *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | environment,
    )


def test_interrupted_and_killed_from_outside_the_command_ends_with_the_same_bits(tmp_path):
    """Ctrl-C, then SIGKILL, then to the end; against one that nothing stopped."""
    usps_like(tmp_path)
    own = {"DBN_LITE_DATA": str(tmp_path)}
    train_it = ("train", "--preset", "smoke", "--data", "usps", "--seed", "4", "--json", "--out")
    whole = process(*train_it, tmp_path / "whole", **own)
    out, error = whole.communicate(timeout=300)
    assert (whole.returncode, error) == (0, "")
    assert json.loads(out)["net"] == str(tmp_path / "whole" / "net.npz")
    assert out.count("\n") == 1

    stopped = process(*train_it, tmp_path / "stopped", **own)
    wait_for(tmp_path / "stopped" / "log.jsonl", "greedy 1")
    stopped.send_signal(signal.SIGINT)
    out, error = stopped.communicate(timeout=300)
    assert stopped.returncode == 130
    assert out == ""
    assert error == (
        f"stopped; go on from the last checkpoint in {tmp_path / 'stopped'} with the same command and --resume.\n"
    )
    assert meta_of(tmp_path / "stopped" / "checkpoint.npz")["batch"] > 0  # in the middle of an epoch

    killed = process(*train_it, tmp_path / "stopped", "--resume", **own)
    wait_for(tmp_path / "stopped" / "greedy.npz")
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "stopped" / "net.npz").exists()

    resumed = process(*train_it, tmp_path / "stopped", "--resume", **own)
    assert resumed.communicate(timeout=300)[1] == ""
    for name in ("net.npz", "greedy.npz"):
        assert_same_bits(tmp_path / "stopped" / name, tmp_path / "whole" / name)
    assert log_of(tmp_path / "stopped") == log_of(tmp_path / "whole")


def wait_for(path, text=""):
    until = time.monotonic() + 300
    while not path.exists() or (text and text not in path.read_text()):
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.01)


def test_as_a_module_it_exits_with_the_code_of_the_command(tmp_path):
    asked = [sys.executable, "-m", "dbn_lite", "info", "none.npz"]
    bad = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert bad.communicate(timeout=300) == ("", "dbn-lite: none.npz does not exist; give the path of an .npz file.\n")
    assert bad.returncode == 2


@pytest.mark.slow
def test_the_smoke_preset_on_the_embedded_set_takes_less_than_a_minute_of_a_core(tmp_path):
    """On half of its 12,000 images of 28x28 half of that; its net is far better than chance."""
    dataset = noisy_prototypes(6_000, 2_000, (28, 28))
    started = time.process_time()  # whatever else the machine does
    train.Run(presets.preset_named("smoke"), dataset, 0, tmp_path / "run").train(progress=False)
    assert time.process_time() - started < 30
    assert error_percent(arrays_of(tmp_path / "run" / "net.npz"), dataset.test_images, dataset.test_labels) < 5
