"""A page with nothing but live figures, for tests and for the eye.

python tests/figure_page.py NAME OUT.png [--dark] [--width 390] [--net NET.npz] [--greedy NET.npz]
    [--dream NET.npz] [--do SCRIPT]
takes a picture of one figure; SCRIPT is JavaScript to run in the page before, with `root` the figure's element.
"""

import argparse
import html
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from visiting import launched, settle

from dbn_lite.widgets.__main__ import build

HEAD = """<!doctype html><html lang="en" data-theme="THEME"><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width">
<style>body { font-family: sans-serif; margin: 8px }
[data-theme=dark] body { background: #14181e; color: #ced6dd }</style>
<link rel="stylesheet" href="dbn/dbn.css"><script defer src="dbn/dbn.js"></script><main><h1>Figures</h1>
"""


def write(folder: Path, figures: dict[str, dict[str, Any]], theme: str = "light") -> Path:
    """Write a page with the figures, name: options; `build(folder / "dbn", ...)` lays out what it loads."""
    hosts = [
        f'<div data-dbn-widget="{name}" data-options="{html.escape(json.dumps(options))}">'
        f"<figure><p>A still picture.</p><figcaption>Caption of {name}.</figcaption></figure></div>"
        for name, options in figures.items()
    ]
    page = folder / f"{'-'.join(figures)}-{theme}.html"
    page.write_text(HEAD.replace("THEME", theme) + "\n".join(hosts) + "</main></html>\n", encoding="utf-8")
    return page


def start(page: Any) -> None:
    """Press every start button and wait until all figures are there."""
    page.evaluate("document.querySelectorAll('.dbn-gate button').forEach((button) => button.click())")
    page.wait_for_function("() => !document.querySelector('[data-dbn-widget]:not([data-mounted])')")
    settle(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("out", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--do", default="")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--net", type=Path)
    parser.add_argument("--greedy", type=Path)
    parser.add_argument("--dream", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        theme = "dark" if options.dark else "light"
        nets = {"net": options.net, "greedy": options.greedy, "dream": options.dream}
        build(Path(folder, "dbn"), nets)
        url = write(Path(folder), {options.name: options.options}, theme).as_uri()
        page = browser.new_page(viewport={"width": options.width, "height": 900})
        page.on("console", lambda message: print("console:", message.text, file=sys.stderr))
        page.on("pageerror", lambda error: print("error:", error, error.stack, file=sys.stderr))
        page.goto(url)
        start(page)
        page.evaluate(f"async () => {{ const root = document.querySelector('.dbn-figure'); {options.do} }}")
        settle(page)
        page.screenshot(path=options.out, full_page=True)


if __name__ == "__main__":
    main()
