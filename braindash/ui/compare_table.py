"""The table of all runs on the page Compare: found by words and filters, chosen by ticking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.figures.run_curves import MOST_RUNS
from braindash.runs.marks import Marks
from braindash.runs.searching import all_tags, find_runs
from braindash.ui import address, links, names, readers, runs_table
from braindash.ui.compare_files import csv_bytes
from braindash.ui.glossary_help import explain
from braindash.ui.marks_view import NONE, STAR
from braindash.ui.text import count, number, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.runs.headline import Headline
    from braindash.runs.record import RunRow

PARAM = "runs"
_DRAWN = "compare_drawn"  # ids of the rows of the table, as it was last drawn
_VERSION = "compare_version"  # a table whose ticks no longer hold is drawn under another key
_TOO_MANY = "compare_too_many"
ORDERS = {
    "new": "Newest first",
    "old": "Oldest first",
    "change": "Largest change",
    "validation": "Highest validation r",
    "long": "Longest",
    "name": "Name",
}
HEIGHT = 390  # px
CHANGE, CHANGE_R, VALIDATION, MINUTES = "Δ of ceiling", "Δ r", "Validation r", "Minutes"
CSV_NAMES = {CHANGE: "Change (r / noise ceiling)", CHANGE_R: "Change (r)", "Targets": "Targets (n)"}


@st.cache_resource(max_entries=8, show_spinner=False)
def _known(home_path: str) -> dict[str, tuple[tuple[int, int], Headline | None]]:
    """Numbers of summaries read so far, each with the state of its file; shared by all sessions."""
    return {}


def headlines(rows: Sequence[RunRow]) -> dict[str, Headline]:
    """Return the number that each evaluated run's summary rests on, reading only what has changed."""
    from braindash.runs.headline import read_headline
    from braindash.runs.results import RECORDS

    place = readers.home()
    known = _known(str(place.path))
    found = {}
    for row in rows:
        if row.has_results:
            seen = readers.mark(place.runs / row.id / RECORDS)
            before = known.get(row.id)
            if before is None or before[0] != seen:
                known[row.id] = before = (seen, read_headline(place.runs / row.id))
            if before[1] is not None:
                found[row.id] = before[1]
    return found


