"""What a published book is found by: descriptions, a card, canonical links, a site map, and links to its repository.

Who publishes is never written down: GITHUB_REPOSITORY and its kin say it, as GitHub's runners set them, and SITE_URL
says where the pages will be if not on GitHub's own Pages. Without them, whatever needs to know is left out.
"""

import os
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

CARD = "mind.png"
PAPER = (
    "G. E. Hinton, S. Osindero and Y.-W. Teh, <em>A fast learning algorithm for deep belief nets</em>, Neural "
    'Computation 18(7), 1527-1554, 2006, <a href="https://doi.org/10.1162/neco.2006.18.7.1527">'
    "doi:10.1162/neco.2006.18.7.1527</a>."
)
NO_SUCH_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><title>No such page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 1.1rem/1.5 sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem; }}</style>
</head>
<body>
<h1>No such page</h1>
<p>It may have been renamed. All chapters are listed on <a href="{top}">the first page of the book</a>, and
<a href="{top}search.html">the search</a> finds words in them.</p>
</body>
</html>
"""


def repository() -> str:
    """The address of the repository, or nothing."""
    name = os.environ.get("GITHUB_REPOSITORY", "")
    return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}" if name else ""


def site() -> str:
    """The address of the published pages with a slash at its end, or nothing."""
    if given := os.environ.get("SITE_URL"):
        return given.rstrip("/") + "/"
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").partition("/")
    folder = "" if name.lower() == f"{owner.lower()}.github.io" else f"{name}/"
    return f"https://{owner.lower()}.github.io/{folder}" if name else ""


def configure(app: Sphinx, config: Config) -> None:
    """Switch the theme's own buttons on where there is something for them to lead to."""
    config.html_baseurl = site()
    if address := repository():
        config.html_theme_options = {
            **config.html_theme_options,
            "repository_url": address,
            "repository_branch": os.environ.get("GITHUB_REF_NAME") or "main",  # no commit can be edited
            "path_to_docs": "",
            "use_repository_button": True,
            "use_source_button": True,
            "use_edit_page_button": True,
            "use_issues_button": True,
            "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"},
        }


def describe(document: nodes.document) -> str:
    """The first paragraph of a page that says something, in the 160 letters that a search engine shows."""
    for paragraph in document.findall(nodes.paragraph):
        text = re.sub(r"\s+", " ", paragraph.astext()).strip()
        aside = len(paragraph) == 1 and isinstance(paragraph[0], nodes.emphasis)  # where in the paper we are
        if len(text) > 60 and not aside:
            return text if len(text) <= 160 else text[:157].rsplit(" ", 1)[0] + " ..."
    return ""


def add_tags(app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None) -> None:
    """Put into the head of a page what a search engine, a chat or a library's catalogue reads of it."""
    if document is None:
        return
    title = re.sub(r"<[^>]*>", "", context.get("title", app.config.html_title))
    text = describe(document)
    app.env.published = {**getattr(app.env, "published", {}), page: (title, text)}  # type: ignore[attr-defined]
    tags = {
        "description": text,
        "twitter:card": "summary_large_image",
        "citation_title": app.config.html_title,
        "citation_author": app.config.author,
    }
    name = app.config.html_title
    properties = {"og:type": "book", "og:title": title, "og:description": text, "og:site_name": name}
    if site():
        properties |= {
            "og:url": f"{site()}{page}.html",
            "og:image": f"{site()}_static/{CARD}",
            "og:image:alt": "Ten rows of digits that the network dreamed, each row with its label held on.",
        }
    context["metatags"] += "".join(f'<meta name="{k}" content="{escape(v)}" />\n' for k, v in tags.items() if v)
    context["metatags"] += "".join(f'<meta property="{k}" content="{escape(v)}" />\n' for k, v in properties.items())


def cite(app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None) -> None:
    """Below a page, folded: what to write into a list of references, for this page and for the paper."""
    if document is None or app.builder.name != "html":
        return
    title = re.sub(r"<[^>]*>", "", context.get("title", ""))
    address = f",\n  url = {{{site()}{page}.html}}" if site() else ""
    entry = (
        f"@incollection{{dbn-lite-{page.rpartition('/')[2]},\n  author = {{{{{app.config.author}}}}},\n"
        f"  title = {{{title}}},\n  booktitle = {{{app.config.html_title}}},\n"
        f"  year = {{{app.config.copyright}}}{address}\n}}"
    )
    context["body"] += (
        f'<details class="cite"><summary>Cite this page</summary><pre tabindex="0">{escape(entry)}</pre>'
        f"<p>The paper itself: {PAPER}</p></details>"
    )


def fetch_ahead(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Have the browser fetch the next page while this one is read."""
    if document is not None and app.builder.name == "html" and context.get("next"):
        context["metatags"] += f'<link rel="prefetch" href="{escape(context["next"]["link"])}" />\n'


def write_files(app: Sphinx, error: Exception | None) -> None:
    """Beside the pages: a list of them for search engines, one for language models, and what a wrong address shows."""
    if error or app.builder.name != "html":
        return
    pages: dict[str, tuple[str, str]] = getattr(app.env, "published", {})
    out, home = Path(app.outdir), site()
    root = app.config.root_doc
    order = [page for page in [root, *app.env.toctree_includes.get(root, [])] if page in pages]
    lines = [f"- [{pages[page][0]}]({home}{page}.html): {pages[page][1]}" for page in order]
    head = f"# {app.config.html_title}\n\n> By {app.config.author}.\n\n"
    (out / "llms.txt").write_text(head + "\n".join(lines) + "\n")
    top = re.sub(r"https?://[^/]*", "", home) or "/"
    (out / "404.html").write_text(NO_SUCH_PAGE.format(top=top))
    if home:
        rows = "".join(f"<url><loc>{home}{page}.html</loc></url>" for page in order)
        head = '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        (out / "sitemap.xml").write_text(f"{head}{rows}</urlset>\n")
        (out / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {home}sitemap.xml\n")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", configure)
    for change in (add_tags, cite, fetch_ahead):
        app.connect("html-page-context", change, priority=100)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
