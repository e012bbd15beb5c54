"""Bookmarks on the page Present: decks, their order and words, shown full screen or taken along as a file."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.errors import BraindashError
from braindash.runs.bookmarks import CAPTION, DECK_TITLE, TITLE, Bookmark, BookmarkStore
from braindash.ui import address, links, notices, permissions, readers
from braindash.ui.barrier import guarded_change
from braindash.ui.layout import CORTEX, ENCODING, SECTIONS
from braindash.ui.present_view import FILES
from braindash.ui.text import count, escape, moment, shorten

if TYPE_CHECKING:
    from braindash.figures.style import ThemeName
    from braindash.reports.deck import Deck, Slide

_PREVIEW, _WHOLE = 330, 640  # px: one slide, and the deck before it fills the screen
_SHOWING = "bookmarks_showing"
_PROBLEM = "bookmarks_problem"
_CHOSEN = "bookmark"  # in the address


@dataclass(frozen=True, eq=False)
class Opened:
    """A deck of bookmarks that is being looked at."""

    store: BookmarkStore
    id: str
    title: str
    as_of: tuple[Any, ...]
    bookmarks: tuple[Bookmark, ...]

    @property
    def sound(self) -> list[Bookmark]:
        return [b for b in self.bookmarks if not b.problem]


def section() -> None:
    """Draw the choice of a deck and everything that can be done with it."""
    store = BookmarkStore(readers.home())
    decks = {d.id: d for d in store.decks()}
    if not decks:
        _nothing_yet()
        return
    deck = links.select(
        "deck", "Deck", list(decks), names=lambda d: f"{shorten(decks[d].title, 60)} ({count(decks[d].n, 'view')})"
    )
    opened = Opened(store, deck, decks[deck].title, store.mark(deck), tuple(store.read(deck)))
    problem = st.session_state.pop(_PROBLEM, "")
    if problem:
        st.error(problem, icon=":material/error:")
    for broken in (b for b in opened.bookmarks if b.problem):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(escape(broken.problem), icon=":material/broken_image:")
            st.button("Remove", key=f"remove_{broken.id}", on_click=_remove, args=(opened, broken),
                      disabled=not permissions.may("arrange"))  # fmt: skip
    if not opened.sound:
        st.info("No bookmark of this deck can be read.", icon=":material/info:")
        return
    _actions(opened)
    order, preview = st.columns([2, 3], gap="large")
    with preview:
        chosen = _editor(opened)
    with order:
        _order(opened, chosen)
    _methods(opened)


def _nothing_yet() -> None:
    st.subheader("No view is kept yet")
    st.markdown(
        "On any page with a chart or a map, press **Bookmark this view** in the side bar. What you keep, from any "
        "run, is ordered into slides here, shown full screen, and taken along as HTML, PowerPoint or PDF."
    )
    with st.container(horizontal=True):
        for entry in (ENCODING, CORTEX):
            st.page_link(entry.path, label=entry.title, icon=entry.icon)


# --- the whole deck -------------------------------------------------------------------------------


def _actions(opened: Opened) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.session_state.get(_SHOWING) == opened.id:
            st.button("Close", icon=":material/close:", key="close_bookmarks", on_click=_show, args=(None,))
        else:
            st.button("Present", type="primary", icon=":material/slideshow:", key="present_bookmarks",
                      on_click=_show, args=(opened.id,))  # fmt: skip
        for kind, (title, mime, explanation) in FILES.items():
            st.download_button(
                title,
                data=functools.partial(deck_file, opened, kind),
                file_name=f"{opened.id}.{kind}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"download_bookmarks_{kind}",
                help=f"{explanation} It is made when you ask for it.",
            )
        st.caption(count(len(opened.sound), "view"), width="content")
    if st.session_state.get(_SHOWING) != opened.id:
        return
    try:
        with st.spinner("Drawing every view, in light and in dark …"):
            html = deck_file(opened, "html").decode()
    except BraindashError as error:
        notices.mistake(error)
        return
    st.iframe(html, height=_WHOLE, alt="The slides, one at a time")
    st.caption(
        "Click a slide, then: **F** full screen, arrow keys move, **R** reading view. The HTML file does the same "
        "without this page."
    )


def _show(deck: str | None) -> None:
    st.session_state[_SHOWING] = deck


def deck_file(opened: Opened, kind: str) -> bytes:
    """Return a deck as a file; pictures that were drawn before are not drawn again."""
    from braindash.runs.presenting import deck_bytes

    return deck_bytes(_deck(opened), kind, functools.partial(_drawn, opened))


def _deck(opened: Opened) -> Deck:
    from braindash.runs.bookmark_deck import deck_of

    return deck_of(opened.store, opened.title, opened.bookmarks)


def _drawn(opened: Opened, slide: Slide, theme: ThemeName, kind: Literal["png", "svg"]) -> bytes:
    return _picture(str(opened.store.folder), opened.id, slide.key, theme, kind)


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(folder: str, deck: str, bookmark: str, theme: ThemeName, kind: Literal["png", "svg"], /) -> bytes:
    """Return a bookmark's picture, which is the same for as long as it exists."""
    from braindash.runs.bookmark_deck import slide_of, stored_picture

    store = BookmarkStore(readers.home())
    one = next((b for b in store.read(deck) if b.id == bookmark), None)
    if one is None:
        raise BraindashError("This bookmark was removed meanwhile.", "Load the page again.")
    return stored_picture(store, [one])(slide_of(store, one), theme, kind)


