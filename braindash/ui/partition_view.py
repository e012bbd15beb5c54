"""What a layer explains beyond simpler feature spaces: the section of the Encoding page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import kept, names, notices, readers
from braindash.ui.barrier import guarded
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import escape

if TYPE_CHECKING:
    import pandas as pd

    from braindash.runs.run import Run
    from braindash.ui.readers import Results

SPACES = {
    "spectral": "Sound spectrum",
    "articulatory": "Articulation",
    "phones": "Phones",
    "word_rate": "Word rate",
    "meaning": "Word meaning",
    "model": "Speech model's layer",
}
SHARED, UNIQUE, REMOVED = "shared", "unique:", "removed:"


def space_title(name: str) -> str:
    return SPACES.get(name, name.replace("_", " ").capitalize())


def section(run: Run, results: Results, subject: str) -> None:
    """Draw the partition that the run holds, or the command that makes it."""
    st.subheader(
        "What does the layer explain beyond sound, articulation, word rate and meaning?",
        help=explain("unique_variance", "shared_variance", "r2"),
    )
    try:
        document = _read(str(run.path), readers.mark(run.path / "partition.json"))
    except BraindashError as error:
        notices.mistake(error)
        return
    if document is None:
        st.markdown(
            "The variance that a layer explains can be divided\\: what it explains alone, what simpler features "
            "explain alone, and what they share. This takes minutes and is made when asked for:"
        )
        st.code(f"braindash partition {run.id}", language=None)
        return
    st.fragment(guarded(_draw))(document, results, subject)


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(path: str, as_of: tuple[int, int], /) -> dict[str, Any] | None:
    from pathlib import Path

    from braindash.runs.partition_document import read_partition

    return read_partition(Path(path))


def _draw(document: dict[str, Any], results: Results, subject: str) -> None:
    from braindash.figures import part_bars

    if not document["rows"]:
        st.info("The partition has no rows.", icon=":material/info:")
        return
    people = list(dict.fromkeys(str(r["subject"]) for r in document["rows"]))
    who = subject if subject in people else names.SUBJECT_MEAN if names.SUBJECT_MEAN in people else people[0]
    controls = [m for m in document["models"] if names.is_control(m)]
    models = [m for m in document["models"] if m not in controls]
    if controls and st.toggle("Show the controls too", key="partition_controls", bind="query-params"):
        models += controls
    spaces = [str(s["name"]) for s in document["spaces"]]
    told = f"Layer {document['layer']}. {names.subject(who)}, test stories."
    explained = frame(document, who, models, [*(UNIQUE + s for s in spaces), SHARED], results)
    if explained.empty:
        st.info("The partition has no rows for this choice.", icon=":material/info:")
        return
    chart(
        kept.figure(part_bars, explained, x_label="Share of the responses' variance (R²)", theme=theme()),
        key="partition_bars",
        title="What each feature space explains by itself",
        n=told,
        statistics="95 % intervals over test stories and targets.",
    )
    st.caption(
        escape(
            f"{told} Explained by one feature space alone, or shared by two and more. Lines: 95 % intervals over test "
            "stories and targets. Values can be below 0 where a space helps in the fit and not in the test stories."
        )
    )
    removed = frame(document, who, models, [REMOVED + s for s in document["removed"]], results)
    if not removed.empty:
        st.markdown("**How far r falls when simple features are removed from the layer**", help=explain("removal"))
        chart(
            kept.figure(part_bars, removed, x_label="Change in r", theme=theme()),
            key="partition_removed",
            title="How far r falls when simple features are removed from the layer",
            n=told,
            statistics="95 % intervals over test stories and targets.",
        )
        st.caption(escape(f"{told} The further below 0, the more the layer's prediction owed to these features."))
    for left in document["left_out"]:
        st.text(f"Left out: {space_title(str(left['space'])).lower()}, because {left['why']}.")
    for caveat in document["caveats"]:
        if caveat not in results.caveats:
            st.text(str(caveat))


def frame(
    document: dict[str, Any], subject: str, models: list[str], parts: list[str], results: Results
) -> pd.DataFrame:
    """Return the rows of `braindash.figures.part_bars`, in the order of ``parts``, with readable names."""
    import pandas as pd

    known = {str(r["roi"]) for r in document["rows"]}
    regions = [roi for roi in names.MAIN_REGIONS if roi in known] or sorted(known)[:6]
    found = {
        (r["roi"], r["part"], r["model"]): r
        for r in document["rows"]
        if r["subject"] == subject and r["model"] in models and r["part"] in parts
    }
    rows = [
        {
            "model": model,
            "roi": results.title(roi),
            "part": _part_title(part),
            "value": row.get("r2", row.get("delta_r")),
            "low": row.get("ci_low"),
            "high": row.get("ci_high"),
            "n": row["n_targets"],
        }
        for roi in regions
        for part in parts
        for model in models
        if (row := found.get((roi, part, model))) is not None
    ]
    return pd.DataFrame(rows, columns=["model", "roi", "part", "value", "low", "high", "n"])


def _part_title(part: str) -> str:
    if part == SHARED:
        return "Shared"
    if part.startswith(REMOVED):
        return f"Without {space_title(part.removeprefix(REMOVED)).lower()}"
    return f"{space_title(part.removeprefix(UNIQUE))}"
