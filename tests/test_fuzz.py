"""The command line, fuzzed: whatever arguments, files and environments it is given, it says at most one sentence.

Exit code 0, 2 or 130, never a traceback, nothing half-written, nothing that ships and no input changed. Seeded: what
fails here fails again under the same number.
"""

import contextlib
import io
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from easy import contents, greedy, noisy_prototypes, preset, up_down

from dbn_lite import cli, data, dbn, places, presets, train
from dbn_lite.data import dreamed, formats
from dbn_lite.paper import figures, record

TINY = preset(*greedy(1), up_down(1), layers=(12, 10, 14), batch_size=20)
LAST = up_down(1, name="all images", all_images=True, until_matched=True, record_every=1)
RAISED = [up_down(1, name=f"up-down k={k}", n_gibbs=k) for k in (3, 6, 10)]
PAPER = preset(*greedy(1), *RAISED, LAST, layers=(12, 10, 14), batch_size=20)
PARTS = 10  # of the fuzz, each with a seed and worlds of its own
TURNS = 60  # in each part
NAMES = [
    "net.npz", "run/net.npz", "run", "run/checkpoint.npz", "cut.npz", "text.npz", "table.json", "none", "run.d", ".",
    "", "x.png", "x.pdf", "x.JPG", "x.svg", "x.tiff", "out.json", "missing/x.png", "link.npz", "loop", "--", "-",
    "ä ö.png", "a" * 250 + ".png", "b" * 300, "c" * 5000, "{out}", "%s", os.devnull, "no\tnewline", "\udcff.png",
    "../here/net.npz",
]  # fmt: skip
NUMBERS = ["0", "1", "2", "-1", "10", "3", "1e3", "x", "", "9" * 30, "1000000000", "٣", " 2", "0x1", "None"]
WORDS = {
    "--data": ["dreamed", "dreamed", "dreamed", "auto", "usps", "cifar", "", "net.npz", "cut.npz", "none.npz"],
    "--split": ["test", "train", "validation", "all"],
    "--method": [*dbn.METHODS, "vote"],
    "--preset": ["tiny", "tiny", "tiny", "huge", "", "table.json", "none.json"],
    "--backend": ["numpy", "auto", "torch", ""],
    "--net": NAMES, "--out": NAMES, "--state": NAMES, "--runs": NAMES,
    "--label": NUMBERS, "--n": NUMBERS, "--steps": ["1", "2", "-1", "0", "x"], "--seed": NUMBERS,
    "--size": ["0", "1", "x"], "--epochs": ["0", "1", "x"], "--layers": ["3,4,5", "0,1,2", "x", "", "1,2"],
}  # fmt: skip
COMMANDS = {
    "data": (["fetch", "verify", "dream", "eat"], ["--out", "--seed"]),
    "train": ([], ["--preset", "--data", "--seed", "--layers", "--out"]),
    "evaluate": (NAMES, ["--data", "--split", "--method", "--seed"]),
    "generate": (NAMES, ["--label", "--n", "--steps", "--seed", "--out"]),
    "reproduce": ([], ["--out", "--runs", "--data"]),
    "experiment": (["k-effect", "left-running", "fading", "none"], ["--data", "--epochs", "--out"]),
    "table1": (["knn-l2-60k", "online", "none"], ["--data", "--seed", "--size", "--state", "--out"]),
    "info": (NAMES, []),
    "fly": (NAMES, ["--out"]),
}
ENVIRONMENTS = {
    "MPLBACKEND": ["nonsense", "module://matplotlib_inline.no_backend", "agg"],
    "TQDM_MININTERVAL": ["x"], "TQDM_DISABLE": ["1"], "COLUMNS": ["1", "x", "-3", "0"], "LINES": ["x"],
    "OMP_NUM_THREADS": ["x"], "DBN_LITE_BACKEND": ["torch", "numpy", ""], "HOME": ["/no/such/home"],
    "DBN_LITE_DATA": ["/no/such/folder", ".", "run", "net.npz", "a" * 300, os.devnull],
    "DBN_LITE_CACHE": ["net.npz", "a" * 300, "cache", os.devnull], "PYTHONWARNINGS": ["error"], "NO_COLOR": ["1"],
}  # fmt: skip
ODD = [None, True, -1, 0, 1, 99, 2**70, 0.5, 1e400, "x", "", [], {}, [[]], {"x": 1}, "\x1b[31m", "a" * 5000]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A package of its own, a net, a run, records, what is damaged and what is no file; no network."""
    shelf = tmp_path / "package" / "_data"
    (shelf / "results").mkdir(parents=True)
    (shelf / "trained").mkdir()
    shutil.copy(places.shipped("registry.json"), shelf)
    digits = noisy_prototypes(300, 100, (28, 28), noise=0.3)
    with monkeypatch.context() as patch:
        patch.setattr(places, "_PACKAGE", shelf.parent)
        images = np.concatenate([digits.train_images, digits.test_images])
        data.write_dreamed(shelf / formats.DREAMED, images, np.append(digits.train_labels, digits.test_labels), 100)
    monkeypatch.setattr(places, "_PACKAGE", shelf.parent)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("DBN_LITE_DATA", raising=False)
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data.sources, "_offline", lambda urls: "the test has no network")
    monkeypatch.setitem(presets.PRESETS, "tiny", TINY)
    monkeypatch.setitem(presets.PRESETS, "paper", PAPER)
    monkeypatch.setattr(dreamed, "DREAM_TRIES", 1)
    monkeypatch.setattr(dreamed, "DREAM_STEPS", 1)
    monkeypatch.setattr(figures, "PICTURES", {})
    for setting, value in {"LAYERS": (5, 5, 5), "GREEDY_EPOCHS": 1, "UP_DOWN_EPOCHS": 1, "AFTER": 1}.items():
        monkeypatch.setattr(f"dbn_lite.paper.fading.{setting}", value)
    train.Run(PAPER, data.load("dreamed"), 0, "run").train(progress=False)
    for name in ("net.npz", "link.npz"):
        shutil.copy("run/net.npz", name)
    shutil.copy("run/net.npz", shelf / "trained" / "paper.npz")
    (shelf / "results" / "table1.json").write_text('{"rows": []}\n')
    os.remove("link.npz")
    os.symlink("net.npz", "link.npz")
    os.symlink("loop", "loop")
    os.mkdir("run.d")
    Path("cut.npz").write_bytes(Path("net.npz").read_bytes()[:-300])
    Path("text.npz").write_text("weights: 0.1")
    Path("table.json").write_text('{"rows": [{"name": "knn-l2-60k"}, {"name": "mine", "error": 1.0}]}')
    return tmp_path


def one_command(argv, expected=(0, 2, 130)):
    """Run a command; its exit code, and what it said, which must keep to the rule."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = cli.main(argv)
        except SystemExit as stopped:  # argparse's
            code = stopped.code
            assert code in (0, 2)
            assert code == 0 or "usage: dbn-lite" in error.getvalue()
            return code, error.getvalue()
    said = error.getvalue()
    assert code in expected
    assert "Traceback" not in said
    if code == 2:
        sentences = [line for line in said.splitlines() if line.startswith("dbn-lite: ")]
        assert len(sentences) == 1
        assert sentences[0].endswith(".")
        assert said.splitlines()[-1] == sentences[0]
        assert out.getvalue() == ""
    return code, said


