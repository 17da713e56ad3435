"""Images moved, sheared, scaled and warped: one bilinear sampler, and what says where each pixel comes from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]


def warp(images: Images, shape: tuple[int, int], rows: Images, columns: Images) -> Images:
    """Images whose pixel i is taken from the place (rows[:, i], columns[:, i]) of the originals, bilinearly.

    images (n, height * width); rows and columns (n, height * width) in pixels; what lies outside is 0.
    """
    height, width = shape
    n, padded = len(images), np.zeros((len(images), height + 3, width + 3), np.float32)
    padded[:, 1:-2, 1:-2] = images.reshape(n, height, width)
    rows = np.clip(rows + 1, 0, height + 1)  # what is farther out is as empty as the first row outside
    columns = np.clip(columns + 1, 0, width + 1)
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    down, right = rows - top, columns - left
    flat = padded.reshape(n, -1)
    corner = top * (width + 3) + left
    stride = (np.arange(n, dtype=np.int32) * flat.shape[1])[:, None]
    at = lambda offset: flat.ravel().take(corner + stride + offset)  # noqa: E731
    upper = at(0) * (1 - right) + at(1) * right
    lower = at(width + 3) * (1 - right) + at(width + 4) * right
    return (upper * (1 - down) + lower * down).astype(np.float32)


def places(shape: tuple[int, int]) -> tuple[Images, Images]:
    """Row and column of every pixel, two arrays (height * width,)."""
    rows, columns = np.indices(shape, np.float32).reshape(2, -1)
    return rows, columns


def translate(images: Images, shape: tuple[int, int], down: int, right: int) -> Images:
    """Images moved by whole pixels; what leaves them is lost."""
    moved = np.zeros((len(images), *shape), np.float32)
    source = images.reshape(-1, *shape)
    height, width = shape
    moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = source[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved.reshape(len(images), -1)


def deskew(images: Images, shape: tuple[int, int]) -> Images:
    """Shear each image so that its ink, as an ellipse, stands upright, and centre it."""
    rows, columns = places(shape)
    ink = np.maximum(images.sum(1), 1e-6)
    mean_row, mean_column = images @ rows / ink, images @ columns / ink
    down, right = rows - mean_row[:, None], columns - mean_column[:, None]
    slope = (images * down * right).sum(1) / np.maximum((images * down**2).sum(1), 1e-6)
    middle_row, middle_column = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    from_rows = np.broadcast_to(rows - middle_row, images.shape) + mean_row[:, None]
    from_columns = (columns - middle_column) + mean_column[:, None] + slope[:, None] * (rows - middle_row)
    return warp(images, shape, from_rows, from_columns)


def affine(images: Images, shape: tuple[int, int], rng: np.random.Generator) -> Images:
    """A random shift, scale, squeeze and horizontal shear of each image, as LeCun and others list them.

    They give no sizes. Ours: shifts of up to 2 pixels, scales to 1.15, squeezes to 1.1, shears of up to 0.3.
    """
    n = len(images)
    rows, columns = (x - (side - 1) / 2 for x, side in zip(places(shape), shape, strict=True))
    shift_down, shift_right = rng.uniform(-2, 2, (2, n, 1)).astype(np.float32)
    scale, squeeze = (np.exp(rng.uniform(-np.log(s), np.log(s), (n, 1))).astype(np.float32) for s in (1.15, 1.1))
    shear = rng.uniform(-0.3, 0.3, (n, 1)).astype(np.float32)
    from_rows = rows * scale * squeeze + shift_down + (shape[0] - 1) / 2
    from_columns = columns * scale / squeeze + shear * rows + shift_right + (shape[1] - 1) / 2
    return warp(images, shape, from_rows, from_columns)


def elastic(
    images: Images, shape: tuple[int, int], rng: np.random.Generator, sigma: float = 4.0, alpha: float = 34.0
) -> Images:
    """A smooth random displacement of each image, as Simard, Steinkraus and Platt have it.

    Uniform displacements in [-1, 1] are smoothed by a Gaussian of `sigma` pixels and multiplied by `alpha`.
    """
    fields = rng.uniform(-1, 1, (2, len(images), *shape)).astype(np.float32)
    down, right = (alpha * (blur(shape[0], sigma) @ field @ blur(shape[1], sigma).T) for field in fields)
    rows, columns = places(shape)
    return warp(images, shape, rows + down.reshape(images.shape), columns + right.reshape(images.shape))


def blur(side: int, sigma: float) -> Images:
    """The matrix (side, side) that smooths by a Gaussian of total weight 1 which ends at three sigma."""
    away = np.arange(-int(3 * sigma), int(3 * sigma) + 1)
    weights = np.exp(-(away**2) / (2 * sigma**2))
    distance = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    inside = distance <= away[-1]
    return np.where(inside, np.exp(-(distance**2) / (2 * sigma**2)), 0).astype(np.float32) / np.float32(weights.sum())
