"""Data sets are found, fetched and verified, or refused with a sentence that says what to do."""

import bz2
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from dbn_lite import data, places
from dbn_lite.data import formats, sources
from dbn_lite.errors import InputError

CHECKOUT = Path(__file__).resolve().parents[1]
TRAIN, TEST = 30, 20


def zipped(content: bytes) -> bytes:
    """Compress without the time of day, which would change the ids of the tests made from it."""
    return gzip.compress(content, mtime=0)


def idx(array):
    """Write an IDX file as its specification says, without the library."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def digits():
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (n, 4, 3), dtype=np.uint8) for n in (TRAIN, TEST)]
    labels = [(np.arange(n) % 10).astype(np.uint8) for n in (TRAIN, TEST)]
    return images[0], labels[0], images[1], labels[1]


@pytest.fixture
def little(digits, monkeypatch, tmp_path):
    """A registry of one small MNIST without mirrors, an empty cache and no folder of one's own."""
    names = list(sources.registry()["mnist"]["files"])
    raw = dict(zip(names, map(idx, digits), strict=True))
    files = {
        name: {"shape": list(array.shape), "sha256": hashlib.sha256(raw[name]).hexdigest()}
        for name, array in zip(names, digits, strict=True)
    }
    registry = {"mnist": {"mirrors": [], "files": files}}
    monkeypatch.setattr(sources, "registry", lambda: registry)
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DBN_LITE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    registry["mnist"]["gz"] = {name: zipped(content) for name, content in raw.items()}
    return registry["mnist"]


