"""Views of pages that people keep: titled, captioned, in decks, each with its picture and its way back.

``home/bookmarks/<deck>/`` holds ``deck.json`` (title and order) and a folder a bookmark: ``bookmark.json`` says what it
is, ``figure.json`` or pictures hold what was seen, ``methods.json`` how its runs were made. So a bookmark outlives its
runs. A bookmark's folder appears whole or not at all; changes are made under a lock, to what the files hold at that
moment, so that two people who change one deck at once both find their change.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from braindash.config import Home
from braindash.errors import BraindashError, closest
from braindash.files import atomic_write, disk_errors, read_json, sync_folder, write_synced
from braindash.reports.deck import printable

BOOKMARKS = "bookmarks"  # in the home
VERSION = 1
USUAL = "Bookmarks"  # the deck that is offered first
MOST = 200  # bookmarks of one deck
MOST_DECKS = 200
LARGEST = 32_000_000  # bytes of one bookmark
TITLE, CAPTION, DECK_TITLE = 300, 1000, 80  # characters
Kind = Literal["chart", "picture", "text"]
KINDS: tuple[Kind, ...] = ("chart", "picture", "text")
FIGURE, METHODS = "figure.json", "methods.json"
_ABOUT, _DECK = "bookmark.json", "deck.json"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_DECK_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_FILE = re.compile(r"figure\.json|methods\.json|(light|dark)\.(png|svg)")
_PAGE = re.compile(r"[a-z0-9-]{1,40}")
_LOCK_SECONDS = 10.0
_TURNS_TEXT = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they change the order in which other text is read
_Words = str | list[str]


@dataclass(frozen=True)
class Bookmark:
    """One kept view.

    Attributes
    ----------
    title, caption : str
        In the reader's words.
    kind : "chart" | "picture" | "text"
        A plotly figure (``figure.json``), pictures (``light.png``, ``dark.svg`` …), or ``points``.
    page, params
        The page's address and what stands in it: the way back to the live view.
    alt, n, statistics : str
        What it shows in words, how many of what, and the sentence with intervals and tests.
    runs : tuple of str
        Ids of the runs whose numbers it shows.
    theme : str
        In which a chart's colours were drawn.
    caveats : tuple of str
        What every figure of its study must carry.
    created : float
        Seconds since 1970.
    id, deck : str
        Given when it is kept.
    problem : str
        Why it cannot be read; "" if it can.
    """

    title: str
    caption: str = ""
    kind: Kind = "chart"
    page: str = ""
    params: Mapping[str, _Words] = field(default_factory=dict)
    alt: str = ""
    n: str = ""
    statistics: str = ""
    runs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    theme: Literal["light", "dark"] = "light"
    caveats: tuple[str, ...] = ()
    created: float = 0.0
    id: str = ""
    deck: str = ""
    problem: str = ""


@dataclass(frozen=True)
class DeckEntry:
    """A deck in a list."""

    id: str
    title: str
    n: int


class BookmarkStore:
    """The bookmarks of one home."""

    def __init__(self, home: Home) -> None:
        self.folder = home.path / BOOKMARKS

    # --- reading ------------------------------------------------------------------------------

    def decks(self) -> list[DeckEntry]:
        """Return all decks, by title."""
        found = []
        for folder in self._folders():
            title, _ = _read_deck(folder)
            found.append(DeckEntry(folder.name, title, sum(1 for _ in _members(folder))))
        return sorted(found, key=lambda d: (d.title.casefold(), d.id))

    def find(self, name: str) -> DeckEntry:
        """Return a deck by id or title.

        Raises
        ------
        BraindashError
            If there is none, with the closest names.
        """
        decks = self.decks()
        for deck in decks:
            if name in (deck.id, deck.title) or name.casefold() == deck.title.casefold():
                return deck
        remedy = closest(name, [d.title for d in decks]) if decks else "Keep a view first: *Bookmark* on any page."
        raise BraindashError(f"There is no deck {name[:80]!r}.", remedy.replace("*", ""))

    def read(self, deck: str) -> list[Bookmark]:
        """Return a deck's bookmarks in their order; one that cannot be read says so in ``problem``."""
        folder = self._deck(deck)
        _, order = _read_deck(folder)
        known = {path.name: path for path in _members(folder)}
        ids = [i for i in dict.fromkeys(order) if i in known]
        ids += sorted(i for i in known if i not in order)
        return [read_bookmark(known[i]) for i in ids]

    def mark(self, deck: str) -> tuple[Any, ...]:
        """Return what changes whenever a deck does."""
        folder = self._deck(deck)
        times = []
        for path in (folder / _DECK, *(p / _ABOUT for p in sorted(_members(folder)))):
            try:
                stat = path.stat()
                times.append((path.parent.name, stat.st_mtime_ns, stat.st_size))
            except OSError:
                times.append((path.parent.name, 0, 0))
        return tuple(times)

    def file(self, bookmark: Bookmark, name: str) -> bytes | None:
        """Return one of a bookmark's files; None where it is not there.

        Raises
        ------
        BraindashError
            If it cannot be read, or is larger than a bookmark may be.
        """
        path = self._deck(bookmark.deck) / _checked(bookmark.id) / name
        if not _FILE.fullmatch(name):
            raise BraindashError(f"A bookmark has no file {name!r}.", "Choose another.")
        try:
            if path.stat().st_size > LARGEST:
                raise BraindashError(f"{path} is larger than a bookmark's file can be.", "Remove this bookmark.")
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BraindashError(f"{path} cannot be read ({error.strerror}).", "Remove this bookmark.") from error

    def figure(self, bookmark: Bookmark) -> dict[str, Any]:
        """Return a chart's figure as plain data.

        Raises
        ------
        BraindashError
            If it is not there or cannot be read.
        """
        data = self.file(bookmark, FIGURE)
        try:
            spec = json.loads(data or b"")
        except (ValueError, RecursionError):
            spec = None
        if not isinstance(spec, dict) or not isinstance(spec.get("data"), list):
            raise BraindashError(
                f"The figure of the bookmark “{bookmark.title}” cannot be read.", "Remove it and keep the view again."
            )
        return spec

    # --- changing -----------------------------------------------------------------------------

    def add(self, deck_title: str, bookmark: Bookmark, files: Mapping[str, bytes]) -> Bookmark:
        """Keep a view at the end of the deck of this title, which is made where there is none.

        Raises
        ------
        BraindashError
            If the deck is full, the view too large, or the home cannot be written.
        """
        size = sum(map(len, files.values()))
        if size > LARGEST:
            raise BraindashError(
                f"This view takes {size / 1e6:.0f} MB; a bookmark may take {LARGEST / 1e6:.0f} MB.",
                "Show less of it, or download it as a file.",
            )
        title = _line(deck_title, DECK_TITLE) or USUAL
        with self._locked():
            folder = self._folder_for(title)
            if sum(1 for _ in _members(folder)) >= MOST:
                raise BraindashError(f"The deck “{title}” holds {MOST} bookmarks.", "Choose or name another deck.")
            now = time.time()
            new = time.strftime("%Y%m%d-%H%M%S-", time.localtime(now)) + secrets.token_hex(3)
            kept = replace(bookmark, id=new, deck=folder.name, created=now, problem="")
            kept = _trimmed(kept)
            temporary = folder / f".creating-{new}"
            with disk_errors(temporary, "The bookmark"):
                try:
                    temporary.mkdir()
                    for name, data in files.items():
                        if not _FILE.fullmatch(name):
                            raise BraindashError(f"A bookmark has no file {name!r}.", "Choose another.")
                        write_synced(temporary / name, data)
                    write_synced(temporary / _ABOUT, _as_json(kept))
                    temporary.rename(folder / new)
                    sync_folder(folder)
                except BaseException:
                    shutil.rmtree(temporary, ignore_errors=True)
                    raise
            found, order = _read_deck(folder)
            _write_deck(folder, title if found == folder.name else found, [*order, new])
        return kept

    def change(self, bookmark: Bookmark, *, title: str | None = None, caption: str | None = None) -> None:
        """Give a bookmark another title or caption."""
        with self._locked():
            folder = self._deck(bookmark.deck) / _checked(bookmark.id)
            now = read_bookmark(folder)
            if now.problem:
                raise BraindashError(now.problem, "Remove this bookmark and keep the view again.")
            changed = replace(
                now, title=now.title if title is None else title, caption=now.caption if caption is None else caption
            )
            atomic_write(folder / _ABOUT, _as_json(_trimmed(changed)))

    def move(self, bookmark: Bookmark, by: int) -> None:
        """Move a bookmark up (negative) or down within its deck."""
        with self._locked():
            folder = self._deck(bookmark.deck)
            order = [b.id for b in self.read(bookmark.deck)]
            if bookmark.id not in order:
                raise _gone(bookmark)
            at = order.index(bookmark.id)
            to = min(max(at + by, 0), len(order) - 1)
            order.insert(to, order.pop(at))
            _write_deck(folder, _read_deck(folder)[0], order)

    def remove(self, bookmark: Bookmark) -> None:
        """Remove a bookmark; a deck without any goes too."""
        with self._locked():
            folder = self._deck(bookmark.deck)
            path = folder / _checked(bookmark.id)
            with disk_errors(path, "The bookmark"):
                aside = folder / f".removing-{bookmark.id}"
                if path.exists():
                    path.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
            title, order = _read_deck(folder)
            if not any(_members(folder)):
                shutil.rmtree(folder, ignore_errors=True)
                return
            _write_deck(folder, title, [i for i in order if i != bookmark.id])

    def rename(self, deck: str, title: str) -> None:
        """Give a deck another title."""
        with self._locked():
            folder = self._deck(deck)
            _write_deck(folder, _line(title, DECK_TITLE) or USUAL, _read_deck(folder)[1])

    # --- places -------------------------------------------------------------------------------

    def _folders(self) -> Iterator[Path]:
        try:
            yield from (p for p in sorted(self.folder.iterdir()) if _DECK_ID.fullmatch(p.name) and p.is_dir())
        except OSError:
            return

    def _deck(self, deck: str) -> Path:
        if not _DECK_ID.fullmatch(deck) or not (self.folder / deck).is_dir():
            raise BraindashError(f"There is no deck {deck[:80]!r}.", "Choose another.")
        return self.folder / deck

    def _folder_for(self, title: str) -> Path:
        """Return the folder of the deck of this title; made where there is none."""
        for folder in self._folders():
            if _read_deck(folder)[0].casefold() == title.casefold():
                return folder
        if sum(1 for _ in self._folders()) >= MOST_DECKS:
            raise BraindashError(f"There are {MOST_DECKS} decks.", "Keep the view in one of them.")
        folder = self.folder / deck_id(title)
        with disk_errors(folder, "The deck"):
            folder.mkdir(exist_ok=True)
        if not (folder / _DECK).exists():
            _write_deck(folder, title, [])
        return folder

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        with disk_errors(self.folder, "The folder of bookmarks"):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=_LOCK_SECONDS)
        try:
            with disk_errors(self.folder, "The folder of bookmarks"):
                lock.acquire()
        except Timeout:
            raise BraindashError(
                f"The bookmarks are held by another process for more than {_LOCK_SECONDS:.0f} s.",
                "Try again in a moment.",
            ) from None
        try:
            yield
        finally:
            lock.release()


