"""From a story's audio to one vector a TR and layer, through windows.

Bidirectional attention and the normalisation in some front ends make a frame depend
on its whole window, so windows are the definition of the features, not a detail:

- ``last`` / ``mean``: a window of ``context`` seconds ends every ``stride`` seconds. Its last frame
  (or the mean of its frames) stands at the window's end, and Lanczos takes these to the TR centres.
- ``tr_mean``: row i spans [t_i - tr/2, t_i + tr/2). As many whole rows as fit in ``stride`` seconds (at
  least one) share a window of ``context`` seconds that ends where the last of them ends; a row is the
  mean of the frames whose centre lies in it.
- ``tr_window``: row i has a window of ``context`` seconds of its own, which ends at t_i; the row is the mean
  of all its frames. Nothing after a row's centre is heard. ``stride`` is not used.

Rows of electrodes come as fast as frames or faster (every 5 to 20 ms; frames mostly every 20). Where a
row is shorter than two frames, nothing is averaged:

- ``tr_mean``: a row is interpolated linearly between the two frames of its window around its centre (the
  nearest frame before the first and after the last). Its window reaches up to ``stride`` seconds past it,
  so it is not causal; its time is exact.
- ``last`` / ``mean``: a row takes the latest window that ends by its centre, so it holds no sound after it
  (rows before the first window's end take that window). It is up to ``stride`` old: choose 0.02 s or less.

At a story's start windows are shorter instead of padded. Rows (of ``tr_window``: row centres) that reach
past the audio are computed from silence there, and their number is logged (``count_padded_rows``).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from braindash.config import WindowConfig
from braindash.errors import BraindashError
from braindash.features.resample import lanczos_matrix
from braindash.speech.base import SpeechModel

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # windows done, windows in all


@dataclass(frozen=True)
class Window:
    """Samples [start, stop) of the story, and the rows ``first`` to ``last - 1`` read from them.

    Samples below 0 or beyond the audio are silence. For ``last`` and ``mean`` the
    rows count windows, not TRs.
    """

    start: int
    stop: int
    first: int
    last: int

    def cut(self, audio: np.ndarray) -> np.ndarray:
        """Return the window's samples: (stop - start,) float32."""
        inside = audio[max(self.start, 0) : max(self.stop, 0)]
        before = min(max(-self.start, 0), self.stop - self.start)
        after = self.stop - self.start - before - len(inside)
        return np.pad(inside, (before, after)) if before or after else inside


