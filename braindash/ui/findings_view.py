"""What the papers found and what a run shows of it: the sections of the first page that `braindash compare` fills."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import hierarchy_view, notices, readers, transfer_view
from braindash.ui.glossary_help import explain
from braindash.ui.hierarchy_view import KINDS
from braindash.ui.text import count, escape, true_minus

if TYPE_CHECKING:
    from braindash.runs.run import Run
    from braindash.ui.readers import Results

VERSION = 1  # of hierarchy.json, as this page knows it
FILE = "hierarchy.json"
TABLES = ("probes", "regions", "order", "region_order", "forgetting", "transfer", "reliance", "findings")
MAPPINGS = ("order_change", "region_order_change", "forgetting_tested", "inputs")
ANALYSES = ("records.json", "probing.json", "partition.json")  # that a comparison is made from
LATER = 60 * 10**9  # ns; files that are copied or unpacked together differ by less
TITLE = "What the papers found, and what this study shows"
BADGES: dict[str, tuple[str, str, Literal["green", "red", "gray"]]] = {
    "supported": ("Supported", ":material/check_circle:", "green"),
    "not_supported": ("Not supported", ":material/cancel:", "red"),
    "cannot_tell": ("Cannot tell here", ":material/help:", "gray"),
}
SOURCES: dict[str, tuple[str, str]] = {  # short, and in full
    "A": (
        "Moussa & Toneva, 2025",
        "Moussa and Toneva, Interspeech 2025, arXiv:2506.03832, and Moussa, Klakow and Toneva, ICLR 2025, "
        "arXiv:2410.09230",
    ),
    "B": ("Vattikonda et al., 2025", "Vattikonda, Vaidya, Antonello and Huth, 2025, BrainWavLM, arXiv:2502.08866"),
    "A-multi": ("Moussa & Toneva, 2025 (several subjects)", "Moussa and Toneva, NeurIPS 2025, arXiv:2510.21520"),
}
COMMAND = re.compile(r"braindash (?:evaluate|encode|probe|rsa|partition|compare|tune)(?: [A-Za-z0-9_./=,:+-]+)*")


def sections(run: Run, results: Results) -> None:
    """Draw the picture from sound to meaning, the findings, and what else the comparison holds."""
    try:
        document = _document(run)
    except BraindashError as error:
        st.subheader(hierarchy_view.TITLE)
        notices.mistake(error)
        _offer(run)
        return
    if document is None:
        st.subheader(hierarchy_view.TITLE)
        st.markdown(
            "Where in the model's depth sound, speech sounds, words and meaning lie before and after tuning, and which "
            "findings of the papers this study supports\\: this is worked out when asked for, within a minute."
        )
        _offer(run)
        st.code(f"braindash compare {run.id}", language=None)
        return
    if document["newer"]:
        st.info(
            "This comparison was written by a newer braindash. What this version knows of it is shown.",
            icon=":material/update:",
        )
    caveats = [str(c) for c in document["caveats"]]
    hierarchy_view.section(document, results, list(dict.fromkeys([*results.caveats, *caveats])))
    if _is_older(run, document) and not document["newer"]:
        st.info("The run was analysed further after this was worked out.", icon=":material/update:")
        _offer(run)
    findings(document, results)
    transfer_view.fallen(document, results)
    transfer_view.transfer(document, results)
    transfer_view.reliance(document, results)
    for caveat in caveats:
        if caveat not in results.caveats:
            st.text(true_minus(caveat))


def _document(run: Run) -> dict[str, Any] | None:
    """Return the comparison that lies in the run's folder, or that the reader has asked for."""
    here = (str(run.path), tuple(readers.mark(run.path / name) for name in ANALYSES))
    key = _asked_key(run.id)
    if st.session_state.get(key) == "now":
        st.session_state[key] = "before"
        _worked_out.clear(*here)
        return _worked_out(*here)
    found = read(run)
    if found is None and st.session_state.get(key):
        return _worked_out(*here)  # of a home that may only be read
    return found


def _offer(run: Run) -> None:
    """Offer to work the comparison out now, from what the run's folder holds."""
    st.button(
        "Work it out now", icon=":material/play_arrow:", key="work_out_hierarchy", on_click=_ask, args=(run.id,)
    )  # fmt: skip


