from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cortex_samples import shared_home, write_pycortex_subject

from braindash.config import Home
from braindash.cortex import surfaces
from braindash.cortex.surfaces import filestore, mirror_subject, pycortex, surface_subject
from braindash.errors import BraindashError, NotDownloadedError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shared_home(tmp_path_factory)


@pytest.mark.parametrize(("space", "n"), [("fs_LR-32k", 32_492), ("fsaverage5", 10_242)])
def test_surfaces_are_written_as_pycortex_reads_them(space: str, n: int, home: Home) -> None:
    name = surface_subject(space, home)
    folder = filestore(home) / name / "surfaces"
    for kind in ("wm", "pia", "inflated", "flat"):
        for hemi in ("lh", "rh"):
            points, triangles = (a for a in nib.load(folder / f"{kind}_{hemi}.gii").darrays)
            assert points.data.dtype == np.float32
            assert triangles.data.dtype == np.int32
            assert points.data.shape == (n, 3)
            assert triangles.data.max() < n
            if kind == "flat":
                assert (points.data[:, 2] == 0).all()
    with pycortex(home) as cortex:
        read, _ = cortex.db.get_surf(name, "flat", merge=True, nudge=True)
        assert read.shape == (2 * n, 3)
        assert read[:n, 0].max() <= 0 <= read[n:, 0].min()
        assert cortex.db.get_surfinfo(name, "curvature").data.shape == (2 * n,)


@pytest.mark.parametrize(("space", "least"), [("fs_LR-32k", 0.5), ("fsaverage5", 0.8)])
def test_curvature_rises_towards_the_gyri(space: str, least: float, home: Home) -> None:
    name = surface_subject(space, home)
    with pycortex(home) as cortex:
        points, triangles = cortex.db.get_surf(name, "fiducial", merge=True)
        own = np.asarray(cortex.polyutils.Surface(points.astype(float), triangles).mean_curvature())
        ours = cortex.db.get_surfinfo(name, "curvature").data
    ok = np.isfinite(own)
    assert np.corrcoef(own[ok], ours[ok])[0, 1] > least


def test_a_subject_is_written_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    surface_subject("fsaverage5", home)
    monkeypatch.setattr(surfaces, "_read_fsaverage5", lambda: pytest.fail("written again"))
    assert surface_subject("fsaverage5", home) == "fsaverage5"


def test_a_half_written_or_older_subject_is_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path)
    wreck = filestore(home) / "fsaverage5" / "surfaces"
    wreck.mkdir(parents=True)
    (wreck / "flat_lh.gii").write_text("not a surface")
    surface_subject("fsaverage5", home)
    assert nib.load(wreck / "flat_lh.gii").darrays[0].data.shape == (10_242, 3)


def test_many_at_once_write_one_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, written, real = Home(tmp_path), [], surfaces._write_subject

    def count(*arguments: object) -> None:
        written.append(1)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(surfaces, "_write_subject", count)
    threads = [threading.Thread(target=surface_subject, args=("fsaverage5", home)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(written) == 1
    assert [p.name for p in filestore(home).iterdir()] == ["fsaverage5"]
    assert not [p for p in home.cortex.iterdir() if p.name.startswith("fsaverage5-")], "a scratch folder was left"


def test_pycortex_leaves_the_users_configuration_alone_and_is_silent(tmp_path: Path) -> None:
    code = (
        "import os, sys; from braindash.config import Home; from braindash.cortex.surfaces import pycortex\n"
        f"home = Home.resolve({str(tmp_path / 'home')!r})\n"
        "with pycortex(home) as cortex:\n"
        "    store = cortex.db.filestore; maps = cortex.options.config.get('webgl', 'colormaps')\n"
        "assert store == str(home.cortex / 'filestore'), store\n"
        "assert os.path.exists(os.path.join(maps, 'viridis.png')), maps\n"
        "assert 'XDG_CONFIG_HOME' not in os.environ\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL"))}
    environment |= {"HOME": str(tmp_path / "user"), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    (tmp_path / "user").mkdir()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "nkscape" not in done.stderr
    assert not list((tmp_path / "user").rglob("*pycortex*"))


def test_a_studys_database_is_mirrored_and_not_written_to(tmp_path: Path) -> None:
    source, home = tmp_path / "db", Home(tmp_path / "home")
    write_pycortex_subject(source)
    before = sorted(p.relative_to(source) for p in source.rglob("*"))
    name = mirror_subject(source, "S1", home)
    with pycortex(home) as cortex:
        assert cortex.db.get_surf(name, "flat", "lh")[0].shape == (225, 3)
        assert cortex.db.get_mask(name, "S1_auto", "thick").sum() == 50 * 19 * 2
        cortex.db.get_surfinfo(name, "curvature")
    assert sorted(p.relative_to(source) for p in source.rglob("*")) == before
    other = tmp_path / "elsewhere"
    write_pycortex_subject(other)
    assert mirror_subject(other, "S1", home) != name


def test_what_a_database_lacks_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(BraindashError, match="no pycortex subject 'S2'"):
        mirror_subject(tmp_path, "S2", home)
    write_pycortex_subject(tmp_path)
    flat = tmp_path / "S1" / "surfaces" / "flat_lh.gii"
    flat.unlink()
    with pytest.raises(BraindashError, match="no flat surface"):
        mirror_subject(tmp_path, "S1", home)
    flat.symlink_to("../.git/annex/objects/absent")
    with pytest.raises(NotDownloadedError, match=r"flat_lh.gii is not downloaded.*datalad get"):
        mirror_subject(tmp_path, "S1", home)
