"""Opening pages in a real browser, as a reader would, and noting everything that should not happen."""

import functools
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LIMIT = 300  # seconds until a wait is given up: for a machine with much else to do, not a measure of anything
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output to itself."""


@contextmanager
def served(top: Path, handler: type[QuietHandler] = QuietHandler) -> Iterator[str]:
    """Serve a folder on the loopback; gives the address, which ends in a slash."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(top))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@contextmanager
def launched(*flags: str) -> Iterator[Any]:
    """Run the browser, headless."""
    from playwright.sync_api import sync_playwright

    assert BROWSER, "no Chromium or Chrome is installed"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=[*FLAGS, *flags])
        yield chromium
        chromium.close()


@contextmanager
def kept(profile: str, *flags: str) -> Iterator[Any]:
    """Run the browser with a profile on disk, so that it comes back to what it has cached."""
    from playwright.sync_api import sync_playwright

    assert BROWSER, "no Chromium or Chrome is installed"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(profile, executable_path=BROWSER, args=[*FLAGS, *flags])
        context.set_default_timeout(1000 * LIMIT)
        yield context
        context.close()


def settle(page: Any) -> None:
    """Wait for the fonts, and for three frames: a figure draws in the next, and once more if that moved its edges."""
    page.evaluate("""async () => {
        await document.fonts.ready;
        for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
    }""")


class Visit:
    """A page opened once, with everything that it should not have done."""

    def __init__(
        self, browser: Any, url: str, home: str, scheme: str = "light", width: int = 1280, **options: Any
    ) -> None:
        self.home, self.complaints = home, []
        size = {"width": width, "height": 900}
        self.page = browser.new_context(color_scheme=scheme, viewport=size, **options).new_page()
        self.page.set_default_timeout(1000 * LIMIT)
        self.page.route(re.compile(f"^(?!{re.escape(home)}|data:|blob:)"), self._refuse)
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("response", lambda r: r.status >= 400 and self.complaints.append(f"{r.status}: {r.url}"))
        self.page.goto(url)
        if not options.get("java_script_enabled", True):
            return
        # Asked in one question, for a page may lead to another between two.
        self.page.wait_for_function("() => !window.MathJax || MathJax.startup?.promise?.then(() => true)")
        self.settle()

    def _refuse(self, route: Any) -> None:
        """Nothing ever reaches another host."""
        self.complaints.append(f"other host: {route.request.url}")
        route.abort()

    def settle(self) -> None:
        """Wait until the fonts are there and what has been asked for is drawn."""
        settle(self.page)

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def close(self) -> None:
        self.page.context.close()
