"""The command as a process: how soon it answers, what its streams and its environment do to it, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dbn_lite import places

COMMAND = [sys.executable, "-m", "dbn_lite"]
NET = places.shipped("trained/paper.npz")
POSIX = pytest.mark.skipif(os.name != "posix", reason="streams and signals are of another kind elsewhere")


def run(*argv, code=0, **more):
    """Run the command; what it prints. It must end with that code and without a traceback."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120} | more
    environment = os.environ | more.pop("env", {})
    done = subprocess.run([*COMMAND, *map(str, argv)], text=True, env=environment, check=False, **more)
    assert "Traceback" not in (done.stderr or "")
    assert "Exception ignored" not in (done.stderr or "")
    assert done.returncode == code, done.stderr
    return done


# How soon


@pytest.mark.parametrize("argv", [["--help"], ["info", str(NET)], ["train", "--help"], ["data", "--help"]])
def test_no_command_imports_what_it_does_not_need(argv):
    asked = f"""
import sys
from dbn_lite import cli
try:
    cli.main({argv!r})
finally:
    print(*sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stderr.split())
    assert not loaded & {"matplotlib", "scipy", "tqdm", "requests", "pooch", "PIL", "torch", "sklearn"}
    assert ("numpy" in loaded) == (argv != ["--help"])


def test_help_takes_little_of_the_processor():
    """Less than a quarter of what NumPy alone takes to import: whatever else this machine does meanwhile."""

    def seconds(*command):
        before = os.times()
        subprocess.run([sys.executable, *command], capture_output=True, check=True, timeout=120)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    ours = min(seconds("-m", "dbn_lite", "--help") for _ in range(5))
    assert ours < 0.3
    assert ours < max(0.1, min(seconds("-c", "import numpy") for _ in range(3)))


@pytest.mark.parametrize("display", ["module://matplotlib_inline.backend_inline", "module://no.such", "nonsense"])
def test_the_display_of_a_notebook_breaks_nothing(tmp_path, display):
    own = {"MPLBACKEND": display}
    assert "usage: dbn-lite" in run("--help", env=own).stdout
    assert "784" in run("info", NET, env=own).stdout
    run("generate", NET, "--n", 2, "--steps", 1, "--out", tmp_path / "x.png", env=own)
    assert (tmp_path / "x.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("odd", [{"TQDM_MININTERVAL": "x"}, {"TQDM_NCOLS": "-3"}, {"COLUMNS": "1"}, {"COLUMNS": "x"}])
def test_an_odd_environment_breaks_nothing(tmp_path, odd):
    run("train", "--preset", "smoke", "--data", "cifar", "--out", tmp_path / "run", env=odd, code=2)
    assert run("train", "--help", env=odd).stdout
    told = run("dreams", tmp_path / "none.npz", env=odd, code=2).stderr
    assert told == f"dbn-lite: {tmp_path / 'none.npz'} does not exist; give the path of an .npz file.\n"


# Streams

ALL = [["--help"], ["generate", "--help"], ["info", str(NET)], ["info", str(NET), "--json"], ["table1", "--json"]]


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize("argv", ALL)
def test_a_standard_output_that_is_full_is_one_sentence(argv):
    with open("/dev/full", "w") as full:
        told = run(*argv, stdout=full, code=2).stderr
    assert told == "dbn-lite: cannot write to standard output (No space left on device); send it elsewhere.\n"


@POSIX
@pytest.mark.parametrize("argv", ALL)
def test_a_reader_that_has_gone_is_no_failure(argv):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(*argv, stdout=writing).stderr == ""
    finally:
        os.close(writing)


@POSIX
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_break_nothing(tmp_path, closed):
    """Neither does a file that is written get the number of a closed stream, and what is said on it."""
    out = tmp_path / "x.png"
    asked = f"{sys.executable} -m dbn_lite generate {NET} --n 1 --steps 1 --out {out} {closed}"
    assert subprocess.run(["sh", "-c", asked], timeout=120, check=False, capture_output=True).returncode == 0
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    asked = f"{sys.executable} -m dbn_lite info {tmp_path} {closed}"
    assert subprocess.run(["sh", "-c", asked], timeout=120, check=False, capture_output=True).returncode == 2


SHORT = """
import sys
sys.path.insert(0, {tests!r})
from easy import greedy, noisy_prototypes, preset, up_down
from dbn_lite import cli, data, presets
presets.PRESETS["tiny"] = preset(*greedy(1), up_down(2), layers=(12, 10, 14))
data.load = lambda name: noisy_prototypes(300, 60)
sys.argv[1:] = ["train", "--preset", "tiny", "--out", {out!r}]
sys.exit(cli.main())
"""


@POSIX
@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full", "2>&1 | head -c 0"])
def test_no_training_dies_of_what_becomes_of_its_bar(tmp_path, stream):
    asked = SHORT.format(tests=str(Path(__file__).parent), out=str(tmp_path / "run"))
    (tmp_path / "go.py").write_text(asked)
    asked = f"{sys.executable} {tmp_path / 'go.py'} {stream}"
    subprocess.run(["sh", "-c", asked], timeout=120, check=False, capture_output=True)
    assert (tmp_path / "run" / "net.npz").is_file()


# Ctrl-C


@POSIX
def test_ctrl_c_at_any_time_is_one_word_and_130(tmp_path):
    """From the first moment of our own code on; several at once, too."""
    go = """
