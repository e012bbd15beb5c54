"""Bookmarks: what is kept, by two people at once, on full and read-only disks, and what becomes of damaged ones."""

from __future__ import annotations

import errno
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from figure_samples import SAMPLES
from matplotlib.image import imread, imsave

import braindash.files
from braindash.cli import run as command_line
from braindash.config import Home
from braindash.errors import BraindashError
from braindash.figures.plotly_spec import figure_spec
from braindash.reports.methods_joined import Made, joined_bibtex, joined_methods
from braindash.runs.bookmark_deck import bookmark_deck, chart_files, deck_file, deck_of, slide_of, stored_picture
from braindash.runs.bookmarks import MOST, Bookmark, BookmarkStore, deck_id

BAD = "<script>alert(1)</script> \u202e[x](http://evil) \ud800 \x00 " + "long " * 200


@pytest.fixture
def store(tmp_path: Path) -> BookmarkStore:
    return BookmarkStore(Home(tmp_path))


def home_of(store: BookmarkStore) -> Home:
    return Home(store.folder.parent)


def chart(title: str = "Layers", **more: Any) -> Bookmark:
    address: Any = {"run": "r1", "regions": ["a", "b"]}
    return Bookmark(title, "A caption.", page="encoding", params=address, n="n = 12 targets", runs=("r1",),
                    alt="Curves.", statistics="95 % intervals.", **more)  # fmt: skip


def files(name: str = "moved_curves") -> dict[str, bytes]:
    return chart_files(figure_spec(SAMPLES[name]("light")), "light")


def picture(colour: float) -> bytes:
    import numpy as np

    out = io.BytesIO()
    imsave(out, np.full((20, 40, 3), colour), format="png")
    return out.getvalue()


def test_what_is_kept_comes_back(store: BookmarkStore) -> None:
    kept = store.add("Lab meeting", chart(), files())
    (found,) = store.read(kept.deck)
    assert found == kept
    assert found.params == {"run": "r1", "regions": ["a", "b"]}
    assert store.figure(found)["data"]
    assert [(d.title, d.n) for d in store.decks()] == [("Lab meeting", 1)]
    assert store.find("lab MEETING").id == kept.deck


def test_order_words_and_removal(store: BookmarkStore) -> None:
    a, b, c = (store.add("Talk", chart(t), files()) for t in "abc")
    store.move(c, -2)
    assert [x.title for x in store.read(a.deck)] == ["c", "a", "b"]
    store.move(c, -5)
    store.move(b, 9)
    assert [x.title for x in store.read(a.deck)] == ["c", "a", "b"], "ends are ends"
    store.change(a, title="A", caption="new")
    assert [(x.title, x.caption) for x in store.read(a.deck)][1] == ("A", "new")
    store.rename(a.deck, "The talk")
    assert store.find("The talk").id == a.deck, "another title, the same deck"
    assert store.add("the talk", chart("d"), files()).deck == a.deck
    store.remove(a)
    assert [x.title for x in store.read(a.deck)] == ["c", "b", "d"]
    for one in store.read(a.deck):
        store.remove(one)
    assert store.decks() == [], "an empty deck goes"


def test_any_words_can_be_kept(store: BookmarkStore) -> None:
    kept = store.add(BAD, replace(chart(BAD), caption=BAD, params={BAD: BAD}), files())
    assert store.read(kept.deck)[0].title
    assert all(path.name.isascii() for path in store.folder.iterdir())
    assert deck_file(home_of(store), kept.deck, "html").decode()
    assert "<script>alert" not in deck_file(home_of(store), kept.deck, "html").decode()


def test_decks_have_names_of_their_own() -> None:
    titles = ["Talk", "talk!", "Ta lk", "会議", "会议", "../../etc", "", "a" * 300]
    ids = [deck_id(t) for t in titles]
    assert len(set(ids)) == len(ids)
    assert all(set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and i for i in ids)


