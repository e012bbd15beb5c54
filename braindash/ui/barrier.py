"""The last barrier of every page: what nobody foresaw is said in plain words; its traceback goes to the log."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeGuard, TypeVar

import streamlit as st
from streamlit.errors import FragmentHandledException

from braindash.errors import BraindashError
from braindash.ui import address, notices
from braindash.ui.text import escape

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
_FAILED = "change_failed"  # the error that a callback met, until it is said
NOT_DONE = "What you asked for may not have been done; it met an error"
LOOK = "Look whether it was, then try again. More is in the file"
WHAT = "This page met an error that it was not written for."
REMEDY = (
    "Nothing was changed in the home. Load the page again, or choose another run or study. If it comes again, that is "
    "a defect of braindash: report it with the file"
)


def guarded(draw: Callable[P, T]) -> Callable[P, T | None]:
    """Return ``draw`` with a barrier: an error ends what it draws with a message, never with a traceback.

    For the router, and for every fragment: those are drawn again without the router. What Streamlit itself
    raises to stop or to run a page again passes. What a callback met before is said first, see `guarded_change`.
    """

    @functools.wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            address.heal()
            _say_failed()
            drawn = draw(*args, **kwargs)
            notices.say_told()
            return drawn
        except FragmentHandledException:  # a fragment has said it
            raise
        except BraindashError as error:
            notices.mistake(error)
        except Exception as error:  # the last barrier: said, logged and kept with its traceback
            say(error)
        return None

    return inner


def guarded_change(change: Callable[P, None]) -> Callable[P, None]:
    """Return a widget's callback with a barrier: what it meets is said where the page or fragment is drawn next.

    Callbacks run before anything is drawn, outside `guarded`: Streamlit would show its own message of an error.
    """

    @functools.wraps(change)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            change(*args, **kwargs)
        except Exception as error:  # the last barrier: said, logged and kept with its traceback
            st.session_state[_FAILED] = error

    return inner


def _say_failed() -> None:
    error = st.session_state.pop(_FAILED, None)
    if isinstance(error, BraindashError):
        notices.mistake(error)
    elif isinstance(error, Exception):
        kept = keep(error)
        log.error("A change failed; the traceback is kept in %s", kept, exc_info=error)
        file = f" \\({escape(error.strerror)}\\) at {escape(error.filename)}" if _is_of_a_file(error) else ""
        st.error(
            f"{NOT_DONE}{file}. {LOOK} {escape(kept)} on the machine that serves this page.", icon=":material/error:"
        )


def _is_of_a_file(error: Exception) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.filename is not None


def say(error: Exception) -> None:
    """Say that something was not foreseen, and where its traceback is kept."""
    kept = keep(error)
    log.error("A page failed; the traceback is kept in %s", kept, exc_info=error)
    if _is_of_a_file(error):
        st.error(
            f"A file that this page shows could not be read or written \\({escape(error.strerror)}\\): "
            f"{escape(error.filename)} Load the page again; if it was removed or moved meanwhile, another run or study "
            f"can be chosen. More is in the file {escape(kept)} on the machine that serves this page.",
            icon=":material/error:",
        )
        return
    st.error(f"{WHAT} {REMEDY} {escape(kept)} on the machine that serves this page.", icon=":material/error:")


def keep(error: Exception) -> Path:
    """Write the traceback to a temporary file, once for all errors of one kind at one place; return its path."""
    told = "".join(traceback.format_exception(error))
    places = "".join(f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__))
    mark = hashlib.blake2b(f"{type(error).__name__} {places}".encode(), digest_size=5).hexdigest()
    path = Path(tempfile.gettempdir()) / f"braindash-error-{mark}.txt"
    try:
        # never through a link that another user of the machine has laid there
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path
    except OSError as failed:
        log.warning("%s cannot be written (%s)", path, failed)
        return path
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(told)
    return path
