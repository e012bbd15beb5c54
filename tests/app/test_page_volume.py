"""The Cortex page of voxels in a pycortex volume: maps, no parcels, NIfTI, and what the viewer in 3-D is given."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import fake_home
import numpy as np
import pytest
import yaml
from conftest import ROOT, OpenPage, words

from braindash.config import Home


def add_volume_study(home: Home, folder: Path) -> int:
    """Write a study of a pycortex subject made of two square sheets; return how many voxels it has."""
    import soundfile

    from braindash.studies.library import add_study

    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    from cortex_samples import write_pycortex_subject

    folder.mkdir()
    n = int(write_pycortex_subject(folder / "db", "S1", "auto").sum())
    rng = np.random.default_rng(0)
    stories = []
    for name, part in (("s1", "tune"), ("s2", "validation"), ("s3", "test")):
        soundfile.write(folder / f"{name}.wav", rng.normal(0, 0.05, 16000 * 24).astype(np.float32), 16000)
        np.save(folder / f"{name}.npy", rng.normal(size=(12, n)).astype(np.float32))
        stories.append({"name": name, "audio": f"{name}.wav", "split": part, "responses": {"sub-01": f"{name}.npy"}})
    spec = {
        "braindash": 1, "kind": "table", "id": "volume", "signal": "bold", "tr": 2.0,
        "cortex": {"pycortex": "db", "subject": "S1", "transform": "auto"}, "stories": stories,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    add_study(home, "table", folder)
    return n


def test_voxels_are_drawn_without_parcels_and_kept_as_nifti(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.runs.viewers import ViewerStore

    asked: list[list] = []
    monkeypatch.setattr(ViewerStore, "start", lambda self, maps, cortex_map: asked.append([maps, cortex_map]) or "key")
    n = add_volume_study(home, tmp_path / "volume")
    fake_home.add_done(home, study="volume", subjects=("sub-01",), n_targets=n, roi=np.array([""] * n))
    page = open_page("cortex", maps="pretrained,difference", viewer3d="true")
    assert "targets. To keep a map" in words(page)
    assert page.toggle(key="outlines").disabled  # no parcels, and nothing is drawn
    assert {d.label for d in page.get("download_button")} >= {"PNG", "SVG", "NIfTI, voxels", "CSV, a row a target"}
    assert not asked  # a link asks for nothing by itself
    page.button(key="write_viewer3d").click().run()
    ((maps, cortex_map),) = asked
    assert [m.name for m in maps] == ["Pretrained", "Brain-tuned", "Difference"]
    assert (maps[0].low, maps[0].high) == (maps[1].low, maps[1].high)
    assert maps[2].low == -maps[2].high
    np.testing.assert_allclose(maps[2].values, maps[1].values - maps[0].values, atol=1e-6)
    assert (cortex_map.space, cortex_map.subject) == ("pycortex", "S1")
    assert re.fullmatch(r"Layer 4, sub-01, n = [\d,]+ targets\. " + re.escape(fake_home.CAVEAT), maps[0].note)


def test_regions_that_the_subject_draws_are_outlined(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = add_volume_study(home, tmp_path / "volume")
    from drawing_samples import overlays_svg, write_drawing

    from braindash.ui import cortex_canvas

    sent: list[dict] = []
    canvas = cortex_canvas.flatmaps
    monkeypatch.setattr(cortex_canvas, "flatmaps", lambda *a, **k: sent.append(k) or canvas(*a, **k))
    fake_home.add_done(home, study="volume", subjects=("sub-01",), n_targets=n, roi=np.array([""] * n))
    drawing = write_drawing(tmp_path / "volume" / "db" / "S1")
    page = open_page("cortex", maps="difference", large="true")
    assert not page.toggle(key="outlines").disabled
    assert not page.toggle(key="labels").disabled
    assert sent[-1]["overlay"].startswith(b"\x89PNG")
    drawing.write_text(overlays_svg({"Broca": ['<path d="M 100,100 l 200,0 0,200 z"/>']}))
    first = sent[-1]["overlay"]
    page.run()
    assert sent[-1]["overlay"] not in (None, first), "a new drawing is drawn"
    drawing.write_text("<svg")
    page.run()
    assert not page.exception
    assert page.toggle(key="outlines").disabled
    assert "not XML" in page.toggle(key="outlines").help
    assert sent[-1]["overlay"] is None
    assert "targets. To keep a map" in words(page)


def test_a_home_that_cannot_be_written_says_so_and_the_page_stays(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.runs import viewers

    n = add_volume_study(home, tmp_path / "volume")
    fake_home.add_done(home, study="volume", subjects=("sub-01",), n_targets=n, roi=np.array([""] * n))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    page = open_page("cortex", maps="difference", viewer3d="true")
    monkeypatch.setattr(viewers.np, "savez", full)
    page.button(key="write_viewer3d").click().run()
    assert "The disk is full" in words(page)
    assert "Target by target" in words(page)
    assert not list((home.cortex / "viewers").glob("*")), "nothing waits for a process that was never started"
