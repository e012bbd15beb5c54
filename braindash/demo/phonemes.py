"""From the synthesiser's timed phonemes to phone and word intervals.

Piper gives every espeak symbol (IPA letters, stress and length marks, spaces,
punctuation) with its number of samples. Marks are folded into the phone they
belong to, letters are written as ARPAbet, and words are found by matching
espeak's groups, which may hold several words ("of the" is one), to the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

PRE_MARKS = frozenset("ˈˌ")
POST_MARKS = frozenset("ːˑʲ̩̃ʰˤ")
PAUSES = frozenset(",.;:!?^$-()\"'")

ARPABET: dict[str, str] = {
    "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY", "tʃ": "CH", "dʒ": "JH",
    "a": "AA", "æ": "AE", "ɑ": "AA", "ɒ": "AA", "ɐ": "AH", "ʌ": "AH", "ə": "AH", "ɚ": "ER", "ɜ": "ER",
    "e": "EH", "ɛ": "EH", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "o": "AO", "ɔ": "AO", "u": "UW", "ʊ": "UH",
    "b": "B", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M",
    "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T", "ɾ": "T", "ʔ": "T",
    "θ": "TH", "v": "V", "w": "W", "z": "Z", "ʒ": "ZH",
}  # fmt: skip
PAIRS = frozenset(k for k in ARPABET if len(k) == 2)


@dataclass
class Interval:
    """One labelled stretch of time, in seconds; a pause has no text."""

    text: str
    onset: float
    offset: float


@dataclass
class _Group:
    """The phones between two spaces: one word, or several that are run together."""

    letters: list[str]
    phones: list[Interval]


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the Levenshtein distance of two sequences."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def letters_of(symbols: Sequence[str]) -> list[str]:
    """Return the phone letters of espeak symbols: no marks, spaces or pauses."""
    return [s for s in symbols if s not in PRE_MARKS | POST_MARKS | PAUSES and s != " "]


def _groups(timed: Sequence[tuple[str, float]], start: float) -> tuple[list[_Group], list[Interval]]:
    """Fold marks into phones and cut at spaces; return the groups and the pauses."""
    groups = [_Group([], [])]
    pauses: list[Interval] = []
    time, pending, after_pause = start, start, True
    gap: float | None = None  # start of a space without a pause, shared out between its neighbours
    for symbol, length in timed:
        end = time + length
        if symbol == " " or symbol in PAUSES:
            if groups[-1].phones:
                groups.append(_Group([], []))
            if symbol == " " and not after_pause:
                gap = time
            else:
                if gap is not None:  # a space and then a pause: all of it is the pause
                    time, gap = gap, None
                if pauses and abs(pauses[-1].offset - time) < 1e-9:
                    pauses[-1].offset = end
                else:
                    pauses.append(Interval("", time, end))
                after_pause = True
            pending = end
        elif symbol in POST_MARKS:
            if groups[-1].phones:
                groups[-1].phones[-1].offset = end
            pending = end
        elif symbol not in PRE_MARKS:
            onset = pending
            if gap is not None:
                onset = (gap + pending) / 2
                groups[-2].phones[-1].offset = onset
                gap = None
            groups[-1].letters.append(symbol)
            groups[-1].phones.append(Interval(symbol, onset, end))
            after_pause, pending = False, end
        time = end
    return [g for g in groups if g.phones], pauses


def _merge_pairs(phones: list[Interval]) -> list[Interval]:
    """Join diphthongs and affricates, and write every phone as ARPAbet."""
    out: list[Interval] = []
    for phone in phones:
        if out and out[-1].text + phone.text in PAIRS:
            out[-1] = Interval(out[-1].text + phone.text, out[-1].onset, phone.offset)
        else:
            out.append(phone)
    return [Interval(ARPABET[p.text], p.onset, p.offset) for p in out]


def _assign(words: Sequence[Sequence[str]], groups: Sequence[_Group], most: int = 3) -> list[list[tuple[int, int]]]:
    """Give every group its words: per group, (word, number of its letters), by least total edit distance."""
    infinite = 10**6
    best: dict[tuple[int, int], tuple[int, list[tuple[int, int]]]] = {(0, 0): (0, [])}
    for j, group in enumerate(groups):
        for i in range(len(words) + 1):
            if (i, j) not in best:
                continue
            for k in range(1, most + 1):
                if i + k > len(words):
                    break
                cost, cut = _split([words[i + m] for m in range(k)], group.letters)
                total = best[i, j][0] + cost
                if total < best.get((i + k, j + 1), (infinite, []))[0]:
                    best[i + k, j + 1] = (total, [(i + m, n) for m, n in enumerate(cut)])
    chosen: list[list[tuple[int, int]]] = []
    i = len(words)
    for j in range(len(groups), 0, -1):
        if (i, j) not in best:
            raise ValueError("the spoken groups cannot be matched to the words")
        chosen.append(best[i, j][1])
        i -= len(chosen[-1])
    return chosen[::-1]


def _split(words: list[Sequence[str]], letters: Sequence[str]) -> tuple[int, list[int]]:
    """Cut ``letters`` into one non-empty part a word; return the cost and the parts' lengths."""
    if len(words) == 1:
        return edit_distance(words[0], letters), [len(letters)]
    best: tuple[int, list[int]] = (10**6, [])
    for n in range(1, len(letters) - len(words) + 2):
        cost, rest = _split(words[1:], letters[n:])
        cost += edit_distance(words[0], letters[:n])
        if cost < best[0]:
            best = (cost, [n, *rest])
    return best


def align(
    words: Sequence[str],
    timed: Sequence[tuple[str, float]],
    pronounce: Callable[[str], Sequence[str]],
    start: float = 0.0,
) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """Return the phones, words and pauses of one spoken sentence.

    Parameters
    ----------
    words : sequence of str
        The words of the text, in order.
    timed : sequence of (symbol, seconds)
        Every symbol that was spoken with its length.
    pronounce : callable
        Gives espeak's symbols for one word said alone.
    start : float
        Time of the first symbol, seconds.
    """
    groups, pauses = _groups(timed, start)
    phones_out: list[Interval] = []
    words_out: list[Interval] = []
    for group, assigned in zip(groups, _assign([letters_of(pronounce(w)) for w in words], groups), strict=True):
        at = 0
        for word, n in assigned:
            part = group.phones[at : at + n]
            words_out.append(Interval(words[word].lower(), part[0].onset, part[-1].offset))
            phones_out.extend(_merge_pairs(part))
            at += n
    return phones_out, words_out, pauses
