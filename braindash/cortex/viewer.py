"""Maps on the folded, inflated and flat cortex in 3-D: pycortex's WebGL viewer as one page that needs nothing else.

pycortex writes a folder for a web server: a page, the surface, a file a map. A browser does not
let a page read files beside it unless a server gives them, so all of them are put into the page.
"""

from __future__ import annotations

import base64
import io
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import Home
from braindash.cortex.colour import colormap
from braindash.cortex.flatmap import FlatIndex, flat_index
from braindash.cortex.surfaces import filestore, mirror_subject, pycortex, surface_subject
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.studies.base import CortexMap

VERSION = 1  # of the page that is made; another number writes viewers anew
_HERE = Path(__file__).parent / "viewer_page"
_KINDS = {".json": "application/json", ".ctm": "application/octet-stream", ".svg": "image/svg+xml", ".png": "image/png"}
_NAME = re.compile(r"[\w ,.:()×−–-]{1,80}")
_LEAP = re.compile(r"<script[^>]*resources/js/leap[^>]*></script>")  # asks the machine for a device at every opening
Tell = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class ViewerMap:
    """One map of a viewer.

    Attributes
    ----------
    name : str
        On its button: letters, digits, spaces and a few signs.
    values : (n_targets,) float32
        NaN shows the bare cortex.
    cmap : str
        "sequential", "diverging" or a matplotlib colour map.
    low, high : float
        Values of its end colours.
    unit, note : str
        What the colours mean, and what else stands below.
    """

    name: str
    values: np.ndarray
    cmap: str
    low: float
    high: float
    unit: str
    note: str = ""


def viewer_page(maps: Sequence[ViewerMap], cortex_map: CortexMap, home: Home, tell: Tell | None = None) -> str:
    """Return a page with the maps in 3-D; it opens without a server and asks the network for nothing.

    A vertex shows the target that the flat map shows there: of a volume, the voxel half-way through
    the cortex. The subject is not named in the page.

    Parameters
    ----------
    maps : sequence of ViewerMap
        One or more; the first is shown first.
    cortex_map : CortexMap
    home : Home
    tell : callable, optional
        ``tell(fraction, what)``.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    BraindashError
        For no map, two of one name, a name that a button cannot hold, limits that do not rise, values that do not
        fit the cortex, or surfaces that pycortex cannot read.
    """
    _check(maps)
    say = tell or (lambda fraction, what: None)
    say(0.05, "Reading the surfaces")
    flat = flat_index(cortex_map, home)
    subject = _subject(cortex_map, home)
    on_vertices = [_on_vertices(m.values, flat, cortex_map) for m in maps]
    inflated = bool(list((filestore(home) / subject / "surfaces").glob("inflated_lh.*")))
    say(0.2, "Preparing the surfaces for 3-D. The first time for a subject takes longer")
    with pycortex(home) as cortex, tempfile.TemporaryDirectory(prefix="viewer-", dir=home.cortex) as folder:
        views = {
            m.name: cortex.Vertex(v, subject, cmap=_colour_name(m.cmap), vmin=m.low, vmax=m.high)
            for m, v in zip(maps, on_vertices, strict=True)
        }
        made = _write_folder(cortex, views, maps, Path(folder), ("inflated",) if inflated else ())
        say(0.8, "Writing the page")
        return _one_page(made, Path(folder), maps, inflated)


def _check(maps: Sequence[ViewerMap]) -> None:
    names = [m.name for m in maps]
    if not names or len(set(names)) < len(names):
        raise BraindashError(f"A viewer needs maps with names of their own; got {names}.", "Name each map once.")
    for m in maps:
        if not _NAME.fullmatch(m.name):
            raise BraindashError(f"A map cannot be named {m.name!r}.", "Use letters, digits, spaces and , . : ( ) -.")
        if not (np.isfinite(m.low) and np.isfinite(m.high) and m.low < m.high):
            raise BraindashError(f"Colours cannot run from {m.low!r} to {m.high!r}.", "Give limits that rise.")


def _subject(cortex_map: CortexMap, home: Home) -> str:
    """Return the subject's name in our filestore."""
    if cortex_map.space != "pycortex":
        return surface_subject(cortex_map.space, home)
    assert cortex_map.filestore  # flat_index has asked for both
    assert cortex_map.subject
    return mirror_subject(cortex_map.filestore, cortex_map.subject, home)


