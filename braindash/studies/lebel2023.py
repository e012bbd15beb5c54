"""LeBel et al. 2023 (OpenNeuro ds003020): nine listeners, up to 84 stories, native voxels.

The tree is read as datalad or openneuro leaves it; nothing is copied.

**When a row is.** The scanner's volumes come every TR = 2.0045 s; the sound
starts 10 s after the first trigger, and wav files and TextGrids share the
sound's clock, padding of about 10 s at each end included. So volume k is centred
at ``k·TR − 10 + TR/2`` seconds of the wav file. The lab drops the first 10 and
the last 10 volumes (features ``[10:-5]`` of a clock that is already 5 volumes
short) and stores the rest: row i of an hf5 file is volume i + 10, centred at

    t(i) = (i + 10)·TR − 10 + TR/2  =  11.04725 s + i·TR,

and a story of ``respdict.json`` with n volumes has n − 20 rows. As a check: from
the sizes of the published wav files the last row lies 9.2 to 12.2 s before the
end of the audio in all 84 stories, where the padding begins.

Source: LeBel et al., Sci Data 10, 555 (2023), and the data set's own files.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from braindash.config import known_keys
from braindash.errors import BraindashError, NotDownloadedError, closest
from braindash.studies import checks
from braindash.studies.annotations import AnnotatedStory, from_textgrid
from braindash.studies.audio import audio_duration
from braindash.studies.base import PARTS, CortexMap, Finding, Part, Split, Study
from braindash.studies.files import is_placeholder, require_file
from braindash.studies.native_regions import voxel_regions
from braindash.studies.table_targets import pycortex_map

TR = 2.0045  # seconds; the physical repetition time
SOUND_DELAY = 10.0  # seconds from the first trigger to the start of the wav file
N_TRIM_START = 10  # volumes dropped before the first stored row
N_TRIM = 20  # volumes dropped in all
RESPONSES = Path("derivative/preprocessed_data")


class Lebel2023Config(BaseModel):
    """Settings of a ds003020 study: its split. All other stories tune."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: tuple[str, ...] = Field(
        default=("wheretheressmoke",), min_length=1, description="Test stories; the default has 5 or 10 repeats."
    )
    validation: tuple[str, ...] = Field(
        default=("souls",),
        description="Validation stories. The default was heard by all nine subjects and is, with 375 volumes, "
        "nearest to the median length of the 24 such stories: neither a costly loss nor a noisy choice.",
    )

    @field_validator("test", "validation", mode="before")
    @classmethod
    def _one_is_enough(cls, v: object) -> object:
        return (v,) if isinstance(v, str) else v


def row_times(n_rows: int) -> np.ndarray:
    """Return the centres of stored rows in seconds of the wav file: (n_rows,) float64. Derived above."""
    volume = np.arange(n_rows, dtype=np.float64) + N_TRIM_START
    return volume * TR - SOUND_DELAY + TR / 2


