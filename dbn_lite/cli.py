"""The command line: thin, one function for each command; bad input is one sentence and exit code 2."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from . import backend, bench, data, experiments, plot, reproduce, sources, store, train
from .cure import N_BATCHES, cure
from .dbn import DBN, METHODS, generate, label_log_probs, predict
from .errors import InputError
from .files import atomic_write, expect_writable
from .presets import PRESETS, preset_named

DREAM_STEPS = 300  # Gibbs iterations between a noise image and the digit that goes into the embedded set
DREAM_INK = 0.025  # of the page, at least: as much as the thinnest of MNIST's ones; less is an empty page
DREAM_SURE = 0.9  # the probability, at least, that the net gives to the digit it dreamed of
DREAM_TRIES = 25  # batches of 700 dreams of a digit before its net is given up


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
        print(_how_to_go_on(arguments), file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:>20}  {value}")
    return 0


def _parser() -> argparse.ArgumentParser:
    """What the commands are and take."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    common.add_argument("--backend", default="auto", help="auto, numpy, cupy or cupy-tf32 (default: %(default)s)")
    parser = argparse.ArgumentParser(
        prog="dbn-lite", description="Deep belief nets, as Hinton, Osindero and Teh (2006)."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help, parents=[common])
        added.set_defaults(command=command)
        return added

    sets = "auto, mnist, dreamed, usps"
    of_data = add("data", _data, "fetch or verify a data set, or dream one up from a net")
    of_data.add_argument("action", choices=("fetch", "verify", "dream"))
    of_data.add_argument("what", nargs="?", default="mnist", help="mnist or usps; for dream the net, an .npz file")
    of_data.add_argument("--out", type=Path, default=None, help="where dream writes (default: the embedded set)")
    of_data.add_argument("--seed", type=int, default=0)

    of_train = add("train", _train, "train a net: greedy learning, then up-down")
    of_train.add_argument("--preset", required=True, help=", ".join(PRESETS))
    of_train.add_argument("--data", default="auto", help=sets)
    of_train.add_argument("--seed", type=int, default=0)
    of_train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    of_train.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")

    of_evaluate = add("evaluate", _evaluate, "the error rate of a net")
    of_evaluate.add_argument("net", metavar="NET.npz")
    of_evaluate.add_argument("--data", default="auto", help=sets)
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

    of_reproduce = add("reproduce", _reproduce, "the scoreboard: the paper's numbers beside ours, and figures 6 to 9")
    of_reproduce.add_argument("--out", type=Path, default=Path("reproduced"), metavar="DIR", help="of the figures")
    of_reproduce.add_argument("--runs", type=Path, metavar="DIR", help="record and use the runs there, paper-seedN")
    of_reproduce.add_argument("--from-scratch", action="store_true", help="train three seeds first, in --runs (hours)")
    of_reproduce.add_argument("--data", default="mnist", help=f"{sets} (default: %(default)s, as in the paper)")

    of_experiment = add("experiment", _experiment, "an experiment of section 6 that takes hours; it can be resumed")
    of_experiment.add_argument("name", choices=("k-effect", "left-running"))
    of_experiment.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run of the paper preset")
    of_experiment.add_argument("--data", default="mnist", help=sets)
    of_experiment.add_argument("--epochs", type=int, default=None, help="of left-running (default: 100)")
    of_experiment.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the runs and the record")

    of_cure = add("cure", _cure, "teach a net that dreams of empty pages to stay at digits (chapter 7)")
    of_cure.add_argument("net", metavar="NET.npz")
    of_cure.add_argument("--data", default="auto", help=sets)
    of_cure.add_argument("--out", type=Path, required=True, metavar="CURED.npz")

    of_bench = add("bench", _bench, "seconds a mini-batch, as a ratio to the matrix products alone")
    of_bench.add_argument("--out", type=Path, default=None, metavar="FILE.json", help="also write all rows there")

    of_table1 = add("table1", _table1, "table 1 of the paper: all rows as recorded, or some run again")
    of_table1.add_argument("rows", nargs="*", metavar="ROW", help="run this row (default: print what is recorded)")
    of_table1.add_argument("--data", default="auto", help=sets)
    of_table1.add_argument("--seed", type=int, default=0)
    of_table1.add_argument("--size", type=int, default=None, help="images or epochs (default: the full size)")
    of_table1.add_argument("--state", type=Path, default=None, metavar="DIR", help="keep there what is finished")
    of_table1.add_argument("--out", type=Path, default=None, metavar="FILE.json", help="record there")

    add("info", _info, "what a net is and where it comes from").add_argument("net", metavar="NET.npz")
    return parser


def _data(a: argparse.Namespace) -> dict[str, Any]:
    if a.action == "dream":
        return _dream(a)
    folder = sources.fetch(a.what) if a.action == "fetch" else None
    rows = sources.verify(a.what)  # after fetching too: what DBN_LITE_DATA holds is not looked at there
    for row in rows:
        if not row.ok:
            sentence = f"{Path(row.where, row.file)} {row.why}; {sources.remedy(a.what, Path(row.where))}."
            raise InputError(sentence)
    return {"folder": str(folder)} if folder else {row.file: f"ok, in {row.where}" for row in rows}


