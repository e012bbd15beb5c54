"""English words of the closed classes: parts of speech for texts that nobody has tagged."""

from __future__ import annotations

# only words that are nearly always of the one class
CLOSED: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "determiner": "the a an every each my your its our their",
        "pronoun": (
            "i you he she it we they me him us them myself yourself himself herself itself ourselves themselves "
            "everybody everyone everything somebody someone something nobody nothing anybody anyone anything whom"
        ),
        "preposition": (
            "of in on at from with into onto upon by about for against among between during toward towards beneath "
            "beside behind without within across along through under over above below beyond despite around near"
        ),
        "conjunction": "and but or nor because although though unless while if whether",
        "auxiliary": (
            "is am are was were be been being has have had having do does did would should could cannot must "
            "isn't aren't wasn't weren't hasn't haven't hadn't don't doesn't didn't wouldn't shouldn't couldn't"
        ),
    }.items()
}

# of several classes, or neither of these nor of the open ones
_SEVERAL = (
    "to that this these those his her hers no so as like there here what which who where when how why not then than "
    "before after since until till now very too also just only again well up out off down away all more most much "
    "many few some any both either neither other such own same yes oh can will may might shall let one two three "
    "four five six seven eight nine ten it's i'm he's she's that's there's they're we're you're i've i'll i'd he'd "
    "she'd we'll they'd let's what's who's"
)
UNCLEAR = frozenset(_SEVERAL.split())

OPEN = "noun, verb, adjective or adverb"
ENGLISH_SHARE = 0.25  # of an English text are words of the lists, and more


def english_class(word: str) -> str:
    """Return the class of a plain word, "" where it is unclear.

    >>> english_class("because"), english_class("that"), english_class("sailor")
    ('conjunction', '', 'noun, verb, adjective or adverb')
    """
    for name, words in CLOSED.items():
        if word in words:
            return name
    return "" if word in UNCLEAR else OPEN


def is_listed(word: str) -> bool:
    """Return whether a plain word is on a list: of a closed class, or unclear."""
    return english_class(word) != OPEN
