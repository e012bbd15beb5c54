"""What fell after tuning, whether gains carry to other subjects, and what alignment owes to simple features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.ui import names
from braindash.ui.glossary_help import explain
from braindash.ui.hierarchy_view import real, tuned_model
from braindash.ui.partition_view import space_title
from braindash.ui.text import cell, count, escape, interval, number, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.ui.readers import Results

Row = Mapping[str, Any]

FEW, MOST = 3, 30  # of what fell: named in one line; in the table
REGIONS = ("late_language", "cortex")  # what the short tables are about, the first that there is


# --- what fell -----------------------------------------------------------------------------------


def fallen(document: Mapping[str, Any], results: Results) -> None:
    """Say in one line what fell after tuning, with the list to open."""
    rows = document["forgetting"]
    st.subheader("Forgetting: what fell after tuning", help=explain("forgetting", "q"))
    looked = [w for w, key in (("tasks", "probes"), ("regions", "regions")) if document[key]]
    if not looked:
        st.text("There is nothing to look at yet: no task is probed, and no region has scores over layers.")
        return
    tested = _tested(document["forgetting_tested"])
    if not rows:
        st.text(f"Nothing fell: none of {tested} lies below 0 at q < .05." if tested else "Nothing fell.")
    else:
        st.text(fallen_line(rows, results))
        with st.expander("What fell, and by how much", icon=":material/trending_down:"):
            st.table(fallen_table(rows, results))
            left = f" These are the {MOST} largest falls of {len(rows)}." if len(rows) > MOST else ""
            of = f" of {tested}" if tested else ""
            st.caption(escape(f"Changes with 95 % intervals, those{of} that lie below 0 at q < .05.{left}"))
    if "tasks" not in looked:
        st.caption("Tasks are not among them\\: the layers were not probed.")


def _tested(tested: Mapping[str, Any]) -> str:
    """Return "365 differences tested (45 of tasks, 320 of regions)"; "" where that is not known."""
    known = {w: real(tested.get(k)) for k, w in (("probe", "tasks"), ("region", "regions"))}
    found = {w: int(n) for w, n in known.items() if n > 0}
    if not found:
        return ""
    return f"{count(sum(found.values()), 'difference')} tested ({', '.join(f'{n:,} of {w}' for w, n in found.items())})"


def fallen_line(rows: Sequence[Row], results: Results) -> str:
    """Name what fell, with its layers, where it is little; else count it and name the largest fall."""
    where: dict[str, list[str]] = {}
    for row in rows:
        where.setdefault(_title(row, results), []).append(layer_of(row))
    if len(where) <= FEW:
        parts = [f"{name} (layer{'s' * (len(at) > 1)} {', '.join(sorted(at))})" for name, at in where.items()]
        return f"What fell: {'; '.join(parts)}."
    most = _falls(rows)[0]
    return (
        f"{len(where)} tasks and regions fell, most of all {_title(most, results)} "
        f"({number(real(most.get('delta')), 3, signed=True)} at layer {layer_of(most)})."
    )


def fallen_table(rows: Sequence[Row], results: Results) -> pd.DataFrame:
    """Return what fell, the largest fall first, as text."""
    import pandas as pd

    kinds = {"probe": "Task", "region": "Region"}
    return pd.DataFrame(
        {
            "What": cell(_title(r, results)),
            "Kind": kinds.get(str(r.get("what")), "–"),
            "Layer": layer_of(r),
            "Change": said(r),
            "q": number(real(r.get("q")), 3),
        }
        for r in _falls(rows)[:MOST]
    ).set_index("What")


def _title(row: Row, results: Results) -> str:
    name = row.get("title") if isinstance(row.get("title"), str) else results.title(str(row.get("name")))
    return shorten(name, 60)


def _falls(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, the largest fall first and those without a number last."""
    return sorted(rows, key=lambda r: (real(r.get("delta")) != real(r.get("delta")), real(r.get("delta"))))


