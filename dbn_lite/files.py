"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dbn_lite.errors import InputError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def atomic_write(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that `path` holds either all of the new bytes or what it held before.

    `write` is given a binary file opened for writing (and seeking) and writes the whole content to it. The
    bytes go to a temporary file in the same folder, which takes the name `path` only once they are on the
    disk. Raises InputError if the disk is full or the folder is missing or read-only; whatever else `write`
    raises goes through. In neither case does the temporary file stay.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(_sentence(path, error)) from error
    finally:
        with contextlib.suppress(OSError):  # most often it is gone, having become `path`
            temporary.unlink()


def expect_writable(path: str | Path) -> None:
    """Raise InputError if the folder of `path` is missing or cannot be written to: before hours of work, not after."""
    try:
        tempfile.TemporaryFile(dir=Path(path).parent).close()
    except OSError as error:
        raise InputError(_sentence(Path(path), error)) from error


def _sentence(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return f"cannot write {path}: the disk is full; free some space or choose another folder."
    if not path.parent.is_dir():
        return f"cannot write {path}: the folder {path.parent} does not exist; make it or choose another."
    return f"cannot write {path}: {error.strerror or error}; choose a folder that can be written to."
