"""The runs chosen on the page Compare: their letters and names, what is read of them, what they differ in."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.errors import BraindashError
from braindash.figures.run_curves import LEGEND_NAME, MOST_RUNS, RUN_STYLES
from braindash.ui import compare_table, links, marks_view, names, readers, settings
from braindash.ui.charts import theme
from braindash.ui.compare_files import csv_bytes
from braindash.ui.layout import TUNE
from braindash.ui.text import count, escape, moment, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.config import TuneConfig
    from braindash.runs.config_differences import Settings
    from braindash.runs.marks import Marks
    from braindash.runs.record import RunRow
    from braindash.ui.readers import Results

_PILLS = "compare_chosen"


@dataclass(frozen=True)
class Chosen:
    """One run that is compared."""

    place: int  # among RUN_STYLES
    row: RunRow
    config: TuneConfig
    results: Results | None = None
    problem: str = ""  # why its results cannot be read

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def letter(self) -> str:
        return RUN_STYLES[self.place].letter

    @property
    def name(self) -> str:
        """What it is called: its own name, or what was tuned on what; the seed tells seeds apart."""
        return self._name(44)

    @property
    def short(self) -> str:
        """The same for a legend: what is cut is the name, not the seed."""
        return self._name(LEGEND_NAME - len(f", seed {self.row.seed}"))

    def _name(self, width: int) -> str:
        what = self.row.name or f"{self.row.model} on {self.row.study}"
        return f"{shorten(what, max(width, 8))}, seed {self.row.seed}"


def read(rows: Sequence[RunRow]) -> tuple[list[Chosen], list[str]]:
    """Return the chosen runs that can be compared, and a sentence for each that cannot."""
    found: list[Chosen] = []
    said: list[str] = []
    for row in rows:
        place = len(found)
        try:
            run = readers.store().get(row.id)
            config = run.config
        except BraindashError as error:
            said.append(error.what)
            continue
        if row.state == "unreadable":
            said.append(row.problem)
            continue
        results, problem = None, ""
        if row.has_results:
            try:
                results = readers.results(run)
            except BraindashError as error:
                problem = error.what
        found.append(Chosen(place, row, config, results, problem))
    return found, said


def strip(runs: Sequence[Chosen], rows: Mapping[str, RunRow]) -> None:
    """Draw the chosen runs as one line, each of which can be taken away, and what may be added."""
    st.session_state[_PILLS] = [c.id for c in runs]
    labels = {c.id: f"{c.letter} · {escape(c.name)}" for c in runs}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.pills(
            "Compared; a click takes a run away",
            list(labels),
            format_func=labels.__getitem__,
            selection_mode="multi",
            key=_PILLS,
            on_change=_taken_away,
        )
        more = other_seeds(runs, list(rows.values()))
        if more:
            st.button(
                f"Add {count(len(more), 'other seed')}",
                icon=":material/add:",
                key="compare_add_seeds",
                help="Runs that differ from those chosen in nothing but the seed.",
                on_click=compare_table.choose,
                args=([c.id for c in runs] + more,),
            )
        st.button("Clear", icon=":material/close:", key="compare_clear", on_click=compare_table.choose, args=([],))


def _taken_away() -> None:
    compare_table.choose(list(st.session_state[_PILLS]))


def other_seeds(runs: Sequence[Chosen], rows: Sequence[RunRow]) -> list[str]:
    """Return runs, as many as there is room for, that differ from a chosen one in nothing but the seed."""
    folder = readers.home().runs  # asked once: a home's path is looked up on the disk

    def key(run_id: str) -> str:
        return _setting_key(str(folder), run_id, readers.mark(folder / run_id / "config.yaml"))

    chosen = {c.id for c in runs}
    keys = {key(c.id) for c in runs if c.row.recipe != "imported"} - {""}
    alike = {(c.row.study, c.row.model, c.row.recipe, c.row.loss, c.row.control) for c in runs}
    found = [
        row.id
        for row in rows
        if row.id not in chosen
        and row.recipe != "imported"
        and (row.study, row.model, row.recipe, row.loss, row.control) in alike
        and key(row.id) in keys
    ]
    return found[: MOST_RUNS - len(runs)]


@functools.lru_cache(maxsize=4096)
def _setting_key(folder: str, run_id: str, as_of: tuple[int, int]) -> str:
    from braindash.runs.config_differences import setting_key
    from braindash.runs.run import Run

    try:
        return setting_key(Run(f"{folder}/{run_id}").config)
    except BraindashError:
        return ""


def who(runs: Sequence[Chosen]) -> None:
    """Draw the runs with their letters and colours."""
    import pandas as pd

    table = pd.DataFrame(
        [
            {
                "Run": c.letter,
                "Name": shorten(c.row.name, 80) or "–",
                "Study": c.row.study,
                "Model": shorten(c.row.model, 40),
                "Recipe": names.choice("recipe", c.row.recipe),
                "Loss": names.choice("loss", c.row.loss),
                "Control": "–" if c.row.control == "none" else names.choice("control", c.row.control),
                "Seed": c.row.seed,
                "State": names.state(c.row.state) + ("" if c.row.has_results else ", not evaluated"),
                "Made": moment(c.row.created),
                "Id": c.id,
            }
            for c in runs
        ]
    )
    colours = {c.letter: RUN_STYLES[c.place].color(theme()) for c in runs}
    page = "#FFFFFF" if theme() == "light" else "#0E1117"
    styled = table.style.map(
        lambda letter: f"background-color: {colours[letter]}; color: {page}; font-weight: bold", subset=["Run"]
    )
    st.dataframe(
        styled,
        hide_index=True,
        key="compare_who",
        placeholder="–",
        alt=f"The {count(len(runs), 'run')} that are compared.",
        column_config={"Run": st.column_config.TextColumn("Run", width=50), "Name": {"width": 220}},
    )


# --- settings --------------------------------------------------------------------------------------


def differing(runs: Sequence[Chosen], found: Settings) -> pd.DataFrame:
    """Return the settings that differ, one a line, in plain words with their key."""
    import pandas as pd

    lines = []
    for one in found.differing:
        group, title = _titles(one.key)
        line = {"Setting": title, "Part": group, "Key": one.key}
        lines.append(line | {_heading(c): shown_value(one.key, v) for c, v in zip(runs, one.values, strict=True)})
    return pd.DataFrame(lines, columns=["Setting", "Part", "Key", *map(_heading, runs)])


def _heading(run: Chosen) -> str:
    return f"{run.letter} · {shorten(run.row.name, 24)}" if run.row.name else run.letter


@functools.lru_cache(maxsize=1)
def _known_settings() -> dict[str, settings.Setting]:
    return {s.dotted: s for s in settings.settings()}


def _titles(key: str) -> tuple[str, str]:
    known = _known_settings().get(key)
    return (known.group, known.title) if known else (settings.FURTHER, key.rpartition(".")[2].capitalize())


def shown_value(key: str, value: Any) -> str:
    """Return one value in the words of the form."""
    known = _known_settings().get(key)
    if value is None or value == () or value == "":
        return (known.empty if known else "") or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    last = key.rpartition(".")[2]
    if isinstance(value, list | tuple):
        return shorten(", ".join(f"{v:g}" if isinstance(v, float) else names.choice(last, v) for v in value), 80)
    return f"{value:g}" if isinstance(value, float) else shorten(names.choice(last, value), 80)


def settings_section(runs: Sequence[Chosen], n_all: int) -> None:
    """Draw the settings that differ, and those that agree as a list that opens; the home has ``n_all`` runs."""
    import pandas as pd

    from braindash.runs.config_differences import compare_settings

    st.subheader("Settings that differ")
    if len(runs) < 2:
        if n_all > 1:
            st.caption("Tick a second run to see what the two were asked to do differently.")
        else:
            st.caption(
                "This is the only run in this home. A second one shows here what it was asked to do differently."
            )
            _tune_another(runs[0].row)
        return
    found = compare_settings([c.config for c in runs])
    table = differing(runs, found)
    if table.empty:
        st.markdown("None\\: all settings agree, the seed too.")
    else:
        st.dataframe(
            table,
            hide_index=True,
            key="compare_settings",
            height=min(36 * (len(table) + 1) + 3, 430),
            alt=f"Table of {count(len(table), 'setting')} that differ between {count(len(runs), 'run')}.",
            column_config={"Setting": {"width": 220}, "Key": {"width": 200}},
        )
    if any(c.row.recipe == "imported" for c in runs):
        st.caption("A model tuned elsewhere stands beside its settings\\: which one it is, its run says.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Settings (CSV)",
            functools.partial(csv_bytes, table),
            file_name="settings.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="compare_settings_csv",
            disabled=table.empty,
        )
    with st.expander(f"{count(len(found.agreeing), 'setting')} agree", icon=":material/equal:"):
        lines = [
            {"Setting": _titles(key)[1], "Part": _titles(key)[0], "Key": key, "Value": shown_value(key, value)}
            for key, value in found.agreeing
        ]
        st.dataframe(pd.DataFrame(lines), hide_index=True, key="compare_agreeing", alt="Settings in which runs agree.")


# --- what else the page draws of them ----------------------------------------------------------------


def offer(rows: Sequence[RunRow]) -> None:
    """Say how runs are chosen, where none is; where there is one run alone, what there is to compare it with."""
    if len(rows) == 1:
        st.info(
            "There is one run in this home, so nothing to compare it with yet. Tick it to see its settings, scores "
            "and curves by themselves. Another seed, loss or control of it would stand beside it here.",
            icon=":material/check_box:",
        )
        _tune_another(rows[0])
        return
    st.info("Tick two runs or more in the table. The address then holds the choice, to send or to keep.",
            icon=":material/check_box:")  # fmt: skip
    newest = [row.id for row in rows if row.has_results][:2]
    if len(newest) == 2:
        st.button(
            "Compare the two newest that are evaluated",
            icon=":material/compare_arrows:",
            key="compare_newest",
            on_click=compare_table.choose,
            args=(newest,),
        )


def _tune_another(row: RunRow) -> None:
    if row.state != "unreadable" and row.recipe != "imported":
        st.page_link(TUNE.path, label="Tune another like it", icon=TUNE.icon, query_params={"like": row.id})


def caveats(runs: Sequence[Chosen]) -> list[str]:
    """Return what every figure of these runs must carry; where it is not true of all, of which."""
    of: dict[str, list[str]] = {}
    for c in runs:
        for sentence in c.results.caveats if c.results else ():
            of.setdefault(sentence, []).append(c.letter)
    n = sum(c.results is not None for c in runs)
    return [s if len(letters) == n else f"{' '.join(letters)}: {s}" for s, letters in of.items()]


def marks_of_one(runs: Sequence[Chosen], marks: Mapping[str, Marks]) -> None:
    """Draw the star, tags and note of one of the runs."""
    from braindash.runs.searching import all_tags

    by_id = {c.id: c for c in runs}
    run_id = runs[0].id
    if len(runs) > 1:
        run_id = links.select(
            "marked", "Of run", list(by_id), names=lambda r: f"{by_id[r].letter} · {by_id[r].name}", kind="select"
        )
    marks_view.editor(run_id, all_tags(marks))
