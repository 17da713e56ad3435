"""Who reads the dreams: kernel ridge regression on real examples, which has nothing of the net that dreamed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

RIDGE = 0.1


class Reader:
    """Learns from examples (n, size) and labels (n,), in closed form; a Gaussian kernel as wide as examples differ."""

    def __init__(self, examples: NDArray[np.float32], labels: NDArray[np.integer]) -> None:
        if len(examples) != len(labels) or not len(examples):
            raise InputError(f"{len(examples)} examples with {len(labels)} labels teach nothing; give one for each.")
        self.examples, self.classes = examples, np.unique(labels)
        self.width = 2 * examples.shape[1] * max(float(examples.var()), 1e-6)
        kernel = self._kernel(examples)
        kernel[np.diag_indices(len(kernel))] += RIDGE
        targets = (labels[:, None] == self.classes) - 1 / len(self.classes)
        self.weights = np.linalg.solve(kernel, targets.astype(np.float32))

    def read(self, rows: NDArray[np.float32]) -> NDArray[np.integer]:
        """The label of each of rows (n, size)."""
        found: NDArray[np.integer] = self.classes[(self._kernel(rows) @ self.weights).argmax(axis=1)]
        return found

    def _kernel(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        squares = (rows**2).sum(axis=1)[:, None] + (self.examples**2).sum(axis=1) - 2 * rows @ self.examples.T
        near: NDArray[np.float32] = np.exp(-np.maximum(squares, 0) / self.width)
        return near
