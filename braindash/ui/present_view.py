"""The slides of one run: a list to choose from, one to look at and reword, and the whole deck shown or as a file."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.errors import BraindashError
from braindash.runs.presenting import (
    LONGEST,
    Arranged,
    arrange,
    arrangement_path,
    built_deck,
    complete,
    deck_bytes,
    read_arrangement,
    reworded,
    write_arrangement,
)
from braindash.ui import links, notices, permissions, readers
from braindash.ui.text import count, escape, shorten

if TYPE_CHECKING:
    from braindash.figures.style import ThemeName
    from braindash.reports.deck import Deck, Slide
    from braindash.runs.run import Run

FILES = {
    "html": ("HTML", "text/html", "One file that opens without a server or a network; arrow keys move."),
    "pptx": (
        "PowerPoint",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "Titles, captions and notes can be edited.",
    ),
    "pdf": ("PDF", "application/pdf", "One slide a page; text can be searched."),
}
_READ = ("records.json", "probing.json", "rsa.json", "hierarchy.json", "config.yaml", "provenance.json")
_PREVIEW, _WHOLE = 330, 640  # px: one slide, and the deck before it fills the screen


@dataclass(frozen=True, eq=False)
class Shown:
    """A run's deck as it was built, and how the reader has arranged it."""

    run: Run
    built: Deck
    as_of: tuple[Any, ...]  # the state of the files that it was built from
    arranged: tuple[Arranged, ...]

    @property
    def chosen(self) -> int:
        return sum(a.shown for a in self.arranged)


def open_deck(run: Run) -> Shown:
    """Return a run's deck with its arrangement.

    Raises
    ------
    BraindashError
        Where its results cannot be read.
    """
    from braindash.runs.results import ATTRS, RESULTS

    files = tuple(readers.mark(run.path / name) for name in (*_READ, f"{RESULTS}/{ATTRS}"))
    as_of = (*files, readers.study_mark(run.config.study))
    with st.spinner("Putting the slides together …"):
        built = _built(str(run.path), as_of)
    unsaved = st.session_state.get(_unsaved_key(run.id))
    kept = read_arrangement(readers.home(), run.id) if unsaved is None else unsaved
    return Shown(run, built, as_of, tuple(complete(built, kept)))


@st.cache_resource(max_entries=8, show_spinner=False)
def _built(path: str, as_of: tuple[Any, ...], /) -> Deck:
    run = readers.store().get(Path(path).name)
    return built_deck(run, lambda: readers.study(run.config.study))


@st.cache_data(max_entries=256, show_spinner=False)
def _picture(path: str, as_of: tuple[Any, ...], key: str, theme: ThemeName, kind: Literal["png", "svg"], /) -> bytes:
    from braindash.reports.pictures import draw

    return draw(next(s for s in _built(path, as_of).slides if s.key == key), theme, kind)


def deck_file(path: str, as_of: tuple[Any, ...], arranged: tuple[Arranged, ...], kind: str) -> bytes:
    """Return the arranged deck as a file; figures that were drawn before are not drawn again."""

    def picture(slide: Slide, theme: ThemeName, image: Literal["png", "svg"]) -> bytes:
        return _picture(path, as_of, slide.key, theme, image)

    return deck_bytes(arrange(_built(path, as_of), arranged), kind, picture)


# --- the whole deck -------------------------------------------------------------------------------


