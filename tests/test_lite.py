"""The chapters in a reader's browser, nothing installed: `make test-lite`, after `make lite`."""

from collections.abc import Iterator
from typing import Any

import pytest
from running import HTML, LITE, NO_OTHER_HOST, Host, differences, run
from visiting import BROWSER, launched, served

LACKS = "no Chromium or Chrome is installed" if BROWSER is None else "" if LITE.exists() else "run make lite first"
pytestmark = [pytest.mark.lite, pytest.mark.skipif(bool(LACKS), reason=LACKS)]


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A browser that reaches no host but this one, and the address of the pages: a folder below the top."""
    top = tmp_path_factory.mktemp("site")
    (top / "repo").symlink_to(HTML)
    with served(top, Host) as address, launched(NO_OTHER_HOST) as browser:
        yield browser.new_context(), f"{address}repo/"


def test_pages_offer_what_was_measured(visitor: tuple[Any, str]) -> None:
    context, base = visitor
    page = context.new_page()
    page.goto(f"{base}book/01-explaining-away.html")
    offer = page.locator("h1 + .run-here")
    assert "MB" in offer.inner_text()
    offer.locator("a").click()
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.close()


@pytest.mark.parametrize("name", ["01-explaining-away", "02-complementary-priors", "03-rbm", "07-mind"])
def test_chapter_runs_to_the_end_with_the_recorded_outputs(visitor: tuple[Any, str], name: str) -> None:
    context, base = visitor
    ran = run(context, base, name, 3600)
    assert ran.errors == []
    assert ran.other_hosts == []
    assert differences(ran, name) == []
