"""Kinds of study, by name. A kind is imported when a study of it is first opened."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Protocol

from braindash.errors import BraindashError, closest
from braindash.studies.base import Study


class Opener(Protocol):
    """Open the study at ``path``; headers only, so that it is quick."""

    def __call__(
        self,
        path: Path,
        id: str | None,
        *,
        subjects: tuple[str, ...] | None = None,
        stories: tuple[str, ...] | None = None,
        config: dict[str, Any] | None = None,
    ) -> Study: ...


KINDS: dict[str, str] = {}

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def register_kind(name: str, reference: str) -> None:
    """Make a study kind known.

    Parameters
    ----------
    name : str
        What users write: lower-case letters, digits and _.
    reference : str
        ``"module:function"`` of an ``Opener``; imported at first use.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"study kind {name!r}: use lower-case letters, digits and _")
    if not _REFERENCE.fullmatch(reference):
        raise ValueError(f"study kind {name!r}: {reference!r} is not 'module:function'")
    if KINDS.get(name, reference) != reference:
        raise ValueError(f"study kind {name!r} is already registered as {KINDS[name]!r}")
    KINDS[name] = reference


def opener(kind: str) -> Opener:
    """Return the function that opens studies of ``kind``; an unknown kind is offered the closest names."""
    if kind not in KINDS:
        raise BraindashError(f"There is no study kind {kind!r}.", closest(kind, KINDS))
    module, function = KINDS[kind].split(":")
    found: Opener = getattr(importlib.import_module(module), function)
    return found


register_kind("table", "braindash.studies.table:open_table")
register_kind("electrodes", "braindash.studies.electrodes:open_electrodes")
register_kind("lebel2023", "braindash.studies.lebel2023:open_lebel2023")
register_kind("demo", "braindash.demo.study:open_demo")
