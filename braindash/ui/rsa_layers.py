"""Layers among themselves on the RSA page: the plane of layers and regions, CKA, and feature spaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.ui import links, names, rsa_data, rsa_words
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.partition_view import space_title as known_space
from braindash.ui.rsa_view import MANY_ROWS
from braindash.ui.text import escape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go

    from braindash.figures.style import ThemeName
    from braindash.ui.rsa_data import Choice, Rsa


def section(rsa: Rsa, choice: Choice) -> None:
    """Draw one of the views of all layers together; only what is looked at is drawn and sent."""
    offered = {
        "plane": ("Layers and regions in one plane", plane, not _points(rsa, choice.model, choice.subject).empty),
        "moved": ("How far the layers moved" if rsa.tuned else "Layers among themselves", alignment, bool(cka_of(rsa))),
        "spaces": ("What the geometry is made of", spaces, _has_spaces(rsa, choice)),
    }
    there = [key for key, (_, _, found) in offered.items() if found]
    if not there:
        return
    st.subheader("The geometry as a whole", help=explain("mds", "cka", "rdm"))
    view = links.select("whole", "Show", there, names=lambda key: offered[key][0], kind="segments")
    offered[view][1](rsa, choice)


# --- the plane -----------------------------------------------------------------------------------


def plane(rsa: Rsa, choice: Choice) -> None:
    """Draw layers and regions as points, the nearer the more alike."""
    points = _points(rsa, choice.model, choice.subject)
    chart(_plane(rsa, choice.model, choice.subject, theme()), key="rsa_mds", title="Layers and regions in one plane")
    stress = rsa.document.get("mds_stress")
    known = float(stress) if isinstance(stress, (int, float)) else None
    twice = points.loc[points["what"] == "region", "name"].duplicated().any()
    several = " A region has a point for every subject." if twice else ""
    st.caption(
        escape(
            "The nearer two points, the more alike their RDMs (multidimensional scaling). A model's layers are joined "
            f"in order, 0 being the front end.{several} Directions mean nothing. {rsa_words.stress_sentence(known)}"
        )
    )


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=rsa_data.SAME)
def _plane(rsa: Rsa, model: str, subject: str, page: ThemeName, /) -> go.Figure:
    from braindash.figures import mds_plane

    return mds_plane(_points(rsa, model, subject), theme=page)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=rsa_data.SAME)
def _points(rsa: Rsa, model: str, subject: str, /) -> pd.DataFrame:
    import pandas as pd

    rows = rsa.table("mds", ("what", "x", "y"))
    for column in ("model", "layer", "subject", "roi"):
        if column not in rows:
            rows[column] = None
    for column in ("x", "y", "layer"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    regions = rows[(rows["what"] == "region") & rows["roi"].notna()]
    people = set(regions["subject"].dropna().astype(str))
    if subject in people:
        regions = regions[regions["subject"].astype(str) == subject]
    titles = [rsa.title(str(roi)) for roi in regions["roi"]]
    hover = [f"{t}, {s}" if s == s and s else t for t, s in zip(titles, regions["subject"].fillna(""), strict=True)]
    layers = rows[(rows["what"] == "layer") & rows["model"].isin(["pretrained", model]) & rows["layer"].notna()]
    both = pd.concat([layers.assign(name="", hover=""), regions.assign(name=titles, hover=hover)])
    return both[both["x"].notna() & both["y"].notna()]


# --- CKA -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cka:
    """CKA of every layer of every model with every other."""

    models: tuple[str, ...]
    layers: tuple[int, ...]
    matrix: np.ndarray  # (n, n)

    def layers_of(self, model: str) -> list[int]:
        return [k for m, k in zip(self.models, self.layers, strict=True) if m == model]

    def between(self, first: str, second: str) -> np.ndarray:
        """Return the layers of one model against those of another."""
        rows = [i for i, m in enumerate(self.models) if m == first]
        columns = [i for i, m in enumerate(self.models) if m == second]
        return self.matrix[rows][:, columns]

    def moved(self, model: str) -> tuple[list[int], list[float]]:
        """Return the layers that a model shares with the pretrained one, and the CKA of each with itself."""
        own, before = self.layers_of(model), self.layers_of("pretrained")
        shared = [k for k in before if k in own]
        table = self.between("pretrained", model)
        return shared, [float(table[before.index(k), own.index(k)]) for k in shared]


def cka_of(rsa: Rsa) -> Cka | None:
    """Return the CKA of the analysis, or None where it has none that can be read."""
    import numpy as np

    found = rsa.document.get("cka")
    if not isinstance(found, dict):
        return None
    try:
        matrix = np.array(found["matrix"], dtype=np.float64)
        out = Cka(tuple(str(m) for m in found["model"]), tuple(int(k) for k in found["layer"]), matrix)
    except (KeyError, TypeError, ValueError):
        return None
    n = len(out.models)
    return out if n and len(out.layers) == n and matrix.shape == (n, n) else None


def alignment(rsa: Rsa, choice: Choice) -> None:
    """Draw CKA within and between the two models, and how far each layer moved."""
    cka = cka_of(rsa)
    if cka is None or not {"pretrained", choice.model} <= set(cka.models):
        st.info("This analysis compared the layers of other models only.", icon=":material/info:")
        return
    alone = choice.model == "pretrained"
    shared, moved = cka.moved(choice.model)
    sentence = rsa_words.moved_sentence(moved, shared, choice.model)
    if sentence and not alone:
        st.markdown(escape(sentence))
    before, after = names.model("pretrained"), names.model(choice.model)
    first, second = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    within = ("pretrained", "pretrained", f"Within {before.lower()}", second[0], "before")
    pairs = (
        ("pretrained", choice.model, f"{before} against {after.lower()}", first[0], "between"),
        within,
        (choice.model, choice.model, f"Within {after.lower()}", second[1], "after"),
    )
    curves = {m: cka.moved(m)[1] for m in rsa.tuned if m in cka.models and cka.moved(m)[0] == shared}
    if shared and curves:
        with first[1]:
            st.markdown("**Each layer against itself before tuning**")
            chart(
                _moved(rsa, tuple(curves), theme()),
                key="rsa_moved",
                title="CKA of each layer with itself before tuning",
            )
    for one, other, title, place, key in (within,) if alone else pairs:
        with place:
            st.markdown(f"**{escape(title)}**")
            chart(_cka_map(rsa, one, other, theme()), key=f"rsa_cka_{key}", title=f"CKA of layers: {title}")
    st.caption(
        "Debiased linear CKA over the same conditions\\: 1 is the same geometry up to rotation and scale, 0 an "
        "unrelated one. No brain takes part in it. States are taken as they are, so that a few units with large values "
        "can decide it; the RDMs above are of standardised units."
    )


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=rsa_data.SAME)
def _cka_map(rsa: Rsa, one: str, other: str, page: ThemeName, /) -> go.Figure:
    from braindash.figures import cka_map

    cka = cka_of(rsa)
    assert cka is not None  # the caller has looked
    return cka_map(
        cka.between(one, other),
        cka.layers_of(one),
        cka.layers_of(other),
        row_title=names.model(one),
        column_title=names.model(other),
        theme=page,
    )


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=rsa_data.SAME)
def _moved(rsa: Rsa, models: tuple[str, ...], page: ThemeName, /) -> go.Figure:
    from braindash.figures import moved_curves

    cka = cka_of(rsa)
    assert cka is not None  # the caller has looked
    return moved_curves({m: cka.moved(m)[1] for m in models}, cka.moved(models[0])[0], theme=page)


# --- feature spaces ------------------------------------------------------------------------------


def _has_spaces(rsa: Rsa, choice: Choice) -> bool:
    models = {"pretrained", choice.model}
    return not (region_spaces(rsa, choice.subject).empty and all(layer_spaces(rsa, m).empty for m in models))


def spaces(rsa: Rsa, choice: Choice) -> None:
    """Show how alike regions and layers are to plain feature spaces."""
    models = tuple(dict.fromkeys(("pretrained", choice.model)))
    with_layers = [m for m in models if not layer_spaces(rsa, m).empty]
    with_regions = not region_spaces(rsa, choice.subject).empty
    left, right = st.columns(2, gap="medium")
    if with_regions:
        with left:
            st.markdown(f"**Brain regions, {escape(rsa_words.whose(rsa, choice.subject))}**")
            _draw_spaces(rsa, ("", choice.subject), models, "rsa_region_spaces")
    with right:
        for model in with_layers:
            st.markdown(f"**Layers, {escape(names.model(model).lower())}**")
            _draw_spaces(rsa, (model, ""), models, f"rsa_{'before' if model == 'pretrained' else 'after'}_spaces")
    st.caption(
        "Similarity of RDMs with those of simple features of the same conditions: what a geometry near a region's or a "
        "layer's could be about. Both models share one scale."
    )
    for row in rsa.table("spaces_left_out", ("space", "why")).itertuples():
        st.text(f"Left out: {space_title(rsa, str(row.space)).lower()}. {row.why}")


def shared_of(*tables: pd.DataFrame) -> tuple[float, float]:
    """Return one colour range for tables of similarities."""
    import numpy as np

    from braindash.cortex.colour import shared_limits

    found = [t.to_numpy(float) for t in tables]
    known = any(np.isfinite(v).any() for v in found)
    return shared_limits(*found, percentile=100) if known else (0.0, 1.0)


def _draw_spaces(rsa: Rsa, of: tuple[str, str], models: tuple[str, ...], key: str) -> None:
    figure = _space_map(rsa, of, models, theme())
    with st.container(height=720, border=False) if of[0] == "" and len(rsa.regions) > MANY_ROWS else st.container():
        whose = names.model(of[0]) if of[0] else "brain regions"
        chart(figure, key=key, title=f"Similarity to feature spaces: {whose}")


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=rsa_data.SAME)
def _space_map(rsa: Rsa, of: tuple[str, str], models: tuple[str, ...], page: ThemeName, /) -> go.Figure:
    """Return the map of one model's layers, ``of = (model, "")``, or of a subject's regions, ``("", subject)``."""
    from braindash.figures import similarity_map
    from braindash.figures.rsa import LAYER_AXIS

    model, subject = of
    table = layer_spaces(rsa, model) if model else region_spaces(rsa, subject)
    low, high = shared_of(*(layer_spaces(rsa, m) for m in models)) if model else shared_of(table)
    return similarity_map(
        table.to_numpy(float),
        list(table.index) if model else [space_title(rsa, s) for s in table.index],
        [space_title(rsa, s) for s in table.columns] if model else [rsa.title(r) for r in table.columns],
        label="Similarity of RDMs",
        x_title=LAYER_AXIS if model else "",
        word="layer " if model else "",
        vmin=low,
        vmax=high,
        theme=page,
    )


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=rsa_data.SAME)
def region_spaces(rsa: Rsa, subject: str) -> pd.DataFrame:
    """Return similarities of regions to feature spaces: spaces down, regions across, from the ear to language."""
    rows = rsa.table("spaces", ("space", "roi", "similarity"))
    if "subject" in rows and not rows.empty:
        own = rows["subject"].astype(str)
        rows = rows[own == subject]
    return _table(rows, "space", "roi", list(dict.fromkeys(rows["space"].astype(str))), list(rsa.regions))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=rsa_data.SAME)
def layer_spaces(rsa: Rsa, model: str) -> pd.DataFrame:
    """Return similarities of a model's layers to feature spaces: layers down, spaces across."""
    import pandas as pd

    rows = rsa.table("layer_spaces", ("space", "model", "layer", "similarity"))
    rows = rows[rows["model"] == model].assign(layer=lambda t: pd.to_numeric(t["layer"], errors="coerce"))
    return _table(rows, "layer", "space", list(rsa.layers), list(dict.fromkeys(rows["space"].astype(str))))


def _table(rows: pd.DataFrame, down: str, across: str, index: list[Any], columns: list[Any]) -> pd.DataFrame:
    import pandas as pd

    values = pd.to_numeric(rows["similarity"], errors="coerce")
    table = rows.assign(similarity=values).drop_duplicates([down, across])
    out = table.set_index([down, across])["similarity"].unstack(across)
    out = out.reindex(index=[k for k in index if k in out.index], columns=[c for c in columns if c in out.columns])
    return out.rename_axis(index=down).astype(float)


def space_title(rsa: Rsa, space: str) -> str:
    titles = rsa.document.get("space_titles")
    return str((titles.get(space) if isinstance(titles, dict) else None) or known_space(space))
