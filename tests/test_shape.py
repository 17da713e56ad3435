"""The story in front: of the pages that are held to it, what a reader sees before anything is unfolded."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from shape import shape
from visiting import BROWSER, Visit

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
HELD = (
    "01-explaining-away", "02-complementary-priors", "03-rbm", "04-greedy", "05-updown",
    "06-mnist", "07-mind", "a-complementary-priors", "b-pseudocode",
)  # fmt: skip
MISSING = [name for name in HELD if not (HTML / "book" / f"{name}.html").exists()]
LACKS = "no Chromium or Chrome is installed" if BROWSER is None else "run make book first" if MISSING else ""
seen = pytest.mark.skipif(bool(LACKS) and not os.environ.get("CI"), reason=LACKS)


def wrong(found: dict[str, Any]) -> list[str]:
    """What a page is found to be that it should not be."""
    share = found.pop("share of code and tables")
    return [what for what, value in found.items() if value] + ["too much code"] * (share > 1 / 3)


@seen
@pytest.mark.parametrize("name", HELD)
def test_prose_and_figures_are_two_thirds_and_all_fits(browser: Any, name: str) -> None:
    visit = Visit(browser, (HTML / "book" / f"{name}.html").as_uri(), HTML.as_uri())
    found = shape(visit)
    assert not wrong(dict(found)), found
    visit.close()


@seen
@pytest.mark.parametrize("name", HELD)
def test_what_was_checked_stands_in_a_line_that_a_key_unfolds(browser: Any, name: str) -> None:
    """The lines are those that the notebook stores; behind them is the code, with what else it printed."""
    visit = Visit(browser, (HTML / "book" / f"{name}.html").as_uri(), HTML.as_uri())
    cells = nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells
    proofs = [cell for cell in cells if "proof" in cell.metadata.get("tags", [])]
    printed = "".join(output.text for cell in proofs for output in cell.outputs)
    stored = [line.partition("\x1b[0m ")[2] for line in printed.splitlines() if "\u2713" in line]
    assert stored
    shown = visit.page.locator("details.proof:not([open]) > summary > .checked").all_text_contents()
    assert [line for line in shown if line in stored] == stored
    assert visit.count("details.proof pre:has-text('checked:')") == 0
    fold = visit.page.locator("details.proof").first
    fold.locator("summary").press("Enter")
    assert fold.evaluate("fold => fold.open && fold.querySelector('pre').checkVisibility()")
    visit.close()


@seen
@pytest.mark.parametrize("name", HELD)
def test_figures_are_numbered_by_chapter_and_none_lacks_words(browser: Any, name: str) -> None:
    visit = Visit(browser, (HTML / "book" / f"{name}.html").as_uri(), HTML.as_uri())
    numbers = visit.page.locator("article figcaption .caption-number").all_text_contents()
    chapter = name[:2].lstrip("0").rstrip("-").upper()
    assert [number.strip() for number in numbers] == [f"Figure {chapter}.{n + 1}" for n in range(len(numbers))]
    assert visit.count("article img") == visit.count("article figure img")
    visit.close()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_page_out_of_shape_is_noticed(browser: Any, tmp_path: Path) -> None:
    """The measures above can fail: each fault, planted; and what is folded or scrolls by itself is none."""
    code = "<div class='cell'><div class='highlight'><pre style='overflow: auto; height: 300px'>{}</pre></div></div>"
    wide = "<p style='width: 700px'>wide</p>"
    head = "<!doctype html><meta name='viewport' content='width=device-width'><article class='bd-article'>"
    pages = {
        "bad": code.format("x" * 300) + f"<h2>Question</h2>{wide}",
        "good": f"<h2>Question</h2><details class='proof'>{code.format('x' * 300)}</details>"
        f"<div style='overflow-x: auto'>{wide}</div><p style='height: 600px'></p>" + code.format("x"),
    }
    found = {}
    for name, body in pages.items():
        (tmp_path / f"{name}.html").write_text(head + body)
        visit = Visit(browser, (tmp_path / f"{name}.html").as_uri(), tmp_path.as_uri())
        found[name] = wrong(shape(visit))
        visit.close()
    assert found["good"] == []
    assert len(found["bad"]) == 4


@pytest.mark.parametrize("name", HELD)
def test_what_a_page_folds_a_notebook_folds(name: str) -> None:
    """And a solution, a proof and the code of a figure are the only things that fold."""
    for cell in nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells:
        folds = {"proof", "hide-input", "hide-cell", "remove-input"} & set(cell.metadata.get("tags", []))
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert hidden == bool(folds), cell.source
