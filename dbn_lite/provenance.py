"""Where a result comes from: versions, machine, commit, date."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from . import backend


def versions(*others: str) -> dict[str, str]:
    """The versions that a result depends on; of the packages `others`, those that are installed."""
    xp = backend.current().xp  # NumPy once more, or CuPy
    found = {"dbn-lite": _version("dbn-lite") or "not installed"}  # run from a folder, it is not
    found |= {"numpy": np.__version__, xp.__name__: xp.__version__, "python": platform.python_version()}
    return found | {name: known for name in others if (known := _version(name))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def arithmetic() -> dict[str, Any]:
    """What the last bits of a product depend on: the library that multiplies, and how many threads it may use."""
    ops = backend.current()
    if ops.name != "numpy":
        return {"library": f"{ops.name} {ops.xp.__version__}", "threads": 1}
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    asked = (os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = next((int(n) for n in asked if n.isdecimal() and int(n)), cores)
    return {
        "library": f"{blas.get('name', 'NumPy')} {blas.get('version', np.__version__)}",
        "threads": min(threads, cores),
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    found: dict[str, Any] = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    found["system"] = platform.system()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        found["cpu"] = next((line.split(":")[1].strip() for line in file if "model name" in line), found["cpu"])
    ops = backend.current()
    if ops.name != "numpy":
        cuda = ops.xp.cuda.runtime
        found["gpu"] = cuda.getDeviceProperties(cuda.getDevice())["name"].decode()
        found["cuda"] = {"driver": cuda.driverGetVersion(), "runtime": cuda.runtimeGetVersion()}
    return found


def origin(at: float | None = None) -> dict[str, Any]:
    """What every record says of where it was made: versions, device, commit, and the date, of `at` or today."""
    moment = datetime.datetime.fromtimestamp(time.time() if at is None else at, datetime.UTC)
    own = {"versions": versions(), "device": machine()}
    return {**own, "date": moment.date().isoformat(), "commit": _commit()}


def _commit() -> str:
    """The commit of this checkout, or "unknown" where the library was installed without one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # git would name the commit of whatever checkout the installation lies in
        return "unknown"
    asked = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
