"""What probe tasks cut out of a corpus: labels that are known, counts that add up, types that stay apart."""

from __future__ import annotations

import sys
import types
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from probing_corpus import CONTENT, SAID, corpus_of, hand_made, intervals, whole_corpus

from braindash.encoding.spaces import ARTICULATION
from braindash.errors import BraindashError
from braindash.probing import phones as phones_module
from braindash.probing import tasks
from braindash.probing.base import Corpus, Examples, Limits
from braindash.probing.function_words import CLOSED, UNCLEAR
from braindash.probing.phones import NO_PHONE, SILENT, TIMIT, TIMIT_LABELS, read_phones
from braindash.probing.tasks import choose_tasks, example_groups, open_task, register_task, task_names
from braindash.studies.textgrid import read_textgrid, write_textgrid

SMALL = Limits(fewest_examples=4, fewest_per_class=2)
LEXICAL = {"word_boundary", "part_of_speech", "word_frequency", "word_meaning"}  # of "word" the type is the class
DOCS = Path(__file__).parents[2] / "docs" / "probing.md"


def make(name: str, corpus: Corpus, limits: Limits = SMALL) -> Examples:
    return open_task(name).make(corpus, limits)


def named(found: Examples) -> list[str]:
    return [found.names[k] for k in found.y]


def counted(found: Examples) -> int:
    return len(found) + sum(n for reason, n in found.left_out.items() if "not examples" not in reason)


# --- every task ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return whole_corpus()


@pytest.mark.parametrize("name", task_names())
def test_every_task_cuts_examples_that_can_be_probed(name: str, corpus: Corpus) -> None:
    task = open_task(name)
    assert task.title
    assert task.explanation.endswith(".")
    limits = Limits(max_examples=200, fewest_examples=4, fewest_per_class=2)
    found = task.make(corpus, limits)
    assert 4 <= len(found) <= 200
    ends = np.array([r.duration for r in corpus.recordings])[found.recording]
    assert (found.spans[:, 0] >= 0).all()
    assert (found.spans[:, 1] <= ends).all()
    assert (found.spans[:, 1] - found.spans[:, 0] > 0.03).all()
    assert len(found.recording) == len(found.spans) == len(found.y)
    if task.kind == "classification":
        assert found.y.dtype.kind == "i"
        scored = np.array([corpus.recordings[i].scored for i in found.recording])
        groups = example_groups(corpus, task, found)
        assert np.bincount(found.y[scored], minlength=len(found.names)).min() >= 2
        for group in np.unique(groups[scored]):  # whatever is held out, every class can be learned
            assert np.bincount(found.y[groups != group], minlength=len(found.names)).min() >= 2
    else:
        assert found.y.shape == (len(found), len(found.names))
        assert found.y.dtype.kind == ("b" if task.kind == "multilabel" else "f")
        assert np.isfinite(found.y.astype(float)).all()
    if name in LEXICAL:
        assert found.items is not None
        assert set(found.items) <= set(SAID)
    again = task.make(corpus, limits)
    np.testing.assert_array_equal(again.spans, found.spans)
    np.testing.assert_array_equal(again.y, found.y)


@pytest.mark.parametrize("most", [150, 100_000])
def test_counts_add_up(corpus: Corpus, most: int) -> None:
    limits = Limits(max_examples=most, fewest_examples=4, fewest_per_class=2)
    n_words = sum(len(r.words) for r in corpus.recordings if r.words is not None)
    n_phones = sum(len(r.phones) for r in corpus.recordings if r.phones is not None)
    for name in ("word", "part_of_speech", "word_frequency", "word_meaning"):
        assert counted(make(name, corpus, limits)) == n_words, name
    for name in ("phone", "articulation", "word_boundary"):
        assert counted(make(name, corpus, limits)) == n_phones, name
    for name in ("sentence_type", "label"):
        assert counted(make(name, corpus, limits)) == len(corpus.recordings), name
    assert counted(make("mel", corpus, limits)) == sum(int((r.duration + 1e-6) / 0.04) for r in corpus.recordings)


def test_every_task_has_a_row_in_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8").split("## Tasks")[1].split("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"`{n}`" for n in task_names()]


# --- the registry ----------------------------------------------------------------------------------


def test_names_are_offered_and_mistakes_refused() -> None:
    with pytest.raises(BraindashError, match="Did you mean pitch"):
        open_task("pich")
    for name, where in (("Bad", "a.b:C"), ("fine", "nowhere"), ("phone", "other.module:TASK")):
        with pytest.raises(ValueError, match=name):
            register_task(name, where)


