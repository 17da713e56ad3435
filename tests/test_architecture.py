"""Who may import whom: the algorithm in the hall knows no wing but the one with the arrays."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dbn_lite"
DOORS = {"__init__", "__main__", "cli"}  # they open onto every wing
WINGS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"train"}
MAY_KNOW = {
    "hall": {"backend"},
    "backend": {"hall"},  # its errors, nothing else: see below
    "data": {"hall", "backend"},
    "deep": {"hall", "backend"},
    "study": {"hall", "backend"},
    "paper": {"hall", "backend", "data", "deep", "study"},
    "senses": {"hall", "backend", "data"},
    "widgets": {"hall", "backend", "data"},
}


def room(parts: tuple[str, ...]) -> str:
    """The wing of a module, given as the parts of its name below dbn_lite, or "hall"."""
    return parts[0] if parts[0] in WINGS else "hall"


def imported(path: Path) -> set[tuple[str, ...]]:
    """Every module of dbn_lite that a file imports, at its top or within a function."""
    here, found = path.relative_to(PACKAGE).parent.parts, set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        named = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            base = here[: len(here) - node.level + 1] + named
        elif named[:1] == ("dbn_lite",):
            base = named[1:]
        else:
            continue
        found |= {base} if base else {(alias.name,) for alias in node.names}
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).with_suffix("").name not in DOORS
         or path.parent != PACKAGE]  # fmt: skip


def test_every_wing_is_spoken_of() -> None:
    assert WINGS | {"hall"} == MAY_KNOW.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_their_direction(path: Path) -> None:
    own = room(path.relative_to(PACKAGE).with_suffix("").parts)
    known = {room(parts) for parts in imported(path)} - {own}
    assert known <= MAY_KNOW[own], f"{path.name} of {own} imports from {known - MAY_KNOW[own]}"


def test_the_arrays_know_nothing_of_the_hall_but_its_errors() -> None:
    known = {parts for path in (PACKAGE / "backend").glob("*.py") for parts in imported(path)}
    assert {parts[0] for parts in known if room(parts) == "hall"} == {"errors"}


def test_the_hall_is_small_enough_to_be_read() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 16


def test_the_drawings_of_the_book_show_every_arrow_and_no_other() -> None:
    spec = importlib.util.spec_from_file_location("rooms", PACKAGE.parent / "book" / "extensions" / "rooms.py")
    assert spec
    assert spec.loader
    rooms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rooms)
    found = {(room(path.relative_to(PACKAGE).with_suffix("").parts), room(parts)) for path in FILES
             for parts in imported(path)}  # fmt: skip
    drawn = rooms.between(rooms.wing, lambda module: True)
    errors = {"errors": "hall"}
    arrows = {(errors.get(one, one), errors.get(to, to)) for one, targets in drawn.items() for to in targets}
    assert {(one, to) for one, to in arrows if one != to} == {(one, to) for one, to in found if one != to}
    assert drawn["backend"] == {"errors"}
    picture = rooms.draw(drawn, "The rooms")  # a circle would end in a RecursionError
    assert picture.count("marker-end") == sum(map(len, drawn.values()))
    assert set(re.findall(r">(\w+)</text>", picture)) == drawn.keys() == MAY_KNOW.keys() | {"errors"}
