"""The gate before every page: who may come in, and that nothing of the home is read for anybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import PAGES, ROOT
from streamlit import config as server
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.exposure import ALLOW_ANYONE
from braindash.settings import Access, Settings, settings_path, write_settings
from braindash.ui import way_back
from braindash.ui.gate import CLOSED, NOT_ON_THE_LIST, SIGN_IN

SECRETS = """[auth]
redirect_uri = "http://localhost:8501/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "braindash"
client_secret = "s3cret"
server_metadata_url = "http://localhost:9/.well-known/openid-configuration"
"""
Open = Callable[..., AppTest]


@pytest.fixture
def options() -> Iterator[Callable[[str, Any], None]]:
    """Set options of the server, as the command line would; put back afterwards."""
    before: dict[str, Any] = {}

    def set_(name: str, value: Any) -> None:
        before.setdefault(name, server.get_option(name))
        server.set_option(name, value)

    yield set_
    for name, value in before.items():
        server.set_option(name, value)


@pytest.fixture
def secrets(tmp_path: Path, options: Callable[[str, Any], None]) -> Path:
    """Sign-in, configured."""
    file = tmp_path / "secrets.toml"
    file.write_text(SECRETS, encoding="utf-8")
    options("secrets.files", [str(file)])
    return file


@pytest.fixture
def come(home: Home) -> Open:
    """Come as somebody, to a page; the home holds a run that nobody but the lab may see."""
    fake_home.add_done(home, name="the secret run")

    def come_(claims: dict[str, Any] | None = None, page: str = "runs", back: bool = True, **address: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        if back:  # as the browser answers that no link was kept
            app.session_state[way_back.ANSWERED] = True
        app.user = {"is_logged_in": True, "name": "Somebody", **claims} if claims else {}
        app.switch_page(PAGES[page])
        for key, value in address.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception[0].message
        return app

    return come_


def said(app: AppTest) -> str:
    """Return every text on the page, the side bar and its tables."""
    kinds = ("title", "header", "subheader", "markdown", "text", "caption", "error", "warning", "info", "code")
    words = [str(e.value) for kind in kinds for e in getattr(app, kind)]
    return " ".join([*words, *(b.label for b in app.button), *(str(d.value) for d in app.dataframe)])


def allow(home: Home, **roles: Any) -> None:
    write_settings(home, Settings(access=Access(**roles)))


def test_on_this_machine_alone_everybody_is_at_home(come: Open) -> None:
    page = come()
    assert "the secret run" in said(page)
    assert "Nobody signs in" not in said(page)
    assert "Sign out" not in said(page)
    assert not page.button(key="delete").disabled


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_signing_in(come: Open, secrets: Path, home: Home, page: str) -> None:
    allow(home, manage=("@lab.org",))
    run = next(home.runs.iterdir()).name
    app = come(page=page, run=run)
    assert [t.value for t in app.title] == [SIGN_IN]
    assert "secret run" not in said(app)
    assert run not in said(app)
    assert len(app.dataframe) == 0
    assert [b.label for b in app.button] == ["Sign in"]


def test_those_on_the_list_come_in_with_their_role(come: Open, secrets: Path, home: Home) -> None:
    allow(home, view=("@lab.org",), launch=("ada@lab.org",), manage=("root@lab.org",))
    guest, ada, root = (come({"email": f"{who}@lab.org"}) for who in ("bob", "ada", "root"))
    for page in (guest, ada, root):
        assert "the secret run" in said(page)
        assert page.button(key="sign_out").label == "Sign out"
        assert "Somebody" in said(page)
    assert guest.button(key="delete").disabled
    assert "bob" in guest.button(key="delete").help
    assert ada.button(key="delete").disabled
    assert not root.button(key="delete").disabled


def test_nothing_is_shown_before_it_is_known_where_somebody_came_from(come: Open, secrets: Path, home: Home) -> None:
    allow(home, view=("@lab.org",))
    page = come({"email": "bob@lab.org"}, back=False)
    assert [b.label for b in page.button] == ["Open the first page"]
    assert "the secret run" not in said(page)
    page.button(key="way_back_first").click().run()
    assert not page.exception
    assert "Somebody" in said(page)
    assert [b.label for b in page.button] != ["Open the first page"]


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "eve@evil.org"},
        {"email": "eve@evil.org@lab.org"},
        {"email": "root@lab.org", "email_verified": False},
        {"email": "r\u043e\u043et@lab.org"},  # Cyrillic
        {"email": ["root@lab.org"]},
        {"email": ""},
        {"sub": "root@lab.org"},
    ],
    ids=str,
)
def test_others_do_not(come: Open, secrets: Path, home: Home, claims: dict[str, Any]) -> None:
    allow(home, manage=("root@lab.org", "@lab.org"))
    page = come(claims)
    assert page.title[0].value in (NOT_ON_THE_LIST, CLOSED)
    assert "secret run" not in said(page)


def test_an_empty_list_lets_nobody_in(come: Open, secrets: Path) -> None:
    page = come({"email": "ada@lab.org"})
    assert [t.value for t in page.title] == [NOT_ON_THE_LIST]
    assert "braindash settings set access" in said(page)


def test_who_is_logged_in_by_another_name_only_is_not(come: Open, secrets: Path, home: Home) -> None:
    allow(home, manage=("root@lab.org",))
    page = come({"email": "root@lab.org", "is_logged_in": "yes"})
    assert "secret run" not in said(page)


def test_whoever_is_taken_off_the_list_is_out_at_the_next_step(come: Open, secrets: Path, home: Home) -> None:
    allow(home, manage=("ada@lab.org",))
    page = come({"email": "ada@lab.org"})
    assert "the secret run" in said(page)
    allow(home, manage=("root@lab.org",), view=("bob@lab.org",))
    page.button(key="delete").click().run()  # the page that is still on the screen
    assert page.title[0].value == NOT_ON_THE_LIST
    assert "secret run" not in said(page)
    assert next(home.runs.iterdir()).exists()


@pytest.mark.parametrize(
    ("spoilt", "expected"),
    [("[auth\n", "cannot be read"), (SECRETS.replace("client_id", "client"), "is missing")],
)
def test_a_mistake_in_the_sign_in_closes_the_pages(
    come: Open, secrets: Path, options: Any, spoilt: str, expected: str
) -> None:
    secrets.write_text(spoilt, encoding="utf-8")
    page = come({"email": "ada@lab.org"})
    assert [t.value for t in page.title] == [CLOSED]
    assert expected in page.error[0].value
    assert "secret run" not in said(page)
    options("server.address", "0.0.0.0")
    page = come({"email": "ada@lab.org"})
    assert [t.value for t in page.title] == [CLOSED]
    assert "secrets" not in page.error[0].value, "a stranger is told no path"


def test_settings_that_cannot_be_read_let_nobody_in_where_people_sign_in(come: Open, secrets: Path, home: Home) -> None:
    settings_path(home).write_text("access: {manage: [ada@lab.org], ", encoding="utf-8")
    page = come({"email": "ada@lab.org"})
    assert [t.value for t in page.title] == [CLOSED]
    assert "settings" in page.error[0].value
    assert "secret run" not in said(page)


def test_on_this_machine_they_are_a_notice(come: Open, home: Home) -> None:
    settings_path(home).write_text("access: {manage: [ada@lab.org], ", encoding="utf-8")
    page = come()
    assert "the secret run" in said(page)
    assert "settings" in page.error[0].value


@pytest.mark.parametrize(
    ("address", "hosts"), [("0.0.0.0", ["localhost"]), ("", ["localhost"]), ("127.0.0.1", ["brain.lab.org"])]
)
def test_a_public_server_without_sign_in_refuses_by_itself(
    come: Open, options: Any, monkeypatch: pytest.MonkeyPatch, home: Home, address: str, hosts: list[str]
) -> None:
    options("server.address", address)
    options("server.allowedHosts", hosts)
    page = come()
    assert [t.value for t in page.title] == [CLOSED]
    assert "allow\\-anyone" in page.error[0].value
    assert "secret run" not in said(page)

    monkeypatch.setenv(ALLOW_ANYONE, "1")
    page = come()
    assert "the secret run" in said(page)
    assert "Nobody signs in: anyone who reaches this address may look at everything here" in page.warning[0].value
    assert page.button(key="delete").disabled
    allow(home, anyone="manage")
    page = come()
    assert "delete runs and change the settings" in page.warning[0].value
    assert not page.button(key="delete").disabled