def test_a_further_task_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch, corpus: Corpus) -> None:
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))
    module = types.ModuleType("my_task")
    module.TASK = replace(open_task("phone"), name="my_task")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_task", module)
    register_task("my_task", "my_task:TASK")
    chosen, not_done = choose_tasks(corpus, ["my_task"], SMALL)
    assert [t.name for t, _ in chosen] == ["my_task"]
    assert not_done == []


def test_what_a_corpus_cannot_do_is_listed_or_refused(corpus: Corpus) -> None:
    mute = replace(corpus, vectors=None)
    chosen, not_done = choose_tasks(mute, None, SMALL)
    assert [n["task"] for n in not_done] == ["word_meaning"]
    assert "no word vectors" not in not_done[0]["title"]
    assert "comes without word vectors" in not_done[0]["why"]
    assert len(chosen) == len(task_names()) - 1
    with pytest.raises(BraindashError, match=r"'word_meaning' cannot be done with Made up: .* without word vectors"):
        choose_tasks(mute, ["phone", "word_meaning"], SMALL)
    with pytest.raises(BraindashError, match="can do none of 15 probe tasks"):
        choose_tasks(corpus_of(hand_made(duration=1.0)))


# --- phones ----------------------------------------------------------------------------------------


def phoned(text: str, n: int = 2, **kwargs: object) -> Corpus:
    table = intervals(text)
    return corpus_of(*(hand_made(f"r{i}", phones=table, **kwargs) for i in range(n)))


def test_timit_has_61_labels_and_39_classes() -> None:
    assert len(TIMIT_LABELS) == 61
    assert len(set(TIMIT.values())) == 39
    assert {k for k, v in TIMIT.items() if v == "SIL"} == {f"{c}cl" for c in "bdgptk"} | {"pau", "epi", "h#"}
    assert TIMIT["zh"] == TIMIT["sh"] != TIMIT["s"]
    assert TIMIT["ao"] == TIMIT["aa"]


def test_labels_of_timit_are_folded_and_silence_is_counted() -> None:
    found = read_phones(phoned("h# sh ix tcl t q ao zh dx h#", n=1))
    assert found.label_set == "TIMIT"
    assert found.table["phone"].tolist() == ["SH", "IH", "T", "AA", "SH", "DX"]
    assert found.table["arpabet"].tolist() == ["SH", "IH", "T", "AO", "ZH", "D"]
    assert found.left_out == {SILENT: 3, NO_PHONE: 1}


def test_arpabet_loses_its_stress_and_other_labels_stay() -> None:
    found = read_phones(phoned("sp AH0 n AO1 ZH ax NG spn AA2 S T R IY1 {LG}", n=1))
    assert (found.label_set, found.left_out) == ("ARPAbet", {SILENT: 2, NO_PHONE: 1})
    assert " ".join(found.table["phone"]) == "AH N AO ZH AH NG AA S T R IY"
    other = phoned("ə b ɪ ʃ ɔː b", n=2)
    assert read_phones(other).table["phone"].tolist() == ["ə", "b", "ɪ", "ʃ", "ɔː", "b"] * 2
    assert len(make("phone", other, Limits(fewest_examples=4, fewest_per_class=1)).names) == 5
    with pytest.raises(BraindashError, match=r"not ARPAbet \(some of them: ə, b"):
        make("articulation", other)


def test_articulation_is_that_of_the_feature_space() -> None:
    symbols = ["B", "IY1", "SH", "OW0", "NG", "AA1", "T"]
    found = make("articulation", phoned(" ".join(symbols), 2), Limits(fewest_examples=4, fewest_per_class=1))
    for k, symbol in enumerate(symbols * 2):
        has = {n for n, on in zip(found.names, found.y[k], strict=True) if on}
        assert has == {n for n, members in ARTICULATION.items() if symbol.rstrip("012") in members} & set(found.names)
    assert "palatal" not in found.names  # no Y is said


def test_a_corpus_without_phones_is_refused_with_the_remedy() -> None:
    with pytest.raises(BraindashError, match="None of the 1 recordings of Hand-made has phones") as error:
        make("phone", corpus_of(hand_made(words=intervals("a b"))))
    assert "TextGrids" in error.value.remedy
    some = corpus_of(*phoned("B AH T").recordings, hand_made("r9"))
    assert make("phone", some, Limits(fewest_examples=4, fewest_per_class=1)).left_out == {phones_module.NO_TIMES: 1}