# --- the list -------------------------------------------------------------------------------------


def _order(opened: Opened, chosen: str) -> None:
    st.subheader("Views")
    for i, one in enumerate(opened.sound, start=1):
        st.button(
            escape(f"{i}. {shorten(one.title, 70)}"),
            key=f"view_{one.id}",
            type="secondary" if one.id == chosen else "tertiary",
            on_click=_choose,
            args=(one.id,),
        )
    with st.expander("The deck's title", icon=":material/edit:"):
        key = f"deck_title_{opened.id}"
        st.session_state[key] = opened.title
        st.text_input("Title of the deck", key=key, max_chars=DECK_TITLE, on_change=_rename, args=(opened, key),
                      disabled=not permissions.may("arrange"))  # fmt: skip


def _choose(bookmark: str) -> None:
    address.write(**{_CHOSEN: bookmark})


# --- one bookmark ---------------------------------------------------------------------------------


def _editor(opened: Opened) -> str:
    st.subheader("One view")
    sound = {b.id: b for b in opened.sound}
    order = list(sound)
    titles = {b.id: f"{i}. {shorten(b.title, 70)}" for i, b in enumerate(opened.sound, start=1)}
    chosen = links.select(_CHOSEN, "View", order, names=titles.__getitem__)
    one, at = sound[chosen], order.index(chosen)
    fixed = not permissions.may("arrange")
    for field, label, most in (("title", "Title", TITLE), ("caption", "Caption", CAPTION)):
        key = f"bookmark_{field}_of_{one.id}"
        st.session_state[key] = getattr(one, field)
        st.text_input(label, key=key, max_chars=most, on_change=_reword, args=(opened, one, field, key), disabled=fixed)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Move up", icon=":material/arrow_upward:", key="bookmark_up", disabled=fixed or at == 0,
                  on_click=_move, args=(opened, one, -1), help=permissions.help_of("arrange"))  # fmt: skip
        st.button("Move down", icon=":material/arrow_downward:", key="bookmark_down",
                  disabled=fixed or at == len(order) - 1, on_click=_move, args=(opened, one, 1))  # fmt: skip
        with st.popover("Remove", icon=":material/delete:", disabled=fixed):
            st.text("The view goes out of this deck for good.")
            st.button("Remove it", type="primary", key="bookmark_remove", on_click=_remove, args=(opened, one))
        _live_view(one)
    _preview(opened, one)
    said = [one.statistics, f"Kept {moment(one.created)}.", *_whose(one)]
    with st.expander("Statistics and runs", icon=":material/notes:"):
        for line in filter(None, said):
            st.text(line)
    return chosen


