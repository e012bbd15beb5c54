"""Every read-out as one fixed linear map from frames to TRs.

`braindash.features.windows` defines which windows a story has and how they are read.
Here the same definition is written as a sparse matrix, so that the loss can be
differentiated through it, and so that a block of TRs needs only the windows with a
weight in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.config import WindowConfig

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel

Span = tuple[int, int]  # samples [start, stop) of the story; silence outside the audio


@dataclass(frozen=True)
class Plan:
    """How a story's rows are read from windows: one entry a (row, window, frame) with a weight.

    Attributes
    ----------
    n_rows : int
    spans : tuple of (start, stop)
        The windows; distinct.
    row, span, frame : (n,) int64
        ``span`` counts into ``spans``; sorted by row.
    weight : (n,) float32
    """

    n_rows: int
    spans: tuple[Span, ...]
    row: np.ndarray
    span: np.ndarray
    frame: np.ndarray
    weight: np.ndarray

    def _of_rows(self, start: int, stop: int) -> slice:
        return slice(int(np.searchsorted(self.row, start)), int(np.searchsorted(self.row, stop)))

    def spans_of(self, start: int, stop: int) -> list[Span]:
        """Return the windows that rows [start, stop) are read from."""
        return [self.spans[k] for k in np.unique(self.span[self._of_rows(start, stop)])]

    def entries(self, start: int, stop: int, offset: dict[Span, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows (from 0), columns and weights of [start, stop) for frames laid out by ``offset``.

        Entries of windows that ``offset`` does not hold are left out.
        """
        own = self._of_rows(start, stop)
        begins = np.array([offset.get(s, -1) for s in self.spans], dtype=np.int64)[self.span[own]]
        here = begins >= 0
        return (self.row[own] - start)[here], (begins + self.frame[own])[here], self.weight[own][here]


def plan_story(model: SpeechModel, audio: np.ndarray, times: np.ndarray, tr: float, window: WindowConfig) -> Plan:
    """Return the plan of one story for rows centred at ``times``.

    Parameters
    ----------
    model : SpeechModel
    audio : (n_samples,) float32
    times : (n_trs,) seconds
    tr : float
        Seconds from row to row.
    window : WindowConfig

    Raises
    ------
    BraindashError
        If the window does not fit the model or the TR, or the audio is empty or not finite.
    """
    from braindash.features import windows as w

    w.check_windows(model, audio, times, tr, window)
    rows, columns, frames, weights = [], [], [], []
    if window.readout == "tr_mean":
        planned = w.plan_rows(model, times, tr, window)
        for k, one in enumerate(planned):
            matrix = w.row_weights(model, one, times, tr)
            r, f = np.nonzero(matrix)
            rows.append(r + one.first)
            columns.append(np.full(len(r), k))
            frames.append(f)
            weights.append(matrix[r, f])
    elif window.readout == "tr_window":
        planned = w.plan_tr_windows(model, times, tr, window)
        for k, one in enumerate(planned):
            n = model.n_frames(one.stop - one.start)
            rows.append(np.full(n, one.first))
            columns.append(np.full(n, k))
            frames.append(np.arange(n))
            weights.append(np.full(n, 1 / n))
    else:
        planned, ends = w.plan_strides(model, len(audio), times, tr, window)
        resample = w.stride_weights(model, ends, times, tr, window).tocoo()
        for r, k, weight in zip(resample.row, resample.col, resample.data, strict=True):
            n = model.n_frames(planned[k].stop - planned[k].start)
            read = np.arange(n - 1, n) if window.readout == "last" else np.arange(n)
            rows.append(np.full(len(read), r))
            columns.append(np.full(len(read), k))
            frames.append(read)
            weights.append(np.full(len(read), weight / len(read)))
    return _plan(len(times), [(one.start, one.stop) for one in planned], rows, columns, frames, weights)


def _plan(
    n_rows: int,
    spans: list[Span],
    rows: list[np.ndarray],
    columns: list[np.ndarray],
    frames: list[np.ndarray],
    weights: list[np.ndarray],
) -> Plan:
    distinct = list(dict.fromkeys(spans))
    index = {s: k for k, s in enumerate(distinct)}
    renumbered = np.array([index[s] for s in spans])
    row = np.concatenate(rows).astype(np.int64)
    order = np.argsort(row, kind="stable")
    return Plan(
        n_rows,
        tuple(distinct),
        row[order],
        renumbered[np.concatenate(columns)][order],
        np.concatenate(frames).astype(np.int64)[order],
        np.concatenate(weights).astype(np.float32)[order],
    )