class Mirrors(http.server.BaseHTTPRequestHandler):
    """Serves what `server.content[path]` holds; the half of it where the path is in `server.cut`."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.encodings.add(self.headers["Accept-Encoding"])
        content = self.answer()
        if content is not None:
            self.wfile.write(content[: len(content) // 2] if self.path in self.server.cut else content)

    def answer(self):
        content = self.server.content.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        return content

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirrors)
    server.content, server.cut, server.asked, server.encodings = {}, set(), [], set()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mirrors(server, little):
    """Two mirrors, /a/ and /b/, that both hold the small MNIST."""
    little["mirrors"] = [f"http://127.0.0.1:{server.server_port}/{m}/" for m in "ab"]
    server.content = {f"/{m}/{name}": raw for m in "ab" for name, raw in little["gz"].items()}
    return server


def cached(tmp_path):
    folder = tmp_path / "cache" / "mnist"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


# Fetching


def test_mnist_is_fetched_once_then_comes_from_the_cache(mirrors, little, digits, tmp_path):
    mnist = data.load("mnist")
    assert mnist.train_images.dtype == mnist.test_images.dtype == np.float32
    assert mnist.train_images.flags.c_contiguous
    assert mnist.train_labels.dtype == np.uint8
    assert (mnist.name, mnist.shape, mnist.n_classes) == ("mnist", (4, 3), 10)
    for got, stored in zip((mnist.train_images, mnist.test_images), digits[::2], strict=True):
        np.testing.assert_allclose(got, stored.reshape(-1, 12) / 255.0, atol=1e-7)
    for got, stored in zip((mnist.train_labels, mnist.test_labels), digits[1::2], strict=True):
        np.testing.assert_array_equal(got, stored)
    assert cached(tmp_path) == little["gz"]
    assert mirrors.asked == [f"/a/{name}" for name in little["gz"]]
    assert mirrors.encodings == {"identity"}  # or some servers unpack the .gz on the way
    mirrors.asked.clear()
    assert data.load("auto").name == "mnist"
    assert mirrors.asked == []


def test_a_mirror_that_lacks_a_file_is_passed_over(mirrors, little, tmp_path):
    del mirrors.content[f"/a/{IMAGES}"]
    assert data.fetch("mnist") == tmp_path / "cache" / "mnist"
    assert cached(tmp_path) == little["gz"]
    assert mirrors.asked[:2] == [f"/a/{IMAGES}", f"/b/{IMAGES}"]


def test_a_mirror_that_does_not_answer_at_all_is_passed_over(mirrors, little, tmp_path):
    little["mirrors"][0] = f"http://127.0.0.1:{closed_port()}/"
    data.fetch("mnist")
    assert cached(tmp_path) == little["gz"]


def other_pixel(raw):
    content = bytearray(gzip.decompress(raw))
    content[-1] ^= 1
    return zipped(bytes(content))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_pixel, "does not have the published SHA-256"),
        (lambda raw: raw[:-20], "is truncated"),
        (lambda raw: b"<html>Please log in</html>", "is no sound gzip file"),
        (lambda raw: zipped(idx(np.zeros(TRAIN, np.uint8))), "holds labels where images should be"),
    ],
)
def test_a_spoilt_download_is_never_kept(mirrors, little, tmp_path, spoil, words):
    mirrors.content[f"/a/{IMAGES}"] = spoil(little["gz"][IMAGES])
    data.fetch("mnist")
    assert cached(tmp_path) == little["gz"]  # the second mirror's

    (tmp_path / "cache" / "mnist" / IMAGES).unlink()
    mirrors.content[f"/b/{IMAGES}"] = mirrors.content[f"/a/{IMAGES}"]
    mirrors.asked.clear()
    with pytest.raises(data.NotFetchedError, match=words) as caught:
        data.fetch("mnist")
    assert IMAGES in str(caught.value)
    assert "try again" in str(caught.value)
    assert mirrors.asked == [f"/{m}/{IMAGES}" for m in "abab"]
    assert IMAGES not in cached(tmp_path)


def test_a_connection_cut_short_is_tried_elsewhere(mirrors, little, tmp_path):
    mirrors.cut.add(f"/a/{LABELS}")
    data.fetch("mnist")
    assert cached(tmp_path) == little["gz"]
    (tmp_path / "cache" / "mnist" / LABELS).unlink()
    mirrors.cut.add(f"/b/{LABELS}")
    with pytest.raises(data.NotFetchedError, match=r"127.0.0.1:\d+/a/ fails: IncompleteRead.*/b/ fails: Inc"):
        data.fetch("mnist")
    assert LABELS not in cached(tmp_path)


def test_fetching_again_replaces_only_what_is_damaged(mirrors, little, tmp_path):
    data.fetch("mnist")
    (tmp_path / "cache" / "mnist" / LABELS).write_bytes(little["gz"][LABELS][:-9])
    mirrors.asked.clear()
    with pytest.raises(InputError, match=f"{LABELS} is truncated; run 'dbn-lite data fetch mnist'"):
        data.load("auto")
    assert [row.file for row in data.verify("mnist") if not row.ok] == [LABELS]
    data.fetch("mnist")
    data.fetch("mnist")  # sound by now
    assert mirrors.asked == [f"/a/{LABELS}"]
    assert cached(tmp_path) == little["gz"]
    assert data.verify("mnist") == [
        data.Checked(name, True, str(tmp_path / "cache" / "mnist")) for name in little["gz"]
    ]


def test_a_cache_that_cannot_be_made_is_named_with_the_remedy(mirrors, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot make the folder .*file.mnist \(.*DBN_LITE_CACHE"):
        data.load("mnist")


def test_a_bar_on_stderr_shows_what_is_fetched(mirrors, capsys):
    data.fetch("mnist")
    shown = capsys.readouterr()
    assert all(f"{name}: 100%" in shown.err for name in (IMAGES, LABELS))
    assert shown.out == ""


# No network


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def offline(little, dreamed):
    little["mirrors"] = [f"http://127.0.0.1:{closed_port()}/{m}/" for m in "ab"]


@pytest.fixture
def dreamed(monkeypatch, tmp_path):
    """A package folder that ships an embedded set of 20 + 10 images."""
    package = tmp_path / "site" / "dbn_lite"
    (package / "_data").mkdir(parents=True)
    rng = np.random.default_rng(2)
    path = package / "_data" / formats.DREAMED
    data.write_dreamed(path, rng.random((30, 784)), np.arange(30) % 10, n_test=10)
    monkeypatch.setattr(places, "_PACKAGE", package)
    return path


def test_without_a_network_mnist_stops_with_every_remedy(offline, tmp_path):
    started = time.monotonic()
    with pytest.raises(data.NotFetchedError, match=r"not at hand and no mirror answers \(Connection ref") as caught:
        data.load("mnist")
    assert time.monotonic() - started < sources.PATIENCE
    for remedy in ("try again with a network", "DBN_LITE_DATA", "--data dreamed"):
        assert remedy in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_without_a_network_auto_dreams_and_says_so_in_one_sentence(offline, capsys):
    assert data.load().name == "dreamed"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"MNIST is not at hand [^.]*embedded dreamed digits[^.]*\.\n", shown.err)
    told = []
    data.load("auto", told.append)
    assert told == [shown.err.rstrip("\n")]
    assert capsys.readouterr().err == ""


def test_mirrors_that_accept_and_stay_silent_cost_no_more_than_patience(little, monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        little["mirrors"] = [f"http://127.0.0.1:{silent.getsockname()[1]}/"]
        started = time.monotonic()
        with pytest.raises(data.NotFetchedError, match="no mirror answers"):
            data.fetch("mnist")
        assert time.monotonic() - started < 3.5  # the usual patience would be 4


# A folder of one's own


@pytest.fixture
def own(little, monkeypatch, tmp_path):
    folder = tmp_path / "own" / "mnist"
    folder.mkdir(parents=True)
    for name, raw in little["gz"].items():
        (folder / name).write_bytes(raw)
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path / "own"))
    return folder


def test_the_folder_of_ones_own_comes_first_and_needs_no_mirror(own, tmp_path):
    (tmp_path / "cache" / "mnist").mkdir(parents=True)
    (tmp_path / "cache" / "mnist" / IMAGES).write_bytes(b"not to be looked at")
    assert len(data.load("auto").train_images) == TRAIN
    assert data.fetch("mnist") == own
    assert [row[1:] for row in data.verify("mnist")] == [(True, str(own), "")] * 4


def test_a_folder_without_the_set_is_passed_over(mirrors, monkeypatch, tmp_path):
    (tmp_path / "own" / "usps").mkdir(parents=True)
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path / "own"))
    assert data.fetch("mnist") == tmp_path / "cache" / "mnist"


def test_a_folder_that_does_not_exist_is_an_error_even_for_auto(little, monkeypatch):
    monkeypatch.setenv("DBN_LITE_DATA", "no/such/folder")
    with pytest.raises(InputError, match=r"DBN_LITE_DATA is no/such/folder, no folder as seen from /?.*unset"):
        data.load("auto")


def header(magic, *sizes):
    return struct.pack(f">I{len(sizes)}I", magic, *sizes)


PIXELS = bytes(TRAIN * 12)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (IMAGES, None, "is missing"),
        (IMAGES, b"", "is no IDX file of images: it starts with nothing"),
        (IMAGES, b"no gzip at all", "is no sound gzip file"),
        (IMAGES, zipped(b""), "is no IDX file of images: it starts with nothing, not 00000803"),
        (IMAGES, zipped(header(0xD03, TRAIN, 4, 3) + PIXELS), "it starts with 00000d03, not 00000803"),
        (IMAGES, zipped(header(0x801, TRAIN) + PIXELS), "holds labels where images should be"),
        (LABELS, zipped(header(0x803, TRAIN, 4, 3) + PIXELS), "holds images where labels should be"),
        (LABELS, zipped(header(0x808, TRAIN)), "is no IDX file of labels: it starts with 00000808"),
        (IMAGES, zipped(header(0x803, TEST, 4, 3) + PIXELS), "declares 20 x 4 x 3 images, not 30 x 4 x 3"),
        (IMAGES, zipped(header(0x803, TRAIN, 3, 4) + PIXELS), "declares 30 x 3 x 4 images, not 30 x 4 x 3"),
        (IMAGES, zipped(header(0x803, TRAIN, 4)), "declares 30 x 4 x 0 images"),
        (LABELS, zipped(header(0x801, TEST) + bytes(TRAIN)), "declares 20 labels, not 30"),
        (IMAGES, zipped(header(0x803, TRAIN, 4, 3) + PIXELS[:-1]), "holds 359 bytes of images, not 360"),
        (LABELS, zipped(header(0x801, TRAIN) + bytes(31)), "holds more than 30 bytes of labels"),
        (LABELS, zipped(header(0x801, TRAIN) + bytes(30)), "does not have the published SHA-256"),
    ],
)
def test_every_kind_of_damage_is_named_with_file_and_remedy(own, file, content, words):
    (own / file).unlink()
    if content is not None:
        (own / file).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        data.load("auto")
    assert not isinstance(caught.value, data.NotFetchedError)
    assert str(caught.value).startswith(str(own / file))
    assert str(caught.value).endswith("; put the published file in its place, or unset DBN_LITE_DATA.")
    (row,) = [row for row in data.verify("mnist") if not row.ok]
    assert row.file == file
    assert re.search(words, row.why)


def test_a_corrupted_byte_inside_the_gzip_is_noticed(own, little):
    raw = bytearray(little["gz"][IMAGES])
    raw[len(raw) // 2] ^= 0xFF
    (own / IMAGES).write_bytes(raw)
    with pytest.raises(InputError, match=r"is no sound gzip file|is truncated"):
        data.load("mnist")


def test_a_folder_in_the_place_of_a_file_is_named(own):
    (own / IMAGES).unlink()
    (own / IMAGES).mkdir()
    with pytest.raises(InputError, match=r"cannot be read \("):
        data.load("mnist")


@pytest.mark.parametrize("call", [data.load, data.fetch, data.verify])
@pytest.mark.parametrize("name", ["emnist", "MNIST", "", "../mnist"])
def test_an_unknown_name_is_refused_with_the_known_ones(call, name):
    with pytest.raises(InputError, match=f"there is no data set {name!r}.*mnist.*usps"):
        call(name)


def test_the_embedded_set_is_not_to_be_fetched():
    with pytest.raises(InputError, match="no data set 'dreamed' to fetch or verify; choose mnist or usps or fsdd"):
        data.fetch("dreamed")


# What ships, and where the cache is


def test_what_ships_is_found_in_a_checkout_and_in_an_installed_package(monkeypatch, tmp_path):
    assert places.shipped("registry.json") == CHECKOUT / "data" / "registry.json"
    package = tmp_path / "dbn_lite"
    (package / "_data" / "trained").mkdir(parents=True)
    (package / "_data" / "trained" / "paper.npz").touch()
    monkeypatch.setattr(places, "_PACKAGE", package)
    assert places.shipped("trained/paper.npz") == package / "_data" / "trained" / "paper.npz"
    with pytest.raises(InputError, match=r"registry.json does not come with this copy of dbn_lite; install"):
        places.shipped("registry.json")


def test_the_cache_is_named_or_in_the_checkout_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path))
    assert places.cache_folder() == tmp_path
    monkeypatch.delenv("DBN_LITE_CACHE")
    monkeypatch.setattr("os.access", lambda path, mode: True)
    assert places.cache_folder() == CHECKOUT / "data" / "cache"
    monkeypatch.setattr("os.access", lambda path, mode: False)
    users = places.cache_folder()
    assert users.name == "dbn-lite"
    assert CHECKOUT not in users.parents
    monkeypatch.setattr("os.access", lambda path, mode: True)
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "site-packages" / "dbn_lite")
    assert places.cache_folder() == users


def test_the_registry_is_complete():
    registry = json.loads((CHECKOUT / "data" / "registry.json").read_text(encoding="utf-8"))
    for name in ("mnist", "usps", "fsdd"):
        assert all(re.fullmatch(r"https://\S+/", mirror) for mirror in registry[name]["mirrors"])
    assert len(registry["mnist"]["mirrors"]) >= 2
    assert all(re.fullmatch("[0-9a-f]{64}", spec["sha256"]) for spec in registry["mnist"]["files"].values())
    for spec in registry["usps"]["files"].values():
        assert re.fullmatch("[0-9a-f]{32}", spec["md5_compressed"])
        assert sum(spec["classes"]) == spec["shape"][0]


# USPS


def libsvm(images, labels):
    """Write lines `label 1:value 2:value ...` of labels 1 to 10 and values -1 to 1, as the mirror does."""
    lines = []
    for image, label in zip(images.reshape(len(images), -1), labels, strict=True):
        values = (f"{i}:{v / 1000 - 1:.6g}" for i, v in enumerate(image.tolist(), start=1))
        lines.append(f"{label + 1} {' '.join(values)} \n")
    return bz2.compress("".join(lines).encode())


@pytest.fixture
def postal(digits, server, monkeypatch, tmp_path):
    """A registry of one small USPS on one mirror; what it holds is in `.arrays`, its texts in `.content`."""
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 2001, (n, 16, 16), dtype=np.uint16) for n in (TRAIN, TEST)]
    server.arrays = dict(zip(formats.ARRAYS, (images[0], digits[1], images[1], digits[3]), strict=True))
    texts = [libsvm(images[0], digits[1]), libsvm(images[1], digits[3])]
    server.content = {"/usps.bz2": texts[0], "/usps.t.bz2": texts[1]}
    files = {
        name[1:]: {
            "shape": [len(x), 16, 16],
            "classes": [len(x) // 10] * 10,
            "md5_compressed": hashlib.md5(raw).hexdigest(),
            "sha256_arrays": hashlib.sha256(x.astype("<u2").tobytes() + y.tobytes()).hexdigest(),
        }
        for x, y, (name, raw) in zip(images, digits[1::2], server.content.items(), strict=True)
    }
    server.entry = {"mirrors": [f"http://127.0.0.1:{server.server_port}/"], "files": files}
    monkeypatch.setattr(sources, "registry", lambda: {"usps": server.entry})
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DBN_LITE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return server


def test_usps_is_fetched_as_libsvm_text_and_kept_packed(postal, tmp_path):
    usps = data.load("usps")
    assert (usps.name, usps.shape) == ("usps", (16, 16))
    np.testing.assert_allclose(usps.train_images, postal.arrays["train_images"].reshape(TRAIN, 256) / 2000.0, atol=1e-7)
    np.testing.assert_array_equal(usps.test_labels, postal.arrays["test_labels"])
    with np.load(tmp_path / "cache" / "usps" / "usps.npz") as kept:
        assert sorted(kept.files) == sorted(formats.ARRAYS)
        for name in kept.files:
            np.testing.assert_array_equal(kept[name], postal.arrays[name])
            assert kept[name].dtype == postal.arrays[name].dtype
    postal.asked.clear()
    data.load("usps")
    assert postal.asked == []
    assert data.verify("usps") == [data.Checked("usps.npz", True, str(tmp_path / "cache" / "usps"))]


def test_usps_of_another_checksum_or_count_is_refused(postal, tmp_path):
    postal.entry["files"]["usps.t.bz2"]["classes"] = [3, 1] + [2] * 8
    with pytest.raises(data.NotFetchedError, match=r"usps.t.bz2.*known number of examples of each class"):
        data.load("usps")
    postal.content["/usps.bz2"] = postal.content["/usps.t.bz2"]
    with pytest.raises(data.NotFetchedError, match="sends does not have the published MD5") as caught:
        data.load("usps")
    assert "dreamed" not in str(caught.value)  # 28x28 digits are no stand-in for 16x16 ones
    assert list((tmp_path / "cache" / "usps").iterdir()) == []


def _spoil(**changes):
    return lambda arrays: {**arrays, **{name: change(arrays[name]) for name, change in changes.items()}}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_spoil(train_images=lambda x: x.astype(np.uint8)), "holds images of uint8 30 x 16 x 16, not uint16 30"),
        (_spoil(train_images=lambda x: x[:-1]), "uint16 29 x 16 x 16, not uint16 30 x 16 x 16"),
        (_spoil(test_images=lambda x: x + np.uint16(1)), "holds pixels above 2000"),
        (_spoil(test_labels=lambda x: x + np.uint8(1)), "holds labels other than 20 digits 0 to 9"),
        (_spoil(test_labels=lambda x: x.astype(np.int64)), "holds labels other than 20 digits"),
        (_spoil(test_labels=lambda x: x[:-1]), "holds labels other than 20 digits"),
        (_spoil(train_labels=lambda x: x * np.uint8(0)), "known number of examples of each class"),
        (_spoil(train_images=lambda x: x[::-1]), "does not have the known SHA-256"),
        (_spoil(test_images=lambda x: np.roll(x, 1, axis=2)), "does not have the known SHA-256"),
        (_spoil(test_labels=lambda x: x[::-1]), "does not have the known SHA-256"),
        (_spoil(train_images=lambda x: x.astype(object)), "is no sound .npz file of plain arrays"),
        (lambda arrays: dict(list(arrays.items())[:3]), "lacks one of the arrays train_images, .*test_labels"),
    ],
)
def test_a_packed_set_that_is_wrong_is_named(postal, monkeypatch, tmp_path, spoil, words):
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path))
    (tmp_path / "usps").mkdir()
    np.savez(tmp_path / "usps" / "usps.npz", **spoil(postal.arrays))
    with pytest.raises(InputError, match=words) as caught:
        data.load("usps")
    assert str(tmp_path / "usps" / "usps.npz") in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-100], lambda raw: b"text", lambda raw: b""])
def test_a_packed_set_that_is_broken_is_named(postal, monkeypatch, tmp_path, spoil):
    data.fetch("usps")
    path = tmp_path / "cache" / "usps" / "usps.npz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"is no sound .npz file of plain arrays; run 'dbn-lite data fetch usps'"):
        data.load("usps")
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.with_suffix(".npy").rename(path)
    assert data.verify("usps")[0].why == "is no sound .npz file of plain arrays"
    path.unlink()
    assert data.verify("usps") == [data.Checked("usps.npz", False, str(path.parent), "is missing")]


def test_a_packed_set_with_any_wrong_bit_is_refused_or_gives_the_right_arrays(postal, tmp_path):
    """Of the archive's own entries too, such as how an array is packed."""
    data.fetch("usps")
    path, rng, refusals = tmp_path / "cache" / "usps" / "usps.npz", np.random.default_rng(0), 0
    content, ends = path.read_bytes(), path.stat().st_size - 500
    for place in [*rng.integers(0, ends, 40), *range(0, 60), *range(ends, ends + 500, 2)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            train, labels, *_ = sources.read("usps", path.parent)
        except InputError as error:
            refusals += "run 'dbn-lite data fetch usps' to replace it" in str(error)
        else:
            np.testing.assert_array_equal(train, postal.arrays["train_images"])
            np.testing.assert_array_equal(labels, postal.arrays["train_labels"])
    assert refusals > 100


def test_the_registry_knows_the_arrays_of_usps():
    specs = json.loads((CHECKOUT / "data" / "registry.json").read_text(encoding="utf-8"))["usps"]["files"].values()
    assert all(re.fullmatch("[0-9a-f]{64}", spec["sha256_arrays"]) for spec in specs)


# Sizes without a limit


def test_a_gzip_bomb_is_never_unpacked(own, little):
    """A gigabyte that has the right beginning."""
    shape = little["files"][IMAGES]["shape"]
    packer, packed = zlib.compressobj(9, wbits=31), [header(0x803, *shape)]
    packed = [packer.compress(packed[0])] + [packer.compress(bytes(1 << 24)) for _ in range(64)] + [packer.flush()]
    smaller = zipped(header(0x803, *shape) + bytes(1 << 26))
    (own / IMAGES).write_bytes(b"".join(packed))
    tracemalloc.start()
    with pytest.raises(InputError, match=f"{IMAGES} is too large|{IMAGES} holds more than 360 bytes of images"):
        data.load("mnist")
    (own / IMAGES).write_bytes(smaller)
    with pytest.raises(InputError, match=f"{IMAGES} holds more than 360 bytes of images"):
        data.load("mnist")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(own):
    (own / IMAGES).unlink()
    os.mkfifo(own / IMAGES)
    with pytest.raises(InputError, match=f"{IMAGES} cannot be read .it is no regular file."):
        data.load("mnist")


def test_a_mirror_that_sends_for_ever_is_left(mirrors, little, monkeypatch, tmp_path):
    """Too many bytes, or bytes for too long."""
    for limit, words in (({"DOWNLOAD_BYTES": 30}, "is more than 30 bytes"), ({"DOWNLOAD_SECONDS": -1.0}, "longer tha")):
        with monkeypatch.context() as patch:
            for name, value in limit.items():
                patch.setattr(sources, name, value)
            with pytest.raises(data.NotFetchedError, match=f"what http.*/a/ sends .*{words}"):
                data.fetch("mnist")
    assert cached(tmp_path) == {}


# The first cause


def test_why_no_mirror_answers_is_in_the_sentence(little, monkeypatch, tmp_path, capfd):
    def told(mirror, **environment):
        little["mirrors"] = [mirror]
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(data.NotFetchedError) as caught:
                data.fetch("mnist")
        assert "\n" not in str(caught.value)
        assert str(caught.value).count("try again") == 1
        return str(caught.value)

    closed = f"127.0.0.1:{closed_port()}/"
    assert "no mirror answers (Connection refused)" in told(f"http://{closed}")
    missing = str(tmp_path / "no-such-bundle.pem")
    assert f"invalid path: {missing}" in told(f"https://{closed}", REQUESTS_CA_BUNDLE=missing)
    assert "roxy" in told("http://mirror.invalid/", HTTP_PROXY="http://", http_proxy="http://")
    assert capfd.readouterr() == ("", "")  # no thread has shown a traceback


def test_a_proxy_that_wants_a_password_is_named(little, server, monkeypatch):
    monkeypatch.setattr(Mirrors, "do_CONNECT", lambda self: self.send_error(407), raising=False)
    little["mirrors"] = ["https://mirror.invalid/"]
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(data.NotFetchedError, match=r"no mirror answers \(.*407 Proxy Authentication Required\)"):
        data.fetch("mnist")


def test_a_certificate_that_nobody_vouches_for_is_named(little, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("nothing here makes a certificate")
    made = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out own.pem -days 2 -subj /CN=localhost"
    subprocess.run(["openssl", *made.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        little["mirrors"] = [f"https://127.0.0.1:{server.server_port}/"]
        with pytest.raises(data.NotFetchedError, match=r"no mirror answers \(.*certificate verify failed"):
            data.fetch("mnist")
        server.shutdown()
        thread.join()


def test_the_cause_is_what_lies_innermost():
    error = OSError("around")
    within = ConnectionResetError(104, "Connection reset by peer")
    error.__cause__ = ValueError("a <pool object at 0x7f>: within", within)
    assert sources.cause(error) == "Connection reset by peer"
    error.__cause__.__cause__ = error  # a circle ends, too
    assert sources.cause(error)
    assert sources.cause(TimeoutError()) == "TimeoutError"
    assert len(sources.cause(OSError("x" * 999))) == 200


# The layouts of a folder of one's own


@pytest.mark.parametrize("where", ["mnist", ".", "MNIST/raw"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_every_layout_that_people_have_is_recognised(little, digits, monkeypatch, tmp_path, where, unpacked):
    folder = tmp_path / "own" / where
    folder.mkdir(parents=True)
    for name, raw in little["gz"].items():
        name, raw = (name.removesuffix(".gz"), gzip.decompress(raw)) if unpacked else (name, raw)
        (folder / name).write_bytes(raw)
    places_of = [tmp_path / "own"] + ([folder] if where == "MNIST/raw" else [])
    for place in places_of:
        monkeypatch.setenv("DBN_LITE_DATA", str(place))
        found = data.load("auto")
        assert found.name == "mnist"
        np.testing.assert_array_equal(np.rint(found.train_images * 255), digits[0].reshape(TRAIN, 12))
        np.testing.assert_array_equal(found.test_labels, digits[3])
        assert data.fetch("mnist").resolve() == folder.resolve()
        assert all(row.ok for row in data.verify("mnist"))


def test_an_unpacked_file_is_held_against_the_same_checksum(own, little):
    raw = bytearray(gzip.decompress(little["gz"][IMAGES]))
    raw[-1] ^= 1
    (own / IMAGES).unlink()
    (own / IMAGES.removesuffix(".gz")).write_bytes(raw)
    with pytest.raises(InputError, match="does not have the published SHA-256"):
        data.load("auto")


def test_the_folder_of_usps_itself_is_recognised(postal, monkeypatch, tmp_path):
    np.savez(tmp_path / "usps.npz", **postal.arrays)
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path))
    monkeypatch.setattr(sources, "registry", lambda: {"usps": postal.entry, "mnist": {"files": {}}})
    assert data.load("usps").name == "usps"


@pytest.mark.parametrize("name", ["auto", "mnist", "usps"])
def test_a_variable_that_leads_nowhere_is_an_error_and_no_fallback(mirrors, monkeypatch, tmp_path, name):
    """Though a mirror would answer, and the cache may hold the set."""
    data.fetch("mnist")
    (tmp_path / "own" / "photographs").mkdir(parents=True)
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path / "own"))
    mirrors.asked.clear()
    with pytest.raises(InputError, match=r"DBN_LITE_DATA is .*own, which holds no mnist/, usps/ or fsdd/; correct or"):
        data.load(name)
    assert mirrors.asked == []


def test_where_a_folder_is_named_nothing_stands_in(offline, monkeypatch, tmp_path):
    (tmp_path / "own" / "usps").mkdir(parents=True)
    monkeypatch.setenv("DBN_LITE_DATA", str(tmp_path / "own"))
    with pytest.raises(data.NotFetchedError, match="mnist is not at hand"):
        data.load("auto")


# The embedded set, damaged


def test_an_embedded_set_that_is_damaged_is_named(dreamed, monkeypatch):
    assert [row.ok for row in data.verify("dreamed")] == [True]
    with np.load(dreamed) as file:
        arrays = dict(file)
    np.savez(dreamed, **{**arrays, "train_images": arrays["train_images"][:, :27]})
    with pytest.raises(InputError, match="not uint8 20 x 28 x 28; write it again with 'dbn-lite data dream'"):
        data.load("dreamed")
    dreamed.unlink()
    with pytest.raises(InputError, match=r"dreamed-digits.npz does not come with this copy of dbn_lite"):
        data.load("dreamed")


def test_in_a_browser_no_other_host_is_asked_and_the_embedded_digits_stand_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DBN_LITE_DATA", raising=False)
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "emscripten")
    said: list[str] = []
    assert data.load("auto", said.append).name == "dreamed"
    assert "no mirror gives it" in said[0]
    with pytest.raises(data.NotFetchedError, match="asks no other host"):
        data.fetch("mnist")


# Spoken digits


def wav(samples, rate=8000, channels=1):
    """Write a WAV file as its specification says, without the library."""
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 2 * len(samples)) + samples.tobytes()
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def archive(recordings):
    """A .tar.gz as a tag of a repository is packed: a folder around everything, other files beside."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in {"README.md": b"words", **recordings}.items():
            member = tarfile.TarInfo(f"spoken-1.0/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def spoken(server, monkeypatch, tmp_path):
    """A registry of four spoken digits on one mirror; their samples, in order, are in `.samples`."""
    rng = np.random.default_rng(2)
    server.samples = {
        f"recordings/{digit}_{speaker}_{take}.wav": rng.integers(-99, 99, 20 + take, dtype=np.int16)
        for speaker in ("anna", "bob") for digit, take in ((0, 10), (7, 2))
    }  # fmt: skip
    server.files = {name: wav(samples) for name, samples in server.samples.items()}
    server.content = {"/v1.tar.gz": archive(dict(reversed(server.files.items())))}
    numbers = [np.array([30, 22, 30, 22], "<i4"), *np.uint8([[0, 7, 0, 7], [0, 0, 1, 1], [10, 2, 10, 2]])]
    content = b"".join(a.tobytes() for a in (*server.samples.values(), *numbers)) + b"anna bob"
    spec = {"sha256_arrays": hashlib.sha256(content).hexdigest()}
    entry = {"mirrors": [f"http://127.0.0.1:{server.server_port}/"], "files": {"v1.tar.gz": spec}}
    monkeypatch.setattr(sources, "registry", lambda: {"fsdd": entry})
    monkeypatch.setenv("DBN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DBN_LITE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return server


def test_spoken_digits_are_fetched_as_published_and_kept_packed(spoken, tmp_path):
    audio, length, digit, speaker, index, names = sources.read("fsdd", sources.find("fsdd"))
    np.testing.assert_array_equal(audio, np.concatenate(list(spoken.samples.values())))
    assert (length.tolist(), digit.tolist(), index.tolist()) == ([30, 22] * 2, [0, 7] * 2, [10, 2] * 2)
    assert names[speaker].tolist() == ["anna", "anna", "bob", "bob"]
    assert data.verify("fsdd") == [data.Checked("fsdd.npz", True, str(tmp_path / "cache" / "fsdd"))]
    spoken.asked.clear()
    sources.find("fsdd")
    assert spoken.asked == []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda files: archive({}), "holds no recordings"),
        (lambda files: archive(files)[:200], r"is no sound .tar.gz file"),
        (lambda files: archive(dict(list(files.items())[1:])), "does not have the known SHA-256"),
        (lambda files: archive({**files, "recordings/1_bob_0.wav": b"RIFF"}), "a recording that is no WAV file"),
        (lambda files: archive({**files, "recordings/1_bob_0.wav": wav(np.int16([1, 2]), 16000)}), "not mono, of 16"),
    ],
)
def test_an_archive_that_is_not_the_published_one_is_refused(spoken, tmp_path, spoil, why):
    spoken.content["/v1.tar.gz"] = spoil(spoken.files)
    with pytest.raises(data.NotFetchedError, match=why):
        sources.find("fsdd")
    assert list((tmp_path / "cache" / "fsdd").iterdir()) == []


def test_kept_recordings_that_changed_are_refused(spoken, tmp_path):
    path = sources.find("fsdd") / "fsdd.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for changed, why in (
        ({"audio": arrays["audio"] + 1}, "does not have the known SHA-256"),
        ({"digit": arrays["digit"].astype(float)}, "lacks the array digit"),
    ):
        np.savez(path, **{**arrays, **changed})
        assert why in data.verify("fsdd")[0].why
        with pytest.raises(InputError, match=f"{why}.*; run 'dbn-lite data fetch fsdd' to replace it"):
            sources.read("fsdd", path.parent)
    path.unlink()
    assert data.verify("fsdd")[0].why == "is missing"
