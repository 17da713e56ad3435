"""What the pages say of themselves, and where they learn who publishes them."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "_build" / "html" / "book").glob("*.html"))


@pytest.fixture(scope="module")
def published() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published", ROOT / "book" / "extensions" / "published.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
