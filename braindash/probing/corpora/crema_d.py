"""CREMA-D: ``AudioWAV/1001_DFA_ANG_XX.wav``: actor, sentence, emotion, level.

Codes: Cao et al. 2014, IEEE Transactions on Affective Computing 5(4), and the notes that come with the data.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.probing.corpora.choosing import DEFAULT_MINUTES, Candidate, choose, count, shown

SENTENCES = {
    "DFA": "Don't forget a jacket",
    "IEO": "It's eleven o'clock",
    "IOM": "I'm on my way to the meeting",
    "ITH": "I think I have a doctor's appointment",
    "ITS": "I think I've seen this before",
    "IWL": "I would like a new alarm clock",
    "IWW": "I wonder what this is about",
    "MTI": "Maybe tomorrow it will be cold",
    "TAI": "The airplane is almost full",
    "TIE": "That is exactly what happened",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high"}  # XX and X: not specified

_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})\.(wav|mp3|flac)", re.IGNORECASE)
_FOLDERS = ("AudioWAV", "AudioMP3")
_ACTORS = "VideoDemographics.csv"


def recognise(path: Path) -> bool:
    """Return whether the folder, or AudioWAV in it, has files with names of its kind."""
    if not path.is_dir():
        return False
    return any(_NAME.fullmatch(file.name) for file in _sound_folder(path).iterdir())


def open_crema_d(path: Path, *, max_minutes: float | None = DEFAULT_MINUTES) -> Corpus:
    """Open a folder in the layout of CREMA-D.

    Groups are speakers; all files are scored. Labels: ``speaker``, ``emotion``, ``sentence`` (its
    code), ``transcript``, ``level`` where it was asked for, and ``sex`` where VideoDemographics.csv is there.

    Parameters
    ----------
    path : Path
        The folder that holds AudioWAV, or AudioWAV itself.
    max_minutes : float, optional
        Evenly over emotions and speakers; None takes everything.

    Raises
    ------
    BraindashError
        Another layout, or no file that can be read.
    """
    if not path.is_dir():
        raise BraindashError(f"{path} is not a folder.", "Give the folder that holds AudioWAV.")
    folder = _sound_folder(path)
    labels: dict[str, dict[str, str]] = {}
    candidates, odd = [], []
    sex = _sexes(path, folder)
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in (".wav", ".mp3", ".flac"):
            continue
        match = _NAME.fullmatch(file.name)
        codes = [part.upper() for part in match.groups()] if match else []
        if len(codes) < 4 or codes[1] not in SENTENCES or codes[2] not in EMOTIONS:
            odd.append(file.name)
            continue
        speaker, sentence, emotion, level = codes[:4]
        labels[file.name] = {
            "speaker": speaker, "emotion": EMOTIONS[emotion], "sentence": sentence, "transcript": SENTENCES[sentence],
            **({"level": LEVELS[level]} if level in LEVELS else {}),
            **({"sex": sex[speaker]} if speaker in sex else {}),
        }  # fmt: skip
        candidates.append(Candidate(file.name, file, speaker, label=EMOTIONS[emotion]))
    if not candidates:
        raise BraindashError(
            f"{folder} is not in the layout of CREMA-D: there is no file such as 1001_DFA_ANG_XX.wav.",
            "Give the folder that holds AudioWAV.",
        )
    chosen = choose(candidates, max_minutes, group_word="speaker")
    caveats = list(chosen.caveats)
    if odd:
        caveats.append(f"{count(len(odd), 'file')} not named by the codes of CREMA-D, and not used: {shown(odd)}.")
    recordings = tuple(c.recording(duration, labels[c.name]) for c, duration in chosen.kept)
    title = f"CREMA-D ({path.resolve().name})"
    return Corpus("crema_d", title, "crema_d", recordings, "speaker", caveats=tuple(caveats))


def _sound_folder(path: Path) -> Path:
    return next((path / name for name in _FOLDERS if (path / name).is_dir()), path)


def _sexes(*folders: Path) -> dict[str, str]:
    """Return sex by actor from the table of actors; empty where it is not there or is another table."""
    file = next((f / _ACTORS for f in (*folders, folders[-1].parent) if (f / _ACTORS).is_file()), None)
    if file is None:
        return {}
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return {a.strip(): s.strip().lower() for a, s in zip(table["ActorID"], table["Sex"], strict=True) if s.strip()}
    except (ValueError, KeyError):
        return {}
