"""The largest correlation that a model could reach, and correlations as a share of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.encoding.scoring import correlation
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.studies.base import Study

CHUNK = 2048  # targets of all subjects that are z-scored together
FEWEST_SUBJECTS = 3


def noise_ceiling(repeats: np.ndarray) -> np.ndarray:
    """Return the largest reachable correlation with the mean over repeats.

    Signal power of Schoppe et al. (2016): with every repeat z-scored over time
    (total power TP = 1) and N repeats,
    SP = (N · var(mean of the repeats) − mean of their variances) / (N − 1), and
    cc_max = 1 / sqrt(1 + (TP / SP − 1) / N).

    Parameters
    ----------
    repeats : (n_repeats, n_trs, n_targets) array

    Returns
    -------
    (n_targets,) float64
        NaN where SP ≤ 0 (no signal that repeats: there is no ceiling), where a repeat
        is constant, or where values are not finite.

    Raises
    ------
    BraindashError
        Fewer than 2 repeats.
    """
    repeats = np.asarray(repeats)
    if repeats.ndim != 3 or len(repeats) < 2:
        raise BraindashError(
            f"A noise ceiling needs repeats of shape (n_repeats ≥ 2, n_trs, n_targets); got {repeats.shape}.",
            "Give the single repeats of a story heard more than once.",
        )
    n = len(repeats)
    mean = np.zeros(repeats.shape[1:])
    for repeat in repeats:  # one at a time: all of them in float64 would take gigabytes
        mean += zscored(repeat) / n
    signal = (n * mean.var(axis=0) - 1) / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(signal > 0, 1 / np.sqrt(1 + (1 / signal - 1) / n), np.nan)


def zscored(Y: np.ndarray) -> np.ndarray:
    """Return every column less its mean and divided by its standard deviation (ddof 0), NaN where constant."""
    y = np.asarray(Y, dtype=np.float64)
    y = y - y.mean(axis=0)
    sd = y.std(axis=0)
    scale = np.abs(np.asarray(Y, dtype=np.float64)).max(axis=0) if len(y) else sd
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 1e-12 * scale, y / sd, np.nan)


def intersubject_ceiling(responses: Sequence[np.ndarray]) -> np.ndarray:
    """Return, per subject and target, r with the mean of the other subjects, corrected for its noise.

    For subjects in a common space (the same vertices or parcels). With N others, each
    with the reliability ρ estimated from the mean correlation between pairs, their mean
    has reliability Nρ / (1 + (N − 1)ρ) (Spearman–Brown); dividing r by its square root
    gives the correlation with the signal that is shared, which no model of the stimulus
    alone can be expected to exceed.

    Parameters
    ----------
    responses : one (n_trs, n_targets) array a subject, 3 subjects at least

    Returns
    -------
    (n_subjects, n_targets) float64, clipped to 1; NaN where r or ρ ≤ 0.
    """
    if len(responses) < FEWEST_SUBJECTS:
        raise BraindashError(
            f"A ceiling from other subjects needs at least 3 of them; got {len(responses)}.",
            "Use repeats or planted ceilings for fewer subjects.",
        )
    shapes = {np.shape(y) for y in responses}
    if len(shapes) > 1:
        raise BraindashError(
            f"The subjects' responses differ in shape: {sorted(shapes)}.", "Give the same rows and targets for all."
        )
    z = np.stack([zscored(y) for y in responses])
    n = len(z) - 1
    out = np.full((len(z), z.shape[2]), np.nan)
    for i, own in enumerate(z):
        others = z.sum(0) - own
        # The mean correlation between pairs, from the variance of a sum: n + n(n − 1)·ρ.
        rho = (others.var(axis=0) - n) / (n * (n - 1))
        r = correlation(own, others)
        good = (r > 0) & (rho > 0)
        reliability = n * rho[good] / (1 + (n - 1) * rho[good])
        out[i, good] = np.minimum(r[good] / np.sqrt(reliability), 1.0)
    return out


def subject_ceilings(study: Study) -> dict[str, np.ndarray]:
    """Return the ceiling from the other subjects for every subject of a study that shares targets with them.

    Subjects share targets where these have the same names and regions and lie on the same surface
    (or the study lists their names), and where their test stories and row times are the same. The voxels of
    single brains do not; nor do targets that are merely numbered.

    Returns
    -------
    subject -> (n_targets,); empty where fewer than 3 subjects share anything
        Over the test stories joined, z-scored each. NaN where there is none.
    """
    together: dict[object, list[str]] = {}
    for subject in study.subjects:
        stories = study.stories_of("test", subject)
        targets, where = study.targets(subject), study.cortex(subject)
        names = tuple(targets["name"].astype(str))
        numbered = names == tuple(f"t{i}" for i in range(len(names)))
        on_surface = where is not None and where.space != "pycortex"
        if not stories or (where is not None and where.space == "pycortex") or (numbered and not on_surface):
            continue
        times = tuple(np.asarray(study.row_times(s, subject)).tobytes() for s in stories)
        key = (names, tuple(targets["roi"]), where.index.tobytes() if where is not None else b"", stories, times)
        together.setdefault(key, []).append(subject)
    out: dict[str, np.ndarray] = {}
    for subjects in together.values():
        if len(subjects) < FEWEST_SUBJECTS:
            continue
        stories = study.stories_of("test", subjects[0])
        n = len(study.targets(subjects[0]))
        ceiling = np.full((len(subjects), n), np.nan)
        responses = [[study.read_responses(s, who) for s in stories] for who in subjects]
        for start in range(0, n, CHUNK):
            some = slice(start, start + CHUNK)
            ceiling[:, some] = intersubject_ceiling(
                [np.concatenate([zscored(y[:, some]) for y in mine]) for mine in responses]
            )
        out |= dict(zip(subjects, ceiling, strict=True))
    return out


def normalise(r: np.ndarray, ceiling: np.ndarray, threshold: float = 0.1) -> tuple[np.ndarray, int]:
    """Return r as a share of the ceiling, and how many targets have none.

    Parameters
    ----------
    r : (..., n_targets)
    ceiling : (n_targets,)
    threshold : float
        Targets with a lower ceiling are excluded: the ratio of two small numbers is noise.

    Returns
    -------
    r_norm : (..., n_targets) float64
        NaN where excluded. Not clipped: with noise some ratios lie above 1.
    n_excluded : int
    """
    r, ceiling = np.asarray(r, dtype=np.float64), np.asarray(ceiling, dtype=np.float64)
    usable = np.isfinite(ceiling) & (ceiling > 0) & (ceiling >= threshold)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(usable, r / ceiling, np.nan), int((~usable).sum())


def excluded_counts(ceiling: np.ndarray, threshold: float) -> dict[str, int]:
    """Return how many targets have no ceiling and how many one below ``threshold``."""
    ceiling = np.asarray(ceiling, dtype=np.float64)
    none = ~np.isfinite(ceiling) | (ceiling <= 0)
    return {"no ceiling": int(none.sum()), f"ceiling below {threshold:g}": int((~none & (ceiling < threshold)).sum())}
