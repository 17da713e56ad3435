// Products of float32 matrices in the browser. NumPy comes to Pyodide without a BLAS, and its own loops take seconds for
// what a chapter does thousands of times: here is one in WebAssembly's vectors of four, put in their place in NumPy itself.
/* global WebAssembly */
/* exported speedUp */
const speedUp = (() => {
  "use strict";
  const ROWS = 4, COLUMNS = 16; // of the block of the result that is held in registers: four rows of four vectors
  const DEPTH = 4096; // columns of the first matrix, at most

  /** n as WebAssembly writes whole numbers. */
  const leb = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >> 7)]); // without a sign
  const section = (id, ...parts) => [id, ...leb(parts.flat(Infinity).length), ...parts.flat(Infinity)];

  /**
   * A module with one function f(a, aRow, aColumn, b, bRow, c, cRow, M, K): the 16 columns at c of the product of a (M, K)
   * and of the K rows at b, of which it takes 16 numbers each. Addresses and steps are in bytes; M is at least 4.
   */
  function blockModule() {
    const I32 = 0x7f, V128 = 0x7b, range = (n) => Array.from({ length: n }, (_, i) => i);
    const [a, aRow, aColumn, b, bRow, c, cRow, M, K, m, k, at, out] = range(13), from = range(ROWS).map((r) => 13 + r);
    const vector = 13 + ROWS, columns = range(4).map((j) => vector + 1 + j);
    const sums = range(ROWS).map((r) => range(4).map((j) => vector + 5 + 4 * r + j));
    const get = (x) => [0x20, x], set = (x, ...value) => [value, 0x21, x], number = (n) => [0x41, n]; // n below 64
    const [add, subtract, times, less, unequal] = [0x6a, 0x6b, 0x6c, 0x49, 0x47].map((op) => (x, y) => [x, y, op]);
    const simd = (...op) => [0xfd, ...op], zero = simd(0x0c, range(16).map(() => 0));
    const load = (x, offset) => [get(x), simd(0x00, 2, offset)], splat = (x) => [get(x), simd(0x09, 2, 0)];
    const store = (x, offset, value) => [get(x), value, simd(0x0b, 2, offset)];
    const multiplied = (x, y) => [x, y, simd(0xe6, 1)], summed = (x, y) => [x, y, simd(0xe4, 1)];
    const repeat = (body, condition) => [0x03, 0x40, body, condition, 0x0d, 0, 0x0b]; // while the condition holds
    const last = subtract(get(M), number(ROWS));
    const body = repeat([
      from.map((x, r) => set(x, add(get(a), times(add(get(m), number(r)), get(aRow))))),
      sums.flat().map((x) => set(x, zero)),
      set(at, get(b)), set(k, get(K)),
      repeat([
        columns.map((x, j) => set(x, load(at, 16 * j))),
        from.map((x, r) => [
          set(vector, splat(x)), set(x, add(get(x), get(aColumn))),
          sums[r].map((sum, j) => set(sum, summed(get(sum), multiplied(get(vector), get(columns[j]))))),
        ]),
        set(at, add(get(at), get(bRow))), set(k, subtract(get(k), number(1))),
      ], get(k)),
      set(out, add(get(c), times(get(m), get(cRow)))),
      sums.map((row) => [row.map((sum, j) => store(out, 16 * j, get(sum))), set(out, add(get(out), get(cRow)))]),
      // The last four rows may be done twice, so that no row is left over; then m is where it was.
      set(k, get(m)), set(m, add(get(m), number(ROWS))),
      set(m, get(m), last, less(get(m), last), 0x1b),
    ], unequal(get(k), get(m)));
    const locals = [2, 4 + ROWS, I32, 21, V128];
    const code = [locals, body, 0x0b].flat(Infinity);
    return new Uint8Array([
      0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
      section(1, 1, 0x60, 9, range(9).map(() => I32), 0), // the type
      section(2, 1, 1, 0x65, 1, 0x6d, 2, 0, 1), // import e.m, the memory
      section(3, 1, 0),
      section(7, 1, 1, 0x66, 0, 0), // export f
      section(10, 1, ...leb(code.length), code),
    ].flat(Infinity));
  }

  /**
   * A loop of NumPy's matmul (args, dimensions, steps, data) for float32; what it is not made for goes to `plain`. At
   * the address `panel` is room for DEPTH rows of 16 numbers.
   */
  function matmulLoop(module, memory, panel, plain) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(blockModule()), { e: { m: memory } });
    return (args, dimensions, steps, data) => {
      const words = (at, n) => module.HEAP32.subarray(at >>> 2, (at >>> 2) + n);
      const [outer, M, K, N] = words(dimensions, 4);
      const [aOuter, bOuter, cOuter, aRow, aColumn, bRow, bColumn, cRow, cColumn] = words(steps, 9);
      const odd = cColumn !== 4 || (aRow | aColumn | bRow | bColumn | cRow) & 3;
      const small = M < ROWS || N < COLUMNS || M * N * K < 1e4;
      if (odd || small || K > DEPTH) return plain(args, dimensions, steps, data);
      const [a, b, c] = words(args, 3), numbers = module.HEAPF32;
      for (let n = 0; n < outer; n++) {
        for (let from = 0; from < N; from += COLUMNS) {
          const j = Math.min(from, N - COLUMNS); // the last columns may be done twice as well
          const start = b + n * bOuter + j * bColumn;
          if (bColumn !== 4) // laid out anew, a row for each k
            for (let i = 0; i < COLUMNS; i++)
              for (let k = 0, to = (panel >>> 2) + i, at = (start + i * bColumn) >>> 2; k < K; k++) {
                numbers[to] = numbers[at];
                to += COLUMNS;
                at += bRow >> 2;
              }
          const rows = bColumn === 4 ? [start, bRow] : [panel, 4 * COLUMNS];
          exports.f(a + n * aOuter, aRow, aColumn, ...rows, c + n * cOuter + 4 * j, cRow, M, K);
        }
      }
      return undefined;
    };
  }

  /** Put it in the place of NumPy's own, by the C interface that NumPy has for that. */
  return function replaceMatmul(pyodide, memory) {
    const module = pyodide._module;
    const replace = pyodide.runPython(`
import ctypes
import numpy

def replace(loop):
    "The address of the loop that was there."
    capsule = ctypes.pythonapi.PyCapsule_GetPointer
    capsule.restype, capsule.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(capsule(numpy._core._multiarray_umath._UFUNC_API, None), ctypes.POINTER(ctypes.c_void_p))
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    three, old = (ctypes.c_int * 3)(*[numpy.dtype(numpy.float32).num] * 3), ctypes.c_void_p()
    kind(table[30])(numpy.matmul, loop, ctypes.addressof(three), ctypes.addressof(old))
    return old.value

replace.panel = numpy.empty((${DEPTH}, ${COLUMNS}), numpy.float32)
replace`);
    let plain = null;
    const loop = matmulLoop(module, memory, replace.panel.ctypes.data, (...given) => plain(...given));
    plain = module.getWasmTableEntry(replace(module.addFunction(loop, "viiii")));
  };
})();