def test_sentences_end_at_pauses_at_marks_and_after_eight_seconds() -> None:
    phones = intervals("B AH . . . T IY B IH . K OW", length=0.1)
    words = pd.DataFrame(
        [("buh", 0, 0.2), ("tea.", 0.5, 0.7), ("bih", 0.7, 0.9), ("koh", 1.0, 1.2)], columns=["text", "onset", "offset"]
    )
    long = intervals(" ".join(["S AH"] * 45), start=10.0)  # nine seconds without a pause
    table = pd.concat([phones, long], ignore_index=True)
    corpus = corpus_of(*(hand_made(f"r{i}", words=words, phones=table) for i in range(2)))
    found = make("phones_in_sentence", corpus, Limits(fewest_examples=4, fewest_per_class=1))
    of_first = found.recording == 0
    np.testing.assert_allclose(found.spans[of_first], [[0, 0.2], [0.5, 0.7], [0.7, 1.2], [10, 18.0], [18.0, 19.0]])
    said = [{n for n, on in zip(found.names, row, strict=True) if on} for row in found.y[of_first]]
    assert said == [{"B", "AH"}, {"T", "IY"}, {"B", "IH", "K", "OW"}, {"S", "AH"}, {"S", "AH"}]
    assert found.items is not None
    assert found.items[of_first][:3].tolist() == ["buh", "tea", "bih koh"]


def test_a_short_recording_with_a_transcript_is_one_sentence() -> None:
    phones = intervals("B AH . . . . . T IY")
    corpus = corpus_of(
        *(hand_made(f"r{i}", 2.0, phones=phones, labels={"transcript": "Buh, tea!"}) for i in range(4)),
        hand_made("r5", 2.0, phones=intervals("K OW T AH B"), labels={"transcript": "Coat a b"}),
        hand_made("r6", 2.0, phones=intervals("K OW"), labels={"transcript": "Co"}),
    )
    found = make("phones_in_sentence", corpus, Limits(fewest_examples=4, fewest_per_class=1))
    assert len(found) == 6
    np.testing.assert_allclose(found.spans[0], [0, 0.9])
    assert found.items is not None
    assert found.items.tolist() == ["buh tea"] * 4 + ["coat a b", "co"]


# --- words -----------------------------------------------------------------------------------------


def test_word_boundaries_of_a_textgrid(tmp_path: Path) -> None:
    words = pd.DataFrame([("cat", 0.5, 0.8), ("on", 0.8, 1.0), ("it", 1.3, 1.5), ("odd", 1.5, 1.7)])
    words.columns = ["text", "onset", "offset"]
    phones = pd.concat(
        [intervals("K AE1 T AA1 N", 0.5), intervals("IH1 T AA1 D", 1.3), intervals("HH", 2.0)], ignore_index=True
    )
    write_textgrid(tmp_path / "a.TextGrid", {"word": words, "phone": phones}, 3.0)
    tiers = read_textgrid(tmp_path / "a.TextGrid")
    two = [hand_made(n, 3.0, words=tiers["word"], phones=tiers["phone"]) for n in ("one", "two")]
    found = make("word_boundary", corpus_of(*two), Limits(fewest_examples=2, fewest_per_class=2))
    first = found.recording == 0
    assert found.items is not None
    rows = list(zip(np.array(named(found))[first], found.items[first], found.spans[first, 0].round(1), strict=True))
    inside, onset = "inside a word", "word onset"
    assert rows == [
        (inside, "cat", 0.6), (inside, "cat", 0.7), (onset, "on", 0.8), (inside, "on", 0.9), (inside, "it", 1.4),
        (onset, "odd", 1.5), (inside, "odd", 1.6),
    ]  # fmt: skip
    # of each recording: K and IH follow a pause, HH stands in no word, and so do 4 empty stretches
    assert found.left_out == {"first phones after a pause": 4, "phones outside any word": 2, SILENT: 8}


def test_word_identity_is_of_the_35_most_frequent() -> None:
    text = " ".join(f"w{i:02d} " * (60 - i) for i in range(50))
    corpus = corpus_of(*(hand_made(f"r{k}", 200.0, words=intervals(text)) for k in range(2)))
    found = make("word", corpus, Limits(max_examples=10_000))
    assert found.names == tuple(f"w{i:02d}" for i in range(35))
    assert found.items is None
    assert found.left_out == {"not among the 35 most frequent words": 2 * sum(60 - i for i in range(35, 50))}


def tagged(tags: list[str] | None, n: int = 2) -> Corpus:
    words = intervals("the boat The sea . loud fish of (um) of of")
    if tags is not None:
        words["pos"] = tags
    return corpus_of(*(hand_made(f"r{i}", words=words) for i in range(n)))


