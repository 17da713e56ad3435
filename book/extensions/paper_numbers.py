"""Equations carry the paper's numbers: the label eq-5 prints as (5), on whatever page it stands.

Equations that are not in the paper are numbered by their chapter: eq-3-1 prints as (3.1), eq-t-1 as (t.1). The search
finds them by number.
"""

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains import ObjType
from sphinx.domains.math import MathDomain


class PaperNumbers(MathDomain):
    """The domain of equations, except that a label such as eq-3-1 is the number."""

    object_types = {"equation": ObjType("equation", "eq")}  # noqa: RUF012 (as Sphinx declares it)

    def note_equation(self, docname: str, labelid: str, location: Any = None) -> None:
        super().note_equation(docname, labelid, location)
        if re.fullmatch(r"eq(-[0-9a-z]+)+", labelid):
            self.equations[labelid] = (docname, labelid.removeprefix("eq-").replace("-", "."))  # type: ignore[assignment]

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """What the search knows: the number, where it stands."""
        for label, (docname, number) in self.equations.items():
            yield str(number), f"equation {number}", "equation", docname, f"equation-{label}", 1


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_domain(PaperNumbers, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
