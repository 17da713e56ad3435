"""One row of the benchmark in a process of its own.

`python -m dbn_lite.paper.bench.worker STAGE WHO BACKEND SIZES [check]`.

With `check` it makes the equality check and answers with what that finds. Otherwise, for each line on standard input,
a number of mini-batches, it does so many and answers with their seconds. Every answer is one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

from ... import backend
from . import steps
from .rows import WHO, check_row

WARM_UP = 5  # mini-batches before the first turn: they compile, load and allocate
PAUSE = 0.1  # seconds: for so long the threads of another row's BLAS may still spin
SETTLE = 2  # mini-batches untimed in each turn: they bring the caches back


def main() -> None:
    """Make the row, check or time it."""
    stage, who, backend_name, sizes, *mode = sys.argv[1:]
    backend.use(backend_name)
    try:
        if mode:
            _say(check_row(who, stage, steps.Sizes(**json.loads(sizes))))
        else:
            _serve(who, steps.Problem(stage, steps.Sizes(**json.loads(sizes))))
    except Exception as error:  # a rival that is not installed, does not know the stage, or does not work here
        if who in ("floor", "dbn_lite"):
            raise
        _say({"skipped": f"{type(error).__name__}: {error}".splitlines()[0]})


def _serve(who: str, problem: steps.Problem) -> None:
    step = WHO[who](problem).step
    _time(step, WARM_UP)
    if os.environ.get("OMP_NUM_THREADS") == "1" and hasattr(os, "sched_setaffinity"):
        # only now: a compiler that the warm-up ran may have used all cores
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    _say({"gflop": steps.gflop(problem)})
    for line in sys.stdin:
        time.sleep(PAUSE)
        _time(step, SETTLE)
        _say({"seconds": _time(step, int(line)), "peak_mib": round(peak_mib()), **_on_device()})


def _time(step: Any, n: int) -> list[float]:
    synchronize, seconds = backend.current().synchronize, []
    for _ in range(n):
        synchronize()
        started = time.perf_counter()
        step()
        synchronize()
        seconds.append(time.perf_counter() - started)
    return seconds


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:  # `getrusage` may tell of the parent's there
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def _on_device() -> dict[str, int]:
    """What CuPy has taken of the GPU's memory, and keeps."""
    ops = backend.current()
    if ops.name == "numpy":
        return {}
    return {"device_mib": round(ops.xp.get_default_memory_pool().total_bytes() / 2**20)}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
