"""Equations carry the paper's numbers: the label eq-5 prints as (5), on whatever page it stands.

Equations that are not in the paper are numbered by their chapter: eq-3-1 prints as (3.1), eq-t-1 as (t.1).
"""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.math import MathDomain


class PaperNumbers(MathDomain):
    """The domain of equations, except that a label such as eq-3-1 is the number."""

    def note_equation(self, docname: str, labelid: str, location: Any = None) -> None:
        super().note_equation(docname, labelid, location)
        if re.fullmatch(r"eq(-[0-9a-z]+)+", labelid):
            self.equations[labelid] = (docname, labelid.removeprefix("eq-").replace("-", "."))  # type: ignore[assignment]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_domain(PaperNumbers, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