def extract(
    model: SpeechModel,
    audio: np.ndarray,
    times: np.ndarray,
    tr: float,
    window: WindowConfig,
    layers: Sequence[int] | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return one vector a layer and row.

    Parameters
    ----------
    model : SpeechModel
    audio : (n_samples,) float32
        16 kHz mono.
    times : (n_trs,)
        Centre of every row, in seconds of the audio; increasing.
    tr : float
        Seconds that a row spans.
    window : WindowConfig
    layers : sequence of int, optional
        Layers wanted, in the order wanted; all when None. No block above the
        highest is run.
    batch_size : int, optional
        Windows of equal length that go through the model together; chosen by
        device when None. It does not change the result beyond rounding.
    progress : callable, optional
        Called with (windows done, windows in all).

    Returns
    -------
    (n_layers, n_trs, width) float32

    Raises
    ------
    BraindashError
        If the audio is empty or not finite, or the window does not fit model or TR.
    """
    times = np.asarray(times, dtype=np.float64)
    wanted = model.check_layers(layers)
    check_windows(model, audio, times, tr, window)
    reach = 0.0 if window.readout == "tr_window" else tr
    n_padded = count_padded_rows(len(audio), times, reach, model.sample_rate)
    if n_padded:
        log.warning("%d of %d rows reach past the audio (%.1f s); they hear silence there",
                    n_padded, len(times), len(audio) / model.sample_rate)  # fmt: skip
    if window.readout == "tr_mean":
        plan = plan_rows(model, times, tr, window)
        return _run(model, audio, plan, wanted, len(times), times, tr, window, batch_size, progress)
    if window.readout == "tr_window":
        plan = plan_tr_windows(model, times, tr, window)
        return _run(model, audio, plan, wanted, len(times), times, tr, window, batch_size, progress)
    plan, ends = plan_strides(model, len(audio), times, tr, window)
    values = _run(model, audio, plan, wanted, len(plan), times, tr, window, batch_size, progress)
    matrix = stride_weights(model, ends, times, tr, window)
    return np.stack([np.asarray(matrix @ layer, dtype=np.float32) for layer in values])


def count_padded_rows(n_samples: int, times: np.ndarray, tr: float, sample_rate: int = 16000) -> int:
    """Return how many rows reach past either end of the audio by more than a sample."""
    starts = np.round((np.asarray(times) - tr / 2) * sample_rate)
    stops = np.round((np.asarray(times) + tr / 2) * sample_rate)
    return int(((starts < -1) | (stops > n_samples + 1)).sum())


def plan_rows(model: SpeechModel, times: np.ndarray, tr: float, window: WindowConfig) -> list[Window]:
    """Group rows into windows (readout ``tr_mean``)."""
    rate = model.sample_rate
    starts, stops = times - tr / 2, times + tr / 2
    windows, first = [], 0
    while first < len(times):
        # a millisecond of slack keeps 8 rows of 2 s in 16 s despite rounding
        last = int(np.searchsorted(stops, starts[first] + window.stride + 1e-3, side="right"))
        last = max(last, first + 1)
        stop = round(stops[last - 1] * rate)
        earliest = min(0, round(starts[first] * rate))
        start = max(stop - round(window.context * rate), earliest)
        windows.append(Window(min(start, stop - model.min_samples), stop, first, last))
        first = last
    return windows


def plan_tr_windows(model: SpeechModel, times: np.ndarray, tr: float, window: WindowConfig) -> list[Window]:
    """Give every row a window that ends at its centre (readout ``tr_window``).

    A window begins ``context`` earlier, but not before the audio nor, for a row that lies
    there itself, before the row.
    """
    rate = model.sample_rate
    windows = []
    for i, t in enumerate(times):
        stop = round(float(t) * rate)
        start = max(stop - round(window.context * rate), min(0, round(float(t - tr / 2) * rate)))
        windows.append(Window(min(start, stop - model.min_samples), stop, i, i + 1))
    return windows


def plan_strides(
    model: SpeechModel, n_samples: int, times: np.ndarray, tr: float, window: WindowConfig
) -> tuple[list[Window], np.ndarray]:
    """Place a window's end every ``stride`` seconds (readouts ``last``, ``mean``).

    Returns
    -------
    windows : list of Window
    ends : (n_windows,) seconds
    """
    rate = model.sample_rate
    begin = min(0.0, times[0] - tr / 2)
    until = max(n_samples / rate, times[-1] + tr / 2)
    n = max(int(np.floor((until - begin) / window.stride + 1e-6)), 1)
    ends = begin + window.stride * np.arange(1, n + 1)
    windows = []
    for i, end in enumerate(ends):
        stop = round(end * rate)
        start = max(stop - round(window.context * rate), round(begin * rate))
        windows.append(Window(min(start, stop - model.min_samples), stop, i, i + 1))
    return windows, ends


def is_fast(model: SpeechModel, tr: float) -> bool:
    """Say whether rows are shorter than two frames, so that frames are interpolated and not averaged."""
    return tr < 2 * model.frame_period - 1e-9


def stride_weights(
    model: SpeechModel, ends: np.ndarray, times: np.ndarray, tr: float, window: WindowConfig
) -> sparse.csr_array:
    """Return what takes windows to rows (readouts ``last``, ``mean``): (n_rows, n_windows), rows sum to 1."""
    if not is_fast(model, tr):
        return lanczos_matrix(ends, times, cutoff=min(1 / tr, 1 / window.stride))
    latest = np.maximum(np.searchsorted(ends, times + 1e-9, side="right") - 1, 0)
    ones = np.ones(len(times), dtype=np.float32)
    return sparse.csr_array((ones, (np.arange(len(times)), latest)), shape=(len(times), len(ends)))


def row_weights(model: SpeechModel, window: Window, times: np.ndarray, tr: float) -> np.ndarray:
    """Return what takes a window's frames to its rows: (n_rows, n_frames) float32, rows sum to 1.

    A row in which no frame is centred (it can only be one at a window's edge)
    takes the nearest frame. Rows shorter than two frames are interpolated.
    """
    frames = window.start / model.sample_rate + model.frame_times(window.stop - window.start)
    centres = times[window.first : window.last, None]
    if is_fast(model, tr):
        return _interpolation(frames, centres[:, 0])
    # a nanosecond keeps a frame on the boundary in the later row whatever the rounding
    inside = (frames >= centres - tr / 2 - 1e-9) & (frames < centres + tr / 2 - 1e-9)
    for row in np.flatnonzero(~inside.any(axis=1)):
        inside[row, np.abs(frames - centres[row]).argmin()] = True
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


def _interpolation(frames: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return linear interpolation from frames to rows, held at both ends: (n_rows, n_frames) float32."""
    weights = np.zeros((len(centres), len(frames)), dtype=np.float32)
    rows = np.arange(len(centres))
    place = np.interp(centres, frames, np.arange(len(frames)))
    before = np.minimum(place.astype(int), len(frames) - 1)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (place - before).astype(np.float32)
    weights[rows, before] = 1 - share
    weights[rows, after] += share
    return weights


def _run(
    model: SpeechModel,
    audio: np.ndarray,
    plan: list[Window],
    layers: list[int],
    n_rows: int,
    times: np.ndarray,
    tr: float,
    window: WindowConfig,
    batch_size: int | None,
    progress: Progress | None,
) -> np.ndarray:
    """Send windows through the model, those of one length (and number of rows) together."""
    batch_size = batch_size or (2 if model.device.type == "cpu" else 32)
    out = np.empty((len(layers), n_rows, model.width), dtype=np.float32)
    groups: dict[tuple[int, int], list[Window]] = defaultdict(list)
    for w in plan:
        groups[w.stop - w.start, w.last - w.first].append(w)
    slots: dict[int, list[int]] = defaultdict(list)
    for slot, k in enumerate(layers):
        slots[k].append(slot)
    done = 0
    with torch.inference_mode():
        for group in groups.values():
            for i in range(0, len(group), batch_size):
                batch = group[i : i + batch_size]
                weights = None
                if window.readout == "tr_mean":
                    weights = torch.from_numpy(np.stack([row_weights(model, w, times, tr) for w in batch]))
                    weights = weights.to(model.device)
                for k, h in model.iterate_layers(model.prepare([w.cut(audio) for w in batch]), max(layers)):
                    if k not in slots:
                        continue
                    values = _read(h.float(), window.readout, weights).cpu().numpy()
                    for w, v in zip(batch, values, strict=True):
                        out[slots[k], w.first : w.last] = v
                done += len(batch)
                if progress is not None:
                    progress(done, len(plan))
    return out


def _read(h: torch.Tensor, readout: str, weights: torch.Tensor | None) -> torch.Tensor:
    """Return (batch, n_rows, width) from (batch, n_frames, width)."""
    if weights is not None:
        return weights @ h
    return h[:, -1:] if readout == "last" else h.mean(dim=1, keepdim=True)


def check_windows(model: SpeechModel, audio: np.ndarray, times: np.ndarray, tr: float, window: WindowConfig) -> None:
    """Raise BraindashError unless the audio can be read and the window fits model and TR."""
    if audio.ndim != 1:
        raise ValueError(f"audio must be (n_samples,) mono; got shape {audio.shape}")
    if len(audio) == 0:
        raise BraindashError("The audio is empty.", "Check the file, or leave the story out.")
    if not np.isfinite(audio).all():
        raise BraindashError("The audio holds values that are not finite.", "Write the file again as PCM.")
    if len(times) == 0 or (np.diff(times) <= 0).any():
        raise ValueError("times must hold at least one row and increase")
    if model.max_samples is not None and window.context * model.sample_rate > model.max_samples:
        raise BraindashError(
            f"A context of {window.context:g} s is longer than {model.id} can take.",
            f"Set context to at most {model.max_samples / model.sample_rate:g} s.",
        )
    if window.readout == "tr_mean" and tr > window.context:
        raise BraindashError(
            f"Readout tr_mean needs rows of at most the context ({window.context:g} s); a row is {tr:g} s.",
            "Use readout 'last', or change context.",
        )
