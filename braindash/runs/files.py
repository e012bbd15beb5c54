"""Small files that survive a crash: written whole or not at all, appended by the line."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from braindash.errors import BraindashError

log = logging.getLogger(__name__)

TAIL_BYTES = 256 * 1024


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission while writing ``path`` into a BraindashError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BraindashError(
                f"The disk is full: {path} could not be written.",
                "Free some space (`braindash cache prune` clears what can be computed again) and try again.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise BraindashError(
                f"{path} may not be written ({error.strerror}).",
                "Choose a home that you may write to, with --home or $BRAINDASH_HOME.",
            ) from error
        raise


def atomic_write(path: Path, text: str) -> None:
    """Write ``text`` to ``path``: a sibling temporary file, fsync, rename, fsync of the folder.

    A reader sees the old file or the new one, never a part of either.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    """Return the whole JSON lines from byte ``offset`` on, and the offset to go on from.

    A last line still being written is left for the next call. A line that is
    not a JSON object (cut short by a crash) is skipped and logged.
    """
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            if offset > file.tell():  # the file was rewritten: start again
                offset = 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    end = data.rfind(b"\n") + 1
    rows = []
    for line in data[:end].splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            log.warning("%s: skipped a damaged line of %d bytes", path, len(line))
    return rows, offset + end


def tail(path: Path, n: int) -> str:
    """Return the last ``n`` lines of a text file ("" if absent); of a redrawn line, its last state."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines[-n:])
