"""Corpora in the layouts that labs have: what is read, grouped, scored, left out and said."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from mini_study import write_mini_study
from probing_corpora import RATE, hash_of, tone, write_speech_commands, write_sphere, write_timit, write_wav

from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.probing.corpora import CORPORA, guess_kind, open_corpus, parse_corpus, register_corpus, study_corpus
from braindash.probing.corpora.choosing import Candidate, choose, readable_duration
from braindash.probing.corpora.crema_d import SENTENCES
from braindash.probing.corpora.timit import fold_phones
from braindash.studies.textgrid import COLUMNS, write_textgrid


def by_name(corpus: Corpus) -> dict:
    return {r.name: r for r in corpus.recordings}


def said(corpus: Corpus) -> str:
    return " ".join(corpus.caveats)


def check_whole(corpus: Corpus) -> None:
    """Names are unique, and every sound is as long as its recording says."""
    assert len(by_name(corpus)) == len(corpus.recordings)
    for r in corpus.recordings:
        audio = r.load()
        assert audio.dtype == np.float32
        assert len(audio) == pytest.approx(r.duration * RATE, abs=2)
        for table in (r.words, r.phones):
            if table is not None:
                assert list(table.columns[:3]) == COLUMNS
                assert (table["onset"] >= 0).all()
                assert (table["offset"] <= r.duration + 1e-9).all()


# ---- TIMIT


@pytest.mark.parametrize("lower", [False, True])
def test_timit(tmp_path: Path, lower: bool) -> None:
    corpus = open_corpus("timit", write_timit(tmp_path, lower=lower))
    check_whole(corpus)
    assert corpus.group_word == "speaker"
    assert len(corpus.recordings) == 2 * 2 * 2 * 3
    recordings = by_name(corpus)
    assert {n for n, r in recordings.items() if r.scored} == {
        f"TEST/{who}/{s}" for who in ("FT100", "MT110", "FT200", "MT210") for s in ("SX3", "SI7")
    }
    assert "(8 of the recordings)" in said(corpus)
    one = recordings["TEST/MT110/SX3"]
    assert one.group == "MT110"
    assert one.labels == {
        "speaker": "MT110", "sex": "male", "dialect": "DR1", "sentence_type": "compact",
        "transcript": "Is it a bit, SX3?",
    }  # fmt: skip
    assert one.words.to_numpy().tolist() == [["bit", 0.1, 0.35], ["s", 0.35, 0.5]]
    # the closure joins the stop that follows; the one of T, which does not open, stays a T
    assert one.phones.to_numpy().tolist() == [["B", 0.1, 0.17], ["IH", 0.17, 0.3], ["T", 0.3, 0.35], ["S", 0.35, 0.5]]
    written = np.round(tone(1.0, hash_of(["TEST", "DR1", "MT110", "SX3"])) * 32767) / 32768
    np.testing.assert_allclose(one.load(), written, atol=1e-6)


def test_timit_one_folder_deeper_and_by_itself(tmp_path: Path) -> None:
    write_timit(tmp_path / "TIMIT", speakers=1)
    assert parse_corpus(str(tmp_path)) == ("timit", str(tmp_path))
    assert len(open_corpus("timit", tmp_path).recordings) == 12


def test_timit_without_its_test_part_has_nothing_to_score(tmp_path: Path) -> None:
    write_timit(tmp_path, speakers=1)
    (tmp_path / "TEST").rename(tmp_path / "elsewhere")
    with pytest.raises(BraindashError, match="is scored"):
        open_corpus("timit", tmp_path)


def test_timit_with_damaged_files(tmp_path: Path) -> None:
    write_timit(tmp_path, speakers=2)
    folder = tmp_path / "TEST" / "DR1" / "FT100"
    whole = (folder / "SX3.WAV").read_bytes()
    (folder / "SX3.WAV").write_bytes(whole[:-4000])
    (folder / "SI7.PHN").write_text("0 1600 h#\n1600 later b\n")
    (folder / "SI7.WRD").unlink()
    corpus = open_corpus("timit", tmp_path)
    check_whole(corpus)
    assert "TEST/FT100/SX3" not in by_name(corpus)
    assert "1 file cannot be read and is left out: TEST/FT100/SX3." in said(corpus)
    hurt = by_name(corpus)["TEST/FT100/SI7"]
    assert hurt.words is None
    assert hurt.phones is None
    assert "2 annotation files missing or damaged and not used: TEST/FT100/SI7.WRD, TEST/FT100/SI7.PHN." in said(corpus)


def test_timit_phones_are_folded_into_those_of_dictionaries() -> None:
    symbols = "h# sh iy hv ae dcl jh axr dcl d aa r kcl s ux q en gcl w dx pau nx tcl ch ax-h epi kcl"
    phones = pd.DataFrame([(s, i, i + 1) for i, s in enumerate(symbols.split())], columns=COLUMNS)
    folded = fold_phones(phones)
    assert " ".join(folded["text"]) == "SH IY HH AE JH ER D AA R K S UW N G W DX N CH AH K"
    spans = {t: (on, off) for t, on, off in folded.itertuples(index=False)}
    assert spans["JH"] == (5, 7)
    assert spans["CH"] == (22, 24)
    assert spans["D"] == (8, 10)
    assert spans["G"] == (17, 18)


# ---- Speech Commands


def test_speech_commands(tmp_path: Path) -> None:
    corpus = open_corpus("speech_commands", write_speech_commands(tmp_path))
    check_whole(corpus)
    assert len(corpus.recordings) == 3 * 6
    one = by_name(corpus)["no/00000001_nohash_0.wav"]
    assert (one.group, one.scored) == ("00000001", True)
    assert one.labels == {"label": "no", "transcript": "no", "speaker": "00000001"}
    assert {r.group for r in corpus.recordings if r.scored} == {"00000000", "00000001"}
    assert not corpus.caveats


def test_speech_commands_without_lists_scores_all_and_counts_odd_files(tmp_path: Path) -> None:
    write_speech_commands(tmp_path, listed=False)
    write_wav(tmp_path / "yes" / "mine.wav")
    corpus = open_corpus(*parse_corpus(str(tmp_path)))
    assert all(r.scored for r in corpus.recordings)
    assert "1 file not named SPEAKER_nohash_N.wav, and not used: yes/mine.wav." in said(corpus)


def test_speech_commands_with_the_list_of_another_folder(tmp_path: Path) -> None:
    write_speech_commands(tmp_path)
    (tmp_path / "testing_list.txt").write_text("cat/ffffffff_nohash_0.wav\n")
    with pytest.raises(BraindashError, match="None of the 1 files"):
        open_corpus("speech_commands", tmp_path)


def test_of_many_files_only_the_chosen_ones_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 names may be listed, but not 100,000 headers read; the choice is even, and always the same."""
    write_speech_commands(tmp_path, words=5, speakers=60)
    opened = []
    monkeypatch.setattr(
        "braindash.probing.corpora.choosing.readable_duration",
        lambda file: (opened.append(file), readable_duration(file))[1],
    )
    corpus = open_corpus("speech_commands", tmp_path, max_minutes=0.5)
    assert len(opened) == len(corpus.recordings) == 60  # 30 s of half-second files
    scored = [r for r in corpus.recordings if r.scored]
    assert len(scored) == 30
    for part in (scored, [r for r in corpus.recordings if not r.scored]):
        assert Counter(r.labels["label"] for r in part) == dict.fromkeys(("yes", "no", "up", "down", "left"), 6)
        assert len({r.group for r in part}) >= 14
    assert "60 of 300 recordings are used" in said(corpus)
    assert "240 are left out to stay near 0.5 minutes" in said(corpus)
    again = open_corpus("speech_commands", tmp_path, max_minutes=0.5)
    assert [r.name for r in again.recordings] == [r.name for r in corpus.recordings]


