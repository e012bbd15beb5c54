"""The picture from sound to meaning, and the findings as a table: what they show, and that they can be read."""

from __future__ import annotations

import io
import itertools
import json
import re
from typing import Any

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.figures import (
    THEMES,
    Depth,
    DepthRow,
    FindingLine,
    figure_bytes,
    hierarchy_picture,
    static_findings,
    static_hierarchy,
)

LAYERS = (0, 1, 2, 3, 4)
GROUPS = ("Acoustic: how it sounds", "Phonetic: which speech sounds", "Lexical: which words", "Semantic: meaning")


def depth(centre: float, peak: float = 2.0) -> Depth:
    return Depth(centre, centre - 0.2, centre + 0.3, peak, peak - 1, peak + 1)


def many(n_tasks: int = 15, n_regions: int = 3) -> list[DepthRow]:
    """Return rows from sound to meaning, some with long names, some that tuning does not move."""
    out = []
    for i in range(n_tasks):
        group = GROUPS[i * len(GROUPS) // n_tasks]
        title = f"Task {i}" if i % 3 == 1 else f"A task {i} with quite a long name indeed"
        before = 0.3 + 3.2 * i / max(n_tasks - 1, 1)
        out.append(DepthRow(title, group, depth(before), depth(before + 0.3 * (i % 4) - 0.3, 3.0)))
    for i in range(n_regions):
        out.append(DepthRow(f"Region {i}", "Brain regions", depth(1.9 + 0.1 * i), depth(1.9 + 0.2 * i)))
    return out


def named(figure: Any, name: str) -> Any:
    return next(t for t in figure.data if t.name == name)


def sizes(value: Any, inside: str = "") -> list[float]:
    """Return every font size of a figure."""
    if isinstance(value, dict):
        found = [float(value["size"])] if "font" in inside and isinstance(value.get("size"), int | float) else []
        return found + [s for k, v in value.items() for s in sizes(v, str(k))]
    return [s for v in value for s in sizes(v, inside)] if isinstance(value, list) else []


def test_marks_intervals_peaks_and_moves_are_the_numbers_given() -> None:
    rows = [
        DepthRow("Mel", GROUPS[0], Depth(1.0, 0.8, 1.3, 1.0), Depth(0.5, 0.4, 0.9, 0.0)),
        DepthRow("Words", GROUPS[2], Depth(2.0, 1.9, 2.2, 3.0), Depth(3.0, 2.8, 3.1, 4.0)),
    ]
    figure = hierarchy_picture(rows, LAYERS)
    before, after = named(figure, "Pretrained"), named(figure, "Brain-tuned")
    assert list(before.x) == [1.0, 2.0]
    assert list(after.x) == [0.5, 3.0]
    assert all(a > b for a, b in zip(after.y, before.y, strict=True)), "the two models' marks lie on each other"
    assert before.marker.color == THEMES["light"].page, "the pretrained mark is hollow"
    assert after.marker.color == after.marker.line.color
    assert before.marker.symbol != after.marker.symbol
    lines = [t for t in figure.data if t.mode == "lines"]
    assert [list(t.x) for t in lines] == [[0.8, 1.3, None, 1.9, 2.2, None], [0.4, 0.9, None, 2.8, 3.1, None]]
    ticks = [t for t in figure.data if t.mode == "markers" and t.marker.symbol == "line-ns" and t.name != "Peak layer"]
    assert [list(t.x) for t in ticks] == [[1.0, 3.0], [0.0, 4.0]]
    moves = next(t for t in figure.data if t.mode == "lines+markers")
    assert list(moves.x) == [1.0, 0.5, None, 2.0, 3.0, None]
    assert list(moves.marker.size) == [0, 11, 0, 0, 11, 0], "an arrow has its head at the tuned end"
    said = [a.text for a in figure.layout.annotations]
    assert "1.00 → 0.50" in said
    assert "2.00 → 3.00" in said
    assert "95% interval 0.40 to 0.90" in after.text[0]
    assert "peak at layer 4" in after.text[1]


def test_a_small_move_has_no_head_and_one_model_alone_no_arrow() -> None:
    rows = [
        DepthRow("Still", GROUPS[0], depth(1.0), depth(1.05)),
        DepthRow("Only before", GROUPS[1], depth(2.0), Depth()),
        DepthRow("Only after", GROUPS[1], Depth(), depth(2.5)),
        DepthRow("Neither", GROUPS[2]),
    ]
    figure = hierarchy_picture(rows, LAYERS)
    moves = next(t for t in figure.data if t.mode == "lines+markers")
    assert list(moves.marker.size) == [0, 0, 0]
    assert list(named(figure, "Pretrained").x) == [1.0, 2.0]
    assert list(named(figure, "Brain-tuned").x) == [1.05, 2.5]
    said = [a.text for a in figure.layout.annotations]
    assert said.count("<i>no clear peak</i>") == 1
    assert "<i>brain-tuned: no clear peak</i>" in said
    assert "<i>pretrained: no clear peak</i>" in said
    assert [s for s in said if re.match(r"[\d.]+ →", s)] == ["1.00 → 1.05"]
    assert "Neither no clear peak" in figure.layout.meta["alt"]
    assert "Only before 2.00 to no clear peak" in figure.layout.meta["alt"]


def test_without_intervals_and_peaks_the_centres_stand_alone() -> None:
    figure = hierarchy_picture([DepthRow("x", GROUPS[0], Depth(1.0), Depth(2.0))], LAYERS)
    assert not any(t.x for t in figure.data if t.mode == "lines")
    assert list(named(figure, "Brain-tuned").x) == [2.0]
    assert "interval" not in named(figure, "Brain-tuned").text[0]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("rows", [many(), many(1, 0), many(0, 3), many(15, 6)])
def test_rows_and_headings_have_room_and_nothing_is_small(rows: list[DepthRow], theme: Any) -> None:
    figure = hierarchy_picture(rows, LAYERS, theme=theme)
    data = json.loads(figure.to_json())["layout"]
    data.pop("template")
    assert min(sizes(data)) >= 14
    axis = figure.layout.yaxis
    total = axis.range[0]
    inner = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    assert abs(inner - total) <= 1, "a unit of the axis is a pixel"
    boxes = []
    for y, text in zip(axis.tickvals, axis.ticktext, strict=True):
        tall = 15 * 1.3 * (1 + text.count("<br>"))
        boxes.append((y - tall / 2, y + tall / 2))
    boxes += [(a.y - 10, a.y + 10) for a in figure.layout.annotations if a.text.startswith("<b>")]
    assert all(b[0] >= a[1] for a, b in itertools.pairwise(sorted(boxes))), "labels lie on each other"
    widest = max(len(line) for text in axis.ticktext for line in text.split("<br>"))
    assert figure.layout.margin.l >= 7.5 * widest, "labels are cut"
    assert len({a.text for a in figure.layout.annotations if a.text.startswith("<b>")}) == len({r.group for r in rows})


def test_bands_hold_their_rows_and_deepen_from_sound_to_meaning() -> None:
    figure = hierarchy_picture(many(), LAYERS)
    bands = [s for s in figure.layout.shapes if s.xsizemode != "pixel"]
    assert len(bands) == len(GROUPS) + 1
    assert all(b.y0 >= a.y1 for a, b in itertools.pairwise(bands))
    for y in figure.layout.yaxis.tickvals:
        assert sum(b.y0 < y < b.y1 for b in bands) == 1
    shades = [float(re.findall(r"[\d.]+", b.fillcolor)[-1]) for b in bands]
    assert shades == sorted(shades)
    assert max(shades) < 0.2


def test_markup_in_names_is_text() -> None:
    row = DepthRow("<b>bold</b> & $x^2$", "<i>group</i>", depth(1.0), depth(2.0))
    figure = hierarchy_picture([row], LAYERS)
    assert "&lt;b&gt;" in "".join(figure.layout.yaxis.ticktext)
    assert any("&lt;i&gt;group" in a.text for a in figure.layout.annotations)
    assert "<b>bold" not in named(figure, "Pretrained").text[0].removeprefix("<b>")
    svg = figure_bytes(static_hierarchy([row], LAYERS, title="$t$", subtitle="$s_1$", note="$n$"), "svg").decode()
    for text in ("$x^2$", "$t$", "$s_1$", "$n$"):
        assert text in svg


def test_nothing_to_draw_is_an_error_that_says_so() -> None:
    for draw in (hierarchy_picture, static_hierarchy):
        with pytest.raises(BraindashError, match="needs rows and layers"):
            draw([], LAYERS)
        with pytest.raises(BraindashError, match="needs rows and layers"):
            draw(many(), [])
    with pytest.raises(BraindashError, match="no finding"):
        static_findings([])


def test_a_deep_model_has_numbers_on_some_layers() -> None:
    figure = hierarchy_picture(many(), range(49))
    assert len(figure.layout.xaxis.tickvals) <= 13
    assert figure.layout.xaxis.tickvals[0] == 0
    assert not any(re.search(r"\d\.\d\d →", a.text) for a in figure.layout.annotations), "two decimals of 48 layers"


# --- slides --------------------------------------------------------------------------------------


def texts(figure: Any) -> list[Any]:
    """Return every text of a matplotlib figure that is seen."""
    from matplotlib.text import Text

    figure.canvas.draw()
    return [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]


def assert_readable(figure: Any) -> None:
    """Fail where two texts lie on each other, or one leaves the figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    found = texts(figure)
    whole = figure.bbox
    boxes = [(t.get_text(), t.get_window_extent()) for t in found]
    for text, box in boxes:
        assert box.x0 >= whole.x0 - 1, text
        assert box.x1 <= whole.x1 + 1, text
        assert box.y0 >= whole.y0 - 1, text
        assert box.y1 <= whole.y1 + 1, text
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        tall = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert wide <= 1 or tall <= 2, (a, b)


SENTENCE = (
    "Tuning brought the order of depths closer to the order from sound to meaning: rank correlation 0.71 (0.52 to "
    "0.83) before and 0.84 (0.66 to 0.92) after, a change of +0.13 (95 % CI 0.04 to 0.25, 12 tasks)."
)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("rows", [many(), many(1, 0), many(0, 3), many(15, 6)])
def test_the_slide_can_be_read(rows: list[DepthRow], theme: Any) -> None:
    figure = static_hierarchy(rows, LAYERS, subtitle=SENTENCE, note="Simulated subjects. Run x.", theme=theme)
    assert_readable(figure)
    small = [t.get_text() for t in texts(figure) if t.get_fontsize() < 14]
    assert small == ["Simulated subjects. Run x."]
    assert figure.get_figwidth() * 72 == pytest.approx(960)
    axes = figure.axes[0]
    marks = [axes.transData.transform((0, line.get_ydata()[0]))[1] for line in axes.lines if line.get_marker() in "os"]
    apart = [abs(a - b) * 72 / figure.dpi for a, b in itertools.combinations(marks, 2)]
    assert min(apart) > 9, "the marks of a row lie on each other"


def test_the_slide_shows_the_numbers_given() -> None:
    rows = [DepthRow("Mel", GROUPS[0], depth(1.0, 2.0), depth(3.0, 4.0)), DepthRow("Flat", GROUPS[1])]
    figure = static_hierarchy(rows, LAYERS)
    drawn = [tuple(np.atleast_1d(line.get_xdata())) for line in figure.axes[0].lines]
    for expected in ((1.0,), (3.0,), (2.0,), (4.0,), (0.8, 1.3), (2.8, 3.3)):
        assert any(np.allclose(x, expected) for x in drawn if len(x) == len(expected)), expected
    said = [t.get_text() for t in texts(figure)]
    assert "1.00 → 3.00" in said
    assert "no clear peak" in said
    png = figure_bytes(figure, "png", dpi=100)
    from matplotlib.image import imread

    assert imread(io.BytesIO(png)).shape[1] == pytest.approx(1333, abs=2)


@pytest.mark.parametrize("theme", THEMES)
def test_findings_as_a_picture_can_be_read(theme: Any) -> None:
    verdicts = [(60, "not_supported"), (3, "supported"), (1, "cannot_tell"), (9, "of a later version")]
    lines = [
        FindingLine(f"{i}: what was found in rather many words that take two lines or three", "Shown " * k, verdict)
        for i, (k, verdict) in enumerate(verdicts)
    ]
    figure = static_findings(lines, note="Simulated subjects. " * 9, theme=theme)
    assert_readable(figure)
    said = [t.get_text() for t in texts(figure)]
    marks = [s for s in said if s[0] in "✓✗?"]
    assert marks == ["✓ Supported", "✗ Not supported", "? Cannot tell here"]
    assert "2 that cannot be told here" in said
    assert any(s.startswith("2: what was found") for s in said)
