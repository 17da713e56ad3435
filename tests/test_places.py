"""What Python does in a page for the big files that ship."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dbn_lite import places


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for a browser whose host has one file; gives the addresses it was asked for."""
    urls: list[str] = []

    class Request:
        status, response = 0, SimpleNamespace(to_py=lambda: b"weights")

        @staticmethod
        def new() -> "Request":
            return Request()

        def open(self, method: str, url: str, wait: Any) -> None:
            urls.append(url)

        def send(self) -> None:
            self.status = 200 if urls[-1].endswith("trained/paper.npz") else 404

    monkeypatch.setitem(sys.modules, "js", SimpleNamespace(XMLHttpRequest=Request))  # type: ignore[arg-type]
    monkeypatch.setenv(places.FILES, "../files")
    return urls


def test_a_file_is_fetched_once(tmp_path: Path, asked: list[str]) -> None:
    for _ in range(2):
        places.bring(tmp_path, "trained/paper.npz")
    assert (tmp_path / "trained" / "paper.npz").read_bytes() == b"weights"
    assert asked == ["../files/trained/paper.npz"]


def test_what_the_host_does_not_have_leaves_nothing(tmp_path: Path, asked: list[str]) -> None:
    places.bring(tmp_path, "no.npz")
    assert list(tmp_path.iterdir()) == []
    assert asked == ["../files/no.npz"]


def test_nothing_is_asked_where_no_page_says_where(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(places.FILES)
    places.bring(tmp_path, "trained/paper.npz")
    assert asked == []
