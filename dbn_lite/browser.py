"""In a reader's browser, under Pyodide: big files that ship are not in the wheel, but fetched when first asked for."""

from __future__ import annotations

import os
from pathlib import Path

FILES = "DBN_LITE_FILES"  # the folder of those files, as an address; the page that starts Python sets it


def bring(folder: Path, relative: str) -> None:
    """Put the file of that name into `folder`, unless it is there or the page's host does not have it.

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
