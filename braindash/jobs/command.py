"""A configuration as a command line, and a command line as a configuration.

The form, the command line and Python share one `TuneConfig`; these two functions are
each other's inverse, and a test holds them to it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from braindash.config import TuneConfig, known_keys, validate
from braindash.errors import BraindashError, closest
from braindash.files import parse_yaml

# settings with an option of their own on `braindash tune`; all others go through --set
NAMED = (
    "study", "model", "recipe", "loss", "control", "subjects", "rois", "hemi", "mask", "layer", "seed", "device", "name"
)  # fmt: skip
LISTS = ("subjects", "rois")


def command_for(config: TuneConfig, home: Path | None = None) -> str:
    """Return the exact ``braindash tune …`` that would start ``config``, quoted for a POSIX shell.

    Parameters
    ----------
    config : TuneConfig
    home : Path, optional
        Named in the command when given.
    """
    words = ["braindash", "tune"]
    given = _differences(config)
    preset = _preset_of(config)
    if preset is not None:
        given = _differences(config, against=preset)
        words += ["--preset", config.preset]
    for key in NAMED:
        if key not in given:
            continue
        value = given[key]
        if key in LISTS:
            if not _fits_a_list(value):
                continue
            value = ",".join(value)
        if value is None:
            continue
        words += _option(f"--{key}", str(value))
        del given[key]
    for key, value in given.items():
        words += _option("--set", f"{key}={_yaml(value)}")
    if home is not None:
        words += _option("--home", str(home))
    return shlex.join(words)


def _option(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if value.startswith("-") or not value else [name, value]


def _fits_a_list(value: Any) -> bool:
    """Whether ``a,b,c`` says it: not for None, nothing, or names with commas or outer blanks."""
    return bool(value) and all(v and "," not in v and v == v.strip() for v in value)


def _yaml(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False
    )  # JSON is YAML, but for numbers such as 1e-05: read as text, then float


def _preset_of(config: TuneConfig) -> TuneConfig | None:
    """Return what the preset that ``config`` names gives alone; None where there is none (any more)."""
    if not config.preset:
        return None
    from braindash.tuning import presets

    try:
        data = presets.load(config.preset)
        return validate(TuneConfig, {"study": config.study, "model": config.model, **data, "preset": config.preset})
    except BraindashError:  # a label only: the settings are then written out
        return None


def _differences(config: BaseModel, prefix: str = "", against: BaseModel | None = None) -> dict[str, Any]:
    """Return ``dotted.key -> value`` of every setting that is not at its default, or not as in ``against``."""
    found: dict[str, Any] = {}
    dumped = config.model_dump(mode="json")
    for key, field in type(config).model_fields.items():
        value = getattr(config, key)
        usual = None if against is None else getattr(against, key)
        if isinstance(value, BaseModel):
            found |= _differences(value, f"{prefix}{key}.", usual)
        elif field.is_required() or value != (field.get_default() if against is None else usual):
            found[prefix + key] = dumped[key]
    return found


def build_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    named: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
) -> TuneConfig:
    """Build a configuration from a preset, a YAML file, the named options and ``KEY=VALUE``; the last wins.

    Parameters
    ----------
    preset : str, optional
        Settings of a published study (`braindash.tuning.presets`); its name is recorded.
    file : Path, optional
        A configuration file, such as a run's config.yaml.
    named : mapping
        Values by setting name; None means not given. `LISTS` may be comma-separated text.
    settings : sequence of str
        ``lora.rank=4``: dotted key, value as in YAML.

    Raises
    ------
    BraindashError
        For anything that is not a valid configuration, with the key and the value.
    """
    data: dict[str, Any] = {}
    if preset is not None:
        from braindash.tuning import presets

        data = presets.load(preset)
    if file:
        _merge(data, read_config_file(file))
    if preset is not None:
        data["preset"] = preset
    for key, value in (named or {}).items():
        if value is None:
            continue
        if key in LISTS and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        data[key] = value
    for setting in settings:
        _apply(data, setting)
    for key in ("study", "model"):
        if key not in data:
            raise BraindashError(f"No {key} is named.", f"Give --{key} ID (`braindash {key} list` shows them).")
    return validate(TuneConfig, data)


def _merge(data: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put ``over`` on top of ``data``, section by section."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(data.get(key), dict):
            _merge(data[key], value)
        else:
            data[key] = value


def parse_value(text: str) -> Any:
    """Return one value as YAML reads it; what YAML cannot read, and a bare on, off, yes or no, is text."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    # YAML 1.1 takes these words for truth values; settings such as gradient_checkpointing do not
    return text.strip() if isinstance(value, bool) and text.strip().lower() not in ("true", "false") else value


def _apply(data: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not key:
        raise BraindashError(f"--set {setting!r} is not KEY=VALUE.", "Write for example --set lora.rank=4.")
    value = parse_value(text)
    *sections, last = key.split(".")
    here = data
    for depth, section in enumerate(sections):
        inner = here.setdefault(section, {})
        if not isinstance(inner, dict):
            raise BraindashError(
                f"--set {setting!r}: {'.'.join(sections[: depth + 1])} has no settings in it.", _known()
            )
        here = inner
    field = TuneConfig.model_fields.get(sections[0] if sections else last)
    if field is None:
        wrong = sections[0] if sections else last
        raise BraindashError(
            f"--set {setting!r}: there is no setting {wrong!r}.", closest(wrong, known_keys(TuneConfig))
        )
    if not sections and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        keys = ", ".join(f"{last}.{k}" for k in field.annotation.model_fields)
        raise BraindashError(f"--set {setting!r}: {last} is a section.", f"Set one of {keys}.")
    here[last] = value


def _known() -> str:
    return f"Known: {', '.join(known_keys(TuneConfig))}."


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a YAML configuration as a mapping. Raises BraindashError with the line where it is not YAML."""
    import yaml

    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BraindashError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from None
    except UnicodeDecodeError:
        raise BraindashError(f"{path} is not text in UTF-8.", "Give a YAML file.") from None
    except ValueError as error:
        raise BraindashError(f"{path} cannot be read: {error}.", "Write one `key: value` a line.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BraindashError(
            f"{path}{where} is not YAML: {getattr(error, 'problem', None) or error}.", "Correct that line."
        ) from None
    if not isinstance(data, dict):
        raise BraindashError(
            f"{path} does not hold settings.", "Write one `key: value` a line, as in a run's config.yaml."
        )
    return data
