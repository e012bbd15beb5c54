"""A shared run as one file or folder: its manifest, and reading it without trusting it.

What comes from elsewhere is only ever bytes here: names are checked against the few that an
export has, sizes and SHA-256 against the manifest, and nothing is written outside the
folder that the caller names.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from braindash.errors import BraindashError

MANIFEST = "manifest.json"
FORMAT = 1
KB, MB, GB = 10**3, 10**6, 10**9
MAX_FILES = 200_000
MAX_BYTES = 256 * GB
MAX_RATIO = 100  # unpacked over packed, beyond the first GB: real results stay below 20
MAX_TEXT = 512 * MB
MAX_MANIFEST = 64 * MB
BLOCK = 2**20
NEXT = "Ask for the export again; an export holds nothing but what docs/sharing.md lists."

RESULT_DOCUMENTS = ("records", "partition", "probing", "rsa", "hierarchy")  # NAME.json in a run's folder
RESULT_ARRAYS = ("probing", "rsa", "partition")  # NAME.nc
ZARR_FILE = r"(?:\.z(?:group|attrs|array|metadata)|\d+(?:\.\d+){0,7})"
# every file that an export may hold, and where an import puts it in the run's folder
WEIGHTS = r"(?:adapter_model|model|head)(?:-\d{5}-of-\d{5})?\.safetensors(?:\.index\.json)?"
PLACES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"(?:{WEIGHTS}|adapter_config\.json|braindash_model\.json|README\.md|citation\.bib)"), "model/"),
    (re.compile(r"run/(?=(?:config\.yaml|provenance\.json|metrics\.jsonl|marks\.json)$).*"), ""),
    (re.compile(rf"results/(?:(?:{'|'.join(RESULT_DOCUMENTS)})\.json|(?:{'|'.join(RESULT_ARRAYS)})\.nc)"), ""),
    (re.compile(rf"results/results\.zarr/(?:[A-Za-z0-9_]{{1,80}}/){{0,4}}{ZARR_FILE}"), ""),
)  # fmt: skip


Seconds = Annotated[float, Field(ge=0, le=1e11)]  # since 1970


class FileFact(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: int = Field(ge=0, le=MAX_BYTES)


class Manifest(BaseModel):
    """``manifest.json``: the format, the run, and every file with its size and SHA-256."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    braindash_export: int = FORMAT
    braindash: str = ""
    run: str = Field(max_length=200)
    created: Seconds | None = None
    started: Seconds | None = None
    ended: Seconds | None = None
    files: dict[str, FileFact]

    @property
    def n_bytes(self) -> int:
        return sum(f.bytes for f in self.files.values())

    @property
    def sha256(self) -> str:
        """Of the manifest's own bytes: one number that stands for all files."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def place_of(name: str) -> str | None:
    """Return where in a run's folder a file of an export belongs; None if an export has no such file.

    >>> place_of("adapter_model.safetensors"), place_of("results/results.zarr/encoding/r/0.0.0")
    ('model/adapter_model.safetensors', 'results.zarr/encoding/r/0.0.0')
    >>> place_of("../status.json"), place_of("model.pkl"), place_of("results/../x.json")
    (None, None, None)
    """
    for pattern, folder in PLACES:
        if pattern.fullmatch(name):
            return folder + (name if folder else name.partition("/")[2])
    return None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_export(path: Path) -> bool:
    """Whether a folder holds an export's manifest: the only kind of folder that --force replaces."""
    try:
        with (path / MANIFEST).open("rb") as file:
            return b'"braindash_export"' in file.read(MAX_MANIFEST)
    except OSError:
        return False


