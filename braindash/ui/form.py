"""The form of a fine-tune: one widget a setting, its default and its help beneath it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.ui import links, names, settings
from braindash.ui.glossary_help import explain
from braindash.ui.settings import Path, Setting
from braindash.ui.text import escape

LINEAR_LAYERS = ("q", "k", "v", "out", "fc1", "fc2")
LAYER_NAMES = {
    "q": "query (q)",
    "k": "key (k)",
    "v": "value (v)",
    "out": "attention output (out)",
    "fc1": "feed-forward in (fc1)",
    "fc2": "feed-forward out (fc2)",
}


TERMS_OF: dict[str, tuple[str, ...]] = {  # what the glossary says of a setting
    "recipe": ("recipe", "lora", "head"),
    "loss": ("loss", "mse_loss", "spatial_loss", "temporal_loss"),
    "control": ("control",),
    "rois": ("region_groups",),
    "min_ceiling": ("noise_ceiling",),
    "permute_block": ("block",),
    "lora.rank": ("rank",),
    "lora.alpha": ("lora",),
    "head.kind": ("head", "hrf"),
    "head.rank": ("rank",),
    "layer": ("layer",),
    "optimiser.epochs": ("epoch",),
    "optimiser.patience": ("validation_r",),
    "keep": ("validation_r",),
    "block_trs": ("tr",),
    "window.context": ("window",),
    "window.readout": ("window",),
    "delays": ("fir_delays",),
    "encoding.layers": ("layer",),
    "encoding.window.context": ("window",),
    "encoding.window.readout": ("window",),
    "encoding.delays": ("fir_delays",),
    "encoding.lags": ("lags",),
    "encoding.alphas": ("penalty", "leave_one_story_out"),
    "encoding.select": ("r", "r2"),
    "encoding.ceiling": ("noise_ceiling",),
    "encoding.ceiling_threshold": ("noise_ceiling", "excluded"),
    "encoding.n_boot": ("interval",),
    "encoding.n_permutations": ("permutation_test",),
    "encoding.block_trs": ("block",),
    "encoding.fdr": ("q",),
    "seed": ("seed",),
}
_NONE = re.compile(r"[;,] (?:None|empty): [^.;()]*")  # said by the default that follows


@dataclass
class Form:
    """What the reader has entered, and the entries that could not be read."""

    values: dict[Path, Any] = field(default_factory=dict)
    mistakes: list[BraindashError] = field(default_factory=list)

    def mapping(self) -> dict[str, Any]:
        """Return the nested mapping that ``validate(TuneConfig, …)`` checks."""
        return settings.nested(self.values)


@dataclass(frozen=True)
class Offer:
    """What can be chosen from: it depends on the study and on the home."""

    subjects: Sequence[str] = ()
    regions: Sequence[str] = ()
    on_cortex: bool = True


def draw(offer: Offer, start: TuneConfig | None, origin: str, fixed: Mapping[Path, Any]) -> Form:
    """Draw every setting that is not ``fixed`` already and return what was entered.

    Parameters
    ----------
    offer : Offer
    start : TuneConfig or None
        Values to begin with (an earlier run's), instead of the defaults.
    origin : str
        Where ``start`` comes from; part of the widgets' keys, so that another start is a fresh form.
    fixed : mapping
        Values that the page has asked for already, by path.
    """
    form = Form(dict(fixed))
    every = [s for s in settings.settings() if s.path not in fixed]
    recipe, control = fixed.get(("recipe",)), fixed.get(("control",))
    for setting in (s for s in every if s.group == settings.MAIN):
        _draw_one(setting, offer, start, origin, form)
    for group in settings.GROUPS:
        members = [s for s in every if s.group == group]
        if not members:
            continue
        if recipe != _GROUP_OF_RECIPE.get(group, recipe):
            _take_silently(members, start, form)
            continue
        shown = [s for s in members if s.dotted != "permute_block" or control in PERMUTED]
        _take_silently([s for s in members if s not in shown], start, form)
        expander = st.expander(group, icon=_ICONS.get(group), key=GROUP_KEYS[group], bind="query-params")
        if not expander.open:  # some ninety widgets in all: sent only where they are seen
            for setting in shown:
                _take_entered(setting, offer, start, origin, form)
            continue
        with expander:
            columns = st.columns(2, gap="medium")
            for i, setting in enumerate(shown):
                with columns[i % 2]:
                    _draw_one(setting, offer, start, origin, form)
    return form


GROUP_KEYS = {  # of the expanders; an open one is in the address
    settings.DATA: "show_data",
    settings.LORA: "show_lora",
    settings.FULL: "show_full",
    settings.HEAD: "show_head",
    settings.OPTIMISER: "show_learning",
    settings.WINDOWS: "show_windows",
    settings.EVALUATION: "show_evaluation",
    settings.MACHINE: "show_machine",
    settings.FURTHER: "show_further",
}
PERMUTED = ("block-permuted", "story-permuted")
_GROUP_OF_RECIPE = {settings.LORA: "lora", settings.FULL: "full"}  # groups that mean something in one recipe only
_ICONS = {
    settings.DATA: ":material/groups:",
    settings.LORA: ":material/layers:",
    settings.FULL: ":material/select_all:",
    settings.HEAD: ":material/output:",
    settings.OPTIMISER: ":material/trending_down:",
    settings.WINDOWS: ":material/graphic_eq:",
    settings.EVALUATION: ":material/query_stats:",
    settings.MACHINE: ":material/memory:",
    settings.FURTHER: ":material/more_horiz:",
}


OWN_LOSS = "own"
LOSSES = ("mse", "spatial", "temporal", "huber+cosine", OWN_LOSS)


def linked_choice(setting: Setting, start: TuneConfig | None) -> str:
    """Draw one of the main choices, mirrored in the address by its identifier."""
    begin = _begin(setting, start)
    options = LOSSES if setting.dotted == "loss" else setting.choices
    chosen = links.select(
        setting.path[-1],
        setting.title,
        options,
        default=begin if begin in options else OWN_LOSS if setting.dotted == "loss" else setting.default,
        names=lambda c: names.choice(setting.path[-1], c),
        persist=True,
        help=meaning(setting),
    )
    if chosen == OWN_LOSS:
        chosen = st.text_input(
            "Weighted sum",
            value=begin if begin not in options else "spatial+0.5*mse",
            key="form_own_loss",
            persist_state="session",
        )
    st.caption(help_line(setting))
    return chosen


def meaning(setting: Setting) -> str:
    """Return what the glossary says of a setting, for its hover help; "" where it says nothing."""
    return explain(*TERMS_OF.get(setting.dotted, ()))


def help_line(setting: Setting) -> str:
    """Return the line beneath a widget: what it is, and its default; safe as Markdown."""
    default = settings.default_text(setting, names.CHOICES.get(setting.path[-1]))
    text = names.HELP.get(setting.dotted) or _NONE.sub("", setting.help).replace("`", "")
    return escape(text) + (f" Default\\: {escape(default)}\\." if default else "")


def _begin(s: Setting, start: TuneConfig | None) -> Any:
    """Return what a setting begins with: an earlier run's value, or the default."""
    return settings.value_at(start, s.path) if start else s.default


def _take_silently(members: Sequence[Setting], start: TuneConfig | None, form: Form) -> None:
    """Settings without meaning in this recipe keep their value and are not shown."""
    for s in members:
        form.values[s.path] = _begin(s, start)


def _take_entered(s: Setting, offer: Offer, start: TuneConfig | None, origin: str, form: Form) -> None:
    """Take what stands in a widget that is out of sight, as that widget would return it."""
    begin = _begin(s, start)
    key = _key(origin, s)
    _take(s, st.session_state.get(key, _initial(s, offer, begin)), offer, begin, form)


def _draw_one(s: Setting, offer: Offer, start: TuneConfig | None, origin: str, form: Form) -> None:
    begin = _begin(s, start)
    mistake = _take(s, _widget(s, offer, _initial(s, offer, begin), _key(origin, s)), offer, begin, form)
    if mistake is not None:
        st.error(escape(f"{mistake.what} {mistake.remedy}"), icon=":material/error:")
    st.caption(help_line(s))


def _key(origin: str, s: Setting) -> str:
    return f"form_{origin}_{s.dotted}"


def _take(s: Setting, entered: Any, offer: Offer, begin: Any, form: Form) -> BraindashError | None:
    """Put what was entered into the form; return what is wrong with it, where it cannot be read."""
    try:
        form.values[s.path] = _read(s, entered, offer, begin)
    except BraindashError as mistake:
        form.mistakes.append(mistake)
        form.values[s.path] = begin
        return mistake
    return None


def _initial(s: Setting, offer: Offer, begin: Any) -> Any:
    """Return a setting's value as its widget holds it."""
    match s.kind:
        case "choice":
            return str(begin)
        case "switch":
            return bool(begin)
        case "integer":
            return begin
        case "decimal":
            return None if begin is None else float(begin)
        case "names":
            options, _ = _options(s, offer)
            return [b for b in begin or () if b in options]
        case "text":
            return str(begin or "")
        case _:
            return "" if begin is None else settings.join_numbers(begin)


def _read(s: Setting, entered: Any, offer: Offer, begin: Any) -> Any:
    """Return a setting's value from what its widget holds."""
    if s.kind == "names":
        options, _ = _options(s, offer)
        chosen = tuple(e for e in entered if e in options)  # another study's are not on offer
        return chosen or (None if s.optional else ())
    if s.kind in ("integers", "decimals"):
        # the text has six digits of a number, the setting all of them
        return begin if entered.strip() == _initial(s, offer, begin) else settings.parse_numbers(entered, s)
    return entered


def _widget(s: Setting, offer: Offer, initial: Any, key: str) -> Any:
    if s.kind == "choice":
        return st.selectbox(
            s.title,
            s.choices,
            index=s.choices.index(initial),
            format_func=lambda c: names.choice(s.path[-1], c),
            key=key,
            help=meaning(s),
            persist_state="session",
        )
    if s.kind == "switch":
        return st.toggle(s.title, value=initial, key=key, persist_state="session")
    if s.kind == "integer":
        return st.number_input(
            s.title,
            min_value=None if s.low is None else int(s.low),
            max_value=None if s.high is None else int(s.high),
            value=_number(s, initial, key),
            step=1,
            format="%d",
            placeholder=s.empty or None,
            key=key,
            help=meaning(s),
            persist_state="session",
        )
    if s.kind == "decimal":
        return st.number_input(
            s.title,
            min_value=None if s.low is None else float(s.low),
            max_value=None if s.high is None else float(s.high),
            value=_number(s, initial, key),
            step=_step(initial),
            format="%g",
            placeholder=s.empty or None,
            key=key,
            help=meaning(s),
            persist_state="session",
        )
    if s.kind == "names":
        options, label = _options(s, offer)
        return st.multiselect(
            s.title,
            options,
            default=initial,
            format_func=label,
            placeholder=s.empty,
            key=key,
            help=meaning(s),
            persist_state="session",
        )
    return st.text_input(
        s.title,
        value=initial,
        max_chars=s.max_length if s.kind == "text" else None,
        placeholder=s.empty or None,
        key=key,
        help=meaning(s),
        persist_state="session",
    )


def _number(s: Setting, initial: float | None, key: str) -> float | None:
    """Return what a number's widget is made with: a browser lets only one that is made empty be emptied again."""
    if not s.optional or initial is None:
        return initial
    if key not in st.session_state:
        st.session_state[key] = initial
    return None


def _options(s: Setting, offer: Offer) -> tuple[list[str], Callable[[str], str]]:
    """Return what a setting of names can be chosen from, and what the reader sees for each."""
    if s.dotted == "subjects":
        return list(offer.subjects), names.subject
    if s.dotted == "rois":
        return list(offer.regions), lambda roi: names.region(roi, offer.on_cortex)
    if s.choices:
        return list(s.choices), lambda name: names.choice(s.path[-1], name)
    return list(LINEAR_LAYERS), lambda name: LAYER_NAMES.get(name, name)


def _step(begin: float | None) -> float:
    """Return a step of one unit in the value's first digit; fractions go by 0.05."""
    if not begin:
        return 0.05
    return float(10 ** math.floor(math.log10(abs(begin))))
