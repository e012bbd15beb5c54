"""A reader who is quicker than the line: what was chosen stays chosen while the server's answers are on their way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import fake_home
import pytest
from conftest import Server, settle

PAUSE = 1500  # ms, by which the server has answered and the browser does not know


class Line:
    """The browser's connection, whose messages from the server can be held back."""

    def __init__(self, page: Any) -> None:
        self.page, self.slow = page, False
        self.held: list[Any] = []
        page.route_web_socket(re.compile("_stcore/stream"), self._open)

    def _open(self, browser: Any) -> None:
        self.browser = browser
        browser.connect_to_server().on_message(self._came)

    def _came(self, message: Any) -> None:
        if self.slow:
            self.held.append(message)
        else:
            self.browser.send(message)

    def hold(self) -> None:
        self.slow = True

    def answered(self) -> int:
        """Wait until the server has said something more; return how many messages there are."""
        n = len(self.held)
        while len(self.held) == n:
            self.page.wait_for_timeout(50)
        self.page.wait_for_timeout(PAUSE)
        return len(self.held)

    def deliver(self, n: int | None = None) -> None:
        for _ in range(len(self.held) if n is None else n):
            self.browser.send(self.held.pop(0))
        if n is None:
            self.slow = False


@pytest.fixture
def cortex(server: Server, visit: Callable[..., Any], tmp_path: Any) -> tuple[Any, Line]:
    roi = fake_home.add_cortex_study(server.home, tmp_path / "surface")
    run_id = fake_home.add_done(server.home, "maps", study="surface", n_targets=len(roi), roi=roi)
    server.start()
    page = visit("glossary")
    line = Line(page)
    page.goto(f"{server.url}/cortex?run={run_id}&fade=none&maps=pretrained")
    page.get_by_text("Target by target", exact=True).wait_for()
    settle(page)
    page.get_by_role("button", name="Display").click()
    return page, line


def chosen(page: Any, name: str) -> None:
    page.wait_for_timeout(300)
    settle(page)
    assert page.get_by_role("radio", name=name, exact=True).get_attribute("aria-checked") == "true"


def test_a_click_sent_before_the_address_is_known_takes_nothing_back(cortex: tuple[Any, Line]) -> None:
    page, line = cortex
    line.hold()
    page.get_by_role("radio", name="Accuracy", exact=True).click()
    line.answered()
    page.get_by_text("Region outlines", exact=True).click()
    line.answered()
    line.deliver()
    page.wait_for_url("**fade=accuracy**")
    chosen(page, "Accuracy")
    assert "outlines=false" in page.url


def test_an_answer_that_comes_late_takes_nothing_back(cortex: tuple[Any, Line]) -> None:
    page, line = cortex
    line.hold()
    page.get_by_text("Region outlines", exact=True).click()
    late = line.answered()
    page.get_by_role("radio", name="Accuracy", exact=True).click()
    line.answered()
    line.deliver(late)
    page.wait_for_timeout(200)
    page.get_by_text("Large maps, one a row", exact=True).click()
    line.answered()
    line.deliver()
    page.wait_for_url("**fade=accuracy**")
    chosen(page, "Accuracy")
    assert "outlines=false" in page.url
    assert "large=true" in page.url


def test_a_step_back_is_meant(cortex: tuple[Any, Line]) -> None:
    page, _ = cortex
    page.get_by_role("radio", name="Accuracy", exact=True).click()
    page.wait_for_url("**fade=accuracy**")
    settle(page)
    page.go_back()
    page.wait_for_url("**fade=none**")
    chosen(page, "Nothing")
