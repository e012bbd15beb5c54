"""Files that are there, missing, or only promised by datalad and git-annex."""

from __future__ import annotations

import os
from pathlib import Path

from braindash.errors import BraindashError, NotDownloadedError

# A pointer file is a short text in place of the content; both kinds start like this.
_POINTERS = (b"/annex/objects/", b"version https://git-lfs.github.com/spec/")
_POINTER_SIZE = 4096  # bytes; real audio and responses are larger, so most files are never opened here


def is_placeholder(path: Path) -> bool:
    """Return whether ``path`` stands for content that was not fetched (broken annex link, pointer text)."""
    if path.is_symlink() and not path.exists():
        return "annex" in path.readlink().parts
    try:
        if not path.is_file() or path.stat().st_size > _POINTER_SIZE:
            return False
        with path.open("rb") as f:
            return f.read(64).startswith(_POINTERS)
    except OSError:
        return False


def require_file(path: Path, what: str) -> Path:
    """Return ``path`` if it is a file with content; raise otherwise.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, for the message: "audio file", "response file".

    Raises
    ------
    NotDownloadedError
        A git-annex link or pointer text whose content is not here.
    BraindashError
        Missing, a folder, a dangling link, not readable, or empty.
    """
    if is_placeholder(path):
        raise NotDownloadedError(f"The {what} {path} is not downloaded.", f"Run `datalad get {path}`.")
    if path.is_symlink() and not path.exists():
        raise BraindashError(
            f"The {what} {path} is a link to {path.readlink()}, which does not exist.", "Mend or replace the link."
        )
    if not path.exists():
        raise BraindashError(f"There is no {what} {path}.", "Check the path and its spelling.")
    if not path.is_file():
        raise BraindashError(f"The {what} {path} is not a file.", "Name a file.")
    if not os.access(path, os.R_OK):
        raise BraindashError(f"The {what} {path} may not be read by this user.", "Change its permissions.")
    if path.stat().st_size == 0:
        raise BraindashError(f"The {what} {path} is empty (0 bytes).", "Copy or download it again.")
    return path
