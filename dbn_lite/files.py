"""Files: written whole or not at all, believed only as far as they were checked, one process at a time in a folder."""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import json
import math
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbn_lite.errors import InputError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
MOST_JSON = 1 << 26  # bytes; the largest record that ships has a hundredth of that


def atomic_write(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that `path` holds either all of the new bytes or what it held before.

    `write` is given a binary file opened for writing (and seeking) and writes the whole content to it. The
    bytes go to a temporary file in the same folder, which takes the name `path` only once they are on the
    disk; it has the mode of the file that it replaces, and a link goes on leading to it. What is no regular file, a
    device or a pipe, is written to as it is. Raises InputError if the disk is full or the folder is missing or
    read-only; whatever else `write` raises goes through. In neither case does the temporary file stay.
    """
    path = Path(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise InputError(_sentence(path, error)) from error
    if found and not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return _write_through(path, write)
    target = Path(os.path.realpath(path))
    temporary = target.parent / f".{target.name[:40]}.{uuid.uuid4().hex[:8]}.partial"
    try:
        mode = stat.S_IMODE(found.st_mode) if found else 0o666  # less the umask, as for any new file
        with open(os.open(temporary, _NEW, mode), "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if found:
            temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(_sentence(path, error)) from error
    finally:
        with contextlib.suppress(OSError):  # most often it is gone, having become `path`
            temporary.unlink()


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _write_through(path: Path, write: Callable[[BinaryIO], object]) -> None:
    content = io.BytesIO()
    write(content)
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(content.getbuffer())
    except OSError as error:
        raise InputError(_sentence(path, error)) from error


def expect_writable(path: str | Path, *inputs: str | Path) -> None:
    """Raise InputError unless `path` can be written and is none of `inputs`: before hours of work, not after.

    Its folder must exist and take new files.
    """
    path = Path(path)
    for given in inputs:
        with contextlib.suppress(OSError):
            if os.path.samefile(path, given):
                raise InputError(f"{path} is what is read; name another file to write to.")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # a name that is too long is told here
        if not path.exists() or path.is_file():
            tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    except OSError as error:
        raise InputError(_sentence(path, error)) from error


def make_folder(path: Path, remedy: str = "choose another") -> None:
    """Make a folder, and those above it, unless it is there; raises InputError, with what to do, if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path} ({error.strerror}); {remedy}.") from error


def expect_folder(path: str | Path) -> None:
    """Raise InputError unless `path` is a folder that can be written to, or could be made one; nothing is made."""
    path = Path(path)
    try:
        nearest = next(p for p in (path, *path.parents) if os.path.lexists(p))
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is no folder")
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # a name that is too long is told here
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise InputError(f"cannot make the folder {path} ({error.strerror}); choose another.") from error


def _sentence(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return f"cannot write {path}: the disk is full; free some space or choose another folder."
    if not os.path.isdir(path.parent):
        return f"cannot write {path}: the folder {path.parent} does not exist; make it or choose another."
    return f"cannot write {path}: {error.strerror or error}; choose a folder that can be written to."


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep every other process, and every other call, out of a folder; the system lets go of it if this one dies.

    Raises InputError if another one is in it. Where a folder cannot be locked, as on some network disks, or there is
    none, it is taken as it is.
    """
    with contextlib.ExitStack() as stack:
        try:
            _lock(folder, stack)
        except BlockingIOError as error:
            raise InputError(f"another process works in {folder}; wait for it, or choose another folder.") from error
        except OSError:
            pass
        yield


def _lock(folder: Path, stack: contextlib.ExitStack) -> None:
    try:
        import fcntl
    except ImportError:  # Windows, where a folder cannot be opened, but an open file can be locked
        import msvcrt

        file: Any = stack.enter_context(open(folder / ".lock", "ab"))  # noqa: SIM115
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError as error:
            raise BlockingIOError from error
        return
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, number)
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


# What is read


class Kind(NamedTuple):
    """What a value in a JSON file must be: in words, and as a test."""

    words: str
    fits: Callable[[Any], bool]


def count(low: int = 0) -> Kind:
    """A whole number from `low` on."""
    return Kind(f"a whole number of at least {low}", lambda v: type(v) is int and v >= low)


NUMBER = Kind("a finite number", lambda v: type(v) in (int, float) and abs(v) < math.inf)
MAYBE = Kind("a finite number or null", lambda v: v is None or NUMBER.fits(v))
TEXT = Kind("a text", lambda v: isinstance(v, str))
TRUTH = Kind("true or false", lambda v: isinstance(v, bool))


def fault(value: Any, schema: Any, where: str = "it") -> str:
    """What is wrong with a value from a JSON file, in words; empty if it is as `schema` says.

    A schema is a Kind, or a list of one schema for all entries of a list, or a dict of schemas for the entries of that
    name: what ends in "?" may be left out, "*" is for all that are not named, and without it they are not looked at.
    """
    if isinstance(schema, Kind):
        return "" if schema.fits(value) else f"{where} is {_short(value)}, not {schema.words}"
    if not isinstance(value, type(schema)):
        return f"{where} is {_short(value)}, not {'a list' if isinstance(schema, list) else 'an object'}"
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(schema, list):
        pairs = [(f"{where}[{i}]", entry, schema[0]) for i, entry in enumerate(value)]
    else:
        asked = {name.removesuffix("?"): inner for name, inner in schema.items()}
        for name, inner in asked.items():
            if name in value:
                pairs.append((f"{where}.{name}", value[name], inner))
            elif name in schema and name != "*":
                return f"{where} has no {name!r}"
        if "*" in schema:
            pairs += [(f"{where}.{name}", value[name], schema["*"]) for name in value if name not in asked]
    return next(filter(None, (fault(entry, inner, place) for place, entry, inner in pairs)), "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_json(
    path: str | Path, schema: Any, what: str, lines: bool = False, remedy: str = "record the run again"
) -> Any:
    """Read a JSON file, or one of a value a `line` as a list of them, that is as `schema` says (see `fault`).

    Raises InputError, which calls the file `what`, if it is not there, no regular file, very large, damaged, or not so.
    """
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise InputError(f"{path} is no regular file; give the path of {what}.")
        if os.path.getsize(path) > MOST_JSON:
            raise InputError(f"{path} has more than {MOST_JSON} bytes; give the path of {what}.")
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); give the path of {what}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no JSON file; {remedy}.") from error
    try:
        value = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON file; {remedy}.") from error
    if why := fault(value, schema):
        raise InputError(f"{path} is not {what} ({why}); {remedy}.")
    return value


def packed(rows: NDArray[np.float32]) -> str:
    """Numbers from 0 to 1, (n, size), as text for a record: a byte each, in base 64."""
    return base64.b64encode(np.rint(255 * rows).astype(np.uint8).tobytes()).decode()


def unpacked(text: str, n: int) -> NDArray[np.float32]:
    """What `packed` packed: (n, size)."""
    return (np.frombuffer(base64.b64decode(text), np.uint8).reshape(n, -1) / 255).astype(np.float32)
