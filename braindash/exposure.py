"""Whether others can reach the pages, and whether they must sign in: the rules, without a server.

The pages are *public* when their server listens beyond this machine, or answers to a name that is
not this machine's own (a proxy passes such names on). Public pages without sign-in are refused.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from braindash.errors import BraindashError
from braindash.files import read_file

ALLOW_ANYONE = "BRAINDASH_ALLOW_ANYONE"  # in the environment of a server that is public on purpose
SECRETS = Path(".streamlit") / "secrets.toml"
CALLBACK = "/oauth2callback"
SHORTEST_SECRET = 32  # characters of the key that signs who somebody is
REQUIRED = ("client_id", "client_secret", "server_metadata_url")
OWN = ("127.0.0.1", "localhost", "[::1]")  # names of this machine that no network knows
EVERYWHERE = ("0.0.0.0", "::")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
GUIDE = "docs/operations.md says how, under Several people, and a server."
NEW_SECRET = 'python -c "import secrets; print(secrets.token_hex(32))"'


def is_loopback(host: str) -> bool:
    """Whether an address or a host name is this machine's own, whatever the network."""
    name = host.strip().lower().rstrip(".").removeprefix("[").removesuffix("]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_public(address: str | None, allowed_hosts: Iterable[str] = ("localhost",)) -> bool:
    """Whether somebody elsewhere can reach a server.

    Parameters
    ----------
    address : str, optional
        What it listens on; none is every address. A ``unix://`` socket is there for a proxy.
    allowed_hosts : iterable of str
        Names that it answers to; none is every name.
    """
    names = list(allowed_hosts)
    return not address or not is_loopback(address) or not names or not all(map(is_loopback, names))


@dataclass(frozen=True)
class SignIn:
    """How people sign in.

    Attributes
    ----------
    providers : tuple of str
        Names for `st.login`; "default" is the one that the section itself describes.
    redirect_uri : str
        Where the provider sends people back to.
    """

    providers: tuple[str, ...]
    redirect_uri: str

    @property
    def host(self) -> str:
        return urlsplit(self.redirect_uri).hostname or ""

    @property
    def caveats(self) -> list[str]:
        """What is allowed and should not stay."""
        if self.redirect_uri.startswith("http://") and not is_loopback(self.host):
            return [f"{self.redirect_uri} is not https: who listens on the network can act as one who signed in."]
        return []


def secrets_files(app_folder: Path) -> list[Path]:
    """Return where a server that is started in ``app_folder`` looks for secrets.toml, the last first in rank."""
    return [Path.home() / SECRETS, app_folder / SECRETS]


def read_sign_in(files: Iterable[Path]) -> SignIn | None:
    """Return how people sign in by the section ``[auth]`` of these files, later ones first; None without one.

    Raises
    ------
    BraindashError
        For a file that cannot be read and for a section that lacks something: a mistake in it must
        never mean that nobody has to sign in.
    """
    auth: Mapping[str, Any] | None = None
    where = Path()
    for file in files:
        try:
            content = tomllib.loads(read_file(file).decode("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise BraindashError(
                f"{file} cannot be read ({why}).", "Mend the file; until then nobody gets in."
            ) from None
        if "auth" in content:
            auth, where = content["auth"], file
    if auth is None:
        return None
    return _checked(auth, where)


def _checked(auth: Any, file: Path) -> SignIn:
    def lacking(what: str, remedy: str = GUIDE) -> BraindashError:
        return BraindashError(f"Sign-in is not complete: {what} ({file}).", remedy)

    if not isinstance(auth, Mapping):
        raise lacking("auth is not a section")
    uri = auth.get("redirect_uri")
    if not _is_callback(uri):
        raise lacking(
            f"redirect_uri is {str(uri)[:200]!r}", f"Write the pages' own address with {CALLBACK} at its end."
        )
    secret = auth.get("cookie_secret")
    if not isinstance(secret, str) or len(secret) < SHORTEST_SECRET:
        n = len(secret) if isinstance(secret, str) else 0
        raise lacking(f"cookie_secret has {n} of at least {SHORTEST_SECRET} characters", f"Make one: {NEW_SECRET}")
    sections = {name: part for name, part in auth.items() if isinstance(part, Mapping) and name != "client_kwargs"}
    if not sections or any(key in auth for key in REQUIRED):
        sections = {"default": auth, **sections}
    for name, part in sections.items():
        missing = [key for key in REQUIRED if not isinstance(part.get(key), str) or not part[key]]
        if missing:
            raise lacking(f"{', '.join(missing)} of provider {name!r} {'is' if len(missing) == 1 else 'are'} missing")
        if "_" in name:
            raise lacking(f"provider {name!r} has _ in its name", "Use letters and digits.")
    return SignIn(tuple(sections), str(uri))


def _is_callback(uri: Any) -> bool:
    try:
        place = urlsplit(uri if isinstance(uri, str) else "")
    except ValueError:
        return False
    return place.scheme in ("http", "https") and bool(place.hostname) and place.path.endswith(CALLBACK)


# --- where a server listens -----------------------------------------------------------------------


@dataclass(frozen=True)
class Door:
    """Where a server listens, what names it answers to, and whether anyone may come in without signing in."""

    address: str
    hosts: tuple[str, ...]
    anyone: bool
    sign_in: SignIn | None

    @property
    def public(self) -> bool:
        return is_public(self.address, self.hosts)


def open_door(
    app_folder: Path, address: str = OWN[0], allowed_hosts: Iterable[str] = (), allow_anyone: bool = False
) -> Door:
    """Return where a server may listen, or refuse.

    Parameters
    ----------
    app_folder : Path
        Where app.py is.
    address : str
        Of a network of this machine; 0.0.0.0 or :: is every one.
    allowed_hosts : iterable of str
        Names by which people reach it besides: those of a proxy. Where none is given for every address,
        the machine's own names and addresses.
    allow_anyone : bool

    Raises
    ------
    BraindashError
        For an address or a name that is none, for a sign-in with a mistake, and for a public server
        where nobody signs in, unless anyone is allowed.
    """
    if not _HOST_NAME.fullmatch(address) and not _is_address(address):
        raise BraindashError(f"--address {address!r} is no address.", "Give one such as 127.0.0.1 or 0.0.0.0.")
    given = [h.strip() for h in allowed_hosts]
    for host in given:
        if not re.fullmatch(rf"\*|(?:\*\.)?{_HOST_NAME.pattern}", host) and not _is_address(host):
            raise BraindashError(
                f"--allowed-host {host!r} is no host name.", "Give the name alone, without https:// and port."
            )
    sign_in = read_sign_in(secrets_files(app_folder))
    names = [*OWN, *given]
    everywhere = address in EVERYWHERE
    if not everywhere:
        names.append(address)
    elif not given:
        names += machine_names()
    if sign_in is not None:
        names.append(sign_in.host)
    hosts = tuple(dict.fromkeys(f"[{n}]" if ":" in n and not n.startswith("[") else n for n in names))
    refuse_public(address, hosts, sign_in, allow_anyone)
    return Door(address, hosts, allow_anyone, sign_in)


def machine_names() -> list[str]:
    """Return the names and addresses of this machine."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    addresses = [
        a.address.partition("%")[0] for each in psutil.net_if_addrs().values() for a in each if a.family in families
    ]
    return [socket.gethostname(), *addresses]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def allows_anyone() -> bool:
    """Whether whoever started the server said that anyone may come."""
    return os.environ.get(ALLOW_ANYONE) == "1"


def refuse_public(address: str | None, allowed_hosts: Sequence[str], sign_in: SignIn | None, anyone: bool) -> None:
    """Raise BraindashError for a server that others reach and where nobody signs in, unless that is wanted."""
    if sign_in is not None or anyone or not is_public(address, allowed_hosts):
        return
    others = [h for h in allowed_hosts if not is_loopback(h)]
    if address and is_loopback(address):
        what = f"The pages would answer to {', '.join(others) or 'every name'}, and nobody signs in"
    else:
        what = f"The pages would be open to everybody who reaches {address or 'any address of this machine'}"
    raise BraindashError(
        f"{what}: no secrets.toml has a section [auth].",
        "Set up sign-in (docs/operations.md, Several people, and a server), keep to 127.0.0.1, or add --allow-anyone "
        "if they may all look at everything.",
    )
