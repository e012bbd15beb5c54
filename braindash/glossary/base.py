"""What an entry of the glossary is, and the sections that entries stand in."""

from __future__ import annotations

from dataclasses import dataclass

from braindash.wording import MODELS, REFERENCES

SCORES = "Predicting responses"
TIME = "Sound, words and time"
MODEL = "The speech model and its tuning"
CONTROLS = "Controls"
PROBES = "Probes"
RSA = "Representational similarity"
DEPTH = "From sound to meaning"
REGIONS = "Brain regions"
SECTIONS = (SCORES, TIME, MODEL, CONTROLS, PROBES, RSA, DEPTH, REGIONS)


@dataclass(frozen=True)
class Term:
    """One entry.

    Attributes
    ----------
    title : str
        As the pages write it.
    section : str
        One of `SECTIONS`.
    text : str
        What it is, in one to three plain sentences.
    formula : str
        Where one helps.
    sources : tuple of str
        Keys of `braindash.glossary.sources.SOURCES`.
    see : tuple of str
        Keys of terms that a reader may want next.
    words : str
        Other words under which it is looked for.
    """

    title: str
    section: str
    text: str
    formula: str = ""
    sources: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    words: str = ""


def model_term(name: str, section: str, *, see: tuple[str, ...] = (), sources: tuple[str, ...] = ()) -> Term:
    known = {**MODELS, **REFERENCES}[name]
    return Term(known.title, section, known.explanation, see=see, sources=sources, words=name.replace("_", " "))
