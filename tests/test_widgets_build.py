"""What `python -m dbn_lite.widgets` lays out beside the pages, and what it does not pass over in silence."""

import json
import re
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from tiny import VIS, machines, nets

from dbn_lite import places, store
from dbn_lite.errors import InputError
from dbn_lite.widgets import Chain, bundle
from dbn_lite.widgets import __main__ as figures

STARTS = np.zeros((2, VIS), np.float32), np.arange(2)


@pytest.fixture(autouse=True)
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_PACKAGE", tmp_path)


def test_a_net_that_is_neither_given_nor_shipped_is_left_out_and_that_is_said(tmp_path: Path, capsys) -> None:
    store.save(nets()[0], tmp_path / "own.npz")
    figures.build(tmp_path / "dbn", {"net": tmp_path / "own.npz"}, STARTS)
    assert sorted(path.name for path in (tmp_path / "dbn").iterdir()) == ["dbn.css", "dbn.js", "net.bin", "net.js"]
    told = (tmp_path / "dbn" / "dbn.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"Object.assign\(DBN.shipped, (.*)\);", told)
    assert {name: about["bytes"] for name, about in json.loads(listed).items()} == {
        "net": (tmp_path / "dbn" / "net.bin").stat().st_size
    }
    assert "The figures go without the net 'greedy': trained/greedy.npz does not come with" in capsys.readouterr().err


def test_a_net_that_is_given_but_cannot_be_read_stops_it(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"no net")
    with pytest.raises(InputError, match=r"broken.npz is not an .npz file"):
        figures.build(tmp_path / "dbn", {"net": tmp_path / "broken.npz"}, STARTS)
    with pytest.raises(SystemExit, match=r"none.npz does not exist"):
        figures.main([str(tmp_path / "dbn"), "--net", str(tmp_path / "none.npz")])


@pytest.mark.parametrize("place", ["a file", "below a file", "full"])
def test_a_folder_that_cannot_be_had_is_one_sentence_and_nothing_is_half_written(tmp_path: Path, place: str) -> None:
    store.save(nets()[0], tmp_path / "own.npz")
    folder = {"a file": tmp_path / "own.npz", "below a file": tmp_path / "own.npz" / "dbn"}.get(place, tmp_path / "dbn")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if place == "full":  # what a disk without room looks like
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(InputError, match=r"^cannot (make the folder|write) .*; (choose another|free some space)"):
            figures.build(folder, {"net": tmp_path / "own.npz"}, STARTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["own.npz"]


def test_images_of_bytes_are_shown_as_they_are_and_others_out_of_range_refused() -> None:
    """Multiplied by 255 once more, bytes would wrap to other greys."""
    machine, _ = machines(4, 3)
    grey = np.array([[0, 100, 200, 255]], np.uint8)
    shown = Chain(machine, images=grey, shape=(2, 2)).images
    assert bundle.pack(machine, shown, shape=(2, 2))[-4:] == grey.tobytes()
    with pytest.raises(InputError, match=r"images reach from 0 to 2; scale them"):
        Chain(machine, images=np.array([[0.0, 2, 1, 0]]), shape=(2, 2))
