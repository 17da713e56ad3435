"""File formats of the data sets: IDX in gzip, LIBSVM in bz2, .npz; each decoded to arrays, and checked."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import math
import os
import re
import tarfile
import wave
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import store
from ..errors import InputError

DREAMED = "dreamed-digits.npz"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
SPEECH = ("audio", "length", "digit", "speaker", "index", "speaker_name")  # all recordings end to end, cut by length
FULL_INK = {"mnist": 255, "usps": 2000, "dreamed": 255}  # the stored value that stands for 1.0
PACKED_MORE = 1 << 20  # bytes by which a packed file may be larger than its content
WAV_BYTES = 1 << 20  # of one recording
NPZ_BYTES = 1 << 26  # unpacked; no packed set has a quarter of that
Arrays = tuple[NDArray[Any], ...]


class DamagedError(Exception):
    """What is wrong with a file; whoever knows its path makes a sentence of it."""


def idx_gz(path: Path, spec: dict[str, Any]) -> Arrays:
    """Read a gzipped IDX file, or where there is none the unpacked one beside it: its one array."""
    packed, most = os.path.lexists(path) or not path.with_suffix("").is_file(), idx_bytes(spec)
    raw = _content(path if packed else path.with_suffix(""), most + PACKED_MORE)
    return (idx(gunzip(raw, most) if packed else raw, spec),)


def idx_bytes(spec: dict[str, Any]) -> int:
    """How many bytes an IDX file of the shape in `spec` has, unpacked."""
    return 4 + 4 * len(spec["shape"]) + math.prod(spec["shape"])


def _content(path: Path, most: int) -> bytes:
    """All bytes of a regular file, if they are not more than `most`."""
    try:
        found = path.stat()
        if not path.is_file():
            raise DamagedError("cannot be read (it is no regular file)")
        if found.st_size > most:
            raise DamagedError(f"is too large, {found.st_size} bytes where at most {most} can be")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError("is missing") from error
    except OSError as error:
        raise DamagedError(f"cannot be read ({error.strerror})") from error


def gunzip(raw: bytes, most: int) -> bytes:
    """Unpack gzip, but no more than a byte beyond `most`; raises DamagedError for what is none or is cut short."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return file.read(most + 1)  # unless there is more, its end is looked for, and the checksum there
    except EOFError as error:
        raise DamagedError("is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DamagedError("is no sound gzip file") from error


def idx(raw: bytes, spec: dict[str, Any]) -> NDArray[np.uint8]:
    """Decode an IDX file of the shape and checksum in `spec`: uint8 (n, height, width) or (n,)."""
    shape = tuple(spec["shape"])
    kind, other = ("images", "labels") if len(shape) == 3 else ("labels", "images")
    magic, right, header = raw[:4].hex(), f"0000080{len(shape)}", 4 + 4 * len(shape)
    if magic != right and magic in ("00000801", "00000803"):
        raise DamagedError(f"holds {other} where {kind} should be")
    if magic != right:
        raise DamagedError(f"is no IDX file of {kind}: it starts with {magic or 'nothing'}, not {right}")
    declared = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4))
    if declared != shape:
        raise DamagedError(f"declares {_times(declared)} {kind}, not {_times(shape)}")
    if len(raw) - header > np.prod(shape):
        raise DamagedError(f"holds more than {np.prod(shape)} bytes of {kind}")
    if len(raw) - header < np.prod(shape):
        raise DamagedError(f"holds {len(raw) - header} bytes of {kind}, not {np.prod(shape)}")
    if hashlib.sha256(raw).hexdigest() != spec["sha256"]:
        raise DamagedError("does not have the published SHA-256")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def libsvm(raw: bytes, spec: dict[str, Any]) -> Arrays:
    """Decode a LIBSVM text, lines `label 1:value 2:value ...` in bz2: uint16 images and uint8 labels.

    Labels run from 1 to 10 there, for the digits 0 to 9, values from -1 to 1, and no value is left out.
    """
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() != spec["md5_compressed"]:
        raise DamagedError("does not have the published MD5")
    n, height, width = spec["shape"]
    text = bz2.decompress(raw).decode("ascii").replace(":", " ")
    table = np.fromstring(text, sep=" ").reshape(n, 1 + 2 * height * width)
    images = np.rint((table[:, 2::2] + 1) * (FULL_INK["usps"] / 2)).astype(np.uint16)
    return _usps(images.reshape(n, height, width), (table[:, 0] - 1).astype(np.uint8), spec)


