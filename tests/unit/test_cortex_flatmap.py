from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from cortex_samples import ORIGIN, SPACING, VOXEL, fs_lr_map, shared_home, write_pycortex_subject

from braindash.config import Home
from braindash.cortex import flatmap
from braindash.cortex.colour import colormap
from braindash.cortex.flatmap import flat_index, flatmap_image, n_shown, png_bytes
from braindash.cortex.surfaces import pycortex, surface_subject
from braindash.errors import BraindashError, NotDownloadedError
from braindash.studies.base import CortexMap

HEIGHT = 160


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shared_home(tmp_path_factory)


@pytest.mark.parametrize("space", ["fs_LR-32k", "fsaverage5"])
def test_every_pixel_shows_what_pycortex_shows_there(space: str, home: Home) -> None:
    flat = flat_index(space, home, HEIGHT)
    values = np.random.default_rng(0).normal(size=flat.n_points)
    with pycortex(home) as cortex:
        vertex = cortex.Vertex(values, surface_subject(space, home), vmin=-2, vmax=2)
        theirs, extent = cortex.quickflat.make_flatmap_image(vertex, height=HEIGHT)
    ours = np.append(values, np.nan)[flat.point]
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs)
    np.testing.assert_allclose(flat.extent, extent)
    assert 0.4 < flat.mask.mean() < 0.8


def test_the_picture_is_pycortexs_own_figure(home: Home) -> None:
    cortex_map, flat = fs_lr_map(), flat_index("fs_LR-32k", home, HEIGHT)
    values = np.linspace(0, 1, 59_412)
    image = flatmap_image(values, cortex_map, home, cmap="viridis", vmin=0, vmax=1, height=HEIGHT)
    with pycortex(home) as cortex:
        whole = np.full(64_984, np.nan)
        whole[cortex_map.index >= 0] = values
        vertex = cortex.Vertex(whole, "fs_LR_32k", vmin=0, vmax=1, cmap="viridis")
        figure = cortex.quickflat.make_figure(
            vertex, with_rois=False, with_colorbar=False, with_curvature=False, height=HEIGHT
        )
        drawn = next(i for i in figure.axes[0].get_images())
        theirs = drawn.to_rgba(drawn.get_array(), bytes=True)
    both = flat.mask & (theirs[..., 3] == 255)
    assert both.mean() > 0.4
    off = np.abs(image[both][:, :3].astype(int) - theirs[both][:, :3]).max(axis=1)
    assert (off <= 3).mean() > 0.99


def test_left_is_left_and_the_temporal_lobe_is_below_the_central_sulcus(home: Home) -> None:
    from braindash.cortex.parcellation import parcel_of_vertex

    flat = flat_index("fs_LR-32k", home, HEIGHT)
    parcels = np.append(parcel_of_vertex(), "")[flat.point]
    columns = np.broadcast_to(np.arange(flat.shape[1]), flat.shape)
    rows = np.broadcast_to(np.arange(flat.shape[0])[:, None], flat.shape)
    assert columns[flat.mask & (flat.point < flat.n_left)].max() <= columns[flat.point >= flat.n_left].min() + 1
    assert rows[parcels == "A1"].mean() > rows[parcels == "3b"].mean()


def test_a_pixel_has_the_colour_of_its_target(home: Home) -> None:
    cortex_map, flat = fs_lr_map(seed=3), flat_index("fs_LR-32k", home, HEIGHT)
    rng = np.random.default_rng(1)
    values = rng.uniform(-0.5, 1.5, 59_412)
    values[::7] = np.nan
    alpha = rng.choice([0.0, 0.5, 1.0, np.nan], 59_412)
    image = flatmap_image(values, cortex_map, home, vmin=0, vmax=1, alpha=alpha, height=HEIGHT)
    target = flat.target(cortex_map)
    vertex = flat.point
    assert (image[~flat.mask] == 0).all()
    assert (image[flat.mask][:, 3] == 255).all()
    table = colormap("sequential").astype(float)
    at = np.column_stack(np.nonzero(flat.mask))
    for r, c in at[rng.choice(len(at), 400, replace=False)]:
        t = target[r, c]
        grey = 205 if flat.vertex_gyrus[vertex[r, c]] else 150
        a = 0.0 if t < 0 or np.isnan(values[t]) or np.isnan(alpha[t]) else alpha[t]
        top = table[int(np.clip(np.floor(values[t] * 256), 0, 255))] if a else np.zeros(3)
        np.testing.assert_allclose(image[r, c, :3], a * top + (1 - a) * grey, atol=0.51)