# --- transfer, reliance --------------------------------------------------------------------------


def transfer(document: Mapping[str, Any], results: Results) -> None:
    """Show whom the model was tuned on, and what it gained in whom; nothing where that was not looked at."""
    rows = of_region(document["transfer"])
    last = max((real(r.get("layer")) for r in rows), default=float("nan"))
    rows = [r for r in rows if real(r.get("layer")) == last]
    if not rows:
        return
    st.subheader("Do gains carry to other subjects?", help=explain("transfer"))
    normalised = any(real(r.get("delta_r_norm")) == real(r.get("delta_r_norm")) for r in rows)
    unit = names.MEASURES["r_norm" if normalised else "r"]
    st.caption(
        escape(
            f"{results.title(str(rows[0].get('roi')))}, layer {last:.0f}: brain-tuned minus pretrained in {unit}, with "
            "95 % intervals."
        )
    )
    st.table(transfer_table(rows, normalised))


def transfer_table(rows: Sequence[Row], normalised: bool) -> pd.DataFrame:
    """Return one row a pair of subjects tuned on and subject evaluated, as text."""
    import pandas as pd

    keys = ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high") if normalised else ("delta_r", "ci_low", "ci_high")
    return pd.DataFrame(
        {
            "Tuned on": cell(
                shorten(", ".join(map(str, on)) if isinstance(on := r.get("tuned_on"), list) else str(on), 60)
            ),
            "Evaluated on": cell(shorten(r.get("evaluated_on"), 40)),
            "Heard in tuning": "yes" if r.get("same") is True else "no",
            "Change": said(r, *keys),
        }
        for r in rows
    ).set_index("Tuned on")


def reliance(document: Mapping[str, Any], results: Results) -> None:
    """Show how far r falls when simple features are removed, before and after; nothing where that was not looked at."""
    subject, tuned = results.subjects[0], tuned_model(document, results)
    rows = of_region([r for r in document["reliance"] if r.get("subject") == subject])
    spaces = {str(r.get("space")): r for r in rows if r.get("model") == tuned}
    if not spaces:
        return
    before = {str(r.get("space")): r for r in rows if r.get("model") == "pretrained"}
    first = next(iter(spaces.values()))
    st.subheader("What alignment owes to simple features", help=explain("reliance", "removal"))
    st.caption(
        escape(
            f"{results.title(str(first.get('roi')))}, layer {layer_of(first)}, {names.subject(subject).lower()}: how r "
            "changes when the features are removed from the layer. A difference above 0: less is owed to them after "
            "tuning. With 95 % intervals."
        )
    )
    st.table(reliance_table(spaces, before, tuned))


def reliance_table(after: Mapping[str, Row], before: Mapping[str, Row], tuned: str) -> pd.DataFrame:
    """Return one row a feature space, as text."""
    import pandas as pd

    return pd.DataFrame(
        {
            "Removed": cell(space_title(shorten(space, 40))),
            "Pretrained": said(before.get(space, {}), "delta_r"),
            names.model(tuned): said(row, "delta_r"),
            "Difference": said(row, "change", "change_low", "change_high"),
        }
        for space, row in after.items()
    ).set_index("Removed")


def of_region(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of late-language regions, else of all targets, else of the first region."""
    known = [r.get("roi") for r in rows]
    roi = next((r for r in REGIONS if r in known), known[0] if known else None)
    return [r for r in rows if r.get("roi") == roi]


def layer_of(row: Row) -> str:
    layer = real(row.get("layer"))
    return f"{layer:.0f}" if layer == layer else "–"


def said(row: Row, value: str = "delta", low: str = "ci_low", high: str = "ci_high") -> str:
    """Return a change with its interval."""
    below, above = real(row.get(low)), real(row.get(high))
    text = number(real(row.get(value)), 3, signed=True)
    if below != below or above != above:
        return text
    return f"{text} ({interval(below, above, 3).removeprefix('95 % CI ')})"
