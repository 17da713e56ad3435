"""The operations on a GPU: CuPy's arrays, kernels of our own (kernels.cu), cuBLAS through a handle of our own.

All work goes into one stream, current in the thread that chose the backend, so that a whole mini-batch can be
captured there as one CUDA graph. CuPy's own matrix product refuses to be captured, and copies an operand that is
some columns of a buffer; hence the handle.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .random import PhiloxRandom

Array = Any  # a cupy.ndarray
SOURCE = Path(__file__).with_name("kernels.cu")
WORKSPACE = 32 << 20  # bytes that cuBLAS may use for one product; without one of ours, a captured product allocates
TF32_TENSOR_OP_MATH = 3  # cublasMath_t
BLOCK = 128  # threads


class DeviceRandom(PhiloxRandom):
    """The same stream for the kernels: they draw; the mini-batch is counted on the device, also by a replayed graph."""

    def __init__(self, ops: CuPyOps, seed: int, consumer: str = "") -> None:
        self.ops, self.counter = ops, ops.xp.zeros(1, dtype=np.uint32)
        super().__init__(seed, consumer)

    @property
    def step(self) -> int:
        """The mini-batches so far, read from the device."""
        return int(self.counter[0])

    @step.setter
    def step(self, step: int) -> None:
        self.counter[...] = step

    def tick(self) -> None:
        """Mark a new mini-batch."""
        self.ops.launch("tick", 1, self.counter)
        self.site = 0

    def arguments(self) -> tuple[Any, ...]:
        """What a kernel needs for its draw."""
        return (*self.key, self.counter, np.uint32(self.next_site()))


class Blas:
    """Single-precision products by cuBLAS, in a given stream and workspace; raises RuntimeError where it fails."""

    def __init__(self, library: Any, stream: int, workspace: Array, tf32: bool) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int
        scalar = ctypes.POINTER(ctypes.c_float)
        signatures = {
            "cublasCreate_v2": [ctypes.POINTER(pointer)],
            "cublasSetStream_v2": [pointer, pointer],
            "cublasSetWorkspace_v2": [pointer, pointer, ctypes.c_size_t],
            "cublasSetMathMode": [pointer, number],
            "cublasSgemm_v2": [pointer, *[number] * 5, scalar, *[pointer, number] * 2, scalar, pointer, number],
        }
        self._functions = {name: getattr(library, name) for name in signatures}
        for name, types in signatures.items():
            self._functions[name].argtypes, self._functions[name].restype = types, number
        self._handle, self._workspace = pointer(), workspace
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._call("cublasSetStream_v2", self._handle, stream)
        # in this order: setting the stream takes the workspace away
        self._call("cublasSetWorkspace_v2", self._handle, workspace.data.ptr, workspace.nbytes)
        if tf32:
            self._call("cublasSetMathMode", self._handle, TF32_TENSOR_OP_MATH)

    def gemm(self, a: Array, b: Array, out: Array, alpha: float = 1.0, beta: float = 0.0) -> None:
        """out = alpha a b + beta out, for matrices, transposed matrices, and some columns or rows of either."""
        (a_at, lda, a_turned), (b_at, ldb, b_turned), (at, ld, turned) = map(_operand, (a, b, out))
        (m, k), n = a.shape, b.shape[1]
        if b.shape[0] != k or out.shape != (m, n) or turned:
            raise ValueError(f"no product of {a.shape} and {b.shape} goes into an array of {out.shape}.")
        # cuBLAS counts down the columns: what it takes for a matrix is our transpose, and (a b)^T = b^T a^T
        shape_and_scale = b_turned, a_turned, n, m, k, ctypes.c_float(alpha)
        self._call("cublasSgemm_v2", self._handle, *shape_and_scale, b_at, ldb, a_at, lda, ctypes.c_float(beta), at, ld)

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status:
            raise RuntimeError(f"{name} failed with status {status}.")


def cublas_library() -> Any:
    """The cuBLAS that CuPy itself has found and loaded, through the module of CuPy that is linked with it."""
    from cupy_backends.cuda.libs import cublas

    return ctypes.CDLL(cublas.__file__)


def _operand(a: Array) -> tuple[int, int, bool]:
    """Of a matrix: where it starts, how many numbers lie between two rows, and whether its columns are those rows."""
    (rows, columns), (down, across) = a.shape, (stride // a.itemsize for stride in a.strides)
    if a.dtype != np.float32:
        raise TypeError(f"products are of float32, not {a.dtype}.")
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return a.data.ptr, max(down, columns), False
    if (down == 1 or rows == 1) and across >= rows:
        return a.data.ptr, across, True
    raise ValueError(f"a matrix with strides {a.strides} has neither rows nor columns that lie together.")


class CuPyOps:
    """The operations on CuPy arrays, as `NumPyOps` has them; with `tf32`, products round their factors to 10 bits."""

    block = 10_000  # images to read out at a time: so many that launches cost nothing beside them

    def __init__(self, tf32: bool = False) -> None:
        """Set up the first device; raises whatever CuPy does where there is none, or it cannot multiply."""
        import cupy

        self.name, self.xp = "cupy-tf32" if tf32 else "cupy", cupy
        cupy.cuda.Device().synchronize()  # what an earlier stream still does
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.stream.use()
        module = cupy.RawModule(code=SOURCE.read_text())
        names = ("logistic", "sample", "softmax", "sample_softmax", "advance", "tick")
        self._kernels = {name: module.get_function(name) for name in names}
        workspace = cupy.empty(WORKSPACE, dtype=np.uint8)
        self._blas = Blas(cublas_library(), self.stream.ptr, workspace, tf32)
        a = np.arange(6, dtype=np.float32).reshape(2, 3)  # so small that it is exact in any arithmetic
        product = self.matmul(self.asarray(a), self.asarray(a.T), out=self.empty(2, 2))
        if not np.array_equal(self.to_numpy(product), a @ a.T):
            raise RuntimeError("the device multiplies wrongly.")

    def asarray(self, a: Any) -> Array:
        """Bring `a` to the device as a contiguous float32 array (a copy only where one is needed)."""
        return self.xp.ascontiguousarray(self.xp.asarray(a, dtype=np.float32))

    def to_numpy(self, a: Array) -> np.ndarray:
        """Bring `a` to NumPy."""
        return self.xp.asnumpy(a)

    def empty(self, *shape: int) -> Array:
        """A float32 buffer."""
        return self.xp.empty(shape, dtype=np.float32)

    def zeros(self, *shape: int) -> Array:
        """A float32 buffer of zeros."""
        return self.xp.zeros(shape, dtype=np.float32)

    def random(self, seed: int, consumer: str = "") -> DeviceRandom:
        """A stream of random bits for one consumer of the seed."""
        return DeviceRandom(self, seed, consumer)

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b."""
        self._blas.gemm(a, b, out)
        return out

    def logistic(self, x: Array, bias: Array) -> Array:
        """In place: x = 1 / (1 + exp(-(x + bias)))."""
        self.launch("logistic", x.size, *_rows(x), bias, *_sizes(x))
        return x

    def sample(
        self, x: Array, bias: Array, rng: DeviceRandom, out: Array | None = None, keep_probs: bool = False
    ) -> Array:
        """Binary states: out (or x itself) = 1 with probability logistic(x + bias), else 0; returns them.

        x is overwritten only with `keep_probs`, by the probabilities. The rule is that of `NumPyOps.sample`.
        """
        out = x if out is None else out
        keep = np.uint32(keep_probs)
        self.launch("sample", -(-x.size // 4), *_rows(x), bias, *_rows(out), *_sizes(x), keep, *rng.arguments())
        return out

    def softmax(self, x: Array, bias: Array) -> Array:
        """In place: the rows of x become softmax(x + bias), eq. 10."""
        self.launch("softmax", len(x), *_rows(x), bias, *_sizes(x))
        return x

    def sample_softmax(self, x: Array, bias: Array, rng: DeviceRandom) -> Array:
        """In place: one unit of each row of x turns on, unit i with probability softmax(x + bias)_i."""
        self.launch("sample_softmax", len(x), *_rows(x), bias, *_sizes(x), *rng.arguments())
        return x

    def accumulate(
        self, parameter: Array, velocity: Array, a: Array, b: Array, rate: float, momentum: float, shrink: float
    ) -> None:
        """One step of a parameter along a^T b; parameter and velocity are contiguous.

        velocity = momentum * velocity + rate * a^T b, then parameter = shrink * parameter + velocity.
        """
        self._blas.gemm(a.T, b, velocity, rate, momentum)
        self.launch("advance", parameter.size, parameter, velocity, np.float32(shrink), np.uint32(parameter.size))

    def record(self, step: Callable[..., None]) -> Callable[..., None]:
        """Prepare a step for many repetitions: it is captured as a graph, see `Recorded`."""
        return Recorded(self, step)

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        self.stream.synchronize()

    def launch(self, kernel: str, n: int, *arguments: Any) -> None:
        """Start a kernel with one thread for each of n elements."""
        self._kernels[kernel]((-(-n // BLOCK),), (BLOCK,), arguments)


class Recorded:
    """A step of learning that is captured as a CUDA graph and replayed.

    Arrays among its arguments are copied to where the graph reads them, so they may change from call to call. All
    else is part of the graph: a call with another rate or another random stream captures it anew. The step
    itself must work on buffers that it already has, and ask the device for nothing.
    """

    def __init__(self, ops: CuPyOps, step: Callable[..., None]) -> None:
        self.ops, self.step, self.taken = ops, step, False
        self.inputs: dict[int, Array] = {}  # by place among the arguments
        self.constants: dict[int, Any] = {}
        self.graph: Any = None

    def __call__(self, *arguments: Any) -> None:
        """Take the step; the first time as it is, which compiles and loads what the graph will need."""
        arrays = {i: a for i, a in enumerate(arguments) if isinstance(a, self.ops.xp.ndarray)}
        constants = {i: a for i, a in enumerate(arguments) if i not in arrays}
        if not self.inputs:
            self.inputs = {i: self.ops.xp.empty_like(a) for i, a in arrays.items()}
        for i, a in arrays.items():
            self.inputs[i][...] = a
        if not self.taken:
            self._take(constants)
            self.taken = True
            return
        if self.graph is None or constants != self.constants:
            self._capture(constants)
        self.graph.launch()

    def _take(self, constants: dict[int, Any]) -> None:
        both = self.inputs | constants
        self.step(*(both[i] for i in range(len(both))))

    def _capture(self, constants: dict[int, Any]) -> None:
        stream = self.ops.xp.cuda.get_current_stream()  # no longer that of `ops` if the backend was chosen anew
        stream.synchronize()  # the graph that this one replaces may still be at work
        self.graph = None  # should the step fail, half a graph must not be replayed
        stream.begin_capture()
        try:
            self._take(constants)
        finally:
            graph = stream.end_capture()
        self.graph, self.constants = graph, constants  # these are held, as the graph holds only addresses


def _rows(x: Array) -> tuple[Array, np.uint32]:
    """A matrix as the kernels take it: its first number, and how many numbers lie between two rows."""
    down, across = (stride // x.itemsize for stride in x.strides)
    if x.dtype != np.float32 or (across != 1 and x.shape[1] > 1):
        raise ValueError(f"kernels work on rows of float32 that lie together, not on {x.dtype}, strides {x.strides}.")
    return x, np.uint32(down)


def _sizes(x: Array) -> tuple[np.uint32, np.uint32]:
    return np.uint32(x.shape[0]), np.uint32(x.shape[1])
