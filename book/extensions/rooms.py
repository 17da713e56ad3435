"""The directive `rooms`: who imports whom in dbn_lite, read from its files and drawn whenever the page is built.

`{rooms} hall` draws the modules of the hall, `{rooms} wings` the hall as one box, and the wings around it. Lines take
the colours of the page, so that one drawing serves light pages, dark ones and paper.
"""

import ast
from collections.abc import Callable, Iterator
from html import escape
from importlib.util import resolve_name
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).resolve().parents[2] / "dbn_lite"
DOORS = {"", "__main__", "cli"}  # they open onto everything
HALL_FOLDERS = {"train"}
WIDTH, HEIGHT, GAP, ROW, LETTER = 860, 34, 16, 92, 8.2  # of the picture, a box, between two, between two rows, a letter

Arrows = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Each module by its name below dbn_lite, such as "train.learners"; a folder's own is the folder."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports() -> Arrows:
    """For each module the modules of dbn_lite that it imports, at its top or within a function."""
    known, found = modules(), {}
    for name, path in known.items():
        here = ".".join(["dbn_lite", *path.relative_to(PACKAGE).parent.parts])
        found[name] = {target for target in _named(path, here, known) if target not in (name, "")}
    return found


def _named(path: Path, here: str, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), here if node.level else None)
            if base.split(".")[0] == "dbn_lite":
                below = base.removeprefix("dbn_lite").removeprefix(".")
                for alias in node.names:
                    inner = f"{below}.{alias.name}".removeprefix(".")
                    yield inner if inner in known else below


def wing(module: str) -> str:
    """The room of a module: its wing or the hall; the errors, which everything knows, are a room of their own."""
    first, _, rest = module.partition(".")
    return first if (rest or (PACKAGE / first).is_dir() or first == "errors") and first not in HALL_FOLDERS else "hall"


def between(name: Callable[[str], str], kept: Callable[[str], bool]) -> Arrows:
    """The arrows between what `name` makes of those modules that are kept."""
    arrows: Arrows = {}
    for module, targets in imports().items():
        if module not in DOORS and kept(module):
            one = arrows.setdefault(name(module), set())
            one |= {name(target) for target in targets if kept(target)} - {name(module)}
    return arrows


def draw(arrows: Arrows, words: str) -> str:
    """The arrows as SVG, each box below all that import it; an arrow that a longer way implies is faint."""
    places, tip = _places(arrows), words.lower().replace(" ", "-")
    lines, boxes = [], []
    for one, targets in sorted(arrows.items()):
        implied = {far for target in targets for far in _reached(arrows, target)}
        for target in sorted(targets):
            (x, y, _), (to_x, to_y, _) = places[one], places[target]
            start, end, bend = y + HEIGHT, to_y - 7, (to_y - y - HEIGHT) / 2
            way = f"M{x:.0f} {start}C{x:.0f} {start + bend:.0f} {to_x:.0f} {end - bend:.0f} {to_x:.0f} {end}"
            lines.append(f'<path d="{way}" opacity="{0.2 if target in implied else 0.85}" marker-end="url(#{tip})"/>')
    for one, (x, y, width) in sorted(places.items()):
        boxes.append(
            f'<rect x="{x - width / 2:.0f}" y="{y}" width="{width:.0f}" height="{HEIGHT}" rx="6"/>'
            f'<text x="{x:.0f}" y="{y + 22}">{escape(one)}</text>'
        )
    said = "; ".join(f"{one} imports {', '.join(sorted(to)) or 'nothing'}" for one, to in sorted(arrows.items()))
    height = max(y for _, y, _ in places.values()) + HEIGHT + 2
    return (
        f'<svg class="rooms" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" '
        f'aria-label="{escape(f"{words}: {said}.")}"><defs><marker id="{tip}" viewBox="0 0 8 8" refX="1" refY="4" '
        f'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<g class="lines">{"".join(lines)}</g><g class="boxes">{"".join(boxes)}</g></svg>'
    )


def _reached(arrows: Arrows, one: str) -> set[str]:
    return {far for target in arrows[one] for far in {target, *_reached(arrows, target)}}


def _places(arrows: Arrows) -> dict[str, tuple[float, int, float]]:
    """Where each box is: its middle, its upper edge and its width. Raises RecursionError if imports run in a circle."""

    def depth(one: str) -> int:
        return max((1 + depth(target) for target in arrows[one]), default=0)

    rows: list[list[str]] = [[] for _ in range(1 + max(map(depth, arrows)))]
    for one in sorted(arrows):
        rows[depth(one)].append(one)
    found: dict[str, tuple[float, int, float]] = {}
    for level, row in enumerate(rows):  # from below, each box over the middle of what it imports, as far as may be
        row.sort(key=lambda one: sum(found[t][0] for t in arrows[one]) / max(len(arrows[one]), 1))
        widths = [LETTER * len(one) + 24 for one in row]
        room = (WIDTH - sum(widths) - 2) / (len(row) + 1)
        x = 1 + max(room, GAP)
        for one, width in zip(row, widths, strict=True):
            found[one] = (x + width / 2, 1 + (len(rows) - 1 - level) * ROW, width)
            x += width + room
    return found


class Rooms(SphinxDirective):
    """The drawing in place of the directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        for path in modules().values():
            self.env.note_dependency(str(path))
        if self.arguments[0] == "wings":
            picture = draw(between(wing, lambda module: True), "The rooms")
        else:
            hall = between(lambda module: module.split(".")[0], lambda module: wing(module) == "hall")
            picture = draw(hall, "The modules of the hall")
        return [nodes.raw("", f'<div class="rooms-frame">{picture}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
