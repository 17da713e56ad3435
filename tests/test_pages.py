"""The built pages in a browser: served under a sub-path, and opened from a folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visiting import BROWSER, Visit, served

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
PAGES = sorted(str(path.relative_to(HTML)) for path in (HTML / "book").glob("*.html"))
LACKS = "no Chromium or Chrome is installed" if BROWSER is None else "" if PAGES else "run make book first: no pages"

# A machine that is meant to run these tests fails rather than pass them over.
pytestmark = pytest.mark.skipif(bool(LACKS) and not os.environ.get("CI"), reason=LACKS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the pages as a project site would: below a folder, on the loopback."""
    assert PAGES, LACKS
    top = tmp_path_factory.mktemp("site")
    (top / "repo").symlink_to(HTML)
    with served(top) as address:
        yield f"{address}repo/"


def check(visit: Visit) -> None:
    assert visit.complaints == []
    formulas = visit.count("span.math.notranslate, div.math.notranslate")
    assert visit.count("mjx-container") >= formulas
    assert visit.count("mjx-merror, [data-mml-node=merror]") == 0
    broken = "imgs => imgs.filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    assert visit.page.eval_on_selector_all("img", broken) == []
    silent = "imgs => imgs.filter(i => !i.alt).map(i => i.src)"
    assert visit.page.eval_on_selector_all("article img", silent) == []


@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound_when_served_and_follows_the_colours_of_the_system(browser: Any, site: str, name: str) -> None:
    visit = Visit(browser, site + name, site)
    for scheme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=scheme)
        visit.settle()
        assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme
        check(visit)
    visit.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound_from_a_folder_in_the_dark_and_fits_a_phone(browser: Any, name: str) -> None:
    visit = Visit(browser, (HTML / name).as_uri(), HTML.as_uri(), "dark", width=390)
    check(visit)
    assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
    visit.page.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.close()


def test_the_front_door_leads_to_the_index(browser: Any, site: str) -> None:
    visit = Visit(browser, site, site)
    visit.page.wait_for_url("**/book/index.html")
    assert visit.complaints == []
    visit.close()


def test_formulas_are_typeset_with_the_fonts_of_the_site(browser: Any, site: str) -> None:
    visit = Visit(browser, f"{site}book/03-rbm.html", site)
    assert visit.count("mjx-container") > 0
    assert visit.page.evaluate("document.fonts.check('16px MJXTEX')")
    visit.close()


@pytest.mark.parametrize(
    ("asked", "place"),
    [("energy", ""), ("equation+5", "#equation-eq-5"), ("eq+3.1", "#equation-eq-3-1"), ("gibbs_step", "03-rbm.html#")],
)
def test_search_finds_a_word_an_equation_a_function(browser: Any, site: str, asked: str, place: str) -> None:
    visit = Visit(browser, f"{site}search.html?q={asked}", site)
    visit.page.wait_for_selector(f"#search-results li a[href*='{place}']" if place else "#search-results li a")
    assert visit.complaints == []
    visit.close()


def test_a_bad_page_is_noticed(browser: Any, tmp_path: Path) -> None:
    """The checks above can fail: each thing that they look for, planted."""
    (tmp_path / "bad.html").write_text(
        "<!doctype html><script src='https://example.org/a.js'></script><script>console.error('said')</script>"
        "<script>throw new Error('thrown')</script><article><img src='gone.png'></article>"
    )
    visit = Visit(browser, (tmp_path / "bad.html").as_uri(), tmp_path.as_uri())
    found = "\n".join(visit.complaints)
    for sign in ("other host: https://example.org/a.js", "console: said", "error: thrown", "gone.png"):
        assert sign in found
    visit.close()
