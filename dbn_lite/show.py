"""What a notebook shows of the library: its own lines, never retyped, and tables of what was computed."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import InputError


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
