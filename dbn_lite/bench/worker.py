"""One row of the benchmark in a process of its own: `python -m dbn_lite.bench.worker STAGE WHO [SIZES]`.

For each line on standard input, a number of mini-batches, it does so many and answers with a JSON list of seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

from .. import backend
from . import rivals, steps

WHO: dict[str, Callable[[steps.Problem], steps.Step]] = {
    "floor": steps.floor,
    "dbn_lite": steps.ours,
    "textbook": rivals.textbook,
    "sklearn": rivals.sklearn,
    "torch": rivals.torch_eager,
    "torch.compile": rivals.torch_compiled,
}
WARM_UP = 5


def main() -> None:
    """Make the row, warm it up, say so, then time on request."""
    stage, who, backend_name, sizes = sys.argv[1:5]
    ops = backend.use(backend_name)
    problem = steps.Problem(stage, steps.Sizes(**json.loads(sizes)))
    try:
        step = WHO[who](problem)
        for _ in range(WARM_UP):
            step()
    except (ImportError, NotImplementedError) as error:
        print(json.dumps({"skipped": str(error)}), flush=True)
        return
    print(json.dumps({"gflop": steps.gflop(problem)}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            ops.synchronize()
            started = time.perf_counter()
            step()
            ops.synchronize()
            seconds.append(time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": round(peak)}), flush=True)


if __name__ == "__main__":
    main()
