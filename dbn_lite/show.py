"""What a notebook shows of the library: its own lines, never retyped, and tables of what was computed."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError

GREEN, RED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"  # as terminals, notebooks and pages colour what is printed


class Markdown(str):
    """Text that notebooks and pages set as Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


def source(function: Callable[..., Any] | type, first: str = "", last: str = "") -> Markdown:
    """The lines of a function or class, from the one that holds `first` to the next that holds `last`, as code.

    Raises InputError if no line holds them: a page that points at code which has moved should not build.
    """
    lines, start = inspect.getsourcelines(function)
    begin = _find(lines, first, 0, function) if first else 0
    end = _find(lines, last, begin, function) + 1 if last else len(lines)
    file = Path(inspect.getsourcefile(function) or "")
    where = f"# {file.parent.name}/{file.name}, lines {start + begin} to {start + end - 1}\n"
    return Markdown(f"```python\n{where}{textwrap.dedent(''.join(lines[begin:end])).rstrip()}\n```")


def _find(lines: Sequence[str], part: str, begin: int, function: Callable[..., Any] | type) -> int:
    for i in range(begin, len(lines)):
        if part in lines[i]:
            return i
    raise InputError(f"{function.__qualname__} has no line with {part!r}; quote it as it stands in the library.")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """A table, one sequence of cells a row; numbers are set as they print.

    Cells are Markdown, formulas and links included; HTML in one is shown as it is written, and none ends its row.
    """
    lines = [[_cell(cell) for cell in line] for line in (header, ["---"] * len(header), *rows)]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))


def _cell(content: object) -> str:
    """On one line, bars escaped unless they are, and no tag, comment or declaration begun."""
    text = re.sub(r"\s*[\r\n]\s*", " ", str(content))
    text = re.sub(r"(\\*)\|", lambda bar: bar[0] if len(bar[1]) % 2 else f"{bar[1]}\\|", text)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def checked(what: str, left: Any, right: Any = None, atol: float = 1e-12) -> None:
    """Print one line, in green, that `left` and `right` agree in every number to `atol`, or that all of `left` is true.

    In a page this line is what a reader sees of a cell tagged `proof`. It has the bound, not the difference, which
    rounding makes another on each machine. `right` has the shape of `left`, or is one number.
    Raises AssertionError where it does not hold, after a line in red that says by how much: no page builds then.
    """
    found = np.asarray(left)
    of = f", {found.size:,} numbers" if found.size > 1 else ""
    if not found.size:
        raise InputError(f"Nothing to check in {what!r}: an empty array agrees with everything.")
    if right is None:
        if found.dtype != bool:
            raise InputError(f"{what!r} is checked by numbers alone: give what they should be, or a comparison.")
        of = of.replace("numbers", "cases")
        holds, bound, miss = found, "", f"false in {np.sum(~found)} of {found.size} cases"
    else:
        wanted = np.asarray(right)
        if wanted.shape not in {found.shape, ()}:
            raise InputError(f"The two sides of {what!r} have shapes {found.shape} and {wanted.shape}; make them one.")
        holds = np.isclose(found, wanted, rtol=0, atol=atol)
        bound = f", to {atol:g}" if atol >= 0.001 else f", to {atol:.0e}".replace("e-0", "e-")
        with np.errstate(invalid="ignore"):  # of infinities, which agree
            miss = f"off by up to {np.max(np.abs(found - wanted)):.3g}, where {atol:g} is allowed"
    if not holds.all():
        print(f"{RED}\u2717 does not hold: {what}{PLAIN}: {miss}")
        raise AssertionError(f"{what}: {miss}")
    print(f"{GREEN}\u2713{PLAIN} checked: {what}{bound}{of}")
