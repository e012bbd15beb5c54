"""Models that were tuned elsewhere: brought into the home under a name, with what they saw.

A model of the home is a folder as a run's ``model/``: ``braindash_model.json`` and the adapter or the
encoder's weights, named as braindash names them and proven to fit the base.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import disk_errors, replace_folder, sync_tree, write_synced
from braindash.speech.checkpoint import find_weights, open_weights, read_json, read_licence
from braindash.speech.references import TUNED_FILE
from braindash.speech.seen import ELSEWHERE, SEEN_FILE, SeenFile, read_seen

if TYPE_CHECKING:
    import torch

    from braindash.speech.base import SpeechModel
    from braindash.speech.fitting import Fitted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
NONE = "none"


def add_model(
    path: Path,
    home: Home,
    *,
    base: str | None = None,
    seen: str | None = None,
    name: str | None = None,
    prefix: str | None = None,
    fill_missing: bool = False,
    force: bool = False,
) -> tuple[str, Fitted]:
    """Bring a model that was tuned elsewhere into the home.

    Parameters
    ----------
    path : path
        A folder with a PEFT adapter or the whole weights as safetensors; also one that
        `convert` wrote, or a model of the home about which more is known now.
    home : Home
    base : str, optional
        What opens the pretrained model; else what ``braindash_seen.yaml`` or the adapter names.
    seen : str, optional
        Path of a ``braindash_seen.yaml``, or "none": it has seen no story of any study here.
        By default the one in the folder.
    name : str, optional
        Its name in the home; the folder's by default.
    prefix, fill_missing
        As in `convert`.
    force : bool
        Replace a model of that name.

    Returns
    -------
    name, report

    Raises
    ------
    BraindashError
        If nobody says what it saw, the base is not named, or the files do not fit it.
    """
    from braindash.speech.loading import open_model

    folder = _folder(path, home)
    stated = _what_it_saw(folder, seen)
    card = read_json(folder / TUNED_FILE) if (folder / TUNED_FILE).is_file() else {}
    if card and card.get("origin") != ELSEWHERE:
        raise BraindashError(
            f"{folder} was tuned by braindash, which recorded what it saw.",
            f"Use it where it is, by its path, or import the run: braindash runs import {folder}",
        )
    settings = read_json(folder / "adapter_config.json") if (folder / "adapter_config.json").is_file() else None
    base_ref = (
        base or stated.base or str(card.get("base") or "") or str((settings or {}).get("base_model_name_or_path") or "")
    )
    if not base_ref:
        raise BraindashError(f"{folder} does not say which model it was tuned from.", "Name it with --base REF.")
    chosen = _name(name or folder.resolve().name, folder, home, force)
    model = open_model(base_ref, home)
    if base is None and card.get("base_weights_hash") not in (None, model.weights_hash):
        raise BraindashError(
            f"{folder} was fitted to other weights of {base_ref} than those found now.",
            "Name its base with --base REF.",
        )
    tensors = _read(find_weights(folder, stem="model" if settings is None else "adapter_model"))
    temporary = home.models / f".adding-{secrets.token_hex(4)}"
    with disk_errors(home.models, "The model"):
        try:
            temporary.mkdir(parents=True)
            fitted = write_fitted(
                temporary, tensors, settings, model, model.ref, prefix=prefix, fill_missing=fill_missing,
                about={"name": chosen, **_about(stated, folder)},
            )  # fmt: skip
            if (folder / SEEN_FILE).is_file() and seen is None:
                shutil.copyfile(folder / SEEN_FILE, temporary / SEEN_FILE)
            sync_tree(temporary)
            replace_folder(temporary, home.models / chosen)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return chosen, fitted


def write_fitted(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    settings: Mapping[str, Any] | None,
    base: SpeechModel,
    base_ref: str,
    *,
    prefix: str | None,
    fill_missing: bool,
    about: Mapping[str, Any],
) -> Fitted:
    """Fit tensors to the base and write them into an empty folder, with ``braindash_model.json``.

    Parameters
    ----------
    settings : mapping, optional
        ``adapter_config.json``; None for whole weights.
    about : mapping
        What is known of the model; goes into ``braindash_model.json``.
    """
    from safetensors.torch import save_file

    from braindash.speech.fitting import fit_adapter, fit_weights

    if settings is None:
        weights, fitted = fit_weights(tensors, base, prefix=prefix, fill_missing=fill_missing)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        adapter, clean, fitted = fit_adapter(tensors, settings, base, base_ref)
        save_file(adapter, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        write_synced(folder / "adapter_config.json", json.dumps(clean, indent=1, sort_keys=True).encode())
    content = {
        "braindash": 1,
        "origin": ELSEWHERE,
        "base": base_ref,
        "base_weights_hash": base.weights_hash,
        "family": base.family,
        "recipe": "full" if settings is None else "lora",
        "tensors": fitted.as_dict(),
        **about,
    }
    write_synced(folder / TUNED_FILE, json.dumps(content, indent=1).encode())
    return fitted


def _about(stated: SeenFile, folder: Path) -> dict[str, Any]:
    licence = stated.licence or read_licence(folder)
    return {
        "seen": "none" if stated.none else "listed",
        "study": stated.study,
        "stories": {} if stated.none else {"seen": list(stated.all_stories)},
        "audio": dict(stated.audio),
        "subjects": list(stated.subjects),
        "licence": "" if licence == "not stated" else licence,
        "reference": stated.reference,
    }


def _folder(path: Path, home: Home) -> Path:
    path = path.expanduser()
    if not path.exists() and path.name == str(path) and (home.models / path.name).is_dir():
        return home.models / path.name
    if path.is_file():
        whole = path.suffix == ".safetensors"
        convert = f"Convert it first: braindash model convert {path} OUT --base REF"
        raise BraindashError(f"{path} is a file.", "Name its folder." if whole else convert)
    if not path.is_dir():
        raise BraindashError(f"There is no folder {path}.", "Name the folder that holds the safetensors.")
    return path


def _what_it_saw(folder: Path, seen: str | None) -> SeenFile:
    if seen is not None and seen.strip().lower() == NONE:
        return SeenFile(none=True)
    file = Path(seen).expanduser() if seen is not None else folder / SEEN_FILE
    if seen is None and not file.is_file():
        raise BraindashError(
            f"Which stories {folder} was tuned on is not known, so it could be tested on them.",
            f"Say it in a {SEEN_FILE} there or with --seen FILE (docs/sharing.md); --seen none states that it has seen "
            "none of yours.",
        )
    return read_seen(file)


def _name(name: str, folder: Path, home: Home, force: bool) -> str:
    from braindash.speech.bundled import NAMES

    if not NAME.fullmatch(name):
        raise BraindashError(
            f"{name!r} is not a name for a model.", "Give one of letters, digits, . - and _ with --name NAME."
        )
    if name in NAMES or (home.runs / name).exists():
        raise BraindashError(f"{name!r} is what another model is called.", "Give another with --name NAME.")
    there = home.models / name
    again = there.exists() and there.resolve() == folder.resolve()  # more is known of the same model now
    if there.exists() and not (force or again):
        raise BraindashError(f"There is a model {name!r} already.", "Give another --name, or replace it with --force.")
    return name


def _read(files: tuple[Path, ...]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        with open_weights(path) as handle:
            tensors.update({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118 - not a dict
    return tensors