@pytest.mark.parametrize("name", ["../runs", "..", "/etc", "x/y", "", "no-such-deck"])
def test_a_deck_is_no_path(store: BookmarkStore, name: str) -> None:
    store.add("Talk", chart(), files())
    with pytest.raises(BraindashError):
        store.read(name)
    with pytest.raises(BraindashError):
        store.file(Bookmark("x", deck="talk", id="../talk"), "figure.json")
    with pytest.raises(BraindashError):
        store.file(store.read("talk")[0], "../deck.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"braindash": 99, "title": "x", "kind": "chart"}', b'{"braindash": 1}',
     b"[" * 9999, b'{"braindash": 1, "title": 3, "kind": "chart"}'],
)  # fmt: skip
def test_a_damaged_bookmark_is_flagged_and_the_others_are_shown(store: BookmarkStore, content: bytes) -> None:
    broken, sound = store.add("Talk", chart("a"), files()), store.add("Talk", chart("b"), files())
    (store.folder / broken.deck / broken.id / "bookmark.json").write_bytes(content)
    found = store.read(broken.deck)
    assert [bool(b.problem) for b in found] == [True, False]
    deck = bookmark_deck(home_of(store), "Talk")
    assert [s.title for s in deck.slides if s.kind == "figure"] == ["b"]
    assert deck.left_out == (found[0].problem,)
    with pytest.raises(BraindashError):
        store.change(found[0], title="x")
    store.remove(found[0])
    assert [b.id for b in store.read(broken.deck)] == [sound.id]


@pytest.mark.parametrize("content", [b"", b"{", b'{"order": 3}', b'{"title": [], "order": ["../x"]}'])
def test_a_damaged_deck_keeps_its_bookmarks(store: BookmarkStore, content: bytes) -> None:
    a, b = store.add("Talk", chart("a"), files()), store.add("Talk", chart("b"), files())
    (store.folder / a.deck / "deck.json").write_bytes(content)
    assert {x.title for x in store.read(a.deck)} == {"a", "b"}
    store.move(store.read(b.deck)[0], 1)
    assert len(store.read(a.deck)) == 2


@pytest.mark.parametrize("content", [b"", b'{"data": 3}', b'{"data": [{"type": "heatmap", "z": "no"}], "layout": []}'])
def test_a_damaged_figure_is_said(store: BookmarkStore, content: bytes) -> None:
    kept = store.add("Talk", chart(), files())
    (store.folder / kept.deck / kept.id / "figure.json").write_bytes(content)
    figure = slide_of(store, kept).figure
    assert figure is not None
    with pytest.raises(BraindashError, match="Layers"):
        figure("light")


def test_many_people_at_once_lose_nothing(store: BookmarkStore) -> None:
    problems: list[BaseException] = []
    one = files()

    def work(i: int) -> None:
        try:
            mine = BookmarkStore(home_of(store))
            kept = mine.add("Talk", chart(f"t{i}"), one)
            mine.change(kept, caption=f"c{i}")
            mine.move(kept, -1)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems
    found = store.read("talk")
    assert {(b.title, b.caption) for b in found} == {(f"t{i}", f"c{i}") for i in range(8)}
    order = json.loads((store.folder / "talk" / "deck.json").read_text())["order"]
    assert sorted(order) == sorted(b.id for b in found)


