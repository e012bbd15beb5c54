"""A run that others shared, made a run of this home.

Nothing of it is believed before it is checked: names, sizes and hashes (`archive.py`), the
configuration, the card, the header of every weight file and the description of every
array. Nothing is unpickled: weights are safetensors, and arrays that ask for a codec
which could run code are refused.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from braindash.config import Home, TuneConfig, validate
from braindash.errors import BraindashError
from braindash.files import disk_errors, parse_yaml, read_json, sync_folder, sync_tree, write_synced
from braindash.runs import archive
from braindash.runs.arrays import read_arrays
from braindash.runs.files import to_json
from braindash.runs.marks import MAX_BYTES as MAX_MARKS
from braindash.runs.marks import Marks, adopt_marks, parse_marks, read_marks
from braindash.runs.record import RUN_ID, new_run_id
from braindash.runs.results import ATTRS, RECORDS, RESULTS, WHOLE
from braindash.runs.run import Run
from braindash.runs.status import Status
from braindash.speech.seen import refuse_aliases

Progress = Callable[[float, str], None]
CARD = "braindash_model.json"
NEXT = archive.NEXT
# codecs that only unpack numbers; numcodecs has others, and one of them unpickles
CODECS = frozenset({"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "crc32", "adler32"})
_DTYPE = re.compile(r"[<>|][biufcUSMm]\d{1,5}(?:\[[a-z]{1,2}\])?")
MAX_ARRAY = 64 * archive.GB
MAX_CHUNK = 4 * archive.GB
MAX_CONFIG = archive.MB
MARKS_FILE = "marks.json"


@dataclass(frozen=True)
class Imported:
    """What `import_run` made."""

    run: Run
    original_id: str
    evaluated: bool
    sha256: str  # of the manifest
    notes: list[str] = field(default_factory=list)


def import_run(path: Path, home: Home, *, base: str | None = None, progress: Progress | None = None) -> Imported:
    """Make a run of ``home`` from what `braindash runs export` wrote.

    Parameters
    ----------
    path : path
        The zip file or folder.
    home : Home
    base : str, optional
        What the base model is called here, where that differs from what the export says.
    progress : callable, optional
        ``progress(fraction, what)``.

    Raises
    ------
    BraindashError
        If anything in it is not what an export holds; then the home is as it was.
    """
    tell = progress or (lambda fraction, what: None)
    path = path.expanduser()
    with disk_errors(home.runs, "The imported run"):
        home.runs.mkdir(parents=True, exist_ok=True)
        temporary = home.runs / f".creating-import-{secrets.token_hex(4)}"
        temporary.mkdir()
        try:
            with archive.open_archive(path) as opened:
                manifest = archive.read_manifest(opened)
                tell(0.1, "Unpacking and proving the hashes")
                archive.unpack(opened, manifest, temporary)
            tell(0.7, "Checking the contents")
            marks = _take_marks(temporary, path)
            config = _checked(temporary, path)
            run_id, taken = _free_id(home, manifest.run, config)
            notes = [f"The id {manifest.run} is taken here; the run is called {run_id}."] if taken else []
            config = _rebased(temporary, config, base)
            _rename(temporary, manifest.run, run_id, base)
            _finish(temporary, config, manifest, path)
            tell(0.9, "Writing")
            sync_tree(temporary)
            temporary.rename(home.runs / run_id)
            sync_folder(home.runs)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    run = Run(home.runs / run_id)
    evaluated = (run.path / RECORDS).exists()
    notes += _adopt(marks, run, home) + _notes(run, home)
    return Imported(run, manifest.run, evaluated, manifest.sha256, notes)


def _checked(folder: Path, path: Path) -> TuneConfig:
    """Return the configuration, when every file is of the kind that its name says."""
    config_file, card = folder / "config.yaml", folder / "model" / CARD
    for needed in (config_file, card):
        if not needed.is_file():
            raise BraindashError(f"{path} lacks the run's {needed.name}.", NEXT)
    try:
        if config_file.stat().st_size > MAX_CONFIG:
            raise ValueError(f"{config_file.stat().st_size:,} bytes")
        text = config_file.read_text(encoding="utf-8")
        refuse_aliases(text, Path("run/config.yaml"))
        data = parse_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise _damaged(path, "run/config.yaml", error) from None
    if not isinstance(data, Mapping):
        raise _damaged(path, "run/config.yaml", "not a mapping")
    config = validate(TuneConfig, data, f"run/config.yaml in {path}")
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".json" or file.name in (".zattrs", ".zgroup", ".zmetadata", ".zarray"):
            content = _read_json(file, path)
            if file.name == ".zarray":
                _check_array(content, file.relative_to(folder).as_posix(), path)
            elif file.name == ".zmetadata":  # consolidated: arrays could be described here a second time
                raise BraindashError(f"{path} holds {file.relative_to(folder)}, which braindash does not write.", NEXT)
        elif file.suffix == ".safetensors":
            _check_weights(file, path)
        elif file.suffix == ".nc":
            _check_arrays(file, path)
    about = _read_json(card, path)
    if not isinstance(about.get("base"), str) or not isinstance(about.get("stories", {}), dict):
        raise _damaged(path, CARD, "it names no base or no stories")
    adapters = (folder / "model" / "adapter_config.json").is_file()
    stem = "adapter_model" if adapters else "model"
    if about.get("recipe") != "head" and not any((folder / "model").glob(f"{stem}*.safetensors")):
        raise BraindashError(f"{path} holds no weights ({stem}.safetensors).", NEXT)
    _check_results(folder, path)
    _check_analyses(folder, path)
    return config


def _take_marks(folder: Path, path: Path) -> Marks:
    """Return the star, tags and note, and take their file away: marks lie outside a run's folder."""
    file = folder / MARKS_FILE
    if not file.is_file():
        return Marks()
    try:
        if file.stat().st_size > MAX_MARKS:
            raise ValueError(f"{file.stat().st_size:,} bytes")
        marks = parse_marks(_read_json(file, path))
    except ValueError as error:
        raise _damaged(path, f"run/{MARKS_FILE}", error) from None
    file.unlink()
    return marks


