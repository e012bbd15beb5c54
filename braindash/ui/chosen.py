"""The run that a page is about, as the address names it or the reader chooses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import links, names, notices, readers
from braindash.ui.glossary_help import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braindash.runs.record import RunRow
    from braindash.ui.readers import Results


def evaluated_run() -> RunRow:
    """Draw the choice among evaluated runs; where there is none, say how to get one and end the page."""
    rows = readers.run_rows()
    evaluated = {row.id: row for row in rows if row.has_results}
    if not evaluated:
        notices.nothing_evaluated(rows)
        st.stop()
    run_id = links.select("run", "Run", list(evaluated), names=lambda r: names.run(evaluated[r]), always=True)
    return evaluated[run_id]


def results_of(row: RunRow) -> Results:
    """Return a run's results; where they cannot be read, say why and end the page."""
    try:
        return readers.results(readers.store().get(row.id))
    except BraindashError as error:
        notices.mistake(error)
        st.stop()


def compared_model(tuned: Sequence[str], help: str | None = None) -> str:
    """Draw the choice of the model that stands beside the pretrained one: the brain-tuned one or a control."""
    return links.select(
        "model",
        "Compared with pretrained",
        tuned,
        names=names.model,
        kind="segments" if len(tuned) <= 3 else "select",
        help=help or explain("brain_tuned", "control"),
    )


def measure_of(measures: Sequence[str], help: str | None = None) -> str:
    """Draw the choice of the measure of prediction."""
    return links.select(
        "measure",
        "Measure",
        measures,
        names=names.MEASURES.__getitem__,
        kind="segments",
        help=help or explain(*measures),
    )


def mapped_subject(subjects: Sequence[str]) -> str:
    """Draw the choice of the one subject whose targets are mapped."""
    return links.select("map_subject", "Subject", subjects, kind="segments" if len(subjects) <= 4 else "select")


def mapped_layer(results: Results) -> int:
    """Draw the slider of the layer that is mapped; a layer that the run lacks is the last."""
    first, last = results.layers[0], results.last_layer
    help = explain("layer", "state_0")
    layer = st.slider("Layer", first, last, value=last, key="layer", bind="query-params", width=320, help=help)
    return layer if layer in results.layers else last