def _ask(run_id: str) -> None:
    st.session_state[_asked_key(run_id)] = "now"


def _asked_key(run_id: str) -> str:
    return f"compare_{run_id}"


@st.cache_resource(max_entries=8, show_spinner="Reading what the run's analyses have left …")
def _worked_out(path: str, as_of: tuple[tuple[int, int], ...], /) -> dict[str, Any]:
    from braindash.runs.hierarchy import hierarchy_run

    return clean(hierarchy_run(readers.store().get(Path(path).name)))


def _is_older(run: Run, document: Mapping[str, Any]) -> bool:
    """Whether an analysis was added, or made anew, after the comparison was worked out."""
    written = readers.mark(run.path / FILE)[0]
    for name in ANALYSES:
        changed = readers.mark(run.path / name)[0]
        if changed and (name not in document["inputs"] or changed > written + LATER):
            return bool(written)
    return False


def read(run: Run) -> dict[str, Any] | None:
    """Return a run's comparison, None where there is none; every table a list of rows, whatever the file holds.

    Raises
    ------
    BraindashError
        Where the file cannot be read.
    """
    return _read(str(run.path), readers.mark(run.path / FILE))


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(path: str, as_of: tuple[int, int], /) -> dict[str, Any] | None:
    return read_file(path)


def read_file(path: str) -> dict[str, Any] | None:
    """Return what `read` does, of a run's folder and without a cache."""
    from braindash.runs.documents import read_document

    found = read_document(Path(path) / FILE, "comparison", "compare", ())
    return None if found is None else clean(found)


