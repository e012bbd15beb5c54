from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import xarray as xr
from cortex_samples import fs_lr_map, shared_home

from braindash.config import Home
from braindash.cortex.figure import Panel, flatmap_panels
from braindash.errors import BraindashError
from braindash.figures import figure_bytes, flatmap
from braindash.studies.base import CortexMap

HEIGHT = 128


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shared_home(tmp_path_factory)


@pytest.fixture(scope="module")
def result() -> xr.DataArray:
    """r_norm of two models, three layers and two subjects, the second with more targets on the same cortex."""
    n = 59_412
    rng = np.random.default_rng(0)
    return xr.DataArray(
        rng.uniform(0, 0.8, (2, 3, 2 * n)).astype(np.float32),
        dims=("model", "layer", "target"),
        coords={
            "model": ["pretrained", "brain_tuned"],
            "layer": [0, 1, 2],
            "subject": ("target", np.repeat(["sub-01", "sub-02"], n)),
        },
        name="r_norm",
    )


def cortex(subject: str) -> CortexMap | None:
    return {"sub-01": fs_lr_map(), "sub-02": fs_lr_map(seed=1)}.get(subject)


def texts(figure: object) -> Iterator[str]:
    for item in [*figure.texts, *(t for a in figure.axes for t in [*a.texts, a.xaxis.label])]:  # type: ignore[attr-defined]
        yield item.get_text()


def test_a_result_is_drawn_for_the_chosen_subject(result: xr.DataArray, home: Home) -> None:
    chosen = result.sel(model="brain_tuned", layer=2)
    figure = flatmap(chosen, cortex, home, subject="sub-02", height=HEIGHT, vmin=0, vmax=1)
    shown = list(texts(figure))
    for part in (
        "sub-02",
        "n = 59,412 targets",
        "r / noise ceiling",
        "Left hemisphere",
        "Right hemisphere",
        "A1",
        "LTC",
    ):
        assert part in shown
    own = np.asarray(figure.axes[0].get_images()[0].get_array())
    same = flatmap(
        chosen.values[59_412:], fs_lr_map(seed=1), home, height=HEIGHT, vmin=0, vmax=1, outlines={}, label="x"
    )
    np.testing.assert_array_equal(own, np.asarray(same.axes[0].get_images()[0].get_array()))
    assert "LTC" not in list(texts(same))


def test_a_path_will_do_for_a_home(result: xr.DataArray, home: Home) -> None:
    one = result.sel(model="pretrained", layer=0).isel(target=slice(0, 59_412))
    assert "sub-01" in list(texts(flatmap(one, cortex, str(home.path), height=HEIGHT)))


def test_svg_has_lines_and_text_as_vectors_and_the_map_as_pixels(result: xr.DataArray, home: Home) -> None:
    one = result.sel(model="pretrained", layer=0)

    def draw(**options: object) -> str:
        return figure_bytes(flatmap(one, cortex, home, subject="sub-01", height=HEIGHT, **options), "svg").decode()

    full, unnamed, bare = draw(), draw(labels=False), draw(outlines={})
    for svg in (full, unnamed, bare):
        assert 1 <= svg.count("<image") <= 2  # the map, and the colour bar's gradient
        assert "59,412 targets</text>" in svg
    # letters on the map have a casing and are therefore paths
    assert full.count("<path") >= unnamed.count("<path") + 12
    assert unnamed.count("<path") >= bare.count("<path") + 12


def test_panels_have_their_own_scale_title_and_note(home: Home) -> None:
    n, cortex_map = 59_412, fs_lr_map()
    values = np.linspace(-0.1, 0.9, n)
    figure = flatmap_panels(
        [
            Panel(values, cortex_map, vmin=0, vmax=1, title="Pretrained"),
            Panel(
                values * 0.1,
                cortex_map,
                cmap="diverging",
                vmin=-0.1,
                vmax=0.1,
                title="Difference",
                label="Δ r",
                note="n",
            ),
        ],
        home,
        title="Layer 4",
        height=HEIGHT,
        theme="dark",
    )
    shown = list(texts(figure))
    for part in ("Layer 4", "Pretrained", "Difference", "Δ r", "r / noise ceiling", "n"):
        assert part in shown
    assert shown.count("n = 59,412 targets") == 2
    assert len(figure.axes) == 4
    with pytest.raises(BraindashError, match="at least one map"):
        flatmap_panels([], home)


def test_what_cannot_be_drawn_is_said(result: xr.DataArray, home: Home) -> None:
    with pytest.raises(BraindashError, match=r"dimensions model, target.*\.sel\(model="):
        flatmap(result.sel(layer=0), cortex, home)
    one = result.sel(model="pretrained", layer=0)
    with pytest.raises(BraindashError, match="2 subjects: sub-01, sub-02"):
        flatmap(one, cortex, home)
    with pytest.raises(BraindashError, match="no subject 'sub-3'"):
        flatmap(one, cortex, home, subject="sub-3")
    with pytest.raises(BraindashError, match="'sub-01' have no place on a cortex"):
        flatmap(one, lambda s: None, home, subject="sub-01")
    with pytest.raises(BraindashError, match="depends on the subject"):
        flatmap(np.zeros(5), cortex, home)


def test_layers_and_planes_have_legends_of_their_own(home: Home) -> None:
    from braindash.cortex.colour import colour_values
    from braindash.cortex.combined import gain_accuracy_codes, gain_accuracy_colours
    from braindash.cortex.figure import Plane

    rng = np.random.default_rng(3)
    gain, accuracy = rng.normal(0, 0.05, 59_412), rng.uniform(0, 1, 59_412)
    codes = gain_accuracy_codes(gain, accuracy, 0.1, 0, 1).astype(float)
    plane = Panel(
        codes, fs_lr_map(), "gain_accuracy", 0, 256, label="change in r", plane=Plane(0.1, 0, 1, "r of the better")
    )
    layers = Panel(
        rng.choice([0, 3, 9], 59_412).astype(float), fs_lr_map(), "plasma", 0, 9, label="best", layers=(0, 3, 9)
    )
    figure = flatmap_panels([plane, layers], home, height=HEIGHT)
    maps, legend, _, swatches = figure.axes
    assert [legend.get_xlabel(), legend.get_ylabel()] == ["change in r", "r\nof the better"]
    np.testing.assert_array_equal(legend.get_images()[0].get_array(), gain_accuracy_colours())
    assert [t.get_text() for t in swatches.get_xticklabels()] == ["0", "3", "9"]
    expected = colour_values(np.array([0.0, 3.0, 9.0]), "plasma", 0, 9)
    np.testing.assert_array_equal(swatches.get_images()[0].get_array()[0], expected)
    # every colour of the map is one of the legend's
    shown = {tuple(c) for c in np.asarray(maps.get_images()[0].get_array()).reshape(-1, 4)[:, :3]}
    known = {tuple(c) for c in gain_accuracy_colours().reshape(-1, 3)}
    grey = {c for c in shown if c[0] == c[1] == c[2]}
    assert len(shown & known) > 60
    assert shown - grey <= known