def _on_vertices(values: np.ndarray, flat: FlatIndex, cortex_map: CortexMap) -> np.ndarray:
    """Return the value at every vertex: (n_vertices,) float32, NaN where there is no target."""
    target = flat.vertex_target(cortex_map)
    if target.max(initial=-1) >= len(values):
        raise BraindashError(
            f"The cortex map shows target {int(target.max())}, but there are {len(values):,} values.",
            "Give one value for every target of the subject.",
        )
    padded = np.append(np.asarray(values, dtype=np.float32), np.float32(np.nan))
    return padded[np.where(target >= 0, target, len(values))]


def _colour_name(cmap: str) -> str:
    return f"braindash_{re.sub(r'[^A-Za-z0-9]', '_', cmap)}"


def _write_folder(
    cortex: ModuleType, views: dict[str, Any], maps: Sequence[ViewerMap], folder: Path, types: tuple[str, ...]
) -> str:
    """Have pycortex write its folder, and return the page in it."""
    colours = folder / "colours"
    colours.mkdir()
    for cmap in dict.fromkeys(m.cmap for m in maps):
        _write_colours(cmap, colours / f"{_colour_name(cmap)}.png")
    cortex.options.config.set("webgl", "colormaps", str(colours))  # read when the module below is first imported
    from cortex.webgl import serve, view

    view.colormaps = [(path.stem, serve.make_base64(str(path))) for path in sorted(colours.iterdir())]
    try:
        view.make_static(
            str(folder / "page"),
            cortex.Dataset(**views),
            types=types,
            html_embed=False,
            anonymize=True,
            overlays_visible=(),
            labels_visible=(),
            title="braindash",
        )
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, IndexError, TypeError) as error:
        raise BraindashError(
            f"pycortex cannot prepare this cortex for 3-D ({type(error).__name__}: {error}).",
            "Check the subject's surfaces; the flat maps need less of them.",
        ) from error
    return (folder / "page" / "index.html").read_text(encoding="utf-8")


def _write_colours(cmap: str, path: Path) -> None:
    from PIL import Image

    table = np.asarray(colormap(cmap))
    at = np.round(np.linspace(0, len(table) - 1, 256)).astype(int)
    out = io.BytesIO()
    Image.fromarray(table[at][None], "RGB").save(out, format="PNG")
    path.write_bytes(out.getvalue())


def _one_page(page: str, folder: Path, maps: Sequence[ViewerMap], inflated: bool) -> str:
    """Put scripts, styles and data into the page, and our buttons over it."""
    from cortex.webgl import htmlembed, serve

    def script(name: str) -> str:
        return f"<script type='text/javascript'>{(_HERE / name).read_text(encoding='utf-8')}</script>"

    page = _LEAP.sub("", page)
    style = f"<style type='text/css'>{(_HERE / 'tools.css').read_text(encoding='utf-8')}</style>"
    page = page.replace("<head>", f"<head>{script('files.js')}", 1)
    page = page.replace("</head>", f"{style}</head>", 1)
    page = page.replace("</body>", f"{script('tools.js')}</body>", 1)
    out = folder / "one.html"
    htmlembed.embed(page, str(out), (serve.cwd,))
    shapes = [("inflated", "Inflated")] if inflated else []
    said = {
        "maps": [{"name": m.name, "unit": m.unit, "note": m.note} for m in maps],
        "first": 0,
        "shapes": [*shapes, ("folded", "Folded"), ("flat", "Flat")],
    }
    text = out.read_text(encoding="utf-8")
    for place, content in (("/*FILES*/ {}", _files(folder / "page")), ("/*SAID*/ {}", said)):
        if text.count(place) != 1:
            raise BraindashError(
                "This version of pycortex writes its viewer in another way.", "Install pycortex 1.4 for views in 3-D."
            )
        text = text.replace(place, _in_script(content))
    return text


def _files(folder: Path) -> dict[str, dict[str, str]]:
    """Return what the page would fetch, by its name in the folder."""
    return {
        path.relative_to(folder).as_posix(): {
            "type": _KINDS[path.suffix],
            "data": base64.b64encode(path.read_bytes()).decode("ascii"),
        }
        for path in sorted(folder.rglob("*"))
        if path.suffix in _KINDS
    }


def _in_script(content: Any) -> str:
    """Return JSON that cannot end the script it stands in."""
    return json.dumps(content).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
