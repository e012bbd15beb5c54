"""What a partition of a run left: read without importing what it was computed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindash.runs import shapes
from braindash.runs.documents import read_document

PARTITION = "partition.json"


def read_partition(folder: Path) -> dict[str, Any] | None:
    """Return what `partition_run` wrote into a run's folder, or None; missing numbers come back as NaN.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    return read_document(folder / PARTITION, "partition", "partition", shape=shapes.PARTITION)
