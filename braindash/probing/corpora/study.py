"""The study's own stories as a corpus: nothing else is needed."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Recording
from braindash.probing.corpora.choosing import shown

if TYPE_CHECKING:
    from braindash.config import Home
    from braindash.studies.base import Part, Story, Study

_VOICE = "The study is simulated, and its voice may be synthetic: what probes find need not hold for natural speech."


def open_study_corpus(
    id: str,
    *,
    home: Home | str | os.PathLike[str] | None = None,
    max_minutes: float | None = None,
    subject: str | None = None,
) -> Corpus:
    """Open the stories of a study that was added to ``home``, by its id."""
    from braindash.studies import open_study

    return study_corpus(open_study(id, home), max_minutes=max_minutes, subject=subject)


def study_corpus(
    study: Study,
    *,
    max_minutes: float | None = None,
    subject: str | None = None,
    vectors: str | os.PathLike[str] | None = None,
) -> Corpus:
    """Return the stories of a study as recordings, one group a story.

    Test stories are scored. Probes may learn from the others, but are not scored on them: tuning
    has heard them.

    Parameters
    ----------
    study : Study
    max_minutes : float, optional
        Test stories first, then tune and validation stories, in the order of the study, as they fit.
    subject : str, optional
        Only stories that this subject heard.
    vectors : path, optional
        Static word vectors; by default those that come with the study, if any do.

    Raises
    ------
    BraindashError
        No test story (that the subject heard), or vectors that cannot be read.
    """
    from braindash.probing.corpora import with_vectors
    from braindash.studies.files import is_placeholder

    if subject is not None:
        study.check_subject(subject)
    parts: tuple[Part, ...] = ("test", "tune", "validation")
    stories = [study.story(name) for part in parts for name in study.stories_of(part, subject)]
    silent = [s.name for s in stories if is_placeholder(s.audio)]
    usable = [s for s in stories if s.name not in silent]
    kept = {s.name for s in _within(usable, max_minutes)}
    chosen = [s for s in study.stories.values() if s.name in kept]
    if not any(s.part == "test" for s in chosen):
        who = f" that {subject} heard" if subject else ""
        raise BraindashError(
            f"Study {study.id!r} has no test story{who} with its sound, so no probe could be scored.",
            "Make a story a test story, or give another corpus.",
        )
    caveats = list(study.caveats)
    if study.simulated and not any("voice" in c.lower() for c in caveats):
        caveats.append(_VOICE)
    if silent:
        caveats.append(f"{len(silent)} of {len(stories)} stories lack their sound and are left out: {shown(silent)}.")
    if len(chosen) < len(usable):
        caveats.append(_left_out(usable, chosen, max_minutes or 0.0))
    without = [s.name for s in chosen if s.words is None and s.phones is None]
    if without and len(without) < len(chosen):
        caveats.append(f"{len(without)} of {len(chosen)} stories have no words or phones: {shown(without)}.")
    recordings = tuple(
        Recording(
            name=s.name,
            load=functools.partial(study.audio, s.name),
            duration=s.duration,
            group=s.name,
            scored=s.part == "test",
            words=s.words,
            phones=s.phones,
        )
        for s in chosen
    )
    corpus = Corpus(study.id, study.title, "study", recordings, "story", caveats=tuple(caveats))
    if vectors is not None:
        return with_vectors(corpus, Path(vectors).expanduser())
    if study.word_vectors is None or all(r.words is None for r in recordings):
        return corpus
    return with_vectors(corpus, study.word_vectors, f"word vectors of the study ({study.word_vectors.name})")


def _within(stories: list[Story], max_minutes: float | None) -> list[Story]:
    """Keep stories in their order as they fit; the first always, since none would be no corpus."""
    if max_minutes is None:
        return stories
    chosen: list[Story] = []
    seconds = 0.0
    for s in stories:
        if not chosen or seconds + s.duration <= max_minutes * 60:
            chosen.append(s)
            seconds += s.duration
    return chosen


def _left_out(usable: list[Story], chosen: list[Story], max_minutes: float) -> str:
    names = {s.name for s in chosen}
    left = [s for s in usable if s.name not in names]
    of_part = [(p, sum(s.part == p for s in left)) for p in ("test", "tune", "validation")]
    what = ", ".join(f"{n} {p}" for p, n in of_part if n)
    return (
        f"{len(left)} of {len(usable)} stories ({what}) are left out to stay within {max_minutes:g} minutes; "
        f"{sum(s.duration for s in chosen) / 60:.1f} minutes are used."
    )
