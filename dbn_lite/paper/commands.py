"""The commands of the reproduction; what a command works with is imported when it runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import backend, data, store
from ..data.commands import SETS
from ..errors import InputError
from ..files import atomic_write, expect_folder, expect_writable
from ..presets import preset_named

OWN_NETS = ("fading", "proposals")  # experiments that train nets of their own
GO_ON = "stopped; the same command goes on from what is finished."


def add_reproduce(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_reproduce)
    parser.add_argument("--out", type=Path, default=Path("reproduced"), metavar="DIR", help="of the figures")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="record and use the runs there: paper-seed0, ...")
    parser.add_argument(
        "--from-scratch",
        nargs="?",
        const="paper",
        choices=("paper", "dream"),
        metavar="PRESET",
        help="train three seeds of it first, side by side, in --runs (hours; default: paper, the other: dream)",
    )
    parser.add_argument("--data", default="mnist", help=f"{SETS} (default: %(default)s, as in the paper)")


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_experiment, when_stopped=GO_ON)
    parser.add_argument("name", choices=("k-effect", "left-running", "other-digits", *OWN_NETS))
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--data", default="mnist", help=SETS)
    parser.add_argument("--epochs", type=int, default=None, help="of left-running (default: 100)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the runs and the record")


def add_dreams(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_dreams)
    parser.add_argument("net", metavar="NET.npz")
    parser.add_argument("--data", default="auto", help=SETS)
    parser.add_argument("--seed", type=int, default=0)


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_bench)
    parser.add_argument("--out", type=Path, default=None, metavar="FILE.json", help="also write all rows there")


def add_table1(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_table1, when_stopped=GO_ON)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="run this row (default: print what is recorded)")
    parser.add_argument("--data", default="auto", help=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=None, help="images or epochs (default: the full size)")
    parser.add_argument("--state", type=Path, default=None, metavar="DIR", help="keep there what is finished")
    parser.add_argument("--out", type=Path, default=None, metavar="FILE.json", help="record there")


def _reproduce(a: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from . import figures, runs, scoreboard

    if a.from_scratch:
        a.when_stopped = GO_ON
    dataset, folder = data.load(a.data), a.runs
    expect_folder(a.out)
    if a.from_scratch:
        folder = folder or Path("runs")
        runs.train_and_record(folder, dataset, preset_named(a.from_scratch), progress=not a.json)
    elif folder:
        runs.record_runs(folder, dataset)
    results, drawn = folder or runs.results_folder(), []
    recorded, dreaming = (runs.recorded_runs(results, dataset.name, name) for name in runs.PROTOCOLS)
    path, greedy_path = runs.net_and_forebear(recorded, folder)
    with tqdm(total=1 + len(figures.PICTURES), desc="measuring read-outs", disable=a.json, unit="step") as bar:
        rows = scoreboard.rows(scoreboard.measure(path, greedy_path, dataset), recorded, results, dreaming)
        for name in figures.PICTURES:
            bar.set_description(f"drawing {name}")
            bar.update()
            drawn += figures.draw(name, store.load(path), dataset, a.out)
        bar.update()
    standing = [runs.standing(run) for run in recorded] + [f"dream, {runs.standing(run)}" for run in dreaming]
    about = {"data": dataset.name, "net": str(path), "runs": standing, "figures": [str(path) for path in drawn]}
    if a.json:
        return about | {"rows": [asdict(row) for row in rows]}
    print(scoreboard.in_lines(rows))
    return about | {"runs": "; ".join(standing) or "none", "figures": ", ".join(about["figures"])}


def _experiment(a: argparse.Namespace) -> dict[str, Any]:
    from . import experiments

    if a.name in OWN_NETS and a.runs:
        raise InputError(f"{a.name} trains nets of its own and takes no run; leave {a.runs[0]} out.")
    if a.name not in OWN_NETS and not a.runs:
        raise InputError(f"{a.name} looks at a run that is finished; give its folder.")
    if a.epochs is not None and a.name != "left-running":
        raise InputError(f"{a.name} has epochs of its own; leave --epochs out.")
    dataset, progress = data.load(a.data), not a.json
    if a.name == "fading":
        from .fading import fading

        return fading(dataset, a.out, progress=progress)
    if a.name == "proposals":
        from .proposals import proposals

        return proposals(dataset, a.out, progress=progress)
    if a.name == "k-effect":
        return experiments.k_effect(a.runs, dataset, a.out, progress)
    if a.epochs is not None and a.epochs < 1:
        raise InputError(f"{a.epochs} epochs are nothing to run; ask for at least 1.")
    if len(a.runs) > 1:
        raise InputError(f"{a.name} takes one run, not {len(a.runs)}; give the folder of one.")
    if a.name == "other-digits":
        from .proposals import other_digits

        return other_digits(a.runs[0], dataset, a.out)
    return experiments.left_running(a.runs[0], dataset, a.out, a.epochs or 100, progress=progress)


def _dreams(a: argparse.Namespace) -> dict[str, Any]:
    from ..study import dreams

    rows = dreams.measure(store.load(a.net), data.load(a.data), seed=a.seed)
    if a.json:
        return {"rows": rows}
    return {
        f"{r['start']}, {r['after']}": f"{r['faint']} faint, {r['right']} right, {r['another']} another, "
        f"of {r['dreams']}; spread {r['spread']}, nearest training image {r['nearest']} of a test image's"
        for r in rows
    }


def _bench(a: argparse.Namespace) -> dict[str, Any]:
    from . import bench

    if a.out:
        expect_writable(a.out)
    result = bench.run(backend.current().name, say=_to_stderr)
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
    from .table1 import command

    run = (a.rows, a.data, a.seed, a.size, a.state, a.out, _to_stderr)
    lines = command.run_rows(*run) if a.rows else command.table()
    return {"rows": lines} if a.json else {line["name"]: command.in_words(line) for line in lines}


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
