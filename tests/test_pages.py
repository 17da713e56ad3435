"""The built pages in a browser: served under a sub-path, and opened from a folder."""

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
PAGES = sorted(str(path.relative_to(HTML)) for path in (HTML / "book").glob("*.html"))
LACKS = "no Chromium or Chrome is installed" if BROWSER is None else "" if PAGES else "run make book first: no pages"

# A machine that is meant to run these tests fails rather than pass them over.
pytestmark = pytest.mark.skipif(bool(LACKS) and not os.environ.get("CI"), reason=LACKS)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output to itself."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the pages as a project site would: below a folder, on the loopback."""
    top = tmp_path_factory.mktemp("site")
    (top / "repo").symlink_to(HTML)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(top))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/repo/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    assert not LACKS, LACKS
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """A page opened once, with everything that it should not have done."""

    def __init__(self, browser: Any, url: str, home: str, scheme: str = "light", width: int = 1280) -> None:
        self.home, self.complaints = home, []
        size = {"width": width, "height": 900}
        self.page = browser.new_context(color_scheme=scheme, viewport=size).new_page()
        self.page.route("**/*", self._guard)
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("response", lambda r: r.status >= 400 and self.complaints.append(f"{r.status}: {r.url}"))
        self.page.goto(url, wait_until="networkidle")
        self.page.wait_for_function("() => !window.MathJax || (MathJax.startup && MathJax.startup.promise)")
        self.page.evaluate("() => window.MathJax && MathJax.startup.promise")

    def _guard(self, route: Any) -> None:
        """Let a request through when it stays at home; nothing ever reaches another host."""
        if route.request.url.startswith((self.home, "data:", "blob:")):
            route.continue_()
        else:
            self.complaints.append(f"other host: {route.request.url}")
            route.abort()

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def close(self) -> None:
        self.page.context.close()


def check(visit: Visit) -> None:
    assert visit.complaints == []
    formulas = visit.count("span.math.notranslate, div.math.notranslate")
    assert visit.count("mjx-container") >= formulas
    assert visit.count("mjx-merror, [data-mml-node=merror]") == 0
    broken = "imgs => imgs.filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    assert visit.page.eval_on_selector_all("img", broken) == []
    silent = "imgs => imgs.filter(i => !i.alt).map(i => i.src)"
    assert visit.page.eval_on_selector_all("article img", silent) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound_when_served(browser: Any, site: str, name: str, scheme: str) -> None:
    visit = Visit(browser, site + name, site, scheme)
    check(visit)
    assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme
    visit.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound_when_opened_from_a_folder(browser: Any, name: str) -> None:
    visit = Visit(browser, (HTML / name).as_uri(), HTML.as_uri())
    check(visit)
    visit.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(browser: Any, site: str, name: str) -> None:
    visit = Visit(browser, site + name, site, width=390)
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


def test_search_finds_a_word(browser: Any, site: str) -> None:
    visit = Visit(browser, f"{site}search.html?q=energy", site)
    visit.page.wait_for_selector("#search-results li a")
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
