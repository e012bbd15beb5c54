"""One vector a layer and span of time: phones, words, short steps.

A recording goes through the model in windows that overlap; every frame is read from the window in
whose middle it lies most, so that none is read near an edge but at the recording's own ends. A span is
the mean of the frames whose centre it holds, or the nearest frame where it holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch

from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel

CONTEXT = 16.0  # seconds of a window, as the encoding models use
MARGIN = 2.0  # seconds at a window's edge that are not read


def pool_spans(
    model: SpeechModel,
    audio: np.ndarray,
    spans: np.ndarray,
    layers: Sequence[int] | None = None,
    *,
    context: float = CONTEXT,
    margin: float = MARGIN,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean hidden state of every span.

    Parameters
    ----------
    model : SpeechModel
    audio : (n_samples,) float32
        16 kHz mono.
    spans : (n_spans, 2)
        Start and stop in seconds of the audio.
    layers : sequence of int, optional
        Layers wanted, in the order wanted; all when None.
    context, margin : float
        Seconds of a window, and of each of its edges that are not read.
    progress : callable, optional
        ``progress(windows done, windows in all)``.

    Returns
    -------
    states : (n_layers, n_spans, width) float32
    n_frames : (n_spans,) int
        Frames that a span holds; 0 where the nearest frame stands for it.

    Raises
    ------
    BraindashError
        For spans outside the audio or that end before they start, and audio that is too short for the model.
    """
    wanted = model.check_layers(layers)
    spans = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    _check(spans, len(audio) / model.sample_rate)
    if not 0 <= 2 * margin < context:
        raise BraindashError(f"A margin of {margin:g} s leaves nothing of a window of {context:g} s.", "Use less.")
    windows = plan_windows(len(audio), model, context, margin)
    read = [frames_read(model, *window) for window in windows]
    times = np.concatenate([t for _, t in read])
    first, last = (np.searchsorted(times, spans[:, side] - 1e-9) for side in (0, 1))
    n_frames = last - first
    empty = np.flatnonzero(n_frames == 0)
    first[empty] = np.abs(times[None] - spans[empty].mean(axis=1)[:, None]).argmin(axis=1)
    last[empty] = first[empty] + 1

    out = np.zeros((len(wanted), len(spans), model.width))
    begins = np.cumsum([0, *(len(index) for index, _ in read)])
    for w, (start, stop, _, _) in enumerate(windows):
        low, high = np.clip(first, begins[w], begins[w + 1]), np.clip(last, begins[w], begins[w + 1])
        here = np.flatnonzero(high > low)
        if len(here):
            index = torch.from_numpy(read[w][0])
            with torch.inference_mode():
                for k, h in model.iterate_layers(model.prepare([audio[start:stop]]), max(wanted)):
                    if k not in wanted:
                        continue
                    frames = h[0, index.to(h.device)].float().cpu().numpy()
                    running = np.zeros((len(frames) + 1, model.width))
                    np.cumsum(frames, axis=0, dtype=np.float64, out=running[1:])
                    sums = running[high[here] - begins[w]] - running[low[here] - begins[w]]
                    for slot in (i for i, layer in enumerate(wanted) if layer == k):
                        out[slot, here] += sums
        if progress is not None:
            progress(w + 1, len(windows))
    return (out / (last - first)[:, None]).astype(np.float32), n_frames


def frames_read(model: SpeechModel, start: int, stop: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of a window that are read, and their centres in seconds of the recording."""
    times = start / model.sample_rate + model.frame_times(stop - start)
    index = np.flatnonzero((times >= low) & (times < high))
    return index, times[index]


def plan_windows(
    n_samples: int, model: SpeechModel, context: float, margin: float
) -> list[tuple[int, int, float, float]]:
    """Return windows as (first sample, last sample, from, to): the frames with centres in [from, to) s are read."""
    rate = model.sample_rate
    length, step = round(context * rate), round((context - 2 * margin) * rate)
    if n_samples <= length:
        return [(0, n_samples, -np.inf, np.inf)]
    starts = [*range(0, n_samples - length, step), n_samples - length]
    borders = [-np.inf, *((b + a + length) / 2 / rate for a, b in pairwise(starts)), np.inf]
    return [(s, s + length, borders[i], borders[i + 1]) for i, s in enumerate(starts)]


def _check(spans: np.ndarray, seconds: float) -> None:
    if not len(spans):
        raise BraindashError("There are no spans to read.", "Give at least one.")
    bad = np.flatnonzero(
        ~np.isfinite(spans).all(axis=1)
        | (spans[:, 1] < spans[:, 0])
        | (spans[:, 0] < -0.05)
        | (spans[:, 0] > seconds)
        | (spans[:, 1] > seconds + 0.05)
    )
    if len(bad):
        start, stop = spans[bad[0]]
        raise BraindashError(
            f"{len(bad)} of {len(spans)} spans do not lie in the {seconds:.2f} s of audio "
            f"(first: {start:g} to {stop:g} s).",
            "Check that the annotation belongs to this recording.",
        )
