"""Table 1 of the paper, its fourteen rows run again: `rows.ROWS` lists them, `record.run` runs one."""

from __future__ import annotations

from .pieces import Pieces
from .record import compare, mcnemar, read, rest, run, write
from .row import Job, Outcome, Row
from .rows import ROWS, row_named

__all__ = ["ROWS", "Job", "Outcome", "Pieces", "Row", "compare", "mcnemar", "read", "rest", "row_named", "run", "write"]
