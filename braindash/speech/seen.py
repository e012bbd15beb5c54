"""``braindash_seen.yaml``: what a model that was tuned elsewhere has seen, in its makers' words.

::

    braindash: 1
    base: facebook/wav2vec2-base        # the pretrained model
    study: lebel2023
    stories: [alternateithicatom, avatar]   # everything tuned, chosen or fitted on
    audio: {avatar: 4f0c…}              # optional: SHA-256 of the recording
    subjects: [UTS03]
    licence: cc-by-4.0
    reference: "Doe et al., 2025, doi:…"
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from braindash.config import validate
from braindash.errors import BraindashError
from braindash.files import parse_yaml

SEEN_FILE = "braindash_seen.yaml"
ELSEWHERE = "elsewhere"  # the card's ``origin`` where braindash did not tune the model
MAX_BYTES = 4 * 10**6
_HASH = re.compile(r"[0-9a-f]{64}(?:\[[^\]]{1,60}\])?")
Name = Annotated[str, Field(min_length=1, max_length=300)]


class SeenFile(BaseModel):
    """The contents of ``braindash_seen.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    braindash: int = Field(1, ge=1, le=1)
    base: str = Field("", max_length=500)
    study: str = Field("", max_length=300)
    stories: tuple[Name, ...] = ()
    audio: dict[Name, str] = Field(default_factory=dict)
    subjects: tuple[Name, ...] = ()
    licence: str = Field("", max_length=300)
    reference: str = Field("", max_length=2000)
    none: bool = False  # stated on purpose: it has seen no story of any study here

    @field_validator("stories", "subjects", mode="before")
    @classmethod
    def _texts(cls, v: Any) -> Any:
        """Take 01 and 1 for names: YAML reads them as numbers."""
        return tuple(str(x) if isinstance(x, int | float) else x for x in v) if isinstance(v, list | tuple) else v

    @field_validator("audio")
    @classmethod
    def _hashes(cls, v: dict[str, str]) -> dict[str, str]:
        for story, key in v.items():
            if not _HASH.fullmatch(key):
                raise ValueError(f"{story}: give the SHA-256 of its audio file, 64 lower-case hexadecimal digits")
        return v

    @model_validator(mode="after")
    def _says_something(self) -> SeenFile:
        if not self.none and not self.stories and not self.audio:
            raise ValueError("name the stories that the model saw (stories: [...]), or give --seen none on purpose")
        return self

    @property
    def all_stories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.stories, *self.audio)))


def read_seen(path: Path) -> SeenFile:
    """Read a ``braindash_seen.yaml``.

    Raises
    ------
    BraindashError
        If it is missing, is not plain YAML, or does not follow the contract (docs/sharing.md).
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BraindashError(f"{path} has {path.stat().st_size:,} bytes.", "List the stories by name.")
        text = path.read_text(encoding="utf-8")
        refuse_aliases(text, path)
        data = parse_yaml(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BraindashError(
            f"{path} cannot be read ({error}).", "Name the file that says what the model saw."
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise BraindashError(
            f"{path} is not YAML ({' '.join(str(error).split())[:200]}).", "docs/sharing.md shows how it is written."
        ) from None
    if not isinstance(data, dict):
        raise BraindashError(f"{path} does not hold settings.", "docs/sharing.md shows how it is written.")
    data.pop("none", None)  # only the command line can state that
    return validate(SeenFile, data, str(path))


def refuse_aliases(text: str, path: Path) -> None:
    """Refuse YAML with aliases: a few lines of them can stand for more than any memory holds."""
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        raise BraindashError(f"{path} uses YAML aliases (*name).", "Write the values out.")
