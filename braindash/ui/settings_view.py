"""The sections of the Settings page; each is saved by itself, over what the file says at that moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st
from pydantic import BaseModel

from braindash.errors import BraindashError
from braindash.settings import Access, Colours, OwnRegion, Settings, change, checked, settings_path
from braindash.ui import launch_view, notices, permissions, readers
from braindash.ui.barrier import guarded_change
from braindash.ui.permissions import Person
from braindash.ui.text import escape

_OUTCOME = "settings_outcome"
ROLE_LABELS = {
    "view": "May look",
    "launch": "May launch as well",
    "manage": "May delete and change settings as well",
}
ANYONE = {
    "view": "Look, and nothing else",
    "launch": "Look, launch and stop runs",
    "manage": "Everything: launch, delete, change these settings",
}
PEOPLE_HELP = "One a line: an e-mail address, or @ and a domain for everybody who has an address there."
MEMBERS_HELP = "HCP-MMP1 parcels (A1, STSda, 44), regions of a study of this home, named groups (late_language)."


def outcome() -> None:
    """Say how the last change ended."""
    said = st.session_state.pop(_OUTCOME, None)
    if isinstance(said, BraindashError):
        notices.mistake(said)
    elif said:
        st.success(escape(said), icon=":material/check:")


def where() -> None:
    """Say where the settings are kept, and how to change them without this page."""
    path = settings_path(readers.home())
    st.caption(escape(f"Kept in {path.name} in the home's folder. From the command line:"))
    st.code("braindash settings show\nbraindash settings set KEY VALUE", language=None)


@guarded_change
def _save(section: str, build: Callable[[Any], Any], said: str, seen: str = "") -> None:
    """Replace one section by what ``build`` makes of the present one; runs before the page is drawn anew.

    ``seen`` is the mark of the section as the reader saw it: another's change meanwhile is not overwritten.
    """

    def built(now: Any) -> Any:
        if seen and _mark(now) != seen:
            raise BraindashError("Somebody else has changed this meanwhile.", "Look at it again, then save.")
        return build(now)

    try:
        permissions.require("settings")
        change(readers.home(), **{section: built})
    except BraindashError as error:
        st.session_state[_OUTCOME] = error
    else:
        st.session_state[_OUTCOME] = said


def _mark(section: BaseModel) -> str:
    """Return what changes when a section does; part of its widgets' keys, so that they follow the file."""
    return hashlib.blake2b(section.model_dump_json().encode(), digest_size=6).hexdigest()


# --- who ------------------------------------------------------------------------------------------


def access(settings: Settings, who: Person) -> None:
    """Draw the allow-list by role."""
    try:
        signing_in = permissions.sign_in() is not None
    except BraindashError as error:
        notices.mistake(error)
        signing_in = True
    if signing_in:
        st.markdown("People sign in here. Whoever is on none of these lists is not let in.")
    elif permissions.public():
        st.markdown("Nobody signs in here, and others can reach these pages: what anyone may do is below.")
    else:
        st.markdown(
            "Nobody signs in here, and only this machine can reach these pages: whoever sits at it may do everything. "
            "The lists count as soon as sign\\-in is set up; the guide to operations explains it under *Several "
            "people, and a server*."
        )
    if not who.may("settings"):
        st.caption("The lists are shown to those who may change them\\.")
        return
    mark = _mark(settings.access)
    with st.form("access", border=True):
        for column, (role, label) in zip(st.columns(3, gap="medium"), ROLE_LABELS.items(), strict=True):
            column.text_area(
                label,
                value="\n".join(getattr(settings.access, role)),
                key=f"access_{role}_{mark}",
                height=140,
                placeholder="ada@lab.org\n@group.lab.org",
                help=PEOPLE_HELP,
            )
        st.radio(
            "Where the pages are public and nobody signs in, anyone may",
            list(ANYONE),
            index=list(ANYONE).index(settings.access.anyone),
            format_func=ANYONE.__getitem__,
            key=f"access_anyone_{mark}",
            help="Such a server starts with --allow-anyone alone.",
        )
        st.form_submit_button(
            "Save", type="primary", key="save_access",
            on_click=_save, args=("access", partial(_entered_access, mark), "Saved. It holds from now on.", mark),
        )  # fmt: skip


def _entered_access(mark: str, now: Access) -> Access:
    values: dict[str, Any] = {"anyone": st.session_state[f"access_anyone_{mark}"]}
    for role in ROLE_LABELS:
        values[role] = ",".join(str(st.session_state[f"access_{role}_{mark}"]).splitlines())
    new = checked({"access": values}, "The list").access
    who = permissions.person()
    if who.email and new.role_of(who.email) != "manage":
        raise BraindashError(
            f"With this list {who.email} could not change the settings any more.",
            "Leave yourself among those who may; somebody else can take you off.",
        )
    return new


# --- where ----------------------------------------------------------------------------------------


def compute(settings: Settings, who: Person) -> None:
    """Draw where runs go unless the form or the command says otherwise."""
    st.markdown("Where runs go unless the form, or an option of `braindash tune`, says otherwise.")
    mark = _mark(settings.compute)
    with st.container(border=True):
        chosen = launch_view.executor_choice(f"settings_{mark}", settings.compute)
        st.button(
            "Save", type="primary", key="save_compute", disabled=chosen is None or not who.may("settings"),
            on_click=_save, args=("compute", lambda now: chosen, "Saved where runs go.", mark),
            help=permissions.help_of("settings"),
        )  # fmt: skip


