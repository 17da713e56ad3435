"""A `cupy` without a GPU: the parts that the library uses, on NumPy, and as unforgiving as the real thing or more.

Nothing becomes a NumPy array, or meets one, without being asked to; reductions give 0-d arrays; fresh memory is NaN;
kernels are the real ones, compiled as C; cuBLAS is a NumPy product behind the signatures of cublas_api.h. A stream
that is being captured records what would be launched and refuses all else: allocation, waiting, reading back.
"""

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
_memory = weakref.WeakValueDictionary()  # address: the array that owns the memory
_recording = None  # what the stream under capture has been given so far
launches = {"kernel": 0, "product": 0, "graph": 0, "capture": 0, "array": 0}


def _launch(what, work, *uses):
    """Do the work, or note it down; a graph knows the memory it uses by address only."""
    if _recording is not None:
        _recording.append((work, [weakref.ref(_owner(at)) for at in uses]))
    else:
        launches[what] += 1
        work()


def _on_arrays(operate, *operands):
    """Likewise for an operation of NumPy's; of an array a graph keeps where it lies, and does not keep it alive."""
    if _recording is None:
        _launch("array", lambda: operate(*operands))
    else:
        uses = [x.ctypes.data for x in operands if isinstance(x, np.ndarray)]
        makers = [_by_address(x) for x in operands]
        _launch("array", lambda: operate(*(make() for make in makers)), *uses)


def _by_address(x):
    if not isinstance(x, np.ndarray):
        return lambda: x
    at, shape, strides, dtype = x.ctypes.data, x.shape, x.strides, x.dtype
    span = x.itemsize + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    return lambda: np.ndarray(shape, dtype, (ctypes.c_char * span).from_address(at), strides=strides)


def _refuse(what):
    if _recording is not None:
        raise RuntimeError(f"operation not permitted when stream is capturing: {what}")


def _owner(at):
    for start, owner in list(_memory.items()):
        if start <= at < start + owner.nbytes:
            return owner
    raise RuntimeError(f"illegal memory access at {at:#x}")


def _unwrap(x):
    if isinstance(x, ndarray):
        return x._a
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, list | tuple):
        return type(x)(map(_unwrap, x))
    return x


class ndarray:
    """What is left of an array when all that is not certain to work on a device is taken away."""

    __array_ufunc__ = None  # NumPy's operators refuse it

    def __init__(self, a):
        self._a = np.asarray(a)
        root = self._a
        while isinstance(root.base, np.ndarray):
            root = root.base
        _memory[root.ctypes.data] = root

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    shape, strides, dtype, ndim, size, itemsize, nbytes, flags = (
        property(lambda self, name=name: getattr(self._a, name))
        for name in ("shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes", "flags")
    )
    T = property(lambda self: ndarray(self._a.T))
    data = property(lambda self: SimpleNamespace(ptr=self._a.ctypes.data))

    def __len__(self):
        return len(self._a)

    def __getitem__(self, key):
        return ndarray(self._a[_unwrap(key)])

    def __setitem__(self, key, value):
        _on_arrays(lambda a, value: a.__setitem__(_unwrap(key), value), self._a, _unwrap(value))

    def get(self):
        _refuse("copying to the host")
        return self._a.copy()

    def copy(self):
        return _function("copy")(self)

    def astype(self, dtype):
        _refuse("astype allocates")
        return ndarray(self._a.astype(dtype))

    def _scalar(self, kind):
        _refuse("reading a value")
        return kind(self._a)

    def __float__(self):
        return self._scalar(float)

    def __int__(self):
        return self._scalar(int)

    def __bool__(self):
        return self._scalar(bool)


def _function(name):
    def call(*args, out=None, **kwargs):
        others = [a._a for a in args if isinstance(a, ndarray) and a is not out]
        args, kwargs = map(_unwrap, args), {k: _unwrap(v) for k, v in kwargs.items()}
        if out is None:
            _refuse(f"{name} allocates")
            launches["array"] += 1
            return ndarray(getattr(np, name)(*args, **kwargs))
        if any(np.may_share_memory(a, out._a) for a in others):
            _refuse(f"{name} copies an operand that lies where its result goes, unless both are one object")
        _on_arrays(lambda out, *args: getattr(np, name)(*args, out=out, **kwargs), out._a, *args)
        return out

    return call