# ---- choosing


def candidates(folder: Path, spec: dict[tuple[str, str, bool], int], seconds: float = 0.5) -> list[Candidate]:
    file = write_wav(folder / "shared.wav", seconds)
    return [
        Candidate(f"{label}-{group}-{k}", file, group, scored, label)
        for (label, group, scored), n in spec.items()
        for k in range(n)
    ]


def test_the_choice_is_even_over_labels_and_over_groups_within_them(tmp_path: Path) -> None:
    """One label has ten times the files of the other, and one speaker most of them."""
    spec = {("a", "loud", True): 90, ("a", "quiet", True): 10, ("b", "loud", True): 5, ("b", "quiet", True): 5}
    kept = [c for c, _ in choose(candidates(tmp_path, spec), 16 * 0.5 / 60, group_word="speaker").kept]
    assert Counter((c.label, c.group) for c in kept) == {k[:2]: 4 for k in spec}


@pytest.mark.parametrize(("n_scored", "n_others", "expected"), [(50, 50, (10, 10)), (4, 50, (4, 16)), (50, 3, (17, 3))])
def test_scored_recordings_get_half_and_what_the_others_leave(
    tmp_path: Path, n_scored: int, n_others: int, expected: tuple[int, int]
) -> None:
    spec = {("", "x", True): n_scored, ("", "y", False): n_others}
    kept = [c for c, _ in choose(candidates(tmp_path, spec), 20 * 0.5 / 60, group_word="speaker").kept]
    assert (sum(c.scored for c in kept), sum(not c.scored for c in kept)) == expected


