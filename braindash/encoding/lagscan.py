"""Are audio and responses aligned? The word rate, shifted by whole TRs, tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindash.encoding._responses import Standardised, usable_targets
from braindash.encoding.hrf import LENGTH, canonical_hrf
from braindash.errors import BraindashError
from braindash.studies.base import Finding, Study

LAGS = tuple(range(-6, 7))
BEST_SHARE = 0.05  # of the targets: most of cortex does not follow the words
N_NULL = 100
NULL_MARGIN = 15  # TRs: a null shift is at least this far from the true alignment
GRID = 0.1  # seconds
LATE = 1.5  # TRs: a larger best lag is no jitter of the haemodynamic response


@dataclass(frozen=True)
class LagScan:
    """How well the word rate predicts one subject when shifted.

    Attributes
    ----------
    lags : (n_lags,) TRs by which the responses are taken to come late; 0 is the study's own timing
    score : (n_lags,) mean r of the best 5 % of targets
    best : lag of the largest score, interpolated between lags (parabola through three points)
    threshold : 95th percentile of the largest score over lags, for words shifted far away
    tr : seconds
    """

    subject: str
    lags: np.ndarray
    score: np.ndarray
    best: float
    threshold: float
    tr: float

    @property
    def tells(self) -> bool:
        """Whether the word rate predicts the responses at any lag."""
        return bool(self.score.max() > self.threshold)

    def finding(self) -> Finding:
        """Return the line for a study's report."""
        seconds = self.best * self.tr
        if not self.tells:
            return Finding(
                "note",
                f"Subject {self.subject}: the word rate predicts no lag beyond chance "
                f"(r {self.score.max():.3f}, 95 % of shifted words below {self.threshold:.3f}); timing not checked.",
            )
        said = f"Subject {self.subject}: the word rate fits best at a lag of {self.best:+.1f} TR ({seconds:+.1f} s)"
        if abs(self.best) <= LATE:
            return Finding("ok", f"{said}, r {self.score.max():.3f}.")
        late = "later" if self.best > 0 else "earlier"
        return Finding(
            "warning",
            f"{said}: the study is probably mis-timed, responses come {late} than its row times say.",
            "Check the time of the first row, dropped volumes, silence before the story, and the TR.",
        )


def lag_scan(
    words: Mapping[str, pd.DataFrame],
    row_times: Mapping[str, np.ndarray],
    responses: Mapping[str, np.ndarray],
    tr: float,
    *,
    subject: str = "",
    lags: Sequence[int] = LAGS,
    seed: int = 0,
) -> LagScan:
    """Correlate the canonical response to the words with the responses at every lag.

    Parameters
    ----------
    words : story -> table with ``onset``, seconds
    row_times : story -> (n_trs,) centres of the response rows, seconds
    responses : story -> (n_trs, n_targets); targets that are constant or not finite are left out
    lags : TRs

    Notes
    -----
    The score of a lag is the mean r, over stories joined and z-scored each, of the 5 % of
    targets that follow it best; the same share is taken for the null, where every story's
    words are rotated by a random time of 15 TRs at least.

    Raises
    ------
    BraindashError
        No story with words, or stories too short to shift.
    """
    stories = [s for s in words if s in responses and len(words[s])]
    if not stories:
        raise BraindashError("No story has words with their times.", "Add TextGrids to check the timing.")
    ok = usable_targets([responses[s] for s in stories])
    columns = np.flatnonzero(ok)
    if len(columns) == 0:
        raise BraindashError("No target is finite and varies in every story.", "Check the responses.")
    rng = np.random.default_rng(seed)
    shortest = min(len(row_times[s]) for s in stories)
    if shortest < 2 * NULL_MARGIN + 10:
        raise BraindashError(
            f"A story of {shortest} TRs is too short for a lag scan ({2 * NULL_MARGIN + 10} are needed).",
            "Leave the short stories out.",
        )
    designs, ys = [], []
    for s in stories:
        times = np.asarray(row_times[s], dtype=np.float64)
        onsets = words[s]["onset"].to_numpy(dtype=np.float64)
        shifts = [np.array([0.0]), rng.uniform(NULL_MARGIN * tr, (len(times) - NULL_MARGIN) * tr, N_NULL)]
        start, span = times[0] - tr / 2, len(times) * tr
        columns_of_story = []
        for i, shift in enumerate(np.concatenate(shifts)):
            moved = onsets if i == 0 else start + (onsets - start + shift) % span
            columns_of_story.append(_at_lags(moved, times, lags, tr))
        designs.append(_zscore(np.concatenate(columns_of_story, axis=1)))
        ys.append(Standardised(responses[s], columns)[:, :])
    X = np.concatenate(designs).astype(np.float32)
    r = X.T @ np.concatenate(ys) / len(X)
    keep = max(1, round(BEST_SHARE * len(columns)))
    score = np.sort(r, axis=1)[:, -keep:].mean(1).reshape(1 + N_NULL, len(lags))
    return LagScan(
        subject, np.asarray(lags), score[0], _peak(np.asarray(lags), score[0]),
        float(np.quantile(score[1:].max(1), 0.95)), tr,
    )  # fmt: skip


def _at_lags(onsets: np.ndarray, times: np.ndarray, lags: Sequence[int], tr: float) -> np.ndarray:
    """Return the response to brief events at every lag: (n_trs, n_lags).

    At lag k, a row shows what the row times put k TRs before it. The response is
    convolved once, on a grid of GRID seconds, and read off at the shifted times.
    """
    wanted = times[:, None] - tr * np.asarray(lags)[None]
    begin, end = wanted.min() - LENGTH, wanted.max()
    counts, edges = np.histogram(onsets, bins=np.arange(begin, end + 2 * GRID, GRID))
    response = np.convolve(counts, canonical_hrf(np.arange(0, LENGTH, GRID)))[: len(counts)]
    return np.interp(wanted, edges[:-1] + GRID / 2, response)


def _zscore(X: np.ndarray) -> np.ndarray:
    sd = X.std(0)
    return np.where(sd > 0, (X - X.mean(0)) / np.where(sd > 0, sd, 1), 0.0)


def _peak(lags: np.ndarray, score: np.ndarray) -> float:
    i = int(np.argmax(score))
    if i in (0, len(lags) - 1):
        return float(lags[i])
    a, b, c = score[i - 1 : i + 2]
    return float(lags[i] + 0.5 * (a - c) / (a - 2 * b + c) * (lags[i + 1] - lags[i]))


def scan_study(study: Study, subject: str, stories: Sequence[str] | None = None) -> LagScan:
    """Scan one subject of a study over the tuning stories that have words (or the ``stories`` given)."""
    if study.signal != "bold":
        raise BraindashError(
            f"Study {study.id!r} holds {study.signal}; the lag scan assumes a haemodynamic response.",
            "Look at the temporal response functions instead.",
        )
    chosen = list(stories) if stories is not None else list(study.stories_of("tune", subject))
    words = {s: w for s in chosen if (w := study.story(s).words) is not None and len(w)}
    return lag_scan(
        words,
        {s: study.row_times(s, subject) for s in words},
        {s: study.read_responses(s, subject) for s in words},
        study.tr,
        subject=subject,
    )
