"""Before and after a build; `make book` runs all five, in this order.

prepare.py fetch    bring MNIST to where the notebooks look for it, or say what stands in for it
prepare.py key      drop executed notebooks that no longer count
prepare.py execute  run the notebooks, as many at once as there are cores
prepare.py gather   lay out what the pages load
prepare.py finish   make the pages fit for a folder and for a static host
"""

import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor

from dbn_lite import data
from dbn_lite.widgets import __main__ as figures

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STATIC = BUILD / "static"  # beside book/static, which is committed; _config.yml names both
# The cache of executed notebooks compares nothing but their code: what else they depend on is hashed here.
DEPENDENCIES = ("dbn_lite", "data", "requirements.lock")


def fetch_digits() -> None:
    """Fetch MNIST before any notebook asks for it; without a network the notebooks use the embedded digits."""
    try:
        data.fetch("mnist")
    except data.NotFetchedError as error:
        print(f"The pages will show the embedded digits in place of MNIST: {error}")


def copy_mathjax() -> None:
    """Copy the one MathJax component that the pages load, and its fonts, from the package that has them."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        sys.exit("sphinx-mathjax-offline is not installed: `make book` installs what requirements.lock lists.")
    source, target = Path(spec.origin).parent / "static" / "mathjax", STATIC / "thirdparty" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy2(source / "tex-mml-chtml.js", target)


def files_below(path: Path) -> Iterator[Path]:
    """Yield the file itself, or the folder's files in a fixed order, without compiled or hidden ones."""
    if path.is_file():
        yield path
    for below in sorted(path.rglob("*")):
        parts = below.relative_to(ROOT).parts
        if below.is_file() and not any(part.startswith((".", "__pycache__")) for part in parts):
            yield below


def execution_key() -> str:
    """Return a digest of all that the outputs of a notebook depend on besides its own code."""
    digest = hashlib.sha256(f"{sys.version} {os.environ.get('DBN_LITE_DATA', '')}".encode())
    for path in (file for name in DEPENDENCIES for file in files_below(ROOT / name)):
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def update_key() -> None:
    """Write the key, and drop notebooks executed under another one; leave both when it is the same."""
    key, kept = execution_key(), BUILD / "execution-key"
    if not kept.exists() or kept.read_text() != key:
        shutil.rmtree(BUILD / ".jupyter_cache", ignore_errors=True)
        BUILD.mkdir(exist_ok=True)
        kept.write_text(key)


def execute() -> None:
    """Run the notebooks that the cache lacks side by side; the build by itself runs one after another.

    The build finds them there. One that fails is left to it: it runs that one again, and reports.
    """
    cache = get_cache(BUILD / ".jupyter_cache")
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cache.add_nb_to_project(str(path))
    load_executor("local-parallel", cache).run_and_cache(timeout=600)  # seconds for a cell, as in _config.yml


def gather() -> None:
    """Lay out what the pages load, and clear the site of an earlier build."""
    shutil.rmtree(STATIC, ignore_errors=True)
    shutil.rmtree(BUILD / "html", ignore_errors=True)  # a page that left the book leaves the site
    STATIC.mkdir(parents=True)
    copy_mathjax()
    figures.build(STATIC / "dbn", {})


def finish() -> None:
    """Drop from each page what only a server or a kernel can honour.

    That is a hint that a browser reports as an error in a page opened from a folder, and the state of widgets:
    the whole program of the live figures, once for each figure, which the page runs from a file of its own.
    """
    hint = re.compile(r'\s*<link rel="preload" as="font"[^>]*>')
    state = re.compile(r'<script type="application/vnd\.jupyter\.widget-(?:state|view)\+json">.*?</script>', re.DOTALL)
    for page in (BUILD / "html").rglob("*.html"):
        content = page.read_text(encoding="utf-8")
        page.write_text(state.sub("", hint.sub("", content)), encoding="utf-8")
    (BUILD / "html" / ".nojekyll").touch()  # a static host serves folders that begin with an underscore as they are


if __name__ == "__main__":
    steps = {"fetch": fetch_digits, "key": update_key, "execute": execute, "gather": gather, "finish": finish}
    steps[sys.argv[1]]()
