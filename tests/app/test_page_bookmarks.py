"""Bookmarks: kept from the page that shows a chart, arranged and reworded on Present, whatever becomes of runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import fake_home
import pytest
from conftest import ROOT, OpenPage, checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.runs.bookmark_deck import bookmark_deck
from braindash.runs.bookmarks import Bookmark, BookmarkStore
from braindash.ui import bookmarks_view, permissions


def store_of(home: Home) -> BookmarkStore:
    return BookmarkStore(home)


def ask(page: AppTest) -> AppTest:
    """Press the button in the side bar; the dialog is drawn then."""
    return checked(page.button(key="bookmark").click().run())


def keep(page: AppTest) -> AppTest:
    return checked(page.button(key="bookmark_keep").click().run())


def text_area(page: AppTest, key: str) -> Any:
    return next(t for t in page.text_area if t.key == key)


def three(home: Home, run_id: str = "", title: str = "Talk") -> list[Bookmark]:
    """Keep three texts."""
    runs = (run_id,) if run_id else ()
    one = Bookmark("", kind="text", page="encoding", params={"run": run_id}, runs=runs, points=("It rose.",))
    return [store_of(home).add(title, replace(one, title=t), {}) for t in ("first", "second", "third")]


def titles(home: Home) -> list[str]:
    store = store_of(home)
    return [b.title for d in store.decks() for b in store.read(d.id)]


def test_a_chart_is_kept_with_its_words_its_run_and_its_address(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = ask(open_page("encoding", run=run_id, table="tuned"))
    assert page.multiselect(key="bookmark_what").value == ["layer_region"]
    assert page.text_input(key="bookmark_title_layer_region").value.startswith("Brain-tuned, r / noise ceiling")
    caption = text_area(page, "bookmark_caption_layer_region").value
    assert caption.startswith("Table of r / noise ceiling")
    page.multiselect(key="bookmark_what").set_value(["layer_region", "encoding_curves"]).run()
    page.text_input(key="bookmark_title_encoding_curves").set_value("Language rises").run()
    keep(page)
    store = store_of(home)
    (deck,) = store.decks()
    assert (deck.title, deck.n) == ("Bookmarks", 2)
    table, curves = store.read(deck.id)
    assert curves.title == "Language rises"
    assert table.page == "encoding"
    assert table.params["run"] == run_id
    assert table.params["table"] == "tuned"
    assert table.runs == (run_id,)
    assert "n targets: " in curves.n
    assert "95 % intervals" in curves.statistics
    assert table.caveats == (fake_home.CAVEAT,)
    assert store.figure(table)["data"][0]["type"] == "heatmap"
    assert any("Kept 2 views" in t.value for t in page.toast)
    slides = bookmark_deck(home, "Bookmarks").slides
    assert any(s.title.startswith("Methods") for s in slides)
    assert any("@" in p for s in slides if s.title.startswith("BibTeX") for p in s.points)


def test_an_answer_is_kept_as_text(home: Home) -> None:
    run_id = fake_home.add_done(home)
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)  # the first page, without a way to it
    page.query_params["run"] = run_id
    page = ask(checked(page.run()))
    page.multiselect(key="bookmark_what").set_value(["answer"]).run()
    checked(page)
    keep(page)
    (one,) = store_of(home).read("bookmarks")
    assert one.kind == "text"
    assert one.points
    assert one.page == "home"


@pytest.mark.parametrize("name", sorted(fake_home.HOSTILE))
def test_hostile_names_are_text_everywhere(home: Home, open_page: OpenPage, name: str) -> None:
    run_id = fake_home.add_done(home, name=fake_home.HOSTILE[name])
    page = ask(open_page("encoding", run=run_id))
    keep(page)
    shown = checked(open_page("present", what="bookmarks"))
    assert "evil.example)" not in " ".join(m.value for m in shown.markdown)
    html = bookmarks_view.deck_file(_opened(home), "html").decode()
    assert "<img src=x" not in html


def _opened(home: Home) -> bookmarks_view.Opened:
    store = store_of(home)
    (deck,) = store.decks()
    return bookmarks_view.Opened(store, deck.id, deck.title, store.mark(deck.id), tuple(store.read(deck.id)))


def test_pages_without_anything_to_keep_have_no_button(home: Home, open_page: OpenPage) -> None:
    assert "bookmark" not in {b.key for b in open_page("encoding").button}
    fake_home.add_done(home)
    assert "bookmark" not in {b.key for b in open_page("present").button}


def test_what_is_kept_is_ordered_and_reworded(home: Home, open_page: OpenPage) -> None:
    _, second, _ = three(home)
    page = open_page("present", what="bookmarks", bookmark=second.id)
    page.button(key="bookmark_down").click().run()
    assert titles(home) == ["first", "third", "second"]
    page.button(key="bookmark_up").click().run()
    checked(page)
    assert titles(home) == ["first", "second", "third"]
    key = f"bookmark_title_of_{second.id}"
    page.text_input(key=key).set_value("  Another\n one ").run()
    checked(page)
    assert titles(home) == ["first", "Another one", "third"]
    assert any("Another one" in b.label for b in page.button)
    page.button(key=f"view_{store_of(home).read('talk')[0].id}").click().run()
    checked(page)
    first = store_of(home).read("talk")[0].id
    assert page.query_params["bookmark"] in (first, [first])
    page.button(key="bookmark_remove").click().run()
    checked(page)
    assert titles(home) == ["Another one", "third"]


def test_the_deck_is_presented_and_taken_along(home: Home, open_page: OpenPage) -> None:
    three(home)
    page = open_page("present", what="bookmarks")
    page.button(key="present_bookmarks").click().run()
    checked(page)
    frames = page.get("iframe")
    assert len(frames) == 2, "the deck, and the preview of one view"
    page.button(key="close_bookmarks").click().run()
    assert len(checked(page).get("iframe")) == 1
    assert bookmarks_view.deck_file(_opened(home), "pdf").startswith(b"%PDF")


def test_a_run_that_was_deleted_leaves_its_picture(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    keep(ask(open_page("encoding", run=run_id)))
    page = open_page("present", what="bookmarks")
    assert "The live view is gone" not in words(page)
    shutil.rmtree(home.runs / run_id)
    page = open_page("present", what="bookmarks")
    assert "The live view is gone" in words(page)
    assert "deleted since" in words(page)
    html = bookmarks_view.deck_file(_opened(home), "html").decode()
    assert "data:image/svg+xml" in html
    assert "Methods" in html, "how it was made is known still"


def test_a_damaged_bookmark_is_flagged_and_can_be_removed(home: Home, open_page: OpenPage) -> None:
    first, *_ = three(home)
    (store_of(home).folder / first.deck / first.id / "bookmark.json").write_text("{")
    page = open_page("present", what="bookmarks")
    assert any("cannot be read" in w.value for w in page.warning)
    page.button(key=f"remove_{first.id}").click().run()
    checked(page)
    assert titles(home) == ["second", "third"]


def test_what_another_person_removed_is_said(home: Home, open_page: OpenPage) -> None:
    _, second, _ = three(home)
    page = open_page("present", what="bookmarks", bookmark=second.id)
    store_of(home).remove(second)
    page.text_input(key=f"bookmark_title_of_{second.id}").set_value("too late").run()
    checked(page)
    assert page.error
    assert titles(home) == ["first", "third"]


@pytest.mark.parametrize("deck", ["../../etc", "no-such-deck", "<b>"])
def test_a_link_to_no_deck_shows_another(home: Home, open_page: OpenPage, deck: str) -> None:
    three(home)
    page = open_page("present", what="bookmarks", deck=deck, bookmark="20200101-000000-abcdef")
    assert any("not here" in w.value for w in page.warning)


def test_without_bookmarks_the_page_says_how_to_keep_one(open_page: OpenPage) -> None:
    assert "Bookmark this view" in words(open_page("present", what="bookmarks"))


def test_who_may_only_look_changes_nothing(home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = fake_home.add_done(home)
    _, second, _ = three(home, run_id)
    monkeypatch.setattr(permissions, "person", lambda: permissions.Person("view"))
    assert open_page("encoding", run=run_id).button(key="bookmark").disabled
    page = open_page("present", what="bookmarks", bookmark=second.id)
    assert page.button(key="bookmark_up").disabled
    bookmarks_view._changing(store_of(home).remove, second)
    assert titles(home) == ["first", "second", "third"], "asked again by every action"
