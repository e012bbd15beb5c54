"""Evaluating a tuned model against its base without tuning: a run whose model is there from the start."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from braindash.config import Home, TuneConfig, validate
from braindash.errors import BraindashError
from braindash.files import disk_errors, sync_tree
from braindash.runs.leaks import refuse_leaks
from braindash.runs.provenance import library_versions
from braindash.runs.record import RunStore
from braindash.runs.run import Run


def create_evaluation(
    ref: str,
    study_id: str,
    home: Home,
    *,
    subjects: Sequence[str] | None = None,
    name: str = "",
    encoding: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> Run:
    """Make a run of the recipe ``imported``: `launch` takes it straight to its evaluation.

    Parameters
    ----------
    ref : str
        A tuned model: one of the home (`model add`), a folder, or a run's.
    study_id : str
    home : Home
    subjects : sequence of str, optional
        All of the study's if None.
    name : str
        A label; the model's name by default.
    encoding : mapping, optional
        Settings of :class:`braindash.config.EncodingConfig`.
    device : str

    Returns
    -------
    Run
        Queued. Its ``model/`` holds the tuned model, its configuration names the base.

    Raises
    ------
    BraindashError
        If the model is not a tuned one, or its files or the study's are missing.
    LeakageError
        If it saw a test story, or nobody said what it saw.
    """
    from braindash import __version__
    from braindash.speech.catalogue import describe
    from braindash.speech.loading import open_model
    from braindash.speech.references import TUNED_FILE, find_model
    from braindash.studies.library import open_study

    study = open_study(study_id, home)
    found = find_model(ref, home)
    if found.tuned is None:
        raise BraindashError(
            f"{ref} is not a tuned model: there is no base to compare it with.",
            "Add it with the model that it was tuned from: braindash model add PATH --base REF --seen FILE.",
        )
    info = describe(ref, home)
    settings: dict[str, Any] = {
        "study": study.id, "model": info.base, "recipe": "imported", "device": device, "name": name or info.id,
        "subjects": list(subjects) if subjects else None, "encoding": dict(encoding or {}),
    }  # fmt: skip
    config = validate(TuneConfig, settings, "the evaluation")
    if unknown := [s for s in config.subjects or () if s not in study.subjects]:
        raise BraindashError(
            f"Study {study.id!r} has no subject {unknown[0]!r}.", f"It has {', '.join(study.subjects)}."
        )
    refuse_leaks(study, [ref, info.base], home)
    open_model(ref, home)  # weights that do not load are said here, not in a run
    provenance = {
        "braindash": __version__,
        "libraries": library_versions(),
        "command": f"braindash model evaluate {ref} --study {study.id}",
        "evaluated_model": {"ref": Path(ref).name, "hash": info.weights_hash, "reference": info.reference,
                            "licence": info.licence},
        "weights": {"id": info.base, "hash": describe(info.base, home).weights_hash,
                    "source": describe(info.base, home).source, "licence": describe(info.base, home).licence},
        "data": {"study": study.id, "kind": study.kind, "title": study.title, "signal": study.signal,
                 "simulated": study.simulated, "fingerprint": study.fingerprint(), "tr": study.tr,
                 "subjects": list(config.subjects or study.subjects)},
        "split": {"tune": study.split.tune, "validation": study.split.validation, "test": study.split.test},
    }  # fmt: skip
    store = RunStore(home)
    run = store.create(config, provenance=provenance)
    try:
        with disk_errors(run.path):
            _take(found.folder, run.model_dir, TUNED_FILE)
    except BaseException:
        run.update_status(state="failed")
        store.delete(run.id)
        raise
    run.update_status(tuned=True, n_epochs=None)
    return run


def _take(source: Path, folder: Path, last: str) -> None:
    """Copy a model's files, those of weights as links to the same bytes where the disk allows; the card comes last."""
    folder.mkdir()
    for file in sorted(source.iterdir(), key=lambda p: p.name == last):
        if not file.is_file() or file.name.startswith(".") or file.suffix not in (".safetensors", ".json"):
            continue
        if file.name == "manifest.json":
            continue
        target = folder / file.name
        if file.suffix == ".safetensors":
            try:
                os.link(file, target)
                continue
            except OSError:  # another file system, or one without links
                pass
        shutil.copyfile(file, target)
    sync_tree(folder)
