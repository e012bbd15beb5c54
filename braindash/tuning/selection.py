"""Which targets a fine-tune sees: regions, hemisphere, a mask of one's own, noise ceilings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.studies.base import Study
from braindash.tuning.objectives import get_loss

if TYPE_CHECKING:
    import pandas as pd

MASK_ENDINGS = (".npy", ".csv", ".txt")


@dataclass(frozen=True)
class Selection:
    """Which of a subject's targets are tuned on.

    Attributes
    ----------
    index : (n_targets,) int64
        Rows of ``study.targets(subject)``.
    n_all : int
        Targets that the study has.
    n_outside, n_outside_mask, n_below_ceiling, n_excluded : int
        Targets not in the regions or the hemisphere asked for; of the rest, outside the
        mask; of the rest, below the ceiling asked for (or without one); of the rest,
        excluded as not finite or constant. With ``n_targets`` they add up to ``n_all``.
    """

    index: np.ndarray
    n_all: int
    n_outside: int
    n_outside_mask: int
    n_below_ceiling: int
    n_excluded: int

    @property
    def n_targets(self) -> int:
        return len(self.index)

    def counts(self) -> dict[str, int]:
        """Return the counts as a row."""
        return {
            "n_targets": self.n_targets,
            "n_all": self.n_all,
            "n_outside": self.n_outside,
            "n_outside_mask": self.n_outside_mask,
            "n_below_ceiling": self.n_below_ceiling,
            "n_excluded": self.n_excluded,
        }


def left_out(counts: dict[str, int], *, read: bool = True) -> str:
    """Return what each condition took away, as a phrase; the mask is named where it took something.

    ``read``: whether the responses were read, without which nothing is known to be unusable.

    >>> left_out({"n_outside": 4, "n_outside_mask": 0, "n_below_ceiling": 1, "n_excluded": 2})
    '4 outside the regions, 1 below the ceiling, 2 not finite or constant'
    """
    parts = [f"{counts['n_outside']} outside the regions"]
    if counts.get("n_outside_mask"):
        parts.append(f"{counts['n_outside_mask']} outside the mask")
    parts.append(f"{counts['n_below_ceiling']} below the ceiling")
    if read:
        parts.append(f"{counts['n_excluded']} not finite or constant")
    return ", ".join(parts)


def select_targets(study: Study, subject: str, config: TuneConfig, *, read: bool = True) -> Selection:
    """Return the targets of ``subject`` in the regions, the hemisphere and the mask, above the ceiling and usable.

    With ``read=False`` no response is read, and every target counts as usable.

    Raises
    ------
    BraindashError
        For a region, hemisphere or mask that the study's targets do not fit, or if fewer
        are left than the loss needs, with the count of what each condition took away.
    """
    table = study.targets(subject)
    least = get_loss(config.loss).least_targets
    n_all = len(table)
    inside = region_of(table, config, study.id)
    masked = inside & read_mask(config.mask, subject, n_all) if config.mask else inside
    reliable = masked.copy()
    if config.min_ceiling > 0:
        ceilings = tuning_ceilings(study, subject)
        with np.errstate(invalid="ignore"):
            reliable &= ceilings >= config.min_ceiling  # False where there is no ceiling
    usable = reliable & study.usable(subject) if read else reliable
    selection = Selection(
        index=np.flatnonzero(usable),
        n_all=n_all,
        n_outside=n_all - int(inside.sum()),
        n_outside_mask=int((inside & ~masked).sum()),
        n_below_ceiling=int((masked & ~reliable).sum()),
        n_excluded=int((reliable & ~usable).sum()),
    )
    if selection.n_targets < least:
        need = "" if least == 1 else f"; the loss {config.loss} needs at least {least}"
        limit = f"; min_ceiling is {config.min_ceiling:g}" if config.min_ceiling > 0 else ""
        raise BraindashError(
            f"{selection.n_targets} of {n_all} targets of subject {subject!r} are left to tune on: "
            f"{left_out(selection.counts())}{limit}{need}.",
            "Choose more regions, both hemispheres, a wider mask or a lower min_ceiling.",
        )
    return selection


def region_of(table: pd.DataFrame, config: TuneConfig, study: str) -> np.ndarray:
    """Return which targets lie in any of the regions and in the hemisphere: (n_targets,) bool."""
    inside = np.ones(len(table), dtype=bool)
    if config.rois:
        from braindash.encoding.regions import region_mask

        inside = np.zeros(len(table), dtype=bool)
        for roi in config.rois:
            inside |= region_mask(table, roi)  # raises where the region holds no target
    if config.hemi != "both":
        hemi = table["hemi"].fillna("").astype(str).str.upper().str[:1] if "hemi" in table else None
        if hemi is None or not hemi.isin(["L", "R"]).any():
            raise BraindashError(
                f"hemi is {config.hemi!r}, but the targets of study {study!r} name no hemisphere.",
                "Give the targets table a column hemi with L or R, or set hemi to both.",
            )
        inside &= (hemi == config.hemi[0].upper()).to_numpy(dtype=bool)
    return inside


def read_mask(mask: str, subject: str, n_targets: int) -> np.ndarray:
    """Read a mask: (n_targets,) bool, True where the file's value is not 0.

    Parameters
    ----------
    mask : str
        A ``.npy`` of truth values or numbers, or a ``.csv`` or ``.txt`` with one value a
        line (a heading, blank lines and lines that start with ``#`` are passed over).
        ``{subject}`` stands for the subject; a relative path starts at the current folder.
    subject : str
    n_targets : int
        Of the subject.

    Raises
    ------
    BraindashError
        For a file that is not there or cannot be read, a value that is not a finite
        number, another number of values than targets, or a mask without a target.
    """
    path = Path(mask.replace("{subject}", subject)).expanduser().absolute()
    if path.suffix not in MASK_ENDINGS:
        raise BraindashError(
            f"The mask {path} ends in {path.suffix or 'nothing'!r}.", f"Give a {', '.join(MASK_ENDINGS)} file."
        )
    if not path.is_file():
        raise BraindashError(f"There is no mask file {path}.", "Correct mask, or leave it empty.")
    values = _from_npy(path) if path.suffix == ".npy" else _from_text(path)
    if len(values) != n_targets:
        raise BraindashError(
            f"The mask {path} has {len(values)} values, but subject {subject!r} has {n_targets} targets.",
            "Give one value a target, in the order of the study's targets; {subject} in the name of the mask "
            "gives every subject a file of its own.",
        )
    unclear = int((~np.isfinite(values)).sum())
    if unclear:
        raise BraindashError(
            f"{unclear} of the {n_targets} values of the mask {path} are NaN or infinite.",
            "Write 0 for the targets to leave out.",
        )
    inside = values != 0
    if not inside.any():
        raise BraindashError(
            f"All {n_targets} values of the mask {path} are 0.", "Give those to tune on another value."
        )
    return inside


def _from_npy(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise BraindashError(
            f"The mask {path} cannot be read: {' '.join(str(error).split())[:120]}.", "Save it again with numpy.save."
        ) from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or sum(n != 1 for n in values.shape) > 1:
        what = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "several arrays"
        raise BraindashError(f"The mask {path} holds {what}.", "Give one truth value or number a target.")
    return values.astype(np.float64).ravel()


def _from_text(path: Path) -> np.ndarray:
    words = {"true": 1.0, "false": 0.0}
    values: list[float] = []
    heading = True
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BraindashError(f"The mask {path} is not text.", "Give one value a line.") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip().strip('"')
        if not text or text.startswith("#"):
            continue
        try:
            values.append(words[text.lower()] if text.lower() in words else float(text))
        except ValueError:
            if not heading or values or "," in text:
                raise BraindashError(
                    f"Line {number} of the mask {path} is {text[:40]!r}, not one number.", "Give one value a line."
                ) from None
        heading = False
    return np.array(values, dtype=np.float64)


def tuning_ceilings(study: Study, subject: str) -> np.ndarray:
    """Return noise ceilings that no test story had a part in: (n_targets,) float, NaN where there is none.

    The study's own column, or else repeats of tuning and validation stories.
    """
    table = study.targets(subject)
    if "noise_ceiling" in table:
        return table["noise_ceiling"].to_numpy(dtype=float)
    from braindash.encoding.ceiling import noise_ceiling

    found = []
    for story in (*study.stories_of("tune", subject), *study.stories_of("validation", subject)):
        repeats = study.read_repeats(story, subject)
        if repeats is not None:
            found.append(np.asarray(noise_ceiling(repeats), dtype=float))
    if not found:
        raise BraindashError(
            f"min_ceiling is set, but subject {subject!r} of study {study.id!r} has no noise ceilings: no column "
            "noise_ceiling in its targets, and no repeats of a tuning or validation story.",
            "Set min_ceiling to 0, or give the targets table a noise_ceiling column.",
        )
    stack = np.stack(found)
    counted = np.isfinite(stack).sum(axis=0)
    total = np.where(np.isfinite(stack), stack, 0.0).sum(axis=0)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)