def test_a_full_disk_leaves_no_trace(store: BookmarkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add("Talk", chart("a"), files())

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("braindash.runs.bookmarks.write_synced", full)
    with pytest.raises(BraindashError, match="full"):
        store.add("Talk", chart("b"), files())
    monkeypatch.undo()
    assert [b.title for b in store.read("talk")] == ["a"]
    assert not [p for p in (store.folder / "talk").iterdir() if p.name.startswith(".")]


def test_a_home_that_may_not_be_written_is_said(store: BookmarkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(BraindashError, match="may not be written"):
        store.add("Talk", chart(), files())


def test_size_and_number_are_bounded(store: BookmarkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BraindashError, match="MB"):
        store.add("Talk", chart(), {"figure.json": b"x" * 33_000_000})
    monkeypatch.setattr("braindash.runs.bookmarks.MOST", 2)
    store.add("Talk", chart(), files())
    store.add("Talk", chart(), files())
    with pytest.raises(BraindashError, match="2 bookmarks"):
        store.add("Talk", chart(), files())
    assert MOST > 50


def test_a_killed_writer_leaves_a_folder_that_nobody_sees(store: BookmarkStore) -> None:
    kept = store.add("Talk", chart(), files())
    (store.folder / "talk" / ".creating-20260101-000000-abcdef").mkdir()
    (store.folder / "talk" / "20260101-000000-abcdef").mkdir()  # made by hand, empty
    assert [b.problem == "" for b in store.read("talk")] == [True, False]
    assert store.read("talk")[0].id == kept.id


# --- decks ----------------------------------------------------------------------------------------


def test_a_deck_has_a_slide_a_view_with_its_run_and_statistics(store: BookmarkStore) -> None:
    from braindash.reports.deck import lay_out, notes_text

    store.add("Talk", chart("Layers"), files())
    store.add("Talk", replace(chart("Map", kind="picture"), runs=("r2", "r3")),
              {"light.png": picture(0.9), "dark.png": picture(0.1)})  # fmt: skip
    store.add("Talk", replace(chart("Answer", kind="text"), points=("It rose.",)), {})
    deck = bookmark_deck(home_of(store), "Talk")
    assert [s.title for s in deck.slides] == ["Talk", "Layers", "Map", "Answer"]
    assert deck.slides[0].points[0] == "3 views of 3 runs."
    _, layers, brain, answer = deck.slides
    assert layers.n == "n = 12 targets"
    assert "95 % intervals." in notes_text(layers, deck)
    assert "Run r1" in notes_text(layers, deck)
    assert "Runs r2, r3" in " ".join(lay_out(brain, deck, 3).mark.text.lines)
    assert answer.figure is None
    assert answer.points == ("It rose.",)


def test_kept_pictures_are_shown_as_they_are(store: BookmarkStore) -> None:
    kept = store.add("Talk", chart("Map", kind="picture"), {"light.png": picture(0.9), "dark.png": picture(0.1),
                                                           "light.svg": b"<svg/>"})  # fmt: skip
    slide, draw = slide_of(store, kept), stored_picture(store, [kept])
    assert draw(slide, "light", "png") == picture(0.9)
    assert draw(slide, "light", "svg") == b"<svg/>"
    assert slide.figure is not None
    canvas = io.BytesIO()
    slide.figure("dark").savefig(canvas, format="png")
    assert abs(float(imread(io.BytesIO(canvas.getvalue()))[..., 0].mean()) - 0.1) < 0.02


@pytest.mark.parametrize("kind", ["html", "pptx", "pdf"])
def test_every_kind_of_file_holds_the_views(store: BookmarkStore, kind: str) -> None:
    store.add("Talk", chart("Layers of r1"), files("layer_curves"))
    store.add("Talk", chart("Map of r1", kind="picture"), {"light.png": picture(0.9), "dark.png": picture(0.1)})
    data = deck_file(home_of(store), "Talk", kind)
    if kind == "html":
        assert b"Layers of r1" in data
        assert data.count(b"data:image/svg+xml") == 4
    elif kind == "pptx":
        from pptx import Presentation

        slides = list(Presentation(io.BytesIO(data)).slides)
        assert [s.shapes.title.text_frame.text for s in slides] == ["Talk", "Layers of r1", "Map of r1"]
        assert sum(shape.shape_type == 13 for s in slides for shape in s.shapes) == 2
        assert "95 % intervals." in slides[1].notes_slide.notes_text_frame.text
    else:
        assert data.startswith(b"%PDF")
        assert data.count(b"/Type /Page ") == 3 or data.count(b"/Type /Page\n") == 3


def test_methods_and_works_are_those_of_all_runs_and_said_once(store: BookmarkStore) -> None:
    def made(run: str, lr: str, work: str) -> dict[str, bytes]:
        text = f"Data. The same.\n\nTuning. Rate {lr}.\n\nWorks cited. Shared, 2000: One; {work}, 2001: Two.\n"
        bib = f"@article{{shared,\n  title = {{One}}\n}}\n\n@article{{{work.lower()},\n  title = {{Two}}\n}}\n"
        return {"methods.json": json.dumps({"runs": [{"run": run, "name": "", "text": text, "bibtex": bib}]}).encode()}

    store.add("Talk", replace(chart("a"), runs=("r1",)), files() | made("r1", "1", "Ann"))
    store.add("Talk", replace(chart("b"), runs=("r2",)), files() | made("r2", "2", "Bob"))
    store.add("Talk", replace(chart("c"), runs=("r1",)), files() | made("r1", "1", "Ann"))
    deck = bookmark_deck(home_of(store), "Talk")
    said = "\n".join(p for s in deck.slides if s.title.startswith("Methods") for p in s.points)
    assert said.count("Data. The same.") == 1
    assert said.count("Data as of run r1.") == 1
    assert said.count("Rate 1.") == said.count("Rate 2.") == 1
    assert said.count("Shared, 2000: One") == 1
    works = "\n".join(p for s in deck.slides if s.title.startswith("BibTeX") for p in s.points)
    assert [works.count(f"{{{k},") for k in ("shared", "ann", "bob")] == [1, 1, 1]


def test_one_run_has_its_methods_as_they_are() -> None:
    one = Made("r1", "", "Data. All of it.\n\nWorks cited. X.\n", "@misc{x,\n  a = {b}\n}\n")
    assert joined_methods([one]) == one.text
    assert joined_bibtex([one, one]) == one.bibtex
    assert joined_methods([]) == ""


def test_a_deck_without_anything_that_can_be_read_is_refused(store: BookmarkStore) -> None:
    with pytest.raises(BraindashError, match="no bookmark"):
        deck_of(store, "Talk", [])


def test_a_chart_that_needs_a_browser_says_what_to_install() -> None:
    import plotly.graph_objects as go

    pytest.importorskip("plotly")
    spec = figure_spec(go.Figure(go.Pie(values=[1, 2])))
    try:
        import kaleido  # noqa: F401
    except ImportError:
        with pytest.raises(BraindashError, match="pie") as caught:
            chart_files(spec, "light")
        assert "pip install kaleido" in caught.value.remedy


def test_the_command_line_writes_a_deck(
    store: BookmarkStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add("Lab meeting", chart("Layers"), files())
    home = ["--home", str(tmp_path)]
    out = tmp_path / "talk.html"
    assert command_line(["report", "--deck", "lab meeting", "-o", str(out), *home, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["runs"] == ["r1"]
    assert [s["title"] for s in said["slides"]] == ["Lab meeting", "Layers"]
    assert out.stat().st_size == said["bytes"]
    assert command_line(["report", "--deck", "nothing", *home]) == 2
    assert "Lab meeting" in capsys.readouterr().err
    assert command_line(["report", *home]) == 2
    assert command_line(["report", "r1", "--deck", "Lab meeting", *home]) == 2


def test_files_module_is_what_writes(store: BookmarkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bookmark's words are replaced whole: a reader never sees a half of them."""
    kept = store.add("Talk", chart(), files())
    seen = []
    before = braindash.files.whole_file
    monkeypatch.setattr("braindash.files.whole_file", lambda path: seen.append(path.name) or before(path))
    store.change(kept, title="other")
    assert seen == ["bookmark.json"]
