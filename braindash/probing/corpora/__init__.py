"""Corpora to probe with, by the layout of their folder. A layout is imported when one is first opened."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from braindash.errors import BraindashError, closest
from braindash.probing.base import Corpus
from braindash.probing.corpora.study import study_corpus

__all__ = ["CORPORA", "guess_kind", "open_corpus", "parse_corpus", "register_corpus", "study_corpus", "with_vectors"]

CORPORA: dict[str, str] = {}

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_STUDY = "study"  # named by its id, not by a path


def register_corpus(kind: str, where: str) -> None:
    """Make a layout known.

    Parameters
    ----------
    kind : str
        What users write before the colon: lower-case letters, digits and _.
    where : str
        ``"module:function"``. The function is called with the path and keyword options and returns
        a Corpus; its module may have ``recognise(path) -> bool``, which lets a path be given alone.

    Raises
    ------
    ValueError
        A malformed kind or reference, or a kind that is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]+", kind):
        raise ValueError(f"corpus kind {kind!r}: use lower-case letters, digits and _")
    if not _REFERENCE.fullmatch(where):
        raise ValueError(f"corpus kind {kind!r}: {where!r} is not 'module:function'")
    if CORPORA.get(kind, where) != where:
        raise ValueError(f"corpus kind {kind!r} is already registered as {CORPORA[kind]!r}")
    CORPORA[kind] = where


def open_corpus(
    kind: str, path: str | os.PathLike[str], *, vectors: str | os.PathLike[str] | None = None, **options: Any
) -> Corpus:
    """Open a corpus; headers, labels and annotations are read, sound is not.

    Parameters
    ----------
    kind : str
        A registered layout.
    path : path
        Its folder or file; for ``study`` the id of a study.
    vectors : path, optional
        Static word vectors (:func:`braindash.encoding.spaces.read_vectors`) of the words that are said.
    **options
        Of the layout. All but ``study`` take ``max_minutes``, 60 unless given; None takes everything.

    Raises
    ------
    BraindashError
        Unknown kind or option, nothing at the path, another layout than expected, no readable sound.
    """
    module, function = _layout(kind)
    opener: Callable[..., Corpus] = getattr(module, function)
    known = [p.name for p in inspect.signature(opener).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise BraindashError(f"A corpus of kind {kind!r} has no option {name!r}.", closest(name, known))
    minutes = options.get("max_minutes")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise BraindashError(f"A corpus cannot be limited to {minutes:g} minutes.", "Give a number above 0.")
    if kind == _STUDY:
        corpus = opener(str(path), **options)
    else:
        corpus = opener(_existing(Path(path).expanduser()), **options)
    return with_vectors(corpus, Path(vectors).expanduser()) if vectors is not None else corpus


def parse_corpus(text: str) -> tuple[str, str]:
    """Split what a user wrote into kind and path; the kind of a path alone is told from what is there.

    >>> parse_corpus("timit:/data/TIMIT")
    ('timit', '/data/TIMIT')

    Raises
    ------
    BraindashError
        Unknown kind, no path, or a path whose layout cannot be told.
    """
    kind, colon, path = text.partition(":")
    if colon and kind in CORPORA:
        if not path:
            raise BraindashError(f"The corpus {text!r} names no path.", f"Write {kind}:PATH.")
        return kind, path
    if Path(text).expanduser().exists():
        return guess_kind(Path(text).expanduser()), text
    if colon and re.fullmatch(r"\w[\w-]+", kind):
        raise BraindashError(f"There is no kind of corpus {kind!r}.", closest(kind, CORPORA))
    raise BraindashError(
        f"There is no folder or file {text}.",
        f"Write KIND:PATH; KIND is one of {', '.join(CORPORA)}. A study is study:ID.",
    )


def guess_kind(path: Path) -> str:
    """Return the one layout that the folder or file at ``path`` has.

    Raises
    ------
    BraindashError
        None fits, or several do.
    """
    fitting = []
    for kind in CORPORA:
        module, _ = _layout(kind)
        recognise: Callable[[Path], bool] | None = getattr(module, "recognise", None)
        if recognise is not None and recognise(path):
            fitting.append(kind)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BraindashError(
            f"{path} could be a corpus of kind {' or '.join(fitting)}.", f"Say which: {fitting[0]}:{path}"
        )
    what = "is a study" if (path / "study.yaml").exists() else "has no layout that is known"
    remedy = (
        "Add it with `braindash study add table`, then write study:ID."
        if what == "is a study"
        else f"Write KIND:PATH with one of {', '.join(CORPORA)}, or list the files in a table (docs/probing.md)."
    )
    raise BraindashError(f"{path} {what}.", remedy)


def with_vectors(corpus: Corpus, path: Path, title: str = "") -> Corpus:
    """Return the corpus with static vectors of the words that are said in it.

    Raises
    ------
    BraindashError
        No file, not word vectors, or vectors of none of the words.
    """
    from braindash.encoding.spaces import read_vectors
    from braindash.probing.alignment import spoken_words

    said: set[str] = set()
    for r in corpus.recordings:
        if r.words is not None:
            said.update(r.words["text"].astype(str).str.lower())
        said.update(spoken_words(r.labels.get("transcript", "")))
    vectors = read_vectors(path, sorted(said))
    if not vectors:
        raise BraindashError(
            f"{path.name} has a vector for none of the {len(said)} words of {corpus.title}.",
            "Check its language, and that its words are in lower case.",
        )
    return replace(corpus, vectors=vectors, vectors_title=title or path.name)


def _layout(kind: str) -> tuple[ModuleType, str]:
    if kind not in CORPORA:
        raise BraindashError(f"There is no kind of corpus {kind!r}.", closest(kind, CORPORA))
    module, function = CORPORA[kind].split(":")
    return importlib.import_module(module), function


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BraindashError(f"There is no folder or file {path}.", "Check the path and its spelling.")
    return path


register_corpus("study", "braindash.probing.corpora.study:open_study_corpus")
register_corpus("timit", "braindash.probing.corpora.timit:open_timit")
register_corpus("speech_commands", "braindash.probing.corpora.speech_commands:open_speech_commands")
register_corpus("crema_d", "braindash.probing.corpora.crema_d:open_crema_d")
register_corpus("transcripts", "braindash.probing.corpora.transcripts:open_transcripts")
register_corpus("table", "braindash.probing.corpora.table:open_table_corpus")
