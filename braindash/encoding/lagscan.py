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
MAX_TARGETS = 2000  # evenly spaced: the best 5 % of them tell the timing as well as those of a whole cortex
SHORTEST = 2 * NULL_MARGIN + 10  # TRs of a story


@dataclass(frozen=True)
class LagScan:
    """How well the word rate predicts one subject when shifted.

    Attributes
    ----------
    lags : (n_lags,) TRs by which the responses are taken to come late; 0 is the study's own timing
    score : (n_lags,) mean r of the best 5 % of targets
    best : lag of the largest score, interpolated between lags (parabola through three points)
    threshold : quantile ``level`` of the largest score over lags, for words shifted far away
    tr : seconds
    n_targets : targets that were looked at
    level : 0.95, or nearer to 1 where several subjects are scanned
    """

    subject: str
    lags: np.ndarray
    score: np.ndarray
    best: float
    threshold: float
    tr: float
    n_targets: int = 0
    level: float = 0.95

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
                f"(r {self.score.max():.3f}, {100 * self.level:.3g} % of shifted words below {self.threshold:.3f}); "
                "timing not checked.",
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
    n_null: int = N_NULL,
    level: float = 0.95,
    seed: int = 0,
) -> LagScan:
    """Correlate the canonical response to the words with the responses at every lag.

    Parameters
    ----------
    words : story -> table with ``onset``, seconds
    row_times : story -> (n_trs,) centres of the response rows, seconds
    responses : story -> (n_trs, n_targets); targets that are constant or not finite are left out
    lags : TRs
    n_null, level : far shifts of the words, and the quantile of their best scores that a scan must pass

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
    if shortest < SHORTEST:
        raise BraindashError(
            f"A story of {shortest} TRs is too short for a lag scan ({SHORTEST} are needed).",
            "Leave the short stories out.",
        )
    designs, ys = [], []
    for s in stories:
        times = np.asarray(row_times[s], dtype=np.float64)
        onsets = words[s]["onset"].to_numpy(dtype=np.float64)
        shifts = [np.array([0.0]), rng.uniform(NULL_MARGIN * tr, (len(times) - NULL_MARGIN) * tr, n_null)]
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
    score = np.sort(r, axis=1)[:, -keep:].mean(1).reshape(1 + n_null, len(lags))
    return LagScan(
        subject, np.asarray(lags), score[0], _peak(np.asarray(lags), score[0]),
        float(np.quantile(score[1:].max(1), level)), tr, len(columns), level,
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


def scan_study(
    study: Study, subject: str, stories: Sequence[str] | None = None, max_targets: int | None = None
) -> LagScan:
    """Scan one subject of a study over the tuning stories that have words (or the ``stories`` given).

    ``max_targets`` bounds the work: so many evenly spaced targets are looked at; None: all.
    """
    chosen = list(stories) if stories is not None else _with_words(study, subject)
    return _scan(study, [subject], chosen, max_targets, subject)


def check_timing(study: Study, max_targets: int = MAX_TARGETS) -> tuple[list[LagScan], list[Finding]]:
    """Scan every subject of a study, as far as it has words and BOLD responses, and say what was found.

    Stories of fewer than 40 TRs are left out. The chance of a false alarm is 5 % for all subjects
    together. Where no subject by itself tells the timing and
    subjects share rows and targets, their mean is scanned as well.

    Returns
    -------
    scans, findings
        Raises nothing for a study that cannot be scanned: a note says why.
    """
    if study.signal != "bold":
        return [], [Finding("note", f"The responses are {study.signal}: no lag scan, which assumes a BOLD response.")]
    scans: list[LagScan] = []
    findings: list[Finding] = []
    stories: dict[str, list[str]] = {}
    for subject in study.subjects:
        try:
            with_words = _with_words(study, subject)
            stories[subject] = [s for s in with_words if len(study.row_times(s, subject)) >= SHORTEST]
            if not stories[subject]:
                why = f"none of at least {SHORTEST} TRs has words" if with_words else "none has words with their times"
                findings.append(Finding("note", f"Subject {subject}: timing not checked; of the tuning stories {why}."))
                continue
            # no more false alarms in a study of many subjects than in one of one
            scans.append(_scan(study, [subject], stories[subject], max_targets, subject, len(study.subjects)))
        except BraindashError as error:
            findings.append(Finding("note", f"Subject {subject}: timing not checked. {error.what}"))
            continue
        findings.append(scans[-1].finding())
    together = [s.subject for s in scans]
    if len(together) > 1 and not any(s.tells for s in scans) and _same_rows(study, together, stories):
        scans.append(_scan(study, together, stories[together[0]], max_targets, f"mean of {len(together)}"))
        findings.append(scans[-1].finding())
    return scans, findings


def _with_words(study: Study, subject: str) -> list[str]:
    return [s for s in study.stories_of("tune", subject) if (w := study.story(s).words) is not None and len(w)]


def _same_rows(study: Study, subjects: Sequence[str], stories: Mapping[str, list[str]]) -> bool:
    first = subjects[0]
    return all(
        stories[s] == stories[first]
        and list(study.targets(s)["name"]) == list(study.targets(first)["name"])
        and all(np.array_equal(study.row_times(t, s), study.row_times(t, first)) for t in stories[first])
        for s in subjects[1:]
    )


def _scan(
    study: Study, subjects: Sequence[str], stories: Sequence[str], most: int | None, label: str, n_scans: int = 1
) -> LagScan:
    if study.signal != "bold":
        raise BraindashError(
            f"Study {study.id!r} holds {study.signal}; the lag scan assumes a haemodynamic response.",
            "Look at the temporal response functions instead.",
        )
    n = len(study.targets(subjects[0]))
    some = np.arange(n) if most is None else np.linspace(0, n - 1, min(most, n)).round().astype(int)
    words = {s: w for s in stories if (w := study.story(s).words) is not None and len(w)}

    def read(story: str) -> np.ndarray:
        total: np.ndarray | None = None
        for subject in subjects:
            y = np.asarray(study.read_responses(story, subject))[:, some]
            y = y if len(subjects) == 1 else _zscore(y)
            total = y if total is None else total + y
        assert total is not None
        return total

    return lag_scan(
        words,
        {s: study.row_times(s, subjects[0]) for s in words},
        {s: read(s) for s in words},
        study.tr,
        subject=label,
        n_null=max(N_NULL, 20 * n_scans),
        level=1 - 0.05 / n_scans,
    )
