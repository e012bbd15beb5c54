"""The viewer's page holds every value on its side, opens alone, and keeps names of users out of its scripts."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from cortex_samples import fs_lr_map, shared_home, write_pycortex_subject

from braindash.config import Home
from braindash.cortex.flatmap import flat_index
from braindash.cortex.viewer import ViewerMap, viewer_page
from braindash.errors import BraindashError
from braindash.studies.base import CortexMap

FILES = re.compile(r"const packed = (\{.*?\}\});\n", re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shared_home(tmp_path_factory)


def files_of(page: str) -> dict[str, bytes]:
    found = FILES.search(page)
    assert found
    return {name: base64.b64decode(f["data"]) for name, f in json.loads(found.group(1)).items()}


def arrays_of(page: str) -> list[np.ndarray]:
    """The maps' numbers, in whatever order pycortex wrote them."""
    found = [np.load(io.BytesIO(body)) for name, body in files_of(page).items() if name.startswith("data/")]
    return sorted((np.ravel(a) for a in found), key=lambda a: float(np.nanmax(a)))


def check_sides(page: str, expected: np.ndarray, n_left: int) -> None:
    """pycortex orders vertices anew within a hemisphere: the values of each side must be the same ones."""
    (written,) = arrays_of(page)
    assert written.shape == expected.shape
    for side in (slice(0, n_left), slice(n_left, None)):
        np.testing.assert_array_equal(np.sort(written[side]), np.sort(expected[side]))


def test_every_vertex_of_fs_lr_shows_its_target(home: Home) -> None:
    cortex_map = fs_lr_map(seed=1)
    values = np.linspace(-1, 2, 59_412).astype(np.float32)
    values[::7] = np.nan
    page = viewer_page([ViewerMap("Difference", values, "diverging", -1, 1, "r")], cortex_map, home)
    expected = np.where(cortex_map.index >= 0, values[cortex_map.index], np.float32(np.nan))
    check_sides(page, expected, 32_492)
    assert len(page) < 8_000_000


def test_a_pycortex_volume_shows_the_voxel_of_the_flat_map(home: Home, tmp_path: Path) -> None:
    mask = write_pycortex_subject(tmp_path / "db", "Anna")
    n = int(mask.sum())
    order = np.random.default_rng(0).permutation(n).astype(np.int32)
    cortex_map = CortexMap("pycortex", order, str(tmp_path / "db"), "Anna", "S1_auto")
    values = np.arange(n, dtype=np.float32)
    page = viewer_page([ViewerMap("Tuned", values, "sequential", 0, float(n), "r")], cortex_map, home)
    flat = flat_index(cortex_map, home)
    target = flat.vertex_target(cortex_map)
    assert (target >= 0).any()
    check_sides(page, np.where(target >= 0, target, np.nan).astype(np.float32), flat.n_left)
    assert '"Inflated"' not in page  # this subject has no inflated surface
    assert "Anna" not in page


def test_maps_of_fsaverage5_keep_their_scales_and_words(home: Home) -> None:
    cortex_map = CortexMap("fsaverage5", np.arange(20_484, dtype=np.int32))
    values = np.linspace(0, 1, 20_484).astype(np.float32)
    hostile = "</script><script>document.title='owned'</script>\u2028"
    page = viewer_page(
        [
            ViewerMap("Pretrained", values, "sequential", 0, 0.5, "Correlation r", hostile),
            ViewerMap("Difference", values + 1, "diverging", -0.25, 0.25, "change in r"),
        ],
        cortex_map,
        home,
    )
    first, second = arrays_of(page)
    np.testing.assert_array_equal(np.sort(first[:10_242]), values[:10_242])
    np.testing.assert_array_equal(np.sort(second[10_242:]), values[10_242:] + 1)
    shown = re.search(r"dataset\.fromJSON\((\{.*\})\);", page)
    assert shown
    views = {v["name"]: v for v in json.loads(shown.group(1))["views"]}
    assert [float(np.ravel(views["Difference"][k])[0]) for k in ("vmin", "vmax")] == [-0.25, 0.25]
    assert views["Pretrained"]["cmap"] == ["braindash_sequential"]
    assert "document.title" in page  # the note is there, as a string that cannot end its script
    assert "</script><script>document" not in page
    assert "\u2028" not in page
    assert "Leap.loop" not in page  # pycortex would look for a pointing device on the machine


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        ([], "names of their own"),
        ([("A", 3), ("A", 3)], "names of their own"),
        ([("<b>", 3)], "cannot be named"),
        ([("A", 2)], "shows target 2"),
    ],
)
def test_what_cannot_be_shown_is_said(home: Home, maps: list[tuple[str, int]], said: str) -> None:
    index = np.full(20_484, -1, dtype=np.int32)
    index[:3] = [0, 1, 2]
    made = [ViewerMap(name, np.zeros(n, np.float32), "sequential", 0, 1, "r") for name, n in maps]
    with pytest.raises(BraindashError, match=said):
        viewer_page(made, CortexMap("fsaverage5", index), home)


def test_limits_must_rise(home: Home) -> None:
    flat = ViewerMap("A", np.zeros(3, np.float32), "sequential", 1, 1, "r")
    with pytest.raises(BraindashError, match="cannot run from 1 to 1"):
        viewer_page([flat], fs_lr_map(), home)
