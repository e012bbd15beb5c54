"""When the pages are public, and how sign-in is configured: a mistake never opens the door."""

from __future__ import annotations

from pathlib import Path

import pytest

from braindash.errors import BraindashError
from braindash.exposure import is_loopback, is_public, read_sign_in, refuse_public, secrets_files

WHOLE = """[auth]
redirect_uri = "https://brain.lab.org/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "braindash"
client_secret = "s3cret"
server_metadata_url = "https://id.lab.org/.well-known/openid-configuration"
"""


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("LOCALHOST.", True), ("a.localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.4", False),
        ("localhost.evil.org", False), ("127.0.0.1.evil.org", False), ("brain.lab.org", False), ("*", False),
        ("2130706433", False), ("", False),
    ],
)  # fmt: skip
def test_only_this_machine_s_own_names_are_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "192.168.1.5", "unix:///run/pages.sock"])
def test_a_server_that_listens_beyond_this_machine_is_public(address: str | None) -> None:
    assert is_public(address, ["localhost"])


def test_so_is_one_behind_a_proxy() -> None:
    assert not is_public("127.0.0.1", ["127.0.0.1", "localhost", "[::1]"])
    assert is_public("127.0.0.1", ["localhost", "brain.lab.org"])
    assert is_public("127.0.0.1", ["*"])
    assert is_public("127.0.0.1", []), "no list is every name"


def test_a_public_server_without_sign_in_is_refused_with_what_value_and_remedy(tmp_path: Path) -> None:
    own = ["127.0.0.1", "localhost"]
    with pytest.raises(BraindashError, match=r"everybody who reaches 0\.0\.0\.0.*--allow-anyone"):
        refuse_public("0.0.0.0", own, None, anyone=False)
    with pytest.raises(BraindashError, match=r"any address of this machine"):
        refuse_public(None, own, None, anyone=False)
    with pytest.raises(BraindashError, match=r"would answer to brain\.lab\.org, and nobody signs in"):
        refuse_public("127.0.0.1", [*own, "brain.lab.org"], None, anyone=False)
    refuse_public("0.0.0.0", own, None, anyone=True)
    refuse_public("127.0.0.1", own, None, anyone=False)
    file = tmp_path / "secrets.toml"
    file.write_text(WHOLE, encoding="utf-8")
    refuse_public("0.0.0.0", own, read_sign_in([file]), anyone=False)


def test_sign_in_is_read_from_the_last_file_that_has_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(WHOLE, encoding="utf-8")
    assert read_sign_in([tmp_path / "none.toml"]) is None
    assert read_sign_in([first, second]).host == "brain.lab.org"
    second.write_text(
        '[auth]\nredirect_uri = "http://10.0.0.4:8501/oauth2callback"\n'
        'cookie_secret = "0123456789abcdef0123456789abcdef"\n'
        + "".join(
            f'[auth.{name}]\nclient_id = "x"\nclient_secret = "y"\nserver_metadata_url = "https://id.lab.org/x"\n'
            for name in ("google", "lab")
        ),
        encoding="utf-8",
    )
    found = read_sign_in([first, second])
    assert found.providers == ("google", "lab")
    assert "not https" in found.caveats[0]
    assert read_sign_in([first]).caveats == []
    first.write_text("[other]\nkey = 1\n", encoding="utf-8")
    assert read_sign_in([first]) is None


BROKEN = {
    "not TOML": ("[auth\n", "cannot be read"),
    "not text": (b"\xff\xfe\x00", "cannot be read"),
    "no section": ('auth = "yes"\n', "not a section"),
    "no address": (WHOLE.replace("/oauth2callback", "/"), "redirect_uri is 'https://brain.lab.org/'"),
    "strange address": (WHOLE.replace("https://brain", "javascript://brain"), "redirect_uri"),
    "weak key": (WHOLE.replace("0123456789abcdef0123456789abcdef", "short"), "cookie_secret has 5 of at least 32"),
    "no key": ("\n".join(x for x in WHOLE.splitlines() if "cookie" not in x), "cookie_secret has 0"),
    "no client": ("\n".join(x for x in WHOLE.splitlines() if "client" not in x), "client_id, client_secret of .*are"),
    "no place": (WHOLE.replace("server_metadata_url", "metadata"), "server_metadata_url of provider 'default' is"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_in_it_is_an_error_and_never_no_sign_in(tmp_path: Path, case: str) -> None:
    content, expected = BROKEN[case]
    file = tmp_path / "secrets.toml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BraindashError, match=expected) as refused:
        read_sign_in([file])
    assert "s3cret" not in str(refused.value)


def test_secrets_are_looked_for_where_streamlit_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert secrets_files(Path("/srv/braindash")) == [
        tmp_path / ".streamlit/secrets.toml",
        Path("/srv/braindash/.streamlit/secrets.toml"),
    ]
