"""``study.yaml`` of a table study: its keys, and mistakes reported by line and key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from braindash.config import known_keys
from braindash.errors import BraindashError, closest
from braindash.files import parse_yaml
from braindash.studies.files import require_file
from braindash.studies.responses import FORMATS, HDF5, split_reference

FILE_NAME = "study.yaml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Seconds = Annotated[float, Field(allow_inf_nan=False)]


def _known_formats(files: str | list[str]) -> str | list[str]:
    if not files:
        raise ValueError("name at least one file")
    for reference in [files] if isinstance(files, str) else files:
        name, dataset = split_reference(reference)
        suffix = Path(name).suffix.lower()
        if suffix not in FORMATS:
            raise ValueError(f"{reference!r} is none of {', '.join(FORMATS)}")
        if suffix in HDF5 and not dataset:
            raise ValueError(f"{reference!r} needs its dataset: {reference}:NAME")
    return files


def _plain(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 100:
        raise ValueError("use letters, digits, . - and _ (at most 100)")
    return name


SubjectName = Annotated[StrictStr, AfterValidator(_plain)]
Files = Annotated[StrictStr | list[StrictStr], AfterValidator(_known_formats)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PycortexSpec(_Spec):
    """A pycortex transform whose mask the targets fill in order.

    ``subject`` and ``transform`` are one name for all, or a mapping from the study's subjects.
    """

    pycortex: StrictStr = Field(description="The filestore: the folder of pycortex subjects.")
    subject: StrictStr | dict[StrictStr, StrictStr]
    transform: StrictStr | dict[StrictStr, StrictStr]
    mask: StrictStr = Field(default="thick", description="Name of the mask: mask_NAME.nii.gz.")


class TiersSpec(_Spec):
    """Names of the TextGrid tiers, where they are not words and phones."""

    words: StrictStr | None = None
    phones: StrictStr | None = None


class StorySpec(_Spec):
    """One story, or one segment of an audio file."""

    name: Annotated[StrictStr, AfterValidator(_plain)]
    audio: StrictStr
    split: Literal["tune", "validation", "test"]
    responses: dict[SubjectName, Files] = Field(min_length=1)
    textgrid: StrictStr | None = None
    words: StrictStr | None = None
    start: Seconds | None = Field(default=None, ge=0)
    stop: Seconds | None = Field(default=None, gt=0)
    first_row: Seconds | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.textgrid and self.words:
            raise ValueError("give textgrid or words, not both")
        if self.stop is not None and self.stop <= (self.start or 0.0):
            raise ValueError(f"stop ({self.stop:g} s) must lie after start ({self.start or 0:g} s)")
        return self


class StudySpec(_Spec):
    """What a ``study.yaml`` holds whatever the kind."""

    braindash: Literal[1]
    id: StrictStr
    title: StrictStr = ""
    first_row: Seconds | None = None
    cortex: Literal["none", "fs_LR-32k", "fsaverage5"] | PycortexSpec = "none"
    targets: StrictStr | dict[StrictStr, StrictStr] | None = None
    ignore_columns: list[StrictStr] = []
    tiers: TiersSpec = TiersSpec()
    caveats: list[StrictStr] = []
    stories: list[StorySpec] = Field(min_length=1)

    @field_validator("id")
    @classmethod
    def _plain(cls, v: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", v):
            raise ValueError("use letters, digits, - and _ (at most 100)")
        return v

    @field_validator("caveats")
    @classmethod
    def _sentences(cls, v: list[str]) -> list[str]:
        if any(not c.strip() for c in v):
            raise ValueError("a caveat is empty")
        return v


class TableSpec(StudySpec):
    """A whole ``study.yaml`` of kind ``table``."""

    kind: Literal["table"]
    signal: Literal["bold", "electrodes"] = "bold"
    tr: Seconds = Field(gt=0, le=60)


class ElectrodesSpec(StudySpec):
    """A whole ``study.yaml`` of kind ``electrodes``."""

    kind: Literal["electrodes"]
    signal: Literal["electrodes"] = "electrodes"
    rate: Seconds = Field(ge=10, le=1000, description="Rows a second.")

    @property
    def tr(self) -> float:
        """Seconds from row to row."""
        return 1 / self.rate


S = TypeVar("S", TableSpec, ElectrodesSpec)


def find_yaml(path: Path) -> Path:
    """Return the YAML file of a table study given as its folder or as the file."""
    if path.is_dir():
        if not (path / FILE_NAME).exists():
            others = sorted(p.name for p in path.glob("*.y*ml"))
            hint = f" It has {', '.join(others)}: name that file." if others else ""
            raise BraindashError(
                f"The folder {path} has no {FILE_NAME}.{hint}",
                f"`braindash study add table --init {path}` writes an example (or electrodes for table).",
            )
        return path / FILE_NAME
    return require_file(path, "study file")


def read_spec(file: Path, kind: type[S]) -> S:
    """Read and validate a ``study.yaml`` as ``kind``.

    Raises
    ------
    BraindashError
        Every mistake with its line and key, the first first.
    """
    require_file(file, "study file")
    try:
        text = file.read_text(encoding="utf-8-sig")
        data = parse_yaml(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _refuse_twice(file, root)
    except UnicodeDecodeError as error:
        raise BraindashError(f"{file} is not UTF-8 text ({error.reason}).", "Save it as UTF-8.") from None
    except ValueError as error:
        raise BraindashError(f"{file} cannot be read: {error}.", "Write plain YAML, without anchors.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BraindashError(f"{file}{where}: not valid YAML ({problem}).", "Correct that line.") from None
    if root is None or not isinstance(data, dict):
        raise BraindashError(
            f"{file} is empty or no mapping of keys to values.",
            "`braindash study add table --init DIR` writes an example.",
        )
    try:
        spec = kind.model_validate(data)
    except ValidationError as error:
        problems = sorted(set(_problems(root, error, kind)))
        raise BraindashError(
            "; ".join(f"{file.name}, line {line}, key {key}: {what}" for line, key, what in problems[:5])
            + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
            + ".",
            f"Correct {file}; docs/data-contract.md explains every key.",
        ) from None
    first: dict[str, int] = {}
    for i, story in enumerate(spec.stories):
        line = line_of(root, ("stories", i, "name"))
        if story.name in first:
            raise BraindashError(
                f"{file.name}, line {line}, key stories[{i}].name: the name {story.name!r} is already used in line "
                f"{first[story.name]}.",
                "Give every story a name of its own.",
            )
        first[story.name] = line
    return spec


def line_of(node: yaml.Node, path: tuple[Any, ...]) -> int:
    """Return the line (from 1) of the value at ``path``, or of the deepest part of it that exists."""
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                continue  # a name of pydantic's (a union's member), not a key
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _problems(root: yaml.Node, error: ValidationError, kind: type[StudySpec]) -> Iterator[tuple[int, str, str]]:
    for e in error.errors():
        loc = e["loc"]
        key = _key(root, loc)
        message = e["msg"].removeprefix("Value error, ").rstrip(".")
        if e["type"] == "extra_forbidden":
            message = "unknown key. " + closest(str(loc[-1]).lower(), _keys_at(loc[:-1], kind)).rstrip(".")
        elif e["type"] == "missing":
            message = "is missing"
        elif e["type"] == "string_type" and isinstance(e["input"], (int, float)):
            message = f"is read as {e['input']!r}, a number or yes/no; put it into quotes"
        elif e["type"] != "value_error" or not isinstance(e["input"], (dict, list)):
            message += f" (got {e['input']!r})"
        yield line_of(root, loc), key, message


def _keys_at(loc: tuple[Any, ...], kind: type[StudySpec]) -> list[str]:
    if loc[:1] == ("stories",):
        return known_keys(StorySpec)
    if loc[:1] == ("cortex",):
        return known_keys(PycortexSpec)
    if loc[:1] == ("tiers",):
        return known_keys(TiersSpec)
    return known_keys(kind)


def _key(root: yaml.Node, loc: tuple[Any, ...]) -> str:
    """Write a pydantic location as a key that the user can find: stories[0].split."""
    out = ""
    node: yaml.Node | None = root
    for i, part in enumerate(loc):
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            out, node = f"{out}[{part}]", node.value[part]
        elif isinstance(node, yaml.MappingNode):
            found = next((v for k, v in node.value if k.value == str(part)), None)
            # What is missing is named; other parts that the file does not have are pydantic's own.
            if found is not None or i == len(loc) - 1:
                out, node = f"{out}.{part}" if out else str(part), found
    return out


def _refuse_twice(file: Path, node: yaml.Node, prefix: str = "") -> None:
    """YAML lets a later key silently replace an earlier one; that is a mistake here."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen:
                raise BraindashError(
                    f"{file.name}, line {line}, key {prefix}{name}: given twice, first in line {seen[name]}.",
                    "Remove one of them.",
                )
            seen[name] = line
            _refuse_twice(file, value, f"{prefix}{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _refuse_twice(file, value, f"{prefix.removesuffix('.')}[{i}].")
