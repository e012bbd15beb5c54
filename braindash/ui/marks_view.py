"""A run's star, tags and note: shown from the home's files, changed at once, never over someone else's change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.runs.marks import NOTE_LENGTH, TAG_LENGTH, Marks, change_marks, clean_note, marked_ids, read_marks
from braindash.ui import notices, permissions, readers
from braindash.ui.barrier import guarded_change

if TYPE_CHECKING:
    from braindash.runs.record import RunRow

STAR = "★"
NONE = Marks()
_FAILED = "marks_failed"


@st.cache_resource(max_entries=8, show_spinner=False)
def _known(home_path: str) -> dict[str, tuple[tuple[int, int], Marks]]:
    """Marks read so far, each with the state of its file; shared by all sessions."""
    return {}


def marks_of(rows: Iterable[RunRow]) -> dict[str, Marks]:
    """Return the marks of those runs that have any, reading only files that have changed."""
    from braindash.runs.marks import marks_path

    place = readers.home()
    known, ids = _known(str(place.path)), marked_ids(place)
    found = {}
    for row in rows:
        if row.id in ids:
            seen = readers.mark(marks_path(place, row.id))
            before = known.get(row.id)
            if before is None or before[0] != seen:
                known[row.id] = before = (seen, read_marks(place, row.id))
            found[row.id] = before[1]
    return found


def editor(run_id: str, tags_in_use: Iterable[str]) -> None:
    """Draw the star, the tags and the note of one run; a change is kept at once, the note when it is saved."""
    home = readers.home()
    marks = read_marks(home, run_id)
    failed = st.session_state.pop(_FAILED, None)
    if isinstance(failed, BraindashError):
        notices.mistake(failed)
    if marks.problem:
        notices.mistake(BraindashError(marks.problem, "Upgrade braindash, or repair or delete the file in marks/."))
        return
    star, tags = f"marks_star_{run_id}", f"marks_tags_{run_id}"
    st.session_state[star], st.session_state[tags] = marks.starred, list(marks.tags)  # what the home says now
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.toggle(f"{STAR} Star", key=star, on_change=_keep_star, args=(run_id,))
        st.multiselect(
            "Tags",
            list(dict.fromkeys([*marks.tags, *tags_in_use])),
            key=tags,
            accept_new_options=True,
            placeholder="Add a tag",
            help=f"Words of your own, at most {TAG_LENGTH} characters each. Type a new one, or choose one in use.",
            on_change=_keep_tags,
            args=(run_id, marks.tags),
        )
    _note(run_id, marks)


def _note(run_id: str, marks: Marks) -> None:
    """Draw the note. What is being written stays when somebody else changes the note: both are shown then."""
    key, began = f"marks_note_{run_id}", f"marks_note_began_{run_id}"
    if key not in st.session_state or clean_or_raw(st.session_state[key]) == st.session_state.get(began):
        st.session_state[key] = st.session_state[began] = marks.note  # nothing of one's own stands there
    st.text_area("Note", key=key, max_chars=NOTE_LENGTH, placeholder="What you saw, what to try next")
    was = st.session_state[began]
    if marks.note != was:
        st.warning("Someone else has changed this note meanwhile. Theirs is\\:", icon=":material/group:")
        st.text(marks.note or "(no note)")
        with st.container(horizontal=True):
            st.button("Keep mine", key="marks_mine", on_click=_save_note, args=(run_id, marks.note))
            st.button("Take theirs", key="marks_theirs", on_click=_take_note, args=(run_id, marks.note))
        return
    st.button(
        "Save the note",
        key="marks_save",
        icon=":material/save:",
        on_click=_save_note,
        args=(run_id, was),
    )


def clean_or_raw(note: str) -> str:
    try:
        return clean_note(note)
    except BraindashError:  # too long: said when it is saved
        return note


@guarded_change
def _keep_star(run_id: str) -> None:
    _try(run_id, starred=bool(st.session_state[f"marks_star_{run_id}"]))


@guarded_change
def _keep_tags(run_id: str, shown: tuple[str, ...]) -> None:
    """Add and remove what differs from what was shown: tags that others gave meanwhile stay."""
    chosen = [str(t) for t in st.session_state[f"marks_tags_{run_id}"]]
    _try(run_id, add=[t for t in chosen if t not in shown], remove=[t for t in shown if t not in chosen])


@guarded_change
def _save_note(run_id: str, was: str) -> None:
    key = f"marks_note_{run_id}"
    kept = _try(run_id, note=str(st.session_state[key]), note_was=was)
    if kept is not None:
        st.session_state[key] = st.session_state[f"marks_note_began_{run_id}"] = kept.note
        notices.tell("The note was saved.")


def _take_note(run_id: str, theirs: str) -> None:
    st.session_state[f"marks_note_{run_id}"] = st.session_state[f"marks_note_began_{run_id}"] = theirs


def _try(run_id: str, **change: object) -> Marks | None:
    try:
        permissions.require("arrange")
        return change_marks(readers.home(), run_id, **change)  # type: ignore[arg-type]
    except BraindashError as error:
        st.session_state[_FAILED] = error
        return None