def read_bookmark(folder: Path) -> Bookmark:
    """Return the bookmark in a folder. Never raises: see ``Bookmark.problem``."""
    try:
        data = read_json(folder / _ABOUT)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        return _unreadable(folder, f"{folder / _ABOUT} cannot be read: {why}.")
    if not isinstance(data, dict):
        return _unreadable(folder, f"{folder / _ABOUT} is damaged.")
    if not isinstance(data.get("braindash"), int) or data["braindash"] > VERSION:
        return _unreadable(folder, f"{folder / _ABOUT} is of another version of braindash.")
    kind = data.get("kind")
    if kind not in KINDS or not isinstance(data.get("title"), str):
        return _unreadable(folder, f"{folder / _ABOUT} is damaged.")
    params = data.get("params")
    created = data.get("created")
    page = data.get("page")
    return _trimmed(
        Bookmark(
            title=data["title"],
            caption=_string(data.get("caption")),
            kind=kind,
            page=page if isinstance(page, str) and _PAGE.fullmatch(page) else "",
            params=_params(params) if isinstance(params, dict) else {},
            alt=_string(data.get("alt")),
            n=_string(data.get("n")),
            statistics=_string(data.get("statistics")),
            runs=_strings(data.get("runs")),
            points=_strings(data.get("points")),
            theme="dark" if data.get("theme") == "dark" else "light",
            caveats=_strings(data.get("caveats")),
            created=float(created) if isinstance(created, int | float) and not isinstance(created, bool) else 0.0,
            id=folder.name,
            deck=folder.parent.name,
        )
    )


