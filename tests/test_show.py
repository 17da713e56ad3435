"""What a notebook shows of the library: the lines as they stand, and nothing when they do not."""

import inspect
import linecache

import numpy as np
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


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ((np.ones((2, 3)), np.ones((2, 3)) + 1e-13), "both sides, to 1e-12, 6 numbers"),
        (([0.5, 0.5], 0.5001, 1e-3), "both sides, to 0.001, 2 numbers"),
        (([0.5, 0.5], 0.5, 1e-8), "both sides, to 1e-8, 2 numbers"),
        ((1.0, 1.0), "both sides, to 1e-12"),
        (([-np.inf, 0.0], [-np.inf, 0.0]), "both sides, to 1e-12, 2 numbers"),
        ((np.array([True, True]),), "both sides, 2 cases"),
        ((np.bool_(True),), "both sides"),
    ],
)
def test_what_was_checked_is_one_line_with_its_bound_and_its_size(given, line, capsys):
    show.checked("both sides", *given)
    assert capsys.readouterr().out == f"\x1b[32m\u2713\x1b[0m checked: {line}\n"


@pytest.mark.parametrize(
    ("given", "miss"),
    [
        (([1.0, 2.0], [1.0, 2.5]), "off by up to 0.5, where 1e-12 is allowed"),
        (([1.0, np.nan], [1.0, np.nan]), "off by up to nan"),
        ((np.array([True, False]),), "false in 1 of 2 cases"),
    ],
)
def test_what_does_not_hold_is_said_in_red_and_stops_the_page(given, miss, capsys):
    with pytest.raises(AssertionError, match=f"both sides: {miss}"):
        show.checked("both sides", *given)
    assert capsys.readouterr().out.startswith("\x1b[31m\u2717 does not hold: both sides\x1b[0m: ")


@pytest.mark.parametrize(
    ("given", "word"), [(([], []), "empty"), ((np.ones(3), np.ones((3, 3))), "shapes"), ((np.ones(3),), "comparison")]
)
def test_a_check_that_could_not_fail_is_refused(given, word):
    with pytest.raises(InputError, match=word):
        show.checked("both sides", *given)
