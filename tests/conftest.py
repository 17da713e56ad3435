"""What the browser tests share, each file for itself: a browser, and a site with the live figures on small nets."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visiting import launched, served

# What takes longest is begun first, so that no process waits in the end for another's last file.
LONGEST = (
    "test_lab", "test_pages", "test_figures_net", "test_figures_small", "test_figures", "test_cli", "test_train",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


# Not for a whole session: as long as Playwright runs, no other test of the process can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the figures on small nets, below another as a project site is."""
    from test_figures import lay_out

    return lay_out(tmp_path_factory.mktemp("site") / "repo")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """The address of that folder, on the loopback."""
    with served(folder.parent) as address:
        yield f"{address}repo/"


@pytest.fixture
def cupy_ops(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend for CuPy on a stand-in: its kernels compiled for the CPU."""
    import standin_cupy

    from dbn_lite import backend
    from dbn_lite.backend import gpu

    if not standin_cupy.COMPILER:
        pytest.skip("no C compiler here to compile the kernels with")
    monkeypatch.setitem(sys.modules, "cupy", standin_cupy)
    monkeypatch.setattr(gpu, "cublas_library", standin_cupy.CuBLAS)
    monkeypatch.setattr(backend, "_current", backend.current())
    return backend.use("cupy")
