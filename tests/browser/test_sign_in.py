"""Signing in for real: a provider, Streamlit's own sign-in, Chromium; and what a stranger can get."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import Server, settle
from oidc_provider import CLIENT, SECRET, Provider

from braindash.runs.record import RunStore
from braindash.settings import Access, Settings, write_settings

NAME = "a run that strangers must not see"
KEPT = "sessionStorage.getItem('braindash-way-back') !== null"


@pytest.fixture
def provider() -> Iterator[Provider]:
    pytest.importorskip("authlib", reason="Authlib is not installed (requirements-signin.txt)")
    served = Provider()
    yield served
    served.close()


@pytest.fixture
def lab(server: Server, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server whose people sign in: ada looks after it, the others of lab.org may look."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server.port = free.getsockname()[1]
    folder = tmp_path / "person" / ".streamlit"
    folder.mkdir(parents=True)
    (folder / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "{server.url}/oauth2callback"\n'
        'cookie_secret = "0123456789abcdef0123456789abcdef"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("HOME", str(folder.parent))
    fake_home.add_done(server.home, name=NAME)
    write_settings(server.home, Settings(access=Access(view=("@lab.org",), manage=("ada@lab.org",))))
    server.start()
    return server


class Visitor:
    """A browser of somebody's own, and every byte that the server has sent it."""

    def __init__(self, chromium: Any, url: str) -> None:
        self.url = url
        self.received = b""
        self.context = chromium.new_context(viewport={"width": 1440, "height": 900})
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.page.on("websocket", lambda ws: ws.on("framereceived", self._hear))

    def _hear(self, frame: Any) -> None:
        self.received += frame if isinstance(frame, bytes) else frame.encode()

    def go(self, path: str, heading: str) -> Any:
        self.page.goto(f"{self.url}/{path}")
        self.page.get_by_role("heading", name=heading, exact=True).wait_for()
        settle(self.page)
        return self.page

    def sign_in(self, who: str) -> None:
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Who are you?").wait_for()
        self.page.get_by_role("link", name=who).click()


def test_from_the_first_link_after_a_start_to_signing_out(chromium: Any, lab: Server, provider: Provider) -> None:
    run = RunStore(lab.home).list()[0].id
    ada = Visitor(chromium, lab.url)
    # the first request that this server answers is a link to a run: there is no way round the sign-in
    ada.go(f"runs?run={run}", "Sign in")
    for path in ("", "overview", "settings", f"cortex?run={run}"):
        ada.go(path, "Sign in")
        assert NAME not in ada.page.content(), path
        assert ada.page.get_by_test_id("stSidebarNav").count() == 0, path
    for path in ("pages/experiments/runs.py", "pages/experiments/runs"):  # Streamlit knows no such address
        ada.page.goto(f"{lab.url}/{path}")
        ada.page.wait_for_load_state("networkidle")
        assert NAME not in ada.page.content(), path
        assert "run_actions" not in ada.page.content(), path
    assert b"strangers must not see" not in ada.received
    assert ada.received, "what was sent was listened to"

    ada.go("", "Sign in")
    ada.sign_in("ada")
    ada.page.get_by_role("heading", name="What did brain-tuning change?").wait_for()
    assert ada.page.get_by_text("Ada Lovelace").is_visible()
    assert "/jwks" in provider.asked, "the token's signature was checked"
    ada.go(f"runs?run={run}", "Runs")
    ada.page.get_by_role("heading", name=NAME).wait_for()
    assert ada.page.get_by_role("button", name="Delete …").is_enabled()
    assert b"strangers must not see" in ada.received

    bob = Visitor(chromium, lab.url)
    bob.go(f"runs?run={run}", "Sign in")
    bob.page.wait_for_function(KEPT)
    bob.sign_in("bob")
    bob.page.wait_for_url(f"{lab.url}/runs?run={run}")  # back where the link led
    bob.page.get_by_role("heading", name="Runs", exact=True).wait_for()
    bob.page.get_by_role("heading", name=NAME).wait_for()
    assert bob.page.get_by_role("button", name="Delete …").is_disabled()
    bob.go("settings", "Settings")
    bob.page.get_by_text(re.compile("bob@.*may look, but not change the settings")).wait_for()

    ada.page.get_by_role("button", name="Sign out").click()
    ada.page.get_by_role("heading", name="Sign in").wait_for()
    ada.received = b""
    ada.go(f"runs?run={run}", "Sign in")
    assert b"strangers must not see" not in ada.received
    for visitor in (ada, bob):
        visitor.context.close()