def open_lebel2023(
    path: Path,
    id: str | None = None,
    *,
    subjects: tuple[str, ...] | None = None,
    stories: tuple[str, ...] | None = None,
    config: dict[str, Any] | None = None,
) -> Lebel2023:
    """Open a ds003020 tree; reads names, links and audio headers only.

    Parameters
    ----------
    path : Path
        The data set's root (with ``derivative/`` and ``stimuli/``).
    id : str, optional
        Default ``lebel2023``.
    subjects, stories : tuple of str, optional
        Use these only; one that is not fetched is then an error rather than left out.
    config : dict, optional
        See ``Lebel2023Config``.

    Raises
    ------
    NotDownloadedError
        A named subject or story, or all of them, are not fetched.
    BraindashError
        Not a ds003020 tree, unknown names, bad settings.
    """
    root = Path(path)
    for inside in (root.parent, root.parent.parent):
        if not (root / RESPONSES).is_dir() and (inside / RESPONSES).is_dir():
            raise BraindashError(f"{root} lies inside a ds003020 tree.", f"Give its root, {inside}.")
    if not (root / RESPONSES).is_dir():
        raise BraindashError(
            f"{root} is not a ds003020 tree: it has no folder {RESPONSES}.",
            "Give the folder that holds derivative/ and stimuli/ (`datalad clone` of OpenNeuro ds003020).",
        )
    settings = _settings(config)
    n_volumes = _read_json(root / "derivative" / "respdict.json")
    transforms_file = root / "derivative" / "subject_xfms.json"
    transforms = _read_json(transforms_file) if transforms_file.exists() else {}
    known = sorted(p.name for p in (root / RESPONSES).iterdir() if p.is_dir())
    for name in subjects or ():
        if name not in known:
            raise BraindashError(f"{root / RESPONSES} has no subject {name!r}.", closest(name, known))
    for name in (*(stories or ()), *settings.test, *settings.validation):
        if name not in n_volumes:
            raise BraindashError(f"ds003020 has no story {name!r}.", closest(name, n_volumes))
    return Lebel2023(root, id or "lebel2023", n_volumes, transforms, known, subjects, stories, settings)