def _npz(path: Path, names: tuple[str, ...] = ARRAYS) -> Arrays:
    """Read the arrays of a packed data set, never a pickle."""
    if not os.path.lexists(path):
        raise DamagedError("is missing")
    try:
        arrays, _ = store.load_arrays(path, names, NPZ_BYTES)
    except InputError as error:
        raise DamagedError("is no sound .npz file of plain arrays") from error
    if len(arrays) < len(names):
        raise DamagedError(f"lacks one of the arrays {', '.join(names)}")
    return tuple(arrays[name] for name in names)


def _usps(images: NDArray[Any], labels: NDArray[Any], spec: dict[str, Any]) -> Arrays:
    _expect(images, labels, tuple(spec["shape"]), np.uint16)
    if images.max() > FULL_INK["usps"]:
        raise DamagedError(f"holds pixels above {FULL_INK['usps']}")
    if np.bincount(labels, minlength=10).tolist() != spec["classes"]:
        raise DamagedError("does not hold the known number of examples of each class")
    content = images.astype("<u2").tobytes() + labels.tobytes()
    if hashlib.sha256(content).hexdigest() != spec["sha256_arrays"]:
        raise DamagedError("does not have the known SHA-256")
    return images, labels


def usps_npz(path: Path, specs: Iterable[dict[str, Any]]) -> Arrays:
    """Read USPS as it is kept here, one .npz, against what the registry says of the two published files."""
    train, test = specs
    arrays = _npz(path)
    return _usps(arrays[0], arrays[1], train) + _usps(arrays[2], arrays[3], test)


def fsdd_tar(raw: bytes, spec: dict[str, Any]) -> Arrays:
    """Decode the published archive of spoken digits: every recordings/{digit}_{speaker}_{take}.wav in its .tar.gz.

    Returns the arrays of SPEECH, with recordings ordered by speaker, digit and take.
    """
    takes: dict[tuple[int, str, int], NDArray[np.int16]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            for member in archive:
                name = re.fullmatch(r"(?:.*/)?recordings/(\d)_([a-z]+)_(\d+)\.wav", member.name)
                file = archive.extractfile(member) if name and member.size < WAV_BYTES else None
                if name and file:
                    takes[int(name[1]), name[2], int(name[3])] = _wav(file.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DamagedError("is no sound .tar.gz file") from error
    if not takes:
        raise DamagedError("holds no recordings")
    order = sorted(takes, key=lambda take: (take[1], take[0], take[2]))
    speakers = sorted({speaker for _, speaker, _ in takes})
    found = (
        np.concatenate([takes[key] for key in order]),
        np.array([len(takes[key]) for key in order], np.int32),
        np.array([digit for digit, _, _ in order], np.uint8),
        np.array([speakers.index(speaker) for _, speaker, _ in order], np.uint8),
        np.array([take for _, _, take in order], np.uint8),
        np.array(speakers),
    )
    return _speech(found, spec)


def _wav(raw: bytes) -> NDArray[np.int16]:
    try:
        with wave.open(io.BytesIO(raw)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, 8000):
                raise DamagedError("holds a recording that is not mono, of 16 bits and 8 kHz")
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    except (wave.Error, EOFError) as error:
        raise DamagedError("holds a recording that is no WAV file") from error


def _speech(arrays: Arrays, spec: dict[str, Any]) -> Arrays:
    samples, lengths, digits, speakers, takes, names = arrays
    numbers = [samples.astype("<i2"), lengths.astype("<i4"), digits, speakers, takes]
    content = b"".join(np.ascontiguousarray(a).tobytes() for a in numbers) + " ".join(names.tolist()).encode()
    if hashlib.sha256(content).hexdigest() != spec["sha256_arrays"]:
        raise DamagedError("does not have the known SHA-256")
    return arrays


def fsdd_npz(path: Path, spec: dict[str, Any]) -> Arrays:
    """Read the spoken digits as they are kept here, one .npz, against what the registry says of the archive."""
    arrays = _npz(path, SPEECH)
    for name, array, kind in zip(SPEECH, arrays, "iiuuuU", strict=True):
        if array.dtype.kind != kind or array.ndim != 1:
            raise DamagedError(f"lacks the array {name}, or has another in its place")
    return _speech(arrays, spec)


def dreamed_npz(path: Path) -> Arrays:
    """Read the embedded set."""
    arrays = _npz(path)
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        _expect(images, labels, (len(images), 28, 28), np.uint8)
    return arrays


def _expect(images: NDArray[Any], labels: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> None:
    if images.dtype != dtype or images.shape != shape:
        wanted = f"{np.dtype(dtype)} {_times(shape)}"
        raise DamagedError(f"holds images of {images.dtype} {_times(images.shape)}, not {wanted}")
    if labels.dtype != np.uint8 or labels.shape != shape[:1] or labels.max(initial=0) > 9:
        raise DamagedError(f"holds labels other than {shape[0]} digits 0 to 9 of uint8")
