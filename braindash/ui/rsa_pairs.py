"""The RDMs behind a cell of the RSA page, side by side, and what any two conditions are to each of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import address, links, names, notices, readers, rsa_data, rsa_view
from braindash.ui.barrier import guarded
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, escape, number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go

    from braindash.figures.style import ThemeName
    from braindash.runs.run import Run
    from braindash.ui.rsa_data import Choice, Rsa

# px of an RDM: three stand side by side on a laptop. A chart in a third of the page may be drawn twice: plotly reads a
# width to six digits, 305.328, and Streamlit gives it another, 305.328125
WIDTH = 312
MOST_SHOWN = 300  # conditions; a file with more was not made for pages


@dataclass(frozen=True)
class Rdms:
    """RDMs of layers and regions over the same conditions; condensed upper triangles, (n_pairs,) each."""

    source: tuple[str, int, int]  # the file and its state
    labels: tuple[str, ...]
    numbers: np.ndarray  # (n,) of each condition among all of them
    stories: tuple[str, ...]  # of each condition
    n_all: int
    layers: dict[tuple[str, int], np.ndarray]
    regions: dict[tuple[str, str], np.ndarray]

    def region(self, subject: str, roi: str) -> list[np.ndarray]:
        """Return a region's RDM; those of all subjects who have it for the mean over subjects."""
        wanted = [v for (s, r), v in self.regions.items() if r == roi and subject in (s, names.SUBJECT_MEAN)]
        own = self.regions.get((subject, roi))
        return wanted if own is None else [own]


@dataclass(frozen=True)
class Panel:
    """One RDM as it is drawn."""

    whose: tuple[object, ...]  # what tells it from others of the file
    title: str
    values: np.ndarray  # (n_pairs,) dissimilarities
    ranks: np.ndarray  # (n_pairs,) percentiles, NaN where not compared


def cells(run: Run, rsa: Rsa, choice: Choice) -> None:
    """Draw the maps with the choice of a cell, and what lies behind that cell."""
    choice = rsa_view.maps(rsa, choice)
    st.fragment(guarded(section))(run, rsa, choice)  # the pair of conditions changes nothing above