def _adopt(marks: Marks, run: Run, home: Home) -> list[str]:
    """Give the run the marks that it came with, and say so; what is written here on a run of its id stays."""
    if not marks.said():
        return []
    try:
        if adopt_marks(home, run.id, marks):
            return [f"It came with {marks.said()}, as the sender wrote them: braindash runs mark {run.id}"]
    except BraindashError as error:  # the run is whole without them
        return [f"It came with {marks.said()}, which could not be kept: {error.what}"]
    kept = read_marks(home, run.id)
    return [
        f"Marks for {run.id} are here already and are kept ({kept.problem or kept.said() or 'empty'}); "
        f"{marks.said()} in the export {'was' if ' and ' not in marks.said() else 'were'} left aside."
    ]


def _check_weights(file: Path, path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as handle:
            handle.keys()
    except (SafetensorError, OSError) as error:
        raise _damaged(path, file.name, error) from None


def _check_arrays(file: Path, path: Path) -> None:
    try:
        read_arrays(file, file.name, "import")
    except BraindashError as error:
        raise _damaged(path, file.name, error.what) from None


def _check_analyses(folder: Path, path: Path) -> None:
    """Refuse what was computed besides if the pages here could not read it."""
    from braindash.runs.partition_document import read_partition
    from braindash.runs.partition_targets import read_partition_targets
    from braindash.runs.probing import read_probing
    from braindash.runs.rsa import read_rsa

    for name, read in (
        ("partition.json", read_partition),
        ("partition.nc", read_partition_targets),
        ("probing.json", read_probing),
        ("rsa.json", read_rsa),
    ):
        try:
            read(folder)
        except BraindashError as error:
            raise _damaged(path, name, error.what.replace(f" of run {folder.name}", "")) from None


def _check_array(about: Mapping[str, Any], name: str, path: Path) -> None:
    """Refuse an array whose description could run code or fill the memory."""
    codecs = [about.get("compressor"), *(about.get("filters") or [])]
    try:
        ids = {str(c["id"]) for c in codecs if c is not None}
        shape, chunks = [int(n) for n in about["shape"]], [int(n) for n in about["chunks"]]
        dtype = about["dtype"]
        size = int(re.sub(r"\D", "", str(dtype).split("[")[0]) or 0) * (4 if str(dtype)[1:2] == "U" else 1)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, name, error) from None
    if strange := sorted(ids - CODECS):
        raise BraindashError(f"{name} in {path} is packed by {strange[0]!r}, which could run code when read.", NEXT)
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise BraindashError(f"{name} in {path} holds values of type {str(dtype)[:50]!r}, not numbers or text.", NEXT)
    if (
        min([*shape, *chunks], default=0) < 0
        or math.prod(shape) * size > MAX_ARRAY
        or math.prod(chunks) * size > MAX_CHUNK
    ):
        raise BraindashError(f"{name} in {path} describes an array of {shape} in chunks of {chunks}: too large.", NEXT)


