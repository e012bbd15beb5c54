"""What a tuned model has seen, and the refusal to test it on that.

A story is known by its recording, not only by its name: the same audio added as another
study, or under another name, is still the story that the model was tuned on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.config import Home
from braindash.errors import BraindashError, LeakageError

if TYPE_CHECKING:
    from braindash.studies.base import Study


@dataclass(frozen=True)
class Seen:
    """Stories that one fine-tune was tuned or chosen on."""

    model: str
    study: str
    stories: tuple[str, ...]
    audio: dict[str, str]  # story -> hash of its recording; {} where it was not recorded


def stories_seen(ref: str, home: Home) -> list[Seen]:
    """Return what a tuned model has seen, and the tuned models that it was tuned from.

    Parameters
    ----------
    ref : str
        A run id, a run's folder or a model folder; anything else has seen nothing that
        braindash knows of.
    """
    seen: list[Seen] = []
    visited: set[Path] = set()
    while (card := _card(ref, home)) is not None and card not in visited:
        visited.add(card)
        try:
            about = json.loads(card.read_text(encoding="utf-8"))
            stories = tuple(s for part in (about.get("stories") or {}).values() for s in part)
            seen.append(Seen(ref, str(about.get("study", "")), stories, dict(about.get("audio") or {})))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise BraindashError(
                f"What the model {ref} has seen cannot be read from {card} ({error}).",
                "Restore the file: without it, testing the model could use a story that it was tuned on.",
            ) from None
        ref = str(about.get("base", ""))
    return seen


def refuse_leaks(study: Study, refs: Iterable[str], home: Home) -> None:
    """Raise LeakageError, naming the stories, if a model has seen what ``study`` tests on.

    Parameters
    ----------
    study : Study
    refs : model references, as for `braindash.open_model`
    """
    tests = study.split.test
    recordings: dict[str, str] | None = None
    for ref in refs:
        for seen in stories_seen(ref, home):
            leaked = set(seen.stories) & set(tests) if seen.study == study.id else set()
            if seen.audio:
                if recordings is None:
                    recordings = _recordings(study)
                known = set(seen.audio.values())
                leaked |= {story for story, key in recordings.items() if key in known}
            if leaked:
                raise LeakageError(
                    f"The model {ref} was tuned or chosen on {', '.join(sorted(leaked))}, "
                    f"which study {study.id!r} tests on.",
                    "Test on other stories, or start from a model that has not heard them.",
                )


def _recordings(study: Study) -> dict[str, str]:
    from braindash.features.store import audio_key

    return {s: audio_key(study, s) for s in study.split.test if s in study.stories}


def _card(ref: str, home: Home) -> Path | None:
    if not ref:
        return None
    for folder in (home.runs / ref / "model", Path(ref) / "model", Path(ref)):
        card = folder / "braindash_model.json"
        if card.is_file():
            return card.resolve()
    return None
