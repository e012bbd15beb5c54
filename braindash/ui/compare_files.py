"""Tables of the page Compare as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV; text that a spreadsheet would compute begins with an apostrophe."""
    safe = table.copy()
    for column in safe.columns:
        if not _is_number(safe[column]):
            safe[column] = [_cell(value) for value in safe[column]]
    return bytes(safe.to_csv(index=False).encode("utf-8"))


def _is_number(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "iufMb" or str(column.dtype) == "Int64"


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
