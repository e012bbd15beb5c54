"""Named groups of cortical parcels (HCP-MMP1, Glasser et al. 2016)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from braindash.errors import BraindashError, closest

_PRIMARY = ("A1",)
_EARLY = ("A1", "LBelt", "MBelt", "PBelt", "RI", "A4")
_LATE_TEMPORAL = ("STGa", "STSda", "STSdp", "TA2", "STSva")
_LATE = ("A5", "44", "45", "IFJa", "IFSp", "PGi", "PGp", "PGs", "TPOJ1", "TPOJ2", "TPOJ3", *_LATE_TEMPORAL)
_AG = ("PFm", "PGs", "PGi", "TPOJ2", "TPOJ3")
_LTC = ("STSda", "STSva", "STGa", "TE1a", "TE2a", "TGv", "TGd", "A5", "STSdp", "STSvp", "PSL", "STV", "TPOJ1")
_IFG = ("44", "45", "IFJa", "IFSp")
_MFG = ("55b",)

_GROUPS: dict[str, tuple[str, ...]] = {
    "primary_auditory": _PRIMARY,
    "early_auditory": _EARLY,
    "auditory": _EARLY,
    "late_language": _LATE,
    "ag": _AG,
    "ltc": _LTC,
    "ifg": _IFG,
    "mfg": _MFG,
    "language": tuple(dict.fromkeys(_LATE + _AG + _LTC + _IFG + _MFG)),
    "auditory_language": tuple(dict.fromkeys(_EARLY + _AG + _LTC + _IFG + _MFG)),
}

SYNONYMS = {"auditory": "early_auditory"}  # other names of the same parcels: chosen by, but not listed twice

_WHOLE: dict[str, str] = {"cortex": "", "left": "L", "right": "R"}

TITLES: dict[str, str] = {
    "cortex": "Whole cortex",
    "left": "Left hemisphere",
    "right": "Right hemisphere",
    "primary_auditory": "Primary auditory",
    "early_auditory": "Early auditory",
    "auditory": "Auditory",
    "late_language": "Late language",
    "language": "Language",
    "auditory_language": "Auditory and language",
    "ag": "Angular gyrus",
    "ltc": "Lateral temporal",
    "ifg": "Inferior frontal",
    "mfg": "Middle frontal",
}


OwnGroups = Mapping[str, Sequence[str]]  # a lab's own: name -> parcels, regions of a study, named groups


def region_groups(own: OwnGroups | None = None) -> dict[str, tuple[str, ...]]:
    """Return the named groups and the HCP-MMP1 parcels (without hemisphere) of each, then a lab's own groups.

    ``primary_auditory``, ``early_auditory`` and ``late_language`` are those of Moussa &
    Toneva (2025); ``ag``, ``ltc``, ``ifg`` and ``mfg`` those of their multi-participant
    paper, ``auditory_language`` these four and auditory cortex, on which that paper tunes.
    ``auditory`` is A1, the belt and parabelt, RI and A4, by another name ``early_auditory``;
    it shares no parcel with the language groups. ``cortex``, ``left`` and ``right`` are made
    of all targets and list no parcels.
    """
    named = {**dict.fromkeys(_WHOLE, ()), **_GROUPS}
    return named | {k: tuple(v) for k, v in (own or {}).items() if k not in named}


def check_own_groups(own: OwnGroups, known: Collection[str] = (), only: Collection[str] | None = None) -> None:
    """Raise BraindashError for a lab's own group whose name is taken, or that has a member nobody knows.

    Parameters
    ----------
    own : name -> members
    known : collection of str
        Parcels and regions of studies; members are these and the named groups, each with ``_left`` or
        ``_right`` at its end if only one hemisphere is meant.
    only : collection of str, optional
        The groups that are checked; all of them by default.
    """
    parcels = set(known)
    taken = {*_WHOLE, *_GROUPS, *parcels, *(_hemisphere(p)[0] for p in parcels)}
    for name, members in own.items():
        if only is not None and name not in only:
            continue
        if name in taken:
            raise BraindashError(
                f"{name!r} is the name of a region already, and cannot be that of a group of your own.",
                f"Call it otherwise, such as my_{name}.",
            )
        for member in members:
            if member not in taken and _hemisphere(member)[0] not in taken:
                if member in own:
                    raise BraindashError(
                        f"Group {name!r} has {member!r} as a member, which is itself a group of your own.",
                        "Name its members instead.",
                    )
                raise BraindashError(f"Group {name!r}: region {member!r} is not known.", closest(member, taken))


def region_title(roi: str) -> str:
    """Return a name to show: "late_language" -> "Late language", "late_language_left" -> "Late language, left"."""
    if roi in TITLES:
        return TITLES[roi]
    base, _, side = roi.rpartition("_")
    if side in ("left", "right") and base in TITLES:
        return f"{TITLES[base]}, {side}"
    return roi


def parcel_names(roi: pd.Series) -> pd.Series:
    """Return parcel names as HCP-MMP1 writes them: "L_A1_ROI" and "lh.A1" both give "A1"."""
    names = roi.fillna("").astype(str).str.strip()
    names = names.str.replace(r"^(?:[LR]_|[lr]h[._])", "", regex=True)
    return names.str.replace(r"_ROI$", "", regex=True)


def region_mask(targets: pd.DataFrame, roi: str, own: OwnGroups | None = None) -> np.ndarray:
    """Return which targets belong to a region: (n_targets,) bool.

    Parameters
    ----------
    targets : DataFrame
        One row a target, with ``roi`` and ``hemi`` as :meth:`Study.targets` gives them.
    roi : str
        A named group, a parcel, or a region of the study's own. ``_left`` or ``_right``
        at its end, or ``L_`` or ``R_`` before a parcel, keeps one hemisphere.
    own : name -> members, optional
        A lab's own groups. A member that the study lacks counts for nothing; a region of the
        study that has a group's name goes before it.

    Raises
    ------
    BraindashError
        An unknown name, or one that none of the targets belongs to.
    """
    distinct, which = _distinct(targets)
    mask = _inside(distinct, roi, own)[which]
    return mask if roi == "cortex" else _some(mask, roi, targets)


def _distinct(targets: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the few pairs of roi and hemi that there are, and each target's: few names are compared."""
    rois, roi_names = pd.factorize(targets["roi"], use_na_sentinel=False)
    hemis, hemi_names = pd.factorize(targets["hemi"], use_na_sentinel=False)
    n = max(len(hemi_names), 1)
    which, pairs = pd.factorize(rois * n + hemis)
    return pd.DataFrame({"roi": roi_names[pairs // n], "hemi": hemi_names[pairs % n]}), which


def _inside(targets: pd.DataFrame, roi: str, own: OwnGroups | None) -> np.ndarray:
    """Return `region_mask` of few targets; none may be inside."""
    column = targets["roi"].fillna("").astype(str).str.strip()
    hemi = targets["hemi"].fillna("").astype(str).str.upper().str[:1]
    if roi == "cortex":
        return np.ones(len(targets), dtype=bool)
    if roi in _WHOLE:
        return (hemi == _WHOLE[roi]).to_numpy(dtype=bool)
    if roi and (column == roi).any():
        return (column == roi).to_numpy(dtype=bool)
    base, side = _hemisphere(roi)
    names = parcel_names(column)
    if base in _GROUPS:
        mask = names.isin(_GROUPS[base]).to_numpy(dtype=bool)
    elif base and (names == base).any():
        mask = (names == base).to_numpy(dtype=bool)
    elif base and (column == base).any():
        mask = (column == base).to_numpy(dtype=bool)
    elif own and base in own:
        mask = _union(targets, own[base])
    else:
        known = {*_WHOLE, *_GROUPS, *(own or ()), *(n for n in names if n), *(n for n in column if n)}
        raise BraindashError(f"Region {roi!r} is not known.", closest(roi, known))
    if side:
        mask = mask & (hemi == side).to_numpy(dtype=bool)
    return mask


def _union(targets: pd.DataFrame, members: Sequence[str]) -> np.ndarray:
    inside = np.zeros(len(targets), dtype=bool)
    for member in members:
        try:
            inside |= _inside(targets, member, None)
        except BraindashError:  # another study's region, or a parcel without a target here
            continue
    return inside


def _hemisphere(roi: str) -> tuple[str, str]:
    for ending, side in (("_left", "L"), ("_right", "R")):
        if roi.endswith(ending):
            return roi.removesuffix(ending), side
    if roi[:2] in ("L_", "R_"):
        return roi[2:].removesuffix("_ROI"), roi[0]
    return roi.removesuffix("_ROI"), ""


def _some(mask: np.ndarray, roi: str, targets: pd.DataFrame) -> np.ndarray:
    if mask.any():
        return mask
    present = sorted({n for n in parcel_names(targets["roi"]) if n})
    shown = ", ".join(present[:8]) + (", …" if len(present) > 8 else "") if present else "none"
    raise BraindashError(
        f"None of the {len(targets)} targets lies in region {roi!r} (their regions: {shown}).",
        "Choose a region that the study has, or give its targets HCP-MMP1 names in the column roi.",
    )
