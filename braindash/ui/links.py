"""Widgets whose value lives in the address as an identifier, so that a link reopens the view.

Streamlit's own ``bind="query-params"`` writes an option's *label* into the address. It serves
sliders, numbers and switches; choices whose label is a readable name are bound here, by identifier,
and an identifier that does not exist (an old link, a typing error) is told to the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from braindash.ui import address
from braindash.ui.text import as_label, shorten


def _publish(param: str) -> None:
    value = st.session_state.get(f"_{param}")
    if value is not None:
        address.write(**{param: value})


def select(
    param: str,
    label: str,
    options: Sequence[str],
    *,
    default: str | None = None,
    names: Callable[[str], str] = str,
    kind: Literal["select", "segments"] = "select",
    help: str | None = None,
    always: bool = False,
    persist: bool = False,
) -> str:
    """Draw a choice that is mirrored in the address as ``?param=option``; return the option.

    Parameters
    ----------
    param : str
        Name in the address. The widget's key is ``_param``.
    options : sequence of str
        Identifiers; not empty.
    default : str, optional
        Chosen when the address says nothing; the first option otherwise.
    names : callable
        From identifier to what the reader sees.
    kind : str
        A drop-down list, or a row of buttons for few options.
    always : bool
        Write the value to the address even before the reader has chosen.
    persist : bool
        Keep the choice while the reader is on other pages.
    """
    key = f"_{param}"
    usual = default if default in options else options[0]
    wanted = st.query_params.get(param)
    unknown = wanted if wanted is not None and wanted not in options else None
    begin = wanted if wanted in options else st.session_state.get(key)
    labels = _distinct(options, names)
    value = str(begin if begin in options else usual)
    set_now = hold(key, value, labels)
    keep: Literal["session"] | None = "session" if persist else None
    if kind == "segments":
        st.segmented_control(
            label,
            options,
            default=None if set_now else value,
            required=True,
            format_func=lambda option: as_label(labels[option]),
            key=key,
            help=help,
            on_change=_publish,
            args=(param,),
            persist_state=keep,
        )
    else:
        st.selectbox(
            label,
            options,
            index=0 if set_now else options.index(value),
            format_func=labels.__getitem__,
            key=key,
            help=help,
            on_change=_publish,
            args=(param,),
            persist_state=keep,
        )
    chosen = str(st.session_state[key] if st.session_state[key] in options else usual)
    if unknown is not None:
        _tell_unknown(label, unknown)
    if (always or chosen != usual or unknown is not None) and st.query_params.get(param) != chosen:
        address.write(**{param: chosen})
    return chosen


def without_unknown(param: str, label: str, options: Sequence[str]) -> None:
    """Tell of an identifier in the address that does not exist, and drop it: for a choice that is out of sight."""
    wanted = st.query_params.get(param)
    if wanted is not None and wanted not in options:
        _tell_unknown(label, wanted)
        address.write(**{param: None})


def _tell_unknown(label: str, wanted: str) -> None:
    st.warning("The link names something that is not here. Showing another choice instead.", icon=":material/link_off:")
    st.text(f"{label}: {shorten(wanted, 120)}")


def several(
    param: str,
    label: str,
    options: Sequence[str],
    *,
    default: Sequence[str] = (),
    names: Callable[[str], str] = str,
    most: int | None = None,
    placeholder: str | None = None,
) -> list[str]:
    """Draw a choice of several that is mirrored in the address as ``?param=a,b``; return the options chosen.

    Parameters are those of `select`; ``most`` limits how many may be chosen. Identifiers in the
    address that do not exist are left aside.
    """
    key = f"_{param}"
    wanted = st.query_params.get(param)
    begin = st.session_state.get(key, list(default)) if wanted is None else wanted.split(",")
    labels = _distinct(options, names)
    chosen = list(dict.fromkeys(o for o in begin if o in options))[:most]
    set_now = hold(key, chosen, labels)
    st.multiselect(
        label,
        options,
        default=None if set_now else chosen,
        format_func=labels.__getitem__,
        key=key,
        max_selections=most,
        placeholder=placeholder,
        on_change=_publish_several,
        args=(param,),
    )
    return [str(o) for o in st.session_state[key]]


def _publish_several(param: str) -> None:
    address.write(**{param: ",".join(st.session_state.get(f"_{param}") or [])})


def hold(key: str, value: str | int | list[str], offered: object) -> bool:
    """Set a widget's value where it is not what the widget holds, and return whether it was set.

    A value that is set is sent, and takes back what a quick reader has chosen meanwhile. It must be set where the
    page, or what is ``offered``, is another: Streamlit drops what another widget of this name held. Where it is not
    set, it is to be the widget's default: one that is out of sight begins with that when it comes into sight.
    """
    drawn = (address.page(), offered)
    held = f"{key}_drawn"
    set_now = st.session_state.get(held) != drawn or st.session_state.get(key) != value
    if set_now:
        st.session_state[key] = value
    st.session_state[held] = drawn
    return bool(set_now)


def _distinct(options: Sequence[str], names: Callable[[str], str]) -> dict[str, str]:
    """Label every option; two options with the same label get their identifier appended."""
    labels = {option: names(option) for option in options}
    seen: dict[str, int] = {}
    for text in labels.values():
        seen[text] = seen.get(text, 0) + 1
    return {option: text if seen[text] == 1 else f"{text} · {option}" for option, text in labels.items()}