def chosen_ids(known: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the runs that the address names: those that exist, at most MOST_RUNS, and the names of no run."""
    wanted = [part for part in st.query_params.get(PARAM, "").split(",") if part]
    wanted = list(dict.fromkeys(wanted))
    return [run_id for run_id in wanted if run_id in known][:MOST_RUNS], [w for w in wanted if w not in known]


def choose(ids: Sequence[str]) -> None:
    """Put the choice into the address."""
    address.write(**{PARAM: ",".join(ids) or None})


def draw(rows: Sequence[RunRow], marks: Mapping[str, Marks], chosen: Sequence[str]) -> None:
    """Draw search, filters and the table; ticking changes the address."""
    kept, order = _filtered(rows, marks)
    if not kept:
        st.info("No run fits. Take a filter away, or search for fewer words.", icon=":material/search_off:")
        return
    said = headlines(kept)
    shown = in_order(kept, order, said)
    table = frame(shown, marks, said)
    ids = tuple(row.id for row in shown)
    key = _key(ids, chosen)
    st.dataframe(
        table,
        key=key,
        hide_index=True,
        height=min(36 * (len(ids) + 1) + 3, HEIGHT),
        on_select=partial(_ticked, key, ids),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [i for i, run_id in enumerate(ids) if run_id in chosen]}},
        placeholder="",
        alt=f"Table of {count(len(ids), 'run')}; a tick chooses a run.",
        column_config=_columns(table),
    )
    if st.session_state.pop(_TOO_MANY, False):
        st.warning(f"At most {MOST_RUNS} runs can be told apart in a chart. The first of them stay.")
    _foot(len(rows), shown, partial(csv_table, shown, marks, said))


def _key(ids: tuple[str, ...], chosen: Sequence[str]) -> str:
    """Return the table's key: another one where its ticks, kept by place, are not those of the address.

    Other rows, or another order of them, under ticks need a new table as well; without ticks the browser keeps the
    one that it has built, and fills it anew.
    """
    version = int(st.session_state.get(_VERSION, 0))
    key = f"compare_table_{version}"
    held = st.session_state.get(key)
    ticked = sorted(held["selection"]["rows"]) if held else []
    wanted = [i for i, run_id in enumerate(ids) if run_id in chosen]
    moved = st.session_state.get(_DRAWN) != ids
    if (moved and (ticked or wanted)) or (held and [i for i in ticked if i < len(ids)] != wanted):
        st.session_state[_VERSION] = version + 1
        key = f"compare_table_{version + 1}"
    st.session_state[_DRAWN] = ids
    return key


def _ticked(key: str, ids: tuple[str, ...]) -> None:
    """Keep runs chosen that this table does not show, and take its ticks for the others."""
    ticked = [ids[i] for i in st.session_state[key]["selection"]["rows"] if i < len(ids)]
    before = [part for part in st.query_params.get(PARAM, "").split(",") if part]
    kept = [run_id for run_id in before if run_id in ticked or run_id not in ids]
    chosen = [*kept, *(run_id for run_id in ticked if run_id not in kept)]
    st.session_state[_TOO_MANY] = len(chosen) > MOST_RUNS
    choose(chosen[:MOST_RUNS])


def _filtered(rows: Sequence[RunRow], marks: Mapping[str, Marks]) -> tuple[list[RunRow], str]:
    """Draw search, filters and order; return the rows that fit, and the order."""
    st.text_input(
        "Search",
        key="q",
        bind="query-params",
        placeholder="Words in the name, study, model, recipe, loss, tags, note or id; all of them must be there",
        icon=":material/search:",
    )
    starred = any(m.starred for m in marks.values())
    columns = st.columns([3, 3, 3, 3, 3])
    with columns[0]:
        studies = links.several(
            "studies", "Study", sorted({r.study for r in rows if r.study}), placeholder="All studies"
        )
    with columns[1]:
        models = links.several(
            "models", "Model", sorted({r.model for r in rows if r.model}), placeholder="All models",
            names=lambda m: shorten(m, 60),
        )  # fmt: skip
    with columns[2]:
        states = links.several(
            "states", "State", list(dict.fromkeys(r.state for r in rows)), names=names.state, placeholder="All states"
        )
    with columns[3]:
        tags = links.several("tags", "Tags", all_tags(marks), placeholder="All tags" if marks else "No tags yet")
    with columns[4]:
        order = links.select("order", "Order", list(ORDERS), names=ORDERS.__getitem__)
    # always there: what appears above moves what is below, and closes what the reader has opened
    only = st.toggle(
        f"{STAR} Only runs with a star", key="starred", bind="query-params", disabled=not starred,
        help=None if starred else "No run has a star yet. Tick one, and open *Star, tags and note*.",
    )  # fmt: skip
    found = find_runs(
        rows, marks, text=str(st.session_state.get("q") or ""), studies=studies, models=models, states=states,
        tags=tags, starred=only and starred,
    )  # fmt: skip
    return found, order


def in_order(rows: list[RunRow], order: str, said: Mapping[str, Headline]) -> list[RunRow]:
    """Return rows, which come newest first, in one of ORDERS; runs without the number come last."""

    def falling(value: float | None) -> float:
        return -value if value is not None and value == value else float("inf")

    if order == "old":
        return rows[::-1]
    if order == "change":
        return sorted(rows, key=lambda r: falling(said[r.id].value if r.id in said else None))
    if order == "validation":
        return sorted(rows, key=lambda r: falling(r.validation_r))
    if order == "long":
        return sorted(rows, key=lambda r: falling(minutes(r)))
    if order == "name":
        return sorted(rows, key=lambda r: (not r.name, r.name.casefold()))
    return rows


def minutes(row: RunRow) -> float | None:
    """Return how long a run has taken, from its start to its end."""
    return (row.ended - row.started) / 60 if row.started and row.ended else None


def frame(rows: Sequence[RunRow], marks: Mapping[str, Marks], said: Mapping[str, Headline]) -> pd.DataFrame:
    """Return the table, one line a run."""
    import pandas as pd

    lines = []
    for r in rows:
        mine, change = marks.get(r.id, NONE), said.get(r.id)
        lines.append(
            {
                STAR: STAR if mine.starred else "",
                "Name": shorten(r.name, 80) or (r.id if r.state == "unreadable" else "–"),
                CHANGE: change.value if change and change.normalised else None,
                CHANGE_R: change.value if change and not change.normalised else None,
                "95 % interval": _interval(change),
                VALIDATION: r.validation_r,
                "State": f"{runs_table.MARKS.get(r.state, '')} {names.state(r.state)}",
                "Made": r.created,
                MINUTES: minutes(r),
                "Tags": list(mine.tags),
                "Note": shorten(mine.problem or mine.note or r.problem, 120),
                "Study": r.study or "–",
                "Model": shorten(r.model, 40) or "–",
                "Recipe": names.choice("recipe", r.recipe) if r.recipe else "–",
                "Loss": names.choice("loss", r.loss) if r.loss else "–",
                "Control": "–" if r.control in ("", "none") else names.choice("control", r.control),
                "Seed": r.seed,
                "Where": _where(change),
                "Targets": change.n if change else None,
                "Group": shorten(r.group, 40),
                "Id": r.id,
            }
        )
    table = pd.DataFrame(lines)
    for column in (CHANGE, CHANGE_R, VALIDATION, MINUTES):
        table[column] = table[column].astype(float)
    for column in ("Seed", "Targets"):
        table[column] = table[column].astype("Int64")
    table["Made"] = pd.to_datetime(table["Made"], unit="s", utc=True).dt.tz_convert(runs_table.local_zone())
    unused = [CHANGE_R] if table[CHANGE_R].isna().all() else []
    return table.drop(columns=unused)


def _interval(change: Headline | None) -> str:
    if change is None or change.low != change.low or change.high != change.high:
        return ""
    return f"{number(change.low, 3, signed=True)} to {number(change.high, 3, signed=True)}"


def _where(change: Headline | None) -> str:
    if change is None:
        return ""
    return f"{change.region_title or names.region(change.region)}, layer {change.layer}"


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    column = st.column_config
    rests = (
        "The difference that the run's summary rests on, tuned minus pretrained, on the test stories: mostly the "
        "late-language regions at the last layer; *Where* says which."
    )
    return {
        STAR: column.TextColumn(STAR, width=40, help="Starred, below or with `braindash runs mark`."),
        "Name": column.TextColumn("Name", width=220),
        CHANGE: column.NumberColumn(CHANGE, format="%+.3f", help=f"{rests}\n\n{explain('delta', 'r_norm')}"),
        CHANGE_R: column.NumberColumn(
            CHANGE_R, format="%+.3f", help=f"{rests} Where there is no ceiling.\n\n{explain('r')}"
        ),
        "95 % interval": column.TextColumn("95 % interval", help=explain("interval")),
        VALIDATION: column.NumberColumn(
            VALIDATION, format="%.4f", help="Correlation on the validation stories, of the epoch kept so far."
        ),
        "Made": column.DatetimeColumn("Made", format="D MMM YYYY, HH:mm"),
        MINUTES: column.NumberColumn(MINUTES, format="%.1f", help="From start to end."),
        "Tags": column.ListColumn("Tags", width=160),
        "Note": column.TextColumn("Note", width=220),
        "Targets": column.NumberColumn("Targets", help="Behind the difference; the sum over subjects."),
    }


def csv_table(rows: Sequence[RunRow], marks: Mapping[str, Marks], said: Mapping[str, Headline]) -> bytes:
    """Return the table as a file: intervals as numbers, names and notes whole."""
    table = frame(rows, marks, said).drop(columns="95 % interval")
    ends = [(c.low, c.high) if (c := said.get(r.id)) else (None, None) for r in rows]
    table.insert(3, "95 % interval, low", [low for low, _ in ends])
    table.insert(4, "95 % interval, high", [high for _, high in ends])
    table["Name"] = [r.name for r in rows]
    table["Note"] = [marks.get(r.id, NONE).note for r in rows]
    table["State"] = [r.state for r in rows]
    return csv_bytes(table.rename(columns=CSV_NAMES))


def _foot(n_all: int, shown: Sequence[RunRow], file: Callable[[], bytes]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        n = f"{len(shown):,} of {count(n_all, 'run')}" if len(shown) < n_all else count(n_all, "run")
        how = (
            f"Tick up to {MOST_RUNS} to compare them\\; a click on a heading sorts."
            if n_all > 1
            else "Tick it to see it."
        )
        st.caption(f"{n}\\. {how}")
        st.download_button(
            "Table (CSV)",
            file,
            file_name="runs.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="compare_table_csv",
        )