def test_without_the_underlay_unmeasured_cortex_is_transparent(home: Home) -> None:
    cortex_map = fs_lr_map()
    values = np.full(59_412, 0.5)
    values[:100] = np.nan
    image = flatmap_image(values, cortex_map, home, vmin=0, vmax=1, curvature=False, height=HEIGHT)
    shown = flat_index("fs_LR-32k", home, HEIGHT).target(cortex_map)
    np.testing.assert_array_equal(image[..., 3] == 255, shown >= 100)


def test_the_map_is_computed_once_then_read_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    first = flat_index("fsaverage5", home, 80)
    (stored,) = (home.cortex / "flat").glob("*.npz")
    flatmap._load.cache_clear()
    with monkeypatch.context() as m:
        m.setattr(flatmap, "_compute", lambda *a: pytest.fail("computed again"))
        again = flat_index("fsaverage5", home, 80)
    np.testing.assert_array_equal(first.pixel_vertex, again.pixel_vertex)
    np.testing.assert_array_equal(first.flat_points, again.flat_points)
    assert not list((home.cortex / "flat").glob("*.tmp"))
    stored.write_bytes(stored.read_bytes()[:4000])
    flatmap._load.cache_clear()
    np.testing.assert_array_equal(flat_index("fsaverage5", home, 80).pixel_vertex, first.pixel_vertex)


