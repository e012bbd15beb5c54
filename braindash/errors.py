"""Errors that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BraindashError(Exception):
    """A mistake or lack that the user can mend.

    The command line prints it as one line and exits with 2; a page shows it as
    a plain message. Anything else that is raised is a defect of braindash.

    Parameters
    ----------
    what : str
        What was wrong, with the offending value. One sentence.
    remedy : str
        What to do next. One sentence, or a command.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what.strip()
        self.remedy = remedy.strip()
        super().__init__(f"{self.what} {self.remedy}")


class NotDownloadedError(BraindashError):
    """A data file is a placeholder (git-annex, datalad) whose content is not here."""


class LeakageError(BraindashError):
    """Something fitted, tuned or chosen would have seen a test story."""


class RunStateError(BraindashError):
    """The run is not in a state that allows what was asked."""


def closest(value: str, known: Iterable[str], n: int = 3) -> str:
    """Return a short phrase that offers the known names nearest to ``value``.

    >>> closest("wavlm-bse", ["wavlm-base", "hubert-base"])
    'Did you mean wavlm-base?'
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(value, names, n=n, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(names)}." if names else "None are known yet."
