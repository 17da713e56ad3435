"""The pages of names: every module stands on one of them, and every public name with a link to its own lines."""

import inspect
import os
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "book" / f"api-{name}.rst" for name in ("algorithm", "wings")]
PAGES = [ROOT / "_build" / "html" / "book" / f"{path.stem}.html" for path in SOURCES]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "dbn_lite").rglob("*.py")
    if path != ROOT / "dbn_lite" / "__main__.py"  # which is the command line
)


def own(module: ModuleType) -> set[str]:
    """The public functions and classes that a module defines itself."""
    things = {name: one for name, one in vars(module).items() if name[0] != "_"}
    return {
        name for name, one in things.items()
        if (inspect.isfunction(one) or inspect.isclass(one)) and one.__module__ == module.__name__
    }  # fmt: skip


def test_every_module_stands_on_one_page() -> None:
    named = [
        name for path in SOURCES for name in re.findall(r"^\.\. automodule:: (\S+)$", path.read_text(), re.MULTILINE)
    ]
    assert sorted(named) == MODULES


@pytest.mark.skipif(not PAGES[0].exists() and not os.environ.get("CI"), reason="run make book first: no pages")
def test_every_public_name_is_shown_with_a_link_to_its_source() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    ids = set(re.findall(r'<dt [^>]*id="([^"]+)"', pages)) | set(MODULES)
    for module in map(import_module, MODULES):
        for name in own(module):
            assert f"{module.__name__}.{name}" in ids
            assert re.search(rf'href="\.\./_modules/{module.__name__.replace(".", "/")}\.html#{name}"', pages), name
        for name in getattr(module, "__all__", ()):  # at home here or further in
            assert any(known.startswith("dbn_lite") and known.endswith(f".{name}") for known in ids), name
