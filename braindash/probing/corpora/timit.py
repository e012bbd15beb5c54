"""TIMIT: ``TRAIN|TEST/DR*/SPEAKER/SENTENCE.WAV`` with ``.PHN``, ``.WRD`` and ``.TXT``, in upper or lower case.

Layout, symbols and the three types of sentence: Garofolo et al., DARPA TIMIT Acoustic-Phonetic
Continuous Speech Corpus (NISTIR 4930, 1993).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Recording
from braindash.probing.corpora.choosing import DEFAULT_MINUTES, Candidate, choose, count, shown
from braindash.studies.textgrid import COLUMNS

_RATE = 16_000  # samples a second of the times in its files, whatever the sound was converted to
_SENTENCE_TYPES = {"SA": "dialect", "SX": "compact", "SI": "diverse"}
_SENTENCE = re.compile(r"(SA|SX|SI)\d+", re.IGNORECASE)

# TIMIT's finer symbols, as the ARPAbet of the pronouncing dictionaries; those that are not named keep theirs.
_FOLDED = {
    "ax": "AH", "ax-h": "AH", "axr": "ER", "ix": "IH", "ux": "UW", "el": "L", "em": "M", "en": "N", "nx": "N",
    "eng": "NG", "hv": "HH",
}  # fmt: skip
_CLOSURES = {"bcl": "B", "dcl": "D", "gcl": "G", "pcl": "P", "tcl": "T", "kcl": "K"}
_RELEASES = {"bcl": ("b",), "dcl": ("d", "jh"), "gcl": ("g",), "pcl": ("p",), "tcl": ("t", "ch"), "kcl": ("k",)}
_SILENT = frozenset({"h#", "pau", "epi", "q"})  # pauses and the glottal stop, which is no phone of the dictionaries


def recognise(path: Path) -> bool:
    """Return whether the folder holds TRAIN or TEST with folders of dialects."""
    return path.is_dir() and any(_dialects(part) for part in _parts(path).values())


def open_timit(path: Path, *, max_minutes: float | None = DEFAULT_MINUTES) -> Corpus:
    """Open a folder in TIMIT's layout.

    Groups are speakers. Sentences of TEST are scored, TRAIN is for learning only; the two SA
    sentences, which every speaker reads, are not scored either. Labels: ``speaker``, ``sex``,
    ``dialect``, ``sentence_type`` (dialect, compact, diverse), ``transcript``.

    Parameters
    ----------
    path : Path
        The folder that holds TRAIN and TEST, or one that holds it as TIMIT.
    max_minutes : float, optional
        Evenly over dialects and speakers; None takes everything.

    Raises
    ------
    BraindashError
        Another layout, or no sentence that can be read.
    """
    parts = _parts(path)
    sentences: dict[str, _Sentence] = {}
    for part, folder in parts.items():
        for dialect in _dialects(folder):
            for speaker in sorted(p for p in dialect.iterdir() if p.is_dir()):
                for sentence in _sentences(part, dialect, speaker):
                    sentences[sentence.candidate.name] = sentence
    if not sentences:
        raise BraindashError(
            f"{path} is not in the layout of TIMIT: there is no TRAIN or TEST/DR1/SPEAKER/SENTENCE.WAV.",
            "Give the folder that holds TRAIN and TEST.",
        )
    notes = _Notes()
    chosen = choose([s.candidate for s in sentences.values()], max_minutes, group_word="speaker")
    recordings = tuple(sentences[c.name].read(duration, notes) for c, duration in chosen.kept)
    shared = sum(c.name.rpartition("/")[2].startswith("SA") for c, _ in chosen.kept)
    return Corpus(
        "timit", f"TIMIT ({path.resolve().name})", "timit", recordings, "speaker",
        caveats=(*chosen.caveats, *([_shared(shared)] if shared else []), *notes.sentences()),
    )  # fmt: skip


@dataclass
class _Notes:
    """Annotations that could not be used."""

    bad: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        if not self.bad:
            return []
        return [f"{count(len(self.bad), 'annotation file')} missing or damaged and not used: {shown(self.bad)}."]


@dataclass(frozen=True)
class _Sentence:
    candidate: Candidate
    files: dict[str, Path]  # by suffix in lower case
    dialect: str

    def read(self, duration: float, notes: _Notes) -> Recording:
        _, speaker, sentence = self.candidate.name.split("/")
        labels = {
            "speaker": speaker,
            "dialect": self.dialect,
            "sentence_type": _SENTENCE_TYPES[sentence[:2]],
        }
        if speaker[:1] in ("F", "M"):
            labels["sex"] = "female" if speaker[0] == "F" else "male"
        words = self._intervals(".wrd", duration, notes)
        phones = self._intervals(".phn", duration, notes)
        said = self._transcript()
        if said:
            labels["transcript"] = said
        elif words is not None:
            labels["transcript"] = " ".join(words["text"])
        return self.candidate.recording(
            duration,
            labels,
            None if words is None else words.assign(text=words["text"].str.lower()),
            None if phones is None else fold_phones(phones),
        )

    def _intervals(self, suffix: str, duration: float, notes: _Notes) -> pd.DataFrame | None:
        name = f"{self.candidate.name}{suffix.upper()}"
        if suffix not in self.files:
            notes.bad.append(name)
            return None
        rows = []
        for line in self.files[suffix].read_text(encoding="latin-1").splitlines():
            fields = line.split(None, 2)
            if not fields:
                continue
            if len(fields) != 3 or not (fields[0].isdigit() and fields[1].isdigit()):
                notes.bad.append(name)
                return None
            onset, offset = (int(t) / _RATE for t in fields[:2])
            if onset < duration:
                rows.append((fields[2].strip(), onset, min(max(onset, offset), duration)))
        return pd.DataFrame(rows, columns=COLUMNS).sort_values("onset", kind="stable").reset_index(drop=True)

    def _transcript(self) -> str:
        if ".txt" not in self.files:
            return ""
        fields = self.files[".txt"].read_text(encoding="latin-1").strip().split(None, 2)
        return fields[2] if len(fields) == 3 else ""


def fold_phones(phones: pd.DataFrame) -> pd.DataFrame:
    """Return TIMIT's 61 symbols as ARPAbet phones, upper case.

    A closure belongs to the stop or affricate that it opens into, and is that stop where nothing
    follows; allophones take the phone's symbol; the flap stays DX; pauses and glottal stops go.

    Parameters
    ----------
    phones : DataFrame, columns text, onset, offset
    """
    rows: list[tuple[str, float, float]] = []
    closure: tuple[str, float, float] | None = None
    for text, onset, offset in phones[COLUMNS].itertuples(index=False):
        symbol = text.lower()
        if closure is not None:
            if symbol in _RELEASES[closure[0]]:
                onset = closure[1]
            else:
                rows.append((_CLOSURES[closure[0]], closure[1], closure[2]))
            closure = None
        if symbol in _CLOSURES:
            closure = (symbol, onset, offset)
        elif symbol not in _SILENT:
            rows.append((_FOLDED.get(symbol, symbol.upper()), onset, offset))
    if closure is not None:
        rows.append((_CLOSURES[closure[0]], closure[1], closure[2]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _parts(path: Path) -> dict[str, Path]:
    """Return TRAIN and TEST, by name in upper case."""
    for root in (path, *_named(path, "TIMIT")):
        found = {name: folder for name in ("TRAIN", "TEST") for folder in _named(root, name)}
        if found:
            return found
    return {}


def _named(folder: Path, name: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return [p for p in sorted(folder.iterdir()) if p.name.upper() == name and p.is_dir()]


def _dialects(part: Path) -> list[Path]:
    return [p for p in sorted(part.iterdir()) if re.fullmatch(r"DR\d", p.name, re.IGNORECASE) and p.is_dir()]


def _sentences(part: str, dialect: Path, speaker: Path) -> list[_Sentence]:
    files: dict[str, dict[str, Path]] = {}
    for file in sorted(speaker.iterdir()):
        # "SA1.WAV.wav" is what conversions from SPHERE are often called
        stem, *suffixes = file.name.lower().split(".")
        if _SENTENCE.fullmatch(stem) and suffixes:
            files.setdefault(stem.upper(), {})[f".{suffixes[-1]}"] = file
    found = []
    who = speaker.name.upper()
    for sentence, by_suffix in files.items():
        sound = next((by_suffix[s] for s in (".wav", ".flac", ".sph") if s in by_suffix), None)
        if sound is not None:
            scored = part == "TEST" and not sentence.startswith("SA")
            name = f"{part}/{who}/{sentence}"
            candidate = Candidate(name, sound, who, scored, label=dialect.name.upper())
            found.append(_Sentence(candidate, by_suffix, dialect.name.upper()))
    return found


def _shared(n: int) -> str:
    return f"The SA sentences, which every speaker reads, are not scored ({n:,} of the recordings)."
