"""The legend that the panels of the Probes page share: it names and draws what they draw, and names are text."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from conftest import OpenPage
from probing_home import panels, probed

from braindash.config import Home
from braindash.figures.style import MARKERS
from braindash.ui import legend
from braindash.ui.text import escape

PAIR = ("pretrained", "brain_tuned")


def test_the_panels_share_a_legend_of_what_they_draw(home: Home, open_page: OpenPage) -> None:
    probed(home)
    sent = [m.value for m in open_page("probes").markdown if m.value.startswith("![Line of]")]
    titles = ["Pretrained", "Brain-tuned", "Block-permuted", "Untrained", "Labels shuffled", "Chance"]
    assert [entry.split("\u00a0")[1].replace("\\", "") for entry in sent] == [*titles, "Majority baseline"]
    drawn = [base64.b64decode(re.findall(r"base64,([^)]+)", entry)[0]).decode() for entry in sent]
    line = panels(open_page("probes"))["Word identity"]["data"]
    colours = {t["customdata"][0][0]: t["line"]["color"] for t in line if "markers" in t["mode"]}
    for picture, model in zip(drawn, ("pretrained", "brain_tuned", "block_permuted", "random_weights"), strict=False):
        assert f'stroke="{colours[model]}"' in picture
        assert ("<rect" in picture) == (model in PAIR)
        assert ("stroke-dasharray" in picture) == (model not in PAIR)


def test_a_name_in_a_legend_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(legend.st, "markdown", lambda text, **_: sent.append(text))
    legend.draw(
        [legend.of_model("<b onclick=x>[l](https://evil.example)", "light"), legend.Entry("a < *b*", "#000000")]
    )
    assert re.search(r"(?<!\\)(<b|\[l)", sent[0]) is None
    assert sent[1].endswith("\u00a0" + escape("a < *b*"))


@pytest.mark.parametrize("symbol", MARKERS)
def test_marks_lie_around_the_line(symbol: str) -> None:
    corners = np.array(legend.corners_of(symbol, 3.0))
    assert np.abs(corners.mean(axis=0)).max() < 0.6
    assert 2.5 < np.abs(corners).max() < 4.3
