"""Where things lie: the files that ship with the library, and the cache for downloads."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def shipped(relative: str) -> Path:
    """Find a file that comes with the library, in the installed package or in the `data/` of a checkout.

    Raises InputError if this copy of the library came without it.
    """
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
    import pooch

    return Path(pooch.os_cache("dbn-lite"))
