"""What a model's name refers to: the bundled one, a folder, a run, or the hub."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from braindash.config import Home
from braindash.errors import BraindashError, closest
from braindash.speech import bundled
from braindash.speech.checkpoint import read_licence

LONGEST, LONGEST_PART = 4000, 255  # of a path and of a name in it: file systems refuse to look for more
TUNED_FILE = "braindash_model.json"  # marks a folder that holds a tuned model
HUB_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "README.md",
)
# offered when a name is mistyped; any other hub id works as well
WELL_KNOWN = (
    "facebook/wav2vec2-base",
    "facebook/wav2vec2-large",
    "facebook/hubert-base-ls960",
    "facebook/hubert-large-ll60k",
    "microsoft/wavlm-base",
    "microsoft/wavlm-base-plus",
    "microsoft/wavlm-large",
    "facebook/data2vec-audio-base",
    "openai/whisper-tiny",
    "openai/whisper-base",
    "openai/whisper-small",
    "UsefulSensors/moonshine-tiny",
    "UsefulSensors/moonshine-base",
)


@dataclass(frozen=True)
class Found:
    """A model's folder and what to say about it; ``tuned`` is the folder of a tuned model."""

    id: str
    folder: Path
    source: str
    licence: str
    tuned: Path | None = None


def find_model(ref: str, home: Home, *, fetch: bool = True) -> Found:
    """Find the folder that ``ref`` names, fetching or unpacking it where needed.

    Without ``fetch`` a hub id is looked for in the local cache alone.

    Raises
    ------
    BraindashError
        If nothing goes by that name (the nearest names are offered) or it cannot be fetched.
    """
    if not ref.strip():
        raise BraindashError("The model's name is empty.", closest("", known_names(home)))
    if "\0" in ref or len(ref) > LONGEST or any(len(os.fsencode(p)) > LONGEST_PART for p in re.split(r"[/\\]", ref)):
        raise BraindashError(
            f"{ref[:40]!r}… is no name of a model ({len(ref):,} characters).", closest("", known_names(home))
        )
    if ref in bundled.NAMES:
        folder, source = bundled.locate(home)
        return Found(bundled.NAME, folder, source, bundled.LICENCE)
    if _is_plain(ref):
        if (home.runs / ref).is_dir():
            return _tuned(home.runs / ref)
        if (home.models / ref).is_dir():
            return _tuned(home.models / ref) if is_tuned(home.models / ref) else _local(home.models / ref)
    try:
        path = Path(ref).expanduser()
    except RuntimeError:
        raise BraindashError(f"{ref!r} begins with a user who is not here.", "Write the folder's whole path.") from None
    if path.is_dir():
        return _tuned(path) if is_tuned(path) else _local(path)
    if path.is_file():
        raise BraindashError(f"{path} is a file.", "Name the folder that holds config.json and model.safetensors.")
    if ref.startswith(("/", ".", "~")):
        raise BraindashError(f"The model folder {path} does not exist.", "Name a folder in hub format, or a hub id.")
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", ref):
        return _hub(ref, home, fetch)
    raise BraindashError(f"No model is called {ref!r}.", closest(ref, known_names(home)))


def known_names(home: Home) -> list[str]:
    """Return the names that can be offered: bundled, in this home, and well-known hub ids."""
    own = [p.name for p in sorted(home.models.glob("*")) if p.is_dir() and not p.name.startswith(".")]
    runs = [p.name for p in sorted(home.runs.glob("*")) if is_tuned(p)]
    return list(dict.fromkeys([bundled.NAME, *own, *runs, *WELL_KNOWN]))


def is_tuned(folder: Path) -> bool:
    """Say whether ``folder`` is a tuned model's, or a run's that has one."""
    return (folder / TUNED_FILE).exists() or (folder / "model" / TUNED_FILE).exists()


def _is_plain(ref: str) -> bool:
    return "/" not in ref and "\\" not in ref and ref not in {".", ".."}


def _local(folder: Path) -> Found:
    if (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        raise BraindashError(
            f"{folder} holds adapters that were tuned elsewhere; what they saw is not known here.",
            f"Add it first: braindash model add {folder} --base REF --seen FILE (docs/sharing.md).",
        )
    return Found(folder.name, folder, f"the folder {folder}", read_licence(folder))


def _tuned(folder: Path) -> Found:
    inner = folder / "model" if (folder / "model" / TUNED_FILE).exists() else folder
    if not (inner / TUNED_FILE).exists():
        raise BraindashError(
            f"Run {folder.name!r} has no tuned model.", "Wait until it is done, resume it, or name another run."
        )
    run = folder if inner != folder else (folder.parent if folder.name == "model" else folder)
    made = f"a tuned model in {folder}" if run == inner else f"tuned by the run {run.name}"
    return Found(run.name, inner, made, "", tuned=inner)


def _hub(ref: str, home: Home, may_fetch: bool) -> Found:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    # releases of huggingface_hub use different HTTP libraries; their errors are the base of its own
    transport_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])
    repo, _, revision = ref.partition("@")
    fetch = functools.partial(snapshot_download, repo, revision=revision or None, allow_patterns=list(HUB_FILES))
    try:
        folder = Path(fetch(local_files_only=True))
        if any(folder.glob("model*.safetensors")):
            return Found(ref, folder, f"the Hugging Face cache ({repo})", read_licence(folder))
    except (OSError, ValueError, HFValidationError):
        pass  # not in the cache: LocalEntryNotFoundError is an OSError
    if not may_fetch:
        raise BraindashError(f"Model {ref!r} is not on this machine.", "It is fetched when it is first used.")
    try:
        folder = Path(fetch(etag_timeout=10))
    except RepositoryNotFoundError:
        raise BraindashError(
            f"The hub has no model {repo!r} that you may read.", closest(repo, known_names(home))
        ) from None
    except (OSError, transport_error, HFValidationError) as error:
        raise BraindashError(
            f"Model {ref!r} is not in the local cache and the hub cannot be reached ({type(error).__name__}). "
            f"{closest(ref, known_names(home))}",
            "Copy the model's folder (config.json, preprocessor_config.json, model.safetensors) to this machine "
            "and give its path instead, or use the bundled whisper-tiny.en.",
        ) from None
    if not any(folder.glob("model*.safetensors")):
        raise BraindashError(
            f"{ref} has no safetensors on the hub, and braindash opens no other kind of weights.",
            f"Name a revision that has them ({repo}@REVISION, often a pull request's), or, where you trust the file, "
            "load it with transformers' from_pretrained, save_pretrained it into a folder and give that.",
        )
    return Found(ref, folder, f"the Hugging Face hub ({ref})", read_licence(folder))
