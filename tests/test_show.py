"""What a notebook shows of the library: the lines as they stand, and nothing when they do not."""

import inspect
import linecache

import pytest
from markdown_it import MarkdownIt

from dbn_lite import rbm, show
from dbn_lite.errors import InputError


def code_of(shown):
    first, where, *lines, last = shown.split("\n")
    assert (first, last) == ("```python", "```")
    return where, "\n".join(lines)


def test_a_function_is_shown_whole():
    where, code = code_of(show.source(rbm.gibbs_step))
    assert code == inspect.getsource(rbm.gibbs_step).rstrip()
    assert where.startswith("# dbn_lite/rbm.py, lines ")


def test_an_excerpt_is_dedented_and_names_its_lines():
    where, code = code_of(show.source(rbm.ContrastiveDivergence.step, first="rng.tick()", last="ops.matmul"))
    assert code.startswith("rng.tick()\nv0[...] = data\n")
    assert "ops.matmul" in code.splitlines()[-1]
    start, end = (int(word) for word in where.split() if word.isdigit())
    lines = [linecache.getline(rbm.__file__, n).strip() for n in range(start, end + 1)]
    assert lines == [line.strip() for line in code.splitlines()]


@pytest.mark.parametrize(("first", "last"), [("no such line", ""), ("rng.tick()", "def step")])
def test_lines_that_are_gone_are_refused(first, last):
    with pytest.raises(InputError, match=r"ContrastiveDivergence\.step has no line with"):
        show.source(rbm.ContrastiveDivergence.step, first, last)


def test_a_table_has_a_row_for_each_row():
    shown = show.table(["claim", "found"], [["a", 1], ["b", 0.5]])
    assert shown.split("\n") == ["| claim | found |", "| --- | --- |", "| a | 1 |", "| b | 0.5 |"]
    assert shown._repr_markdown_() == shown


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("<!-- from here", "&lt;!-- from here"),
        ("<?php", "&lt;?php"),
        ("a\nb\r\nc", "a b c"),
        ("p(v|h)", "p(v|h)"),
        (r"already \| so", "already | so"),
        ("< 0.0001, $a < b$", "&lt; 0.0001, $a &lt; b$"),
        ("<https://example.org>", "&lt;https://example.org&gt;"),
        ("`code` and [a link](page)", '<code>code</code> and <a href="page">a link</a>'),
        (-0.5, "-0.5"),
    ],
)
def test_a_cell_stays_a_cell_and_its_html_is_text(cell, seen):
    """Rendered by markdown-it, HTML allowed, as notebooks and pages render."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(show.table(["one", "two"], [[cell, "next"]]))
    assert html.count("<tr>") == 2
    assert f"<td>{seen}</td>\n<td>next</td>" in html
