"""The command `dbn-lite senses`: a net of two senses, learned, measured and recorded."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .. import data
from ..data.commands import SETS
from ..errors import InputError
from ..files import atomic_write, expect_writable, read_json
from .experiment import HELD_OUT


def add_senses(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_senses)
    parser.add_argument("--data", default="auto", help=f"of the images: {SETS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speaker", default=HELD_OUT, help="whose voice is held out (default: %(default)s, the test)")
    parser.add_argument("--settings", type=Path, default=None, metavar="FILE.json", help="an object of what differs")
    parser.add_argument("--net", type=Path, default=None, metavar="NET.npz", help="also write the net there")
    parser.add_argument("--out", type=Path, default=None, metavar="FILE.json", help="record there")


def _senses(a: argparse.Namespace) -> dict[str, Any]:
    from . import experiment, pairnet
    from . import speech as recordings

    changes = _changes(a.settings)
    for path in filter(None, (a.out, a.net)):
        expect_writable(path)
    before = read_json(a.out, {"rows": [{}]}, "a record of `dbn-lite senses`") if a.out and a.out.exists() else {}
    dataset, speech = data.load(a.data), recordings.load_speech()
    settings, started = experiment.Settings(**changes), time.perf_counter()
    rows, net = experiment.run(dataset, speech, settings, a.speaker, a.seed, _watch(not a.json))
    seconds = time.perf_counter() - started
    if a.net:
        pairnet.save(net, a.net, settings=asdict(settings), data=dataset.name, seed=a.seed)
    if a.out:
        content = {"rows": [], "search": []} | before  # whichever is measured now, the other stays
        if a.speaker == HELD_OUT:
            content |= experiment.record(rows, settings, dataset, net, speech, seconds)
        else:
            content["search"] += [row | {"changes": changes, "seconds": round(seconds, 1)} for row in rows]
        text = json.dumps(content, indent=1) + "\n"
        atomic_write(a.out, lambda file: file.write(text.encode()))
    return {"rows": rows} if a.json else {f"{row['stage']}, {k}": _words(v) for row in rows for k, v in row.items()
                                          if isinstance(v, dict)}  # fmt: skip


def _words(counts: dict[str, Any]) -> str:
    if "dreams" in counts:
        return f"{counts['right']} of {counts['dreams']} dreams read right, {counts['percent']} %"
    return ", ".join(f"{name} {share} % right" for name, share in counts.items())


def _changes(path: Path | None) -> dict[str, Any]:
    from .experiment import Settings

    changes: dict[str, Any] = read_json(path, {}, "an object of settings") if path else {}
    known = [field.name for field in fields(Settings)]
    for name, value in changes.items():
        if name not in known:
            raise InputError(f"{path}: there is no setting {name!r}; choose from {', '.join(known)}.")
        changes[name] = tuple(value) if isinstance(value, list) else value
    return changes


def _watch(shown: bool) -> Any:
    """A bar for each stage, as it comes."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def watch(stage: str, at: int, of: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(desc=stage, total=of, unit="epoch", disable=not shown)
        bars[stage].update(at - bars[stage].n)
        if at == of:
            bars[stage].close()

    return watch
