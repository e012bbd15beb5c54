"""The families of speech encoders. A further one is a file here and a line at the foot."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel

FAMILIES: dict[str, str] = {}  # model_type in config.json -> "module:class"


def register_family(name: str, where: str) -> None:
    """Add a family.

    Parameters
    ----------
    name : str
        The ``model_type`` that its checkpoints carry in config.json.
    where : str
        "module:class" of a SpeechModel subclass; imported on first use.

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


register_family("wav2vec2", "braindash.speech.families.wav2vec2:Wav2Vec2")
register_family("hubert", "braindash.speech.families.hubert:Hubert")
register_family("wavlm", "braindash.speech.families.wavlm:WavLM")
register_family("data2vec-audio", "braindash.speech.families.data2vec_audio:Data2VecAudio")
register_family("whisper", "braindash.speech.families.whisper:Whisper")
register_family("moonshine", "braindash.speech.families.moonshine:Moonshine")
