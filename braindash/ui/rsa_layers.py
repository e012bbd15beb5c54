"""Layers among themselves on the RSA page: the plane of layers and regions, CKA, and feature spaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import names, rsa_words
from braindash.ui.partition_view import space_title as known_space
from braindash.ui.results import chart, theme
from braindash.ui.text import escape, number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from braindash.ui.rsa_data import Choice, Rsa


# --- the plane -----------------------------------------------------------------------------------


def plane(rsa: Rsa, choice: Choice) -> None:
    """Draw layers and regions as points, the nearer the more alike; nothing where the file holds no such points."""
    from braindash.figures import mds_plane

    points = _points(rsa, choice)
    if points.empty:
        return
    st.subheader("Layers and regions in one plane")
    chart(mds_plane(points, theme=theme()), key="rsa_mds")
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


def _points(rsa: Rsa, choice: Choice) -> pd.DataFrame:
    import pandas as pd

    rows = rsa.table("mds", ("what", "x", "y"))
    for column in ("model", "layer", "subject", "roi"):
        if column not in rows:
            rows[column] = None
    for column in ("x", "y", "layer"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    regions = rows[(rows["what"] == "region") & rows["roi"].notna()]
    people = set(regions["subject"].dropna().astype(str))
    if choice.subject in people:
        regions = regions[regions["subject"].astype(str) == choice.subject]
    titles = [rsa.title(str(roi)) for roi in regions["roi"]]
    hover = [f"{t}, {s}" if s == s and s else t for t, s in zip(titles, regions["subject"].fillna(""), strict=True)]
    layers = rows[(rows["what"] == "layer") & rows["model"].isin(["pretrained", choice.model]) & rows["layer"].notna()]
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
    try:
        matrix = np.array(found["matrix"], dtype=float)  # type: ignore[index]
        out = Cka(tuple(str(m) for m in found["model"]), tuple(int(k) for k in found["layer"]), matrix)  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None
    n = len(out.models)
    return out if n and len(out.layers) == n and matrix.shape == (n, n) else None


def alignment(rsa: Rsa, choice: Choice) -> None:
    """Draw CKA within and between the two models, and how far each layer moved."""
    from braindash.figures import cka_map, moved_curves

    cka = cka_of(rsa)
    if cka is None or not {"pretrained", choice.model} <= set(cka.models):
        return
    st.subheader("How far the layers moved")
    shared, moved = cka.moved(choice.model)
    sentence = rsa_words.moved_sentence(moved, shared, choice.model)
    if sentence:
        st.markdown(escape(sentence))
    before, after = names.model("pretrained"), names.model(choice.model)
    first, second = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    pairs = (
        ("pretrained", choice.model, f"{before} against {after.lower()}", first[0]),
        ("pretrained", "pretrained", f"Within {before.lower()}", second[0]),
        (choice.model, choice.model, f"Within {after.lower()}", second[1]),
    )
    with first[1]:
        st.markdown("**Each layer against itself before tuning**")
        curves = {m: cka.moved(m)[1] for m in rsa.tuned if m in cka.models and cka.moved(m)[0] == shared}
        if shared and curves:
            chart(moved_curves(curves, shared, theme=theme()), key="rsa_moved")
    for one, other, title, place in pairs:
        with place:
            st.markdown(f"**{escape(title)}**")
            figure = cka_map(
                cka.between(one, other),
                cka.layers_of(one),
                cka.layers_of(other),
                row_title=names.model(one),
                column_title=names.model(other),
                theme=theme(),
            )
            chart(figure, key=f"rsa_cka_{'between' if one != other else 'before' if one == 'pretrained' else 'after'}")
    st.caption(
        "Debiased linear CKA over the same conditions\\: 1 is the same geometry up to rotation and scale, 0 an "
        "unrelated one. No brain takes part in it."
    )


# --- feature spaces ------------------------------------------------------------------------------


def spaces(rsa: Rsa, choice: Choice) -> None:
    """Show how alike regions and layers are to plain feature spaces, where the file says so."""
    regions, layers = space_tables(rsa, choice)
    left_out = rsa.table("spaces_left_out", ("space", "why"))
    if regions.empty and layers.empty:
        return
    st.subheader("What the geometry is made of")
    st.caption(
        "Similarity of RDMs with those of simple features of the same conditions, such as the sound's spectrum or the "
        "words' meaning. Pretrained → tuned where a cell holds two numbers."
    )
    if not regions.empty:
        st.table(regions)
    if not layers.empty:
        st.table(layers)
    for row in left_out.itertuples():
        st.text(f"Left out: {space_title(rsa, str(row.space)).lower()}, because {row.why}")


def space_tables(rsa: Rsa, choice: Choice) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return similarities to feature spaces as text: regions × spaces, and layers × spaces before → after."""
    import pandas as pd

    rows = rsa.table("spaces", ("space", "roi", "similarity"))
    if "subject" in rows and not rows.empty:
        own = rows["subject"].astype(str)
        rows = rows[own == (choice.subject if (own == choice.subject).any() else own.iloc[0])]
    order = list(dict.fromkeys(rows["space"].astype(str)))
    found = {(str(r.roi), str(r.space)): _float(r.similarity) for r in rows.itertuples()}
    known = [r for r in rsa.regions if any((r, s) in found for s in order)]
    regions = pd.DataFrame(
        [[number(found.get((r, s)), 3) for s in order] for r in known],
        index=pd.Index([escape(rsa.title(r)) for r in known], name="Region"),
        columns=[escape(space_title(rsa, s)) for s in order],
    )
    rows = rsa.table("layer_spaces", ("space", "model", "layer", "similarity"))
    order = list(dict.fromkeys(rows["space"].astype(str)))
    at = {(str(r.model), _float(r.layer), str(r.space)): _float(r.similarity) for r in rows.itertuples()}
    layers = pd.DataFrame(
        [
            [f"{number(at.get(('pretrained', k, s)), 3)} → {number(at.get((choice.model, k, s)), 3)}" for s in order]
            for k in rsa.layers
        ]
        if order
        else [],
        index=pd.Index([names.layer(k, rsa.last_layer) for k in rsa.layers] if order else [], name="Layer"),
        columns=[escape(space_title(rsa, s)) for s in order],
    )
    return regions, layers


def space_title(rsa: Rsa, space: str) -> str:
    titles = rsa.document.get("space_titles")
    return str((titles.get(space) if isinstance(titles, dict) else None) or known_space(space))


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
