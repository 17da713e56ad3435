"""The command line: a table of commands, whose options the wings bring; bad input is one sentence and exit code 2.

What a command works with is imported when it runs, so that `dbn-lite --help` waits for nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .errors import InputError

COMMANDS = {  # name: (the module that has its options, what it does)
    "data": ("data.commands", "fetch or verify a data set, or dream one up from a net"),
    "train": ("cli", "train a net: greedy learning, then up-down"),
    "watch": ("study.watch", "a page of curves, filters and dreams of a run, made anew while it trains"),
    "evaluate": ("cli", "the error rate of a net"),
    "generate": ("cli", "let a net dream images and save them as a picture"),
    "reproduce": ("paper.commands", "the scoreboard: the paper's numbers beside ours, and figures 6 to 9"),
    "experiment": ("paper.commands", "an experiment of section 6 that takes hours; it can be resumed"),
    "dreams": ("paper.commands", "how well a net dreams: faint, right or another digit, from three starts"),
    "bench": ("paper.commands", "seconds a mini-batch, as a ratio to the matrix products alone"),
    "table1": ("paper.commands", "table 1 of the paper: all rows as recorded, or some run again"),
    "senses": ("senses.commands", "a net that sees and hears, and dreams of the one for the other"),
    "info": ("cli", "what a net is and where it comes from"),
}
PICTURES = ("png", "jpg", "jpeg", "pdf", "svg")
MOST, LARGEST = 10_000, 6_000  # images in a picture, and its pixels from side to side


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C.

    Without `argv` it is a process of its own: it takes the arguments, the streams and Ctrl-C of that.
    """
    if argv is not None:
        with _environment():
            return _run(argv)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started it wants none to be heard
        signal.signal(signal.SIGINT, _stop_at_once)
    _take_streams()
    try:
        with _environment():
            code = _run(sys.argv[1:])
    except SystemExit as stopped:  # argparse's: help is shown, or usage
        code = int(stopped.code or 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: another one has nothing to stop
    try:
        sys.stdout.flush()
    except InputError as error:
        return _refuse(str(error))
    return code


def _run(argv: list[str]) -> int:
    when_stopped = "stopped."
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "replace":
            stream.reconfigure(errors="replace")  # no arrow in the code page of a redirection is no reason to fail
    try:
        for word in argv:
            if word.startswith("--") and word.endswith("=--"):  # argparse would drop the value
                raise InputError(f"{word} gives no value; a file of that name is ./--.")
        arguments = _parser().parse_args(argv)
        if getattr(arguments, "seed", 0) < 0:
            raise InputError(f"the seed is {arguments.seed}; it must be 0 or more.")
        from . import backend

        if signal.getsignal(signal.SIGINT) is _stop_at_once:
            signal.signal(signal.SIGINT, _stop)
        backend.use(arguments.backend)
        try:
            result = arguments.command(arguments)
        finally:
            when_stopped = arguments.when_stopped.format(**vars(arguments))
        _show(result, arguments.json)
    except InputError as error:
        return _refuse(str(error))
    except OSError as error:  # of the machine, never of the library: a disk, a permission, a name too long
        where = f" {error.filename}" if error.filename else ""
        return _refuse(f"the system refuses{where} ({error.strerror or error}); choose another file or folder.")
    except MemoryError:
        return _refuse("the memory does not suffice; ask for less at a time.")
    except KeyboardInterrupt:
        print(when_stopped, file=sys.stderr)
        return 130
    return 0


def _show(result: dict[str, Any], as_json: bool) -> None:
    lines = [json.dumps(result)] if as_json else [f"{_plain(k):>20}  {_plain(v)}" for k, v in result.items()]
    print(*lines, sep="\n", flush=True)


def _plain(value: Any) -> str:
    """As text without what would steer a terminal: metadata is whatever somebody wrote into a file."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value))


def _refuse(sentence: str) -> int:
    print(f"dbn-lite: {sentence}", file=sys.stderr)
    return 2


# What the commands are


class _Command(argparse.ArgumentParser):
    """The options of one command, added by its wing when the command is used."""

    where = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.where:
            module, self.where = importlib.import_module(f".{self.where}", __package__), ""
            getattr(module, f"add_{self.prog.split()[-1]}")(self)
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbn-lite", description="Deep belief nets, as Hinton, Osindero and Teh (2006)."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Command)
    for name, (where, help) in COMMANDS.items():
        added = commands.add_parser(name, help=help, description=help)
        added.where = where
        added.set_defaults(when_stopped="stopped.")
        added.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
        added.add_argument("--backend", default="auto", help="auto, numpy, cupy or cupy-tf32 (default: %(default)s)")
    return parser


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    from .data.commands import SETS
    from .presets import PRESETS

    go_on = "stopped; go on from the last checkpoint in {out} with the same command and --resume."
    parser.set_defaults(command=_train, when_stopped=go_on)
    known = f"{', '.join(PRESETS)}, or a .json file (default: %(default)s)"
    parser.add_argument("--preset", default="quick", help=known)
    parser.add_argument("--data", default="auto", help=f"{SETS}, or a .npz file of images and labels")
    parser.add_argument("--layers", default=None, metavar="A,B,C", help="units of the hidden layers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")


def _train(a: argparse.Namespace) -> dict[str, Any]:
    from . import train
    from .presets import MNIST_SIZE, preset_for

    try:
        layers = None if a.layers is None else [int(units) for units in a.layers.split(",")]
    except ValueError as error:
        raise InputError(
            f"--layers is {a.layers!r}; give the units of three hidden layers, as in 500,500,2000."
        ) from error
    preset_for(a.preset, "mnist", MNIST_SIZE, layers)  # what is wrong with it is said before data are looked for
    run = train.open_run(_digits(a.data), layers, a.out, a.preset, a.seed, a.resume)
    if not a.json:
        print(run.told(), file=sys.stderr)
    run.train(progress=not a.json)
    used = {"images": len(run.dataset.train_images), "learned_from": run.n_learned_from}
    return {"net": str(a.out / "net.npz"), **used, **run.log[-1]}


def _digits(name: str) -> Any:
    """The data set of that name; where its images look inverted, that is said, for no figure that follows would."""
    from . import data
    from .dataset import hint

    dataset = data.load(name)
    if said := hint(dataset.train_images):
        print(said, file=sys.stderr)
    return dataset


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    from .data.commands import SETS
    from .dbn import METHODS

    parser.set_defaults(command=_evaluate)
    parser.add_argument("net", metavar="NET.npz")
    parser.add_argument("--data", default=None, help=f"{SETS}, or a .npz file (default: what the net was trained on)")
    parser.add_argument("--split", default="test", help="test, validation or train (default: test)")
    parser.add_argument("--method", default="deterministic", help=", ".join(METHODS))
    parser.add_argument("--seed", type=int, default=0, help="of the read-outs that sample")


def _evaluate(a: argparse.Namespace) -> dict[str, Any]:
    from . import dbn, store, train

    net, about = store.load(a.net), store.read_meta(a.net)  # the split is the one that the net was trained on
    dataset = _digits(_data_of(about, a.net) if a.data is None else a.data)
    preset = about.get("preset")
    batch_size = preset.get("batch_size", 100) if isinstance(preset, dict) else 100
    images, labels = train.part(dataset, a.split, about.get("seed", 0), batch_size)
    train.expect_labels(net, labels)
    started = time.perf_counter()
    wrong = int((dbn.predict(net, images, a.method, a.seed) != labels).sum())
    found = {
        "data": dataset.name,
        "split": a.split,
        "method": a.method,
        "errors": wrong,
        "images": len(images),
        "error_percent": round(100 * wrong / len(images), 4),
        "seconds": round(time.perf_counter() - started, 2),
    }
    own = str(about.get("data")).split(", ")[1:3] == train.described(dataset).split(", ")[1:3]
    if own and a.split == "validation" and (stage := _learned_from_all(about)):
        found["note"] = f"the net learned from these images too, in the stage {stage}: this is a training error"
    return found


def _data_of(about: dict[str, Any], net: str) -> str:
    """The data set that the record of a net names, its file if it is one of somebody's own."""
    from .data import NAMES

    name = str(about.get("data", "auto")).split(",")[0]
    file = str(about.get("file", ""))
    if name in NAMES:
        return name
    if not os.path.isfile(file):
        raise InputError(f"{net} was trained on {name}, which is not at hand; give its file by --data.")
    return file


def _learned_from_all(about: dict[str, Any]) -> str:
    """The stage in which a net learned from the validation images too; empty if there is none."""
    preset, last = about.get("preset"), about.get("last_epoch", {}).get("stage")
    stages = preset.get("stages") if isinstance(preset, dict) else None
    for stage in stages if isinstance(stages, list) else []:
        if isinstance(stage, dict) and stage.get("all_images"):
            return str(stage.get("name"))
        if isinstance(stage, dict) and stage.get("name") == last:
            break
    return ""


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_generate)
    parser.add_argument("net", metavar="NET.npz")
    parser.add_argument("--label", type=int, default=None, help="clamp this digit (default: labels are free)")
    parser.add_argument("--n", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="Gibbs iterations (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png", help=f"or .{', .'.join(PICTURES[1:])}")