def test_parts_of_speech_are_those_of_the_column_and_need_two_words_each() -> None:
    corpus = tagged(["DET", "NOUN", "DET", "NOUN", "ADJ", "NOUN", "ADP", "X", "DET", ""])
    found = make("part_of_speech", corpus, Limits(fewest_examples=3, fewest_per_class=2))
    # ADJ and ADP are one word type each: held out, nothing would be left to learn from
    assert named(found) == ["DET", "NOUN", "DET", "NOUN", "NOUN", "DET"] * 2
    assert found.items is not None
    assert found.items[:6].tolist() == ["the", "boat", "the", "sea", "fish", "of"]
    reasons = {"of a class too rare to learn or to score": 4, "without a part of speech": 2}
    assert found.left_out == {**reasons, "silence and marks that are no word": 2}


def test_a_recording_of_one_word_may_have_its_part_of_speech_as_a_label() -> None:
    said = {"boat": "NOUN", "sea": "NOUN", "go": "VERB", "eat": "VERB"}
    recordings = [
        hand_made(f"{w}{k}", 1.0, words=intervals(w), labels={"pos": pos}) for k in range(3) for w, pos in said.items()
    ]
    assert named(make("part_of_speech", corpus_of(*recordings))) == list(said.values()) * 3


def test_without_tags_english_function_words_are_told_by_a_list() -> None:
    assert not any(words & UNCLEAR for words in CLOSED.values())
    assert sum(map(len, CLOSED.values())) == len(frozenset().union(*CLOSED.values()))
    found = make("part_of_speech", whole_corpus(), Limits(fewest_per_class=5))
    of = {w: n for n, words in CLOSED.items() for w in words}
    assert found.items is not None
    assert named(found) == [of.get(w, "noun, verb, adjective or adverb") for w in found.items]
    assert "that" not in found.items
    assert found.left_out["English words of several parts of speech"] > 5
    german = hand_made(words=intervals("das boot lag an der küste und niemand kam"))
    with pytest.raises(BraindashError, match="no parts of speech, and only 11% of them are English"):
        make("part_of_speech", corpus_of(german))


def frequent(frequency: list[float | None] | None = None) -> Corpus:
    words = intervals("the the the boat sea sea (noise) Fish fish. xyzzy")
    if frequency is not None:
        words["frequency"] = frequency
    return corpus_of(*(hand_made(f"r{i}", words=words) for i in range(2)))


def test_frequency_is_the_corpus_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = make("word_frequency", frequent([1e4, 1e4, 1e4, 100, 10, 10, 5, 1, 1, None]))
    assert found.y[:8, 0].tolist() == [4, 4, 4, 2, 1, 1, 0, 0]
    assert found.left_out == {"without a frequency": 2, "silence and marks that are no word": 2}
    assert "own frequency" in found.names[0]


def test_frequency_is_that_of_wordfreq_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    zipf = {"the": 7.7, "boat": 4.7, "sea": 4.9, "fish": 5.0}
    fake = types.ModuleType("wordfreq")
    fake.zipf_frequency = lambda word, language: zipf.get(word, 0.0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wordfreq", fake)
    found = make("word_frequency", frequent())
    assert found.names == ("Zipf frequency (wordfreq, en)",)
    assert found.y[:8, 0].tolist() == [7.7, 7.7, 7.7, 4.7, 4.9, 4.9, 5.0, 5.0]
    assert found.left_out["without a frequency"] == 2


def test_frequency_is_counted_where_nothing_else_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wordfreq", None)  # type: ignore[arg-type]
    found = make("word_frequency", frequent())
    assert found.names == ("log10 of occurrences in this corpus alone",)
    np.testing.assert_allclose(10 ** found.y[:9, 0], [6, 6, 6, 2, 4, 4, 4, 4, 2])


def test_meaning_is_the_vector_of_the_word_and_words_without_one_are_counted(corpus: Corpus) -> None:
    found = make("word_meaning", corpus)
    assert corpus.vectors is not None
    assert found.items is not None
    assert set(found.items) == set(CONTENT)
    for item, row in zip(found.items, found.y, strict=True):
        np.testing.assert_array_equal(row, corpus.vectors[item])
    spoken = Counter(w for r in corpus.recordings if r.words is not None for w in r.words["text"])
    assert found.left_out["without a word vector"] == sum(n for w, n in spoken.items() if w not in CONTENT)
    with pytest.raises(BraindashError, match="None of the 480 words of Made up has a vector"):
        make("word_meaning", replace(corpus, vectors={"Haus": np.ones(3)}))


def test_wide_vectors_become_components_that_keep_their_distances(corpus: Corpus) -> None:
    rng = np.random.default_rng(3)
    spread = rng.standard_normal((5, 60))
    wide = {w: v @ spread for w, v in (corpus.vectors or {}).items()}
    found = make("word_meaning", replace(corpus, vectors=wide))
    assert found.y.shape[1] == 5
    assert found.names[0] == "component 0 of 60 dimensions"
    assert found.items is not None
    a, b = found.y[:20], np.stack([wide[str(w)] for w in found.items[:20]])
    for gram in (a, b):
        gram -= gram.mean(axis=0)
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-8)


