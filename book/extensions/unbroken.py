"""No line begins with the comma after a formula: browsers break there, since a formula is a box to them."""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


class KeepTogether(SphinxPostTransform):
    """Put an inline formula and the signs that follow it into one span."""

    default_priority = 300
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for formula in list(self.document.findall(nodes.math)):
            place = formula.parent.index(formula)
            after = formula.parent[place + 1] if place + 1 < len(formula.parent) else ""
            signs = re.match(r"[^\s\w(]+", after) if isinstance(after, nodes.Text) else None
            if signs:
                formula.parent[place : place + 2] = [
                    nodes.inline("", "", formula.deepcopy(), nodes.Text(signs[0]), classes=["nobreak"]),
                    nodes.Text(after[signs.end() :]),
                ]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(KeepTogether)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
