"""User text is shown, never interpreted; numbers and times read as people write them."""

from __future__ import annotations

import pytest

from braindash.ui import text


@pytest.mark.parametrize(
    "bad", ["<b>", "[a](http://b)", "**x**", "`x`", "$x$", "# x", "a\n\n# b", "~~x~~", "|a|b|", "![i](u)"]
)
def test_markdown_is_escaped(bad: str) -> None:
    out = text.escape(bad)
    assert "\n" not in out
    special = set("*_`#[]()<>$~|!")
    for i, character in enumerate(out):
        if character in special:
            assert out[i - 1] == "\\", (bad, out)


def test_what_is_recognised_after_the_backslashes_are_gone_is_broken_up() -> None:
    joiner = "\u2060"
    assert f":{joiner}smile" in text.escape(":smile:")
    assert f":{joiner}" in text.escape("https://example.org")
    assert f"www{joiner}" in text.escape("www.example.org")
    assert f"@{joiner}" in text.escape("someone@example.org")


def test_shown_numbers() -> None:
    assert text.number(-0.0361, 3, signed=True) == "−0.036"
    assert text.number(float("nan")) == "–"
    assert text.interval(-0.01, 0.02, 3) == "95 % CI −0.010 to 0.020"
    assert text.interval(float("nan"), 0.1) == "no interval"
    assert text.count(1, "story", "stories") == "1 story"
    assert text.count(1204, "target") == "1,204 targets"
    assert text.duration(45) == "45 s"
    assert text.duration(100) == "2 min"
    assert text.duration(7800) == "2 h 10 min"
    assert text.duration(None) == "unknown"
    assert text.memory(0.05) == "50 MB"
    assert text.shorten("a" * 70, 10) == "aaaaaaaaa…"


def test_a_minus_is_a_minus_and_a_hyphen_stays() -> None:
    said = text.true_minus("late-language: +0.003 (-0.003 to -0.010), sub-01, brain-tuned, 2026-11-21")
    assert said == "late-language: +0.003 (−0.003 to −0.010), sub-01, brain-tuned, 2026-11-21"
