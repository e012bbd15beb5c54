"""Before any page: whether this server may be open at all, and whether who is here may come in."""

from __future__ import annotations

import logging
from collections.abc import Callable

import streamlit as st

from braindash.errors import BraindashError
from braindash.exposure import SignIn, allows_anyone, refuse_public
from braindash.ui import permissions, way_back
from braindash.ui.layout import SECTIONS
from braindash.ui.text import escape, shorten

log = logging.getLogger(__name__)

LEAST_AUTHLIB = (1, 3, 2)
CLOSED = "Not open here"
SIGN_IN = "Sign in"
NOT_ON_THE_LIST = "Not on the list"
INSTALL = "pip install -r requirements-signin.txt"


def closed() -> Callable[[], None] | None:
    """Return what is shown instead of every page, or None where who is here may come in (and where to is known).

    Nothing of the home is read before this says so but its settings.
    """
    try:
        how = permissions.sign_in()
    except BraindashError as error:
        return _refusal(_for_strangers(error))
    try:
        refuse_public(st.get_option("server.address"), st.get_option("server.allowedHosts") or [], how, allows_anyone())
    except BraindashError as error:
        return _refusal(error)
    if how is not None and st.user.to_dict().get("is_logged_in") is not True:
        return _sign_in_page(how)
    who = permissions.person()
    if who.role:
        return way_back.pending() if how is not None else None
    if who.email:
        return _stranger_page(who)
    return _refusal(_for_strangers(BraindashError(who.why, "Ask whoever looks after the server.")))


def stand_in(page: Callable[[], None]) -> None:
    """Show one page under every address, so that a link leads here as well, and no navigation."""
    named = {p.url for entries in SECTIONS.values() for p in entries} | {"overview"}
    hidden = [st.Page(page, title="braindash", url_path=url) for url in sorted(named)]
    st.navigation([st.Page(page, title="braindash", default=True), *hidden], position="hidden").run()


def greet() -> None:
    """Say in the side bar who is signed in, and above every page what anyone may do where nobody is."""
    who = permissions.person()
    if who.email:
        with st.sidebar.container(border=True, gap="xsmall"):
            st.text(shorten(who.name, 60), help=escape(who.email))
            st.caption(escape(f"{permissions.ROLE_WORDS[who.role or 'view'].capitalize()}."))
            st.button("Sign out", icon=":material/logout:", key="sign_out", on_click=st.logout, width="stretch")
    elif permissions.public() and who.role:
        doing = {
            "view": "look at everything here, and nobody can launch or delete from the pages",
            "launch": "look at everything here, launch and stop runs",
            "manage": "look at everything here, launch and delete runs and change the settings",
        }[who.role]
        st.warning(f"Nobody signs in: anyone who reaches this address may {doing}.", icon=":material/lock_open:")


# --- what is shown instead ------------------------------------------------------------------------


def _for_strangers(error: BraindashError) -> BraindashError:
    """Return a fault of the server's own files without what they say, where anybody may be reading."""
    if not permissions.public():
        return error
    log.warning("%s", error)
    return BraindashError("Sign-in is not set up as it should be.", "The server's log says what is wrong.")


def _refusal(error: BraindashError) -> Callable[[], None]:
    def not_open_here() -> None:
        st.title(CLOSED)
        st.error(f"{escape(error.what)} {escape(error.remedy)}", icon=":material/lock:")

    return not_open_here


def _sign_in_page(how: SignIn) -> Callable[[], None]:
    def sign_in() -> None:
        st.title(SIGN_IN)
        st.markdown("These pages show a lab's recordings, models and results. They are for the people of the lab.")
        lacking = _authlib_problem()
        if lacking:
            st.error(lacking, icon=":material/error:")
            return
        with st.container(horizontal=True):
            for provider in how.providers:
                label = SIGN_IN if provider == "default" else f"{SIGN_IN} with {provider}"
                st.button(
                    escape(label),
                    type="primary",
                    icon=":material/login:",
                    key=f"sign_in_{provider}",
                    on_click=st.login,
                    args=() if provider == "default" else (provider,),
                )
        st.caption("You are sent to the sign\\-in of your institution and come back to this page\\.")
        way_back.keep()

    return sign_in


def _stranger_page(who: permissions.Person) -> Callable[[], None]:
    def not_on_the_list() -> None:
        st.title(NOT_ON_THE_LIST)
        st.text(who.email or "No e-mail address")
        st.markdown(escape(who.why))
        st.markdown("Ask whoever looks after this home to add you, on the page **Settings** or with\\:")
        st.code("braindash settings set access.view ADDRESS,ADDRESS", language=None)
        st.button("Sign out", icon=":material/logout:", key="sign_out", on_click=st.logout)

    return not_on_the_list


def _authlib_problem() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("authlib")
    except PackageNotFoundError:
        return escape(f"Authlib is not installed, which signing in needs. On the server: {INSTALL}")
    numbers = tuple(int(part) for part in installed.split(".")[:3] if part.isdigit())
    if numbers < LEAST_AUTHLIB:
        return escape(f"Authlib {installed} is too old to sign in with. On the server: {INSTALL}")
    return ""
