"""Forced alignment: near the truth on real and synthetic speech, and refused where it cannot be right."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindash.demo import simulate
from braindash.errors import BraindashError
from braindash.probing import alignment
from braindash.probing.alignment import Aligner, AlignmentError, align, aligned, spoken_words
from braindash.probing.base import Corpus, Recording
from braindash.studies.annotations import from_textgrid
from braindash.studies.audio import read_audio
from braindash.studies.textgrid import read_textgrid

SPEECH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "speech"
RATE = 16_000
needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason="needs ../shared/data/speech, which is not here")


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    pytest.importorskip("pocketsphinx")
    return Aligner()


def demo_piece(first: float, last: float) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Return a piece of a demo story with the exact words and phones of its synthetic voice."""
    said = []
    for table in read_textgrid(simulate.STORIES / "01_nora.TextGrid").values():
        inside = table[(table["text"] != "") & (table["onset"] >= first) & (table["offset"] <= last)]
        said.append(inside.assign(onset=inside["onset"] - first, offset=inside["offset"] - first))
    words, phones = sorted(said, key=len)[-2:]
    return read_audio(simulate.STORIES / "01_nora.ogg", first, last), words, phones


@pytest.fixture(scope="module")
def piece() -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """About ten seconds, from the start of a story to the end of a sentence."""
    sentences = next(e for e in simulate.story_index(True) if e["name"] == "01_nora")["sentences"]
    end = max(s["offset"] for s in sentences if s["offset"] < 15)
    return demo_piece(0.0, end + 0.2)


def recording(name: str, audio: np.ndarray, transcript: str) -> Recording:
    return Recording(name, lambda: audio, len(audio) / RATE, name, labels={"transcript": transcript})


def corpus(*recordings: Recording) -> Corpus:
    return Corpus("mine", "Mine", "transcripts", recordings, "sentence", caveats=("Heard by one person.",))


def errors(found: pd.DataFrame, truth: pd.DataFrame, column: str = "onset") -> np.ndarray:
    return (found[column].to_numpy() - truth[column].to_numpy()) * 1000


# ---- how near


@needs_speech
def test_words_of_real_speech_begin_where_they_do(aligner: Aligner) -> None:
    """LJSpeech utterances against their word times, which are in steps of 10 ms."""
    off, ends = [], []
    for grid in sorted((SPEECH / "ljspeech").glob("*.TextGrid")):
        truth, _ = from_textgrid(grid)
        words, _ = aligner.align(read_audio(grid.with_suffix(".wav")), " ".join(truth["text"]))
        assert words["text"].tolist() == truth["text"].tolist()
        off.append(errors(words, truth))
        ends.append(errors(words, truth, "offset"))
    onset = np.concatenate(off)
    assert len(onset) == 69
    assert np.median(np.abs(onset)) <= 20
    assert abs(np.median(onset)) <= 10
    assert np.mean(np.abs(onset) < 50) > 0.9
    assert np.median(np.abs(np.concatenate(ends))) <= 20


@needs_speech
def test_every_word_of_other_real_speakers_is_found(aligner: Aligner) -> None:
    """LibriVox utterances have no times; their words must come one after another and fill the speech."""
    folder = SPEECH / "librivox_sense"
    lines = [line.split(" </s> (") for line in (folder / "transcription").read_text().splitlines() if line.strip()]
    assert len(lines) == 5
    for text, name in lines:
        audio = read_audio(folder / f"{name.rstrip(')')}.wav")
        words, phones = aligner.align(audio, text.replace("<s>", ""))
        assert words["text"].tolist() == text.replace("<s>", "").split()
        for table in (words, phones):
            assert (table["offset"] > table["onset"]).all()
            assert (table["onset"].to_numpy()[1:] >= table["offset"].to_numpy()[:-1] - 1e-9).all()
        assert (words["offset"] - words["onset"]).sum() > 0.6 * len(audio) / RATE


