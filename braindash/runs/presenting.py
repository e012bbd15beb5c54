"""The deck of a run: its slides, and how the reader has arranged them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.errors import BraindashError
from braindash.files import atomic_write, disk_errors, read_json
from braindash.reports.deck import Deck, Slide
from braindash.runs.record import DECKS

if TYPE_CHECKING:
    import numpy as np

    from braindash.config import Home
    from braindash.reports.facts import Maps
    from braindash.reports.pictures import Picture
    from braindash.runs.run import Run
    from braindash.studies.base import Study

VERSION = 1
LONGEST = 600  # characters of a title or caption that a reader writes


@dataclass(frozen=True)
class Arranged:
    """What a reader has made of one slide; None leaves its text as it was built."""

    key: str
    shown: bool = True
    title: str | None = None
    caption: str | None = None


def run_deck(run: Run, *, arranged: bool = True) -> Deck:
    """Return the slides of a run, built from its records and analyses.

    Parameters
    ----------
    run : Run
        Evaluated.
    arranged : bool
        In the order and with the words that the home keeps for this run.

    Raises
    ------
    BraindashError
        Where the run has not been evaluated, or its records cannot be read.
    """
    deck = built_deck(run)
    return arrange(deck, read_arrangement(run.home, run.id)) if arranged else deck


def built_deck(run: Run, study: Callable[[], Study] | None = None) -> Deck:
    """Return the slides of a run as they are built, without what a reader has changed.

    ``study`` opens the run's study, for those who keep it open.
    """
    from braindash.reports.facts import Facts
    from braindash.reports.methods import methods_text
    from braindash.reports.slides import default_deck
    from braindash.runs.results import read_records
    from braindash.studies.library import open_study

    records = read_records(run.path)
    if records is None:
        raise BraindashError(f"Run {run.id} has not been evaluated.", f"Evaluate it: braindash evaluate {run.id}")
    again = f"Evaluate it again: braindash evaluate {run.id}"
    rows = records.get("encoding")
    if not rows or not all({"model", "subject", "roi", "layer"} <= set(row) for row in rows):
        raise BraindashError(f"The results of run {run.id} hold no encoding rows.", again)
    left_out: list[str] = []
    documents = {}
    for name, read in (("probing", _probing), ("rsa", _rsa), ("hierarchy", _hierarchy)):
        try:
            found = read(run)
        except BraindashError as error:
            left_out.append(error.what)
            continue
        if found is not None:
            documents[name] = found
    try:
        methods = methods_text(run)
    except BraindashError as error:
        methods = ""
        left_out.append(f"Methods: {error.what}")
    facts = Facts(run.id, records, _about(run, records), documents, methods)
    try:
        maps = _maps(run, facts.tuned, facts.measure, study or (lambda: open_study(run.config.study, run.home)))
    except BraindashError as error:
        maps = None
        left_out.append(f"Maps: {error.what}")
    return default_deck(replace(facts, maps=maps, left_out=tuple(left_out)))


def _probing(run: Run) -> dict[str, Any] | None:
    from braindash.runs.probing import read_probing

    return read_probing(run.path)


def _rsa(run: Run) -> dict[str, Any] | None:
    from braindash.runs.rsa import read_rsa

    return read_rsa(run.path)


def _hierarchy(run: Run) -> dict[str, Any] | None:
    from braindash.runs.documents import read_document

    return read_document(run.path / "hierarchy.json", "comparison", "compare", ())


def _about(run: Run, records: Mapping[str, Any]) -> str:
    study = str(records.get("study_title") or records.get("study") or "")
    model = str(records.get("model") or "")
    try:
        name, config = run.name, run.config
        control = "" if config.control == "none" else f", control {config.control}"
        how = f", {config.recipe}{control}"
    except BraindashError:  # a configuration of another version; the results can be shown all the same
        name, how = "", ""
    return " · ".join(p for p in (" ".join(name.split()), f"{model}{how}", f"Study: {study}" if study else "") if p)


def _maps(run: Run, tuned: str, measure: str, opener: Callable[[], Study]) -> Maps | None:
    """Return the values of the first subject that has a place on a cortex; None where none has."""
    import numpy as np

    from braindash.cortex.drawn import outlined
    from braindash.reports.facts import Maps
    from braindash.runs.results import RESULTS, open_results

    if not (run.path / RESULTS).exists():
        return None
    study = opener()
    data = open_results(run.path)["encoding"].to_dataset()
    measured = [str(s) for s in dict.fromkeys(data["subject"].values)]
    subject = next((s for s in measured if s in study.subjects and study.cortex(s) is not None), None)
    if subject is None or measure not in data or tuned not in data["model"].values:
        return None
    cortex_map = study.cortex(subject)
    assert cortex_map is not None
    mine = np.flatnonzero(data["subject"].values == subject)
    where = data["target_index"].values[mine].astype(int) if "target_index" in data.coords else np.arange(mine.size)
    total = max(int(where.max()), int(np.asarray(cortex_map.index).max())) + 1

    def values(model: str, layer: int) -> np.ndarray:
        out = np.full(total, np.nan, np.float32)
        one = data[measure].sel(model=model, layer=layer).values
        out[where] = one[mine]
        return out

    return Maps(values, cortex_map, run.home, subject, measure, outlined(cortex_map, run.home))


def write_deck(deck: Deck, path: Path, kind: str) -> None:
    """Write a deck as "html", "pptx" or "pdf", whole or not at all.

    Raises
    ------
    BraindashError
        For another kind, and where the file cannot be written.
    """
    atomic_write(path, deck_bytes(deck, kind))


def deck_bytes(deck: Deck, kind: str, picture: Picture | None = None) -> bytes:
    """Return a deck as the bytes of a file; ``picture`` draws figures, for those who keep drawn ones."""
    from braindash.reports.pictures import draw

    if kind == "html":
        from braindash.reports.html import html_text

        return html_text(deck, picture or draw).encode("utf-8")
    if kind == "pptx":
        from braindash.reports.pptx import pptx_bytes

        return pptx_bytes(deck, picture or draw)
    if kind == "pdf":
        from braindash.reports.pdf import pdf_bytes

        return pdf_bytes(deck)
    raise BraindashError(f"A deck cannot be written as {kind!r}.", "Choose html, pptx or pdf.")


# --- how a reader has arranged it -----------------------------------------------------------------


def arrangement_path(home: Home, run_id: str) -> Path:
    return home.path / DECKS / f"{run_id}.json"


def read_arrangement(home: Home, run_id: str) -> list[Arranged]:
    """Return what the home keeps for a run's slides, in their order; empty where there is nothing that can be read."""
    try:
        rows = read_json(arrangement_path(home, run_id))["slides"]
        return [
            Arranged(str(r["key"]), r.get("shown") is not False, _text(r.get("title")), _text(r.get("caption")))
            for r in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def write_arrangement(home: Home, run_id: str, slides: Sequence[Arranged]) -> None:
    """Keep how a run's slides are arranged.

    Raises
    ------
    BraindashError
        Where the home may not be written, or the disk is full.
    """
    path = arrangement_path(home, run_id)
    rows = [
        {"key": s.key, "shown": s.shown}
        | ({} if s.title is None else {"title": s.title})
        | ({} if s.caption is None else {"caption": s.caption})
        for s in slides
    ]
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps({"braindash": VERSION, "run": run_id, "slides": rows}, indent=1, ensure_ascii=False))


