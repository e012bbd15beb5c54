"""Examples that are whole recordings, or stretches of them, with one label each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from braindash.probing.base import Corpus
from braindash.probing.cutting import Cut
from braindash.probing.phones import classes
from braindash.probing.words import speech_span


def label_cut(
    corpus: Corpus,
    labels: Sequence[str],
    without: str,
    *,
    items: np.ndarray | None = None,
    stretch: float | None = None,
) -> Cut:
    """Return recordings, from their first word to their last, with a label each.

    Parameters
    ----------
    labels : one a recording; "" leaves it out
    without : str
        The reason of those without a label.
    items : (n_recordings,) str, optional
    stretch : float, optional
        Seconds: every recording is cut into equal stretches of about this length.
    """
    recording: list[int] = []
    spans: list[tuple[float, float]] = []
    for i, found in enumerate(corpus.recordings):
        start, stop = speech_span(found)
        n = 1 if stretch is None else max(1, round((stop - start) / stretch))
        edges = np.linspace(start, stop, n + 1)
        recording += [i] * n
        spans += list(pairwise(edges.tolist()))
    index = np.array(recording, dtype=int)
    y, names = classes(pd.Series(list(labels), dtype=object).iloc[index])
    cut = Cut(
        index,
        np.array(spans, dtype=float).reshape(-1, 2),
        y,
        names,
        None if items is None else items[index],
        unit="recordings" if stretch is None else "stretches",
    )
    return cut.keep(np.array([bool(labels[i]) for i in index], dtype=bool), without)
