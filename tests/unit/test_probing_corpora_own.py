"""Corpora that labs put together themselves: tables and folders with transcripts, with every mistake they make."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from probing_corpora import RATE, tone, write_wav

from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.probing.corpora import guess_kind, open_corpus, parse_corpus
from braindash.studies.textgrid import COLUMNS, write_textgrid


def by_name(corpus: Corpus) -> dict:
    return {r.name: r for r in corpus.recordings}


def said(corpus: Corpus) -> str:
    return " ".join(corpus.caveats)


def table(folder: Path, text: str, name: str = "corpus.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for i, name in enumerate(["a.wav", "b b.wav", "deep/ü.wav"]):
        write_wav(tmp_path / name, 1.0 + i, seed=i)
    return tmp_path


# ---- tables


def test_a_table_of_files_and_labels(sounds: Path) -> None:
    words = pd.DataFrame([("one", 0.1, 0.4), ("two", 1.2, 1.9)], columns=COLUMNS)
    write_textgrid(sounds / "b.TextGrid", {"words": words, "phones": words}, 2.0)
    table(
        sounds,
        "\ufefffile,start,stop,speaker,split,transcript,textgrid,label,mood\n"
        "a.wav,,,anna,train,Hello there,,yes,calm\n"
        "b b.wav,1,1.95,bert,test,,b.TextGrid,no,\n"
        'deep/ü.wav,0.5,,anna,TEST,"Well, yes",,yes,NA\n',
    )
    assert parse_corpus(str(sounds)) == ("table", str(sounds))
    corpus = open_corpus("table", sounds)
    assert (corpus.id, corpus.kind, corpus.group_word) == ("corpus", "table", "speaker")
    assert not corpus.caveats
    first, second, third = corpus.recordings
    assert (first.name, first.group, first.scored, first.duration) == ("a.wav", "anna", False, 1.0)
    assert first.labels == {"speaker": "anna", "transcript": "Hello there", "label": "yes", "mood": "calm"}
    assert (second.name, second.scored, second.duration) == ("b b.wav 1-1.95 s", True, pytest.approx(0.95))
    assert second.labels == {"speaker": "bert", "label": "no"}
    assert second.words.to_numpy().tolist() == [["two", pytest.approx(0.2), pytest.approx(0.9)]]
    assert second.phones is not None
    np.testing.assert_allclose(second.load(), tone(2.0, 1)[RATE : round(1.95 * RATE)], atol=1e-4)
    assert third.labels["mood"] == "NA"
    assert third.labels["transcript"] == "Well, yes"
    assert third.duration == pytest.approx(2.5)
    assert len(third.load()) == 2.5 * RATE


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_other_formats_hold_the_same(sounds: Path, suffix: str) -> None:
    rows = pd.DataFrame({"file": ["a.wav", "b b.wav"], "start": [None, 0.5], "group": ["x", "y"], "level": [1, 2]})
    file = sounds / f"t{suffix}"
    if suffix == ".tsv":
        rows.to_csv(file, sep="\t", index=False)
    else:
        rows.set_index("file").to_parquet(file)
    corpus = open_corpus("table", file)
    assert [r.name for r in corpus.recordings] == ["a.wav", "b b.wav 0.5- s"]
    assert [r.group for r in corpus.recordings] == ["x", "y"]
    assert [dict(r.labels) for r in corpus.recordings] == [{"level": "1"}, {"level": "2"}]
    assert all(r.scored for r in corpus.recordings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file\na.wav\nnone.wav\nnor this.wav\n", "row 2, column file: there is no file 'none.wav'; 1 more rows"),
        ("file\na.wav\n\"\"\n", "row 2, column file: is empty"),
        ("file,split\na.wav,test\nb b.wav,dev\n", "row 2, column split: 'dev' is neither train nor test"),
        ("file,start\na.wav,1.5\n", "row 1, column start: 1.5 s lies outside the file, which is 1.00 s long"),
        ("file,start,stop\na.wav,0.5,1.2\n", "row 1, column stop: 1.2 s lies outside"),
        ("file,start,stop\na.wav,0.5,0.5\n", "row 1, column stop: 0.5 s does not lie after start"),
        ("file,start\na.wav,soon\n", "row 1, column start: 'soon' is no number"),
        ("file,start\na.wav,-1\n", "row 1, column start: '-1' is no number"),
        ("file,stop\na.wav,nan\n", "row 1, column stop: 'nan' is no number"),
        ("file,stop\na.wav,inf\n", "row 1, column stop: 'inf' is no number"),
        ("file,group\na.wav,\n", "row 1, column group: is empty"),
        ("file,textgrid\na.wav,x.TextGrid\n", "row 1, column textgrid: there is no file 'x.TextGrid'"),
        ("file,textgrid\na.wav,a.wav\n", "row 1, column textgrid: "),
        ("file\na.wav\na.wav\n", "row 2, column file: the same sound is in row 1"),
        ("file\n..\n", "row 1, column file: there is no file '..'"),
        ("file\nhttp://example.org/a.wav\n", "row 1, column file: there is no file"),
        ("file\n" + "x" * 5000 + "\n", "row 1, column file: 'xxx"),
        ("file,label\na.wav," + "y" * 100_000 + "\n", "row 1, column label: has 100,000 characters"),
        ("file,transcript\na.wav," + "y " * 10_000 + "\n", "row 1, column transcript: has 19,999 characters"),
        ("file," + ",".join(f"c{i}" for i in range(200)) + "\na.wav" + "," * 200 + "\n", "201 columns"),
        ("sound,label\na.wav,x\n", "has no column file; it has sound, label"),
        ("file,label,label \na.wav,x,y\n", "the column 'label' twice"),
        ("file\n", "has no rows"),
        ("", "cannot be read"),
        ('file,label\n"a.wav,x\n', "cannot be read"),
        ("file,label\na.wav,x,y,z\nb b.wav,1,2,3\n", "rows with more cells than columns"),
        ("file,label\na.wav,x\nb b.wav,1,2,3\n", "cannot be read"),
        ("file,split\na.wav,train\n", "is scored"),
    ],
)  # fmt: skip
def test_mistakes_in_a_table_are_named_by_row_and_column(sounds: Path, text: str, expected: str) -> None:
    file = table(sounds, text)
    with pytest.raises(BraindashError) as error:
        open_corpus("table", file)
    assert expected in error.value.what
    assert error.value.remedy
    assert len(str(error.value)) < 1000


def test_a_table_that_is_something_else(sounds: Path) -> None:
    (sounds / "bad.csv").write_bytes(b"\xff\xfe\x00\x01file\n")
    (sounds / "bad.parquet").write_bytes(b"PAR1 not really")
    for name in ("bad.csv", "bad.parquet"):
        with pytest.raises(BraindashError, match="cannot be read"):
            open_corpus("table", sounds / name)
    with pytest.raises(BraindashError, match="is no table"):
        open_corpus("table", sounds / "a.wav")
    with pytest.raises(BraindashError, match="holds 2 tables"):
        open_corpus("table", sounds)


def test_a_pickle_is_never_opened(sounds: Path) -> None:
    """A pickle under another name is bytes that are no table."""
    pd.DataFrame({"file": ["a.wav"]}).to_pickle(sounds / "t.pkl")
    with pytest.raises(BraindashError, match="is no table"):
        open_corpus("table", sounds / "t.pkl")
    (sounds / "t.pkl").rename(sounds / "t.parquet")
    with pytest.raises(BraindashError, match="cannot be read"):
        open_corpus("table", sounds / "t.parquet")


def test_absolute_paths_and_links_are_read_but_not_shown(
    sounds: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("private place")
    write_wav(elsewhere / "one" / "x.wav", 0.5)
    write_wav(elsewhere / "two" / "x.wav", 0.6)
    (sounds / "link.wav").symlink_to(elsewhere / "one" / "x.wav")
    rows = [elsewhere / "one" / "x.wav", elsewhere / "two" / "x.wav", sounds / "a.wav", "link.wav"]
    corpus = open_corpus("table", table(sounds, "file\n" + "\n".join(map(str, rows)) + "\n"))
    assert [r.name for r in corpus.recordings] == ["x.wav", "x.wav (row 2)", "a.wav", "link.wav"]
    assert "private place" not in repr([(r.name, r.group, r.labels) for r in corpus.recordings])
    assert [len(r.load()) for r in corpus.recordings] == [8000, 9600, 16000, 8000]


def test_damaged_sounds_of_a_table_are_left_out_and_counted(sounds: Path) -> None:
    whole = (sounds / "b b.wav").read_bytes()
    (sounds / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (sounds / "noise.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    (sounds / "empty.wav").write_bytes(b"")
    (sounds / "gone.wav").symlink_to("nowhere.wav")
    corpus = open_corpus("table", table(sounds, "file\na.wav\ncut.wav\nnoise.wav\nempty.wav\ngone.wav\n"))
    assert [r.name for r in corpus.recordings] == ["a.wav"]
    assert "4 files cannot be read and are left out: " in said(corpus)
    assert "and 1 more." in said(corpus)
    with pytest.raises(BraindashError, match="None of 2 recordings can be read"):
        open_corpus("table", table(sounds, "file\ncut.wav\nnoise.wav\n"))


def test_a_huge_table_is_thinned_evenly(sounds: Path) -> None:
    rows = [f"a.wav,{i * 0.002:.3f},{i * 0.002 + 0.1:.3f},g{i % 7},{'xy'[i % 4 == 0]}" for i in range(400)]
    file = table(sounds, "file,start,stop,group,label\n" + "\n".join(rows) + "\n")
    corpus = open_corpus("table", file, max_minutes=0.1)
    labels = [r.labels["label"] for r in corpus.recordings]
    assert len(labels) == 60
    assert labels.count("x") == labels.count("y") == 30
    assert {r.group for r in corpus.recordings} == {f"g{k}" for k in range(7)}
    assert "60 of 400 recordings are used" in said(corpus)


# ---- folders with transcripts


def test_prompts_as_asterisk_has_them(tmp_path: Path) -> None:
    for i, name in enumerate(["activated", "digits/1", "digits/one-again", "silence/1", "note", "extra"]):
        write_wav(tmp_path / f"{name}.wav", 0.5, i, rate=8000)
    (tmp_path / "phone.g722").write_bytes(b"\x00" * 100)
    (tmp_path / "core-sounds-en.txt").write_text(
        "; Prompts in English\n\nactivated: Activated: now.\ndigits/1: one\ndigits/one-again:  One! \n"
        'silence/1: (1 second of silence)\nnote: IAX [pause] (note: does not say "2")\nmissing: I am not here.\n'
        "phone: Over the phone.\n"
    )
    assert guess_kind(tmp_path) == "transcripts"
    corpus = open_corpus("transcripts", tmp_path)
    found = by_name(corpus)
    assert {n: r.labels["transcript"] for n, r in found.items()} == {
        "activated": "Activated: now.", "digits/1": "one", "digits/one-again": "One!", "note": "IAX",
    }  # fmt: skip
    assert found["digits/1"].group == found["digits/one-again"].group  # the same words
    assert len({r.group for r in corpus.recordings}) == 3
    assert len(found["note"].load()) == pytest.approx(0.5 * RATE, abs=2)
    assert "1 of 7 sounds hold no words and are left out." in said(corpus)
    assert "1 transcript without a sound left out: missing." in said(corpus)
    assert "1 sound of format .g722 cannot be read and left out." in said(corpus)


def test_debian_keeps_the_list_packed_and_elsewhere(tmp_path: Path) -> None:
    share = tmp_path / "share"
    sounds = share / "asterisk" / "sounds" / "en_US_f_Allison"
    write_wav(sounds / "letters" / "a.wav", rate=8000)
    doc = share / "doc" / "asterisk-core-sounds-en"
    doc.mkdir(parents=True)
    (doc / "core-sounds-en.txt.gz").write_bytes(gzip.compress(b"letters/a: Ay.\n"))
    assert parse_corpus(str(sounds)) == ("transcripts", str(sounds))
    assert [r.name for r in open_corpus("transcripts", sounds).recordings] == ["letters/a"]
    (doc / "core-sounds-en.txt.gz").write_bytes(gzip.compress(b"letters/a: Ay.\n")[:-9])
    with pytest.raises(BraindashError, match="cannot be read"):
        open_corpus("transcripts", sounds)


def test_a_folder_above_the_language(tmp_path: Path) -> None:
    write_wav(tmp_path / "en" / "hello.wav")
    (tmp_path / "fr").mkdir()
    (tmp_path / "core-sounds-en.txt").write_text("hello: Hello.\n")
    assert len(open_corpus("transcripts", tmp_path).recordings) == 1


def test_ljspeech(tmp_path: Path) -> None:
    for i, name in enumerate(["LJ001-0001", "LJ001-0002", "LJ002-0001"]):
        write_wav(tmp_path / "wavs" / f"{name}.wav", 0.5, i, rate=22050)
    (tmp_path / "metadata.csv").write_text(
        'LJ001-0001|In 1933, "he" said|In nineteen thirty-three, "he" said\nLJ001-0002|plain|\nLJ002-0001|a|b\n'
    )
    corpus = open_corpus(*parse_corpus(str(tmp_path)))
    assert corpus.group_word == "chapter"
    assert {r.name: r.group for r in corpus.recordings} == {
        "LJ001-0001": "LJ001", "LJ001-0002": "LJ001", "LJ002-0001": "LJ002",
    }  # fmt: skip
    assert [r.labels["transcript"] for r in corpus.recordings] == [
        'In nineteen thirty-three, "he" said', "plain", "b",
    ]  # fmt: skip


def test_transcripts_with_speakers_and_vectors(tmp_path: Path) -> None:
    write_wav(tmp_path / "with space.wav")
    write_wav(tmp_path / "b.wav")
    table(tmp_path, 'file,text,speaker\nwith space.wav,"Hello, World",anna\nb.wav,bye,bert\n', "transcripts.csv")
    vectors = tmp_path / "v.txt"
    vectors.write_text("hello 1 2\nbye 3 4\nother 5 6\n")
    corpus = open_corpus("transcripts", tmp_path / "transcripts.csv", vectors=vectors)
    assert corpus.group_word == "speaker"
    assert [r.labels for r in corpus.recordings] == [
        {"transcript": "Hello, World", "speaker": "anna"}, {"transcript": "bye", "speaker": "bert"},
    ]  # fmt: skip
    assert set(corpus.vectors) == {"hello", "bye"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("transcripts.csv", "name,text\na,b\n", "has no column file"),
        ("transcripts.csv", "file,text\nx.wav,one, two\n", "line 2: 3 cells where the first line has 2"),
        ("transcripts.csv", "file,text\nx.wav,a\nx.wav,b\n", "line 3: 'x.wav' is there already, in line 2"),
        ("transcripts.csv", "file,text\nnope.wav,a\n", "the first, 'nope.wav', is not there"),
        ("transcripts.csv", "file,text\n" + "n" * 5000 + ".wav,a\n", "is not there"),
        ("transcripts.csv", "file,text\nbad.wav,a\n", "None of 1 recordings can be read"),
        ("transcripts.csv", "", "has no column file"),
        ("metadata.csv", "LJ001-0001 no bar\n", "line 1: 'LJ001-0001 no bar' is not 'ID|text'"),
        ("core-sounds-en.txt", "; c\nno colon\n", "line 2: 'no colon' is not 'name: text'"),
        ("core-sounds-en.txt", "beep: [a tone]\n", "None of the 1 sounds"),
    ],
)
def test_mistakes_in_transcripts(tmp_path: Path, name: str, text: str, expected: str) -> None:
    write_wav(tmp_path / "x.wav")
    (tmp_path / "bad.wav").write_bytes(b"RIFF....WAVE")
    table(tmp_path, text, name)
    with pytest.raises(BraindashError) as error:
        open_corpus("transcripts", tmp_path)
    assert expected in error.value.what
    assert error.value.remedy


def test_several_files_of_transcripts(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav")
    table(tmp_path, "file,text\nx.wav,a\n", "transcripts.csv")
    table(tmp_path, "x: a\n", "core-sounds-en.txt")
    with pytest.raises(BraindashError, match="2 files of transcripts") as error:
        open_corpus("transcripts", tmp_path)
    assert len(open_corpus(*parse_corpus(error.value.remedy.split()[-1])).recordings) == 1
