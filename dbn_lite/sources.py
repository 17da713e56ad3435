"""Where data sets come from: places on this machine, mirrors, file formats, and the checks of each file.

`data/registry.json` names the mirrors of each data set and what each file must hold.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import os
import queue
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import platformdirs
from numpy.typing import NDArray

from dbn_lite import browser
from dbn_lite.errors import InputError
from dbn_lite.files import atomic_write

DREAMED = "dreamed-digits.npz"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
FULL_INK = {"mnist": 255, "usps": 2000, "dreamed": 255}  # the stored value that stands for 1.0
PATIENCE = 4.0  # seconds that the mirrors have to show a sign of life
_PACKAGE = Path(__file__).resolve().parent

Arrays = tuple[NDArray[Any], ...]
Decoder = Callable[[bytes, dict[str, Any]], Arrays]


class Checked(NamedTuple):
    """One file of a data set: its name, whether it is sound, its folder, and what is wrong if it is not."""

    file: str
    ok: bool
    where: str
    why: str = ""


class NotFetchedError(InputError):
    """A data set that is not at hand and that no mirror gives."""


class _DamagedError(Exception):
    """What is wrong with a file; whoever knows its path makes a sentence of it."""


# Places


def shipped(relative: str) -> Path:
    """Find a file that comes with the library, in the installed package or in the `data/` of a checkout.

    Raises InputError if this copy of the library came without it.
    """
    if sys.platform == "emscripten":
        browser.bring(_PACKAGE / "_data", relative)
    for folder in (_PACKAGE / "_data", _PACKAGE.parent / "data"):
        if (folder / relative).exists():
            return folder / relative
    raise InputError(f"{relative} does not come with this copy of dbn_lite; install or check it out again.")


def cache_folder() -> Path:
    """Name the folder for downloads: DBN_LITE_CACHE, or the checkout's `data/cache`, or the user's cache."""
    if named := os.environ.get("DBN_LITE_CACHE"):
        return Path(named)
    data = _PACKAGE.parent / "data"
    if (data / "registry.json").is_file() and os.access(data, os.W_OK):
        return data / "cache"
    return Path(platformdirs.user_cache_dir("dbn-lite"))


def find(name: str) -> Path:
    """Name the folder of a data set: in DBN_LITE_DATA, else in the cache, fetched if it is not there yet.

    Raises InputError if DBN_LITE_DATA is no folder, and what `fetch` raises.
    """
    folder = _place(name)
    absent = [file for file in _readers(name) if not (folder / file).is_file()]
    return fetch(name) if absent and folder == _cached(name) else folder


def _place(name: str) -> Path:
    if name == "dreamed":
        return shipped(DREAMED).parent
    own = os.environ.get("DBN_LITE_DATA")
    if own and not Path(own).is_dir():
        raise InputError(f"DBN_LITE_DATA is {own}, no folder as seen from {Path.cwd()}; correct or unset it.")
    return Path(own) / name if own and (Path(own) / name).is_dir() else _cached(name)


def _cached(name: str) -> Path:
    return cache_folder() / name


def registry() -> dict[str, Any]:
    """Read the registry: for each data set its mirrors, files, shapes and checksums."""
    content: dict[str, Any] = json.loads(shipped("registry.json").read_text(encoding="utf-8"))
    return content


# Reading


def _readers(name: str) -> dict[str, Callable[[Path], Arrays]]:
    """Map each file of a data set to the function that reads its arrays, or raises _DamagedError."""
    if name == "usps":
        return {"usps.npz": _usps_npz}
    if name == "dreamed":
        return {DREAMED: _dreamed_npz}
    specs = registry()["mnist"]["files"]
    return {file: partial(_idx_gz, spec=spec) for file, spec in specs.items()}


def read(name: str, folder: Path) -> Arrays:
    """Read the four arrays of a data set as stored, in the order of ARRAYS, verifying every file.

    Raises InputError that names the first file that is missing or damaged, and the remedy.
    """
    arrays: Arrays = ()
    for file, reader in _readers(name).items():
        try:
            arrays += reader(folder / file)
        except _DamagedError as error:
            raise InputError(f"{folder / file} {error}; {remedy(name, folder)}.") from error
    return arrays


def remedy(name: str, folder: Path) -> str:
    """Say what to do about a missing or damaged file of a data set in that folder."""
    if name == "dreamed":
        return "write it again with 'dbn-lite data dream', or restore it from the repository"
    if folder == _cached(name):
        return f"run 'dbn-lite data fetch {name}' to replace it"
    return "put the published file in its place, or unset DBN_LITE_DATA"


def verify(name: str) -> list[Checked]:
    """Check again every file of "mnist", "usps" or "dreamed", in the folder where it would be loaded from."""
    folder = _place(_known(name, "mnist", "usps", "dreamed"))
    rows = []
    for file, reader in _readers(name).items():
        why = _fault(reader, folder / file)
        rows.append(Checked(file, not why, str(folder), why))
    return rows


def _fault(reader: Callable[[Path], Arrays], path: Path) -> str:
    try:
        reader(path)
    except _DamagedError as error:
        return str(error)
    return ""


def _known(name: str, *names: str) -> str:
    if name not in names:
        raise InputError(f"there is no data set {name!r} to fetch or verify; choose {' or '.join(names)}.")
    return name


# Fetching


def fetch(name: str) -> Path:
    """Bring "mnist" or "usps" to the cache, unless DBN_LITE_DATA has a folder of that name, and return its folder.

    What is sound in the cache stays; each download is verified before it takes its place. Raises
    NotFetchedError if no mirror gives a sound file, InputError if the cache cannot be written.
    """
    folder = _place(_known(name, "mnist", "usps"))
    if folder != _cached(name):
        return folder
    missing = [file for file, reader in _readers(name).items() if _fault(reader, folder / file)]
    if missing:
        _fetch(name, missing, folder)
    return folder


def _fetch(name: str, missing: list[str], folder: Path) -> None:
    entry = registry()[name]
    if not _online([mirror + next(iter(entry["files"])) for mirror in entry["mirrors"]]):
        raise NotFetchedError(_advice(name, "no mirror answers"))
    _make(folder)
    if name == "usps":
        arrays = sum((_download(name, file, _libsvm)[1] for file in entry["files"]), ())
        stored: dict[str, Any] = dict(zip(ARRAYS, arrays, strict=True))
        return atomic_write(folder / "usps.npz", lambda out: np.savez_compressed(out, **stored))
    for file in missing:
        raw, _ = _download(name, file, lambda raw, spec: (_idx(_gunzip(raw), spec),))
        atomic_write(folder / file, partial(_write, raw))


def _write(content: bytes, out: BinaryIO) -> None:
    out.write(content)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"cannot make the folder {folder} ({error.strerror}); name another by DBN_LITE_CACHE."
        raise InputError(sentence) from error


def _download(name: str, file: str, decode: Decoder) -> tuple[bytes, Arrays]:
    """Get a file and its arrays from the first mirror whose bytes pass `decode`; each is tried twice."""
    entry, faults = registry()[name], {}
    for mirror in entry["mirrors"] * 2:
        try:
            raw = _get(mirror + file)
            return raw, decode(raw, entry["files"][file])
        except _DamagedError as error:
            faults[mirror] = f"what {mirror} sends {error}"
        except OSError as error:  # every failure that requests reports is one
            faults[mirror] = f"{mirror} fails with {type(error).__name__}"
    raise NotFetchedError(_advice(name, f"{file} cannot be fetched ({', '.join(faults.values())})"))


def _advice(name: str, reason: str) -> str:
    dreamed = ", or use the embedded digits, --data dreamed" if name == "mnist" else ""
    holder = f"let DBN_LITE_DATA name a folder that holds {name}/"
    return f"{name} is not at hand and {reason}: try again with a network, or {holder}{dreamed}."


def _online(urls: list[str]) -> bool:
    """Ask all urls at once whether anything answers, waiting no longer than PATIENCE.

    A page in a browser asks no other host. In threads, because neither a look-up of a name nor a host of many
    addresses keeps to a time limit.
    """
    if sys.platform == "emscripten":
        return False
    import requests

    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask(url: str) -> None:
        try:
            requests.head(url, timeout=PATIENCE)
            answers.put(True)
        except requests.RequestException:
            answers.put(False)

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    until = time.monotonic() + PATIENCE
    try:
        return any(answers.get(timeout=max(0.0, until - time.monotonic())) for _ in urls)
    except queue.Empty:
        return False


def _get(url: str) -> bytes:
    import pooch
    from tqdm import tqdm

    content = io.BytesIO()
    # total: the downloader sets the true one, but takes a bar of none for no bar
    bar = tqdm(desc=url.rpartition("/")[2], total=1, unit="B", unit_scale=True)
    with bar:
        # identity: a server that unpacks the file on the way would spoil it
        options = {"timeout": (PATIENCE, 30), "headers": {"Accept-Encoding": "identity"}}
        pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, **options)(url, content, None)
    return content.getvalue()


# File formats


def _idx_gz(path: Path, spec: dict[str, Any]) -> Arrays:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise _DamagedError("is missing") from error
    except OSError as error:
        raise _DamagedError(f"cannot be read ({error.strerror})") from error
    return (_idx(_gunzip(raw), spec),)


def _gunzip(raw: bytes) -> bytes:
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise _DamagedError("is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _DamagedError("is no sound gzip file") from error


def _idx(raw: bytes, spec: dict[str, Any]) -> NDArray[np.uint8]:
    """Decode an IDX file of the shape and checksum in `spec`: uint8 (n, height, width) or (n,)."""
    shape = tuple(spec["shape"])
    kind, other = ("images", "labels") if len(shape) == 3 else ("labels", "images")
    magic, right, header = raw[:4].hex(), f"0000080{len(shape)}", 4 + 4 * len(shape)
    if magic != right and magic in ("00000801", "00000803"):
        raise _DamagedError(f"holds {other} where {kind} should be")
    if magic != right:
        raise _DamagedError(f"is no IDX file of {kind}: it starts with {magic or 'nothing'}, not {right}")
    declared = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4))
    if declared != shape:
        raise _DamagedError(f"declares {_times(declared)} {kind}, not {_times(shape)}")
    if len(raw) - header != np.prod(shape):
        raise _DamagedError(f"holds {len(raw) - header} bytes of {kind}, not {np.prod(shape)}")
    if hashlib.sha256(raw).hexdigest() != spec["sha256"]:
        raise _DamagedError("does not have the published SHA-256")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _libsvm(raw: bytes, spec: dict[str, Any]) -> Arrays:
    """Decode a LIBSVM text, lines `label 1:value 2:value ...` in bz2: uint16 images and uint8 labels.

    Labels run from 1 to 10 there, for the digits 0 to 9, values from -1 to 1, and no value is left out.
    """
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != spec["md5_compressed"]:
        raise _DamagedError("does not have the published MD5")
    n, height, width = spec["shape"]
    text = bz2.decompress(raw).decode("ascii").replace(":", " ")
    table = np.fromstring(text, sep=" ").reshape(n, 1 + 2 * height * width)
    images = np.rint((table[:, 2::2] + 1) * (FULL_INK["usps"] / 2)).astype(np.uint16)
    return _usps(images.reshape(n, height, width), (table[:, 0] - 1).astype(np.uint8), spec)


def _npz(path: Path) -> Arrays:
    """Read the four arrays of a packed data set, never a pickle."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return tuple(file[name] for name in ARRAYS)
    except FileNotFoundError as error:
        raise _DamagedError("is missing") from error
    except KeyError as error:
        raise _DamagedError(f"lacks one of the arrays {', '.join(ARRAYS)}") from error
    except (OSError, ValueError, EOFError, TypeError, zlib.error, zipfile.BadZipFile) as error:
        raise _DamagedError("is no sound .npz file of plain arrays") from error


