"""What an analysis of a run leaves as one JSON file: its settings, and rows whose missing numbers are null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from braindash.errors import BraindashError
from braindash.files import atomic_write, read_json
from braindash.runs.files import to_json
from braindash.runs.shapes import Shape, checked

ANY = Shape()  # any mapping


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``document`` whole or not at all; NaN becomes null."""
    atomic_write(path, to_json(document) + "\n")


def read_document(
    path: Path, what: str, verb: str, tables: Sequence[str] = ("rows",), shape: Shape = ANY
) -> dict[str, Any] | None:
    """Return what `write_document` wrote, or None where there is nothing; nulls of ``tables`` come back as NaN.

    Parameters
    ----------
    path : Path
        A file in a run's folder.
    what, verb : str
        What it is called, and the verb of the command line that makes it again.
    tables : sequence of str
        Keys that hold lists of rows.
    shape : Shape
        What readers of the document rely on.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    try:
        data = checked(read_json(path), shape, tables)
        whole = {
            table: [{k: float("nan") if v is None else v for k, v in row.items()} for row in data[table]]
            for table in tables
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        run = path.parent.name
        raise BraindashError(
            f"The {what} of run {run} cannot be read ({error}).", f"Make it again: braindash {verb} {run}"
        ) from None
    return {**data, **whole}
