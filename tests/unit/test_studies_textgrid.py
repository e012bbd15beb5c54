"""TextGrids in Praat's three text formats and several encodings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from braindash.errors import BraindashError
from braindash.studies.textgrid import read_textgrid, write_textgrid

# The same content in each of the formats, as Praat lays it out.
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.3
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "phone"
        xmin = 0
        xmax = 2.3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.75
            text = ""
        intervals [2]:
            xmin = 0.75
            xmax = 1.5e0
            text = "AH0"
        intervals [3]:
            xmin = 1.45
            xmax = 2.3
            text = "B"
    item [2]:
        class = "IntervalTier"
        name = "word"
        xmin = 0
        xmax = 2.3
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.3
            text = "say ""1 = 2!"" été"
    item [3]:
        class = "TextTier"
        name = "bell"
        xmin = 0
        xmax = 2.3
        points: size = 1
        points [1]:
            number = 1.1
            mark = "ding"
"""

SHORT = """File type = "ooTextFile"
"TextGrid"

0
2.3
<exists>
3
"IntervalTier"
"phone"
0
2.3
3
0
0.75
""
0.75
1.5e0
"AH0"
1.45
2.3
"B"
"IntervalTier"
"word"
0
2.3
1
0
2.3
"say ""1 = 2!"" été"
"TextTier"
"bell"
0
2.3
1
1.1
"ding"
"""

CHRONOLOGICAL = """"Praat chronological TextGrid text file"
0 2.3   ! Time domain.
3   ! Number of tiers.
"IntervalTier" "phone" 0 2.3
"IntervalTier" "word" 0 2.3
"TextTier" "bell" 0 2.3

1 0 0.75
""
2 0 2.3
"say ""1 = 2!"" été"

1 1.45 2.3
"B"

3 1.1
"ding"

1 0.75 1.5e0
"AH0"
"""

FORMATS = {"long": LONG, "short": SHORT, "chronological": CHRONOLOGICAL}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("layout", FORMATS)
def test_every_format_and_encoding_gives_the_same_tiers(tmp_path: Path, layout: str, encoding: str) -> None:
    file = tmp_path / "a.TextGrid"
    file.write_bytes(FORMATS[layout].replace("\n", " \r\n").encode(encoding))
    tiers = read_textgrid(file)
    assert list(tiers) == ["phone", "word", "bell"]
    # overlapping intervals (1.45 < 1.5) are kept as they are, in order of onset
    assert tiers["phone"].to_numpy().tolist() == [["", 0.0, 0.75], ["AH0", 0.75, 1.5], ["B", 1.45, 2.3]]
    assert tiers["word"].to_numpy().tolist() == [['say "1 = 2!" été', 0.0, 2.3]]
    assert tiers["bell"].to_numpy().tolist() == [["ding", 1.1, 1.1]]
    assert list(tiers["phone"].columns) == ["text", "onset", "offset"]


def test_written_files_read_back_with_gaps_filled(tmp_path: Path) -> None:
    words = pd.DataFrame({"text": ['a "b"', "c"], "onset": [0.5, 2.0], "offset": [1.25, 2.5]})
    file = tmp_path / "a.TextGrid"
    write_textgrid(file, {"words": words, "empty": words.iloc[:0]}, end=3.0)
    tiers = read_textgrid(file)
    spoken = tiers["words"][tiers["words"]["text"] != ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(spoken, words.astype({"text": object}), check_dtype=False)
    assert tiers["words"]["onset"].tolist() == [0.0, 0.5, 1.25, 2.0, 2.5]
    assert tiers["words"]["offset"].iloc[-1] == 3.0
    assert tiers["empty"].to_numpy().tolist() == [["", 0.0, 3.0]]


def test_overlaps_cannot_be_written(tmp_path: Path) -> None:
    words = pd.DataFrame({"text": ["a", "b"], "onset": [0.0, 0.9], "offset": [1.0, 2.0]})
    with pytest.raises(BraindashError, match=r"'b' from 0\.9 to 2 s overlaps"):
        write_textgrid(tmp_path / "a.TextGrid", {"words": words})
    assert not (tmp_path / "a.TextGrid").exists()


def test_two_tiers_of_one_name_are_both_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.TextGrid"
    file.write_text(SHORT.replace('"word"', '"phone"'))
    assert list(read_textgrid(file)) == ["phone", "phone (2)", "bell"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHORT.replace("0.75\n1.5e0", "0.75\noops"), r"line 18: expected an interval's end, found 'AH0'"),
        (SHORT.replace("0.75\n1.5e0", "0.75\n0.5"), r"line 16: an interval ends at 0\.5 s, before it starts"),
        (SHORT.replace('"ding"\n', ""), r"line 35: the file ends where a label should follow"),
        (SHORT.replace('"ding"\n', '"ding\n'), r"line 36: a quotation mark is never closed"),
        (SHORT.replace('"TextTier"', '"Wave"'), r"line 30: unknown tier class 'Wave'"),
        (LONG.replace('"TextGrid"', '"Pitch"'), r"line 2: the file holds a 'Pitch'"),
        (CHRONOLOGICAL.replace("3 1.1", "4 1.1"), r"line 16: tier number 4 in a file of 3 tiers"),
        ("hello\n", r"line 1: not a TextGrid; it starts with 'hello'"),
    ],
)
def test_mistakes_are_reported_by_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.TextGrid"
    file.write_text(text)
    with pytest.raises(BraindashError, match=message):
        read_textgrid(file)