class TestVoxels:
    @pytest.fixture(scope="class")
    def source(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
        folder = tmp_path_factory.mktemp("db")
        return folder, write_pycortex_subject(folder)

    def cortex_map(self, source: tuple[Path, np.ndarray]) -> CortexMap:
        folder, mask = source
        n = int(mask.sum())
        index = np.arange(n, dtype=np.int32)
        return CortexMap("pycortex", index, str(folder), "S1", "S1_auto")

    def test_a_pixel_shows_the_voxel_that_holds_its_place_in_the_brain(
        self, source: tuple[Path, np.ndarray], home: Home
    ) -> None:
        _, mask = source
        flat = flat_index(self.cortex_map(source), home, 90)
        # the data set's own order: the non-zero voxels of the transposed mask
        rank = np.full(mask.T.shape, -1)
        rank[mask.T] = np.arange(mask.sum())
        height, width = flat.shape
        left, right, bottom, top = flat.extent
        row, column = np.nonzero(flat.mask)
        x = left + column / (width - 1) * (right - left)
        y = bottom + (height - 1 - row) / (height - 1) * (top - bottom)
        # the sheets were moved together to touch at x = 0; undo that, then go to the nearest surface point
        x = np.where(x < 0, x - 4.0, x + 4.0)
        sure = np.all([np.abs(p / SPACING - np.round(p / SPACING)) < 0.45 for p in (x, y)], axis=0) & (np.abs(x) > 6)
        x, y = (np.round(p / SPACING) * SPACING for p in (x, y))
        i, j = (np.round((p - o) / VOXEL).astype(int) for p, o in zip((x, y), ORIGIN, strict=False))
        expected = np.stack([rank[k, j, i] for k in (2, 3)])  # z = 1.5 mm is the border of two voxels
        found = flat.point[row, column]
        assert sure.mean() > 0.6
        assert (expected[:, sure] == found[sure]).any(axis=0).all()
        assert (found[sure] == -1).any(), "pixels outside the mask show nothing"
        assert (found[sure] >= 0).mean() > 0.8

    def test_values_land_on_their_voxels(self, source: tuple[Path, np.ndarray], home: Home) -> None:
        cortex_map = self.cortex_map(source)
        flat = flat_index(cortex_map, home, 90)
        x_of = np.nonzero(source[1].T)[2].astype(float)  # the voxel's place from left to right
        image = flatmap_image(x_of, cortex_map, home, cmap="gray", vmin=0, vmax=49, curvature=False, height=90)
        seen = flat.point >= 0
        np.testing.assert_array_equal(image[..., 3] == 255, seen)
        middle = image[45, :, 0].astype(int)[seen[45]]
        assert (np.diff(middle) >= 0).all()
        assert middle[0] < 60 < 190 < middle[-1]
        assert n_shown(x_of, cortex_map) == source[1].sum()
        assert flat.n_vertices == 2 * 225

    def test_outlines_take_a_mask_of_surface_points(self, source: tuple[Path, np.ndarray], home: Home) -> None:
        cortex_map = self.cortex_map(source)
        flat = flat_index(cortex_map, home, 90)
        region = np.zeros(450, dtype=bool)
        region[:112] = True
        plain = flatmap_image(np.zeros(flat.n_points), cortex_map, home, vmin=0, vmax=1, height=90)
        lined = flatmap_image(
            np.zeros(flat.n_points), cortex_map, home, vmin=0, vmax=1, height=90, outlines={"half": region}
        )
        changed = (plain != lined).any(axis=2)
        assert changed[:, : flat.shape[1] // 2].mean() > 0.01
        assert not changed[:, flat.shape[1] // 2 + 4 :].any()
        with pytest.raises(BraindashError, match="no HCP-MMP1 parcels"):
            flatmap_image(np.zeros(flat.n_points), cortex_map, home, vmin=0, vmax=1, height=90, outlines={"A1": ["A1"]})

    def test_a_missing_transform_is_named(self, source: tuple[Path, np.ndarray], home: Home) -> None:
        good = self.cortex_map(source)
        with pytest.raises(BraindashError, match=r"Transform 'other' of subject 'S1' has no matrices.xfm"):
            flat_index(CortexMap("pycortex", good.index, good.filestore, "S1", "other"), home)
        with pytest.raises(BraindashError, match="needs a filestore"):
            flat_index(CortexMap("pycortex", good.index), home)
        link = source[0] / "S1" / "transforms" / "unfetched"
        link.mkdir()
        (link / "matrices.xfm").symlink_to("nowhere")
        with pytest.raises(NotDownloadedError, match="datalad get"):
            flat_index(CortexMap("pycortex", good.index, good.filestore, "S1", "unfetched"), home)


def test_png_is_read_back_as_drawn(home: Home) -> None:
    from PIL import Image

    image = flatmap_image(np.linspace(0, 1, 59_412), fs_lr_map(), home, height=HEIGHT)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(image)))), image)


def test_n_shown_counts_finite_targets_that_have_a_place() -> None:
    cortex_map = CortexMap("fsaverage5", np.array([0, 0, 2, -1], dtype=np.int32))
    assert n_shown(np.array([1.0, 1.0, np.nan]), cortex_map) == 1


def test_mistakes_are_named(home: Home) -> None:
    good = fs_lr_map()
    values = np.zeros(59_412)
    with pytest.raises(BraindashError, match="shows target 59411, but there are values of shape"):
        flatmap_image(values[:-1], good, home, vmin=0, vmax=1, height=HEIGHT)
    with pytest.raises(BraindashError, match="5 points, not 64,984"):
        flatmap_image(values, CortexMap("fs_LR-32k", np.zeros(5, np.int32)), home, vmin=0, vmax=1, height=HEIGHT)
    with pytest.raises(BraindashError, match="opacities of shape"):
        flatmap_image(values, good, home, vmin=0, vmax=1, alpha=np.ones(3), height=HEIGHT)
    with pytest.raises(BraindashError, match="No target has a finite value"):
        flatmap_image(values * np.nan, good, home, height=HEIGHT)
    with pytest.raises(BraindashError, match="finite and rising; got 1 to 1"):
        flatmap_image(values, good, home, vmin=1, vmax=1, height=HEIGHT)
    with pytest.raises(BraindashError, match="10 pixels high"):
        flat_index("fs_LR-32k", home, 10)
