"""A lab's own groups of regions, from the settings of a home, as evaluations take and record them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.settings import read_settings


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
