"""Settings of published studies, one YAML file each; every value there says where it is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindash.errors import BraindashError, closest

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the presets, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str) -> dict[str, Any]:
    """Return a preset as nested settings for :class:`braindash.config.TuneConfig`.

    ``model`` is a hub id that the paper used, there to be replaced; ``study`` is left
    to the user.

    Raises
    ------
    BraindashError
        For an unknown name; it offers the nearest.
    """
    import yaml

    if name not in names():
        raise BraindashError(f"There is no preset {name!r}.", closest(name, names()))
    settings: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return settings
