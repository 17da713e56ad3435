"""The chapters for Colab: each with a first cell that installs the library at the commit that built the pages.

colab.py FOLDER     write them; GITHUB_REPOSITORY and GITHUB_SHA say what to install
"""

import os
import sys
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parents[1]
# No version is named: what Colab has installed meets the library's bounds and stays, its CuPy for the GPU too.
INSTALL = """# The library, at the commit of these pages. On a machine with a GPU it computes there.
%pip install -q anywidget "dbn-lite @ git+{server}/{repository}@{commit}"
%env DBN_LITE_BACKEND=auto"""


def write(folder: Path, server: str, repository: str, commit: str) -> None:
    """Write each chapter with that cell in front."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(BOOK.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cell = nbformat.v4.new_code_cell(INSTALL.format(server=server, repository=repository, commit=commit))
        cell.id = "install"
        notebook.cells.insert(0, cell)
        nbformat.write(notebook, folder / path.name)


if __name__ == "__main__":
    write(
        Path(sys.argv[1]),
        os.environ.get("GITHUB_SERVER_URL", "https://github.com"),
        os.environ["GITHUB_REPOSITORY"],
        os.environ["GITHUB_SHA"],
    )
