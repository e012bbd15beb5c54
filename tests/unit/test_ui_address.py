"""What was written into the address of late, against addresses that know of it, do not, or are meant as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from braindash.ui import address


class Browser:
    """A browser and its session: what it sends as its address may be older than what was written."""

    query_params: dict[str, str]
    session_state: dict[str, Any]

    def __init__(self) -> None:
        self.query_params, self.session_state = {}, {}
        self.back, self.now, self.page = False, 100.0, "cortex"

    def sends(self, **params: str) -> dict[str, str]:
        """A message comes with this address; return what the page takes it for."""
        self.now += 1
        self.query_params = dict(params)
        address.heal()
        return self.query_params


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    browser = Browser()
    monkeypatch.setattr(address, "st", browser)
    monkeypatch.setattr(address, "monotonic", lambda: browser.now)
    monkeypatch.setattr(
        address,
        "get_script_run_ctx",
        lambda **_: SimpleNamespace(is_history_navigation=browser.back, page_script_hash=browser.page),
    )
    return browser


def test_an_address_from_before_is_brought_up_to_date(browser: Browser) -> None:
    browser.sends(run="a", fade="none")
    address.write(fade="accuracy")
    assert browser.sends(run="a", fade="none") == {"run": "a", "fade": "accuracy"}
    assert browser.sends(run="a", fade="accuracy") == {"run": "a", "fade": "accuracy"}  # it has heard


def test_changes_add_up_whichever_of_them_the_browser_has_heard_of(browser: Browser) -> None:
    browser.sends(run="a")
    address.write(model="x")
    browser.query_params = {"run": "a"}  # the next click, which has not heard
    address.write(fade="q")
    address.write(model="y")
    wanted = {"run": "a", "model": "y", "fade": "q"}
    assert browser.query_params == wanted
    for heard in ({}, {"model": "x"}, {"model": "x", "fade": "q"}, {"model": "y", "fade": "q"}):
        assert browser.sends(run="a", **heard) == wanted


def test_what_was_taken_out_stays_out_and_may_come_again(browser: Browser) -> None:
    browser.sends(run="a", target="5")
    address.write(target=None)
    assert browser.sends(run="a", target="5") == {"run": "a"}
    address.write(target="7")
    assert browser.sends(run="a", target="5") == {"run": "a", "target": "7"}
    assert browser.sends(run="a") == {"run": "a", "target": "7"}


def test_what_the_browser_writes_itself_is_no_other_address(browser: Browser) -> None:
    browser.sends(run="a")
    address.write(fade="q")
    browser.session_state["layer"] = 3  # a bound slider
    assert browser.sends(run="a", layer="3") == {"run": "a", "layer": "3", "fade": "q"}


def test_another_address_is_meant(browser: Browser) -> None:
    browser.sends(run="a")
    address.write(run="b")
    assert browser.sends(group="g") == {"group": "g"}  # a link
    assert browser.sends(run="c") == {"run": "c"}
    address.write(run="d")
    browser.back = True
    assert browser.sends(run="c") == {"run": "c"}
    browser.back = False
    assert browser.sends(run="c") == {"run": "c"}  # and the step back is not taken back later


def test_late_addresses_and_other_pages_are_meant(browser: Browser) -> None:
    browser.sends(run="a")
    address.write(run="b")
    browser.now += address.FRESH
    assert browser.sends(run="a") == {"run": "a"}
    address.write(run="b")
    assert browser.sends(run="a") == {"run": "b"}
    browser.page = "runs"
    assert browser.sends(run="a") == {"run": "a"}


def test_nothing_is_kept_of_what_changes_nothing(browser: Browser) -> None:
    browser.sends(run="a")
    address.write(run="a", target=None)
    assert not browser.session_state.get("_address_written")