class Lebel2023(Study):
    """A ds003020 tree. Responses are opened story by story."""

    kind = "lebel2023"
    title = "Natural language fMRI, LeBel et al. 2023 (ds003020)"
    tr = TR

    def __init__(
        self,
        root: Path,
        id: str,
        n_volumes: dict[str, int],
        transforms: dict[str, str],
        known_subjects: list[str],
        subjects: tuple[str, ...] | None,
        stories: tuple[str, ...] | None,
        settings: Lebel2023Config,
    ) -> None:
        self.id = id
        self._root = root
        self._n_volumes = n_volumes
        self._transforms = transforms
        self._found: list[Finding] = []  # what opening left out
        self._heard = self._find_responses(known_subjects, subjects, stories)
        by_someone = {s for heard in self._heard.values() for s in heard}
        wanted = [s for s in n_volumes if s in by_someone]
        split: dict[Part, list[str]] = {part: [] for part in PARTS}
        self.stories = {}
        for name in wanted:
            part: Part = "test" if name in settings.test else "validation" if name in settings.validation else "tune"
            story = self._open_story(name, part, named=stories is not None)
            if story is not None:
                self.stories[name] = story
                split[part].append(name)
        overlap = sorted(set(settings.test) & set(settings.validation))
        if overlap:
            raise BraindashError(f"Story {overlap[0]!r} is both test and validation.", "Give it one part.")
        self._split = Split(tuple(split["tune"]), tuple(split["validation"]), tuple(split["test"]))
        self._keep_heard()

    @property
    def split(self) -> Split:
        return self._split

    def heard(self, subject: str) -> tuple[str, ...]:
        return self._heard[self.check_subject(subject)]

    def row_times(self, story: str, subject: str) -> np.ndarray:
        return row_times(self._shape(story, subject)[0])

    def n_repeats(self, story: str, subject: str) -> int:
        with self._open(story, subject) as f:
            return int(f["individual_repeats"].shape[0]) if "individual_repeats" in f else 1

    def read_responses(self, story: str, subject: str) -> np.ndarray:
        self._require_rows(story, subject)
        with self._open(story, subject) as f:
            return self._read(f["data"], story, subject)

    def read_repeats(self, story: str, subject: str) -> np.ndarray | None:
        self._require_rows(story, subject)
        with self._open(story, subject) as f:
            if "individual_repeats" not in f:
                return None
            return self._read(f["individual_repeats"], story, subject)

    def targets(self, subject: str) -> pd.DataFrame:
        n = self._n_voxels(subject)
        names = [f"voxel-{i}" for i in range(n)]
        return pd.DataFrame({"name": names, "hemi": "", "roi": self._drawn(subject)[0]}).astype(object)

    def cortex(self, subject: str) -> CortexMap | None:
        """Map voxels to the subject's pycortex transform; None where it has none or its mask is not fetched."""
        transform = self._transforms.get(self.check_subject(subject))
        if transform is None:
            return None
        if subject not in self._maps:
            try:
                found = pycortex_map(self._filestore, subject, transform, self._n_voxels(subject))
            except NotDownloadedError:
                return None
            self._maps[subject] = found
        return self._maps[subject]

    def check(self) -> list[Finding]:
        found = [*self._found, *checks.check_split(self), *checks.check_segments(self)]
        found += checks.check_audio(self) + checks.check_annotations(self)
        for subject in self.subjects:
            problems = self._check_rows(subject)
            found += problems
            if not any(f.level == "error" for f in problems):
                try:
                    found += checks.check_targets(self, subject)
                except BraindashError as error:
                    found.append(Finding("error", error.what, error.remedy))
            found += self._check_cortex(subject)
            found += self._drawn(subject)[1]
        if undrawn := [s for s in self.subjects if s in self._transforms and not self._drawing(s).exists()]:
            what = f"Voxels carry no region names where overlays.svg is not there ({checks.names(undrawn, 4)})."
            remedy = f"Run `datalad get {self._drawing(undrawn[0])}`, if the lab has drawn regions."
            found.append(Finding("note", what, remedy, len(undrawn)))
        if not any(f.level == "error" for f in found):
            n = sum(len(h) for h in self._heard.values())
            found.append(Finding("ok", f"{n} response series have the rows that respdict.json promises.", "", n))
        return found

    def fingerprint(self) -> str:
        """Also the sizes of the response files, and the drawings of regions, which name the targets."""
        import hashlib

        h = hashlib.sha256(super().fingerprint().encode())
        for subject, heard in self._heard.items():
            for story in heard:
                stat = self._file(story, subject).stat()
                h.update(f"{subject}:{story}:{stat.st_size}:{stat.st_mtime_ns}".encode())
            drawing = self._drawing(subject)
            if drawing.is_file() and not is_placeholder(drawing):
                h.update(f"{subject}:{drawing.stat().st_size}:{drawing.stat().st_mtime_ns}".encode())
        return h.hexdigest()[:16]

    # ---- opening

    def _find_responses(
        self, known: list[str], subjects: tuple[str, ...] | None, stories: tuple[str, ...] | None
    ) -> dict[str, tuple[str, ...]]:
        """Return the stories whose response file is here, by subject; note what is not."""
        heard: dict[str, tuple[str, ...]] = {}
        for subject in subjects or known:
            here, promised = [], []
            for story in stories or self._n_volumes:
                file = self._file(story, subject)
                if is_placeholder(file):
                    promised.append(story)
                elif file.is_file():
                    here.append(story)
            if promised and not here and subjects:
                raise NotDownloadedError(
                    f"None of the {len(promised)} response files of {subject} is downloaded.",
                    f"Run `datalad get {self._root / RESPONSES / subject}`.",
                )
            if promised:
                self._found.append(
                    Finding(
                        "warning" if here else "note",
                        f"Subject {subject!r}: {len(promised)} response files are not downloaded "
                        f"({checks.names(promised, 4)}).",
                        f"Run `datalad get {self._root / RESPONSES / subject}`.",
                        len(promised),
                    )
                )
            if here:
                heard[subject] = tuple(here)
        if not heard:
            raise NotDownloadedError(
                f"No response file under {self._root / RESPONSES} is downloaded.",
                f"Run `datalad get {RESPONSES}/UTS03` (or other subjects) in {self._root}.",
            )
        return heard

    def _open_story(self, name: str, part: Part, named: bool) -> AnnotatedStory | None:
        audio = self._root / "stimuli" / f"{name}.wav"
        try:
            duration = audio_duration(audio)
        except BraindashError as error:
            if named:
                raise
            self._found.append(Finding("warning", f"Story {name!r} is left out. {error.what}", error.remedy))
            return None
        textgrid = self._root / "derivative" / "TextGrids" / f"{name}.TextGrid"
        read = None
        if is_placeholder(textgrid):
            remedy = f"Run `datalad get {textgrid}`."
            self._found.append(Finding("note", f"The TextGrid of story {name!r} is not downloaded.", remedy))
        elif textgrid.exists():
            read = functools.partial(from_textgrid, textgrid, words=1, phones=0)
        return AnnotatedStory(name=name, part=part, audio=audio, duration=duration, read=read)

    def _keep_heard(self) -> None:
        """Keep what has both audio and responses; a subject left with nothing goes, and is named."""
        if not self.stories:
            raise NotDownloadedError(
                f"No story under {self._root / 'stimuli'} has its audio.", f"Run `datalad get stimuli` in {self._root}."
            )
        heard = {s: tuple(n for n in self.stories if n in old) for s, old in self._heard.items()}
        self._heard = {s: h for s, h in heard.items() if h}
        self.subjects = tuple(self._heard)
        for subject in heard:
            missing = [s for s in self.stories if s not in heard[subject]]
            if missing:
                what = f"Subject {subject!r} has no responses to {len(missing)} of {len(self.stories)} stories"
                self._found.append(Finding("note", f"{what} ({checks.names(missing, 4)}).", "", len(missing)))

    # ---- files

    def _file(self, story: str, subject: str) -> Path:
        return self._root / RESPONSES / subject / f"{story}.hf5"

    def _open(self, story: str, subject: str) -> h5py.File:
        self.story(story)
        if story not in self.heard(subject):
            raise BraindashError(
                f"Subject {subject!r} has no responses to story {story!r}.",
                f"It heard {checks.names(list(self.heard(subject)))}.",
            )
        file = require_file(self._file(story, subject), "response file")
        try:
            return h5py.File(file, "r")
        except OSError as error:
            first = str(error).splitlines()[0]
            raise BraindashError(
                f"The response file {file} is damaged or no HDF5 file ({first}).", f"Run `datalad get {file}` again."
            ) from None

    @functools.cached_property
    def _shapes(self) -> dict[tuple[str, str], tuple[int, int]]:
        return {}

    @functools.cached_property
    def _maps(self) -> dict[str, CortexMap]:
        return {}

    def _shape(self, story: str, subject: str) -> tuple[int, int]:
        """(n_rows, n_voxels) from the header."""
        if (story, subject) not in self._shapes:
            with self._open(story, subject) as f:
                if "data" not in f or f["data"].ndim != 2:
                    raise BraindashError(
                        f"{self._file(story, subject)} has no 2-D dataset 'data' (only {', '.join(f) or 'nothing'}).",
                        "Download it again.",
                    )
                self._shapes[story, subject] = f["data"].shape
        return self._shapes[story, subject]

    def _n_voxels(self, subject: str) -> int:
        return self._shape(self.heard(subject)[0], subject)[1]

    def _read(self, data: h5py.Dataset, story: str, subject: str) -> np.ndarray:
        try:
            return np.asarray(data.astype(np.float32)[...])
        except OSError as error:
            file = self._file(story, subject)
            raise BraindashError(
                f"The response file {file} is damaged ({error}).", f"Run `datalad get {file}` again."
            ) from None

    @property
    def _filestore(self) -> Path:
        return self._root / "derivative" / "pycortex-db"

    def _drawing(self, subject: str) -> Path:
        return self._filestore / subject / "overlays.svg"

    def _drawn(self, subject: str) -> tuple[np.ndarray, list[Finding]]:
        """Return the region that each voxel's subject drew around it, and what there is to say of them.

        Names are an extra: where they cannot be read a finding says so, and the voxels have none.
        """
        n = self._n_voxels(subject)
        nameless = np.full(n, "", dtype=object)
        transform = self._transforms.get(subject)
        if transform is None or not self._drawing(subject).exists():
            return nameless, []
        try:
            names, problems = voxel_regions(self._filestore, subject, transform)
        except BraindashError as error:
            what = f"Subject {subject!r}: its voxels carry no region names. {error.what}"
            return nameless, [
                Finding("note" if isinstance(error, NotDownloadedError) else "warning", what, error.remedy)
            ]
        if len(names) != n:  # said as an error where the cortex is checked
            return nameless, []
        remedy = "Mend its path in overlays.svg with Inkscape."
        found = [Finding("warning", f"Subject {subject!r}, overlays.svg: {p}", remedy) for p in problems]
        k, n_named = len(set(names) - {""}), int((names != "").sum())
        what = f"Subject {subject!r}: {n_named:,} of {n:,} voxels lie in {k} regions drawn in its overlays.svg."
        return names, [*found, Finding("ok", what, "", n_named)]

    # ---- checks

    def _require_rows(self, story: str, subject: str) -> None:
        """Refuse a file whose rows or voxels do not fit: its times or targets would be wrong."""
        n_rows, n_voxels = self._shape(story, subject)
        expected = self._n_volumes[story] - N_TRIM
        if n_rows != expected:
            raise BraindashError(
                f"Story {story!r}, subject {subject!r}: {n_rows} rows, where respdict.json promises {expected} "
                f"({self._n_volumes[story]} volumes − {N_TRIM} trimmed).",
                "Download the file again, or leave the story out.",
            )
        if n_voxels != self._n_voxels(subject):
            raise BraindashError(
                f"Story {story!r}, subject {subject!r}: {n_voxels} voxels, where its other stories have "
                f"{self._n_voxels(subject)}.",
                "Download the file again, or leave the story out.",
            )

    def _check_rows(self, subject: str) -> list[Finding]:
        found: list[Finding] = []
        for story in self.heard(subject):
            try:
                self._require_rows(story, subject)
                found += checks.check_times(self, story, subject)
                if self.stories[story].part == "test":
                    found += self._check_repeats(story, subject)
            except BraindashError as error:
                found.append(Finding("error", error.what, error.remedy))
        return found

    def _check_repeats(self, story: str, subject: str) -> list[Finding]:
        with self._open(story, subject) as f:
            shape = f["individual_repeats"].shape if "individual_repeats" in f else None
        where = f"Test story {story!r}, subject {subject!r}"
        if shape is None:
            return [Finding("warning", f"{where}: no individual_repeats, so no noise ceiling.", "Download it again.")]
        if tuple(shape[1:]) != self._shape(story, subject):
            return [
                Finding(
                    "error",
                    f"{where}: individual_repeats {tuple(shape)} do not fit data {self._shape(story, subject)}.",
                    "Download the file again.",
                )
            ]
        return []

    def _check_cortex(self, subject: str) -> list[Finding]:
        if subject not in self._transforms:
            return [Finding("note", f"Subject {subject!r} has no pycortex transform: no cortex maps.")]
        try:
            if self.cortex(subject) is None:
                where = self._root / "derivative" / "pycortex-db" / subject
                what = f"Subject {subject!r}: its pycortex mask is not downloaded, so no cortex maps."
                return [Finding("note", what, f"Run `datalad get {where}`.")]
        except BraindashError as error:
            return [Finding("error", error.what, error.remedy)]
        return []


def _settings(config: dict[str, Any] | None) -> Lebel2023Config:
    try:
        return Lebel2023Config.model_validate(config or {})
    except ValidationError as error:
        e = error.errors()[0]
        key = ".".join(map(str, e["loc"]))
        if e["type"] == "extra_forbidden":
            raise BraindashError(
                f"A lebel2023 study has no setting {key!r}.", closest(key, known_keys(Lebel2023Config))
            ) from None
        raise BraindashError(f"Setting {key!r}: {e['msg']} (got {e['input']!r}).", "Give story names.") from None


def _read_json(file: Path) -> dict[str, Any]:
    require_file(file, "file")
    try:
        data = json.loads(file.read_bytes())
    except ValueError as error:
        raise BraindashError(f"{file} is not JSON ({error}).", "Download it again.") from None
    if not isinstance(data, dict):
        raise BraindashError(f"{file} holds no mapping.", "Download it again.")
    return data
