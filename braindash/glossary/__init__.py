"""The terms of the pages in plain words, each with its formula and sources: hover help and the Glossary page.

A term says what braindash computes, so it agrees with docs/methods.md; what a model or a control is comes from
`braindash.wording`, which figures and records use as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from braindash.errors import BraindashError, closest
from braindash.glossary import analyses, models, responses
from braindash.glossary.base import SECTIONS, Term
from braindash.glossary.sources import SOURCES, Source, source

__all__ = ["SECTIONS", "SOURCES", "TERMS", "Source", "Term", "search", "source", "term"]

TERMS: dict[str, Term] = {**responses.TERMS, **models.TERMS, **analyses.TERMS}


def term(key: str) -> Term:
    """Return an entry.

    Raises
    ------
    BraindashError
        Where the glossary has no such key.
    """
    if key not in TERMS:
        raise BraindashError(f"The glossary has no term {key!r}.", closest(key, TERMS))
    return TERMS[key]


def search(words: str) -> list[str]:
    """Return the keys of terms that hold all ``words``, those with them in the title first; of no words, all."""
    wanted = words.casefold().split()
    found = [key for key, one in TERMS.items() if all(any(w in t for t in _texts(key, one)) for w in wanted)]
    return sorted(found, key=lambda key: not all(w in TERMS[key].title.casefold() for w in wanted))


def _texts(key: str, one: Term) -> Iterator[str]:
    yield from (t.casefold() for t in (one.title, one.words, one.text, one.formula, key.replace("_", " ")))