def nothing_is_half_written(folder, before):
    """Look at each file of a folder that has not the bytes of `before`, by path: what has them was looked at then."""
    for path in folder.rglob("*"):
        assert not path.name.endswith(".partial"), path
        if path.is_file() and before.get(str(path)) == path.read_bytes():
            continue
        if path.is_symlink() or not path.is_file() or path.name in ("cut.npz", "text.npz"):
            continue
        begin = path.read_bytes()[:2]
        if begin == b"PK":
            with np.load(path, allow_pickle=False) as file:
                assert [file[name].shape for name in file.files]  # all of them can be read
        elif path.suffix == ".json":
            json.loads(path.read_text())


def outputs(argv):
    """The file that a command is told to write to."""
    given = zip(argv, [*argv[1:], ""], strict=True)
    return [f"{word}={after}".split("=")[1] for word, after in given if word.startswith("--out")]


def arguments(rng):
    name = rng.choice(list(COMMANDS))
    places_, options = COMMANDS[name]
    argv = [name]
    if places_ and rng.random() < 0.95:
        argv.append(rng.choice(places_) if rng.random() < 0.5 else places_[0])
    if name in ("data", "experiment") and rng.random() < 0.9:
        argv.append(rng.choice(["net.npz", "run", "usps", *NAMES]))
    for option in options:
        if rng.random() < 0.65 or (option in ("--out", "--preset") and rng.random() < 0.8) or option == "--data":
            value = rng.choice(WORDS[option]) if rng.random() < 0.7 else WORDS[option][0]
            argv += [f"{option}={value}"] if rng.random() < 0.5 else [option, value]
    argv += [flag for flag in ("--json", "--resume", "--from-scratch", "--help", "--x") if rng.random() < 0.06]
    if rng.random() < 0.1:
        rng.shuffle(argv)
    return argv


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_any_arguments_in_any_environment_keep_to_the_rule(world, monkeypatch, part):
    rng, codes = random.Random(part), []
    ships = contents(world / "package")
    for turn in range(TURNS):
        argv, before = arguments(rng), contents(world / "here")
        if "dream" in argv and not any(word.startswith("--out") for word in argv):
            argv += ["--out", "mine.npz"]  # what ships is this one's to replace
        with monkeypatch.context() as patch:
            for name in rng.sample(list(ENVIRONMENTS), 2) if rng.random() < 0.4 else []:
                patch.setenv(name, rng.choice(ENVIRONMENTS[name]))
            try:
                code, _ = one_command(argv)
            except BaseException as error:
                raise AssertionError(f"part {part}, turn {turn}: {argv!r} ends in {error!r}") from error
        codes.append(code)
        assert contents(world / "package") == ships, argv
        nothing_is_half_written(world, ships | before)
        after = contents(world / "here")
        for name in ("net.npz", "table.json", "cut.npz", "text.npz", "run/net.npz"):
            path = str(world / "here" / name)
            if code != 0 or os.path.realpath(path) not in map(os.path.realpath, outputs(argv)):
                assert after[path] == before[path], (part, turn, argv)
    assert codes.count(0) >= 3  # else little was tried
    assert codes.count(2) >= 15