import signal, sys, threading, time, os
def press():
    time.sleep({delay})
    for _ in range({times}):
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=press, daemon=True).start()
sys.argv[1:] = {argv!r}
from dbn_lite.cli import main
sys.exit(main())
"""
    argv = ["generate", str(NET), "--n", "200", "--steps", "5000", "--out", str(tmp_path / "x.png")]
    for i, delay in enumerate(np.linspace(0.06, 1.2, 10)):
        asked = go.format(delay=delay, times=[1, 3][i % 2], argv=argv)
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped.\n"), delay
    assert os.listdir(tmp_path) == []


@POSIX
def test_who_starts_it_deaf_to_ctrl_c_is_obeyed(tmp_path):
    """As `nohup` and a shell that puts it into the background do."""
    deaf = f"trap '' INT; exec {sys.executable} -m dbn_lite generate {NET} --n 3 --steps 30 --out {tmp_path / 'x.png'}"
    process = subprocess.Popen(["sh", "-c", deaf], stdout=subprocess.PIPE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (tmp_path / "x.png").is_file()


# What lies in the current folder


def test_the_benchmark_takes_no_numpy_from_the_current_folder(tmp_path, monkeypatch):
    from dbn_lite.paper import bench

    for name in ("numpy", "json", "dbn_lite"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    sizes = {"n_batches": 1, "batch": 4, "hid": 5, "pen": 4, "top": 6}
    found = bench.check_rows("greedy 1", ["dbn_lite"], **sizes)
    assert set(found) == {"dbn_lite"}


@pytest.mark.parametrize("name", ["b" * 300, "c" * 5000, "d/" * 3000])
def test_names_that_no_system_takes_are_one_sentence(tmp_path, name):
    for argv in (
        ["info", name], ["train", "--preset", "smoke", "--data", "dreamed", "--out", name],
        ["generate", NET, "--n", 1, "--steps", 1, "--out", name],
    ):  # fmt: skip
        told = run(*argv, code=2, cwd=tmp_path).stderr
        assert (told.startswith("dbn-lite: "), told.count("\n")) == (True, 1)
    assert os.listdir(tmp_path) == []


def test_a_name_as_long_as_the_system_takes_is_taken(tmp_path):
    name = "e" * 251 + ".png"
    run("generate", NET, "--n", 1, "--steps", 1, "--out", name, cwd=tmp_path)
    assert os.listdir(tmp_path) == [name]
