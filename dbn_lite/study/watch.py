"""The command `dbn-lite watch`: a run as one page of curves, filters and dreams, made anew while it trains."""

from __future__ import annotations

import argparse
import base64
import html
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import backend, plot, store
from ..dataset import nearly_square
from ..dbn import DBN, evolve, stack
from ..errors import InputError
from ..files import TEXT, atomic_write, count, expect_writable, fault
from ..rbm import RBM
from ..train.folder import RunFolder

EVERY = 10  # seconds between two looks at the run, and between two that the page takes at itself
FILTERS, CLASSES, EACH, STEPS = 40, 10, 4, 100  # shown; and Gibbs iterations before a dream is looked at
STATE = {
    "settings": {"data": TEXT, "seed": count(), "preset": {"name": TEXT, "stages": [{"layer": count()}]}},
    "stage_index": count(),
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">{refresh}
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #121212; color: #ddd; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{told}</p>
{figures}
</body>
</html>
"""


def add_watch(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.set_defaults(command=_watch)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, while it trains or after")
    parser.add_argument(
        "--out", type=Path, default=None, metavar="PAGE.html", help="default: watch.html in that folder"
    )
    parser.add_argument("--once", action="store_true", help="write the page as the run stands, and end")


def _watch(a: argparse.Namespace) -> dict[str, Any]:
    out = a.out or a.run / "watch.html"
    if not a.json and not a.once:
        a.when_stopped = "stopped watching; the run goes on."
    return {"written": str(out), **watch(a.run, out, once=a.once)}


def watch(folder: str | Path, out: str | Path, once: bool = False, every: float = EVERY) -> dict[str, Any]:
    """Write the page of a run, and write it again whenever the run has gone on, until it is over; or only `once`.

    Returns how far the run was: `epochs` and whether it is `finished`. Raises InputError for a folder without a run.
    """
    seen, at = 0.0, Path(folder, "log.jsonl")
    state = _state(folder)
    expect_writable(out)
    while True:
        changed = at.stat().st_mtime if at.is_file() else 0.0
        if changed != seen:
            seen, state = changed, _state(folder)
            text = page(folder)
            atomic_write(out, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
        finished = _finished(state)
        if once or finished:
            return {"epochs": len(RunFolder(folder).read_log()), "finished": finished}
        time.sleep(every)


def page(folder: str | Path) -> str:
    """One page of HTML, with all its pictures within: how far a run is, its curves, its filters, and what it dreams.

    Filters and dreams are those of the last checkpoint, at most a minute old. As long as the run goes on, the page asks
    to be loaded again.
    """
    run = RunFolder(folder)
    arrays, state = store.load_arrays(run.checkpoint)
    state = _checked(state, run.checkpoint)
    rows, preset = run.read_log(), state["settings"]["preset"]
    filters, net = _net(arrays, preset["stages"][: state["stage_index"] + 1], run.checkpoint)
    shape = nearly_square(filters.shape[1])
    last = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in (rows[-1] if rows else {}).items()
                     if isinstance(value, float))  # fmt: skip
    told = f"{rows[-1]['stage']}, epoch {rows[-1]['epoch']}: {last}" if rows else "the first epoch is under way"
    pictures = [*_curves(rows), ("Filters of the first layer", plot.image_grid(filters, shape, signed=True))]
    if net:
        labels = np.repeat(np.arange(min(net.n_labels, CLASSES)), EACH).tolist()
        dreams = evolve(net, labels, len(labels), every=STEPS, columns=2)[-1]
        named = f"What it dreams of each class, {EACH} chains after {STEPS} iterations"
        pictures.append((named, plot.contact_sheet(dreams, shape, min(len(labels), 5 * EACH))))
    return PAGE.format(
        refresh="" if _finished(state) else f'\n<meta http-equiv="refresh" content="{EVERY}">',
        title=html.escape(
            f"{Path(folder).resolve().name}: {preset['name']} on {state['settings']['data'].split(',')[0]}"
        ),
        told=html.escape(f"{'Finished. ' if _finished(state) else ''}{told}."),
        figures="\n".join(f'<h2>{name}</h2>\n<img alt="{name}" src="{_inline(figure)}">' for name, figure in pictures),
    )


def _state(folder: str | Path) -> dict[str, Any]:
    checkpoint = RunFolder(folder).checkpoint
    return _checked(store.load_arrays(checkpoint, ())[1], checkpoint)


def _checked(state: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    if why := fault(state, STATE, "its description"):
        raise InputError(f"{checkpoint} is of no run ({why}); give the folder of `dbn-lite train --out`.")
    return state


def _finished(state: dict[str, Any]) -> bool:
    return bool(state["stage_index"] >= len(state["settings"]["preset"]["stages"]))


def _net(arrays: dict[str, np.ndarray], stages: list[dict[str, Any]], path: Path) -> tuple[np.ndarray, DBN | None]:
    """Filters of the first layer (n, vis), and the net of a checkpoint: None before its memory began to learn."""
    own = {name.removeprefix("net."): a for name, a in arrays.items() if name.startswith("net.")}
    if own:
        net = store.net_of(own, path)
        return own["vishid"].T[:FILTERS], net
    names = [f"rbm{i}.{name}" for i in (1, 2, 3) for name in ("W", "vis_bias", "hid_bias")]
    if missing := [name for name in names if name not in arrays]:
        raise InputError(f"{path} has no array {missing[0]!r}; give the folder of `dbn-lite train --out`.")
    filters = arrays["rbm1.W"].T[:FILTERS]
    if not stages or stages[-1]["layer"] != 3:
        return filters, None
    n_labels = len(arrays["rbm3.vis_bias"]) - len(arrays["rbm2.hid_bias"])
    given = [[backend.current().asarray(arrays[name]) for name in names[i : i + 3]] for i in (0, 3, 6)]
    return filters, stack(RBM(*given[0]), RBM(*given[1]), RBM(*given[2], n_labels=n_labels))  # type: ignore[misc]


def _curves(rows: list[dict[str, Any]]) -> list[tuple[str, Figure]]:
    found: list[tuple[str, Figure]] = []
    names = ("train_error", "validation_error", "test_error")
    errors = [row | {name: row.get(name) for name in names} for row in rows if any(name in row for name in names)]
    if errors:
        found.append(("Errors", plot.learning_curves(errors, {})))
    greedy: dict[str, list[float]] = {}
    for row in rows:
        if "reconstruction_error" in row:
            greedy.setdefault(row["stage"], []).append(row["reconstruction_error"])
    if greedy:
        found.append(("Reconstruction", plot.curves(greedy, "epochs", "squared error")))  # type: ignore[arg-type]
    return found


def _inline(figure: Figure) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
