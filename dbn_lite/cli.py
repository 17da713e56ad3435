"""The command line: a thin table of commands, each wing bringing its own; bad input is one sentence and exit code 2."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, data, store, train
from .data import commands as data_commands
from .dbn import METHODS, generate, predict
from .errors import InputError
from .files import atomic_write
from .paper import commands as paper_commands
from .presets import PRESETS, preset_named


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # no arrow in the code page of a redirection is no reason to fail
    try:
        if getattr(arguments, "seed", 0) < 0:
            raise InputError(f"the seed is {arguments.seed}; it must be 0 or more.")
        backend.use(arguments.backend)
        result = arguments.command(arguments)
    except InputError as error:
        print(f"dbn-lite: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(arguments.when_stopped.format(**vars(arguments)), file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{_plain(key):>20}  {_plain(value)}")
    return 0


def _plain(value: Any) -> str:
    """As text without what would steer a terminal: metadata is whatever somebody wrote into a file."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value))


def _parser() -> argparse.ArgumentParser:
    """What the commands are and take."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    common.add_argument("--backend", default="auto", help="auto, numpy, cupy or cupy-tf32 (default: %(default)s)")
    parser = argparse.ArgumentParser(
        prog="dbn-lite", description="Deep belief nets, as Hinton, Osindero and Teh (2006)."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, help: str, when_stopped: str = "stopped.") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help, parents=[common])
        added.set_defaults(command=command, when_stopped=when_stopped)
        return added

    data_commands.add_to(add)
    _add_to(add)
    paper_commands.add_to(add)
    add("info", _info, "what a net is and where it comes from").add_argument("net", metavar="NET.npz")
    return parser


def _add_to(add: data_commands.Adder) -> None:
    """The commands of the algorithm itself."""
    go_on = "stopped; go on from the last checkpoint in {out} with the same command and --resume."
    of_train = add("train", _train, "train a net: greedy learning, then up-down", go_on)
    of_train.add_argument("--preset", required=True, help=", ".join(PRESETS))
    of_train.add_argument("--data", default="auto", help=data_commands.SETS)
    of_train.add_argument("--seed", type=int, default=0)
    of_train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    of_train.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")

    of_evaluate = add("evaluate", _evaluate, "the error rate of a net")
    of_evaluate.add_argument("net", metavar="NET.npz")
    of_evaluate.add_argument("--data", default="auto", help=data_commands.SETS)
    of_evaluate.add_argument("--split", default="test", help="test, validation or train (default: test)")
    of_evaluate.add_argument("--method", default="deterministic", help=", ".join(METHODS))
    of_evaluate.add_argument("--seed", type=int, default=0, help="of the read-outs that sample")

    of_generate = add("generate", _generate, "let a net dream images and save them as a picture")
    of_generate.add_argument("net", metavar="NET.npz")
    of_generate.add_argument("--label", type=int, default=None, help="clamp this digit (default: labels are free)")
    of_generate.add_argument("--n", type=int, default=10, help="how many (default: %(default)s)")
    of_generate.add_argument("--steps", type=int, default=300, help="Gibbs iterations (default: %(default)s)")
    of_generate.add_argument("--seed", type=int, default=0)
    of_generate.add_argument("--out", type=Path, required=True, metavar="FILE.png")


def _train(a: argparse.Namespace) -> dict[str, Any]:
    preset = preset_named(a.preset)
    run = train.Run(preset, data.load(a.data), a.seed, a.out, resume=a.resume)
    run.train(progress=not a.json)
    return {"net": str(a.out / "net.npz"), **run.log[-1]}


def _evaluate(a: argparse.Namespace) -> dict[str, Any]:
    net, dataset = store.load(a.net), data.load(a.data)
    about = store.read_meta(a.net)  # the split is the one that the net was trained on
    preset = about.get("preset")
    batch_size = preset.get("batch_size", 100) if isinstance(preset, dict) else 100
    images, labels = train.part(dataset, a.split, about.get("seed", 0), batch_size)
    train.expect_labels(net, labels)
    started = time.perf_counter()
    wrong = int((predict(net, images, a.method, a.seed) != labels).sum())
    return {
        "data": dataset.name,
        "split": a.split,
        "method": a.method,
        "errors": wrong,
        "images": len(images),
        "error_percent": round(100 * wrong / len(images), 4),
        "seconds": round(time.perf_counter() - started, 2),
    }


def _generate(a: argparse.Namespace) -> dict[str, Any]:
    from . import plot  # what draws is imported where something is drawn: it takes longer than the rest together

    net = store.load(a.net)
    images = generate(net, a.label, a.n, a.steps, a.seed)
    pixels = images.shape[1]
    height = next(side for side in range(int(np.sqrt(pixels)), 0, -1) if pixels % side == 0)
    figure = plot.image_grid(images, (height, pixels // height))
    atomic_write(a.out, lambda file: figure.savefig(file, format="png", dpi=150))
    return {"images": len(images), "written": str(a.out)}


def _info(a: argparse.Namespace) -> dict[str, Any]:
    net = store.load(a.net)
    names = ("vis", "hid", "pen", "top", "lab")
    weights = sum(array.size for name, array in net.arrays().items() if not name.endswith("biases"))
    about = store.read_meta(a.net)
    if isinstance(about.get("preset"), dict):
        about["preset"] = about["preset"].get("name")
    true = dict(zip(names, net.sizes, strict=True)) | {"weights": weights}
    return true | {name: value for name, value in about.items() if name not in true}
