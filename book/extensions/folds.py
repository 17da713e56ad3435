"""What only proves, or only draws, folds: a tag of a cell says how, and a notebook and a page do the same.

`proof`: the whole cell, behind the lines that `show.checked` printed in it. Proofs that follow each other fold as one;
where nothing was checked the first line of code stands for it, if that is a comment.
`hide-input`: the code alone, which a page has below what it draws. In JupyterLab both are cells whose source is hidden.
"""

import re
from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

CHECKED = re.compile(r"^(?:\x1b\[32m)?\u2713(?:\x1b\[0m)? (checked: .*)\n?", re.MULTILINE)


class Fold(nodes.General, nodes.Element):
    """A fold whose summary is the list `lines`, each with whether it is something that was checked."""


def visit_fold(self: HTML5Translator, node: Fold) -> None:
    lines = "".join(f'<span class="{kind}">{escape(text)}</span>' for kind, text in node["lines"])
    self.body.append(f'<details class="proof"><summary>{lines}</summary>\n')


def depart_fold(self: HTML5Translator, node: Fold) -> None:
    self.body.append("</details>\n")


class FoldCells(SphinxPostTransform):
    """Fold proofs, and put the code of a figure below it."""

    default_priority = 200  # after MyST-NB's own, which chooses what is shown of an output and hides inputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        cells = [c for c in self.document.findall(nodes.container) if c.get("nb_element") == "cell_code"]
        fold, last = Fold(), None
        for cell in cells:
            if "tag_hide-input" in cell["classes"] and isinstance(cell[0], HideCodeCellNode):
                cell.append(cell.pop(0))
            if "tag_proof" not in cell["classes"]:
                continue
            place = cell.parent.index(cell)
            if last is not None and last.parent is cell.parent and place == last.parent.index(last) + 1:
                cell.parent.remove(cell)
            else:
                fold = last = Fold(lines=[])
                cell.parent[place] = fold
            fold += cell
            fold["lines"] += taken(cell)
        for fold in self.document.findall(Fold):
            checked = [line for line in fold["lines"] if line[0] == "checked"]
            fold["lines"] = checked or fold["lines"][:1] or [("plain", "The code")]


def taken(cell: nodes.container) -> list[tuple[str, str]]:
    """The lines for a summary, those that were checked cut out of what the cell printed."""
    found = []
    for block in list(cell.findall(nodes.literal_block)):
        text = block.astext()
        if block.parent.get("nb_element") == "cell_code_source":
            if text.startswith("# "):
                found.append(("plain", text.splitlines()[0][2:]))
        elif lines := CHECKED.findall(text):
            found += [("checked", line) for line in lines]
            left = CHECKED.sub("", text)
            block.rawsource, block[:] = left, [nodes.Text(left)]
            if not left.strip():
                block.parent.remove(block)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(Fold, html=(visit_fold, depart_fold))
    app.add_post_transform(FoldCells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
