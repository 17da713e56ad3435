"""The shape of a built page: how much is code and tables, whether lines fit. `python tests/shape.py PAGE.html`."""

import sys
from pathlib import Path
from typing import Any

from visiting import Visit, launched

# Cells and listings, less the figures in them; folded, they have the height of the line that they fold behind.
SHARES = """() => {
  const article = document.querySelector("article.bd-article");
  const height = (node) => node.getBoundingClientRect().height;
  const sum = (nodes) => nodes.reduce((total, node) => total + height(node), 0);
  const top = (root, kinds) => [...root.querySelectorAll(kinds)].filter((node) => {
    const above = node.parentElement.closest(kinds);
    return !above || !root.contains(above) || above === root;
  });
  const cells = top(article, "div.cell, div.highlight, details.proof");
  const figures = cells.flatMap((cell) => top(cell, "figure, img"));
  return (sum(cells) - sum(figures)) / height(article);
}"""
LONG_LINES = """() => [...document.querySelectorAll("article div.highlight pre")]
  .filter((pre) => pre.checkVisibility() && pre.scrollWidth > pre.clientWidth + 1)
  .map((pre) => pre.textContent.split("\\n").reduce((a, b) => (b.length > a.length ? b : a)))"""
EARLY = """() => {
  const cell = document.querySelector("article :is(div.cell, details.proof)");
  const question = document.querySelector("article h2");
  return cell && !(question.compareDocumentPosition(cell) & Node.DOCUMENT_POSITION_FOLLOWING) ? cell.textContent : "";
}"""
# In view without a finger's help: what lies in a box that scrolls by itself is cut off by that box.
OVERFLOWING = """() => {
  const article = document.querySelector("article.bd-article");
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  const scrolls = (node) => node !== article
    && (/auto|scroll/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
  return [...article.querySelectorAll("*")]
    .filter((node) => node.checkVisibility() && !node.closest("mjx-assistive-mml, .visually-hidden"))
    .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !scrolls(node.parentElement))
    .map((node) => node.tagName + "." + node.className + ": " + node.textContent.slice(0, 60));
}"""


def shape(visit: Visit) -> dict[str, Any]:
    """What is measured of a page, at both widths."""
    found = {
        "share of code and tables": visit.page.evaluate(SHARES),
        "lines longer than the column": visit.page.evaluate(LONG_LINES),
        "cell before the first question": visit.page.evaluate(EARLY),
    }
    visit.page.set_viewport_size({"width": 390, "height": 900})
    visit.settle()
    return found | {"wider than a phone": visit.page.evaluate(OVERFLOWING)}


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve()
    with launched() as browser:
        for what, value in shape(Visit(browser, page.as_uri(), page.parents[1].as_uri())).items():
            print(f"{what}: {value if not isinstance(value, list) else '; '.join(map(repr, value)) or 'none'}")