def _check_results(folder: Path, path: Path) -> None:
    store, records = folder / RESULTS, folder / RECORDS
    if store.exists() != records.exists():
        raise BraindashError(f"{path} holds only half of its results.", NEXT)
    if not store.exists():
        return
    if _read_json(store / ATTRS, path).get(WHOLE) is not True:
        raise BraindashError(f"The results in {path} were cut off while being written.", NEXT)
    rows = _read_json(records, path)
    lists = ("encoding", "differences", "subjects", "models", "layers")
    if any(not isinstance(rows.get(name), list) for name in lists) or rows.get("braindash", 1) != 1:
        raise _damaged(path, RECORDS, f"it lacks one of {', '.join(lists)}, or is of another version")
    for row in (*rows["encoding"], *rows["differences"]):
        if not isinstance(row, dict) or not {"model", "subject", "roi", "layer", "n_targets"} <= row.keys():
            raise _damaged(path, RECORDS, "a row lacks its model, subject, region, layer or number of targets")


def _free_id(home: Home, wanted: str, config: TuneConfig) -> tuple[str, bool]:
    if RUN_ID.fullmatch(wanted) and not (home.runs / wanted).exists():
        return wanted, False
    while (home.runs / (run_id := new_run_id(config))).exists():
        continue
    return run_id, True


def _rebased(folder: Path, config: TuneConfig, base: str | None) -> TuneConfig:
    """Call the base model what it is called here; its weights are still held against the card's hash."""
    if base is None:
        return config
    for file in (folder / "model" / CARD, folder / "model" / "adapter_config.json"):
        if file.is_file():
            key = "base" if file.name == CARD else "base_model_name_or_path"
            _write_json(file, {**_read_json(file, file), key: base})
    return config.model_copy(update={"model": base})


def _rename(folder: Path, old: str, new: str, base: str | None) -> None:
    """Write the run's id here, and what its base is called here, into its results."""
    for file in (folder / f"{name}.json" for name in archive.RESULT_DOCUMENTS):
        if not file.is_file():
            continue
        content = _read_json(file, file)
        if "run" in content:
            content["run"] = new
        if base is not None and "model" in content:
            content["model"] = base
        runs = (content.get("provenance") or {}).get("runs")
        if isinstance(runs, dict):
            content["provenance"]["runs"] = {k: new if v == old else v for k, v in runs.items()}
        _write_json(file, content)


def _finish(folder: Path, config: TuneConfig, manifest: archive.Manifest, path: Path) -> None:
    """Write what a run of this home has besides: status, configuration, where it came from."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_synced(folder / "config.yaml", text.encode())
    provenance_file = folder / "provenance.json"
    provenance = _read_json(provenance_file, path) if provenance_file.exists() else {}
    origin = {
        "run": manifest.run,
        "file": path.name,
        "at": time.time(),
        "braindash": manifest.braindash,
        "manifest_sha256": manifest.sha256,
    }
    _write_json(provenance_file, {**provenance, "imported": origin})
    now = time.time()
    status = Status(
        state="done", stage="evaluating", tuned=True, fraction=1.0, message="Imported.",
        n_epochs=config.optimiser.epochs if config.recipe != "imported" else None,
        created=manifest.created or now, started=manifest.started, ended=manifest.ended or now,
    )  # fmt: skip
    write_synced(folder / "status.json", (to_json(status.model_dump(mode="json")) + "\n").encode())


def _notes(run: Run, home: Home) -> list[str]:
    """Return what is missing here to evaluate the run again."""
    from braindash.speech.references import known_names
    from braindash.studies.library import list_studies

    config, notes = run.config, []
    if config.study not in {record.id for record in list_studies(home)}:
        notes.append(f"The study {config.study} is not in this home: the results can be read, not made again.")
    if "/" not in config.model and config.model not in known_names(home):
        notes.append(
            f"The base model {config.model} is not known here. If it has another name, import again with --base REF."
        )
    return notes


def _read_json(file: Path, path: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, file.name, error) from None
    if not isinstance(content, dict):
        raise _damaged(path, file.name, "not a JSON object")
    return content


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    write_synced(file, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _damaged(path: Path, name: str, why: object) -> BraindashError:
    return BraindashError(f"{name} in {path} is damaged ({' '.join(str(why).split())[:200]}).", NEXT)
