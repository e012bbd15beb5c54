"""The bookmark button in the side bar: it offers to keep what the page has just shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import charts, names, notices, permissions, readers
from braindash.ui.layout import OVERVIEW, PRESENT
from braindash.ui.text import count, escape, shorten, true_minus

if TYPE_CHECKING:
    from braindash.runs.bookmarks import Bookmark
    from braindash.ui.charts import Shown

_KEPT, _ASKED = "_bookmarks_kept", "_bookmark_asked"
_RUN_IDS = ("run", "runs")  # in the address
_WHERE = {"subject": "subject", "map_subject": "subject", "layer": "layer", "story": "story"}

Params = Mapping[str, str | list[str]]


def draw(url: str) -> None:
    """Draw the button where the page, known by its address, showed something that can be kept."""
    things = charts.shown()
    if not things:  # also where the page has led on to another
        return
    told = st.session_state.pop(_KEPT, "")
    if told:
        st.toast(told, icon=":material/bookmark_added:")
    if st.session_state.get(_ASKED) not in (None, url):  # asked on another page, and left
        _forget()
    st.sidebar.button(
        "Bookmark this view",
        icon=":material/bookmark_add:",
        key="bookmark",
        width="stretch",
        on_click=_ask,
        args=(url,),
        disabled=not permissions.may("arrange"),
        help=permissions.help_of("arrange", "Keep a chart, map or answer of this page with a title and a caption, "
                                            "to be ordered into slides on the page Present."),
    )  # fmt: skip
    if st.session_state.get(_ASKED) == url:
        _dialog(url or OVERVIEW.url, _address(), things)


def _ask(url: str) -> None:
    st.session_state[_ASKED] = url


def _forget() -> None:
    st.session_state.pop(_ASKED, None)


def _address() -> dict[str, str | list[str]]:
    """Return what the address says now, with every value of what is said more than once."""
    out: dict[str, str | list[str]] = {}
    for key in st.query_params:
        values = st.query_params.get_all(key)
        out[key] = values[0] if len(values) == 1 else values
    return out


@st.dialog("Bookmark this view", width="large", on_dismiss=_forget)
def _dialog(page: str, params: Params, things: Sequence[Shown]) -> None:
    from braindash.runs.bookmarks import CAPTION, DECK_TITLE, TITLE, USUAL, BookmarkStore

    store = BookmarkStore(readers.home())
    by_key = {thing.key: thing for thing in things}
    labels = {key: _label(thing) for key, thing in by_key.items()}
    chosen = st.multiselect(
        "What to keep",
        list(by_key),
        default=list(by_key)[:1],
        format_func=lambda key: shorten(labels[key], 90),
        key="bookmark_what",
        help="Each becomes a slide of its own.",
    )
    said = {}
    for key in chosen:
        thing = by_key[key]
        with st.container(border=True):
            title = st.text_input("Title", value=labels[key][:TITLE], max_chars=TITLE, key=f"bookmark_title_{key}")
            caption = st.text_area(
                "Caption",
                value=proposed_caption(thing, params)[:CAPTION],
                max_chars=CAPTION,
                key=f"bookmark_caption_{key}",
                height=100,
            )
            st.caption(escape(" · ".join([t for t in (thing.n, *_named(_runs_of(thing, params))) if t]) or "No run."))
            said[key] = title, caption
    decks = [d.title for d in store.decks()]
    offered = decks or [USUAL]
    usual = offered.index(USUAL) if USUAL in offered else 0
    deck = st.selectbox(
        "Deck",
        offered,
        index=usual,
        accept_new_options=True,
        key="bookmark_deck",
        help="Choose one, or write the name of a new one.",
    )
    if not st.button("Keep", type="primary", icon=":material/bookmark_add:", key="bookmark_keep", disabled=not chosen):
        return
    try:
        permissions.require("arrange")
        with st.spinner("Keeping it …"):
            for key in chosen:
                keep(store, str(deck)[:DECK_TITLE], by_key[key], page, params, *said[key])
    except BraindashError as error:
        notices.mistake(error)
        return
    _forget()
    st.session_state[_KEPT] = escape(
        f"Kept {count(len(chosen), 'view')} in the deck “{shorten(deck, 60)}”. The page {PRESENT.title} shows it."
    )
    st.rerun()


def keep(store: object, deck: str, thing: Shown, page: str, params: Params, title: str, caption: str) -> Bookmark:
    """Keep one thing that a page showed.

    Raises
    ------
    BraindashError
        Where it cannot be drawn, is too large, or the home cannot be written.
    """
    from braindash.runs.bookmark_deck import chart_files, methods_file
    from braindash.runs.bookmarks import Bookmark, BookmarkStore

    assert isinstance(store, BookmarkStore)
    runs = _runs_of(thing, params)
    files, caveats = methods_file(readers.home(), runs)
    page_theme = charts.theme()
    if thing.figure is not None:
        from braindash.figures.plotly_spec import figure_spec

        files |= chart_files(figure_spec(thing.figure), page_theme)
    elif thing.draw is not None:
        files |= {
            f"{one}.{kind}": thing.draw(one, kind) for one in ("light", "dark") for kind in ("png", "svg")
        }  # fmt: skip
    kept = Bookmark(
        title=title.strip() or _label(thing),
        caption=caption,
        kind="chart" if thing.figure is not None else "picture" if thing.draw is not None else "text",
        page=page,
        params=dict(params),
        alt=thing.alt,
        n=thing.n,
        statistics=thing.statistics,
        runs=tuple(runs),
        points=tuple(thing.points),
        theme=page_theme,
        caveats=caveats,
    )
    return store.add(deck, kept, files)


def proposed_caption(thing: Shown, params: Params) -> str:
    """Return what is shown, of which run, subject and layer, in words."""
    said = [] if thing.points else [thing.alt]
    text = f"{thing.title} {thing.alt} {thing.n}".lower()
    where = []
    for key, word in _WHERE.items():
        value = params.get(key)
        if isinstance(value, str) and value and f"{word} {value}".lower() not in text and value.lower() not in text:
            shown = names.subject(value) if word == "subject" else f"{word} {value}"
            where.append(shown)
    named = _named(_runs_of(thing, params))
    said.append(f"{', '.join([*named, *where])}." if named or where else "")
    return true_minus(" ".join(s for s in said if s))


def _label(thing: Shown) -> str:
    """Return what a thing is called: its title, or the beginning of its description."""
    return thing.title or thing.alt.split(":")[0].split(". ")[0].split("; ")[0] or "This chart"


def _runs_of(thing: Shown, params: Params) -> list[str]:
    """Return the runs that a thing shows: its own, else those that the address names and that are here."""
    if thing.runs:
        return list(dict.fromkeys(thing.runs))
    found: list[str] = []
    for key in _RUN_IDS:
        value = params.get(key, [])
        found += value if isinstance(value, list) else value.split(",")
    here = {row.id for row in readers.run_rows()}
    return [run for run in dict.fromkeys(found) if run in here]


def _named(runs: Sequence[str]) -> list[str]:
    rows = {row.id: row for row in readers.run_rows()}
    return [f"Run {' '.join(rows[r].name.split()) or r}" if r in rows else f"Run {r}" for r in runs[:3]] + (
        [f"{len(runs) - 3} more runs"] if len(runs) > 3 else []
    )
