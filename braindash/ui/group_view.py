"""One group of runs: what was best on the validation stories, every setting, how each learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import group_actions, groups, kept, names, notices, readers
from braindash.ui.barrier import guarded
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, escape, number, shorten
from braindash.wording import plural

if TYPE_CHECKING:
    import pandas as pd

    from braindash.figures import SettingLine
    from braindash.runs.groups import Group, Outcome
    from braindash.runs.record import RunRow

REFRESH = "5s"
SAME = 1e-9  # scores that differ by less are the same
MOST_CURVES = 60  # runs whose curves are drawn


def rows_of(group: str) -> tuple[RunRow, ...]:
    """Return a group's rows in the order of launching; () where it is gone."""
    from braindash.runs.groups import by_group

    return tuple(by_group(readers.run_rows()).get(group, ()))


def draw(group: str) -> None:
    """Draw the group, and go on drawing it while a run of it waits or works."""
    rows = rows_of(group)
    live = any(r.state in names.LIVE_STATES for r in rows)
    st.subheader(f"Group {escape(shorten(group, 100))}")
    group_actions.buttons(group, rows)
    st.fragment(guarded(_draw), run_every=REFRESH if live else None)(group, live)


def _draw(group: str, was_live: bool) -> None:
    rows = rows_of(group)
    if not rows or was_live != any(r.state in names.LIVE_STATES for r in rows):
        st.rerun()  # the buttons and the pace of this fragment depend on it
    found = groups.together(group, rows, tested=True)
    _head(found)
    _answer(found)
    _lines(found)
    _table(found)
    _curves(found)


def _head(group: Group) -> None:
    first = group.rows[0]
    with st.container(horizontal=True):
        for state, n in group.states.items():
            colour = {"done": "green", "failed": "red", "interrupted": "orange", "unreadable": "red"}.get(state, "blue")
            st.badge(f"{n} {names.state(state).lower()}", color=colour)  # type: ignore[arg-type]
        for word, values in (("Study", {r.study for r in group.rows}), ("Model", {r.model for r in group.rows})):
            said = (
                shorten(first.study if word == "Study" else first.model, 60) if len(values) == 1 else str(len(values))
            )
            st.badge(f"{word if len(values) == 1 else plural(word)}\\: {escape(said)}", color="gray")
        if group.n_seeds > 1:
            st.badge(f"{group.n_seeds} seeds", color="gray")
    tuned = [_share(r) for r in group.rows]
    if any(r.state in names.LIVE_STATES for r in group.rows):
        st.progress(sum(tuned) / len(tuned), text=f"{sum(t >= 1 for t in tuned)} of {count(len(tuned), 'run')} tuned")


def _share(row: RunRow) -> float:
    if row.state == "done" or row.stage == "evaluating":
        return 1.0
    return min((row.step or 0) / row.n_steps, 1.0) if row.n_steps else 0.0


def _answer(group: Group) -> None:
    """Say which setting was best on the validation stories, and by how much."""
    from braindash.runs.groups import label

    best = group.best
    if best is None:
        st.caption("The first score comes when the first run of the group has been tuned.")
        return
    so_far = "" if all(o.complete for o in group.outcomes if o.control == "none") else " so far"
    what = label(best.values)
    begin = f"Best{so_far} on the validation stories: {what}, with" if what else f"On the validation stories{so_far}:"
    spread = best.validation.sd
    sd = f" ± {number(spread, 4)} over {count(best.validation.n, 'seed')}" if spread == spread else ""
    before = f" Before tuning: {number(best.before, 4)}." if best.before == best.before else ""
    st.markdown(f"##### {escape(f'{begin} r = {number(best.validation.mean, 4)}{sd}.{before}')}")
    others = [o for o in _real(group) if not o.best and o.validation.n]
    behind = best.validation.mean - max((o.validation.mean for o in others if o.complete), default=float("-inf"))
    leads = max((o for o in others if not o.complete), key=lambda o: o.validation.mean, default=None)
    if best.complete and leads is not None and leads.validation.mean > best.validation.mean:
        said = f"{label(leads.values)} is ahead with r = {number(leads.validation.mean, 4)}, but has "
        st.caption(escape(f"{said}{leads.validation.n} of {count(len(leads.rows), 'seed')} so far."))
    elif abs(behind) < SAME:
        st.caption("Another setting has the same score\\: the first of them is shown.")
    elif behind < spread:
        st.caption(f"The next setting is {number(behind, 4)} behind\\: less than one standard deviation over seeds.")
    st.caption("Chosen by the validation stories alone\\. The test stories choose nothing.")


def _real(group: Group) -> list[Outcome]:
    return [o for o in group.outcomes if o.control == "none"]


def _setting(outcome: Outcome) -> SettingLine:
    from braindash.figures import SettingLine
    from braindash.runs.groups import is_tuned, show_value

    scores = [r.validation_r for r in outcome.rows if is_tuned(r) and r.validation_r is not None]
    curves = [groups.curve(r) for r in outcome.rows]
    values = [show_value(v) for v in outcome.values.values()]
    return SettingLine(values, scores, curves, outcome.best and bool(values))


