"""Where data sets come from: folders on this machine, mirrors, and the checks of each file.

`data/registry.json` names the mirrors of each data set and what each file must hold.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import atomic_write, make_folder
from ..places import cache_folder, shipped
from . import formats
from .formats import ARRAYS, DREAMED, SPEECH, Arrays, DamagedError

PATIENCE = 4.0  # seconds that the mirrors have to show a sign of life
DOWNLOAD_BYTES, DOWNLOAD_SECONDS = 1 << 26, 1800.0  # for one file; the largest has ten million bytes

FETCHED = ("mnist", "usps", "fsdd")
PACKED = {"usps": "usps.npz", "fsdd": "fsdd.npz"}  # kept as one file, whatever was fetched

Decoder = Callable[[bytes, dict[str, Any]], Arrays]


class Checked(NamedTuple):
    """One file of a data set: its name, whether it is sound, its folder, and what is wrong if it is not."""

    file: str
    ok: bool
    where: str
    why: str = ""


class NotFetchedError(InputError):
    """A data set that is not at hand and that no mirror gives."""


# Places


def find(name: str) -> Path:
    """Name the folder of a data set: in DBN_LITE_DATA, else in the cache, fetched if it is not there yet.

    Raises InputError if DBN_LITE_DATA leads to no data set at all, and what `fetch` raises.
    """
    folder = _place(name)
    absent = [file for file in _readers(name) if not os.path.isfile(folder / file)]
    return fetch(name) if absent and folder == _cached(name) else folder


def _place(name: str) -> Path:
    if name == "dreamed":
        return shipped(DREAMED).parent
    if own := os.environ.get("DBN_LITE_DATA"):
        if not os.path.isdir(own):
            raise InputError(f"DBN_LITE_DATA is {own}, no folder as seen from {Path.cwd()}; correct or unset it.")
        if found := _within(Path(own), name):
            return found
        if not any(_within(Path(own), other) for other in FETCHED):
            raise InputError(f"DBN_LITE_DATA is {own}, which holds no mnist/, usps/ or fsdd/; correct or unset it.")
    return _cached(name)


def _within(own: Path, name: str) -> Path | None:
    """The folder of a data set in one's own: called after it, or that folder itself, or as torchvision lays it out."""
    if (own / name).is_dir():
        return own / name
    stored = [PACKED[name]] if name in PACKED else registry()[name]["files"]
    files = [*stored, *(file.removesuffix(".gz") for file in stored)]
    places = (own, own / "MNIST" / "raw") if name == "mnist" else (own,)
    return next((place for place in places if any((place / file).is_file() for file in files)), None)


def _cached(name: str) -> Path:
    return cache_folder() / name


def registry() -> dict[str, Any]:
    """Read the registry: for each data set its mirrors, files, shapes and checksums."""
    content: dict[str, Any] = json.loads(shipped("registry.json").read_text(encoding="utf-8"))
    return content


# Reading


def _readers(name: str) -> dict[str, Callable[[Path], Arrays]]:
    """Map each file of a data set to the function that reads its arrays, or raises DamagedError."""
    if name == "usps":
        return {"usps.npz": partial(formats.usps_npz, specs=registry()["usps"]["files"].values())}
    if name == "fsdd":
        return {"fsdd.npz": partial(formats.fsdd_npz, spec=next(iter(registry()["fsdd"]["files"].values())))}
    if name == "dreamed":
        return {DREAMED: formats.dreamed_npz}
    specs = registry()["mnist"]["files"]
    return {file: partial(formats.idx_gz, spec=spec) for file, spec in specs.items()}


def read(name: str, folder: Path) -> Arrays:
    """Read the arrays of a data set as stored, in the order of ARRAYS, or SPEECH, verifying every file.

    Raises InputError that names the first file that is missing or damaged, and the remedy.
    """
    arrays: Arrays = ()
    for file, reader in _readers(name).items():
        try:
            arrays += reader(folder / file)
        except DamagedError as error:
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
    """Check again every file of "mnist", "usps", "fsdd" or "dreamed", in the folder where it would be loaded from."""
    folder = _place(_known(name, *FETCHED, "dreamed"))
    rows = []
    for file, reader in _readers(name).items():
        why = _fault(reader, folder / file)
        rows.append(Checked(file, not why, str(folder), why))
    return rows


def _fault(reader: Callable[[Path], Arrays], path: Path) -> str:
    try:
        reader(path)
    except DamagedError as error:
        return str(error)
    return ""


def _known(name: str, *names: str) -> str:
    if name not in names:
        raise InputError(f"there is no data set {name!r} to fetch or verify; choose {' or '.join(names)}.")
    return name


# Fetching