def deck_id(title: str) -> str:
    """Return the folder's name of a deck: readable, and another for every title."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")
    if plain == title.casefold() and _DECK_ID.fullmatch(plain):
        return plain
    mark = blake2b(title.casefold().encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{plain[:40].strip('-') or 'deck'}-{mark}"


# --- files ----------------------------------------------------------------------------------------


def _members(folder: Path) -> Iterator[Path]:
    try:
        yield from (p for p in folder.iterdir() if _ID.fullmatch(p.name) and p.is_dir())
    except OSError:
        return


def _read_deck(folder: Path) -> tuple[str, list[str]]:
    """Return a deck's title and order; where they cannot be read, the folder's name and no order."""
    try:
        data = read_json(folder / _DECK)
        return _line(data["title"], DECK_TITLE) or folder.name, [str(i) for i in data["order"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return folder.name, []


def _write_deck(folder: Path, title: str, order: list[str]) -> None:
    atomic_write(folder / _DECK, json.dumps({"braindash": VERSION, "title": title, "order": order}, indent=1))


def _as_json(bookmark: Bookmark) -> bytes:
    data = {k: v for k, v in asdict(bookmark).items() if k not in ("id", "deck", "problem")}
    return json.dumps({"braindash": VERSION, **data}, indent=1).encode()


def _trimmed(bookmark: Bookmark) -> Bookmark:
    return replace(
        bookmark,
        title=_line(bookmark.title, TITLE) or "Untitled",
        caption=_line(bookmark.caption, CAPTION),
        alt=_line(bookmark.alt, 2000),
        n=_line(bookmark.n, 600),
        statistics=_line(bookmark.statistics, 1000),
        runs=tuple(r[:200] for r in bookmark.runs[:50]),
        points=tuple(_line(p, 2000) for p in bookmark.points[:40]),
        caveats=tuple(_line(c, 600) for c in bookmark.caveats[:10]),
        params=_params(bookmark.params),
    )


def _params(params: Mapping[str, Any]) -> dict[str, _Words]:
    kept: dict[str, _Words] = {}
    for key, value in list(params.items())[:60]:
        if isinstance(value, list | tuple):
            kept[printable(str(key))[:100]] = [printable(str(v))[:2000] for v in value[:200]]
        else:
            kept[printable(str(key))[:100]] = printable(str(value))[:2000]
    return kept


def _unreadable(folder: Path, problem: str) -> Bookmark:
    return Bookmark("A bookmark that cannot be read", id=folder.name, deck=folder.parent.name, problem=problem)


def _gone(bookmark: Bookmark) -> BraindashError:
    return BraindashError(f"The bookmark “{bookmark.title}” was removed meanwhile.", "Load the page again.")


def _checked(bookmark_id: str) -> str:
    if not _ID.fullmatch(bookmark_id):
        raise BraindashError(f"There is no bookmark {bookmark_id[:80]!r}.", "Choose another.")
    return bookmark_id


def _line(text: Any, most: int) -> str:
    return printable(_TURNS_TEXT.sub("", text))[:most] if isinstance(text, str) else ""


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
