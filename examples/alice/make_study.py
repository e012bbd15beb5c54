"""Write a table study of the Alice listening data (OpenNeuro ds002322), ready for ``braindash study add table``.

    python examples/alice/make_study.py DATA_FOLDER OUT_FOLDER

DATA_FOLDER holds ``annotations.tsv``, ``yeo7/sub-XX_*.csv`` (one row a volume, a
column TR and seven Yeo networks) and ``alice_ch1_piper_retimed_16k.flac``.

The audio is not the recording that the listeners heard: it is the chapter spoken
by a speech synthesiser and re-timed phrase by phrase to the reader's timing. The
study carries that as a caveat, which every figure made from it must show.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from itertools import pairwise
from pathlib import Path

import yaml

TR = 2.0  # seconds
N_DROPPED = 4  # volumes cut from the start of every series
# Row i is volume i + 4, acquired from (i + 4)·TR to (i + 5)·TR; its centre is half a TR into it.
FIRST_ROW = N_DROPPED * TR + TR / 2

# One recording of 744 s (speech from 20 to 743 s), cut into stories with 10 s between them.
SEGMENTS = [
    ("alice-1", "tune", 18.0, 170.0),
    ("alice-2", "tune", 180.0, 330.0),
    ("alice-3", "tune", 340.0, 480.0),
    ("alice-4", "validation", 490.0, 580.0),
    ("alice-5", "test", 590.0, 744.0),
]

NETWORKS = ["visual", "somatomotor", "dorsal attention", "ventral attention", "limbic", "frontoparietal", "default"]

CAVEATS = [
    "The audio is a synthetic reading, re-timed to the original phrase by phrase; it is not what the listeners heard.",
    "The targets are means of seven Yeo networks: one chapter and one pass a listener are too little to show an "
    "effect of brain-tuning or of layers.",
]


def main(arguments: list[str] | None = None) -> Path:
    """Write ``study.yaml``, ``words.tsv`` and ``targets.csv``; return the study file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with annotations.tsv, yeo7/ and the flac file")
    parser.add_argument("out", type=Path, help="folder for the study")
    chosen = parser.parse_args(arguments)
    data, out = chosen.data.resolve(), chosen.out.resolve()
    audio = data / "alice_ch1_piper_retimed_16k.flac"
    series = sorted((data / "yeo7").glob("sub-*.csv"))
    for needed in (audio, data / "annotations.tsv"):
        if not needed.is_file():
            parser.error(f"{needed} does not exist")
    if not series:
        parser.error(f"{data / 'yeo7'} holds no sub-*.csv")
    out.mkdir(parents=True, exist_ok=True)
    write_words(data / "annotations.tsv", out / "words.tsv")
    write_targets(out / "targets.csv")
    responses = {file.name.split("_")[0]: relative(file, out) for file in series}
    study = {
        "braindash": 1,
        "kind": "table",
        "id": "alice",
        "title": "Alice in Wonderland, chapter 1 (ds002322), re-timed synthetic reading",
        "signal": "bold",
        "tr": TR,
        "first_row": FIRST_ROW,
        "cortex": "none",
        "targets": "targets.csv",
        "ignore_columns": ["TR"],
        "caveats": CAVEATS,
        "stories": [
            {
                "name": name,
                "split": part,
                "audio": relative(audio, out),
                "words": "words.tsv",
                "start": start,
                "stop": stop,
                "responses": dict(responses),
            }
            for name, part, start, stop in SEGMENTS
        ],
    }
    file = out / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    return file


def write_words(annotations: Path, out: Path) -> None:
    """Keep word, onset and offset; the annotation's clock is the scan's, as is the re-timed audio's.

    Clitics ("'s", "ll", "nt") have a line but no times: they are part of the word before them.
    One word of the published file ("suddenly", 53.18 s) ends before it begins: such a word is
    given the next one's onset as its end, and named on stderr.
    """
    words: list[list[str]] = []
    with annotations.open(encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f, delimiter="\t"):
            if row["Word Onset"] and row["Word Offset"]:
                words.append([row["Words"], row["Word Onset"], row["Word Offset"]])
            elif words:
                words[-1][0] += row["Words"]
    for word, following in pairwise(words):
        if float(word[2]) < float(word[1]):
            sys.stderr.write(f"{word[0]!r} at {word[1]} s ended at {word[2]} s; set to {following[1]} s\n")
            word[2] = following[1]
    lines = ["word\tonset\toffset", *("\t".join(word) for word in words)]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_targets(out: Path) -> None:
    """Name the seven networks (Yeo et al. 2011); Net2, somatomotor, holds the auditory cortex."""
    lines = ["name,roi"] + [f"Net{i},{name}" for i, name in enumerate(NETWORKS, 1)]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def relative(file: Path, folder: Path) -> str:
    """Return ``file`` as seen from ``folder``, with forward slashes."""
    return Path(os.path.relpath(file, folder)).as_posix()


if __name__ == "__main__":
    sys.stdout.write(f"{main()}\n")