for _name in ("sum", "min", "max", "mean", "all", "any", "argmax", "cumsum", "reshape"):
    setattr(ndarray, _name, _function(_name))
for _name, _ufunc in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power", "matmul": "matmul",
    "lt": "less", "gt": "greater", "le": "less_equal", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    _f = _function(_ufunc)
    setattr(ndarray, f"__{_name}__", lambda self, other, f=_f: f(self, other))
    setattr(ndarray, f"__r{_name}__", lambda self, other, f=_f: f(other, self))
    if _name in ("add", "sub", "mul", "truediv"):
        setattr(ndarray, f"__i{_name}__", lambda self, other, f=_f: f(self, other, out=self))
ndarray.__neg__ = lambda self: _function("negative")(self)
ndarray.__hash__ = None

for _name in (
    "maximum", "exp", "log", "log1p", "abs", "isfinite", "subtract", "hstack", "ascontiguousarray", "zeros",
    "zeros_like", "eye",
):  # fmt: skip
    globals()[_name] = _function(_name)


def asarray(a, dtype=None):
    """From the host to the device: the one way in."""
    _refuse("copying to the device")
    a = a._a if isinstance(a, ndarray) else np.array(a)
    return ndarray(np.asarray(a, dtype=dtype))


def asnumpy(a):
    return a.get()


def empty(shape, dtype=np.float64):
    _refuse("empty allocates")
    a = np.zeros(shape, dtype)
    if a.dtype.kind == "f":
        a.fill(np.nan)
    return ndarray(a)


def empty_like(a):
    return empty(a.shape, a.dtype)


# ---- Streams and graphs


class Graph:
    def __init__(self, nodes):
        self.nodes = nodes

    def launch(self, stream=None):
        _refuse("launching a graph")
        launches["graph"] += 1
        for work, owners in self.nodes:
            if not all(owner() is not None for owner in owners):
                raise RuntimeError("the graph uses memory that has been freed")
            work()


class Stream:
    current = None

    def __init__(self, non_blocking=False):
        self.non_blocking, self.ptr = non_blocking, id(self)

    def use(self):
        Stream.current = self

    def synchronize(self):
        _refuse("waiting")

    def begin_capture(self, mode=None):
        global _recording
        assert self.non_blocking
        assert Stream.current is self, "kernels would go into another stream"
        assert _recording is None
        launches["capture"] += 1
        _recording = []

    def end_capture(self):
        global _recording
        nodes, _recording = _recording, None
        return Graph(nodes)


__version__ = "stand-in"
runtime = SimpleNamespace(
    getDevice=lambda: 0,
    getDeviceProperties=lambda device: [{"name": b"a stand-in"}][device],
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 12090,
)
cuda = SimpleNamespace(
    Stream=Stream,
    get_current_stream=lambda: Stream.current,
    Device=lambda: SimpleNamespace(synchronize=lambda: _refuse("waiting")),
    runtime=runtime,
)


def get_default_memory_pool():
    return SimpleNamespace(total_bytes=lambda: sum(owner.nbytes for owner in _memory.values()))


class Generator:
    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def random(self, size=None, dtype=np.float64, out=None):
        _refuse("random numbers of CuPy's own")
        assert out is None
        return ndarray(self._rng.random(size, dtype))


random = SimpleNamespace(default_rng=Generator)


# ---- Kernels

TYPES = {"float": (np.float32, ctypes.c_float), "u32": (np.uint32, ctypes.c_uint32)}


@functools.cache
def compile_c(source, flags=("-O2", "-Wall", "-Werror")):
    """A file of kernels as a library for this processor."""
    library = Path(tempfile.mkdtemp()) / "kernels.so"
    language = ("-x", "c", "-std=c99", "-ffp-contract=off", "-shared", "-fPIC")
    subprocess.run([COMPILER, *language, *flags, "-", "-o", library, "-lm"], input=source, text=True, check=True)
    return ctypes.CDLL(str(library))