def test_opening_reads_headers_only(tmp_path: Path) -> None:
    """Ten minutes of sound are 38 MB as float32."""
    write_wav(tmp_path / "long.wav", 600.0)
    (tmp_path / "t.csv").write_text("file\nlong.wav\n")
    open_corpus("table", tmp_path)
    tracemalloc.start()
    corpus = open_corpus("table", tmp_path, max_minutes=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.recordings[0].duration == 600.0
    assert peak < 2e6


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "sph"])
def test_files_cut_short_are_noticed_without_reading_them(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x.{suffix}"
    if suffix == "sph":
        write_sphere(file, np.round(tone(2.0) * 32767))
    else:
        sf.write(file, tone(2.0), RATE)
    assert readable_duration(file) == pytest.approx(2.0)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])
    if suffix == "ogg":  # a container of pages is whole up to the cut: what it says can be read
        assert len(sf.read(file)[0]) == pytest.approx(readable_duration(file) * RATE)
    else:
        with pytest.raises(BraindashError, match=r"cut short|cannot be read"):
            readable_duration(file)


# ---- CREMA-D


def test_crema_d(tmp_path: Path) -> None:
    folder = tmp_path / "AudioWAV"
    for i, name in enumerate(["1001_DFA_ANG_XX", "1001_IEO_HAP_HI", "1002_TSI_NEU_XX", "1002_WSI_SAD_LO"]):
        write_wav(folder / f"{name}.wav", 0.5, i)
    write_wav(folder / "1003_QQQ_ANG_XX.wav")
    (folder / "1003_DFA_ANG_XX.wav").write_bytes(b"")
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,x,y\n")
    assert guess_kind(tmp_path) == "crema_d"
    corpus = open_corpus("crema_d", tmp_path)
    check_whole(corpus)
    assert by_name(corpus)["1001_IEO_HAP_HI.wav"].labels == {
        "speaker": "1001", "emotion": "happy", "sentence": "IEO", "transcript": "It's eleven o'clock", "level": "high",
        "sex": "male",
    }  # fmt: skip
    other = by_name(corpus)["1002_TSI_NEU_XX.wav"]
    assert "level" not in other.labels
    assert "sex" not in other.labels
    assert (other.group, other.scored) == ("1002", True)
    assert "1 file cannot be read and is left out: 1003_DFA_ANG_XX.wav." in said(corpus)
    assert "1 file not named by the codes of CREMA-D, and not used: 1003_QQQ_ANG_XX.wav." in said(corpus)
    assert len(SENTENCES) == 12


def test_crema_d_of_pointers_says_how_to_get_them(tmp_path: Path) -> None:
    file = tmp_path / "1001_DFA_ANG_XX.wav"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(BraindashError, match="not downloaded"):
        open_corpus("crema_d", tmp_path)


# ---- a study


@pytest.fixture
def study(tmp_path: Path):
    from braindash.studies.table import open_table

    return open_table(write_mini_study(tmp_path / "mini"))


def test_study_stories_are_recordings_and_only_test_stories_are_scored(study) -> None:
    corpus = study_corpus(study)
    check_whole(corpus)
    assert [r.name for r in corpus.recordings] == ["one", "two", "three", "four", "five", "six"]
    assert {r.name for r in corpus.recordings if r.scored} == {"five", "six"}
    assert all(r.group == r.name for r in corpus.recordings)
    assert all(r.words is None and r.phones is None for r in corpus.recordings)
    assert corpus.vectors is None
    assert (corpus.kind, corpus.id, corpus.group_word) == ("study", "mini", "story")


@pytest.mark.parametrize(
    ("minutes", "names"),
    [(100, ["one", "two", "three", "four", "five", "six"]), (5.5, ["one", "two", "five", "six"]), (1, ["five"])],
)
def test_study_within_minutes_keeps_test_stories_first(study, minutes: float, names: list[str]) -> None:
    """Every story is 80 s long."""
    corpus = study_corpus(study, max_minutes=minutes)
    assert [r.name for r in corpus.recordings] == names
    left = {100: "", 5.5: "2 of 6 stories (1 tune, 1 validation)", 1: "5 of 6 stories (1 test, 3 tune, 1 validation)"}
    assert left[minutes] in said(corpus)
    assert bool(left[minutes]) == bool(corpus.caveats)