def _live_view(one: Bookmark) -> None:
    """Offer the page that the view was kept from, as it was, or say why it is not there."""
    entry = next((p for pages in SECTIONS.values() for p in pages if p.url == one.page), None)
    gone = _gone(one)
    if entry is None:
        st.caption("Its page is not in this version.", width="content")
    elif gone:
        st.caption(
            escape(f"The live view is gone: {'a run of it was' if len(one.runs) > 1 else 'its run was'} deleted."),
            width="content",
            help=escape(", ".join(gone)),
        )
    else:
        st.page_link(entry.path, label="Open the live view", icon=":material/open_in_new:",
                     query_params=dict(one.params))  # fmt: skip


def _gone(one: Bookmark) -> list[str]:
    here = {row.id for row in readers.run_rows()}
    return [run for run in one.runs if run not in here]


def _whose(one: Bookmark) -> list[str]:
    gone = _gone(one)
    return [f"Run {run}{' (deleted since)' if run in gone else ''}" for run in one.runs]


def _preview(opened: Opened, one: Bookmark) -> None:
    from braindash.reports.html import html_text
    from braindash.runs.bookmark_deck import slide_of

    slide = slide_of(opened.store, one)
    try:
        with st.spinner("Drawing the slide …"):
            deck = replace(_deck(opened), slides=(slide,))
            html = html_text(deck, functools.partial(_drawn, opened))
    except BraindashError as error:
        notices.mistake(error)
        return
    with st.container(border=True):
        st.iframe(html, height=_PREVIEW, alt=f"Preview. {slide.title}. {slide.alt or ' '.join(slide.points)}")


def _methods(opened: Opened) -> None:
    """Show the methods of all runs of the deck and the works that they cite, folded in."""
    from braindash.reports.methods_joined import joined_bibtex, joined_methods
    from braindash.runs.bookmark_deck import made_by

    made = made_by(opened.store, opened.sound)
    with st.expander("Methods", icon=":material/article:"):
        if not made:
            st.text("No run of this deck has been evaluated, so there is nothing to say of methods.")
            return
        st.caption("Of every run in the deck, to copy into a paper; the last slides say the same.")
        st.code(joined_methods(made), language=None, wrap_lines=True)
        st.download_button("BibTeX", joined_bibtex(made), f"{opened.id}.bib", "application/x-bibtex",
                           icon=":material/download:", key="bookmarks_bibtex")  # fmt: skip


# --- changes --------------------------------------------------------------------------------------


def _changing(change: Any, *args: Any, **fields: Any) -> None:
    """Make a change; what hinders it is said when the page is drawn again."""
    try:
        permissions.require("arrange")
        change(*args, **fields)
    except BraindashError as error:
        st.session_state[_PROBLEM] = f"{escape(error.what)} {escape(error.remedy)}"


@guarded_change
def _reword(opened: Opened, one: Bookmark, field: str, key: str) -> None:
    st.session_state[_SHOWING] = None  # a deck on show would be drawn anew at every letter
    _changing(opened.store.change, one, **{field: str(st.session_state[key])})


@guarded_change
def _move(opened: Opened, one: Bookmark, by: int) -> None:
    _changing(opened.store.move, one, by)


@guarded_change
def _remove(opened: Opened, one: Bookmark) -> None:
    _changing(opened.store.remove, one)
    address.write(**{_CHOSEN: None})


@guarded_change
def _rename(opened: Opened, key: str) -> None:
    _changing(opened.store.rename, opened.id, str(st.session_state[key]))
