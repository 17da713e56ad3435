"""Where things lie: the files that ship with the library, and the cache for downloads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import InputError

FILES = "DBN_LITE_FILES"  # in a reader's browser, the address of the folder of what ships but is not in the wheel
_PACKAGE = Path(__file__).resolve().parent


def shipped(relative: str) -> Path:
    """Find a file that comes with the library, in the installed package or in the `data/` of a checkout.

    Raises InputError if this copy of the library came without it.
    """
    if sys.platform == "emscripten":
        bring(_PACKAGE / "_data", relative)
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
    import platformdirs

    return Path(platformdirs.user_cache_dir("dbn-lite"))


def bring(folder: Path, relative: str) -> None:
    """Under Pyodide, put the file of that name into `folder`, unless it is there or the page's host does not have it.

    The request blocks, which a worker may do: `store.load` and its like answer at once, as everywhere else.
    """
    base, target = os.environ.get(FILES), folder / relative
    if not base or target.exists():
        return
    import js

    request = js.XMLHttpRequest.new()
    request.open("GET", f"{base}/{relative}", False)
    request.responseType = "arraybuffer"
    request.send()
    if request.status == 200:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(request.response.to_py())