# --- colours --------------------------------------------------------------------------------------


def colours(settings: Settings, who: Person) -> None:
    """Draw the choice of colour maps with a strip of each."""
    from braindash.cortex.colour import DIVERGING_MAPS, SEQUENTIAL_MAPS

    st.markdown(
        "For every map, heat map and slide. Lightness changes evenly along each of these, and their ends stay apart "
        "for eyes that lack one kind of cone."
    )
    now, mark = settings.colours, _mark(settings.colours)
    left, right = st.columns(2, gap="large")
    with left:
        sequential = _strips("Scores", f"colours_sequential_{mark}", SEQUENTIAL_MAPS, now.sequential, who)
    with right:
        diverging = _strips("Differences", f"colours_diverging_{mark}", DIVERGING_MAPS, now.diverging, who)
    chosen = Colours(sequential=sequential, diverging=diverging)
    st.button(
        "Save", type="primary", key="save_colours", disabled=not who.may("settings"),
        on_click=_save, args=("colours", lambda _: chosen, "Saved the colours.", mark),
        help=permissions.help_of("settings"),
    )  # fmt: skip


def _strips(label: str, key: str, maps: dict[str, str], now: str, who: Person) -> str:
    chosen = st.radio(
        label, list(maps), index=list(maps).index(now), format_func=lambda m: maps[m], key=key,
        disabled=not who.may("settings"),
    )  # fmt: skip
    for name, words in maps.items():
        mark = " (chosen)" if name == chosen else ""
        st.image(
            _strip(name), width="stretch", caption=f"{words}{mark}", alt=f"Strip of the colour map {words}, low to high"
        )
    return str(chosen)


@st.cache_data(max_entries=16, show_spinner=False)
def _strip(name: str) -> Any:
    import numpy as np

    from braindash.cortex.colour import colormap

    return np.repeat(colormap(name)[None, :, :], 14, axis=0)


# --- regions --------------------------------------------------------------------------------------


def regions(settings: Settings, who: Person) -> None:
    """Draw the groups of regions of one's own, and a form for a new or a changed one."""
    st.markdown(
        "Groups of your own stand beside the named ones: in the form of a fine\\-tune at once, in results from the "
        "next evaluation on. A run that was evaluated before lacks them; `braindash evaluate RUN` adds them, and fits "
        "nothing again that is kept. Results keep the members that they were made with, whatever becomes of the group."
    )
    if settings.regions:
        st.dataframe(
            {
                "Name": list(settings.regions),
                "In figures": list(settings.titles().values()),
                "Members": [", ".join(r.members) for r in settings.regions.values()],
            },
            hide_index=True,
            width="stretch",
        )
    else:
        st.caption("There are none yet\\.")
    allowed = who.may("settings")
    left, right = st.columns([3, 2], gap="large")
    with left, st.form("region", border=True):
        st.markdown("**Add a group, or replace one of the same name**")
        st.text_input(
            "Name", key="region_name", placeholder="my_sts", disabled=not allowed,
            help="A letter, then letters, digits, - and _; it stands in addresses and records.",
        )  # fmt: skip
        st.text_input(
            "What figures call it", key="region_title", max_chars=60, placeholder="the name", disabled=not allowed
        )
        st.text_area(
            "Members", key="region_members", height=100, placeholder="STSda, STSva, TA2", help=MEMBERS_HELP,
            disabled=not allowed,
        )  # fmt: skip
        st.form_submit_button(
            "Save the group", type="primary", key="save_region", disabled=not allowed, on_click=_save_region
        )
    if settings.regions:
        with right, st.container(border=True):
            gone = str(st.selectbox("Remove a group", list(settings.regions), key="region_gone", disabled=not allowed))
            st.button(
                "Remove", icon=":material/delete:", key="remove_region", disabled=not allowed,
                on_click=_save, args=("regions", partial(_without, gone), f"Removed {gone}."),
                help=permissions.help_of("settings", "Results that have it keep it."),
            )  # fmt: skip


@guarded_change
def _save_region() -> None:
    from braindash.runs.own_regions import check_members

    name = str(st.session_state["region_name"]).strip()
    title = " ".join(str(st.session_state["region_title"]).split())
    members = str(st.session_state["region_members"]).replace("\n", ",")

    def build(now: dict[str, OwnRegion]) -> dict[str, OwnRegion]:
        new = checked({"regions": {**_plain(now), name: {"members": members, "title": title}}}, "The group")
        check_members(readers.home(), new, name)
        return dict(new.regions)

    _save("regions", build, f"Saved the group {name}.")
    if isinstance(st.session_state.get(_OUTCOME), str):  # saved: what was typed is kept otherwise
        st.session_state.update(region_name="", region_title="", region_members="")


def _without(name: str, now: dict[str, OwnRegion]) -> dict[str, OwnRegion]:
    return {k: v for k, v in now.items() if k != name}


def _plain(now: dict[str, OwnRegion]) -> dict[str, Any]:
    return {k: v.model_dump() for k, v in now.items()}