def complete(deck: Deck, arranged: Sequence[Arranged]) -> list[Arranged]:
    """Return an arrangement that names every slide of a deck once; slides that it does not know come at the end."""
    known = {slide.key for slide in deck.slides}
    kept = {a.key: a for a in reversed(arranged) if a.key in known}
    order = [a.key for a in arranged if a.key in known]
    order += [slide.key for slide in deck.slides if slide.key not in kept]
    return [kept.get(key, Arranged(key)) for key in dict.fromkeys(order)]


def arrange(deck: Deck, arranged: Sequence[Arranged]) -> Deck:
    """Return a deck in the reader's order, with the reader's words, without the slides that are not shown.

    Raises
    ------
    BraindashError
        Where no slide is left.
    """
    by_key = {slide.key: slide for slide in deck.slides}
    slides = [reworded(by_key[a.key], a) for a in complete(deck, arranged) if a.shown]
    if not slides:
        raise BraindashError(f"No slide of run {deck.run_id} is chosen.", "Choose at least one on the page Present.")
    return replace(deck, slides=tuple(slides))


def reworded(slide: Slide, arranged: Arranged) -> Slide:
    """Return a slide with the reader's title and caption, where there are any."""
    title = slide.title if arranged.title is None else arranged.title
    caption = slide.caption if arranged.caption is None else arranged.caption
    return replace(slide, title=title, caption=caption)


def _text(value: Any) -> str | None:
    return " ".join(value.split())[:LONGEST] if isinstance(value, str) else None
