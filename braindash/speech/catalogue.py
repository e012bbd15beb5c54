"""What there is to choose from, told without loading any weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.speech import bundled
from braindash.speech.checkpoint import hash_weights, read_checkpoint
from braindash.speech.families import family_facts
from braindash.speech.pretraining import has_pretraining_head
from braindash.speech.references import Found, find_model, is_tuned


class SeenStories(BaseModel):
    """What one fine-tune saw of one study."""

    model_config = ConfigDict(frozen=True)

    model: str
    study: str
    stories: tuple[str, ...]
    subjects: tuple[str, ...] = ()


class ModelInfo(BaseModel):
    """One model, for people: what ``model show`` prints.

    ``n_layers`` counts transformer blocks; there are ``n_layers + 1`` hidden states.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["bundled", "hub", "folder", "tuned"]
    family: str
    n_layers: int
    width: int
    licence: str
    source: str
    folder: Path
    n_bytes: int
    weights_hash: str = ""
    pretraining_head: bool = False  # whether the checkpoint brings the head that it was pretrained with (wav2vec2)
    base: str = ""
    recipe: str = ""  # how it was tuned: lora, full, head
    reference: str = ""  # where it was published
    knowledge: str = ""  # of what it saw: listed, none (stated by hand), unknown
    seen: tuple[SeenStories, ...] = ()  # by it, then by the models that it was tuned from
    problem: str = ""  # why it cannot be opened; all else may then be empty


def describe(ref: str, home: str | Path | Home | None = None, *, fetch: bool = True) -> ModelInfo:
    """Say what a model is, what it saw, and where its weights are, without loading them.

    Without ``fetch`` nothing is looked for on the hub. The bundled model is unpacked where it
    has not been yet (seconds).

    Raises
    ------
    BraindashError
        As :func:`braindash.speech.open_model`.
    """
    where = home if isinstance(home, Home) else Home.resolve(home)
    return _describe(find_model(ref, where, fetch=fetch), where, fetch=fetch)


def _describe(found: Found, home: Home, depth: int = 0, *, fetch: bool = True) -> ModelInfo:
    if found.tuned is not None:
        from braindash.speech.tuned import MAX_DEPTH, hash_tuned, read_tuned_info, tuned_files

        info = read_tuned_info(found.folder)
        if depth > MAX_DEPTH:
            raise BraindashError(f"{found.folder} is tuned from itself.", "Correct 'base' in its braindash_model.json.")
        base = _describe(find_model(info["base"], home, fetch=fetch), home, depth + 1, fetch=fetch)
        drawn = info.get("base_random_seed") is not None  # the base's weights were replaced by random ones
        base_hash = str(info.get("base_weights_hash")) if drawn else base.weights_hash
        files = tuned_files(found.folder, info)
        return base.model_copy(
            update={
                "id": found.id,
                "kind": "tuned",
                "source": f"{found.source}, from {info['base']} ({base.source})",
                "folder": found.folder,
                "n_bytes": sum(f.stat().st_size for f in files),
                "weights_hash": hash_tuned(base_hash, found.folder, info),
                "base": info["base"],
                "recipe": str(info.get("recipe") or ""),
                "reference": str(info.get("reference") or ""),
                "licence": str(info.get("licence") or "") or base.licence,
                "knowledge": str(info.get("seen", "listed")),
                "seen": (*_seen(found.id, info), *base.seen),
            }
        )
    checkpoint = read_checkpoint(found.folder)
    family, layers_key = family_facts(checkpoint.model_type)
    config = checkpoint.config
    hub_like = "Hugging Face" in found.source and found.id != bundled.NAME
    return ModelInfo(
        id=found.id,
        kind="bundled" if found.id == bundled.NAME else "hub" if hub_like else "folder",
        family=family,
        n_layers=int(config.get(layers_key, 0)),
        width=int(config.get("d_model", config.get("hidden_size", 0))),
        licence=found.licence,
        source=found.source,
        folder=found.folder,
        n_bytes=checkpoint.n_bytes,
        weights_hash=hash_weights(checkpoint.files),
        pretraining_head=has_pretraining_head(checkpoint.files),
    )


def _seen(id: str, info: dict[str, Any]) -> list[SeenStories]:
    """Return what the card says that the model saw, and what its bases saw where the card brings that along."""
    stories = tuple(str(s) for part in (info.get("stories") or {}).values() for s in part)
    own = SeenStories(
        model=id,
        study=str(info.get("study") or ""),
        stories=stories,
        subjects=tuple(map(str, info.get("subjects") or ())),
    )
    inherited = [
        SeenStories(model=str(e.get("model")), study=str(e.get("study")), stories=tuple(e.get("stories") or ()))
        for e in info.get("inherited") or ()
    ]
    return [*([own] if stories else []), *inherited]


def list_models(home: str | Path | Home | None = None) -> list[ModelInfo]:
    """List the bundled model, those in ``home/models`` and the tuned ones of ``home/runs``.

    Nothing is fetched or unpacked, and a model that cannot be read is listed
    with its ``problem``.
    """
    where = home if isinstance(home, Home) else Home.resolve(home)
    names = [bundled.NAME] if (where.models / bundled.NAME).is_dir() else []
    names += [p.name for p in sorted(where.models.glob("*")) if p.is_dir() and p.name not in {bundled.NAME}]
    names = [n for n in names if not n.startswith(".")]
    names += [p.name for p in sorted(where.runs.glob("*")) if is_tuned(p)]
    infos = [] if bundled.NAME in names else [_bundled_unseen(where)]
    for name in names:
        try:
            infos.append(describe(name, where, fetch=False))
        except BraindashError as error:
            infos.append(_unreadable(name, where, str(error)))
    return infos


def _bundled_unseen(home: Home) -> ModelInfo:
    """Tell of the bundled model before its weights are unpacked."""
    return ModelInfo(
        id=bundled.NAME,
        kind="bundled",
        family="whisper",
        n_layers=4,
        width=384,
        licence=bundled.LICENCE,
        source=f"not unpacked yet; {bundled.FROM_PACKAGE} when first used",
        folder=home.models / bundled.NAME,
        n_bytes=0,
    )


def _unreadable(name: str, home: Home, problem: str) -> ModelInfo:
    folder = home.runs / name if (home.runs / name).is_dir() else home.models / name
    kind: Literal["tuned", "folder"] = "tuned" if (home.runs / name).is_dir() else "folder"
    return ModelInfo(
        id=name,
        kind=kind,
        family="",
        n_layers=0,
        width=0,
        licence="",
        source="",
        folder=folder,
        n_bytes=0,
        problem=problem,
    )
