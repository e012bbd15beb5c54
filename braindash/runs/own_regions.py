"""A lab's own groups of regions, from the settings of a home, as evaluations take and record them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from braindash.config import Home, TuneConfig, validate
from braindash.errors import BraindashError
from braindash.settings import Settings, read_settings, settings_path

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OwnRegions:
    """What one evaluation knows of a lab's own groups.

    Attributes
    ----------
    groups : name -> members
        As `braindash.encoding.regions.region_mask` takes them.
    titles : name -> what figures call it
    caveats : list of str
        Why groups were left out.
    """

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)

    def title(self, roi: str) -> str:
        """Return what a region is called, whoever has named it."""
        from braindash.encoding.regions import region_title

        return self.titles.get(roi) or region_title(roi)

    def used(self, rois: Iterable[str]) -> dict[str, list[str]]:
        """Return the members of those groups that are among ``rois``: what records keep."""
        present = set(rois)
        return {name: list(members) for name, members in self.groups.items() if name in present}


def own_regions(home: Home, study_regions: Iterable[str] = ()) -> OwnRegions:
    """Return a home's own groups; one whose name a study's region or a named group has is left out.

    Settings that cannot be read are a caveat: an evaluation does not fail for them.
    """
    from braindash.encoding.regions import check_own_groups

    try:
        settings = read_settings(home)
    except BraindashError as error:
        return OwnRegions(caveats=[f"Groups of regions of one's own were left out. {error.what}"])
    regions = {str(r) for r in study_regions if r}
    groups, caveats = {}, []
    for name, members in settings.groups().items():
        try:
            check_own_groups({name: ()}, regions)
        except BraindashError:
            caveats.append(f"The group {name} of the settings was left out: a region has that name.")
        else:
            groups[name] = members
    titles = {name: title for name, title in settings.titles().items() if name in groups}
    return OwnRegions(groups, titles, caveats)


def recorded_groups(records: Mapping[str, Any] | None) -> set[str]:
    """Return the names of own groups that an evaluation's records say it had."""
    kept = ((records or {}).get("provenance") or {}).get("regions")
    return set(kept) if isinstance(kept, Mapping) else set()


def known_regions(home: Home) -> list[str]:
    """Return what members of groups may be called: HCP-MMP1 parcels, and the regions of the home's studies."""
    from braindash.encoding.regions import region_groups
    from braindash.studies.library import list_studies, open_study

    parcels = {p for members in region_groups().values() for p in members}
    parcels |= _parcels()
    found: dict[str, None] = dict.fromkeys(sorted(parcels))
    for entry in list_studies(home):
        try:
            study = open_study(entry.id, home)
            for subject in study.subjects:
                found.update(dict.fromkeys(str(r) for r in study.targets(subject)["roi"].dropna().unique() if r))
        except BraindashError:  # gone or damaged: said on the page Study
            continue
    return list(found)


def check_members(home: Home, settings: Settings, *names: str) -> None:
    """Raise BraindashError where a group's name is taken, or a member is known neither to us nor to a study."""
    from braindash.encoding.regions import check_own_groups

    if set(names) & set(settings.regions):
        check_own_groups(settings.groups(), known_regions(home), names)


def _parcels() -> set[str]:
    from braindash.cortex.parcellation import parcel_of_vertex

    labels = parcel_of_vertex("fs_LR-32k")
    return set() if labels is None else {str(p) for p in set(labels.tolist()) if p}


def reachable(targets: pd.DataFrame, groups: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the own groups that a study's targets reach, each with the members that do."""
    from braindash.encoding.regions import region_groups, region_mask

    def reached(roi: str) -> bool:
        try:
            region_mask(targets, roi)
        except BraindashError:
            return False
        return True

    known = {*region_groups(), *targets["roi"].dropna().astype(str)}
    found = {name: tuple(filter(reached, members)) for name, members in groups.items() if name not in known}
    return {name: members for name, members in found.items() if members}


def spell_out(config: TuneConfig, home: Home) -> TuneConfig:
    """Return a configuration whose regions are no own groups but their members, so that it says all by itself.

    Raises
    ------
    BraindashError
        For settings or a study that cannot be read, and for a group without a target in the study.
    """
    from braindash.studies import open_study

    if not config.rois or not settings_path(home).exists():
        return config
    groups = read_settings(home).groups()
    if not set(groups) & set(config.rois):
        return config
    study = open_study(config.study, home)
    here = reachable(study.targets((config.subjects or study.subjects)[0]), groups)
    rois: dict[str, None] = {}
    for roi in config.rois:  # a group that is not reached stays, and is told by its name
        rois.update(dict.fromkeys(here.get(roi, (roi,))))
    return validate(TuneConfig, config.model_dump() | {"rois": tuple(rois)}, "The regions")