def test_words_and_phones_of_a_synthetic_voice(aligner: Aligner, piece: tuple) -> None:
    """Its times are exact; the lag was not fitted to it."""
    audio, words, phones = piece
    assert 8 < len(audio) / RATE < 20
    found, found_phones = aligner.align(audio, " ".join(words["text"]))
    assert found["text"].tolist() == words["text"].str.lower().tolist()
    assert np.median(np.abs(errors(found, words))) <= 25
    assert np.quantile(np.abs(errors(found, words)), 0.9) <= 60
    # the phone in the middle of every phone found is that of the truth, as far as two dictionaries agree
    middles = found_phones[["onset", "offset"]].mean(axis=1).to_numpy()
    at = np.searchsorted(phones["onset"].to_numpy(), middles) - 1
    there = phones["text"].str.upper().str.rstrip("012").to_numpy()[at.clip(0)]
    assert np.mean(there == found_phones["text"].to_numpy()) > 0.65
    assert set(found_phones["text"]) <= set("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split())  # fmt: skip  # noqa: E501, SIM905


def test_phones_lie_within_their_words_and_fill_them(aligner: Aligner, piece: tuple) -> None:
    words, phones = aligner.align(piece[0], " ".join(piece[1]["text"]))
    for word in words.itertuples():
        inside = phones[(phones["onset"] >= word.onset - 1e-9) & (phones["offset"] <= word.offset + 1e-9)]
        assert inside["onset"].iloc[0] == word.onset
        assert inside["offset"].iloc[-1] == word.offset
        np.testing.assert_allclose(inside["onset"].to_numpy()[1:], inside["offset"].to_numpy()[:-1])


def test_the_order_of_recordings_does_not_matter(aligner: Aligner, piece: tuple) -> None:
    audio, truth, _ = piece
    text = " ".join(truth["text"])
    first = aligner.align(audio, text)
    with pytest.raises(AlignmentError):
        aligner.align(0.3 * audio[: 2 * RATE], "entirely different matters were discussed throughout the evening")
    again = aligner.align(audio, text)
    fresh = align(audio, text)
    for a, b, c in zip(first, again, fresh, strict=True):
        pd.testing.assert_frame_equal(a, b)
        pd.testing.assert_frame_equal(a, c)


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well — “It’s ELEVEN o'clock,” she said.", ["well", "it's", "eleven", "o'clock", "she", "said"]),
        ("Call-Forward -- on no answer...", ["call-forward", "on", "no", "answer"]),
        ("the dogs' bowl 'and' more", ["the", "dogs'", "bowl", "and'", "more"]),
        ("naïve_mind", ["naïve", "mind"]),
        (" \t\n", []),
        ("?!…", []),
    ],
)
def test_words_of_a_transcript(text: str, words: list[str]) -> None:
    assert spoken_words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Call-Forward, on the dogs' bowl'.", ["call", "forward", "on", "the", "dogs'", "bowl"]),
        ("IT’S ‘quoted’ e-mail", ["it's", "quoted", "e-mail"]),
    ],
)
def test_words_as_the_dictionary_has_them(aligner: Aligner, text: str, words: list[str]) -> None:
    assert aligner.words_of(text) == words


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("press 1 or #", "signs", ("1", "#")),
        ("Jones & Sons", "signs", ("&",)),
        ("hello zxqvy and zxqvy brrghl", "unknown", ("zxqvy", "brrghl")),
        ("naïve café", "unknown", ("naïve", "café")),
        ("...", "empty", ()),
    ],
)
def test_transcripts_that_cannot_be_read_say_why(
    aligner: Aligner, piece: tuple, text: str, reason: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(AlignmentError) as error:
        aligner.align(piece[0], text)
    assert error.value.reason == reason
    assert error.value.words == words


def test_another_transcript_does_not_fit(aligner: Aligner, piece: tuple) -> None:
    """Too many words find no way; too few leave speech between them."""
    audio, truth, _ = piece
    text = " ".join(truth["text"])
    for wrong in (f"{text} {text} {text}", "activated", " ".join(truth["text"].iloc[:8])):
        with pytest.raises(AlignmentError, match="does not fit") as error:
            aligner.align(audio, wrong)
        assert error.value.reason == "misfit"
    with pytest.raises(AlignmentError, match="does not fit"):
        aligner.align(np.zeros(RATE, dtype=np.float32), "hello there")
    with pytest.raises(AlignmentError, match="does not fit"):
        aligner.align(np.zeros(10, dtype=np.float32), "hello there")
    with pytest.raises(AlignmentError, match="at most 120 s"):
        aligner.align(np.zeros(121 * RATE, dtype=np.float32), text)


def test_without_pocketsphinx_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(BraindashError, match="pip install pocketsphinx"):
        align(np.zeros(RATE, dtype=np.float32), "hello")
    untouched = corpus(replace(recording("a", np.zeros(RATE), "hello"), labels={}))
    assert aligned(untouched) is untouched  # nothing to align: nothing is needed


# ---- a corpus


def test_a_corpus_gets_words_and_phones_and_counts_the_rest(aligner: Aligner, piece: tuple) -> None:
    audio, truth, phones = piece
    text = " ".join(truth["text"])
    timed = replace(recording("timed", audio, text), words=truth, phones=phones)
    before = corpus(
        recording("good", audio, text), recording("digits", audio, "press 1"), recording("odd", audio, "zxqvy"),
        recording("odd too", audio, "hello brrghl"), recording("wrong", audio, "activated"), timed,
        replace(recording("mute", audio, ""), labels={}),
    )  # fmt: skip
    told: list[float] = []
    after = aligned(before, progress=lambda fraction, what: told.append(fraction))
    found = {r.name: r for r in after.recordings}
    assert [r.name for r in after.recordings] == [r.name for r in before.recordings]
    assert found["good"].words["text"].tolist() == truth["text"].str.lower().tolist()
    assert found["timed"] is timed
    assert all(
        found[n].words is None and found[n].phones is None for n in ("digits", "odd", "odd too", "wrong", "mute")
    )
    version = aligner.version
    assert after.caveats == (
        "Heard by one person.",
        f"Words and phones of 1 of 7 recordings were aligned by machine (pocketsphinx {version}) and not checked by "
        "ear: boundaries are off by tens of milliseconds.",
        "Not aligned, and without tasks of words and phones: 1 recording with digits or signs (first: 1).",
        "Not aligned, and without tasks of words and phones: 2 recordings with words that the dictionary lacks "
        "(first: zxqvy, brrghl).",
        "Not aligned, and without tasks of words and phones: 1 recording whose transcript does not fit the sound "
        "(first: wrong).",
    )
    assert told == sorted(told)
    assert len(told) == 5


def test_what_was_found_is_kept_and_read_again(
    aligner: Aligner, piece: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, truth, _ = piece
    text = " ".join(truth["text"])
    calls: list[str] = []
    real = Aligner.align
    monkeypatch.setattr(Aligner, "align", lambda self, a, t: (calls.append(t), real(self, a, t))[1])
    mine = corpus(recording("good", audio, text))
    first = aligned(mine, tmp_path).recordings[0]
    again = aligned(mine, tmp_path).recordings[0]
    assert len(calls) == 1
    for a, b in ((first.words, again.words), (first.phones, again.phones)):
        pd.testing.assert_frame_equal(a, b)
    (kept,) = (tmp_path / "alignments").iterdir()

    aligned(corpus(recording("good", audio, f"{text}!")), tmp_path)
    assert len(calls) == 1  # the same words
    aligned(corpus(recording("louder", 0.9 * audio, text)), tmp_path)
    assert len(calls) == 2
    monkeypatch.setattr(alignment, "VERSION", 99)
    aligned(mine, tmp_path)
    assert len(calls) == 3
    monkeypatch.undo()

    for damage in ("", "{", json.dumps({"words": [["a", "x", 1]], "phones": []}), json.dumps({"words": []})):
        kept.write_text(damage)
        pd.testing.assert_frame_equal(aligned(mine, tmp_path).recordings[0].words, first.words)
        assert json.loads(kept.read_text())["words"]
