"""Figures as pure functions: arrays in, a matplotlib `Figure` out; nothing is shown, saved or remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

INK = "gray_r"  # digits as ink on paper
SIGNED = "RdBu"  # weights: blue excites, red inhibits


def image_grid(
    images: np.ndarray, shape: tuple[int, int], columns: int = 10, titles: Sequence[str] = (), signed: bool = False
) -> Figure:
    """Pictures (n, height * width) side by side, row by row; values in [0, 1], or any values if `signed`.

    With `signed` the colours are symmetric about zero and share one scale over all pictures.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(0.8 * columns, (0.8 + 0.25 * bool(titles)) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    limit = float(np.abs(images).max()) or 1.0
    for axis in axes:
        axis.set_axis_off()
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        low, colours = (-limit, SIGNED) if signed else (0.0, INK)
        axis.imshow(image.reshape(shape), cmap=colours, vmin=low, vmax=limit if signed else 1.0)
        if titles:
            axis.set_title(titles[i], fontsize="small")
    return figure


def curves(series: dict[str, Sequence[float]], x_label: str, y_label: str) -> Figure:
    """Lines over 1, 2, 3, ..., one for each entry of `series`, labelled by its name."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    for name, values in series.items():
        axis.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    if len(series) > 1:
        axis.legend(frameon=False)
    return figure
