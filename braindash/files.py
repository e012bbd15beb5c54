"""Files and folders that are there whole or not at all, and a full disk said in words.

A new file is written beside its name, flushed to the disk and renamed; the folder's
entries are flushed after it. A process killed, or a power cut, at any moment leaves
the old one or the new one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from braindash.errors import BraindashError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
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