class RawModule:
    def __init__(self, code):
        self.library = compile_c(code)
        self.signatures = dict(re.findall(r"^KERNEL (\w+)\(([^)]*)\)", code, re.MULTILINE))

    def get_function(self, name):
        parameters = [re.fullmatch(r"(?:const )?(\w+) (\*?)\w+", p.strip()) for p in self.signatures[name].split(",")]
        types = [(*TYPES[p[1]], bool(p[2])) for p in parameters]
        function = getattr(self.library, name)
        function.argtypes = [ctypes.c_void_p if pointer else c_type for _, c_type, pointer in types]
        function.restype = None

        def kernel(grid, block, args):
            assert len(args) == len(types), f"{name} takes {len(types)} arguments"
            assert min(*grid, *block) >= 1
            for i, (a, (dtype, _, pointer)) in enumerate(zip(args, types, strict=True)):
                assert isinstance(a, ndarray if pointer else dtype), f"argument {i} of {name} is a {type(a)}"
                assert a.dtype == dtype
            values = [a.data.ptr if pointer else a.item() for a, (_, _, pointer) in zip(args, types, strict=True)]
            uses = [v for v, (_, _, pointer) in zip(values, types, strict=True) if pointer]
            _launch("kernel", lambda: function(*values), *uses)

        return kernel


# ---- cuBLAS


class CuBLAS:
    """The functions of cuBLAS that the library calls, as C functions with the types of cublas_api.h."""

    def __init__(self):
        self.stream = self.workspace = self.math_mode = None
        at, number, scalar = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_float)
        c = {
            "cublasCreate_v2": (self._create, ctypes.POINTER(at)),
            "cublasSetStream_v2": (self._set_stream, at, at),
            "cublasSetWorkspace_v2": (self._set_workspace, at, at, ctypes.c_size_t),
            "cublasSetMathMode": (self._set_math_mode, at, number),
            "cublasSgemm_v2": (
                self._sgemm, at, number, number, number, number, number, scalar, at, number, at, number, scalar,
                at, number,
            ),
        }  # fmt: skip
        for name, (function, *types) in c.items():
            setattr(self, name, ctypes.CFUNCTYPE(ctypes.c_int, *types)(function))

    def _create(self, handle):
        handle[0] = 0xB1A5
        return 0

    def _set_stream(self, handle, stream):
        self.stream, self.workspace = stream, None
        return 0 if handle == 0xB1A5 else 1

    def _set_workspace(self, handle, at, size):
        self.workspace = at, size
        return 0 if handle == 0xB1A5 and _owner(at).nbytes >= size else 7

    def _set_math_mode(self, handle, mode):
        self.math_mode = mode
        return 0 if handle == 0xB1A5 and mode in (0, 1, 2, 3) else 7

    def _sgemm(self, handle, turn_a, turn_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        if handle != 0xB1A5 or self.stream != Stream.current.ptr or not self.workspace:
            return 14
        (rows_a, columns_a), (rows_b, columns_b) = ((k, m) if turn_a else (m, k)), ((n, k) if turn_b else (k, n))
        if min(m, n, k) < 1 or lda < rows_a or ldb < rows_b or ldc < m:
            return 7
        a_, b_, c_ = _columns(a, rows_a, columns_a, lda), _columns(b, rows_b, columns_b, ldb), _columns(c, m, n, ldc)
        a_, b_ = (a_.T if turn_a else a_), (b_.T if turn_b else b_)
        alpha, beta = np.float32(alpha[0]), np.float32(beta[0])

        def work():
            product = np.matmul(b_.T, a_.T).T * alpha
            c_[...] = product + beta * c_ if beta else product

        _launch("product", work, a, b, c)
        return 0


def _columns(at, rows, columns, ld):
    """The matrix at an address, column by column, checked to lie within one array."""
    span = (columns - 1) * ld + rows
    owner = _owner(at)
    assert at + 4 * span <= owner.ctypes.data + owner.nbytes, "a product reaches beyond its array"
    flat = np.frombuffer((ctypes.c_float * span).from_address(at), np.float32)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (4, 4 * ld))