# Files


def mutate(rng, value):
    """Another JSON value, with one thing changed, dropped or added somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        changed = {**value, key: mutate(rng, value[key])}
        if rng.random() < 0.15:
            del changed[key]
        return changed
    if isinstance(value, list) and value and rng.random() < 0.85:
        i = rng.randrange(len(value))
        return [*value[:i], *([mutate(rng, value[i])] if rng.random() < 0.85 else []), *value[i + 1 :]]
    return rng.choice(ODD)


def spoil_npz(rng, path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if rng.random() < 0.7:
        about = json.loads(str(arrays["meta"]))
        kept = {name: about.pop(name) for name in ("check",) if name in about}  # without it a checkpoint is an old one
        changed = mutate(rng, about)
        arrays["meta"] = np.array(json.dumps(changed | kept if isinstance(changed, dict) else changed))
    else:
        name = rng.choice(list(arrays))
        a = arrays.pop(name)
        if rng.random() < 0.8:
            change = [np.atleast_1d(a)[:0], a.T, a.ravel(), a.astype("U9"), np.append(a, a), np.array(3), a.astype(str)]
            arrays[name] = rng.choice(change)
    np.savez(path, **arrays)


def spoil_bytes(rng, path):
    content = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        content = content[: rng.randrange(len(content))]
    for _ in range(rng.choice([1, 1, 5])):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def spoil_text(rng, path):
    lines = path.read_text().splitlines()
    i = rng.randrange(len(lines))
    half = lines[i][: len(lines[i]) // 2]
    lines[i] = json.dumps(mutate(rng, json.loads(lines[i]))) if rng.random() < 0.7 else half
    path.write_text("\n".join(lines))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(4))
def test_any_file_that_is_spoilt_is_refused_or_makes_no_difference(world, part):
    """Resumed from a spoilt checkpoint, a run is refused or ends with the same weights."""
    rng, codes = random.Random(100 + part), []
    interrupted = half_a_run(world / "half")
    os.makedirs("runs")
    shutil.copytree("run", "runs/paper-seed0")
    record.write(record.of_run("runs/paper-seed0", data.load("dreamed")), "runs/paper-seed0.json")
    whole = train.Run(TINY, data.load("dreamed"), 0, "whole")
    whole.train(progress=False)
    undisturbed = bits("whole/net.npz")
    for turn in range(45):
        kind = ["checkpoint", "net", "log", "record", "table"][turn % 5]
        shutil.rmtree("s", ignore_errors=True)
        os.mkdir("s")
        if kind == "checkpoint":
            shutil.copytree(interrupted, "s/run")
            path, argv = Path("s/run/checkpoint.npz"), ["train", "--preset", "tiny", "--data", "dreamed", "--resume"]
            argv += ["--out", "s/run"]
        elif kind == "net":
            path = Path(shutil.copy("net.npz", "s/net.npz"))
            argv = rng.choice([["info"], ["evaluate", "--data", "dreamed", "--split", "validation"],
                               ["generate", "--steps", "1", "--n", "1", "--out", "s/x.png"]])  # fmt: skip
            argv = [*argv, "s/net.npz"]
        elif kind == "table":
            path = Path(shutil.copy("table.json", "s/table.json"))
            argv = ["table1", "knn-l2-60k", "--data", "dreamed", "--size", "1", "--out", "s/table.json"]
        else:
            shutil.copytree("runs", "s/runs")
            path = Path("s/runs/paper-seed0", {"log": "log.jsonl", "record": "checkpoint.npz"}[kind])
            argv = ["reproduce", "--runs", "s/runs", "--data", "dreamed", "--out", "s/figures"]
        spoil = rng.choice([spoil_bytes, spoil_npz if path.suffix == ".npz" else spoil_text, spoil_npz])
        (spoil_text if spoil is spoil_npz and path.suffix != ".npz" else spoil)(rng, path)
        try:
            code, said = one_command([*argv, "--json"], expected=(0, 2))
        except BaseException as error:
            raise AssertionError(f"part {part}, turn {turn}: {kind}, {argv!r} ends in {error!r}") from error
        codes.append(code)
        if kind == "checkpoint" and code == 0:
            assert bits("s/run/net.npz") == undisturbed, (part, turn)
        shutil.rmtree("s/figures", ignore_errors=True)
        assert not list(Path("s").rglob("*.partial")), said
    assert codes.count(2) > 15


def half_a_run(folder):
    """The folder of a run that Ctrl-C stopped in the middle of an epoch of up-down."""
    run, step = train.Run(TINY, data.load("dreamed"), 0, folder), train.UpDownLearner.step

    def stop(learner, batch, *given):
        run.interrupted = run.batch == 4
        return step(learner, batch, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.UpDownLearner, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            run.train(progress=False)
    return folder


def bits(path):
    with np.load(path) as file:
        return {name: file[name].tobytes() for name in file.files if name != "meta"}
