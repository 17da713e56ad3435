"""Running a page in a browser as a reader does who presses its button, and noting what it takes.

python tests/running.py [NOTEBOOK ...]    run chapters by hand and record them in book/lite/measured.json
"""

import datetime
import gzip
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from visiting import QuietHandler, kept, served

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
LITE = HTML / "lite"
MEASURED = ROOT / "book" / "lite" / "measured.json"
NO_OTHER_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # a guard on requests would turn caching off
# Of each cell that has code: its state, its text and its errors, as they stand on the page.
CELLS = """() => [...document.querySelectorAll('article .cell')].map((cell) => ({
  state: cell.dataset.live ?? '', seconds: cell.live?.seconds ?? 0,
  text: [...cell.querySelectorAll('.live-text')].map((part) => part.textContent).join(''),
  error: [...cell.querySelectorAll('.live-error')].map((part) => part.textContent).join(''),
}))"""


@cache
def packed(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), 6)


class Host(QuietHandler):
    """A static host as they are: it compresses what it can, lets browsers ask again, and here counts what it sends."""

    protocol_version = "HTTP/1.1"
    sent = 0
    extensions_map: ClassVar = {**QuietHandler.extensions_map, ".wasm": "application/wasm", ".whl": "application/zip"}

    def send_head(self) -> Any:
        path = self.translate_path(self.path)
        plain = Path(path).suffix in {".npz", ".whl", ".zip", ".woff2", ".png"}
        known = "If-Modified-Since" in self.headers
        if plain or known or not Path(path).is_file() or "gzip" not in self.headers.get("Accept-Encoding", ""):
            opened = super().send_head()
            if opened and Path(path).is_file():
                Host.sent += Path(path).stat().st_size
            return opened
        content = packed(path)
        Host.sent += len(content)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(Path(path).stat().st_mtime))
        self.end_headers()
        self.wfile.write(content)
        return None


@dataclass
class Ran:
    """What came of one page since its button was pressed: seconds of the processor, bytes and memory in MB.

    The browser's seconds on the processor and not those on the wall: on a machine that does nothing else they are the
    same but for the download, and on a busy one they still say what a reader will wait.
    """

    cells: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    other_hosts: list[str] = field(default_factory=list)
    first_seconds: float = 0.0
    seconds: float = 0.0
    megabytes: float = 0.0
    memory: float = 0.0


def run(page: Any, base: str, name: str, limit: float, only_first: bool = False) -> Ran:
    """Open the page, press its button, wait for the last cell or the first error; `limit` in seconds."""
    ran = Ran()
    page.on("request", lambda request: note(request.url, base, ran))
    page.on("pageerror", lambda error: ran.errors.append(str(error)))
    page.goto(f"{base}book/{name}.html")
    page.wait_for_load_state("networkidle")
    sent, before, spent, looks = Host.sent, memory(), processor_seconds(), 0
    started = time.perf_counter()
    page.evaluate("document.querySelector('.run-here button').click()")  # it is hidden before the first measurement
    while True:
        page.wait_for_timeout(200)
        ran.cells = page.evaluate(CELLS)
        ran.errors += [f"{i}: {cell['error']}" for i, cell in enumerate(ran.cells) if cell["error"]]
        done = sum(cell["state"] == "done" for cell in ran.cells)
        ran.seconds = processor_seconds() - spent
        ran.first_seconds = ran.first_seconds or (ran.seconds if done else 0.0)
        looks += 1
        if looks % 10 == 0:  # it takes a while to count
            ran.memory = max(ran.memory, memory() - before)
        if done == len(ran.cells) or ran.errors or (only_first and done):
            break
        if time.perf_counter() - started > limit:
            ran.errors.append(f"after {limit:.0f} seconds {done} of {len(ran.cells)} cells were done")
            break
    share = min(1.0, ran.seconds / (time.perf_counter() - started))  # of the time on the wall
    for cell in ran.cells:
        cell["seconds"] *= share
    ran.megabytes = (Host.sent - sent) / 1e6
    return ran


def own_processes() -> dict[Path, float]:
    """All that this process has started, browsers among them, each with its seconds on the processor so far."""
    parents, seconds = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(process.name)] = int(fields[1])
        seconds[int(process.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    own, found = {os.getpid()}, 0
    while found != len(own):
        found = len(own)
        own |= {child for child, parent in parents.items() if parent in own}
    return {Path("/proc") / str(process): seconds[process] for process in own - {os.getpid()} if process in seconds}


def processor_seconds() -> float:
    return sum(own_processes().values())


def memory() -> float:
    """MB that the browser holds, what its processes share counted once."""
    total = 0
    for process in own_processes():
        try:
            found = re.search(r"^Pss:\s*(\d+)", (process / "smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1e3


def note(url: str, base: str, ran: Ran) -> None:
    if not url.startswith((base, "data:", "blob:")):
        ran.other_hosts.append(url)


def differences(ran: Ran, name: str) -> list[str]:
    """The tagged cells whose text is not the one in the repository, which nbval compares too."""
    cells = [c for c in nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells if c.cell_type == "code"]
    assert len(cells) == len(ran.cells)
    found = []
    for asked, got in zip(cells, ran.cells, strict=True):
        if "nbval-check-output" in asked.metadata.get("tags", []) and got["state"]:
            right, here = text(asked.outputs), got["text"]
            if right != here:
                found.append(f"{asked.source[:200]}\n-- recorded:\n{right}\n-- in the browser:\n{here}")
    return found


def text(outputs: list[Any]) -> str:
    parts = [o.get("text") or (o.get("data") or {}).get("text/plain") or "" for o in outputs]
    return "".join("".join(part) for part in parts)


def main(names: list[str]) -> None:
    """Run each in a new browser, and its first result once more as a second visit; keep the others' rows."""
    rows = {row["notebook"]: row for row in json.loads(MEASURED.read_text())["rows"]}
    with served(HTML, Host) as base, tempfile.TemporaryDirectory() as profiles:
        for name in names:
            with kept(f"{profiles}/{name}", NO_OTHER_HOST) as context:
                ran = run(context.new_page(), base, name, 3600)
            with kept(f"{profiles}/{name}", NO_OTHER_HOST) as context:  # the browser was closed between the two
                again = run(context.new_page(), base, name, 300, only_first=True)
            wrong = [*ran.errors, *again.errors, *ran.other_hosts, *differences(ran, name)]
            print(f"{name}: {ran.megabytes:.1f} MB, first result {ran.first_seconds:.1f} s, all {ran.seconds:.1f} s, "
                  f"{ran.memory:.0f} MB of memory; again {again.megabytes:.1f} MB, {again.first_seconds:.1f} s",
                  *wrong, sep="\n", flush=True)  # fmt: skip
            if not wrong:
                rows[name] = {
                    "notebook": name, "megabytes": round(ran.megabytes, 1), "memory": round(ran.memory),
                    "first_seconds": round(ran.first_seconds, 1), "seconds": round(ran.seconds, 1),
                    "second_visit_seconds": round(again.first_seconds, 1),
                    "second_visit_megabytes": round(again.megabytes, 1), "date": str(datetime.date.today()),
                    "cells": [round(cell["seconds"], 1) for cell in ran.cells],
                }  # fmt: skip
                kept_rows = ",\n ".join(json.dumps(rows[name]) for name in sorted(rows))
                MEASURED.write_text(f'{{"rows": [\n {kept_rows}\n]}}\n')


if __name__ == "__main__":
    main(sys.argv[1:] or [path.stem for path in sorted((ROOT / "book").glob("*.ipynb"))])
