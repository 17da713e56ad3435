"""Packages that only these rows need: the extra `baselines`."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import InputError


def needed(module: str) -> Any:
    """Import a module of the extra. Raises InputError that names the extra if it is not installed."""
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        sentence = f"this row needs {package}, which is not installed; run `pip install 'dbn-lite[baselines]'`."
        raise InputError(sentence) from error
    return importlib.import_module(module)
