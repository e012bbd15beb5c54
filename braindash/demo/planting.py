"""What is planted in the simulated subjects: which feature drives which patch of cortex, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindash.demo.patches import Patches

ACOUSTIC = ("A1", "LBelt", "MBelt", "RI")
PHONETIC = ("PBelt", "A4")
SEMANTIC = (
    "44", "45", "55b", "A5", "IFJa", "IFSp", "PFm", "PGi", "PGp", "PGs", "PSL", "STGa", "STSda", "STSdp", "STSva",
    "STSvp", "STV", "TA2", "TE1a", "TE2a", "TGd", "TGv", "TPOJ1", "TPOJ2", "TPOJ3",
)  # fmt: skip
WORD_RATE = ("6ma", "FEF", "PEF", "SCEF", "SFL")
DRIVERS: dict[str, str] = {
    roi: driver
    for driver, rois in {
        "acoustic": ACOUSTIC,
        "phonetic": PHONETIC,
        "semantic": SEMANTIC,
        "word_rate": WORD_RATE,
    }.items()
    for roi in rois
}
CEILINGS: dict[str, tuple[float, float]] = {
    "acoustic": (0.2, 0.8),
    "phonetic": (0.2, 0.8),
    "semantic": (0.2, 0.8),
    "word_rate": (0.05, 0.2),
}
SMOOTHNESS_MM = 18.0  # how far ceilings stay alike along the cortex
NOISE_RHO = 0.4  # AR(1) coefficient of the noise from row to row
SEEDS: dict[str, int] = {"sub-01": 101, "sub-02": 202}
HRF_DELAYS: dict[str, float] = {"sub-01": 0.0, "sub-02": 0.4}  # seconds later than the canonical response


@dataclass(frozen=True)
class Planted:
    """One subject's truth, one entry a target.

    Attributes
    ----------
    driver : (n_targets,) str array
        "acoustic", "phonetic", "semantic", "word_rate" or "none".
    ceiling : (n_targets,) float64 array
        Nominal correlation of one presentation with its noiseless signal; 0 where nothing is planted.
    weights : dict of str to (n_features, n_of_driver) float64 array
        Weights of every driver's features, for its targets in order.
    """

    driver: np.ndarray
    ceiling: np.ndarray
    weights: dict[str, np.ndarray]


def plant(patches: Patches, widths: Mapping[str, int], seed: int) -> Planted:
    """Draw a subject's truth.

    Parameters
    ----------
    patches : Patches
    widths : mapping of driver to its number of features
    seed : int
        The subject's; the same seed gives the same truth.
    """
    rng = np.random.default_rng(seed)
    driver = patches.table["roi"].map(DRIVERS).fillna("none").to_numpy(dtype=str)
    rank = _smooth_rank(patches.centres, rng)
    ceiling = np.zeros(len(driver))
    weights = {}
    for name, (low, high) in CEILINGS.items():
        mine = driver == name
        order = np.argsort(np.argsort(rank[mine]))  # uniform between low and high within the driver's targets
        ceiling[mine] = low + (high - low) * (order + 0.5) / max(1, mine.sum())
        weights[name] = rng.standard_normal((widths[name], int(mine.sum())))
    return Planted(driver, ceiling, weights)


def _smooth_rank(centres: np.ndarray, rng: np.random.Generator, n_waves: int = 400) -> np.ndarray:
    """Return a Gaussian random field over positions, by random Fourier features, with a little grain."""
    waves = rng.standard_normal((3, n_waves)) / SMOOTHNESS_MM
    field = np.cos(centres @ waves + rng.uniform(0, 2 * np.pi, n_waves)).sum(1) * np.sqrt(2 / n_waves)
    return field + 0.3 * rng.standard_normal(len(centres))


def signals(rows: Mapping[str, np.ndarray], planted: Planted, scale: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the noiseless responses, 0 where nothing is planted: (n_trs, n_targets).

    ``rows`` are the drivers' features at the rows' centres, ``scale`` each
    driven target's standard deviation over the tuning stories.
    """
    out = np.zeros((len(next(iter(rows.values()))), len(planted.driver)))
    for name, weights in planted.weights.items():
        out[:, planted.driver == name] = rows[name] @ weights / scale[name]
    return out


def noise(shape: tuple[int, ...], rng: np.random.Generator, rho: float = NOISE_RHO) -> np.ndarray:
    """Return AR(1) noise of variance 1 along the second last axis: rows of a ``(…, n_trs, n_targets)`` array."""
    from scipy.signal import lfilter

    white = rng.standard_normal((*shape[:-2], shape[-2], shape[-1]), dtype=np.float32)
    white[..., 0, :] /= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([np.sqrt(1 - rho**2)], [1.0, -rho], white, axis=-2))


def truth_table(planted: Planted, realised: np.ndarray, nominal: np.ndarray) -> pd.DataFrame:
    """Return one row a target: ``target, driver, ceiling_single, ceiling_nominal, ceiling_realised``."""
    return pd.DataFrame(
        {
            "target": np.arange(len(planted.driver)),
            "driver": planted.driver,
            "ceiling_single": planted.ceiling,
            "ceiling_nominal": nominal,
            "ceiling_realised": realised,
        }
    )
