"""The grammar of the demo stories: eight topics, their words, and sentences with slots.

Every story tells of one person's week. A day is a block of sentences on one
topic, so that meaning changes slowly enough for a haemodynamic response to
follow it. Slots: ``{w}`` who acts, ``{t}`` and ``{u}`` two things, ``{p}`` a
place, ``{n}`` the person. Outside the slots no sentence uses a content word.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """The words of one topic by role, those kept for test stories, and its own sentences."""

    who: tuple[str, ...]
    thing: tuple[str, ...]
    place: tuple[str, ...]
    unseen: dict[str, str]  # word -> the slot kind ("w", "t" or "p") that it may fill, in test stories only
    sentences: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return self.who + self.thing + self.place + tuple(self.unseen)


TOPICS: dict[str, Topic] = {
    "sea": Topic(
        who=("sailor", "captain"),
        thing=("boat", "anchor", "rope", "fish", "wave"),
        place=("harbour", "island", "lighthouse", "beach"),
        unseen={"whale": "t", "ferry": "t"},
        sentences=(
            "The {w} rowed past the {p} and thought only of the {t}.",
            "Spray covered the {t} all the way to the {p}.",
            "Far out, beyond the {p}, the {w} lost sight of the {t}.",
            "The {w} never left the {p} without a word to the {t}.",
            "{n} pulled the {t} ashore while the {w} kept watch at the {p}.",
            "A gull circled the {p}, hoping that the {w} would forget the {t}.",
            "The {w} had crossed half the world to bring the {t} to the {p}.",
            "When the tide was low, the {t} lay still and the {w} slept.",
        ),
    ),
    "kitchen": Topic(
        who=("cook", "baker"),
        thing=("bread", "butter", "soup", "honey", "cheese", "cake", "spoon"),
        place=("kitchen", "oven"),
        unseen={"onion": "t", "pepper": "t"},
        sentences=(
            "The {w} warmed the {t} and praised the {u} with great patience.",
            "The whole {p} smelled of the {t}.",
            "{n} tried the {t}, then the {u}, and asked the {w} for more.",
            "The {w} hid the {t} behind the {p}, where only {n} would look.",
            "A pinch of salt for the {t}, said the {w}, and two for the {u}.",
            "The {t} was still warm when the {w} carried it away from the {p}.",
            "Breakfast was the {t}, supper was the {u}, and the {w} was proud of both.",
            "The {w} dropped the {t} into the {u} and called it a recipe.",
        ),
    ),
    "music": Topic(
        who=("singer", "drummer"),
        thing=("violin", "piano", "song", "trumpet", "melody", "flute"),
        place=("concert", "choir", "stage"),
        unseen={"guitar": "t", "orchestra": "p"},
        sentences=(
            "The {w} practised the {t} until the {p} was empty.",
            "Softly, behind the {p}, somebody began the {t} again.",
            "{n} hummed along with the {t} while the {w} tried the {u}.",
            "The {w} took the {t} so slowly that the {u} was quite forgotten.",
            "After the {p}, the {w} bowed and the {t} was still.",
            "The {t} was too loud for the {p}, but the {w} did not mind.",
            "Three notes of the {t} were enough to wake the {p}.",
            "The {w} gave the {t} to the {p} and kept the {u} at home.",
        ),
    ),
    "animals": Topic(
        who=("fox", "horse", "dog", "cat", "owl"),
        thing=("rabbit", "goose", "sheep", "mouse", "donkey"),
        place=("barn",),
        unseen={"hedgehog": "w", "squirrel": "t"},
        sentences=(
            "The {w} chased the {t} twice around the {p}.",
            "The {t} slept while the {w} guarded the door.",
            "{n} fed the {w} first, then the {t}, then the {u}.",
            "The {w} would not share its straw with the {t}.",
            "Inside the {p}, the {w} lay down next to the {t}.",
            "The {w} sniffed at the {t} and decided to be polite.",
            "When the {t} ran, the {w} ran too, and nobody knew why.",
            "The {w} had four good reasons to envy the {t}.",
        ),
    ),
    "garden": Topic(
        who=("gardener",),
        thing=("rose", "apple", "tree", "seed", "flower", "leaf", "tulip"),
        place=("garden", "hedge", "orchard"),
        unseen={"cherry": "t", "daisy": "t"},
        sentences=(
            "The {w} watered the {t} and whispered to the {u}.",
            "In spring the {t} is the pride of the {p}.",
            "{n} found the {t} behind the {p}, green and shining.",
            "The {w} had a name for the {t} and another for the {u}.",
            "A beetle walked from the {t} to the {u}, which took all afternoon.",
            "The {p} was quiet, and the {t} leaned towards the {u}.",
            "At the end of the {p} was the {t} that the {w} loved best.",
            "The {w} raked around the {t} and left the {u} alone.",
        ),
    ),
    "school": Topic(
        who=("teacher", "pupil"),
        thing=("book", "letter", "pencil", "page", "poem", "lesson", "paper"),
        place=("library", "school"),
        unseen={"dictionary": "t", "alphabet": "t"},
        sentences=(
            "The {w} borrowed the {t} from the {p} and forgot to return it.",
            "Next to the {t} the {w} had hidden the {u}.",
            "{n} carried the {t} to the {p}, and the {w} carried the {u}.",
            "The {w} explained the {t} slowly, and then the {u}.",
            "In the {p} nobody spoke, for the {w} was busy with the {t}.",
            "The {t} was short, the {u} was long, and the {w} knew both.",
            "On the last desk of the {p} lay the {t} and the {u}.",
            "Spelling is easy, said the {w}, once you have the {t} and the {u}.",
        ),
    ),
    "workshop": Topic(
        who=("carpenter", "builder"),
        thing=("hammer", "nail", "wheel", "ladder", "brick", "clock", "engine"),
        place=("workshop", "roof"),
        unseen={"screw": "t", "bucket": "t"},
        sentences=(
            "The {w} mended the {t} with the {u} and a little oil.",
            "Not far from the {p}, the {w} was looking for the {t}.",
            "{n} held the {t} steady while the {w} measured the {u}.",
            "Dust settled on the {t} and all around the {p}.",
            "The {w} made the {t} out of the {u}, or so he said.",
            "The {t} fell, the {u} broke, and the {w} sighed.",
            "A good {w} keeps the {t} close and the {u} closer.",
            "From the {p} came the noise of the {t}, loud and regular.",
        ),
    ),
    "weather": Topic(
        who=("storm", "wind", "thunder", "sun", "moon"),
        thing=("snow", "rain", "cloud", "fog", "frost"),
        place=("sky",),
        unseen={"lightning": "t", "rainbow": "t"},
        sentences=(
            "The {w} pushed the {t} across the {p}.",
            "High in the {p}, the {w} waited for the {t} to pass.",
            "The {t} came at noon, and the {w} followed before dark.",
            "{n} opened an umbrella against the {t} and hoped for the {w}.",
            "All night the {w} argued with the {t} until the {p} grew pale.",
            "The {t} was cold and soft, and the {w} was gone.",
            "Where the {p} was darkest, the {w} met the {t}.",
            "The old almanac spoke of the {w}, of the {t}, and of the {u}.",
        ),
    ),
}

SHARED: tuple[str, ...] = (
    "{n} thought of the {t}, and of the {w}, and smiled.",
    "Nobody had ever told {n} that the {w} and the {t} were old friends.",
    "First came the {t}, then the {w}, and at last the {u}.",
    "It was the {w} that noticed the {t} first.",
    "{n} looked from the {t} to the {u} and back to the {p}.",
    "Some people prefer the {t}, but {n} always liked the {u} better.",
    "The {t} was old, the {u} was older, and the {p} was the oldest of all.",
    "Between the {t} and the {u} was the {w}, quite out of breath.",
    "{n} drew the {t}, the {u} and the {w} on the back of a ticket.",
    "If you want to understand the {w}, said {n}, look at the {t}.",
    "The {w} said good morning to the {t} and good night to the {u}.",
    "There is no {t} like the {t} of the {p}, thought {n}.",
)

OPENINGS: tuple[str, ...] = (
    "On {day} {n} set out for the {p}, where the {w} was waiting.",
    "{day} began with the {t}, and {n} was not surprised.",
    "On {day} everyone talked about the {w} and the {t}.",
    "By {day} {n} had heard of the {p} and wanted to see the {t}.",
    "{day} belonged to the {w} and to the {t}.",
    "Early on {day} {n} came upon the {t} and the {u}.",
)

DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

STORIES: tuple[tuple[str, str, str], ...] = (
    ("Nora", "The Week of Small Errands", "Nora had six errands, two good shoes, and no plan at all."),
    ("Tobias", "What Tobias Heard", "Tobias promised his aunt to listen for a whole week and not to interrupt."),
    ("Ines", "Six Postcards", "Ines wanted to send six postcards, and each one had to be true."),
    ("Oskar", "Oskar Is Never Late", "Oskar was never late, because he never told anyone when he would come."),
    ("Lucy", "The Borrowed Week", "Lucy borrowed a week from her uncle and meant to give it back unharmed."),
    ("Emil", "Emil Keeps a List", "Emil kept a list of everything that made him stop and look."),
    ("Clara", "Clara Takes the Long Way", "Clara always took the long way, since the short way was too short."),
    ("Hugo", "The Man with the Hat", "Hugo bought a green hat, and from then on things began to happen."),
    ("Ada", "Ada Asks Again", "Ada asked every question twice, once aloud and once for herself."),
    ("Felix", "A Bet for Felix", "Felix had made a bet that no two days are ever alike."),
    ("Marta", "Marta Counts to Six", "Marta could count to six in nine languages, and that was enough."),
    ("Bruno", "Bruno Finds a Coin", "Bruno found a coin on Sunday evening and decided to follow his luck."),
    ("Greta", "The Visitor", "Greta came for a visit, and nobody could say exactly whose visitor she was."),
    ("Simon", "Simon Says Little", "Simon said little, but what he saw he did not forget."),
    ("Vera", "Vera Writes It Down", "Vera had a new diary with room for six days and no more."),
    ("Jonas", "The Slow Traveller", "Jonas travelled slowly, because he did not want to miss the middle."),
    ("Pauline", "Pauline Changes Her Mind", "Pauline changed her mind every morning, right after she woke up."),
    ("Arthur", "Arthur and the Lost Glove", "Arthur had lost a glove and gained an excellent excuse to wander."),
    ("Helen", "Helen Remembers", "Helen remembered everything except where she had put her glasses."),
    ("Victor", "Victor Stays for Supper", "Victor only meant to stay a moment, and he stayed for six days."),
)

CLOSINGS: tuple[str, ...] = (
    "On Sunday {n} slept until ten, and the story was over.",
    "And on Sunday {n} told it all again from the beginning.",
    "On Sunday nothing happened, and {n} enjoyed every minute of it.",
    "When Sunday came, {n} was already looking forward to Monday.",
    "That was the week, and {n} would not have changed a single hour.",
)