def fetch(name: str) -> Path:
    """Bring "mnist", "usps" or "fsdd" to the cache, unless DBN_LITE_DATA has a folder of that name; return its folder.

    What is sound in the cache stays; each download is verified before it takes its place. Raises
    NotFetchedError if no mirror gives a sound file, InputError if the cache cannot be written.
    """
    folder = _place(_known(name, *FETCHED))
    if folder != _cached(name):
        return folder
    missing = [file for file, reader in _readers(name).items() if _fault(reader, folder / file)]
    if missing:
        _fetch(name, missing, folder)
    return folder


def _fetch(name: str, missing: list[str], folder: Path) -> None:
    entry = registry()[name]
    if why := _offline([mirror + next(iter(entry["files"])) for mirror in entry["mirrors"]]):
        raise NotFetchedError(_advice(name, f"no mirror answers ({why})"))
    make_folder(folder, "name another by DBN_LITE_CACHE")
    if name in PACKED:
        decode, names = (formats.libsvm, ARRAYS) if name == "usps" else (formats.fsdd_tar, SPEECH)
        arrays = sum((_download(name, file, decode)[1] for file in entry["files"]), ())
        stored: dict[str, Any] = dict(zip(names, arrays, strict=True))
        return atomic_write(folder / PACKED[name], lambda out: np.savez_compressed(out, **stored))
    for file in missing:
        raw, _ = _download(name, file, _gunzipped)
        atomic_write(folder / file, partial(_write, raw))


def _gunzipped(raw: bytes, spec: dict[str, Any]) -> Arrays:
    return (formats.idx(formats.gunzip(raw, formats.idx_bytes(spec)), spec),)


def _write(content: bytes, out: BinaryIO) -> None:
    out.write(content)


def _download(name: str, file: str, decode: Decoder) -> tuple[bytes, Arrays]:
    """Get a file and its arrays from the first mirror whose bytes pass `decode`; each is tried twice."""
    entry, faults = registry()[name], {}
    for mirror in entry["mirrors"] * 2:
        try:
            raw = _get(mirror + file)
            return raw, decode(raw, entry["files"][file])
        except DamagedError as error:
            faults[mirror] = f"what {mirror} sends {error}"
        except OSError as error:  # every failure that requests reports is one
            faults[mirror] = f"{mirror} fails: {cause(error)}"
    raise NotFetchedError(_advice(name, f"{file} cannot be fetched ({', '.join(faults.values())})"))


def _advice(name: str, reason: str) -> str:
    dreamed = ", or use the embedded digits, --data dreamed" if name == "mnist" else ""
    holder = f"let DBN_LITE_DATA name a folder that holds {name}/"
    return f"{name} is not at hand and {reason}: try again with a network, or {holder}{dreamed}."


def cause(error: BaseException) -> str:
    """What an error of the network began with, in one line: what is wrapped around it says less with every layer."""
    seen = {id(error)}
    while True:
        around = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
        inner = next((e for e in around if isinstance(e, BaseException) and id(e) not in seen), None)
        if inner is None:
            break
        seen.add(id(inner))
        error = inner
    words = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
    return " ".join(words.rpartition(" object at 0x")[2].split())[:200].rstrip(".")


def _offline(urls: list[str]) -> str:
    """Ask all urls at once whether anything answers, waiting no longer than PATIENCE: why not, or nothing.

    In threads, because neither a look-up of a name nor a host of many addresses keeps to a time limit.
    """
    if sys.platform == "emscripten":
        return "a page in a browser asks no other host"
    import requests

    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask(url: str) -> None:
        try:
            requests.head(url, timeout=PATIENCE)
            answers.put("")
        except Exception as error:  # of a certificate's file or a proxy's address it need not be one of requests'
            answers.put(cause(error))

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    until, first = time.monotonic() + PATIENCE, ""
    try:
        for _ in urls:
            if not (why := answers.get(timeout=max(0.0, until - time.monotonic()))):
                return ""
            first = first or why
    except queue.Empty:
        pass
    return first or f"none within {PATIENCE:g} seconds"


class _Bounded(io.BytesIO):
    """Takes no more bytes, and no longer, than a file of a data set may need."""

    def __init__(self) -> None:
        super().__init__()
        self.until = time.monotonic() + DOWNLOAD_SECONDS

    def write(self, chunk: Any) -> int:
        if self.tell() + len(chunk) > DOWNLOAD_BYTES:
            raise DamagedError(f"is more than {DOWNLOAD_BYTES} bytes")
        if time.monotonic() > self.until:
            raise DamagedError(f"takes longer than {DOWNLOAD_SECONDS:g} seconds")
        return super().write(chunk)


def _get(url: str) -> bytes:
    import pooch
    from tqdm import tqdm

    content = _Bounded()
    # total: the downloader sets the true one, but takes a bar of none for no bar
    bar = tqdm(desc=url.rpartition("/")[2], total=1, unit="B", unit_scale=True)
    with bar:
        # identity: a server that unpacks the file on the way would spoil it
        options = {"timeout": (PATIENCE, 30), "headers": {"Accept-Encoding": "identity"}}
        pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, **options)(url, content, None)
    return content.getvalue()