def _generate(a: argparse.Namespace) -> dict[str, Any]:
    from . import dbn, store
    from .dataset import nearly_square
    from .files import atomic_write, expect_writable

    net = store.load(a.net)
    expect_writable(a.out, a.net)
    kind = a.out.suffix[1:].lower() or PICTURES[0]
    if kind not in PICTURES:
        raise InputError(f"{a.out} names no kind of picture that is known; end it in .{', .'.join(PICTURES)}.")
    if a.n > MOST:
        raise InputError(f"{a.n} images do not fit in one picture; ask for at most {MOST}.")
    images = dbn.generate(net, a.label, a.n, a.steps, a.seed)
    from . import plot

    figure = plot.contact_sheet(images, nearly_square(images.shape[1]), max(10, math.isqrt(a.n - 1) + 1))
    dpi = min(210.0, LARGEST / max(figure.get_size_inches()))
    atomic_write(a.out, lambda file: figure.savefig(file, format=kind, dpi=dpi))
    return {"images": len(images), "written": str(a.out)}


def add_info(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_info)
    parser.add_argument("net", metavar="NET.npz")


def _info(a: argparse.Namespace) -> dict[str, Any]:
    from . import store

    net = store.load(a.net)
    names = ("vis", "hid", "pen", "top", "lab")
    weights = sum(array.size for name, array in net.arrays().items() if not name.endswith("biases"))
    about = store.read_meta(a.net)
    if isinstance(about.get("preset"), dict):
        about["preset"] = about["preset"].get("name")
    true = dict(zip(names, net.sizes, strict=True)) | {"weights": weights}
    return true | {name: value for name, value in about.items() if name not in true}


