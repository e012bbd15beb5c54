"""What a run writes as text: strict JSON, lines appended so that a crash costs one at most, tails."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from braindash.files import disk_errors, parse_json, regular_file

log = logging.getLogger(__name__)

TAIL_BYTES = 256 * 1024


def to_json(data: Any) -> str:
    """Return strict JSON; numpy scalars become numbers, NaN and infinities null."""
    return json.dumps(_plain(data), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist") and not isinstance(value, str | bytes):  # numpy arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, str | int | bool) or value is None:
        return value
    return str(value)


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append one JSON object as a line; a line that a crash cut short is closed off first."""
    data = (to_json(row) + "\n").encode()
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                data = b"\n" + data
            while data:  # a disk that fills up takes a part first, then refuses
                data = data[os.write(handle, data) :]
        finally:
            os.close(handle)


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the whole JSON lines from byte ``offset`` on, and the offset to go on from; see `read_rows`."""
    rows, _, offset = read_rows(path, offset)
    return rows, offset


def read_rows(
    path: Path, offset: int = 0, sound: Callable[[dict[str, Any]], bool] = bool
) -> tuple[list[dict[str, Any]], int, int]:
    """Return the whole JSON lines from byte ``offset`` on, how many were damaged, and the offset to go on from.

    A last line still being written is left for the next call. A line that is not a JSON object (cut
    short by a crash), or is not ``sound``, is skipped, counted and logged.

    Raises
    ------
    OSError
        Where the file is there but cannot be read.
    """
    try:
        with regular_file(path) as file:
            file.seek(0, os.SEEK_END)
            if offset > file.tell():  # the file was rewritten: start again
                offset = 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0, 0
    end = data.rfind(b"\n") + 1
    rows = []
    n_damaged = 0
    for line in data[:end].splitlines():
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and sound(row):
            rows.append(row)
        else:
            n_damaged += 1
            log.warning("%s: skipped a damaged line of %d bytes", path, len(line))
    return rows, n_damaged, offset + end


def tail(path: Path, n: int) -> str:
    """Return the last ``n`` lines of a text file ("" if absent); of a redrawn line, its last state."""
    try:
        with regular_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines[-n:])