def actions(shown: Shown) -> None:
    """Offer to present the deck, or to take it along; say what could not be made a slide."""
    problem = st.session_state.pop(_problem_key(shown.run.id), "")
    if problem:
        st.warning(f"Your changes hold for this visit only. {escape(problem)}", icon=":material/lock:")
    showing = _showing_key(shown.run.id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.session_state.get(showing):
            st.button("Close", icon=":material/close:", key="close_deck", on_click=_show, args=(showing, False))
        else:
            st.button(
                "Present", type="primary", icon=":material/slideshow:", key="present_deck", disabled=not shown.chosen,
                on_click=_show, args=(showing, True),
            )  # fmt: skip
        for kind, (title, mime, explanation) in FILES.items():
            st.download_button(
                title,
                data=functools.partial(deck_file, str(shown.run.path), shown.as_of, shown.arranged, kind),
                file_name=f"{shown.run.id}.{kind}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"download_deck_{kind}",
                disabled=not shown.chosen,
                help=f"{explanation} It is made when you ask for it, within a minute.",
            )
        st.caption(f"{shown.chosen} of {count(len(shown.arranged), 'slide')} chosen", width="content")
    if not shown.chosen:
        st.info("No slide is chosen. Choose at least one to present.", icon=":material/info:")
    elif st.session_state.get(showing):
        try:
            with st.spinner("Drawing every figure, in light and in dark. The first time takes a minute …"):
                html = deck_file(str(shown.run.path), shown.as_of, shown.arranged, "html").decode()
        except BraindashError as error:
            notices.mistake(error)
            return
        st.iframe(html, height=_WHOLE, alt="The slides, one at a time")
        st.caption(
            "Click a slide, then: **F** full screen, arrow keys move, **R** reading view. The HTML file does the same "
            "without this page."
        )
    for sentence in shown.built.left_out:
        st.text(f"Not among the slides. {sentence}")


def _show(key: str, value: bool) -> None:
    st.session_state[key] = value


# --- the list -------------------------------------------------------------------------------------


def slides(shown: Shown) -> None:
    """Draw every slide with a mark that says whether it is shown, in their order."""
    st.subheader("Slides")
    by_key = {s.key: s for s in shown.built.slides}
    for i, one in enumerate(shown.arranged, start=1):
        key = _widget("shown", shown, one.key)
        st.session_state[key] = one.shown
        title = reworded(by_key[one.key], one).title
        st.checkbox(escape(f"{i}. {shorten(title, 70)}"), key=key, on_change=_check, args=(shown, one.key, key))
    st.button(
        "All as built",
        icon=":material/undo:",
        key="reset_deck",
        disabled=tuple(shown.arranged) == tuple(complete(shown.built, ())),
        on_click=_keep,
        args=(shown, ()),
        help="Every slide, in the first order, with its own title and caption.",
    )


def _check(shown: Shown, key: str, widget: str) -> None:
    _change(shown, key, shown=bool(st.session_state[widget]))


# --- one slide ------------------------------------------------------------------------------------


def editor(shown: Shown) -> None:
    """Draw one slide as it will be shown, and let the reader move and reword it."""
    by_key = {s.key: s for s in shown.built.slides}
    order = [a.key for a in shown.arranged]
    place = {key: i for i, key in enumerate(order)}
    st.subheader("One slide")
    titles = {
        a.key: f"{i}. {shorten(reworded(by_key[a.key], a).title, 70)}" for i, a in enumerate(shown.arranged, start=1)
    }
    key = links.select("slide", "Slide", order, names=titles.__getitem__)
    own = by_key[key]
    one = shown.arranged[place[key]]
    said = reworded(own, one)
    title, caption = _widget("title", shown, key), _widget("caption", shown, key)
    st.session_state[title], st.session_state[caption] = said.title, said.caption
    st.text_input("Title", key=title, max_chars=LONGEST, on_change=_reword, args=(shown, key, "title", title))
    st.text_input("Caption", key=caption, max_chars=LONGEST, on_change=_reword, args=(shown, key, "caption", caption))
    with st.container(horizontal=True, gap="small"):
        st.button("Move up", icon=":material/arrow_upward:", key="move_up", disabled=place[key] == 0,
                  on_click=_move, args=(shown, key, -1))  # fmt: skip
        st.button("Move down", icon=":material/arrow_downward:", key="move_down", disabled=place[key] == len(order) - 1,
                  on_click=_move, args=(shown, key, 1))  # fmt: skip
        st.button("As built", icon=":material/undo:", key="reset_slide", on_click=_change,
                  disabled=one.title is None and one.caption is None, args=(shown, key),
                  kwargs={"title": None, "caption": None},
                  help="The title and the caption that this slide was built with.")  # fmt: skip
    _preview(shown, said)
    if said.statistics:
        with st.expander("Statistics, in the notes of the slide", icon=":material/notes:"):
            st.text(said.statistics)


def _preview(shown: Shown, slide: Slide) -> None:
    from braindash.reports.html import html_text

    def picture(one: Slide, theme: ThemeName, kind: Literal["png", "svg"]) -> bytes:
        return _picture(str(shown.run.path), shown.as_of, one.key, theme, kind)

    try:
        with st.spinner("Drawing the slide …"):
            html = html_text(replace(shown.built, slides=(slide,)), picture)
    except BraindashError as error:
        notices.mistake(error)
        return
    with st.container(border=True):
        st.iframe(html, height=_PREVIEW, alt=f"Preview. {slide.title}. {slide.alt or ' '.join(slide.points)}")


# --- changes --------------------------------------------------------------------------------------


def _reword(shown: Shown, key: str, field: str, widget: str) -> None:
    text = " ".join(str(st.session_state[widget]).split())
    own = next(getattr(s, field) for s in shown.built.slides if s.key == key)
    _change(shown, key, **{field: None if text == own else text})


def _change(deck: Shown, key: str, /, **fields: Any) -> None:
    _keep(deck, tuple(replace(a, **fields) if a.key == key else a for a in deck.arranged))


def _move(shown: Shown, key: str, by: int) -> None:
    order = list(shown.arranged)
    at = next(i for i, a in enumerate(order) if a.key == key)
    to = min(max(at + by, 0), len(order) - 1)
    order.insert(to, order.pop(at))
    _keep(shown, tuple(order))


def _keep(shown: Shown, arranged: tuple[Arranged, ...]) -> None:
    """Keep an arrangement in the home; in this visit alone where the home cannot be written."""
    run_id = shown.run.id
    st.session_state[_showing_key(run_id)] = False  # a deck on show would be drawn anew at every letter
    try:
        permissions.require("arrange")
        write_arrangement(readers.home(), run_id, arranged)
    except (BraindashError, OSError) as error:
        st.session_state[_unsaved_key(run_id)] = arranged
        st.session_state[_problem_key(run_id)] = (
            error.what if isinstance(error, BraindashError) else f"{arrangement_path(readers.home(), run_id)}: {error}"
        )
    else:
        st.session_state.pop(_unsaved_key(run_id), None)


def _widget(what: str, shown: Shown, key: str) -> str:
    return f"deck_{what}_{shown.run.id}_{key}"


def _unsaved_key(run_id: str) -> str:
    return f"deck_unsaved_{run_id}"


def _problem_key(run_id: str) -> str:
    return f"deck_problem_{run_id}"


def _showing_key(run_id: str) -> str:
    return f"deck_showing_{run_id}"
