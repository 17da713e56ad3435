"""What `dbn-lite table1` does: print the rows as recorded, or run some and record them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ... import data, places
from ...errors import InputError
from ...files import expect_folder, expect_writable
from . import record
from .row import Job
from .rows import BESIDE, ROWS, row_named

RECORDED = "results/table1.json"


def recorded_at() -> Path:
    """Where the recorded rows are. Raises InputError in a copy of the library that came without results."""
    return places.shipped("registry.json").parent / RECORDED


def table() -> list[dict[str, Any]]:
    """All fourteen rows, in the paper's order: what the paper has, and what was recorded, if anything was."""
    found = {line["name"]: line for line in record.read(recorded_at())}
    return [{"name": row.name, "method": row.method, "paper_error": row.paper_error} | found.get(row.name, {})
            for row in ROWS]  # fmt: skip


def run_rows(
    names: Sequence[str],
    data_set: str,
    seed: int,
    size: int | None,
    state: Path | None,
    out: Path | None,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Run rows one after the other, each from where it was stopped, and record them.

    What is finished of a run is kept in `state` (by default beside the downloads). The records go to `out`, and
    nowhere without it. Raises InputError, before anything is run, for an `out` that is no such record, and for the one
    that ships unless the rows are run on MNIST and in full: no trial may pass for it.
    """
    rows, digits = [row_named(name) for name in names], data.load(data_set)
    digits.expect_test()
    folder = state or places.cache_folder() / "table1"
    expect_folder(folder)
    if out:
        expect_writable(out)
        record.read(out)
        in_full = digits.name == "mnist" and all(size in (None, row.size) for row in rows)
        if not in_full and out.exists() and recorded_at().exists() and os.path.samefile(out, recorded_at()):
            raise InputError(f"{out} is what ships, of MNIST and in full; name another file for a trial.")
    found = []
    for row in rows:
        job = Job(folder / digits.name, row.size if size is None else size, seed, partial(_told, say, row.name))
        line, predictions = record.run(row, digits, job)
        found.append(line)
        if out:
            record.write(out, line, predictions, [row.name for row in ROWS])
    return found


def _told(say: Callable[[str], None], name: str, line: str) -> None:
    say(f"{name}, {line}")


def still_to_run(line: dict[str, Any]) -> str:
    """What is missing of a row, recorded or not, in words; empty if it was run in full."""
    row = row_named(line["name"])
    if "error" not in line:
        return f"not run; all of it: {row.size:,} {row.unit}"
    if line["size"] == line["full_size"]:
        return ""
    reached = f"at {line['size']:,} of {line['full_size']:,} {line['unit']}"
    return f"{reached}; the rest: about {record.rest(line, row.growth) / 60:.0f} minutes of one core"


def in_words(line: dict[str, Any]) -> str:
    """A row in one line: the paper's figure, ours, and what is still to be run."""
    row = row_named(line["name"])
    ours = f"{line['error']:6.2f} %" if "error" in line else "     -  "
    rest = still_to_run(line)
    source = f"{row.year} " if row in BESIDE else "paper"
    return f"{source} {row.paper_error:5.2f} %   ours {ours}   {row.method}" + (f" ({rest})" if rest else "")
