"""The maps of a view in 3-D: pycortex's viewer in the page, written by a process of its own when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import notices, readers
from braindash.ui.barrier import guarded
from braindash.ui.map_values import layer_arrays, short_title, shown, unit
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    from braindash.cortex.viewer import ViewerMap
    from braindash.runs.viewers import Building, ViewerStore
    from braindash.ui.map_values import View, Which

MAPS: tuple[Which, ...] = ("pretrained", "tuned", "difference")  # all in one viewer
HEIGHT = 620  # px
EVERY = "1s"
SHOWN, WANTED, KEPT = "viewer3d", "viewer3d_wanted", "viewer3d_kept"


def section(view: View, caveats: tuple[str, ...]) -> None:
    """Draw the part that unfolds to the view in 3-D: the viewer, its progress or the offer to write it."""
    place = st.expander("3-D view", icon=":material/view_in_ar:", key=SHOWN, on_change=_ask, bind="query-params")
    if place.open:
        with place:
            _inside(view, caveats)
    else:
        with place:
            _keep(view, caveats)


def _inside(view: View, caveats: tuple[str, ...]) -> None:
    st.caption(
        "The two models and their difference on the inflated, folded or flat cortex, which the mouse turns. "
        "Written once for a subject, layer and score, then kept."
    )
    from braindash.runs.viewers import Building, Failed, ViewerStore, viewer_key

    maps = _maps(view, caveats)
    cortex_map = readers.cortex_map(view.study, view.subject)
    assert cortex_map is not None
    store, key = ViewerStore(readers.home()), viewer_key(maps, cortex_map)
    wanted = bool(st.session_state.pop(WANTED, False))
    if (path := store.find(key)) is not None:
        st.session_state[KEPT] = key
        _show(path, view)
        return
    state = store.state(key)
    if isinstance(state, Failed):
        st.error(f"{escape(state.what)} {escape(state.remedy)}", icon=":material/error:")
    if wanted and state is None:
        try:
            store.start(maps, cortex_map)
        except BraindashError as error:  # a disk that is full, a home that may only be read
            notices.mistake(error)
            return
        state = store.state(key)
    if isinstance(state, Building):
        st.fragment(guarded(_progress), run_every=EVERY)(key)
        return
    label = "Try again" if isinstance(state, Failed) else "Write the 3-D view"
    if st.button(label, icon=":material/view_in_ar:", key="write_viewer3d"):
        store.stop(key)
        st.session_state[WANTED] = True
        st.rerun()
    if state is None:
        st.caption("Takes some seconds; the first time for a subject, up to a minute. The page stays usable meanwhile.")


def _keep(view: View, caveats: tuple[str, ...]) -> None:
    """Send a viewer that was open a moment ago to the closed part: opened again, it need not be loaded again."""
    from braindash.runs.viewers import ViewerStore, viewer_key

    if KEPT not in st.session_state:
        return
    cortex_map = readers.cortex_map(view.study, view.subject)
    assert cortex_map is not None
    key = viewer_key(_maps(view, caveats), cortex_map)
    if key == st.session_state[KEPT] and ViewerStore(readers.home()).find(key) is not None:
        _inside(view, caveats)
    else:
        del st.session_state[KEPT]


def _ask() -> None:
    """Note that the part was just opened: that is asking for the view, a link that holds it is not."""
    st.session_state[WANTED] = bool(st.session_state.get(SHOWN))


def _maps(view: View, caveats: tuple[str, ...]) -> list[ViewerMap]:
    from braindash.cortex.viewer import ViewerMap

    note = " ".join([f"Layer {view.layer}, {view.subject}, n = {count(shown(view), 'target')}.", *caveats])
    made = []
    for which in MAPS:
        drawn = layer_arrays(view, which)
        low, high = float(drawn["vmin"]), float(drawn["vmax"])
        high = high if high > low else low + 1.0  # all targets alike: any scale shows it
        made.append(
            ViewerMap(short_title(view, which), drawn["values"], drawn["cmap"], low, high, unit(view, which), note)
        )
    return made


def _progress(key: str) -> None:
    """Say how far the viewer is; redrawn until it is there."""
    from braindash.runs.viewers import Building, ViewerStore

    store: ViewerStore = ViewerStore(readers.home())
    state = store.state(key)
    if not isinstance(state, Building):
        st.rerun()
    _bar(state)
    if st.button("Stop", icon=":material/stop:", key="stop_viewer3d"):
        store.stop(key)
        st.rerun()


def _bar(state: Building) -> None:
    st.progress(min(max(state.fraction, 0.0), 1.0), text=f"{escape(state.said)} … {state.seconds:.0f} s")


def _show(path: Path, view: View) -> None:
    from streamlit.runtime import exists, get_instance

    try:
        content = _content(str(path))
    except OSError as error:
        notices.mistake(
            BraindashError(f"The view in 3-D cannot be read ({error.strerror}).", "Load the page and ask for it again.")
        )
        return
    if exists():
        root = str(st.get_option("server.baseUrlPath") or "").strip("/")
        address = get_instance().media_file_mgr.add(content, "text/html", f"viewer3d.{path.stem}")
        st.iframe(
            f"/{root}{address}" if root else address,
            height=HEIGHT,
            alt=f"Cortex in 3-D, layer {view.layer}: both models and their difference. The flat maps show the same.",
        )
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(
            "Drag to turn, scroll to come nearer, click for a value. Opacity and outlines are those of flat maps."
        )
        st.download_button(
            "Download this viewer",
            data=content,
            file_name=f"{view.run_path.rsplit('/', 1)[-1]}-{view.subject}-layer{view.layer}-3d.html",
            mime="text/html",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="download_viewer3d",
            help="One HTML file of some MB, which opens in a browser without a server or a network.",
        )


@st.cache_resource(max_entries=4, show_spinner=False)
def _content(path: str, /) -> bytes:
    """Return a viewer; what is kept under a name never changes."""
    return Path(path).read_bytes()
