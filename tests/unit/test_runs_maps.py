"""Maps are prepared when a run is evaluated; one that cannot be is logged and costs no result."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from braindash.config import Home
from braindash.cortex import flatmap
from braindash.runs.maps import prepare_maps
from braindash.studies.base import CortexMap


class Place:
    """As much of a study as the maps need."""

    def __init__(self, maps: dict[str, CortexMap | None]) -> None:
        self.maps = maps

    def cortex(self, subject: str) -> CortexMap | None:
        return self.maps[subject]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_every_subject_gets_the_maps_that_pages_and_files_use(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[CortexMap, int]] = []
    monkeypatch.setattr(flatmap, "flat_index", lambda cortex_map, home, height: made.append((cortex_map, height)))
    here = CortexMap("fs_LR-32k", np.arange(5))
    study = Place({"a": here, "none": None, "b": here})
    assert prepare_maps(study, ["a", "none", "b"], home) == 2  # type: ignore[arg-type]
    assert made == [(here, flatmap.PAGE_HEIGHT), (here, flatmap.HEIGHT)] * 2


def test_a_map_that_fails_is_logged_and_the_others_are_made(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = CortexMap("fs_LR-32k", np.arange(5))
    full = CortexMap("fs_LR-32k", np.arange(7))

    def index(cortex_map: CortexMap, home: Home, height: int) -> None:
        if cortex_map is full:
            raise OSError("No space left on device")

    monkeypatch.setattr(flatmap, "flat_index", index)
    with caplog.at_level(logging.WARNING):
        assert prepare_maps(Place({"sub-01": full, "sub-02": whole}), ["sub-01", "sub-02"], home) == 1  # type: ignore[arg-type]
    assert "sub-01" in caplog.text
    assert "No space left" in caplog.text
    assert "sub-02" not in caplog.text
