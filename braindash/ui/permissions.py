"""Who is here and what they may do; every action asks again on the server, whatever the page has shown.

On this machine alone there is no sign-in, and whoever sits here may do everything. Where people sign
in, the allow-list of the settings decides. Where the pages are public on purpose and nobody signs in,
everybody has the role that the settings give to anyone: to look, if they say nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.errors import BraindashError
from braindash.exposure import SignIn, allows_anyone, is_public, read_sign_in
from braindash.settings import ROLES, Role, Settings, read_settings

if TYPE_CHECKING:
    from braindash.runs.run import Run

Action = Literal["view", "launch", "stop", "resume", "arrange", "delete", "settings"]
NEEDED: dict[Action, Role] = {
    "view": "view",
    "launch": "launch",
    "stop": "launch",
    "resume": "launch",
    "arrange": "launch",
    "delete": "manage",
    "settings": "manage",
}
WORDS: dict[Action, str] = {
    "view": "look at this home",
    "launch": "launch runs",
    "stop": "stop runs",
    "resume": "resume runs",
    "arrange": "change slides, notes and marks for everybody",
    "delete": "delete runs",
    "settings": "change the settings",
}
ROLE_WORDS: dict[Role, str] = {
    "view": "may look",
    "launch": "may look and launch",
    "manage": "may look, launch, delete and change the settings",
}


@dataclass(frozen=True)
class Person:
    """Somebody before the pages.

    Attributes
    ----------
    role : Role, optional
        None: may not come in.
    email : str
        "" where nobody signs in.
    name : str
        What to call them.
    why : str
        Why there is no role.
    """

    role: Role | None
    email: str = ""
    name: str = ""
    why: str = ""

    def may(self, action: Action) -> bool:
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(NEEDED[action])


def sign_in() -> SignIn | None:
    """Return how people sign in here, or None; raises BraindashError for a configuration with a mistake."""
    files = st.get_option("secrets.files") or ()
    return read_sign_in(Path(str(f)) for f in files)


def public() -> bool:
    """Whether people elsewhere can reach this server."""
    return is_public(st.get_option("server.address"), st.get_option("server.allowedHosts") or ())


def settings() -> Settings:
    """Return the settings of this home; raises BraindashError where they cannot be read."""
    from braindash.ui import readers

    place = readers.home()
    return _settings(str(place.path), readers.mark(place.path / "settings.yaml"))


@st.cache_resource(max_entries=8, show_spinner=False)
def _settings(home_path: str, as_of: tuple[int, int], /) -> Settings:
    from braindash.config import Home

    return read_settings(Home(Path(home_path)))


def person() -> Person:
    """Return who is here; never raises: what cannot be found out is no right."""
    try:
        if sign_in() is None:
            if not public():
                return Person("manage")
            return Person(settings().access.anyone) if allows_anyone() else Person(None, why="Nobody signs in here.")
        return _signed_in(st.user.to_dict())
    except BraindashError as error:
        return Person(None, why=str(error))


def _signed_in(claims: Mapping[str, Any]) -> Person:
    if claims.get("is_logged_in") is not True:
        return Person(None, why="Nobody has signed in.")
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        return Person(None, why="The sign-in gave no e-mail address: ask for the scope email.")
    name = claims.get("name")
    known = {"email": email, "name": name if isinstance(name, str) and name.strip() else email}
    if claims.get("email_verified") is False:
        return Person(None, **known, why="The provider has not verified this e-mail address.")
    role = settings().access.role_of(email)
    return Person(role, **known, why="" if role else "This address is not on the list of this home.")


def may(action: Action) -> bool:
    """Whether who is here may do something: for a button's ``disabled``."""
    return person().may(action)


def require(action: Action) -> Person:
    """Return who is here, or raise BraindashError where they may not do this."""
    who = person()
    if not who.may(action):
        raise BraindashError(reason(action, who), "Ask whoever looks after this home (page Settings, Who may do what).")
    return who


def reason(action: Action, who: Person | None = None) -> str:
    """Return why somebody may not do something, in a sentence; "" where they may."""
    who = who or person()
    if who.may(action):
        return ""
    if who.role is None:
        return f"You may not {WORDS[action]}. {who.why}"
    whose = who.email or "Without sign-in everybody here"
    return f"{whose} {ROLE_WORDS[who.role]}, but not {WORDS[action]}."


def help_of(action: Action, otherwise: str | None = None) -> str | None:
    """Return a button's help: why it cannot be used, else ``otherwise``."""
    from braindash.ui.text import escape

    why = reason(action)
    return escape(why) if why else otherwise


def launched_by(who: Person) -> dict[str, str]:
    """Return what a run's provenance keeps of who launched it: nothing where nobody signs in."""
    return {"launched_by": who.email} if who.email else {}


def note(run: Run, who: Person, what: str) -> None:
    """Write into a run's log who did something, where people sign in; a log that cannot be written stops nobody."""
    if who.email:
        with contextlib.suppress(OSError), run.log_path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {what} by {who.email}\n")