def clean(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison of which every table is a list of rows, whatever ``found`` holds."""
    tables = {key: [r for r in _list(found.get(key)) if isinstance(r, dict)] for key in TABLES}
    mappings = {key: found.get(key) for key in MAPPINGS}
    version = found.get("braindash")
    return {
        **tables,
        **{key: value if isinstance(value, dict) else {} for key, value in mappings.items()},
        "models": [m for m in _list(found.get("models")) if isinstance(m, str)],
        "caveats": _list(found.get("caveats")),
        "simulated": found.get("simulated") is True,
        "newer": isinstance(version, int | float) and version > VERSION,
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- findings ------------------------------------------------------------------------------------


def findings(document: Mapping[str, Any], results: Results) -> None:
    """Draw the findings as a list: what the papers found, what the study shows, and the verdict.

    Those that cannot be told here are folded in, with the commands that would tell.
    """
    rows = document["findings"]
    st.subheader(TITLE, help=explain("verdict"))
    if not rows:
        st.info("The comparison lists no findings.", icon=":material/info:")
        return
    st.markdown(f"**{escape(count_line(rows))}**")
    if document["simulated"]:
        st.caption("The subjects are simulated\\: verdicts test the method and say nothing of people.")
    told = [r for r in rows if verdict_of(r) != "cannot_tell"]
    untold = [r for r in rows if verdict_of(r) == "cannot_tell"]
    for verdict in ("supported", "not_supported"):
        for row in told:
            if verdict_of(row) == verdict:
                _finding(row)
    if untold:
        label = f"{count(len(untold), 'finding')} cannot be told here: why, and what would tell"
        with st.expander(label, expanded=not told, icon=BADGES["cannot_tell"][1]):
            _untold(untold)
    _downloads(rows, results, document["caveats"])


def count_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return "3 of 9 findings supported, 1 not, 5 cannot be told here."."""
    verdicts = [verdict_of(r) for r in rows]
    said = [f"{verdicts.count('supported')} of {count(len(rows), 'finding')} supported"]
    if verdicts.count("not_supported"):
        said.append(f"{verdicts.count('not_supported')} not")
    if verdicts.count("cannot_tell"):
        said.append(f"{verdicts.count('cannot_tell')} cannot be told here")
    return f"{', '.join(said)}."


def verdict_of(row: Mapping[str, Any]) -> str:
    """Return a finding's verdict; one that this page does not know tells nothing."""
    verdict = str(row.get("verdict"))
    return verdict if verdict in BADGES else "cannot_tell"


def _finding(row: Mapping[str, Any]) -> None:
    with st.container(border=True):
        badge, asked, shown = st.columns([1.05, 2.4, 3.0], gap="medium")
        with badge:
            _badge(verdict_of(row))
            source, full = source_of(_said(row, "source"))
            if source:
                st.caption(escape(source), help=escape(f"{full}."))
        with asked:
            claim, look_for = _said(row, "claim"), _said(row, "look_for")
            st.markdown(f"**{escape(claim or look_for)}**")
            if claim and look_for:
                st.caption(escape(look_for))
        with shown:
            shows = _said(row, "shows")
            reason, criterion = reason_of(row)
            if shows:
                st.markdown(escape(_sentence(shows)))
            if reason:
                st.caption(escape(reason), help=escape(criterion) if criterion else None)


def _untold(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw findings that cannot be told, those that one command would tell together."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(command_of(row), []).append(row)
    for command in sorted(groups, key=lambda c: not c):  # what no command would tell comes last
        with st.container(border=True):
            which, what = st.columns([3.4, 3.0], gap="medium")
            with which:
                for row in groups[command]:
                    st.markdown(f"**{escape(_said(row, 'claim') or _said(row, 'look_for'))}**")
                    reason, criterion = reason_of(row)
                    parts = (_said(row, "look_for"), _sentence(_said(row, "shows")), reason)
                    tip = " ".join(p for p in (f"{source_of(_said(row, 'source'))[1]}.", criterion) if len(p) > 1)
                    st.caption(escape(" ".join(p for p in parts if p)), help=escape(tip) or None)
            with what:
                _badge("cannot_tell")
                if command:
                    st.code(command, language=None, wrap_lines=True)


def _badge(verdict: str) -> None:
    title, icon, colour = BADGES[verdict]
    st.badge(title, icon=icon, color=colour)


def _said(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return true_minus(" ".join(value.split())) if isinstance(value, str) else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""


def reason_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return why a finding has its verdict, and the criterion, without the command that stands below them."""
    why = _said(row, "why").partition(" To find out:")[0]
    reason, found, criterion = why.partition("Criterion: ")
    command = command_of(row)
    if command and command in reason:
        reason = reason.replace(command, "").strip()
        reason = re.sub(r"\s*(?:Run|Do)?\s*[:`]*\s*[.`]*$", "", reason) + "."
    return reason.strip(), f"Criterion: {criterion.strip()}" if found else ""


def source_of(source: str) -> tuple[str, str]:
    """Return the papers of a finding, short and in full."""
    keys = [k.strip() for k in source.split(",") if k.strip()]
    known = [SOURCES.get(k, (k, k)) for k in keys]
    return "; ".join(short for short, _ in known), "; ".join(full for _, full in known)


def command_of(row: Mapping[str, Any]) -> str:
    """Return the command that would tell, where the finding names one that is safe to show.

    A run may come from elsewhere: only verbs that analyse or tune, and no character that a shell would read.
    """
    given = row.get("command")
    if isinstance(given, str):
        return given if COMMAND.fullmatch(given) else ""
    found = COMMAND.search(_said(row, "why"))
    return found.group().rstrip(".,:") if found else ""


def _downloads(rows: Sequence[Mapping[str, Any]], results: Results, caveats: Sequence[Any]) -> None:
    lines = tuple(
        (_said(r, "claim") or _said(r, "look_for"), _sentence(_said(r, "shows")) or reason_of(r)[0], verdict_of(r))
        for r in rows
    )
    note = " ".join(dict.fromkeys([*results.caveats, *map(str, caveats), f"Run {results.run_id}."]))
    with st.container(horizontal=True, gap="small", width="content"):
        for kind, mime in KINDS:
            st.download_button(
                kind.upper(),
                data=functools.partial(findings_file, lines, count_line(rows), note, kind),
                file_name=f"{results.run_id}-findings.{kind}",
                mime=mime,
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key=f"download_findings_{kind}",
                help=f"This table with the caveats, as {kind.upper()}.",
            )


def findings_file(lines: Sequence[tuple[str, str, str]], title: str, note: str, kind: Literal["png", "svg"]) -> bytes:
    """Return the findings as a file for a slide."""
    from braindash.figures import FindingLine, figure_bytes, static_findings

    table = [FindingLine(*line) for line in lines]
    return figure_bytes(static_findings(table, title=title, note=note), kind)