def test_study_words_phones_and_vectors(study, tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    words = pd.DataFrame([("Hello", 1.0, 1.5), ("World", 2.0, 2.5)], columns=COLUMNS)
    phones = pd.DataFrame([("HH", 1.0, 1.1)], columns=COLUMNS)
    write_textgrid(folder / "six.TextGrid", {"words": words, "phones": phones}, 80.0)
    file = folder / "study.yaml"
    file.write_text(file.read_text().replace("audio: six.wav\n", "audio: six.wav\n  textgrid: six.TextGrid\n"))
    from braindash.studies.table import open_table

    study = open_table(folder)
    corpus = study_corpus(study)
    six = by_name(corpus)["six"]
    assert six.words["text"].tolist() == ["Hello", "World"]
    assert six.phones["onset"].tolist() == [1.0]
    assert "5 of 6 stories have no words or phones: one, two, three and 2 more." in said(corpus)
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("hello 1 0\nother 0 1\n")
    corpus = study_corpus(study, vectors=vectors)
    assert set(corpus.vectors) == {"hello"}
    assert corpus.vectors_title == "vectors.txt"
    vectors.write_text("other 0 1\n")
    with pytest.raises(BraindashError, match="a vector for none of the 2 words"):
        study_corpus(study, vectors=vectors)


def test_study_by_id_and_subject(tmp_path: Path) -> None:
    from braindash.studies import add_study

    add_study(tmp_path / "home", "table", write_mini_study(tmp_path / "mini"))
    kind, path = parse_corpus("study:mini")
    corpus = open_corpus(kind, path, home=tmp_path / "home", subject="sub-01")
    assert len(corpus.recordings) == 6
    with pytest.raises(BraindashError, match="no subject"):
        open_corpus(kind, path, home=tmp_path / "home", subject="sub-09")


def test_demo_stories_have_everything_and_say_what_they_are() -> None:
    from braindash.demo.study import DemoStudy

    study = object.__new__(DemoStudy)  # its stories come with the package; responses are not needed
    from braindash.demo import simulate
    from braindash.studies.base import Split, Story
    from braindash.studies.textgrid import read_textgrid

    entries = simulate.story_index(True)
    study.id, study.subjects = "demo", ()
    study.stories = {}
    for e in entries:
        grid = read_textgrid(simulate.STORIES / f"{e['name']}.TextGrid")
        file = simulate.STORIES / f"{e['name']}.ogg"
        study.stories[e["name"]] = Story(e["name"], e["part"], file, e["duration"], grid["word"], grid["phone"])
    study._split = Split(*(tuple(e["name"] for e in entries if e["part"] == p) for p in ("tune", "validation", "test")))
    corpus = study_corpus(study)
    assert any(r.scored for r in corpus.recordings)
    assert "synthetic voice" in said(corpus)
    assert "Simulated" in said(corpus)
    words = {w.lower() for r in corpus.recordings for w in r.words["text"]}
    assert set(corpus.vectors) <= words
    assert len(corpus.vectors) > 50
    assert "study" in corpus.vectors_title


# ---- names of corpora


def test_kind_and_path(tmp_path: Path) -> None:
    assert parse_corpus("timit:/data/TIMIT") == ("timit", "/data/TIMIT")
    assert parse_corpus(r"table:C:\x\t.csv") == ("table", r"C:\x\t.csv")
    with pytest.raises(BraindashError, match="Did you mean timit"):
        parse_corpus("timti:/data/TIMIT")
    with pytest.raises(BraindashError, match="names no path"):
        parse_corpus("timit:")
    with pytest.raises(BraindashError, match="There is no folder or file"):
        parse_corpus("/nowhere/at/all")
    with pytest.raises(BraindashError, match="There is no folder or file"):
        open_corpus("timit", tmp_path / "nowhere")
    with pytest.raises(BraindashError, match="no option 'minutes'"):
        open_corpus("timit", tmp_path, minutes=3)
    with pytest.raises(BraindashError, match="limited to -1 minutes"):
        open_corpus("timit", tmp_path, max_minutes=-1)
    with pytest.raises(BraindashError, match="no kind of corpus"):
        open_corpus("librispeech", tmp_path)


def test_a_layout_that_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match="no layout that is known"):
        guess_kind(tmp_path)
    write_speech_commands(tmp_path)
    (tmp_path / "transcripts.csv").write_text("file,text\n")
    with pytest.raises(BraindashError, match="speech_commands or transcripts") as error:
        guess_kind(tmp_path)
    assert error.value.remedy == f"Say which: speech_commands:{tmp_path}"
    with pytest.raises(BraindashError, match="is a study"):
        guess_kind(write_mini_study(tmp_path / "mini"))


@pytest.mark.parametrize("kind", [k for k in CORPORA if k != "study"])
def test_an_empty_folder_is_refused_by_every_layout(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BraindashError) as error:
        open_corpus(kind, tmp_path)
    assert str(tmp_path) in error.value.what
    assert error.value.remedy


def test_registering_a_layout() -> None:
    before = dict(CORPORA)
    try:
        register_corpus("mine", "some.module:function")
        register_corpus("mine", "some.module:function")
        with pytest.raises(ValueError, match="already registered"):
            register_corpus("mine", "other.module:function")
        with pytest.raises(ValueError, match="module:function"):
            register_corpus("yours", "no reference")
        with pytest.raises(ValueError, match="lower-case"):
            register_corpus("My Kind", "some.module:function")
    finally:
        CORPORA.clear()
        CORPORA.update(before)
