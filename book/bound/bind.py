"""The built pages as one file: `bind.py pdf` and `bind.py epub` write _build/html/dbn-lite.pdf and .epub.

A browser opens each page as a reader does, sets its formulas and unfolds it; the PDF is what it prints, joined, and the
EPUB is what it shows, as XHTML with MathML.
"""

import base64
import html
import http.server
import re
import shutil
import sys
import tempfile
import threading
import tomllib
import uuid
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HTML = ROOT / "_build" / "html"
TITLE = yaml.safe_load((ROOT / "_config.yml").read_text())["title"]
AUTHOR = yaml.safe_load((ROOT / "_config.yml").read_text())["author"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MARGIN = dict.fromkeys(("top", "left", "right"), "18mm")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def contents() -> list[tuple[str, list[str]]]:
    """The parts of the book, each with the names of its pages, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = [(part["caption"], [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


PAGES = [page for _, pages in contents() for page in pages]


class Press:
    """A browser on the built pages, which reaches no other host."""

    def __init__(self, base: str, browser: Any) -> None:
        self.base, self.browser, self.script = base, browser, (HERE / "pages.js").read_text()
        self.tab = browser.new_page(viewport={"width": 900, "height": 1200}, color_scheme="light")
        self.tab.emulate_media(media="print", color_scheme="light")
        live = re.compile(r"/dbn/dbn\.js")  # without it each live figure is its own still
        self.tab.route("**/*", lambda route: route.abort() if live.search(route.request.url) else route.continue_())

    def open(self, page: str, wanted: list[str], epub: bool = False) -> dict[str, Any]:
        self.tab.goto(f"{self.base}{page}.html", wait_until="networkidle")
        self.tab.add_style_tag(path=HERE / "print.css")
        return self.tab.evaluate(self.script, {"wanted": wanted, "epub": epub})

    def place(self, url: str) -> tuple[str, str] | None:
        """The page of the book that an address leads to, and the id on it."""
        path, _, fragment = url.removeprefix(self.base).partition("#")
        page = path.removesuffix(".html")
        return (page, unquote(fragment)) if url.startswith(self.base) and page in PAGES else None

    def wanted(self) -> dict[str, list[str]]:
        """For each page the ids on it that other pages link to."""
        found: dict[str, set[str]] = {page: set() for page in PAGES}
        for page in PAGES:
            for link in self.open(page, [])["links"]:
                if (place := self.place(link)) and place[1] and place[0] != page:
                    found[place[0]].add(place[1])
        return {page: sorted(ids) for page, ids in found.items()}

    def print(self, folder: Path, name: str, content: str | None = None, bottom: str = "18mm") -> Path:
        path = folder / f"{name.replace('/', '-')}.pdf"
        if content is not None:
            self.tab.set_content(content)
        self.tab.pdf(path=path, tagged=True, format="A4", print_background=True, margin={**MARGIN, "bottom": bottom})
        return path


def pdf(press: Press, folder: Path) -> Path:
    """Print the pages, then the contents, which need their numbers; join them, and lead links to where they are."""
    wanted, printed, titles = press.wanted(), {}, {}
    for page in PAGES:
        titles[page] = press.open(page, wanted[page])["title"]
        printed[page] = PdfReader(press.print(folder, page))
    front = PdfReader(press.print(folder, "front", front_page(dict.fromkeys(PAGES, 0), titles)))
    begins, at = {}, len(front.pages)
    for page, reader in printed.items():
        begins[page], at = at, at + len(reader.pages)
    front = PdfReader(press.print(folder, "front", front_page({p: n + 1 for p, n in begins.items()}, titles)))

    places = {page: destinations(reader) for page, reader in printed.items()}
    book = PdfWriter()
    book.append(front, import_outline=False)
    for caption, pages in contents():
        above = book.add_outline_item(title=caption, page_number=begins[pages[0]]) if caption else None
        for page in pages:
            book.append(printed[page], import_outline=False)
            book.add_outline_item(title=titles[page], page_number=begins[page], parent=above)
    for number in range(at):
        relink(book, number, press, begins, places)
    stamp(book, press, folder)
    book.compress_identical_objects(remove_duplicates=True)
    book.add_metadata({"/Title": TITLE, "/Author": AUTHOR})
    out = HTML / "dbn-lite.pdf"
    book.write(out)
    print(f"{out.relative_to(ROOT)}: {at} pages, {out.stat().st_size / 1e6:.1f} MB")
    return out


def front_page(numbers: dict[str, int], titles: dict[str, str]) -> str:
    rows = ""
    for caption, pages in contents():
        rows += f"<h2>{html.escape(caption)}</h2>" if caption else ""
        for page in pages:
            name = html.escape(titles[page])
            rows += f'<p><a href="http://page/{page}">{name}</a><span>{numbers[page]}</span></p>'
    style = (HERE / "front.css").read_text()
    return (
        f"<title>{html.escape(TITLE)}</title><style>{style}</style><h1>{html.escape(TITLE)}</h1>"
        f"<div>{html.escape(AUTHOR)}, version {VERSION}</div>{rows}"
    )


def destinations(reader: PdfReader) -> dict[str, tuple[int, float]]:
    """The page and the height on it of each id that Chromium has kept."""
    found = {}
    for name, place in reader.named_destinations.items():
        number = reader.get_destination_page_number(place)
        if number is not None:
            found[unquote(name)] = (number, float(place.top or 0))
    return found


def relink(book: PdfWriter, number: int, press: Press, begins: dict[str, int], places: dict[str, Any]) -> None:
    """Turn links of one page that lead to pages of the book into links inside the file."""
    page = book.pages[number]
    kept = []
    for reference in page.get("/Annots", []):
        annotation = reference.get_object()
        action = annotation.get("/A", {})
        url = str(action.get("/URI", ""))
        place = (url[12:], "") if url.startswith("http://page/") else press.place(url)
        if place is None and url.startswith(press.base):
            continue  # the index and the search are no pages of the file
        if place is not None:
            on, top = places[place[0]].get(place[1], (0, 900.0))
            target = book.pages[begins[place[0]] + on]
            there = [target.indirect_reference, NameObject("/XYZ"), NullObject(), FloatObject(top), NullObject()]
            annotation[NameObject("/Dest")] = ArrayObject(there)
            del annotation["/A"]
        kept.append(reference)
    if kept:
        page[NameObject("/Annots")].clear()
        page[NameObject("/Annots")].extend(kept)


def stamp(book: PdfWriter, press: Press, folder: Path) -> None:
    """Print the number of each page at its foot."""
    feet = "".join(f"<div>{n + 1}</div>" for n in range(len(book.pages)))
    style = "div { height: 269mm; display: flex; align-items: end; justify-content: center; break-after: page; }"
    style += " body { margin: 0; font: 9pt sans-serif; } div:last-child { break-after: auto; }"
    sheet = f"<style>{style}</style>{feet}"
    numbers = PdfReader(press.print(folder, "numbers", sheet, bottom="9mm"))
    assert len(numbers.pages) == len(book.pages)
    for page, number in zip(book.pages, numbers.pages, strict=True):
        number.mediabox = page.mediabox
        page.merge_page(number)


def epub(press: Press, _: Path) -> Path:
    """Pack each page as XHTML, with the images on it, under one table of contents."""
    out, names, titles, items = HTML / "dbn-lite.epub", {}, {}, []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr("META-INF/container.xml", (HERE / "container.xml").read_text())
        book.write(HERE / "epub.css", "book/epub.css")
        shown = {page: press.open(page, [], epub=True) for page in PAGES}
        known = {page: set(re.findall(r' id="([^"]*)"', shown[page]["body"])) for page in PAGES}
        for page in PAGES:
            name, titles[page] = f"{page.rpartition('/')[2]}.xhtml", shown[page]["title"]
            names[page] = name
            body = re.sub(r'<a ([^>]*)href="([^"]*)"', partial(to_xhtml, press, page, known), shown[page]["body"])
            book.writestr(f"book/{name}", document(titles[page], body))
            kinds = ' properties="mathml"' if shown[page]["math"] else ""
            items.append(f'<item id="p-{name}" href="{name}" media-type="application/xhtml+xml"{kinds}/>')
            for image, content in shown[page]["images"].items():
                book.writestr(f"book/images/{image}", base64.b64decode(content), zipfile.ZIP_STORED)
                items.append(f'<item id="i-{image}" href="images/{image}" media-type="image/png"/>')
        book.write(ROOT / "book" / "static" / "mind.png", "book/images/cover.png")
        book.writestr("book/nav.xhtml", document(TITLE, navigation(names, titles)))
        book.writestr("book/package.opf", package(items, [f"p-{name}" for name in names.values()]))
    print(f"{out.relative_to(ROOT)}: {len(names)} pages, {out.stat().st_size / 1e6:.1f} MB")
    return out


def to_xhtml(press: Press, page: str, known: dict[str, set[str]], found: re.Match[str]) -> str:
    """A link as the EPUB has it: to a page of the book, to an id that is there, or to another host."""
    url = html.unescape(found[2])
    folder = page.rpartition("/")[0]
    path, _, fragment = url.partition("#")
    fragment = unquote(fragment)
    if re.match(r"[a-z]+:", url):
        return found[0]
    target = page if not path else f"{folder}/{path}".removesuffix(".html")
    if target not in PAGES:
        return f"<a {found[1]}"
    name = f"{target.rpartition('/')[2]}.xhtml"
    there = f"#{fragment}" if fragment in known[target] else ""
    return f'<a {found[1]}href="{name}{html.escape(there)}"'


def document(title: str, body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">'
        f'<head><title>{html.escape(title)}</title><link rel="stylesheet" href="epub.css"/></head>'
        f"<body>{body}</body></html>"
    )


def navigation(names: dict[str, str], titles: dict[str, str]) -> str:
    rows = ""
    for caption, pages in contents():
        inner = "".join(f'<li><a href="{names[page]}">{html.escape(titles[page])}</a></li>' for page in pages)
        rows += f"<li><span>{html.escape(caption)}</span><ol>{inner}</ol></li>" if caption else inner
    return f'<nav epub:type="toc" id="toc"><h1>Contents</h1><ol>{rows}</ol></nav>'


def package(items: list[str], spine: list[str]) -> str:
    identifier = uuid.uuid5(uuid.NAMESPACE_DNS, f"dbn-lite {VERSION}").urn
    order = "".join(f'<itemref idref="{name}"/>' for name in spine)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">{identifier}</dc:identifier><dc:title>{html.escape(TITLE)}</dc:title>'
        f"<dc:language>en</dc:language><dc:creator>{html.escape(AUTHOR)}</dc:creator>"
        '<meta property="dcterms:modified">2006-07-01T00:00:00Z</meta></metadata>'
        '<manifest><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="css" href="epub.css" media-type="text/css"/>'
        '<item id="cover" href="images/cover.png" media-type="image/png" properties="cover-image"/>'
        f'{"".join(items)}</manifest><spine><itemref idref="nav"/>{order}</spine></package>'
    )


def main(make: Callable[[Press, Path], Path]) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not (HTML / "index.html").exists() or browser is None:
        sys.exit("It takes the built pages (`make book`) and Chromium or Chrome to bind them.")
    handler = partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        with tempfile.TemporaryDirectory() as folder:
            make(Press(f"http://127.0.0.1:{server.server_address[1]}/", launched), Path(folder))
        launched.close()
        server.shutdown()


if __name__ == "__main__":
    main({"pdf": pdf, "epub": epub}[sys.argv[1]])