def test_the_explanation_says_where_labels_of_this_corpus_are_from(corpus: Corpus) -> None:
    named = replace(corpus, vectors_title="vectors of the test")
    chosen, _ = choose_tasks(named, ["part_of_speech", "word_meaning", "word_frequency", "phone"], SMALL)
    ends = {t.name: t.explanation.split(" Here: ")[1:] for t, _ in chosen}
    assert ends["part_of_speech"] == ["by the list."]
    assert ends["word_meaning"] == ["vectors of the test, 5 dimensions, 12 words."]
    assert ends["word_frequency"][0] in (
        "log10 of occurrences in this corpus alone.", "Zipf frequency (wordfreq, en).",
    )  # fmt: skip
    assert ends["phone"] == []
    tags = tagged(["DET", "NOUN", "DET", "NOUN", "ADJ", "NOUN", "ADP", "X", "DET", ""])
    chosen, _ = choose_tasks(tags, ["part_of_speech"], Limits(fewest_examples=3, fewest_per_class=2))
    assert chosen[0][0].explanation.endswith("Here: tags of the corpus.")


# --- whole recordings ------------------------------------------------------------------------------


def test_sentence_types_are_labels_or_final_marks_and_texts_stay_apart() -> None:
    texts = ['He said: "Is it you?"', "Go!", "It rains.", "No mark", "IT RAINS", "Who?", "Stop!", "Yes."]
    recordings = [hand_made(f"r{i}", 2.0, labels={"transcript": t}) for i, t in enumerate(texts)]
    recordings[4] = replace(recordings[4], labels={"transcript": "IT RAINS", "sentence_type": "statement"})
    found = make("sentence_type", corpus_of(*recordings), Limits(fewest_examples=2, fewest_per_class=1))
    assert named(found) == ["question", "exclamation", "statement", "statement", "question", "exclamation", "statement"]
    assert found.items is not None
    assert found.items[2] == found.items[3] == "it rains"
    assert found.left_out == {"recordings without a sentence type or final punctuation": 1}


def test_the_speaker_is_told_over_recordings_where_groups_are_speakers() -> None:
    recordings = [
        hand_made(f"{s}{k}", 4.2, group=s, labels={"speaker": s}, scored=s != "C") for s in "ABC" for k in range(4)
    ]
    corpus = corpus_of(*recordings, group_word="speaker")
    found = make("speaker", corpus, Limits(fewest_examples=10))
    assert found.names == ("A", "B")
    assert len(found) == 2 * 4 * 4
    assert sum(found.left_out.values()) == 4 * 4
    groups = example_groups(corpus, open_task("speaker"), found)
    assert sorted(set(groups)) == [f"{s}{k}" for s in "AB" for k in range(4)]
    once = corpus_of(*recordings[::4], group_word="speaker")
    with pytest.raises(BraindashError, match="Every speaker of Hand-made is in one recording alone"):
        make("speaker", once)
    with pytest.raises(BraindashError, match="are of one speaker, 'A'"):
        make("speaker", corpus_of(*recordings[:4]))


def test_the_label_has_the_title_that_the_corpus_gives() -> None:
    recordings = [hand_made(f"r{i}", 1.0, labels={"label": "no" if i % 2 else "yes"}) for i in range(8)]
    (task, found), *_ = choose_tasks(corpus_of(*recordings), ["label"], SMALL)[0]
    assert (task.title, named(found)[:2]) == ("Label of the recording", ["yes", "no"])
    words = [replace(r, labels={**r.labels, "label_title": "Word"}) for r in recordings]
    assert choose_tasks(corpus_of(*words), ["label"], SMALL)[0][0][0].title == "Word"
    emotions = [replace(r, labels={"emotion": r.labels["label"]}) for r in recordings]
    assert choose_tasks(corpus_of(*emotions), ["label"], SMALL)[0][0][0].title == "Emotion"