def orders(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return the values of each axis from bottom to top: numbers by size, others as they come."""
    from braindash.runs.groups import show_value

    out = []
    for key in outcomes[0].values:
        values = list(dict.fromkeys(o.values[key] for o in outcomes))
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        rest = [v for v in values if v not in numbers or isinstance(v, bool)]
        out.append(list(dict.fromkeys(show_value(v) for v in [*rest, *sorted(numbers)])))
    return out


def _lines(group: Group) -> None:
    from braindash.figures import setting_lines
    from braindash.runs.groups import short_name

    real = _real(group)
    if not group.varied or not any(o.validation.n for o in real):
        return
    st.subheader("Settings and their scores")
    axes = [short_name(k) for k in group.varied]
    try:
        lines = [_setting(o) for o in real]
        chart(kept.figure(setting_lines, axes, orders(real), lines, theme=theme()), key="setting_lines")
    except BraindashError as error:
        notices.mistake(error)
        return
    st.caption(
        "A line is one combination of settings, coloured by its mean r on the validation stories, which the axis at "
        "the right shows. The star is the best. "
        + ("Short dashes beside that axis\\: single runs, one a seed." if group.n_seeds > 1 else "")
    )


def table(group: Group) -> pd.DataFrame:
    """Return one line a setting: what varies, validation r over seeds, differences on the test stories."""
    import pandas as pd

    from braindash.runs.groups import short_name, show_value

    controls = any(o.control != "none" for o in group.outcomes)
    lines = []
    for o in sorted(group.outcomes, key=_ranked):
        cells: dict[str, Any] = {"": "★ best"} if o.best and group.varied else {"": ""}
        cells |= {shorten(short_name(k), 40): shorten(show_value(v), 60) for k, v in o.values.items()}
        if controls:
            cells["Control"] = "–" if o.control == "none" else names.choice("control", o.control)
        done = o.validation.n
        cells["Runs"] = f"{len(o.rows)}" if done == len(o.rows) else f"{done} of {len(o.rows)}"
        cells["Validation r"] = o.validation.mean
        if group.n_seeds > 1:
            cells["± seeds"] = o.validation.sd
        cells["Before tuning"] = o.before
        if group.test_of:
            cells["Test difference"] = o.test.mean
            if group.n_seeds > 1:
                cells["± seeds, test"] = o.test.sd
        lines.append(cells)
    return pd.DataFrame(lines)


def _ranked(outcome: Outcome) -> tuple[bool, bool, float]:
    """Order settings: real ones before controls, the best on the validation stories first."""
    r = outcome.validation.mean
    return (outcome.control != "none", not outcome.best, -r if r == r else 0.0)


def _table(group: Group) -> None:
    shown = table(group)
    st.subheader("Every setting", help=explain("validation_r", "seed", "delta"))
    formats = {"Validation r": "%.4f", "± seeds": "%.4f", "Before tuning": "%.4f"}
    formats |= {"Test difference": "%+.4f", "± seeds, test": "%.4f"}
    st.dataframe(
        shown,
        key="group_table",
        hide_index=True,
        placeholder="–",
        height=min(36 * (len(shown) + 1) + 3, 500),
        alt=f"Table of {count(len(shown), 'setting')} with validation r.",
        column_config={
            "Control": st.column_config.TextColumn("Control", width=150),
            **{c: st.column_config.NumberColumn(c, format=form) for c, form in formats.items() if c in shown.columns},
        },
    )
    notes = ["Validation r\\: mean over seeds of the correlation on the validation stories, of the epoch kept."]
    if group.n_seeds > 1:
        notes.append("±\\: standard deviation over seeds.")
    if any(o.control != "none" for o in group.outcomes):
        notes.append("A control's validation r is on its own responses, not to be compared with the others.")
    if group.test_of:
        region, rest = group.test_of.split(",", 1)
        notes.append(f"Test difference\\: tuned minus pretrained, {escape(f'{names.region(region)},{rest}')}.")
    if group.unread:
        notes.append(f"{count(len(group.unread), 'run')} of the group cannot be read.")
    st.caption(" ".join(notes))


def _curves(group: Group) -> None:
    from braindash.figures import group_curves
    from braindash.runs.groups import label

    real = _real(group)
    ranked = sorted(real, key=_ranked)
    drawn, n = [], 0
    for outcome in ranked:
        if n and n + len(outcome.rows) > MOST_CURVES:
            break
        drawn.append(outcome)
        n += len(outcome.rows)
    st.subheader("Learning curves")
    labels = [label(o.values) or "All runs" for o in drawn]
    try:
        lines = [_setting(o) for o in drawn]
        chart(kept.figure(group_curves, labels, lines, theme=theme()), key="group_curves")
    except BraindashError as error:
        st.caption(escape(error.what))
        return
    cut = f" The {n} runs of the best {len(drawn)} settings." if len(drawn) < len(real) else ""
    st.caption(f"A line is a run, coloured by the mean r of its setting\\. The best setting is in bold.{cut}")
