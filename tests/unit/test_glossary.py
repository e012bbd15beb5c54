"""The glossary: complete, resolvable, and in agreement with what is computed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from braindash.encoding.regions import TITLES, region_groups
from braindash.errors import BraindashError
from braindash.glossary import SECTIONS, SOURCES, TERMS, search, source, term
from braindash.reports.references import REFERENCES
from braindash.ui.glossary_help import explain
from braindash.wording import MODELS, words_of

ROOT = Path(__file__).resolve().parents[2]
EXPLAINERS = {"explain", "helped"}  # functions whose constant arguments are keys of terms


def test_every_entry_is_whole_and_short() -> None:
    for key, one in TERMS.items():
        assert one.section in SECTIONS, key
        assert one.text.endswith("."), key
        assert 40 < len(one.text) + len(one.formula) < 420, (key, len(one.text))
        assert set(one.see) <= set(TERMS) - {key}, key
    titles = [one.title for one in TERMS.values()]
    assert len(set(titles)) == len(titles)
    assert {one.section for one in TERMS.values()} == set(SECTIONS)


def test_every_source_resolves_and_is_used() -> None:
    named = {key for one in TERMS.values() for key in one.sources}
    assert named == set(SOURCES)
    for key in named:
        work = source(key)
        assert re.fullmatch(r"https://(doi\.org/10\.\d{4,}/\S+|arxiv\.org/abs/\d{4}\.\d{5})", work.link), key
        assert re.search(r"\d{4}$", work.cite), key
        if key in REFERENCES:  # the same work as in the methods text
            note = REFERENCES[key].fields.get("note", "")
            assert not note or "arxiv" not in work.link or note.removeprefix("arXiv:") in work.link, key


def test_an_unknown_term_is_told_with_what_is_near() -> None:
    with pytest.raises(BraindashError, match="noise_ceiling"):
        term("noise_ceilin")
    with pytest.raises(BraindashError, match="schoppe"):
        source("schoppe2016")


def test_models_and_controls_are_explained_as_everywhere_else() -> None:
    for name in MODELS:
        assert TERMS[name].text == words_of(name).explanation
        assert TERMS[name].title == words_of(name).title


@pytest.mark.parametrize(
    "roi", ["primary_auditory", "early_auditory", "late_language", "ag", "ltc", "ifg", "mfg"]
)  # fmt: skip
def test_regions_list_the_very_parcels_of_their_group(roi: str) -> None:
    assert tuple(TERMS[roi].formula.split(", ")) == region_groups()[roi]
    assert TERMS[roi].title == TITLES[roi]


def test_formulas_are_those_that_are_computed() -> None:
    """The ceiling's formula against the function, the rest against the guide to the methods."""
    import numpy as np

    from braindash.encoding.ceiling import noise_ceiling

    rng = np.random.default_rng(0)
    signal = rng.normal(size=(400, 1))
    repeats = np.stack([signal + rng.normal(size=(400, 1)) for _ in range(5)])
    z = (repeats - repeats.mean(1, keepdims=True)) / repeats.std(1, keepdims=True)
    n = len(z)
    sp = (n * z.mean(0).var() - z.var(1).mean()) / (n - 1)
    said = TERMS["noise_ceiling"].formula
    assert said.startswith("1 / √(1 + (1/SP − 1)/N)")
    assert np.allclose(noise_ceiling(repeats), 1 / np.sqrt(1 + (1 / sp - 1) / n), atol=1e-5)

    guide = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert "1 / √(1 + (1/SP − 1)/N)" in guide
    assert "R²(all) − R²(all but s)" in guide
    assert "1 − Σ(y − ŷ)²/Σ(y − ȳ)²" in guide


def test_search_finds_words_titles_first() -> None:
    assert search("") == list(TERMS)
    assert search("noise ceiling")[0] in ("noise_ceiling", "r_norm")
    assert "q" in search("FDR")
    assert "spatial_loss" in search("Spatial LOSS")
    assert "late_language" in search("STSda")
    assert search("nonesuch") == []
    for key, one in TERMS.items():
        assert key in search(one.title), key


def test_hover_help_says_the_text_the_sources_and_where_to_read_on() -> None:
    said = explain("noise_ceiling")
    assert "The largest r that the noise of the responses allows" in said
    assert "](https://doi.org/10.3389/fncom.2016.00010)" in said
    assert said.endswith("[Glossary](glossary?term=noise_ceiling)")
    both = explain("r", "q")
    assert both.startswith("**r.** ")
    assert both.count("glossary?term=") == 2


def used_terms() -> dict[str, list[str]]:
    """Return every key that a page or a piece of one explains, with the files that do."""
    found: dict[str, list[str]] = {}
    for file in [*(ROOT / "braindash" / "ui").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in EXPLAINERS:
                for argument in node.args:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        found.setdefault(argument.value, []).append(file.name)
    return found


def test_every_term_that_a_page_explains_exists() -> None:
    found = used_terms()
    assert found
    assert set(found) <= set(TERMS), set(found) - set(TERMS)


def test_the_maps_explain_their_layer_and_their_masks() -> None:
    found = used_terms()
    for key in ("layer", "state_0"):
        assert "chosen.py" in found[key], key  # the slider that the maps and the electrodes share
    for key in ("q", "permutation_test"):
        assert "flatmaps.py" in found[key], key
    assert "selection_view.py" in found["r_norm"]
