"""Temporal response functions: lags in seconds, and the settings that follow from a study's signal.

BOLD is fitted with FIR delays in TRs. Electrodes answer within fractions of a second and are
sampled many times a second: their delays are lags in seconds, put on the nearest row. A layer
times twenty lags is wider than it is informative, so the lagged features are the layer's
principal components (of the fitting stories alone); with all of them the fit is that of the
layer itself, because ridge does not see a rotation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from braindash.config import DEFAULT_BLOCK, DEFAULT_DELAYS, EncodingConfig, TuneConfig
from braindash.errors import BraindashError
from braindash.features.design import delay, zscore

log = logging.getLogger(__name__)

BLOCK_SECONDS = 5.0  # exchanged together in tests on electrodes: longer than responses resemble themselves
UNIT_BLOCKS = 3  # blocks in a stretch of a story that an interval is made over
HEAD_LAGS = 5  # of a tuning head: it takes the whole layer at every lag, and the encoder can move things in time
BOLD_UNIT_ROWS = 30  # 3 blocks of 10 TRs


def lag_rows(lags: tuple[float, float], step: float, tr: float) -> tuple[int, ...]:
    """Return lags in rows: first, first + step, … up to the last, each put on the nearest row.

    Parameters
    ----------
    lags : (first, last)
        Seconds by which the response is later than the sound; negative: earlier.
    step : float
        Seconds from lag to lag; with less than a row every row is a lag.
    tr : float
        Seconds from row to row.

    >>> lag_rows((0.0, 0.1), 0.02, 0.01)
    (0, 2, 4, 6, 8, 10)
    """
    n = int(np.floor((lags[1] - lags[0]) / step + 1e-6)) + 1
    seconds = lags[0] + step * np.arange(n)
    # half a row always goes up: numpy's rounding to even would leave uneven gaps
    rows = np.floor(seconds / tr + 0.5 + 1e-6).astype(int)
    return tuple(int(r) for r in np.unique(rows))


def block_rows(block: int, signal: str, tr: float) -> int:
    """Return the rows that are permuted together: 5 s for electrodes, unless another number was chosen."""
    if signal != "electrodes" or block != DEFAULT_BLOCK:
        return block
    return max(DEFAULT_BLOCK, round(BLOCK_SECONDS / tr))


def unit_rows(config: EncodingConfig, signal: str) -> int:
    """Return the rows of a stretch that an interval is made over, for a config from :func:`for_signal`."""
    return BOLD_UNIT_ROWS if signal != "electrodes" else UNIT_BLOCKS * config.block_trs


def for_signal(config: EncodingConfig, signal: str, tr: float) -> EncodingConfig:
    """Return the settings with everything that is counted in rows settled for a study.

    BOLD: as they are. Electrodes: ``delays`` become the lags and ``block_trs`` 5 s, each only where
    it was left at its default for BOLD; what was chosen is taken as rows.

    Raises
    ------
    BraindashError
        If the lags reach further than can be meant at this rate.
    """
    if signal != "electrodes":
        return config.model_copy(update={"lag_components": None})
    delays = config.delays
    if tuple(delays) == DEFAULT_DELAYS:
        delays = lag_rows(config.lags, config.lag_step, tr)
    if len(delays) > 500:
        raise BraindashError(
            f"Lags from {config.lags[0]:g} to {config.lags[1]:g} s every {config.lag_step:g} s are {len(delays)} "
            f"copies of the features.",
            "Set a larger encoding.lag_step, or a narrower encoding.lags.",
        )
    return config.model_copy(update={"delays": delays, "block_trs": block_rows(config.block_trs, signal, tr)})


def tuning_for_signal(config: TuneConfig, signal: str, tr: float) -> TuneConfig:
    """Return a fine-tune's settings with everything that is counted in rows settled for a study.

    BOLD: as they are. Electrodes: the head's ``delays`` become 5 lags over those of ``encoding``
    (fewer where its ``lag_step`` leaves no room), the control's ``permute_block`` 5 s, each only where
    it was left at its default for BOLD; ``encoding`` as by :func:`for_signal`. Settled settings stay
    as they are when settled again.
    """
    if signal != "electrodes":
        return config
    delays = config.delays
    if tuple(delays) == DEFAULT_DELAYS:
        lags = config.encoding.lags
        delays = lag_rows(lags, max(config.encoding.lag_step, (lags[1] - lags[0]) / (HEAD_LAGS - 1)), tr)
    return config.model_copy(
        update={
            "delays": delays,
            "permute_block": block_rows(config.permute_block, signal, tr),
            "encoding": for_signal(config.encoding, signal, tr),
        }
    )


def principal_axes(stories: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, float]:
    """Return the axes of greatest variance over stacked stories, and the share of variance along them.

    Parameters
    ----------
    stories : list of (n_rows, p)
        Centred (z-scored) per story.
    n : int
        Axes wanted, at most p.

    Returns
    -------
    axes : (p, n) float64
        Orthonormal, largest variance first.
    share : float
    """
    p = stories[0].shape[1]
    gram = np.zeros((p, p))
    for x in stories:
        x = x.astype(np.float64)
        gram += x.T @ x
    values, vectors = np.linalg.eigh(gram)
    total = float(values.sum())
    return vectors[:, ::-1][:, :n], float(values[::-1][:n].sum() / total) if total > 0 else 1.0


def story_designs(
    read: Callable[[str], np.ndarray], fitting: Sequence[str], held: Sequence[str], config: EncodingConfig
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return what the regression sees: features z-scored, reduced where asked, and delayed, story by story.

    Parameters
    ----------
    read : callable
        ``read(story) -> (n_rows, p)``.
    fitting, held : names of stories
        Principal components are those of the fitting stories.
    config : EncodingConfig
        From :func:`for_signal`.

    Returns
    -------
    list of (n_rows, n_delays * k) float32, and dict of held story to the same
    """

    def whole(story: str) -> np.ndarray:
        return zscore(np.asarray(read(story)))

    n = config.lag_components
    if n is None:
        return [delay(whole(s), config.delays) for s in fitting], {s: delay(whole(s), config.delays) for s in held}
    first = [whole(s) for s in fitting]
    if n >= first[0].shape[1]:
        return [delay(x, config.delays) for x in first], {s: delay(whole(s), config.delays) for s in held}
    axes, share = principal_axes(first, n)
    log.info("%d of %d components carry %.1f %% of a layer's variance", n, first[0].shape[1], 100 * share)
    axes = axes.astype(np.float32)
    return [delay(x @ axes, config.delays) for x in first], {s: delay(whole(s) @ axes, config.delays) for s in held}