def test_only_a_link_of_this_server_is_followed_and_only_once(chromium: Any, lab: Server) -> None:
    bob = Visitor(chromium, lab.url)
    bob.go("", "Sign in")
    bob.page.wait_for_function(KEPT)
    # what is kept is the address's path, and a path may begin like the name of a server
    bob.page.evaluate("sessionStorage.setItem('braindash-way-back', '//evil.example/runs')")
    bob.sign_in("bob")
    bob.page.wait_for_url(f"{lab.url}//evil.example/runs")
    bob.page.evaluate("sessionStorage.setItem('braindash-way-back', 'https://evil.example/')")
    bob.go("", "What did brain-tuning change?")
    assert bob.page.url.startswith(f"{lab.url}/")
    assert bob.page.evaluate("sessionStorage.getItem('braindash-way-back')") is None
    bob.page.evaluate("sessionStorage.setItem('braindash-way-back', '/runs')")  # a link goes where it says
    bob.go("study", "Study")
    assert bob.page.url == f"{lab.url}/study"
    bob.context.close()


def test_without_an_answer_one_gets_to_the_first_page_by_hand(chromium: Any, lab: Server) -> None:
    bob = Visitor(chromium, lab.url)
    bob.context.add_init_script("Storage.prototype.getItem = () => { throw new Error('no storage here'); };")
    bob.go("", "Sign in")
    bob.sign_in("bob")
    bob.page.get_by_role("button", name="Open the first page").click()
    bob.page.get_by_role("heading", name="What did brain-tuning change?").wait_for()
    bob.context.close()


def test_strangers_and_forgers_get_nothing(chromium: Any, lab: Server) -> None:
    run = RunStore(lab.home).list()[0].id
    eve = Visitor(chromium, lab.url)
    eve.go(f"runs?run={run}", "Sign in")
    eve.sign_in("eve")
    eve.page.get_by_role("heading", name="Not on the list").wait_for()
    eve.page.get_by_text("eve@evil.org").wait_for()
    eve.go(f"runs?run={run}", "Not on the list")

    mallory = Visitor(chromium, lab.url)  # her token says ada@lab.org, and is not signed by the provider
    mallory.go("", "Sign in")
    mallory.sign_in("mallory")
    mallory.page.get_by_role("heading", name="Sign in").wait_for()
    settle(mallory.page)
    mallory.context.add_cookies(
        [{"name": "_streamlit_user", "value": '{"email":"ada@lab.org","is_logged_in":true}', "url": lab.url}]
    )
    mallory.go(f"runs?run={run}", "Sign in")
    for visitor in (eve, mallory):
        assert visitor.received
        assert b"strangers must not see" not in visitor.received
        visitor.context.close()

    # what the server answers without any browser
    for path in (
        "_stcore/health", "_stcore/host-config", "_stcore/metrics", "_stcore/agent/openapi.json", f"media/{run}",
        "component/x/../../runs", f"runs/{run}/config.yaml", "app/static/settings.yaml",
    ):  # fmt: skip
        try:
            body = urllib.request.urlopen(f"{lab.url}/{path}", timeout=20).read()
        except urllib.error.HTTPError as error:
            body = error.read()
        assert b"strangers" not in body, path
        assert b"lab.org" not in body, path
    request = urllib.request.Request(f"{lab.url}/_stcore/agent/interact", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code >= 400
