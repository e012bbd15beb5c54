"""Files and folders that are there whole or not at all, a full disk said in words, and files read without trust.

A new file is written beside its name, flushed to the disk and renamed; the folder's
entries are flushed after it. A process killed, or a power cut, at any moment leaves
the old one or the new one. What is read may have been damaged, or made to do damage:
reading never waits for a pipe, and what is nested or repeated beyond measure is a ValueError.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from braindash.errors import BraindashError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
DEEPEST = 100  # of what is nested in YAML; its parser in C ends the process at some ten thousand
MOST_NODES = 10**6  # of a YAML document with its repetitions written out
FREE_SOME = "Free some space (`braindash cache prune` clears what can be computed again) and try again."


@contextmanager
def disk_errors(path: Path, what: str = "", remedy: str = FREE_SOME) -> Iterator[None]:
    """Turn an OSError of the disk while ``path`` is written into a BraindashError; others pass.

    Parameters
    ----------
    path : Path
        File or folder.
    what : str
        What is being written, in words; the path itself when empty.
    remedy : str
        What to do where the disk is full.
    """
    try:
        yield
    except OSError as error:
        what = f"{what} ({path})" if what else str(path)
        if error.errno in FULL:
            raise BraindashError(
                f"The disk is full ({error.strerror}): {what} could not be written.", remedy
            ) from error
        if error.errno in FORBIDDEN:
            raise BraindashError(
                f"{what} may not be written ({error.strerror}).",
                "Choose a home that you may write to, with --home or $BRAINDASH_HOME.",
            ) from error
        if error.errno == errno.EIO:
            raise BraindashError(
                f"The disk reports an error ({error.strerror}): {what} could not be written.",
                "Check the disk, then try again; what was written before is untouched.",
            ) from error
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the name ``path`` when the block ends, flushed to the disk.

    Where the block fails there is no trace of it, and a file that has the name stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes to ``path``: a reader sees the old file or the new one, never a part of either.

    Raises
    ------
    BraindashError
        If the disk is full or the folder may not be written.
    """
    with disk_errors(path), whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file of a folder that has no name yet, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_tree(folder: Path) -> None:
    """Wait until every file below ``folder``, written by others (numpy, zarr), and every entry is on the disk."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the entries of a folder are on the disk, so that a rename in it survives a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(temporary: Path, final: Path) -> None:
    """Rename ``temporary`` to ``final``; a folder that has that name is moved aside first, then removed."""
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    temporary.rename(final)
    sync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)


# --- reading -------------------------------------------------------------------------------------


@contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading. A folder, a device or a pipe (which would wait for a writer) is an OSError."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        file = os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
    with file:
        yield file


def read_file(path: Path) -> bytes:
    """Return the content of a regular file. Raises OSError, and never waits."""
    with regular_file(path) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """Return what a JSON file in UTF-8 holds. Raises OSError, or ValueError where its content cannot be read."""
    return parse_json(read_file(path))


def parse_json(text: str | bytes) -> Any:
    """Return what JSON in UTF-8 holds. Raises ValueError, also where it is nested beyond measure."""
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Return what a YAML document holds.

    Raises
    ------
    yaml.YAMLError
        Where it is not YAML.
    ValueError
        Where it is nested deeper than `DEEPEST`, or repeats itself (aliases) to more than
        `MOST_NODES` values.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there
    try:
        _measure_yaml(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)
    except (AttributeError, TypeError, KeyError, OverflowError) as error:  # a value that its tag does not fit
        raise ValueError(" ".join(str(error).split())) from None


def _measure_yaml(events: Any) -> None:
    """Raise ValueError where a YAML document is too deep or, with its aliases written out, too large."""
    import yaml

    open_nodes: list[tuple[str | None, int]] = []  # anchor of a collection, and the values before it
    size_of: dict[str, int] = {}
    total = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                size_of[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ValueError(f"it holds an anchor that contains itself ({event.anchor!r})")
            total += size_of.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
        if total > MOST_NODES:
            raise ValueError(f"it holds more than {MOST_NODES:,} values")
