"""What can be done with a run: stop, resume, delete, open, repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import address, names, notices, permissions, readers
from braindash.ui.barrier import guarded_change
from braindash.ui.layout import COMPARE, OVERVIEW, TUNE
from braindash.ui.text import count, escape, shorten

if TYPE_CHECKING:
    from braindash.runs.record import RunRow

RESUMABLE = ("stopped", "interrupted", "failed")
_OUTCOME = "run_action_outcome"
_DELETING = "run_to_delete"  # the run whose deletion is being asked about


def buttons(row: RunRow) -> None:
    """Draw the buttons that the run's state allows."""
    outcome = st.session_state.pop(_OUTCOME, None)
    if isinstance(outcome, BraindashError):
        notices.mistake(outcome)
    who = permissions.person()
    with st.container(horizontal=True, vertical_alignment="center"):
        if row.has_results:
            st.page_link(OVERVIEW.path, label="Results", icon=OVERVIEW.icon, query_params={"run": row.id})
        if row.state != "unreadable":
            st.page_link(COMPARE.path, label="Compare", icon=COMPARE.icon, query_params={"runs": row.id})
        if row.state in ("queued", "running"):
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                key="stop",
                disabled=not who.may("stop"),
                help=permissions.help_of(
                    "stop", "Finishes the step, writes a checkpoint, then stops. It can be resumed."
                ),
                on_click=_do,
                args=(_stop, row.id, "Stopping after the present step."),
            )
        if row.state in RESUMABLE:
            st.button(
                "Resume",
                icon=":material/play_circle:",
                key="resume",
                disabled=not who.may("resume"),
                help=permissions.help_of("resume", "Goes on from the last whole checkpoint."),
                on_click=_do,
                args=(_resume, row.id, "The run goes on."),
            )
        if row.state != "unreadable":
            st.page_link(TUNE.path, label="Tune with these settings", icon=TUNE.icon, query_params={"like": row.id})
        if row.state not in names.LIVE_STATES:
            st.button(
                "Delete …", icon=":material/delete:", key="delete", on_click=_ask_to_delete, args=(row.id,),
                disabled=not who.may("delete"), help=permissions.help_of("delete"),
            )  # fmt: skip
    if st.session_state.get(_DELETING) == row.id:
        _confirm_delete(row)


@guarded_change
def _do(action: Callable[[str], None], run_id: str, said: str) -> None:
    try:
        action(run_id)
    except BraindashError as error:
        st.session_state[_OUTCOME] = error
    else:
        notices.tell(said)


def _stop(run_id: str) -> None:
    from braindash.jobs.launch import stop

    who = permissions.require("stop")
    run = readers.store().get(run_id)
    stop(run)
    permissions.note(run, who, "Asked to stop")


def _resume(run_id: str) -> None:
    from braindash.jobs.launch import resume

    who = permissions.require("resume")
    run = readers.store().get(run_id)
    resume(run)
    permissions.note(run, who, "Resumed")


def _ask_to_delete(run_id: str) -> None:
    st.session_state[_DELETING] = run_id


def _forget_to_delete() -> None:
    st.session_state.pop(_DELETING, None)


@st.dialog("Delete this run?", icon=":material/delete_forever:", on_dismiss=_forget_to_delete)
def _confirm_delete(row: RunRow) -> None:
    if row.state == "unreadable":
        st.text(row.id)
    else:
        st.text(shorten(row.name, 120) or names.run(row))
    st.markdown(
        "Its settings, its tuned weights, its checkpoints, its log and its results are removed from the disk. "
        "This cannot be undone. The study is not touched."
    )
    n = len(list(readers.store().get(row.id).path.rglob("*")))
    st.caption(f"{count(n, 'file and folder', 'files and folders')} in {row.id}".replace("_", "\\_"))
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep"):
            _forget_to_delete()
            st.rerun()
        if st.button("Delete for good", type="primary", key="delete_for_good"):
            try:
                permissions.require("delete")
                readers.store().delete(row.id)
            except BraindashError as error:
                notices.mistake(error)
                return
            _forget_to_delete()
            address.write(run=None)
            notices.tell("The run was deleted.")
            st.rerun()


def settings(run_id: str) -> None:
    """Show the run's whole configuration and the command that repeats it."""
    import yaml

    from braindash.jobs.command import command_for

    run = readers.store().get(run_id)
    config, launched_by = run.config, run.provenance.get("launched_by")
    with st.expander("Settings", icon=":material/settings:"):
        if launched_by:
            st.caption(escape(f"Launched by {shorten(launched_by, 120)}"))
        st.markdown("The same run from the command line\\:")
        st.code(command_for(config), language=None, wrap_lines=True)
        st.code(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), language="yaml")
        st.caption(f"Run id\\: {run_id}".replace("_", "\\_"))
