"""The Glossary page, and the hover help of every page: its main terms are explained where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import full_home
from conftest import OpenPage, checked, words

from braindash.config import Home
from braindash.glossary import SECTIONS, TERMS
from braindash.ui.form import GROUP_KEYS, TERMS_OF

LINKED = re.compile(r"glossary\?term=(\w+)")
# what a newcomer cannot be expected to know, page by page
MAIN: dict[str, set[str]] = {
    "overview": {
        "delta", "interval", "r_norm", "r", "best_layer", "state_0", "control", "encoding_model", "layer",
        "test_stories", "noise_ceiling", "excluded", "late_language",
    },
    "cortex": {"brain_tuned", "control", "r_norm", "r"},  # and those of tests/unit/test_glossary.py, on a cortex
    "encoding": {
        "brain_tuned", "control", "r_norm", "r", "layer", "region_groups", "delta", "q", "interval", "target",
        "noise_ceiling", "excluded", "unique_variance", "shared_variance", "r2",
    },
    "probes": {
        "probe", "score", "chance", "baseline", "shuffled_labels", "selectivity", "macro_f1", "q", "random_weights",
    },
    "rsa": {"rsa_similarity", "partial_rsa", "rsa_ceiling", "rdm", "crossnobis", "mds", "cka", "q"},
    "explorer": {"test_stories"},
    "compare": {"delta", "r_norm", "r", "interval"},
    "study": {"test_stories", "tr"},
    "tune": {key for keys in TERMS_OF.values() for key in keys} | {"seed", "control"},
    "runs": {"validation_r", "loss", "epoch"},
}  # fmt: skip

# what is folded is not there
OPENED = {"encoding": {"numbers": "true"}, "tune": dict.fromkeys(GROUP_KEYS.values(), "true")}


def helps(page: Any) -> Iterator[str]:
    """Return every hover help of a page, those of table columns among them."""

    def walk(block: Any) -> Iterator[Any]:
        for child in block.children.values():
            if hasattr(child, "children"):
                yield from walk(child)
            else:
                yield child

    for element in walk(page.main):
        yield element.proto.SerializeToString().decode("utf-8", "ignore")


def explained(page: Any) -> set[str]:
    return {key for text in helps(page) for key in LINKED.findall(text)}


def test_the_main_terms_of_a_page_are_explained_where_they_stand(
    home: Home, open_page: OpenPage, tmp_path: Path
) -> None:
    full_home.fill(home, tmp_path / "mini")
    for name, wanted in MAIN.items():
        found = explained(open_page(name, **OPENED.get(name, {})))
        assert wanted <= found, (name, wanted - found)
        assert found <= set(TERMS), (name, found - set(TERMS))


def test_every_term_is_on_the_page_and_can_be_linked_to(open_page: OpenPage) -> None:
    page = open_page("glossary")
    assert [h.value for h in page.header] == list(SECTIONS)
    titles = [re.sub(r"\\(.)|\u2060", r"\1", s.value) for s in page.subheader]
    assert sorted(titles) == sorted(one.title for one in TERMS.values())
    anchors = {s.proto.anchor for s in page.subheader}
    assert anchors == set(TERMS)
    said = words(page)
    for key in re.findall(r"\]\(#(\w+)\)", said):
        assert key in anchors
    assert not re.search(r"\]\(\?term=", said)


def test_a_link_opens_its_term_first(open_page: OpenPage) -> None:
    page = open_page("glossary", term="noise_ceiling")
    assert page.subheader[0].value == "Noise ceiling"
    assert "10.3389/fncom.2016.00010" in words(page)
    wrong = open_page("glossary", term="<b>none</b>")
    assert "names a term that is not here" in wrong.warning[0].value
    assert "<b>none</b>" in wrong.text[0].value  # as text


def test_the_search_leaves_what_holds_the_words(open_page: OpenPage) -> None:
    page = open_page("glossary", find="false discovery")
    assert [s.value for s in page.subheader] == ["q"]
    checked(page.text_input[0].set_value("nonesuch").run())
    assert not page.subheader
    assert "No term holds all of these words" in words(page)