def _dream(a: argparse.Namespace) -> dict[str, Any]:
    """1,400 readable digits of each class, in mixed order, as the embedded set; the last 2,000 are for testing."""
    net, out = store.load(a.what), a.out or sources.shipped("registry.json").with_name(sources.DREAMED)
    expect_writable(out)
    rng = backend.current().random(a.seed, "dream")
    digits = tqdm(range(net.n_labels), desc="dreaming", unit="digit", disable=a.json)
    images = np.concatenate([_readable_dreams(net, digit, 1400, rng) for digit in digits])
    labels = np.repeat(np.arange(net.n_labels), 1400)
    order = np.random.default_rng(a.seed).permutation(len(labels))
    about = {"net": store.read_meta(a.what), "steps": DREAM_STEPS, "seed": a.seed}
    data.write_dreamed(out, images[order], labels[order], meta=about)
    return {"images": len(images), "bytes": Path(out).stat().st_size, "written": str(out)}


def _readable_dreams(net: DBN, digit: int, n: int, rng: backend.Random) -> np.ndarray:
    """n dreams of a digit, (n, vis), that are no empty pages and in which the net itself is sure to see that digit."""
    kept: list[np.ndarray] = []
    for _ in range(DREAM_TRIES):
        dreams = generate(net, digit, n // 2, DREAM_STEPS, rng)
        sure = label_log_probs(net, dreams)[:, digit] > np.log(DREAM_SURE)
        kept.extend(dreams[sure & (dreams.mean(axis=1) >= DREAM_INK)])
        if len(kept) >= n:
            return np.stack(kept[:n])
    raise InputError(f"the net is sure of few of its dreams of {digit}; train it longer.")


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
    return {**dict(zip(names, net.sizes, strict=True)), "weights": weights, **about}


def _reproduce(a: argparse.Namespace) -> dict[str, Any]:
    dataset, folder = data.load(a.data), a.runs
    if a.from_scratch:
        folder = folder or Path("runs")
        reproduce.train_and_record(folder, dataset, progress=not a.json)
    elif folder:
        reproduce.record_runs(folder, dataset)
    results, drawn = folder or reproduce.results_folder(), []
    runs = reproduce.recorded_runs(results, dataset.name)
    path, greedy_path = reproduce.net_and_forebear(runs, folder)
    with tqdm(total=1 + len(reproduce.PICTURES), desc="measuring read-outs", disable=a.json, unit="step") as bar:
        rows = reproduce.scoreboard(reproduce.measure(path, greedy_path, dataset), runs, results)
        for name in reproduce.PICTURES:
            bar.set_description(f"drawing {name}")
            bar.update()
            drawn += reproduce.draw(name, store.load(path), dataset, a.out)
        bar.update()
    standing = [reproduce.standing(run) for run in runs]
    about = {"data": dataset.name, "net": str(path), "runs": standing, "figures": [str(path) for path in drawn]}
    if a.json:
        return about | {"rows": [asdict(row) for row in rows]}
    print(reproduce.in_lines(rows))
    return about | {"runs": "; ".join(standing) or "none", "figures": ", ".join(about["figures"])}


def _experiment(a: argparse.Namespace) -> dict[str, Any]:
    dataset, progress = data.load(a.data), not a.json
    if a.name == "k-effect":
        if a.epochs is not None:
            raise InputError("k-effect takes as many epochs as the runs did; leave --epochs out.")
        return experiments.k_effect(a.runs, dataset, a.out, progress)
    if a.epochs is not None and a.epochs < 1:
        raise InputError(f"{a.epochs} epochs are nothing to run; ask for at least 1.")
    if len(a.runs) > 1:
        raise InputError(f"left-running takes one run, not {len(a.runs)}; give the folder of one.")
    return experiments.left_running(a.runs[0], dataset, a.out, a.epochs or 100, progress=progress)


def _cure(a: argparse.Namespace) -> dict[str, Any]:
    net, before, dataset = store.load(a.net), store.read_meta(a.net), data.load(a.data)
    expect_writable(a.out)
    seed = before.get("seed", 0)  # its own: the mini-batches of its first stages
    about = {"data": dataset.name, "mini_batches": N_BATCHES, "seed": seed}
    kept = {name: before[name] for name in ("preset", "seed", "data", "backend") if name in before}
    store.save(cure(net, dataset, seed, progress=not a.json), a.out, **kept, versions=train.versions(), cure=about)
    return {"written": str(a.out), **about}


def _bench(a: argparse.Namespace) -> dict[str, Any]:
    if a.out:
        expect_writable(a.out)
    result = bench.run(backend.current().name, say=lambda line: print(line, file=sys.stderr))
    if a.out:
        content = json.dumps(result, indent=1)
        atomic_write(a.out, lambda file: file.write(content.encode()))
    if a.json:
        return result
    lines = {
        f"{r['stage']} x{r['threads']} {r['who']}": f"{1e3 * r['seconds']:8.2f} ms  {r['ratio']:.2f} times the floor"
        for r in result["rows"]
        if "seconds" in r and "sweep" not in r
    }
    lines |= {f"{r['stage']} {r['who']}": f"not timed: {r['refused']}" for r in result["rows"] if "refused" in r}
    paper = {n: f"{hours:.3g} hours, {3600 * hours:.0f} seconds" for n, hours in result["paper_hours"].items()}
    return lines | {f"paper preset x{n}": words for n, words in paper.items()}


def _table1(a: argparse.Namespace) -> dict[str, Any]:
    from .baselines import command  # here, so that the core runs without this room

    say = lambda line: print(line, file=sys.stderr)  # noqa: E731
    return command.table1(a.rows, a.data, a.seed, a.size, a.state, a.out, a.json, say)


def _how_to_go_on(arguments: argparse.Namespace) -> str:
    if arguments.command is _train:
        return f"stopped; go on from the last checkpoint in {arguments.out} with the same command and --resume."
    if arguments.command in (_experiment, _table1) or getattr(arguments, "from_scratch", False):
        return "stopped; the same command goes on from what is finished."
    return "stopped."