# The process: its environment, its streams, Ctrl-C


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Settings of libraries that a command line must not depend on: a notebook's display, tqdm's defaults."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("TQDM_")]:
        del os.environ[name]  # read when tqdm is imported, and believed unseen
    os.environ["MPLBACKEND"] = "agg"  # what is drawn goes to a file
    try:
        yield
    finally:
        os.environ.update({name: before[name] for name in before if name.startswith("TQDM_")})
        os.environ.pop("MPLBACKEND")
        os.environ.update({"MPLBACKEND": before["MPLBACKEND"]} if "MPLBACKEND" in before else {})


class _Output(io.TextIOWrapper):
    """Standard output or error. It writes what it can encode; what nobody reads any more is no reason to fail.

    A full disk is one on standard output, which the result goes to. What is said on standard error is not missed.
    """

    def __init__(self, stream: TextIO, wanted: bool) -> None:
        encoding, lines = stream.encoding, getattr(stream, "line_buffering", True)
        super().__init__(stream.detach(), encoding, "replace", line_buffering=lines)  # type: ignore[attr-defined]
        self.wanted, self.broken = wanted, False

    def write(self, text: str) -> int:
        if not self.broken:
            try:
                super().write(text)
            except OSError as error:
                self._break(error)
        return len(text)

    def flush(self) -> None:
        if not self.broken:
            try:
                super().flush()
            except OSError as error:
                self._break(error)

    def _break(self, error: OSError) -> None:
        self.broken = True
        if self.wanted and not isinstance(error, BrokenPipeError):
            raise InputError(f"cannot write to standard output ({error.strerror}); send it elsewhere.") from error


def _take_streams() -> None:
    """Make standard output and error bear what is done to them, closed ones too."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # or the next file that is opened would pass for one
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _Output(stream, wanted=name == "stdout"))


def _stop_at_once(number: int, frame: object) -> None:
    """Ctrl-C while modules are imported, where an exception could become another one."""
    os.write(2, b"stopped.\n")
    os._exit(130)


def _stop(number: int, frame: object) -> None:
    """Ctrl-C in a command; another one must not disturb what the first one makes it do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
