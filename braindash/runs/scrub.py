"""Taking what belongs to one machine out of a run's files: paths, the user's and the host's name."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# a path that starts at a root, a home or a drive; URLs, fractions and "and/or" are none
_REST = r"[^\s\"'`<>|*?:;,()\[\]{}]*"
_PATH = re.compile(rf"(?:(?<![\w.~:/\\-])(?:~[\w.-]*|[A-Za-z]:)?[/\\]{{1,2}}|(?<=:)[/\\])(?=[\w.~]){_REST}")
_QUOTED = re.compile(r"([\"'`])((?:~[\w.-]*|[A-Za-z]:)?[/\\](?=[\w.~/])[^\"'`\n]*)\1")
PRIVATE = frozenset(
    {"host", "hostname", "user", "username", "pid", "pid_start", "boot_id", "cwd", "argv", "home", "launched_by"}
)
# names that say nothing of anybody
COMMON = frozenset({"root", "user", "users", "home", "admin", "ubuntu", "debian", "localhost", "jovyan", "nobody"})
REMEMBERED = 60  # characters
SHORTEST = 3  # letters of a name that can be told from words


class Scrubber:
    """Replaces absolute paths by their last part, and the names of user and host by those words.

    Parameters
    ----------
    home : Path
        The home that is exported from.
    known : iterable of str
        Further paths that texts may hold.
    keep : iterable of str
        Identifiers (study, subjects, stories, regions) whose words are left, even if a user is called so.
    """

    def __init__(self, home: Path, keep: Iterable[str] = (), known: Iterable[str] = ()) -> None:
        kept = {word for text in keep for word in re.split(r"[^A-Za-z0-9]+", text)} | set(keep)
        roots = {str(home), str(Path.home()), str(Path.cwd()), sys.prefix, tempfile.gettempdir(), *known}
        roots |= {str(Path(__file__).resolve().parents[2])}
        # literally first: a root may hold blanks, which end a path for the pattern
        self._roots = [
            re.compile(re.escape(root) + rf"(?![\w.-])(?:[/\\]{_REST})?")
            for root in sorted((r for r in roots if len(r) > 1), key=len, reverse=True)
        ]
        self._known: dict[str, str] = {}
        self._names = [
            (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"), word)
            for name, word in self._machine_names()
            if name not in kept
        ]

    @staticmethod
    def _machine_names() -> list[tuple[str, str]]:
        users, hosts = {os.environ.get(k, "") for k in ("USER", "LOGNAME", "USERNAME")} | {Path.home().name}, set()
        with contextlib.suppress(Exception):  # no name for this user id
            users.add(getpass.getuser())
        hosts |= {socket.gethostname(), socket.gethostname().partition(".")[0]}
        found = [(h, "host") for h in hosts] + [(u, "user") for u in users]
        usable = [(n, w) for n, w in found if len(n) >= SHORTEST and n.lower() not in COMMON]
        return sorted(usable, key=lambda pair: len(pair[0]), reverse=True)

    def text(self, text: str) -> str:
        """Return a text without paths and names.

        >>> Scrubber(Path("/nowhere")).text("from /srv/models/tiny, see https://host.org/a/b; r/ceiling 1/2")
        'from tiny, see https://host.org/a/b; r/ceiling 1/2'
        """
        known = self._known.get(text)
        if known is None:
            known = self._clean(text)
            if len(text) <= REMEMBERED:  # records repeat the same few names a hundred thousand times
                self._known[text] = known
        return known

    def _clean(self, text: str) -> str:
        text = re.sub(r"\bfile:/+", "/", text)
        if _is_path(text):
            text = _last(text)
        for root in self._roots:
            text = root.sub(lambda m: _last(m.group()), text)
        text = _QUOTED.sub(lambda m: f"{m.group(1)}{_last(m.group(2))}{m.group(1)}", text)
        text = _PATH.sub(lambda m: _last(m.group()), text)
        for pattern, word in self._names:
            text = pattern.sub(word, text)
        return text

    def data(self, value: Any) -> Any:
        """Return a JSON value with all its texts cleaned and keys such as ``host`` and ``pid`` left out."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(k): self.data(v) for k, v in value.items() if k not in PRIVATE}
        if isinstance(value, list | tuple):
            return [self.data(v) for v in value]
        return value


def _is_path(text: str) -> bool:
    """Whether the whole text is one path, blanks and all, not a sentence that begins with one."""
    begins = re.match(r"(?:~[\w.-]*)?/(?=.)|[A-Za-z]:[\\/]|\\\\", text)
    return bool(begins) and not re.search(r"[\n,;:\"'`]|\s[/~\\]|\s[A-Za-z]:", text[2:])


def _last(path: str) -> str:
    return re.split(r"[/\\]+", path.rstrip("/\\."))[-1]
