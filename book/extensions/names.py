"""What autodoc is told of dbn_lite: where the names that a package hands on are at home, and what in a docstring is set
as it stands.
"""

import sys
from typing import Any

from sphinx.application import Sphinx


def add_names(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """End the docstring of a package with a link to each name of its `__all__` that lives in another module."""
    if what != "module":
        return
    links = []
    for word in getattr(thing, "__all__", ()):
        one = getattr(thing, word)
        home = one.__name__ if isinstance(one, type(sys)) else getattr(one, "__module__", name)
        if home != name and home.startswith("dbn_lite"):
            links.append(
                f":mod:`{word} <{home}>`" if home == getattr(one, "__name__", "") else f":obj:`{word} <{home}.{word}>`"
            )
    if links:
        lines += ["", f"From here one imports {', '.join(links)}."]


def set_apart(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Set what is indented after a colon, a formula or a command, as it stands: `:` becomes reStructuredText's `::`."""
    for i in range(len(lines) - 2):
        if lines[i].endswith(":") and not lines[i + 1] and lines[i + 2].startswith("    "):
            lines[i] += ":"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", add_names)
    app.connect("autodoc-process-docstring", set_apart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
