"""docs/gallery.md: every page of the navigation has a picture that exists, is small, and is described."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.ui.layout import SECTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_page_has_a_picture(gallery: ModuleType) -> None:
    gallery.check_complete()
    assert {shot.page for shot in gallery.SHOTS} == {e.url for entries in SECTIONS.values() for e in entries}
    assert len({shot.name for shot in gallery.SHOTS}) == len(gallery.SHOTS)
    assert {shot.scheme for shot in gallery.SHOTS} == {"light", "dark"}
    assert min(shot.width for shot in gallery.SHOTS) <= 600


def test_a_page_without_a_picture_is_told(gallery: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "SHOTS", tuple(s for s in gallery.SHOTS if s.page != "rsa"))
    with pytest.raises(BraindashError, match="rsa"):
        gallery.check_complete()
    assert gallery.main.__doc__


def test_the_page_is_what_the_script_writes_and_its_pictures_are_there(gallery: ModuleType) -> None:
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == gallery.text(), "out of date: make gallery"
    for shot in (*gallery.SHOTS, *gallery.GUIDES):
        file = gallery.file_of(shot)
        assert file.exists(), f"{file.name} is missing: make gallery"
        assert file.stat().st_size <= gallery.largest(shot)
        assert file.read_bytes().startswith(b"\x89PNG")
    assert {f.stem for f in gallery.PICTURES.glob("*.png")} == {shot.name for shot in gallery.SHOTS}


def test_the_guides_show_the_pictures_that_are_taken_for_them(gallery: ModuleType) -> None:
    guides = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    shown = "".join(f.read_text(encoding="utf-8") for f in guides if f.name != "gallery.md")
    for shot in gallery.GUIDES:
        assert f"![{shot.caption}]" in shown
        assert f"images/{shot.name}.png)" in shown
        assert gallery.file_of(shot).parent == DOCS / "images"


def test_pictures_lose_colours_before_they_are_refused(gallery: ModuleType) -> None:
    from PIL import Image

    def png(pixels: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
        return out.getvalue()

    flat = np.zeros((900, 1440, 3))
    flat[:400, :, 0] = 200
    assert len(gallery.small(png(flat))) < 20_000
    rng = np.random.default_rng(0)
    busy = np.repeat(rng.integers(0, 256, (300, 480, 3)), 2, axis=0)
    assert Image.open(io.BytesIO(gallery.small(png(busy)))).mode == "P"  # 430 kB with all its colours
    with pytest.raises(BraindashError, match="250,000"):
        gallery.small(png(rng.integers(0, 256, (900, 1440, 3))))
