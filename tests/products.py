"""Run inside a page, by test_lite.py: products of float32 matrices beside those of float64, in many layouts."""

import numpy as np

rng, n = np.random.default_rng(0), 0
SIZES = ((4, 1, 16), (5, 7, 17), (100, 784, 50), (3, 3, 3), (99, 33, 130), (1, 500, 500), (500, 1, 500), (7, 1000, 30),
         (100, 0, 100), (20, 5000, 20))  # fmt: skip


def right(a, b, out=None):
    expected = a.astype(float) @ b.astype(float)
    found = np.matmul(a, b, out=out)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-3), (a.shape, a.strides, b.shape, b.strides)
    return 1


for rows, inner, columns in SIZES:
    a = rng.normal(size=(rows, inner)).astype(np.float32)
    b = rng.normal(size=(inner, columns)).astype(np.float32)
    n += right(a, b) + right(a.T.copy().T, b) + right(a, b.T.copy().T)
    n += right(np.repeat(a, 2, axis=1)[:, ::2], b) + right(a[::-1], b[:, ::-1])
    n += right(np.stack([a, 2 * a]), b) + right(np.stack([a, 2 * a]), np.stack([b, 3 * b]))
    n += right(a, b, np.zeros((rows, columns), np.float32, order="F"))
    n += right(a, b, np.zeros((rows, 2 * columns), np.float32)[:, :columns])
    square = rng.normal(size=(64, 64)).astype(np.float32)
    n += right(square, square, square)  # onto itself
print(n, "products, all right")
