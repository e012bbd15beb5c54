"""The pieces of the Study page: split, stories, subjects, what the check found, and the timing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import checks, notices, readers
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, duration, escape, moment, true_minus

if TYPE_CHECKING:
    import pandas as pd

    from braindash.studies.report import StudyReport

PARTS = {
    "tune": ("Tuned on", "The model and the encoding weights are fitted here."),
    "validation": ("Chosen on", "The best epoch is chosen here; encoding weights are fitted here too."),
    "test": ("Tested on", "Read by nothing but the final scores."),
}
LEVELS = {"error": "Error", "warning": "Warning", "excluded": "Left out", "note": "Note", "ok": "In order"}


def facts_section(facts: readers.StudyFacts) -> None:
    """Show what is known without reading a response: the split and its durations."""
    st.subheader("Split", help=explain("test_stories", "tr"))
    for column, (part, (title, what)) in zip(st.columns(3, border=True), PARTS.items(), strict=True):
        stories = facts.stories.get(part, ())
        with column:
            st.metric(title, count(len(stories), "story", "stories"), help=what)
            st.caption(f"{duration(60 * facts.minutes.get(part, 0.0))} of audio")
            st.text(", ".join(stories) or "none")
    st.caption(
        f"{count(len(facts.subjects), 'subject')}\\: {escape(', '.join(facts.subjects))}. "
        f"TR\\: {facts.tr:g} s. The split is part of the study and is recorded in every run."
    )


def check_section(study_id: str) -> None:
    """Show the kept check, or the button that makes it."""
    found = checks.stored(study_id)
    st.subheader("What the check finds")
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Check the study" if found is None else "Check again"
        help_ = "Reads every response once and scans the timing. Seconds for a small study, minutes for a large one."
        pressed = st.button(label, icon=":material/fact_check:", key="check_study", help=help_)
        st.caption(
            "Not checked yet. The same from the command line:"
            if found is None
            else f"Checked {escape(moment(found.when))}. The same from the command line:"
        )
        st.code(f"braindash study check {study_id}", language=None)
    if pressed:
        with st.spinner("Reading all responses and shifting the words …"):
            checks.make(study_id)
        st.rerun()
    if found is None:
        return
    _findings(found.report)
    _tables(found.report)
    _timing(found)


def _findings(report: StudyReport) -> None:
    if report.ok:
        st.success("The study can be used.", icon=":material/check_circle:")
    for finding in report.findings:
        text = escape(f"{finding.what} {finding.remedy}".strip())
        if finding.level == "error":
            st.error(text, icon=":material/error:")
        elif finding.level == "warning":
            st.warning(text, icon=":material/warning:")
    said = [f for f in report.findings if f.level not in ("error", "warning") and f.what not in report.caveats]
    if said:
        st.text("\n".join(f"{LEVELS[f.level]}: {f.what} {f.remedy}".strip() for f in said))


def _tables(report: StudyReport) -> None:
    st.subheader("Subjects", help=explain("target", "noise_ceiling", "excluded"))
    st.dataframe(subjects_frame(report), hide_index=True, alt=f"Table of {len(report.subjects)} subjects.")
    st.caption(
        "Left out: targets whose responses are not finite or do not vary, counted and never filled in. Noise ceiling: "
        "where the largest reachable r of a target comes from; without one, scores are plain correlations."
    )
    with st.expander(f"The {len(report.stories)} stories", icon=":material/menu_book:"):
        st.dataframe(stories_frame(report), hide_index=True, alt=f"Table of {len(report.stories)} stories.")


def subjects_frame(report: StudyReport) -> pd.DataFrame:
    """Return one line a subject, with readable columns."""
    import pandas as pd

    return pd.DataFrame(
        {
            "Subject": [r.subject for r in report.subjects],
            "Stories": [r.n_stories for r in report.subjects],
            "Responses (h)": [round(r.hours, 2) for r in report.subjects],
            "Targets": [r.n_targets for r in report.subjects],
            "Left out: not finite": [r.n_excluded_nan for r in report.subjects],
            "Left out: constant": [r.n_excluded_constant for r in report.subjects],
            "Noise ceiling": [r.ceiling for r in report.subjects],
            "Cortex": [r.cortex for r in report.subjects],
        }
    )


def stories_frame(report: StudyReport) -> pd.DataFrame:
    """Return one line a story, with readable columns."""
    import pandas as pd

    titles = {part: title for part, (title, _) in PARTS.items()}
    rows = [sorted(set(s.n_rows.values())) for s in report.stories]
    return pd.DataFrame(
        {
            "Story": [s.name for s in report.stories],
            "Use": [titles.get(s.part, s.part) for s in report.stories],
            "Audio (s)": [round(s.duration_s, 1) for s in report.stories],
            "Rows": [" to ".join(map(str, dict.fromkeys((r[0], r[-1])))) if r else "none" for r in rows],
            "First row at (s)": [s.first_row_s for s in report.stories],
            "Last row at (s)": [s.last_row_s for s in report.stories],
            "Words": ["yes" if s.words else "no" for s in report.stories],
            "Phones": ["yes" if s.phones else "no" for s in report.stories],
        }
    )


def _timing(found: checks.Checked) -> None:
    from braindash.figures import lag_curves

    st.subheader("Are words and responses aligned?", help=explain("lag_scan", "hrf"))
    if not found.scans and not found.timing:
        st.info(
            "The timing was not scanned\\: it needs words with their times and responses of fMRI.",
            icon=":material/info:",
        )
        return
    for finding in found.timing:
        text = true_minus(f"{finding.get('what', '')} {finding.get('remedy', '')}".strip())
        if finding.get("level") in ("warning", "error"):
            st.warning(escape(text), icon=":material/warning:")
        else:
            st.text(text)
    if found.scans:
        chart(lag_curves(found.scans, theme=theme()), key="lag_curves", title="Are words and responses aligned?")
        st.caption(
            "The word rate, with a canonical haemodynamic response, is shifted by whole TRs and correlated with the "
            "responses; r is the mean over the 5 % of targets that follow it best. Dotted\\: chance, which words "
            "shifted far away stay below. Star\\: the best lag, where it exceeds chance; it should be near 0."
        )


def guard(study_id: str) -> None:
    """Draw the check; what it cannot do is said on the page."""
    from braindash.errors import BraindashError

    try:
        check_section(study_id)
    except BraindashError as error:
        notices.mistake(error)