class Archive:
    """An export that is being read: ``names``, ``size(name)``, ``open(name)``; see `open_archive`."""

    def __init__(
        self, path: Path, members: dict[str, zipfile.ZipInfo | Path], zip_file: zipfile.ZipFile | None
    ) -> None:
        self.path, self._members, self._zip = path, members, zip_file

    @property
    def names(self) -> list[str]:
        return sorted(self._members)

    def size(self, name: str) -> int:
        member = self._members[name]
        return member.file_size if isinstance(member, zipfile.ZipInfo) else member.stat().st_size

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        member = self._members[name]
        if isinstance(member, zipfile.ZipInfo):
            assert self._zip is not None
            with self._zip.open(member) as file:
                yield file
        else:
            with member.open("rb") as file:
                yield file


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an export, a ``.zip`` or a folder, for reading.

    Raises
    ------
    BraindashError
        If it is neither, is damaged, or holds links, names that lead outside, or more than it may.
    """
    if path.is_dir():
        yield Archive(path, _folder_members(path), None)
        return
    if not path.is_file():
        raise BraindashError(f"There is no {path}.", "Name the .zip or the folder that `braindash runs export` wrote.")
    try:
        with zipfile.ZipFile(path) as zip_file:
            yield Archive(path, _zip_members(path, zip_file), zip_file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise BraindashError(
            f"{path} is not a whole zip file ({' '.join(str(error).split())[:200]}).", "Copy or fetch it again."
        ) from None


def _zip_members(path: Path, zip_file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo | Path]:
    members: dict[str, zipfile.ZipInfo | Path] = {}
    folded: set[str] = set()  # some disks take R and r for one name
    total = 0
    for info in zip_file.infolist():
        if info.is_dir():
            continue
        _check_name(path, info.filename, taken=info.filename.casefold() in folded, n=len(members))
        folded.add(info.filename.casefold())
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BraindashError(f"{path} holds {info.filename!r} as a link.", NEXT)
        if info.flag_bits & 1:
            raise BraindashError(f"{path} is encrypted ({info.filename!r}).", "Unpack it, then import the folder.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BraindashError(f"{path} packs {info.filename!r} by method {info.compress_type}.", NEXT)
        total += info.file_size
        members[info.filename] = info
    allowed = min(MAX_BYTES, max(GB, MAX_RATIO * path.stat().st_size))
    if total > allowed:
        raise BraindashError(
            f"{path} ({path.stat().st_size:,} bytes) would unpack to {total:,} bytes, more than the {allowed:,} that "
            "an export of its size may have.",
            NEXT,
        )
    return members


def _folder_members(path: Path) -> dict[str, zipfile.ZipInfo | Path]:
    members: dict[str, zipfile.ZipInfo | Path] = {}
    folders = [path]
    while folders:
        for entry in sorted(folders.pop().iterdir()):
            mode = entry.lstat().st_mode
            name = entry.relative_to(path).as_posix()
            if stat.S_ISDIR(mode):
                folders.append(entry)
            elif stat.S_ISREG(mode):
                _check_name(path, name, taken=False, n=len(members))
                members[name] = entry
            else:
                raise BraindashError(f"{path} holds {name!r}, which is a link or no plain file.", NEXT)
    return members


def _check_name(path: Path, name: str, *, taken: bool, n: int) -> None:
    if name != MANIFEST and place_of(name) is None:
        raise BraindashError(f"{path} holds {name[:200]!r}, which no export has.", NEXT)
    if taken:
        raise BraindashError(f"{path} holds {name!r} twice.", NEXT)
    if n >= MAX_FILES:
        raise BraindashError(f"{path} holds more than {MAX_FILES:,} files.", NEXT)


def read_manifest(archive: Archive) -> Manifest:
    """Read the manifest and hold it against what is there.

    Raises
    ------
    BraindashError
        If it is missing, damaged or of a newer format, or files are missing or not listed in it.
    """
    path = archive.path
    if MANIFEST not in archive.names:
        raise BraindashError(
            f"{path} holds no {MANIFEST}: it is not an exported run.",
            "Write one with `braindash runs export RUN PATH`.",
        )
    if archive.size(MANIFEST) > MAX_MANIFEST:
        raise BraindashError(f"The {MANIFEST} of {path} has {archive.size(MANIFEST):,} bytes.", NEXT)
    with archive.open(MANIFEST) as file:
        text = file.read(MAX_MANIFEST + 1)
    try:
        data = json.loads(text)
        version = data.get("braindash_export") if isinstance(data, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise BraindashError(
                f"{path} was written by a newer braindash (export format {version}, known: {FORMAT}).",
                "Upgrade braindash to import it.",
            )
        manifest = Manifest.model_validate(data)
        if version != FORMAT:
            raise ValueError(f"braindash_export is {version!r}")
    except (ValueError, RecursionError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)[:200]
        raise BraindashError(f"The {MANIFEST} of {path} is damaged ({why}).", "Copy or fetch it again.") from None
    there = set(archive.names) - {MANIFEST}
    missing, unlisted = sorted(manifest.files.keys() - there), sorted(there - manifest.files.keys())
    if missing:
        raise BraindashError(f"{path} lacks {_some(missing)}.", "Copy or fetch it again.")
    if unlisted:
        raise BraindashError(f"{path} holds files that its manifest does not list: {_some(unlisted)}.", NEXT)
    return manifest


def unpack(archive: Archive, manifest: Manifest, folder: Path) -> None:
    """Write every file to its place in ``folder`` (empty), proving size and SHA-256 on the way.

    Raises
    ------
    BraindashError
        For the first file that is not what the manifest says, or too large.
    """
    free = shutil.disk_usage(folder).free
    if manifest.n_bytes > free:
        raise BraindashError(
            f"{archive.path} unpacks to {manifest.n_bytes:,} bytes; {free:,} are free at {folder.parent}.",
            "Free some space (braindash cache prune) and try again.",
        )
    for name, fact in sorted(manifest.files.items()):
        if not name.endswith(".safetensors") and fact.bytes > MAX_TEXT:
            raise BraindashError(f"{archive.path} holds {name!r} with {fact.bytes:,} bytes.", NEXT)
        place = place_of(name)
        assert place is not None  # every name was checked when the archive was opened
        target = folder / place
        if any(parent.is_file() for parent in target.parents) or target.exists():
            raise BraindashError(f"{archive.path} holds {name!r} both as a file and as a folder.", NEXT)
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, n = hashlib.sha256(), 0
        with archive.open(name) as source, target.open("xb") as out:
            while (block := source.read(BLOCK)) and n <= fact.bytes:
                digest.update(block)
                n += len(block)
                out.write(block)
        if n != fact.bytes or digest.hexdigest() != fact.sha256:
            raise BraindashError(
                f"{name} in {archive.path} is not what its manifest says (SHA-256 {digest.hexdigest()[:12]}…, "
                f"not {fact.sha256[:12]}…): it was damaged or changed.",
                "Copy or fetch it again.",
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