def section(run: Run, rsa: Rsa, choice: Choice) -> None:
    """Draw the RDMs of the chosen cell, or say why there are none."""
    st.subheader("The dissimilarities behind the chosen cell", help=explain("rdm", "crossnobis"))
    try:
        rdms = _read(str(run.path), readers.mark(run.path / rsa_data.RDMS))
    except BraindashError as error:
        notices.mistake(error)
        return
    if rdms is None:
        st.markdown(
            "This analysis was made without the RDMs themselves. To see them, make it again with this braindash\\:"
        )
        st.code(f"braindash rsa {run.id}", language=None)
        return
    panels = _panels(rdms, rsa, choice)
    if not panels:
        st.info("The file of RDMs has none for this cell.", icon=":material/info:")
        return
    first, second = _pair(rdms, _telling(rdms, rsa, choice, panels))
    with st.container(horizontal=True, gap="small"):
        for i, panel in enumerate(panels):
            with st.container(width=WIDTH):
                st.markdown(f"**{escape(panel.title)}**")
                _draw(rdms, panel, (first, second), f"rsa_rdm_{i}")
    shown = len(rdms.labels)
    thinned = f", {shown:,} of {rdms.n_all:,} drawn" if rdms.n_all > shown else ""
    order = "in which words first occur" if rsa.fact("unit") == "word" else "of the stories"
    same = ""
    if choice.layer in (k for _, k in rdms.layers) and _unmoved(rdms, choice):
        same = " Both models hold the same states at this layer: nothing up to it was tuned."
    st.caption(
        escape(
            f"Each square: how different two conditions are, as a percentile of all pairs ({count(shown, 'condition')}"
            f"{thinned}). In the order {order}; where all three show the same pattern, they find the same "
            f"things alike. Grey: not compared. Click below a diagonal to choose a pair.{same}"
        )
    )
    st.table(
        table(panels, rdms, first, second),
        width="content",
        alt="Dissimilarity and percentile of the chosen pair in each RDM.",
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(path: str, as_of: tuple[int, int], /) -> Rdms | None:
    from pathlib import Path

    import numpy as np

    from braindash.runs.rsa_display import read_rdms

    folder = Path(path)
    data = read_rdms(folder)
    if data is None:
        return None
    try:
        labels = tuple(str(v) for v in data["label"].values)
        n = len(labels)
        out = Rdms(
            (path, *as_of),
            labels,
            np.asarray(data["condition"].values, dtype=int),
            tuple(str(v) for v in data["story"].values),
            int(data.attrs.get("n_conditions", n)),
            {
                (str(m), int(k)): data["layer_rdm"].values[i, j]
                for i, m in enumerate(data["model"].values)
                for j, k in enumerate(data["layer"].values)
            },
            {
                (str(s), str(r)): data["region_rdm"].values[i, j]
                for i, s in enumerate(data["subject"].values)
                for j, r in enumerate(data["roi"].values)
            },
        )
        pairs = {v.shape for v in (*out.layers.values(), *out.regions.values())}
        if not 2 <= n <= MOST_SHOWN or pairs != {(n * (n - 1) // 2,)}:
            raise ValueError(f"{n} conditions with {sorted(pairs)} pairs")
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise BraindashError(
            f"The RDMs of run {folder.name} cannot be shown ({error}).", f"Make them again: braindash rsa {folder.name}"
        ) from None
    return out


def compared(rdms: Rdms, exclude: int, within_story: bool) -> np.ndarray:
    """Return which pairs take part in comparisons: (n_pairs,) bool; near neighbours do not."""
    import numpy as np

    i, j = np.triu_indices(len(rdms.labels), 1)
    near = np.abs(rdms.numbers[i] - rdms.numbers[j]) <= exclude
    if within_story:
        stories = np.asarray(rdms.stories)
        near &= stories[i] == stories[j]
    return np.asarray(~near)


def _near(rsa: Rsa) -> tuple[int, bool]:
    """Return how far apart two conditions must be to be compared, and whether only those of one story need be."""
    exclude = rsa.fact("exclude", 0)
    return exclude if isinstance(exclude, int) else 0, rsa.fact("unit") != "word"


def _panels(rdms: Rdms, rsa: Rsa, choice: Choice) -> list[Panel]:
    import numpy as np

    from braindash.figures.rdms import percentiles

    exclude, within_story = _near(rsa)
    kept = compared(rdms, exclude, within_story)
    out = []
    for model in dict.fromkeys(("pretrained", choice.model)):
        values = rdms.layers.get((model, choice.layer))
        if values is not None and np.isfinite(values).any():
            title = f"{names.model(model)}, layer {choice.layer}"
            out.append(Panel((model, choice.layer, exclude), title, values, percentiles(values, kept)))
    regions = [v for v in rdms.region(choice.subject, choice.roi) if np.isfinite(v).any()]
    if regions:
        whose = choice.subject if choice.subject != names.SUBJECT_MEAN else f"mean of {count(len(regions), 'subject')}"
        mean = np.mean([percentiles(v, kept) for v in regions], axis=0)  # ranks: no subject counts for more
        title = f"{rsa.title(choice.roi)}, {whose}"
        who = (choice.subject, choice.roi, exclude)
        out.append(Panel(who, title, np.mean(regions, axis=0), percentiles(mean, kept)))
    return out


def _unmoved(rdms: Rdms, choice: Choice) -> bool:
    import numpy as np

    before, after = (rdms.layers.get((m, choice.layer)) for m in ("pretrained", choice.model))
    return choice.model != "pretrained" and before is not None and after is not None and np.array_equal(before, after)


def _pair(rdms: Rdms, usual: tuple[int, int]) -> tuple[int, int]:
    """Draw the choice of two conditions; at first, those that tell most."""
    options = [str(k) for k in range(len(rdms.labels))]
    chosen = []
    for place, param, label, at in zip(
        st.columns(2), ("first", "second"), ("A condition", "and another"), usual, strict=True
    ):
        with place:
            chosen.append(
                int(links.select(param, label, options, default=str(at), names=lambda k: rdms.labels[int(k)]))
            )
    return chosen[0], chosen[1]


def _telling(rdms: Rdms, rsa: Rsa, choice: Choice, panels: list[Panel]) -> tuple[int, int]:
    """Return the two conditions whose distance any of the tuned models changed most.

    It is the same pair whichever model is shown, so that models can be held against each other; and what shows the
    pretrained model and the region need not be drawn again for another model.
    """
    import numpy as np

    n = len(rdms.labels)
    at = _most_moved(rdms, choice.layer, rsa.tuned, *_near(rsa))
    if at is None:  # nothing to hold it against, or a layer that stayed
        ranks = panels[-1].ranks
        if not np.isfinite(ranks).any():
            return 0, n - 1
        at = int(np.nanargmax(ranks))
    i, j = np.triu_indices(n, 1)
    return int(i[at]), int(j[at])


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs={Rdms: lambda rdms: rdms.source})
def _most_moved(rdms: Rdms, layer: int, models: tuple[str, ...], exclude: int, within_story: bool, /) -> int | None:
    """Return the pair whose percentile one of the models moved furthest; None where none moved."""
    import numpy as np

    from braindash.figures.rdms import percentiles

    kept = compared(rdms, exclude, within_story)
    before = rdms.layers.get(("pretrained", layer))
    after = [found for m in models if (found := rdms.layers.get((m, layer))) is not None]
    if before is None or not after:
        return None
    first = percentiles(before, kept)
    moved = np.fmax.reduce([np.abs(percentiles(v, kept) - first) for v in after])
    return int(np.nanargmax(moved)) if np.isfinite(moved).any() and np.nanmax(moved) > 0 else None


def _draw(rdms: Rdms, panel: Panel, pair: tuple[int, int], key: str) -> None:
    figure = _figure(rdms, panel, pair, theme())
    take = functools.partial(_take_pair, key, len(rdms.labels))
    n = f"n = {count(len(rdms.labels), 'condition')}"
    chart(figure, key, title=f"RDM: {panel.title}", n=n, bar=False, clicked=take)


@st.cache_resource(
    max_entries=48,
    show_spinner=False,
    hash_funcs={Rdms: lambda rdms: rdms.source, Panel: lambda panel: (panel.whose, panel.title)},
)
def _figure(rdms: Rdms, panel: Panel, pair: tuple[int, int], page: ThemeName, /) -> go.Figure:
    from braindash.figures import rdm
    from braindash.figures.rdms import square

    return rdm(
        square(panel.ranks, len(rdms.labels)),
        rdms.labels,
        name=panel.title,
        chosen=None if pair[0] == pair[1] else pair,
        theme=page,
    )


def _take_pair(key: str, n: int) -> None:
    for i, j in rsa_view.clicked(st.session_state.get(key)):
        if 0 <= i < n and 0 <= j < n and i != j:
            address.write(first=str(min(i, j)), second=str(max(i, j)))


def table(panels: list[Panel], rdms: Rdms, first: int, second: int) -> pd.DataFrame:
    """Return how different two conditions are in each RDM, as text."""
    import pandas as pd

    n = len(rdms.labels)
    low, high = min(first, second), max(first, second)
    rows = []
    for panel in panels:
        value, rank = float("nan"), float("nan")
        if low != high:
            at = low * n - low * (low + 1) // 2 + high - low - 1
            value, rank = float(panel.values[at]), float(panel.ranks[at])
        rows.append(
            {
                "RDM": escape(panel.title),
                "Dissimilarity": number(value, 3),
                "Percentile": number(rank, 0) if rank == rank else "not compared",
            }
        )
    return pd.DataFrame(rows).set_index("RDM")
