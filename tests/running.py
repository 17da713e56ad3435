"""Running a chapter in a browser as a reader does who presses "Run this page", and noting what it takes.

python tests/running.py [NOTEBOOK ...]    run chapters by hand and record them in book/lite/measured.json
"""

import datetime
import gzip
import json
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from visiting import QuietHandler, launched, served

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
LITE = HTML / "lite"
MEASURED = ROOT / "book" / "lite" / "measured.json"
NO_OTHER_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # a guard on requests would turn caching off
CODE_CELLS = """() => jupyterapp.shell.currentWidget.content.widgets.filter(w => w.model.type == 'code').map(w => ({
  done: w.model.executionCount, outputs: w.model.outputs.toJSON().map(o => ({...o, data: o.data && Object.keys(o.data)
    .reduce((kept, kind) => ({...kept, [kind]: kind == 'text/plain' ? o.data[kind] : true}), {})})) }))"""


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
    """What came of one page."""

    cells: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    other_hosts: list[str] = field(default_factory=list)
    first_seconds: float = 0.0
    seconds: float = 0.0
    megabytes: float = 0.0


def run(context: Any, base: str, name: str, limit: float, only_first: bool = False) -> Ran:
    """Open the notebook, run all its cells, wait for the last one or the first error; `limit` in seconds."""
    ran, page, sent, started = Ran(), context.new_page(), Host.sent, time.perf_counter()
    page.on("request", lambda request: note(request.url, base, ran))
    page.goto(f"{base}lite/notebooks/index.html?path={name}.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=1000 * limit)
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    while time.perf_counter() - started < limit:
        page.wait_for_timeout(250)
        ran.cells = page.evaluate(CODE_CELLS)
        ran.errors = [f"{i}: {o['ename']}: {o['evalue']}" for i, cell in enumerate(ran.cells)
                      for o in cell["outputs"] if o["output_type"] == "error"]  # fmt: skip
        done = sum(cell["done"] is not None for cell in ran.cells)
        ran.seconds = time.perf_counter() - started
        ran.first_seconds = ran.first_seconds or (ran.seconds if done else 0.0)
        if done == len(ran.cells) or ran.errors or (only_first and done):
            break
    else:
        ran.errors.append(f"after {limit:.0f} seconds {done} of {len(ran.cells)} cells were done")
    ran.megabytes = (Host.sent - sent) / 1e6
    page.close()
    return ran


def note(url: str, base: str, ran: Ran) -> None:
    if not url.startswith((base, "data:", "blob:")):
        ran.other_hosts.append(url)


def differences(ran: Ran, name: str) -> list[str]:
    """The tagged cells whose text is not the one in the repository, which nbval compares too."""
    cells = [c for c in nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells if c.cell_type == "code"]
    assert len(cells) == len(ran.cells)
    found = []
    for asked, got in zip(cells, ran.cells, strict=True):
        if "nbval-check-output" in asked.metadata.get("tags", []):
            right, here = text(asked.outputs), text(got["outputs"])
            if right != here:
                found.append(f"{asked.source[:200]}\n-- recorded:\n{right}\n-- in the browser:\n{here}")
    return found


def text(outputs: list[Any]) -> str:
    parts = [o.get("text") or (o.get("data") or {}).get("text/plain") or "" for o in outputs]
    return "".join("".join(part) for part in parts)


def main(names: list[str]) -> None:
    """Run each in a new browser, and its first result once more as a second visit; keep the others' rows."""
    rows = {row["notebook"]: row for row in json.loads(MEASURED.read_text())["rows"]}
    with served(HTML, Host) as base, launched(NO_OTHER_HOST) as browser:
        for name in names:
            context = browser.new_context()
            ran = run(context, base, name, 3600)
            again = run(context, base, name, 300, only_first=True)
            context.close()
            print(f"{name}: {ran.megabytes:.1f} MB, first result {ran.first_seconds:.1f} s, all {ran.seconds:.1f} s; "
                  f"again {again.megabytes:.1f} MB, {again.first_seconds:.1f} s", *ran.errors, *ran.other_hosts,
                  *differences(ran, name), sep="\n")  # fmt: skip
            if not ran.errors:
                rows[name] = {
                    "notebook": name, "megabytes": round(ran.megabytes, 1), "seconds": round(ran.seconds, 1),
                    "first_seconds": round(ran.first_seconds, 1), "second_visit_seconds": round(again.first_seconds, 1),
                    "second_visit_megabytes": round(again.megabytes, 1), "date": str(datetime.date.today()),
                }  # fmt: skip
                MEASURED.write_text(json.dumps({"rows": [rows[name] for name in sorted(rows)]}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or [path.stem for path in sorted((ROOT / "book").glob("*.ipynb"))])
