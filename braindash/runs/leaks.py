"""What a tuned model has seen, and the refusal to test it on that.

A story is known by its recording, not only by its name: the same audio added as another
study, or under another name, is still the story that the model was tuned on. Of a model tuned
elsewhere, a story without a recording's hash is known by its name in any study.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.config import Home
from braindash.errors import BraindashError, LeakageError
from braindash.files import read_json
from braindash.speech.references import TUNED_FILE
from braindash.speech.seen import ELSEWHERE, SEEN_FILE, SeenFile, read_seen

if TYPE_CHECKING:
    from braindash.probing.base import Corpus
    from braindash.studies.base import Study


@dataclass(frozen=True)
class Seen:
    """Stories that one fine-tune was tuned or chosen on."""

    model: str
    study: str
    stories: tuple[str, ...]
    audio: dict[str, str]  # story -> hash of its recording; {} where it was not recorded
    by_name: bool = False  # tuned elsewhere: its study may go by another name here
    knowledge: str = "listed"  # listed, none (stated by hand: it has seen nothing), unknown

    def leaked(self, study: Study, recordings: Callable[[], dict[str, str]]) -> set[str]:
        """Return the test stories of ``study`` that are among these."""
        tests = set(study.split.test)
        found = set(self.stories) & tests if self.study == study.id else set()
        if self.by_name:
            found |= {s for s in self.stories if s not in self.audio} & tests
        if self.audio:
            known = set(self.audio.values())
            # a story that is a segment of a recording is known by the hash of the whole, too
            found |= {s for s, key in recordings().items() if key in known or key.partition("[")[0] in known}
        return found


def stories_seen(ref: str, home: Home) -> list[Seen]:
    """Return what a tuned model has seen, and the tuned models that it was tuned from.

    Parameters
    ----------
    ref : str
        A run id, a run's folder, a model of the home or a model folder; anything else has seen
        nothing that braindash knows of.
    """
    seen: list[Seen] = []
    visited: set[Path] = set()
    while (card := _card(ref, home)) is not None and card not in visited:
        visited.add(card)
        try:
            if card.name == SEEN_FILE:  # a model folder with whole weights, used where it lies
                seen.append(_stated(ref, read_seen(card)))
                break
            about = read_json(card)
            seen.append(_seen(ref, about))
            # what its bases saw, written down when it was shared: they need not be here
            seen += [_inherited(entry) for entry in about.get("inherited") or ()]
        except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
            raise BraindashError(
                f"What the model {ref} has seen cannot be read from {card} ({error}).",
                "Restore the file: without it, testing the model could use a story that it was tuned on.",
            ) from None
        ref = str(about.get("base", ""))
    return seen


def _seen(ref: str, about: dict[str, Any]) -> Seen:
    stories = tuple(s for part in (about.get("stories") or {}).values() for s in part)
    knowledge = str(about.get("seen", "listed"))
    elsewhere = about.get("origin") == ELSEWHERE
    return Seen(
        str(about.get("name") or ref),
        str(about.get("study", "")),
        stories,
        dict(about.get("audio") or {}),
        elsewhere,
        knowledge,
    )


def _stated(ref: str, file: SeenFile) -> Seen:
    return Seen(ref, file.study, file.all_stories, dict(file.audio), by_name=True)


def _inherited(entry: dict[str, Any]) -> Seen:
    return Seen(
        str(entry["model"]),
        str(entry["study"]),
        tuple(map(str, entry["stories"])),
        {str(k): str(v) for k, v in entry["audio"].items()},
        bool(entry.get("by_name")),
        str(entry.get("knowledge", "listed")),
    )


def refuse_leaks(study: Study, refs: Iterable[str], home: Home) -> None:
    """Raise LeakageError, naming the stories, if a model has seen what ``study`` tests on.

    A model of which nobody said what it saw is refused as well.

    Parameters
    ----------
    study : Study
    refs : model references, as for `braindash.open_model`
    """
    recordings = functools.cache(lambda: _recordings(study))
    for ref in refs:
        for seen in stories_seen(ref, home):
            if seen.knowledge == "unknown":
                raise LeakageError(
                    f"Which stories the model {seen.model} has seen is not known, so none may be tested on.",
                    f"Say it: braindash model add {seen.model} --seen FILE (docs/sharing.md), "
                    "or --seen none if it has seen no story of yours.",
                )
            if leaked := seen.leaked(study, recordings):
                raise LeakageError(
                    f"The model {ref} was tuned or chosen on {', '.join(sorted(leaked))}, "
                    f"which study {study.id!r} tests on.",
                    "Test on other stories, or start from a model that has not heard them.",
                )


def seen_caveats(refs: Iterable[str], home: Home) -> list[str]:
    """Return what readers of results must know: what a model saw was stated by hand, not recorded here."""
    said = []
    for ref in refs:
        for seen in stories_seen(ref, home):
            if seen.knowledge == "none":
                said.append(
                    f"The model {seen.model} was tuned elsewhere. That it has seen none of these stories was stated "
                    "by whoever added it; braindash cannot check it."
                )
            elif seen.by_name:
                how = "recordings" if set(seen.stories) <= set(seen.audio) else "names"
                said.append(
                    f"The model {seen.model} was tuned elsewhere. The {len(seen.stories)} stories that it saw are "
                    f"those that its file lists, compared by their {how}."
                )
    return list(dict.fromkeys(said))


def without_heard(corpus: Corpus, refs: Iterable[str], home: Home) -> Corpus:
    """Return a corpus whose recordings that a model was tuned or chosen on are not scored, and that says so.

    A recording is known by the bytes of its file: also a part of a file that was heard, or the same under
    another name. Probes may still learn from it.

    Raises
    ------
    LeakageError
        Where nothing is left to score.
    """
    heard = {key.partition("[")[0]: seen.model for ref in refs for seen in stories_seen(ref, home)
             for key in seen.audio.values()}  # fmt: skip
    if not heard:
        return corpus
    hashes = {file: _hash(file) for file in {r.file for r in corpus.recordings if r.scored and r.file is not None}}
    leaked = [r for r in corpus.recordings if r.scored and r.file is not None and hashes[r.file] in heard]
    if not leaked:
        return corpus
    models = ", ".join(sorted({heard[hashes[r.file]] for r in leaked if r.file is not None}))
    names = {r.name for r in leaked}
    kept = tuple(replace(r, scored=False) if r.name in names else r for r in corpus.recordings)
    if not any(r.scored for r in kept):
        raise LeakageError(
            f"All {len(leaked)} recordings of {corpus.title} that would be scored were heard in tuning {models}.",
            "Use recordings that the models have not heard.",
        )
    said = f"{len(leaked)} of {len(kept)} recordings were heard in tuning {models}: probes are not scored on them."
    return replace(corpus, recordings=kept, caveats=(*corpus.caveats, said))


def _hash(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _recordings(study: Study) -> dict[str, str]:
    from braindash.features.store import audio_key

    return {s: audio_key(study, s) for s in study.split.test if s in study.stories}


def _card(ref: str, home: Home) -> Path | None:
    if not ref:
        return None
    path = Path(ref).expanduser()
    for folder in (home.runs / ref / "model", home.models / ref, path / "model", path):
        for name in (TUNED_FILE, SEEN_FILE):
            if (folder / name).is_file():
                return (folder / name).resolve()
    return None
