"""A run's slides as HTML, PowerPoint and PDF: what they say, that it fits, and that user text stays text."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fake_home
import hierarchy_home
import numpy as np
import probing_home
import pytest
import rsa_home

import braindash.cli as cli
from braindash.config import Home
from braindash.errors import BraindashError
from braindash.reports.deck import HEIGHT, MARGIN, POINTS, WIDTH, Deck, Slide, inside, lay_out, notes_text, pages_of
from braindash.reports.letters import LEADING, fit, text_width, wrap
from braindash.runs.presenting import (
    Arranged,
    arrange,
    arrangement_path,
    built_deck,
    complete,
    deck_bytes,
    read_arrangement,
    run_deck,
    write_arrangement,
)
from braindash.runs.record import RunStore

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'x' 🧠 **b** $x^2$ \x00\ud800 " + "long " * 60


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def deck_of(home: Home, run_id: str) -> Deck:
    return run_deck(RunStore(home).get(run_id))


def with_everything(home: Home) -> str:
    run_id = fake_home.add_done(home)
    probing_home.write(home, run_id)
    rsa_home.add(home, run_id)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    return run_id


def small_deck(*titles: str, caption: str = "") -> Deck:
    """A deck with one quick figure a slide."""

    def draw(theme: str) -> Any:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3))
        figure.subplots().plot([0, 1, 4])
        return figure

    slides = tuple(
        Slide(f"s{i}", t, caption, figure=draw, alt=f"A curve. {t}", n="n = 7 targets", statistics="+0.1 (0 to 1).",
              caveats=["Simulated subjects."])
        for i, t in enumerate(titles)
    )  # fmt: skip
    return Deck("run-1", "What changed?", slides)


# --- which slides ---------------------------------------------------------------------------------


def test_a_run_with_records_alone_has_its_answer_curves_and_controls(home: Home) -> None:
    deck = deck_of(home, fake_home.add_done(home))
    assert [s.key for s in deck.slides][:4] == ["answer", "curves", "changes", "controls"]
    assert {s.key for s in deck.slides} - {"answer", "curves", "changes", "controls"} <= {
        f"methods{m}" for m in ("", "_2", "_3", "_4", "_5")
    }
    curves = deck.slides[1]
    # planted: .025 a layer from layer 2 on, so .075 at layer 4, ± .02; 180 targets of which 9 have no ceiling
    assert curves.title == "Late language rose by 0.075 of the noise ceiling at layer 4"
    assert "+0.075 (95 % interval +0.055 to +0.095; n = 171 targets)" in curves.statistics
    assert "Brain-tuned exceeds 1 of 1 control" in [s.title for s in deck.slides]
    controls = next(s for s in deck.slides if s.key == "controls")
    assert "Brain-tuned − block-permuted: +0.111 (95 % interval +0.091 to +0.131)" in controls.statistics
    assert all(s.caveats == (fake_home.CAVEAT,) for s in deck.slides if s.figure)


def test_every_analysis_gets_its_slide(home: Home) -> None:
    deck = deck_of(home, with_everything(home))
    keys = [s.key for s in deck.slides]
    assert [k for k in keys if not k.startswith(("methods", "findings_"))] == [
        "answer", "curves", "changes", "controls", "hierarchy", "probes", "rsa", "findings",
    ]  # fmt: skip
    assert all("Maps" in s for s in deck.left_out), "only the study, which is not in this home, may be missing"
    hierarchy = next(s for s in deck.slides if s.key == "hierarchy")
    assert "0.71 → 0.84 (+0.13, 95 % interval +0.04 to +0.25)" in hierarchy.caption
    assert "Word meaning" in hierarchy.alt, "every level of the order is shown, meaning too"
    for slide in deck.slides:
        if slide.figure is not None:
            assert slide.alt
            assert slide.n
            for theme in ("light", "dark"):
                figure = slide.figure(theme)  # type: ignore[arg-type]
                assert figure.axes


def test_a_study_without_a_cortex_has_no_maps_and_says_nothing_of_it(home: Home, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "study")
    deck = deck_of(home, fake_home.add_done(home))
    assert not deck.left_out
    assert not [s for s in deck.slides if s.key.startswith("map")]


def test_maps_show_each_target_in_its_place(home: Home, tmp_path: Path) -> None:
    roi = fake_home.add_cortex_study(home, tmp_path / "study")
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    deck = deck_of(home, run_id)
    maps = {s.key: s for s in deck.slides if s.key.startswith("map")}
    assert list(maps) == ["map_pretrained", "map_tuned", "map_difference"]
    late = np.isin(roi, ["STSda", "STSdp", "STGa", "A5", "PGi", "44", "45"])
    want = float(np.mean(late * 0.05 * 3 / 0.6))  # what the fake home adds at layer 4, divided by its ceiling
    assert f"mean +{want:.3f} change in r / noise ceiling, {len(roi):,} targets" in maps["map_difference"].statistics
    assert f"n = {len(roi):,} targets" in maps["map_tuned"].n


def test_values_of_maps_stand_in_the_order_of_the_study(home: Home, tmp_path: Path) -> None:
    from braindash.runs.presenting import _maps
    from braindash.runs.results import write_results
    from braindash.studies.library import open_study

    roi = fake_home.add_cortex_study(home, tmp_path / "study")
    run = RunStore(home).get(fake_home.add_done(home, study="surface", n_targets=6, roi=roi[:6]))
    models, subjects = ("pretrained", "brain_tuned"), ("sub-01", "sub-02")
    whole = fake_home.arrays(subjects, models, len(roi), roi)
    order = np.random.default_rng(3).permutation(whole.sizes["target"])
    order = order[whole["target_index"].values[order] % 7 != 0]  # some were left out of the evaluation
    write_results(run.path, {"encoding": whole.isel(target=order)}, run.records() or {})
    maps = _maps(run, "brain_tuned", "r_norm", lambda: open_study("surface", home))
    assert maps is not None
    for model, layer in (("pretrained", 0), ("brain_tuned", 4)):
        want = whole["r_norm"].sel(model=model, layer=layer).values[whole["subject"].values == maps.subject].copy()
        want[::7] = np.nan
        np.testing.assert_array_equal(maps.values(model, layer), want)


@pytest.mark.parametrize("name", ["probing.json", "rsa.json", "hierarchy.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"rows": 7, "findings": "x"}', '{"rows": [{"task": 1}]}'])
def test_a_damaged_analysis_leaves_its_slide_out(home: Home, name: str, content: str) -> None:
    run_id = fake_home.add_done(home)
    (home.runs / run_id / name).write_text(content, encoding="utf-8")
    assert [s.key for s in deck_of(home, run_id).slides][:4] == ["answer", "curves", "changes", "controls"]


def test_a_run_that_is_not_evaluated_says_what_to_do(home: Home) -> None:
    run_id = fake_home.add_in_state(home, "failed")
    with pytest.raises(BraindashError, match=f"has not been evaluated.*braindash evaluate {run_id}"):
        deck_of(home, run_id)


# --- where everything stands ----------------------------------------------------------------------


def test_letters_are_measured_and_lines_hold() -> None:
    from matplotlib.textpath import TextPath

    line = "The brain-tuned model gains +0.021"
    for bold in (False, True):
        from matplotlib.font_manager import FontProperties

        weight = "bold" if bold else "normal"
        drawn = TextPath((0, 0), line, size=20, prop=FontProperties(family="DejaVu Sans", weight=weight))
        assert text_width(line, 20, bold) == pytest.approx(drawn.get_extents().width, rel=0.04)
    for text in ("word " * 80, "unbroken" * 60, "実験" * 100):
        lines = wrap(text, 18, 300)
        assert all(text_width(part, 18) <= 300 for part in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())
    assert wrap("about 95 % of it", 10, text_width("about 95", 10) + 1) == ["about", "95 % of", "it"]
    fitted = fit("word " * 500, (20, 10), 300, 100)
    assert fitted.cut
    assert fitted.size == 10
    assert fitted.lines[-1].endswith("…")
    assert fitted.height <= 100


@pytest.mark.parametrize("title", ["Short", "A title of a usual length that says what was found here", HOSTILE])
@pytest.mark.parametrize("caption", ["", "A caption.", "A caption with many words. " * 30])
def test_nothing_on_a_slide_overlaps_or_leaves_it(title: str, caption: str) -> None:
    deck = small_deck(title, caption=caption)
    placed = lay_out(deck.slides[0], deck, 12)
    assert placed.picture is not None
    stacked = [placed.title, *([placed.caption] if placed.caption else []), placed.foot]
    for one in (*stacked, placed.mark):
        assert one.text.height / POINTS <= one.box.height + 0.01
        bold = one is placed.title
        assert all(text_width(line, one.text.size, bold) <= one.box.width * POINTS + 0.1 for line in one.text.lines)
        assert one.box.x >= MARGIN - 0.01
        assert one.box.x + one.box.width <= WIDTH - MARGIN + 0.01
        assert one.box.y + one.box.height <= HEIGHT
    edges = [placed.title.box.y + placed.title.box.height, placed.picture.y]
    edges += [placed.picture.y + placed.picture.height]
    edges += [placed.caption.box.y, placed.caption.box.y + placed.caption.box.height] if placed.caption else []
    edges += [placed.foot.box.y]
    assert edges == sorted(edges)
    assert placed.foot.box.x + placed.foot.box.width <= placed.mark.box.x
    assert placed.picture.height > 4
    assert placed.title.text.size >= 20
    assert placed.caption is None or placed.caption.text.size >= 14
    box = inside(placed.picture, 2.5)
    assert box.width / box.height == pytest.approx(2.5)
    assert placed.picture.x - 1e-9 <= box.x <= box.x + box.width <= placed.picture.x + placed.picture.width + 1e-9


def test_long_text_is_cut_into_pages_and_none_of_it_is_lost() -> None:
    text = "\n\n".join(f"Part {i}. " + "This sentence is one of many; it says little. " * 25 for i in range(5))
    pages = pages_of(text)
    assert len(pages) > 2
    assert " ".join(p for page in pages for p in page).split() == text.split()
    for page in pages:
        deck = Deck("r", "t", (Slide("m", "Methods", points=page, kind="text"),))
        placed = lay_out(deck.slides[0], deck, 1)
        assert len(placed.body) == len(page)
        assert not any(p.text.cut for p in placed.body)
        assert placed.body[0].text.size >= 15
        assert placed.body[-1].box.y + placed.body[-1].box.height <= placed.foot.box.y


# --- files ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags, addresses and text of an HTML file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.said.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_html_file_stands_alone_and_shows_text_as_text() -> None:
    deck = small_deck(HOSTILE, "Second")
    text = deck_bytes(deck, "html").decode("utf-8", errors="replace")
    page = Page(text)
    assert HOSTILE.split(" long")[0].split("\x00")[0] in " ".join(page.said)
    assert len(page.of("script")) == 1
    assert len(page.of("section")) == 2
    assert not page.of("link")
    addresses = [a.get(k) or "" for _, a in page.tags for k in ("src", "href", "srcset", "action", "data") if a.get(k)]
    assert addresses
    assert all(a.startswith("data:image/svg+xml;base64,") for a in addresses)
    assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://", without_pictures)
    images = page.of("img")
    assert all((i["alt"] or "").startswith("A curve.") for i in images)
    svg = base64.b64decode((images[0]["src"] or "").partition(",")[2])
    assert svg.lstrip().startswith(b"<?xml")
    assert b"<text" not in svg, "letters of figures are outlines, so that they look the same everywhere"
    # the policy lets run what the file brings, and nothing else
    policy = next(a["content"] or "" for a in page.of("meta") if a.get("http-equiv"))
    for tag in ("script", "style"):
        inner = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert inner
        digest = base64.b64encode(hashlib.sha256(inner[1].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "Run run-1" in " ".join(page.said)
    assert "n = 7 targets." in " ".join(page.said)


def test_the_powerpoint_file_has_titles_pictures_notes_and_descriptions() -> None:
    from pptx import Presentation
    from pptx.util import Emu

    deck = small_deck(HOSTILE, "Second", caption="What it shows.")
    file = Presentation(io.BytesIO(deck_bytes(deck, "pptx")))
    assert Emu(file.slide_width).inches == pytest.approx(WIDTH, abs=0.01)
    assert file.slide_width / file.slide_height == pytest.approx(16 / 9, rel=1e-3)
    pages = list(file.slides)
    assert len(pages) == 2
    assert pages[1].shapes.title.text_frame.text == "Second"
    assert pages[0].shapes.title.text_frame.text.startswith("<script>alert(1)</script> & \"quoted\" 'x' 🧠")
    for page, slide in zip(pages, deck.slides, strict=True):
        shapes = {s.name: s for s in page.shapes}
        assert shapes["Caption"].text_frame.text == "What it shows."
        picture = shapes["Figure"]
        assert picture._element.nvPicPr.cNvPr.get("descr").startswith("A curve.")
        assert picture.image.size[0] >= 2 * 96 * Emu(picture.width).inches, "twice the pixels of a screen"
        assert picture.width / picture.height == pytest.approx(picture.image.size[0] / picture.image.size[1], rel=0.01)
        for shape in page.shapes:
            assert shape.left >= 0
            assert shape.left + shape.width <= file.slide_width
            assert shape.top + shape.height <= file.slide_height
            if shape.has_text_frame:  # Arial is narrower than the letters measured here
                width = Emu(shape.width).pt
                tall = 0.0
                for paragraph in shape.text_frame.paragraphs:
                    run = paragraph.runs[0]
                    lines = wrap(paragraph.text, run.font.size.pt, width, bool(run.font.bold))
                    tall += len(lines) * run.font.size.pt * LEADING
                assert tall <= Emu(shape.height).pt + 1, shape.name
        notes = page.notes_slide.notes_text_frame.text
        assert "+0.1 (0 to 1)." in notes
        assert "n = 7 targets." in notes
        assert "Run run-1." in notes
        assert "Simulated subjects." in notes
        assert ("long " * 20).strip() in notes or slide.title == "Second"


def pdf_text(data: bytes) -> list[str]:
    """Return the text of every page: what stands in the strings of its content stream."""
    pages = []
    for stream in re.finditer(rb"stream\r?\n(.*?)endstream", data, re.S):
        try:  # the end of a line that follows is left over: compressed bytes may end like one themselves
            content = zlib.decompressobj().decompress(stream[1])
        except zlib.error:
            continue
        if b"BT\n" not in content:
            continue
        said = []
        for shown in re.finditer(
            rb"\[((?:\s*\((?:[^()\\]|\\.)*\)\s*-?[\d.]*)+)\s*\]\s*TJ|(\((?:[^()\\]|\\.)*\))\s*Tj", content, re.S
        ):
            strings = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", shown[1] or shown[2], re.S)
            raw = b"".join(strings)
            raw = re.sub(rb"\\(n|r|t|[()\\])", lambda m: {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(m[1], m[1]), raw)
            said.append(raw.decode("utf-16-be", errors="replace"))
        pages.append("\n".join(said))
    return pages


def test_the_pdf_has_a_page_a_slide_with_text_that_can_be_found() -> None:
    deck = small_deck("First title", "Second title", HOSTILE, caption="What it shows.")
    data = deck_bytes(deck, "pdf")
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", data)) == 3
    boxes = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", data)
    assert {tuple(round(float(x)) for x in b.split()) for b in boxes} == {(0, 0, 960, 540)}
    pages = pdf_text(data)
    assert len(pages) == 3
    for page, title in zip(pages, ("First title", "Second title", "<script>alert(1)</script>"), strict=True):
        assert title in page
        assert "What it shows." in page
        assert "Run run-1" in page
        assert "n = 7 targets. Simulated subjects." in page
    assert b"/Subtype /Image" not in data, "curves are vectors"


def test_a_whole_deck_is_written_in_all_three_kinds(home: Home) -> None:
    deck = deck_of(home, with_everything(home))
    drawn: list[tuple[str, str, str]] = []

    def picture(slide: Slide, theme: str, kind: str) -> bytes:
        from PIL import Image

        drawn.append((slide.key, theme, kind))
        if kind == "svg":
            return b"<svg/>"
        out = io.BytesIO()
        Image.new("RGB", (400, 200)).save(out, "PNG")
        return out.getvalue()

    page = Page(deck_bytes(deck, "html", picture).decode())
    assert len(page.of("section")) == len(deck.slides)
    assert len(deck_bytes(deck, "pptx", picture)) > 20_000
    assert len(pdf_text(deck_bytes(deck, "pdf"))) == len(deck.slides)
    figures = sum(s.figure is not None for s in deck.slides)
    assert len(drawn) == 3 * figures
    with pytest.raises(BraindashError, match="html, pptx or pdf"):
        deck_bytes(deck, "docx")


def test_the_notes_say_what_a_title_was_cut_from() -> None:
    deck = small_deck("x" * 2000)
    assert lay_out(deck.slides[0], deck, 1).title.text.cut
    assert "x" * 2000 in notes_text(deck.slides[0], deck)


# --- arrangement ----------------------------------------------------------------------------------


def test_an_arrangement_orders_rewords_and_hides(home: Home) -> None:
    run = RunStore(home).get(fake_home.add_done(home))
    deck = built_deck(run)
    keys = [s.key for s in deck.slides]
    write_arrangement(home, run.id, [Arranged("controls", title="Mine"), Arranged("gone"), Arranged("answer", False)])
    found = run_deck(run)
    assert [s.key for s in found.slides] == ["controls", *[k for k in keys if k not in ("controls", "answer")]]
    assert found.slides[0].title == "Mine"
    assert found.slides[0].caption == next(s.caption for s in deck.slides if s.key == "controls")
    assert [s.key for s in run_deck(run, arranged=False).slides] == keys
    with pytest.raises(BraindashError, match="No slide"):
        arrange(deck, [Arranged(k, False) for k in keys])
    assert [a.key for a in complete(deck, [Arranged("curves"), Arranged("curves")])].count("curves") == 1


def test_deleting_a_run_deletes_its_arrangement(home: Home) -> None:
    run_id = fake_home.add_done(home)
    write_arrangement(home, run_id, [Arranged("curves", title="Mine")])
    RunStore(home).delete(run_id)
    assert not arrangement_path(home, run_id).exists()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"slides": 3}', '{"slides": [3]}', '{"slides": [{"title": "x"}]}', "\x00"]
)
def test_an_arrangement_that_cannot_be_read_is_none(home: Home, content: str) -> None:
    path = arrangement_path(home, "r")
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    assert read_arrangement(home, "r") == []


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_a_file_and_refuses_to_overwrite_one(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = fake_home.add_done(home)
    path = tmp_path / "talk.pdf"
    common = ["--home", str(home.path), "report", run_id, "-o", str(path)]
    assert cli.run([*common, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["format"] == "pdf"
    assert said["bytes"] == path.stat().st_size
    assert [s["key"] for s in said["slides"]][:2] == ["answer", "curves"]
    assert path.read_bytes().startswith(b"%PDF-")
    before = path.read_bytes()
    assert cli.run(common) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert cli.run([*common, "--force"]) == 0
    assert cli.run([*common[:-1], str(tmp_path / "talk.doc")]) == 2
    assert ".pptx" in capsys.readouterr().err
    assert cli.run([*common[:-1], str(tmp_path / "none" / "talk.pdf")]) == 2
    assert cli.run([*common[:-1], str(tmp_path), "--format", "pdf"]) == 2
    capsys.readouterr()
    bare = fake_home.add_in_state(home, "failed")
    assert cli.run(["--home", str(home.path), "report", bare, "-o", str(tmp_path / "x.html")]) == 2
    assert f"braindash evaluate {bare}" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["talk.pdf"]
