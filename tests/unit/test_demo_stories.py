"""The committed stories: texts follow from the grammar, sound and annotation fit each other."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter

import numpy as np
import pytest
import soundfile

from braindash.demo.grammar import CLOSINGS, OPENINGS, SHARED, STORIES, TOPICS
from braindash.demo.make_stories import short_textgrid, write_texts
from braindash.demo.phonemes import Interval, align, edit_distance
from braindash.demo.simulate import STORIES as FOLDER
from braindash.demo.simulate import TR, story_index, word_vectors
from braindash.studies.audio import read_audio
from braindash.studies.textgrid import read_textgrid

ENTRIES = story_index()
NAMES = [e["name"] for e in ENTRIES]
CONTENT = {w for topic in TOPICS.values() for w in topic.words}
UNSEEN = {w for topic in TOPICS.values() for w in topic.unseen}


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_grammar_has_eight_topics_and_104_words_used_only_in_slots():
    assert len(TOPICS) == 8
    assert sum(len(t.words) for t in TOPICS.values()) == len(CONTENT) == 104
    patterns = [*SHARED, *OPENINGS, *CLOSINGS, *(s[2] for s in STORIES)]
    patterns += [p for t in TOPICS.values() for p in t.sentences]
    for pattern in patterns:
        assert not CONTENT & set(words_of(re.sub(r"{\w+}", "", pattern))), pattern


def test_texts_are_what_the_generator_writes():
    written = write_texts()
    assert [s.name for s in written] == NAMES
    for story, entry in zip(written, ENTRIES, strict=True):
        assert [s.text for s in story.sentences] == [s["text"] for s in entry["sentences"]]
        assert story.part == entry["part"]


def test_split_is_14_2_4_and_about_36_minutes():
    assert Counter(e["part"] for e in ENTRIES) == {"tune": 14, "validation": 2, "test": 4}
    assert 30 < sum(e["duration"] for e in ENTRIES) / 60 < 45


def test_unseen_words_are_in_test_stories_only_and_recorded():
    spoken: dict[str, set[str]] = {"tune": set(), "validation": set(), "test": set()}
    for entry in ENTRIES:
        for sentence in entry["sentences"]:
            new = UNSEEN & set(words_of(sentence["text"]))
            assert new == set(sentence["unseen"])
            spoken[entry["part"]] |= CONTENT & set(words_of(sentence["text"]))
    assert not UNSEEN & (spoken["tune"] | spoken["validation"])
    assert len(UNSEEN & spoken["test"]) >= 12
    assert spoken["tune"] == CONTENT - UNSEEN
    assert spoken["validation"] <= spoken["tune"]


def test_a_day_stays_on_one_topic():
    for entry in ENTRIES:
        topics = [s["topic"] for s in entry["sentences"] if s["topic"]]
        changes = sum(a != b for a, b in itertools.pairwise(topics))
        assert changes == len(set(topics)) - 1 == 5
        for sentence in entry["sentences"]:
            if sentence["topic"]:
                assert CONTENT & set(words_of(sentence["text"])) <= set(TOPICS[sentence["topic"]].words)


def test_files_are_small():
    sizes = [p.stat().st_size for p in FOLDER.iterdir()]
    assert max(sizes) < 1_000_000
    assert sum(sizes) < 7_000_000


@pytest.mark.parametrize("name", NAMES[::6])
def test_audio_and_textgrid_have_one_duration(name: str):
    entry = ENTRIES[NAMES.index(name)]
    decoded, rate = soundfile.read(FOLDER / f"{name}.ogg", dtype="float32")
    end = max(table["offset"].max() for table in read_textgrid(FOLDER / f"{name}.TextGrid").values())
    assert decoded.ndim == 1
    assert rate == 16_000
    assert len(decoded) / rate == pytest.approx(end, abs=0.02)
    assert len(decoded) / rate == pytest.approx(entry["duration"], abs=0.02)
    assert entry["duration"] % TR == 0
    assert np.isfinite(decoded).all()
    assert 0.5 < np.abs(decoded).max() < 0.8


@pytest.mark.parametrize("name", NAMES)
def test_words_tile_the_story_and_say_its_text(name: str):
    entry = ENTRIES[NAMES.index(name)]
    grid = read_textgrid(FOLDER / f"{name}.TextGrid")
    for table in grid.values():
        assert (table["onset"].to_numpy()[1:] == table["offset"].to_numpy()[:-1]).all()
        assert table["onset"].iloc[0] == 0
    said = grid["word"][grid["word"]["text"] != ""]
    assert said["text"].tolist() == [w for s in entry["sentences"] for w in words_of(s["text"])]
    lengths = (said["offset"] - said["onset"]).to_numpy()
    assert lengths.min() > 0.02
    assert lengths.max() < 1.2
    assert 0.2 < np.median(lengths) < 0.35
    phones = grid["phone"][grid["phone"]["text"] != ""]
    onsets = set(phones["onset"].round(4))
    assert all(round(t, 4) in onsets for t in said["onset"]), "a word begins where one of its phones begins"
    for sentence in entry["sentences"]:
        inside = said[(said["onset"] > sentence["onset"] - 2e-3) & (said["offset"] < sentence["offset"] + 2e-3)]
        assert inside["text"].tolist() == words_of(sentence["text"])


def test_sound_is_loud_in_words_and_silent_between_sentences():
    """Annotation that slipped by a fraction of a second against the decoded audio would fail here."""
    name = NAMES[0]
    audio = read_audio(FOLDER / f"{name}.ogg")
    level = np.sqrt((audio[: len(audio) // 160 * 160].reshape(-1, 160) ** 2).mean(1))  # 10 ms
    grid = read_textgrid(FOLDER / f"{name}.TextGrid")["word"]
    times = (np.arange(len(level)) + 0.5) * 0.01
    said = grid[grid["text"] != ""]
    inside = np.zeros(len(level), bool)
    for onset, offset in zip(said["onset"], said["offset"], strict=True):
        inside |= (times > onset) & (times < offset)

    def contrast(shift: int) -> float:
        moved = np.roll(inside, shift)
        return float(np.corrcoef(moved, np.log(level + 1e-4))[0, 1])

    best = max(range(-40, 41, 2), key=contrast)
    assert abs(best) <= 6, f"words and sound fit best {best * 10} ms apart"
    assert contrast(0) > 0.5


def test_every_content_word_has_a_vector_and_topics_stand_apart():
    vectors = word_vectors()
    assert set(vectors) == CONTENT
    table = np.array([vectors[w] for t in TOPICS.values() for w in t.words])
    topic = np.repeat(np.arange(len(TOPICS)), [len(t.words) for t in TOPICS.values()])
    assert table.shape == (104, 8)
    assert np.abs(np.corrcoef(table.T) - np.eye(8)).max() < 0.01  # principal components are uncorrelated
    between = np.array([table[topic == k].mean(0) for k in range(8)]).var(0).sum() / table.var(0).sum()
    shuffled = np.random.default_rng(0).permutation(topic)
    chance = np.array([table[shuffled == k].mean(0) for k in range(8)]).var(0).sum() / table.var(0).sum()
    assert between > 3 * chance


def test_align_splits_groups_that_espeak_runs_together():
    said = {"of": "ʌv", "the": "ðə", "cat": "kˈæt", "ran": "ɹˈæn"}
    timed = [("^", 0.1)] + [(c, 0.05) for c in "ʌvðə kˈæt, ɹˈæn."] + [("$", 0.1)]
    phones, words, pauses = align(["of", "the", "cat", "ran"], timed, lambda w: list(said[w]), start=1.0)
    assert [w.text for w in words] == ["of", "the", "cat", "ran"]
    assert [p.text for p in phones] == ["AH", "V", "DH", "AH", "K", "AE", "T", "R", "AE", "N"]
    np.testing.assert_allclose(
        [(w.onset, w.offset) for w in words], [(1.1, 1.2), (1.2, 1.325), (1.325, 1.55), (1.65, 1.85)], atol=1e-9
    )
    assert [(round(p.onset, 3), round(p.offset, 3)) for p in pauses] == [(1.0, 1.1), (1.55, 1.65), (1.85, 2.0)]


def test_align_refuses_words_that_were_not_spoken():
    with pytest.raises(ValueError, match="cannot be matched"):
        align(["a", "b"], [("k", 0.1)], lambda w: ["k"])


def test_edit_distance():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3
    assert edit_distance("same", "same") == 0


def test_short_textgrid_is_read_back(tmp_path):
    tiers = {"phone": [Interval("N", 0.5, 0.625)], "word": [Interval("n", 0.5, 0.625), Interval("o", 0.625, 1.0)]}
    (tmp_path / "a.TextGrid").write_text(short_textgrid(tiers, 2.0))
    grid = read_textgrid(tmp_path / "a.TextGrid")
    assert grid["word"].to_numpy().tolist() == [["", 0, 0.5], ["n", 0.5, 0.625], ["o", 0.625, 1.0], ["", 1.0, 2.0]]
    assert grid["phone"].to_numpy().tolist() == [["", 0, 0.5], ["N", 0.5, 0.625], ["", 0.625, 2.0]]


def test_index_is_plain_json():
    assert json.loads((FOLDER / "words.json").read_text())["sea"]["unseen"] == ["whale", "ferry"]
