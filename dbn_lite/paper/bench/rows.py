"""The rows of the benchmark, by name: who makes a step, and what must hold before it is timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import backend
from . import equality, rivals, steps

WHO: dict[str, Callable[..., steps.Runner]] = {
    "floor": steps.floor,
    "dbn_lite": steps.ours,
    "textbook": rivals.textbook,
    "sklearn": rivals.sklearn,
    "torch": rivals.torch_eager,
    "torch.compile": rivals.torch_compiled,
}


def check_row(who: str, stage: str, sizes: steps.Sizes) -> dict[str, Any]:
    """What the equality check of a row finds: how far its weights are from the right ones, or why nobody knows."""
    name = backend.current().name
    if who == "floor" or (who == "dbn_lite" and name == "numpy"):
        return {}  # no weights; the standard itself
    if name == "cupy-tf32":
        return {"note": "not checked: TF32 rounds factors to 10 bits, and other states follow"}
    if who == "sklearn":
        return _check_sizes(rivals.sklearn(p := steps.Problem(stage, sizes)), p)
    difference = (
        equality.backend_differs(stage) if who == "dbn_lite" else equality.rival_differs(WHO[who], stage, sizes)
    )
    if not difference <= equality.TOLERANCE:  # not a number fails too
        return {"refused": f"its weights differ by {difference:.2g} from those of dbn_lite on NumPy"}
    return {"difference": difference}


def _check_sizes(runner: steps.Runner, p: steps.Problem) -> dict[str, Any]:
    runner.step()
    found = {(name, np.asarray(a).dtype, np.size(a)) for name, a in runner.weights().items()}
    right = {(name, np.dtype("float32"), a.size) for name, a in steps.ours(p).weights().items()}
    return {"note": rivals.SKLEARN_NOTE} if found == right else {"refused": "its weights have other sizes or types"}
