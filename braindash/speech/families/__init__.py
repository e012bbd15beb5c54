"""The families of speech encoders. A further one is a file here and a line at the foot."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel

FAMILIES: dict[str, str] = {}  # model_type in config.json -> "module:class"
LAYERS_KEYS: dict[str, str] = {}  # model_type -> where config.json counts the blocks, of families that told it


def register_family(name: str, where: str, *, layers_key: str | None = None) -> None:
    """Add a family.

    Parameters
    ----------
    name : str
        The ``model_type`` that its checkpoints carry in config.json.
    where : str
        "module:class" of a SpeechModel subclass; imported on first use.
    layers_key : str, optional
        The class's ``layers_key``. Where it is told, models of the family, which is then called ``name``, are
        listed without importing the class, and torch with it.

    Raises
    ------
    ValueError
        If the name is taken or malformed, or ``where`` is not of that form.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise ValueError(f"a family's name is a model_type in lower case; got {name!r}")
    if name in FAMILIES:
        raise ValueError(f"family {name!r} is already registered as {FAMILIES[name]}")
    if not re.fullmatch(r"[\w.]+:\w+", where):
        raise ValueError(f"where must be 'module:class'; got {where!r}")
    FAMILIES[name] = where
    if layers_key is not None:
        LAYERS_KEYS[name] = layers_key


def family_facts(name: str) -> tuple[str, str]:
    """Return what a family is called, and the key under which its config.json counts the blocks.

    Raises
    ------
    BraindashError
        If no such family is registered.
    """
    if name in LAYERS_KEYS:
        return name, LAYERS_KEYS[name]
    known = family_class(name)
    return known.family, known.layers_key


def family_class(name: str) -> type[SpeechModel]:
    """Import and return the class of a family.

    Raises
    ------
    BraindashError
        If no such family is registered.
    """
    if name not in FAMILIES:
        raise BraindashError(
            f"The model's config.json says model_type {name!r}, which braindash does not know as a speech encoder.",
            closest(name, FAMILIES),
        )
    module, _, attribute = FAMILIES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


register_family("wav2vec2", "braindash.speech.families.wav2vec2:Wav2Vec2", layers_key="num_hidden_layers")
register_family("hubert", "braindash.speech.families.hubert:Hubert", layers_key="num_hidden_layers")
register_family("wavlm", "braindash.speech.families.wavlm:WavLM", layers_key="num_hidden_layers")
register_family(
    "data2vec-audio", "braindash.speech.families.data2vec_audio:Data2VecAudio", layers_key="num_hidden_layers"
)
register_family("whisper", "braindash.speech.families.whisper:Whisper", layers_key="encoder_layers")
register_family("moonshine", "braindash.speech.families.moonshine:Moonshine", layers_key="encoder_num_hidden_layers")
