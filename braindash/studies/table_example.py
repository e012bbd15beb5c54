"""The commented ``study.yaml`` that ``braindash study add table --init`` writes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from braindash.errors import BraindashError
from braindash.studies.table_spec import FILE_NAME

EXAMPLE = """\
# A braindash study of your own. Paths are relative to this file.
# Every key is explained in docs/data-contract.md.
# When it is filled in:  braindash study add table {folder}

braindash: 1                # version of this format
kind: table
id: {id}                    # letters, digits, - and _
title: My listening study   # shown on pages and reports
signal: bold                # bold | electrodes
tr: 2.0                     # seconds from row to row: the physical TR, not a rounded one
first_row: 1.0              # second of the audio at which the first row is centred; default tr / 2

# Where the targets lie: none | fs_LR-32k | fsaverage5 | a pycortex transform:
#   cortex: {{pycortex: ../pycortex-db, subject: S1, transform: S1_auto}}
cortex: none

# A table with one line a target, in the order of the response columns:
# name, and where known roi, hemi (L or R), noise_ceiling, x, y, z, vertex.
# targets: targets.csv

ignore_columns: [TR]        # columns of the response files that are not targets

# Sentences that every figure made from this study must carry.
# caveats:
#   - The audio is a reconstruction of what the listeners heard.

stories:
  - name: story-1
    split: tune             # tune | validation | test: give every part at least one story
    audio: story-1.wav      # any rate, mono or stereo
    textgrid: story-1.TextGrid     # optional; or words: story-1.tsv (word, onset, offset in seconds)
    responses:              # rows are TRs, columns targets: csv, tsv, parquet, npy, or file.hf5:dataset
      sub-01: sub-01_story-1.csv

  - name: story-2
    split: tune
    audio: story-2.wav
    first_row: 3.0          # only where it differs from the study's
    responses:
      sub-01: sub-01_story-2.npy

  - name: story-3
    split: validation
    audio: long.flac        # a segment of a longer recording: rows centred in [start, stop) belong to it
    start: 0
    stop: 240
    responses:
      sub-01: sub-01_long.hf5:data

  - name: story-4
    split: test
    audio: long.flac
    start: 250              # 10 s after the other part: the response outlasts the sound
    responses:
      sub-01: [sub-01_long_run-1.npy, sub-01_long_run-2.npy]    # a list is repeats: they give the noise ceiling
"""


ELECTRODES = """\
# A braindash study of EEG, MEG or intracranial recordings. Paths are relative to this file.
# Every key is explained in docs/data-contract.md.
# When it is filled in:  braindash study add electrodes {folder}

braindash: 1                # version of this format
kind: electrodes
id: {id}                    # letters, digits, - and _
title: My listening study   # shown on pages and reports
rate: 100                   # rows a second, after filtering and resampling: 50 to 200
first_row: 0.005            # second of the audio at which the first row is centred; default half a row

# A table with one line an electrode, in the order of the response columns:
# name, and where known roi, hemi (L or R), x, y, z (mm), noise_ceiling.
# targets: targets.csv

ignore_columns: [time]      # columns of the response files that are not electrodes

# Sentences that every figure made from this study must carry.
# caveats:
#   - The montage was re-referenced to the average.

stories:
  - name: story-1
    split: tune             # tune | validation | test: give every part at least one story
    audio: story-1.wav      # any rate, mono or stereo
    textgrid: story-1.TextGrid     # optional; or words: story-1.tsv (word, onset, offset in seconds)
    responses:              # rows are samples, columns electrodes: csv, tsv, parquet, npy, or file.hf5:dataset
      sub-01: sub-01_story-1.npy

  - name: story-2
    split: tune
    audio: story-2.wav
    start: 0                # leaves out the rows of a baseline before the sound
    first_row: -0.995       # only where it differs from the study's: here the series starts 1 s early
    responses:
      sub-01: sub-01_story-2.npy

  - name: story-3
    split: validation
    audio: story-3.wav
    responses:
      sub-01: sub-01.hf5:story-3

  - name: story-4
    split: test
    audio: story-4.wav
    responses:
      sub-01: [sub-01_story-4_run-1.npy, sub-01_story-4_run-2.npy]    # a list is repeats: the noise ceiling
"""

EXAMPLES = {"table": EXAMPLE, "electrodes": ELECTRODES}


def init_table(path: str | os.PathLike[str], kind: str = "table") -> Path:
    """Write a commented example ``study.yaml`` of ``kind`` into the folder ``path`` and return the file.

    Raises
    ------
    BraindashError
        There is one already, or the folder cannot be written.
    """
    folder = Path(path).expanduser()
    if folder.suffix in (".yaml", ".yml"):
        file, folder = folder, folder.parent
    else:
        file = folder / FILE_NAME
    name = re.sub(r"[^A-Za-z0-9_-]", "-", folder.resolve().name) or "my-study"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as f:
            f.write(EXAMPLES[kind].format(folder=folder, id=name))
    except FileExistsError:
        raise BraindashError(f"{file} exists already.", "Edit it, or choose another folder.") from None
    except OSError as error:
        raise BraindashError(f"{file} cannot be written ({error.strerror}).", "Choose another folder.") from None
    return file
