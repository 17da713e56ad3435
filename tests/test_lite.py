"""Pages that run in a reader's browser, nothing installed: `make test-lite`, after `make lite`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import CELLS, HTML, LITE, NO_OTHER_HOST, Host, differences, run
from visiting import BROWSER, launched, served

LACKS = "no Chromium or Chrome is installed" if BROWSER is None else "" if LITE.exists() else "run make lite first"
pytestmark = [pytest.mark.lite, pytest.mark.skipif(bool(LACKS), reason=LACKS)]
LIMIT = 3600  # seconds: for a machine with much else to do


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A browser that reaches no host but this one, and the address of the pages: a folder below the top."""
    top = tmp_path_factory.mktemp("site")
    (top / "repo").symlink_to(HTML)
    with served(top, Host) as address, launched(NO_OTHER_HOST) as browser:
        context = browser.new_context()
        context.set_default_timeout(1000 * LIMIT)
        yield context, f"{address}repo/"


@pytest.mark.parametrize("name", ["01-explaining-away", "02-complementary-priors", "03-rbm", "07-mind"])
def test_page_runs_to_the_end_with_the_recorded_outputs(visitor: tuple[Any, str], name: str) -> None:
    context, base = visitor
    page = context.new_page()
    ran = run(page, base, name, LIMIT)
    assert ran.errors == []
    assert ran.other_hosts == []
    assert differences(ran, name) == []
    broken = "imgs => imgs.filter(i => !i.complete || !i.naturalWidth || !i.alt).map(i => i.src)"
    assert page.eval_on_selector_all(".cell_output img", broken) == []
    assert page.locator(".cell_output [data-dbn-widget]:not([data-mounted])").count() == 0
    page.close()


def typed(page: Any, index: int, code: str) -> dict[str, Any]:
    """Write into a cell, run it, and give what it shows."""
    cell = page.locator("article .cell").nth(index)
    cell.locator(".cell_input pre").fill(code)
    cell.locator(".live-bar button").click()
    page.wait_for_function(f"() => !document.querySelectorAll('article .cell')[{index}].matches('[data-live=running]')")
    found: dict[str, Any] = page.evaluate(CELLS)[index]
    return found


def test_cells_can_be_changed_and_the_next_page_finds_the_kernel_as_it_was(visitor: tuple[Any, str]) -> None:
    context, base = visitor
    page = context.new_page()
    assert run(page, base, "01-explaining-away", LIMIT, only_first=True).errors == []
    page.evaluate("document.querySelector('.run-here button').click()")  # no more than the first cells
    page.wait_for_function("() => document.querySelector('.run-here button').textContent != 'Stop'")
    assert typed(page, 0, "import sys\nsys.kept = 6 * 7\nprint(sys.kept)\nlist('ab')")["text"] == "42\n['a', 'b']"
    wrong = typed(page, 0, "def f():\n    return 1 / 0\n\nf()")
    assert wrong["state"] == "failed"
    assert wrong["error"].splitlines()[1].startswith('  File "<cell 1>", line 4')  # nothing of what runs the cell
    assert wrong["error"].endswith("ZeroDivisionError: division by zero\n")
    other = run(page, base, "02-complementary-priors", LIMIT, only_first=True)
    assert other.errors == []
    assert other.megabytes < 1
    page.wait_for_function("() => document.querySelector('.run-here button').textContent != 'Stop'")
    assert typed(page, 0, "import sys\nprint(sys.kept)")["text"] == "42\n"
    page.close()


def test_products_of_matrices_are_those_of_float64(visitor: tuple[Any, str]) -> None:
    """In all layouts that NumPy may hand over, with sizes around those of a block."""
    context, base = visitor
    page = context.new_page()
    page.goto(f"{base}book/01-explaining-away.html")
    page.evaluate("document.querySelector('.run-here button').click()")
    page.wait_for_function("() => document.querySelector('[data-live=done]')")
    page.evaluate("document.querySelector('.run-here button').click()")
    page.wait_for_function("() => document.querySelector('.run-here button').textContent != 'Stop'")
    said = typed(page, 0, (Path(__file__).parent / "products.py").read_text())
    assert said["error"] == ""
    assert said["text"] == "100 products, all right\n"
    page.close()


def test_the_same_page_is_a_notebook_in_jupyterlite(visitor: tuple[Any, str]) -> None:
    context, base = visitor
    page = context.new_page()
    page.goto(f"{base}book/01-explaining-away.html")
    page.locator(".run-here a").first.click()
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.content.widgets.some((w) => w.model.executionCount == 1)"
    )
    page.close()