def _usps(images: NDArray[Any], labels: NDArray[Any], spec: dict[str, Any]) -> Arrays:
    _expect(images, labels, tuple(spec["shape"]), np.uint16)
    if images.max() > FULL_INK["usps"]:
        raise _DamagedError(f"holds pixels above {FULL_INK['usps']}")
    if np.bincount(labels, minlength=10).tolist() != spec["classes"]:
        raise _DamagedError("does not hold the known number of examples of each class")
    return images, labels


def _usps_npz(path: Path) -> Arrays:
    train, test = registry()["usps"]["files"].values()
    arrays = _npz(path)
    return _usps(arrays[0], arrays[1], train) + _usps(arrays[2], arrays[3], test)


def _dreamed_npz(path: Path) -> Arrays:
    arrays = _npz(path)
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        _expect(images, labels, (len(images), 28, 28), np.uint8)
    return arrays


def _expect(images: NDArray[Any], labels: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> None:
    if images.dtype != dtype or images.shape != shape:
        wanted = f"{np.dtype(dtype)} {_times(shape)}"
        raise _DamagedError(f"holds images of {images.dtype} {_times(images.shape)}, not {wanted}")
    if labels.dtype != np.uint8 or labels.shape != shape[:1] or labels.max(initial=0) > 9:
        raise _DamagedError(f"holds labels other than {shape[0]} digits 0 to 9 of uint8")
