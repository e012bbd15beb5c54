"""A run as one file or folder for others: weights, card, configuration, results; no responses, no audio.

::

    manifest.json                                    format, SHA-256 and size of every file
    README.md  citation.bib                          the card, and what to cite
    braindash_model.json                             base, stories and subjects that the weights saw
    adapter_config.json  adapter_model.safetensors   PEFT's files; model.safetensors where all weights were tuned
    head.safetensors                                 the read-out
    run/                                             config.yaml, provenance.json, metrics.jsonl, marks.json
    results/                                         records.json, results.zarr/ and what else was computed

The folder is a tuned model by itself: `braindash.open_model` takes its path. `importing.py` reads it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from braindash import __version__
from braindash.errors import BraindashError
from braindash.files import disk_errors, replace_folder, sync_folder, sync_tree, write_synced
from braindash.runs import archive
from braindash.runs.card import own_entry, write_card
from braindash.runs.files import to_json
from braindash.runs.leaks import stories_seen
from braindash.runs.marks import Marks, read_marks, scrubbed_marks
from braindash.runs.results import RECORDS, RESULTS
from braindash.runs.run import Run
from braindash.runs.scrub import Scrubber

Progress = Callable[[float, str], None]
CARD = "braindash_model.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every entry: the same run gives the same bytes


@dataclass(frozen=True)
class Exported:
    """What `export_run` wrote."""

    path: Path
    manifest: archive.Manifest
    sha256: str  # of the manifest, which holds those of all files
    n_bytes: int
    with_results: bool
    marks: str = ""  # what people have written on the run that went along: "a star and a note"
    notes: tuple[str, ...] = ()  # what did not go along


def export_run(
    run: Run,
    path: Path,
    *,
    results: bool = True,
    marks: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a run for others to ``path``: a zip file if it ends in ``.zip``, else a folder.

    Parameters
    ----------
    run : Run
        Ended, with a model.
    path : path
    results : bool
        Also the results of its evaluation.
    marks : bool
        Also its star, tags and note.
    force : bool
        Replace a zip file, or a folder that is an export. Nothing else is ever replaced.
    progress : callable, optional
        ``progress(fraction, what)``.

    Raises
    ------
    BraindashError
        If the run is at work or has no model, something is at ``path``, or the disk is full; then
        nothing is left at ``path`` but what was there.
    """
    tell = progress or (lambda fraction, what: None)
    path = path.expanduser().absolute()
    zipped = path.suffix.lower() == ".zip"
    _check_target(path, zipped, force)
    _check_run(run)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with disk_errors(path, "The export", "Free some space or choose another disk; --no-results makes it smaller."):
        try:
            temporary.mkdir()
            tell(0.05, "Collecting the files")
            written = _collect(run, temporary, results, read_marks(run.home, run.id) if marks else Marks())
            files = _facts(temporary, tell)
            status = run.read_status()
            manifest = archive.Manifest(
                braindash=__version__, run=run.id, created=status.created or None, started=status.started,
                ended=status.ended, files=files,
            )  # fmt: skip
            text = manifest.text().encode()
            write_synced(temporary / archive.MANIFEST, text)
            tell(0.9, "Writing")
            sync_tree(temporary)
            finished = _zip(temporary) if zipped else temporary
            if zipped:
                finished.replace(path)
                sync_folder(path.parent)
            else:
                replace_folder(finished, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    size = path.stat().st_size if zipped else manifest.n_bytes + len(text)
    notes = (f"{written.problem} They are left out.",) if written.problem else ()
    with_results = any(n.startswith("results/") for n in files)
    return Exported(path, manifest, manifest.sha256, size, with_results, written.said(), notes)


def _check_target(path: Path, zipped: bool, force: bool) -> None:
    if not path.parent.is_dir():
        raise BraindashError(f"The folder {path.parent} does not exist.", "Make it, or choose another path.")
    if not os.access(path.parent, os.W_OK):
        raise BraindashError(f"{path.parent} may not be written to.", "Choose another path.")
    if not (path.exists() or path.is_symlink()):
        return
    if not force:
        raise BraindashError(f"{path} is there already.", "Choose another path, or replace it with --force.")
    replaceable = path.is_file() if zipped else path.is_dir() and (archive.is_export(path) or not any(path.iterdir()))
    if path.is_symlink() or not replaceable:  # --force must never cost anybody another folder
        raise BraindashError(
            f"{path} is not an export{' in one file' if zipped else ''} and is not replaced.", "Choose another path."
        )


def _check_run(run: Run) -> None:
    status = run.status
    if status.active:
        raise BraindashError(f"Run {run.id} is {status.state}.", f"Wait for its end: braindash runs watch {run.id}")
    if not (run.model_dir / CARD).is_file():
        raise BraindashError(
            f"Run {run.id} is {status.state} and has no tuned model to share.",
            f"Let it finish: braindash runs resume {run.id}",
        )


def _collect(run: Run, folder: Path, results: bool, marks: Marks) -> Marks:
    """Write everything but the manifest into an empty folder, cleaned of what belongs to this machine.

    Returns the marks as they are written.
    """
    about = _read_object(run.model_dir / CARD)
    config = run.config.model_dump(mode="json")
    records = run.records() if results else None
    scrubber = Scrubber(run.home.path, keep=_identifiers(run, about, records), known=_paths_in(config))
    clean_about = scrubber.data({**about, "inherited": _inherited(run)})
    clean_config = scrubber.data(config)
    provenance = _provenance(run, scrubber)
    _write_json(folder / CARD, clean_about)
    for source in sorted(run.model_dir.iterdir()):
        if source.suffix == ".safetensors" and archive.place_of(source.name):
            _copy(source, folder / source.name)
        elif source.name == "adapter_config.json" or source.name.endswith(".safetensors.index.json"):
            _write_json(folder / source.name, scrubber.data(_read_object(source)))
    (folder / "run").mkdir()
    text = yaml.safe_dump(clean_config, sort_keys=False, allow_unicode=True)
    write_synced(folder / "run" / "config.yaml", text.encode())
    _write_json(folder / "run" / "provenance.json", provenance)
    if run.metrics:
        rows = [to_json(scrubber.data(row)) + "\n" for row in run.metrics]
        write_synced(folder / "run" / "metrics.jsonl", "".join(rows).encode())
    written = scrubbed_marks(marks, scrubber.text) if not marks.problem else marks
    if written.said():
        write_synced(folder / "run" / "marks.json", f"{written.text()}\n".encode())
    clean_records = None
    if results and records is not None:
        clean_records = scrubber.data(_read_object(run.path / RECORDS))
        _copy_results(run, folder / "results", scrubber)
    created = run.read_status().created or None
    card = write_card(run.id, clean_about, clean_config, provenance, clean_records, created)
    write_synced(folder / "README.md", card.encode())
    from braindash.reports.methods import bibtex

    own = own_entry(run.id, clean_about, clean_config, created)
    write_synced(folder / "citation.bib", f"{own}\n\n{bibtex(run)}".encode())
    return written


def _copy_results(run: Run, folder: Path, scrubber: Scrubber) -> None:
    folder.mkdir()
    for source in (run.path / f"{name}.json" for name in archive.RESULT_DOCUMENTS):
        if source.is_file():
            _write_json(folder / source.name, scrubber.data(_read_object(source)))
    for source in (run.path / f"{name}.nc" for name in archive.RESULT_ARRAYS):
        if source.is_file():
            _copy(source, folder / source.name)
    store = run.path / RESULTS
    for source in sorted(p for p in store.rglob("*") if p.is_file()):
        name = f"results/{RESULTS}/{source.relative_to(store).as_posix()}"
        if archive.place_of(name) is None:
            continue
        target = folder.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.name in (".zattrs", ".zmetadata"):
            _write_json(target, scrubber.data(_read_object(source)))
        else:
            _copy(source, target)


def _inherited(run: Run) -> list[dict[str, Any]]:
    """Return what the models that this one was tuned from have seen: they may not be there on the other machine."""
    return [
        {"model": s.model, "study": s.study, "stories": list(s.stories), "audio": s.audio, "by_name": s.by_name,
         "knowledge": s.knowledge}
        for s in stories_seen(run.id, run.home)[1:]
    ]  # fmt: skip


def _provenance(run: Run, scrubber: Scrubber) -> dict[str, Any]:
    """Return the provenance without the command: it may name paths with blanks, and config.yaml says it all."""
    kept = {k: v for k, v in run.provenance.items() if k != "command"}
    cleaned: dict[str, Any] = scrubber.data(kept)
    return cleaned


def _identifiers(run: Run, about: Mapping[str, Any], records: Mapping[str, Any] | None) -> set[str]:
    """Return the names that files refer to each other by; a user who is called like one stays in them."""
    config = run.config
    names = {run.id, config.study, *(config.subjects or ()), *config.rois, *(about.get("subjects") or ())}
    names |= {s for part in (about.get("stories") or {}).values() for s in part}
    if records:
        names |= {r["roi"] for r in records["encoding"]} | {*records["subjects"], *records["models"]}
        names |= {s for part in ((records.get("provenance") or {}).get("split") or {}).values() for s in part}
    return {n for n in names if not n.startswith(("/", "~"))}


def _paths_in(config: Mapping[str, Any]) -> list[str]:
    """Return the absolute paths that the configuration names, which logs may repeat: blanks in them end no path."""
    found = [v for v in config.values() if isinstance(v, str) and Path(v).expanduser().is_absolute()]
    return [p for f in found for p in (f, str(Path(f).parent)) if len(p) > 1]


def _facts(folder: Path, tell: Progress) -> dict[str, archive.FileFact]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    facts = {}
    for i, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        if i % 200 == 0:
            tell(0.2 + 0.6 * i / len(paths), "Hashing")
        facts[name] = archive.FileFact(sha256=archive.sha256_of(path), bytes=path.stat().st_size)
    return facts


def _zip(folder: Path) -> Path:
    """Pack a folder beside itself; weights and arrays are stored, as they do not get smaller."""
    target = folder.with_name(f"{folder.name}.zip")
    try:
        with zipfile.ZipFile(target, "w", allowZip64=True) as out:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                info.external_attr = 0o644 << 16
                text = path.suffix in (".json", ".jsonl", ".yaml", ".md", ".bib") or path.name.startswith(".z")
                info.compress_type = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
                info.file_size = path.stat().st_size  # tells zipfile whether the entry needs 64-bit sizes
                with path.open("rb") as source, out.open(info, "w") as entry:
                    shutil.copyfileobj(source, entry, archive.BLOCK)
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def _read_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BraindashError(
            f"{path} cannot be read ({error}).", "Restore the file, or evaluate the run again."
        ) from None
    if not isinstance(data, dict):
        raise BraindashError(f"{path} does not hold a JSON object.", "Restore the file, or evaluate the run again.")
    return data


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    write_synced(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as from_file, target.open("wb") as to_file:
        shutil.copyfileobj(from_file, to_file, archive.BLOCK)
