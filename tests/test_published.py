"""What the pages say of themselves, and where they learn who publishes them."""

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from docutils.core import publish_doctree

from dbn_lite import rbm, show

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "_build" / "html" / "book").glob("*.html"))


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "extensions" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def published() -> ModuleType:
    return extension("published")


@pytest.mark.parametrize(
    ("repository", "given", "address"),
    [
        ("Some-One/a-fork", "", "https://some-one.github.io/a-fork/"),
        ("One/one.github.io", "", "https://one.github.io/"),
        ("One/book", "https://book.example", "https://book.example/"),
        ("", "", ""),
    ],
)
def test_address_of_the_pages_comes_from_the_environment(
    published: ModuleType, monkeypatch: pytest.MonkeyPatch, repository: str, given: str, address: str
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", repository)
    monkeypatch.setenv("SITE_URL", given)
    assert published.site() == address
    assert published.repository() == (f"https://github.com/{repository}" if repository else "")


def test_description_is_the_first_paragraph_that_says_something(published: ModuleType) -> None:
    long = "word " * 60
    found = published.describe(publish_doctree(f"Title\n=====\n\nShort.\n\n{long}"))
    assert found.startswith("word word")
    assert found.endswith("word ...")
    assert len(found) <= 160


@pytest.mark.skipif(not PAGES, reason="run make book first: no pages")
def test_every_page_describes_itself() -> None:
    for page in PAGES:
        said = re.search(r'<meta name="description" content="([^"]{20,170})"', page.read_text(encoding="utf-8"))
        assert said, page.name


@pytest.mark.skipif(not PAGES, reason="run make book first: no pages")
def test_every_page_can_be_cited_and_leads_on() -> None:
    last = 0
    for page in PAGES:
        content = page.read_text(encoding="utf-8")
        assert f"@incollection{{dbn-lite-{page.stem}," in content, page.name
        ahead = re.search(r'<link rel="prefetch" href="([^"]+)"', content)
        last += not ahead
        assert ahead is None or (page.parent / ahead[1]).exists(), page.name
    assert last == 1


@pytest.mark.skipif(not PAGES, reason="run make book first: no pages")
def test_links_to_the_repository_are_of_one_name_and_lead_to_files_that_are_there() -> None:
    """With whatever GITHUB_REPOSITORY the pages were built; without it there are none."""
    found = set()
    for page in PAGES:
        for name, path in re.findall(
            r'href="https://github\.com/([^/"]+/[^/"]+)/(?:blob|edit)/[^/"]+/([^"?]+)', page.read_text(encoding="utf-8")
        ):
            found.add(name)
            assert (ROOT / path).is_file(), path
    assert len(found) <= 1


def test_colab_begins_by_installing_what_built_the_pages(tmp_path: Path) -> None:
    settings = {"GITHUB_REPOSITORY": "Some-One/a-fork", "GITHUB_SHA": "0123abc", "GITHUB_SERVER_URL": "https://example"}
    script = ROOT / "book" / "lite" / "colab.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, env={**os.environ, **settings})
    for path in (ROOT / "book").glob("*.ipynb"):
        first, *rest = nbformat.read(tmp_path / path.name, as_version=4).cells
        assert '"dbn-lite @ git+https://example/Some-One/a-fork@0123abc"' in first.source
        assert rest == nbformat.read(path, as_version=4).cells


def test_functions_are_known_at_the_section_that_shows_their_lines() -> None:
    names = extension("library_names").LibraryNames(SimpleNamespace(domaindata={}))
    shown = show.source(rbm.gibbs_step).removeprefix("```python\n").removesuffix("\n```")
    text = "Title\n=====\n\nOne\n---\n\n::\n\n" + textwrap.indent(shown, "    ")
    names.process_doc(None, "page", publish_doctree(f"{text}\n\nTwo\n---\n\n::\n\n    def other(): pass\n"))
    assert [found[:1] + found[3:5] for found in names.get_objects()] == [("rbm.gibbs_step", "page", "one")]
    names.clear_doc("page")
    assert list(names.get_objects()) == []
