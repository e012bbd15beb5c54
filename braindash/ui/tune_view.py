"""The pieces of the Tune page: what to tune on what, what it will cost, and the launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.config import TuneConfig, validate
from braindash.errors import BraindashError
from braindash.ui import form, links, names, notices, permissions, readers, settings
from braindash.ui.layout import RUNS
from braindash.ui.text import count, duration, escape, shorten

if TYPE_CHECKING:
    from braindash.studies.library import StudyEntry

OTHER_MODEL_HELP = "Choose one, or type a hub id such as microsoft/wavlm-base-plus, or the path of a local folder."


DEFAULTS = "defaults"
PRESETS = {
    "a-iclr": "Brain-tuning, all layers (Moussa et al., ICLR 2025)",
    "a-multi": "Brain-tuning, many subjects (Moussa & Toneva, NeurIPS 2025)",
    "b-brainwavlm": "BrainWavLM (Vattikonda et al. 2025)",
}


def starting_point() -> tuple[TuneConfig | None, str]:
    """Return the settings that the form begins with, and a name for them.

    These are an earlier run's, which the address names with ``like=``; else those of a preset
    that the reader chooses; else None: the defaults.
    """
    like = st.query_params.get("like")
    if like:
        try:
            return readers.store().get(like).config, like
        except BraindashError as error:
            notices.mistake(error)
    from braindash.tuning import presets

    chosen = links.select(
        "preset",
        "Start from",
        [DEFAULTS, *presets.names()],
        names=lambda p: "The defaults" if p == DEFAULTS else PRESETS.get(p, p),
        persist=True,
        help="A published study's settings, every value cited in the preset's file. Change what you like below.",
    )
    if chosen == DEFAULTS:
        return None, ""
    # a preset names no study, and its model is a proposal: both are chosen below
    values = {"model": "", **presets.load(chosen), "study": "", "preset": chosen}
    return validate(TuneConfig, values, f"Preset {chosen}"), chosen


def no_study() -> None:
    """Say how to get a study, where the home has none."""
    st.markdown(
        "There is no study in this home yet, so there is nothing to tune on. Add one, or build the embedded study:"
    )
    st.code("braindash study add table PATH/TO/FOLDER\nbraindash demo", language=None)
    st.markdown("`braindash study add table PATH --init` writes a commented example of what a study needs.")


def choose_study(entries: list[StudyEntry], start: TuneConfig | None) -> tuple[str, readers.StudyFacts]:
    """Draw the choice of a study and what is known of it."""
    titles = {e.id: shorten(e.title or e.id, 60) for e in entries}
    default = start.study if start and start.study else None
    chosen = links.select("study", "Study", list(titles), default=default, names=titles.__getitem__, persist=True)
    facts = readers.study_facts(chosen)
    if facts.problem:
        st.error(escape(facts.problem), icon=":material/error:")
        return chosen, facts
    parts = [f"{count(len(facts.subjects), 'subject')}, TR {facts.tr:g} s"]
    words = {"tune": "to tune on", "validation": "to choose the epoch on", "test": "held out for testing"}
    for part, what in words.items():
        names_of = facts.stories.get(part, ())
        parts.append(
            f"{count(len(names_of), 'story', 'stories')} {what} ({duration(60 * facts.minutes.get(part, 0.0))})"
        )
    st.caption(escape("; ".join(parts) + "."))
    return chosen, facts


def choose_model(start: TuneConfig | None) -> str:
    """Draw the choice of a model; anything may be typed, the server checks it."""
    known = {m.id: m for m in readers.models()}
    options = list(known)
    begin = start.model if start else options[0]
    if begin not in options:
        options.append(begin)
    chosen = st.selectbox(
        "Speech model",
        options,
        index=options.index(begin),
        accept_new_options=True,
        key="model",
        bind="query-params",
        help=OTHER_MODEL_HELP,
    )
    info = known.get(str(chosen))
    if info is not None and info.problem:
        st.error(escape(info.problem), icon=":material/error:")
    elif info is not None:
        licence = f", licence {info.licence}" if info.licence else ""
        text = f"{info.family}, {info.n_layers} layers, width {info.width}{licence}. {info.source}"
        st.caption(escape(shorten(text, 220)))
    else:
        st.caption("Not in this home yet\\: it is looked for when you check or launch.")
    return str(chosen or "")


def main_choices(start: TuneConfig | None) -> dict[settings.Path, Any]:
    """Draw recipe, loss and control; return their values by path."""
    every = {s.dotted: s for s in settings.settings()}
    out: dict[settings.Path, Any] = {("preset",): start.preset if start else "", ("group",): ""}
    for column, name in zip(st.columns(3, gap="medium"), ("recipe", "loss", "control"), strict=True):
        with column:
            out[(name,)] = form.linked_choice(every[name], start)
    return out


def regions(facts: readers.StudyFacts) -> tuple[str, ...]:
    """Return the regions that can be tuned on: named groups, those of the settings, then the study's own."""
    from braindash.encoding.regions import region_groups
    from braindash.runs.own_regions import reachable

    try:
        groups = permissions.settings().groups()
        if not groups or facts.problem or not facts.subjects:
            return facts.regions
        own = reachable(readers.study(facts.id).targets(facts.subjects[0]), groups)
    except BraindashError:  # told above the page
        return facts.regions
    named = [r for r in facts.regions if r in region_groups()]
    return (*named, *own, *facts.regions[len(named) :])


def build(entered: form.Form) -> TuneConfig | None:
    """Check what was entered on the server's side; show what is wrong, and return None then."""
    from braindash.runs.own_regions import spell_out

    if entered.mistakes:
        for mistake in entered.mistakes:  # each names its group, which may be closed
            notices.mistake(mistake)
        return None
    try:
        return spell_out(validate(TuneConfig, entered.mapping(), "This fine-tune"), readers.home())
    except BraindashError as error:
        notices.mistake(error)
        return None


def split_note(facts: readers.StudyFacts) -> None:
    """Say in words what sees which stories."""
    test = ", ".join(facts.stories.get("test", ()))
    if test:
        st.success(
            f"Held out\\: {escape(shorten(test, 200))}\\. Neither the tuning, nor the choice of the epoch, nor the "
            "fitting of the encoding models reads what is held out.",
            icon=":material/lock:",
        )


def launched_note() -> None:
    """Point to the run or the group that was launched from this page."""
    launched = st.session_state.get("launched")
    if not launched:
        return
    with st.container(border=True):
        if "group" in launched:
            st.markdown(f"**Launched.** Group {escape(shorten(launched['group'], 80))}")
            st.page_link(RUNS.path, label="Watch it", icon=RUNS.icon, query_params={"group": launched["group"]})
            return
        row = readers.store().row(launched["run"])
        st.markdown(f"**Launched.** {escape(names.run(row))}")
        st.page_link(RUNS.path, label="Watch it", icon=RUNS.icon, query_params={"run": launched["run"]})
