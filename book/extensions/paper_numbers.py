"""Equations carry the paper's numbers: the label eq-5 prints as (5), on whatever page it stands.

Equations that are not in the paper are numbered by their chapter: eq-3-1 prints as (3.1), eq-t-1 as (t.1). So are
figures, in their order on the page: those of 03-rbm are 3.1, 3.2, and so on, those of appendix A are A.1, A.2. The
search finds equations by number.
"""

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains import ObjType
from sphinx.domains.math import MathDomain
from sphinx.environment import BuildEnvironment


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


def number_figures(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number the figures of each page anew, behind the number or letter that its file begins with."""
    for page, kinds in env.toc_fignumbers.items():
        chapter = re.match(r"0*(\w)-", page.rpartition("/")[2])
        for n, figure in enumerate(kinds.get("figure", {}), 1):
            kinds["figure"][figure] = (chapter[1].upper(), n) if chapter else (n,)  # type: ignore[assignment]
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_domain(PaperNumbers, override=True)
    app.connect("env-get-updated", number_figures, priority=900)  # after Sphinx has numbered them through
    return {"parallel_read_safe": True, "parallel_write_safe": True}
