"""What can be done with a whole group: stop, resume, delete; each asks first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import address, names, notices, permissions, readers
from braindash.ui.run_actions import RESUMABLE
from braindash.ui.text import count, shorten

if TYPE_CHECKING:
    from braindash.runs.record import RunRow

_ASKING = "group_action"  # (action, group) that is being asked about


@dataclass(frozen=True)
class Action:
    """One button: what it says, what it will do, and in which states a run is concerned."""

    label: str
    right: permissions.Action
    icon: str
    states: tuple[str, ...]
    title: str
    explains: str
    done: str


ACTIONS = {
    "stop": Action(
        "Stop the group",
        "stop",
        ":material/stop_circle:",
        ("queued", "running"),
        "Stop these runs?",
        "The run at work finishes its step and writes a checkpoint; those that wait do not begin. All can be resumed.",
        "Asked to stop",
    ),
    "resume": Action(
        "Resume the group",
        "resume",
        ":material/play_circle:",
        RESUMABLE,
        "Go on with these runs?",
        "Each goes on from its last whole checkpoint, one after the other.",
        "Going on",
    ),
    "delete": Action(
        "Delete the group …",
        "delete",
        ":material/delete:",
        ("done", *RESUMABLE, "unreadable"),
        "Delete these runs?",
        "Their settings, tuned weights, checkpoints, logs and results are removed from the disk. This cannot be "
        "undone. The study is not touched.",
        "Deleted",
    ),
}


def buttons(group: str, rows: Sequence[RunRow]) -> None:
    """Draw the buttons that the states of the group's runs allow."""
    live = any(r.state in names.LIVE_STATES for r in rows)
    with st.container(horizontal=True):
        for name, action in ACTIONS.items():
            if any(r.state in action.states for r in rows) and not (name != "stop" and live):
                st.button(
                    action.label, icon=action.icon, key=f"group_{name}", on_click=_ask, args=(name, group),
                    disabled=not permissions.may(action.right), help=permissions.help_of(action.right),
                )  # fmt: skip
    asking = st.session_state.get(_ASKING)
    if asking is not None and asking[1] == group:
        _confirm(asking[0], group, rows)


def _ask(action: str, group: str) -> None:
    st.session_state[_ASKING] = (action, group)


def _forget() -> None:
    st.session_state.pop(_ASKING, None)


def _confirm(name: str, group: str, rows: Sequence[RunRow]) -> None:
    action = ACTIONS[name]

    @st.dialog(action.title, icon=action.icon, on_dismiss=_forget)
    def ask() -> None:
        concerned = [r for r in rows if r.state in action.states]
        st.text(shorten(group, 120))
        st.text(f"{count(len(concerned), 'run')} of {len(rows)}")
        st.markdown(action.explains)
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Leave as it is", key="group_keep"):
                _forget()
                st.rerun()
            if st.button(action.label.removesuffix(" …"), type="primary", key="group_do"):
                try:
                    ids = _do(name, rows)
                except BraindashError as error:
                    notices.mistake(error)
                    return
                _forget()
                if name == "delete":
                    address.write(group=None)
                notices.tell(f"{action.done}: {count(len(ids), 'run')}.")
                st.rerun()

    ask()


def _do(name: str, rows: Sequence[RunRow]) -> list[str]:
    from braindash.jobs.groups import delete_group, resume_group, stop_group

    permissions.require(ACTIONS[name].right)
    if name == "stop":
        return stop_group(readers.store(), rows)
    return resume_group(readers.store(), rows) if name == "resume" else delete_group(readers.store(), rows)
