"""Flatmaps for a paper or a slide: colour bars, titles, outlines and text as vectors, the maps as pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from braindash.config import Home
from braindash.cortex.colour import SEQUENTIAL, matplotlib_map, shared_limits
from braindash.cortex.flatmap import HEIGHT, flat_index, flatmap_image, n_shown
from braindash.cortex.outlines import draw_outlines, region_outlines
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from braindash.studies.base import CortexMap

_INK = {"light": ("#1F2328", "#57606A", "#FFFFFF"), "dark": ("#E6EDF3", "#9DA7B3", "#0E1117")}
_BAR = (0.36, 0.55, 0.28, 0.16)  # left (share), bottom (inches), width (share), height (inches) of a colour bar
_HEAD, _FOOT = 0.62, 0.95  # inches above and below a map: title and hemispheres, colour bar and counts


@dataclass(frozen=True)
class Plane:
    """The scales of a map whose values are codes of :func:`~braindash.cortex.combined.gain_accuracy_codes`.

    ``up`` says what accuracy is; the panel's ``label`` says what changed.
    """

    limit: float
    low: float
    high: float
    up: str


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of a figure; the fields are those of :func:`~braindash.cortex.flatmap.flatmap_image`.

    ``label`` says what the colours mean, with the unit; ``note`` goes below the
    map on the right (opacity, caveats). Values that are ``layers``, or codes on a
    ``plane``, get a legend of their own in place of the colour bar.
    """

    values: np.ndarray
    cortex_map: CortexMap
    cmap: str = SEQUENTIAL
    vmin: float | None = None
    vmax: float | None = None
    alpha: np.ndarray | None = None
    outlines: Mapping[str, Sequence[str] | np.ndarray] | None = None
    labels: bool = True
    label: str = "r / noise ceiling"
    title: str = ""
    note: str = ""
    layers: tuple[int, ...] = ()
    plane: Plane | None = None


def flatmap_figure(values: np.ndarray, cortex_map: CortexMap, home: Home, **options: Any) -> Figure:
    """Return a matplotlib figure of one flatmap, for PNG and SVG.

    ``options`` are the other fields of :class:`Panel` and the keywords of :func:`flatmap_panels`.
    """
    whole = {k: options.pop(k) for k in ("theme", "width", "height") if k in options}
    return flatmap_panels([Panel(values, cortex_map, **options)], home, **whole)


def flatmap_panels(
    panels: Sequence[Panel],
    home: Home,
    *,
    title: str = "",
    theme: Literal["light", "dark"] = "light",
    width: float = 10.0,
    height: int = HEIGHT,
) -> Figure:
    """Return a matplotlib figure of flatmaps one below the other, each with its own colour bar and count.

    Parameters
    ----------
    panels : sequence of Panel
    home : Home
    title : str
        Above all maps.
    theme : "light" | "dark"
    width : float
        Inches.
    height : int
        Pixels of one map.

    Raises
    ------
    BraindashError
        Without panels, or as :func:`~braindash.cortex.flatmap.flatmap_image`.
    """
    from matplotlib.figure import Figure

    if not panels:
        raise BraindashError("A figure of flatmaps needs at least one map.", "Choose a model and a layer.")
    shapes = [flat_index(p.cortex_map, home, height).shape for p in panels]
    tall = [width * rows / columns + _HEAD + _FOOT for rows, columns in shapes]
    top = 0.5 if title else 0.0
    total = sum(tall) + top
    ink, _, page = _INK[theme]
    figure = Figure(figsize=(width, total), facecolor=page)
    if title:
        figure.text(0.5, 1 - 0.3 / total, title, ha="center", va="center", fontsize=15, color=ink, weight="bold")
    under = total - top
    for panel, inches in zip(panels, tall, strict=True):
        _draw_panel(figure, panel, home, height, theme, (total, under, inches, width))
        under -= inches
    return figure


def _draw_panel(
    figure: Figure, panel: Panel, home: Home, height: int, theme: str, place: tuple[float, float, float, float]
) -> None:
    """Draw one map, its title, colour bar and count into the band of the figure that starts at ``under`` inches."""
    total, under, inches, width = place
    ink, muted, _ = _INK[theme]
    bottom = under - inches
    vmin, vmax = panel.vmin, panel.vmax
    if vmin is None or vmax is None:
        low, high = shared_limits(panel.values)
        vmin, vmax = (low if vmin is None else vmin), (high if vmax is None else vmax)

    def up(y: float) -> float:
        return (bottom + y) / total

    flat = flat_index(panel.cortex_map, home, height)
    rows, columns = flat.shape
    map_height = inches - _HEAD - _FOOT
    image = flatmap_image(
        panel.values,
        panel.cortex_map,
        home,
        cmap=panel.cmap,
        vmin=vmin,
        vmax=vmax,
        alpha=panel.alpha,
        height=height,
    )
    axes = figure.add_axes((0.0, up(_FOOT), 1.0, map_height / total))
    axes.imshow(image, interpolation="antialiased", extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), aspect="auto")
    axes.set_axis_off()
    if panel.outlines:
        found = region_outlines(flat, panel.cortex_map.space, panel.outlines)
        draw_outlines(axes, found, panel.labels, rows, map_height * 72)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)

    if panel.title:
        figure.text(
            0.5, up(inches - 0.22), panel.title, ha="center", va="center", fontsize=13, color=ink, weight="bold"
        )
    for x, side, name in ((0.02, "left", "Left hemisphere"), (0.98, "right", "Right hemisphere")):
        figure.text(x, up(inches - 0.5), name, ha=side, va="center", fontsize=10.5, color=muted)
    if panel.plane is not None:
        _draw_plane(figure, panel.plane, panel.label, (0.22, up(0.36), 0.26, 0.52 / total), ink)
    elif panel.layers:
        _draw_layers(figure, panel, (vmin, vmax), (_BAR[0], up(_BAR[1]), _BAR[2], _BAR[3] / total), ink)
    else:
        _draw_bar(figure, panel, (vmin, vmax), (_BAR[0], up(_BAR[1]), _BAR[2], _BAR[3] / total), (ink, muted))
    count = f"n = {n_shown(panel.values, panel.cortex_map):,} targets"
    figure.text(0.02, up(0.62), count, fontsize=10.5, color=muted, va="center")
    if panel.note:
        import textwrap

        note = "\n".join(textwrap.wrap(panel.note, max(20, int(width * 4.2))))
        figure.text(0.98, up(0.62), note, fontsize=10.5, color=muted, va="center", ha="right")


def _draw_bar(
    figure: Figure, panel: Panel, limits: tuple[float, float], box: tuple[float, ...], inks: tuple[str, str]
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    ink, muted = inks
    scale = figure.colorbar(
        ScalarMappable(Normalize(*limits), matplotlib_map(panel.cmap)),
        cax=figure.add_axes(box),  # type: ignore[arg-type]
        orientation="horizontal",
        extend=_beyond(panel, *limits),
        ticks=MaxNLocator(5 if figure.get_figwidth() > 8 else 3),  # on a narrow bar five numbers touch
    )
    scale.set_label(panel.label, fontsize=11, color=ink)
    scale.ax.tick_params(labelsize=10, colors=ink)
    scale.outline.set_edgecolor(muted)


def _draw_plane(figure: Figure, plane: Plane, label: str, box: tuple[float, ...], ink: str) -> None:
    """Draw the two scales as a plane, gain to the right and accuracy upwards."""
    from braindash.cortex.combined import gain_accuracy_colours

    axes = figure.add_axes(box)  # type: ignore[arg-type]
    extent = (-plane.limit, plane.limit, plane.low, plane.high)
    axes.imshow(gain_accuracy_colours(), origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    axes.set_xticks([-plane.limit, 0, plane.limit])
    axes.set_yticks([plane.low, plane.high])
    axes.tick_params(labelsize=9, colors=ink, length=2)
    axes.set_xlabel(label, fontsize=10, color=ink, labelpad=1)
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(plane.up.replace(" of ", "\nof "), fontsize=9, color=ink, rotation=0, ha="left", va="center")


def _draw_layers(figure: Figure, panel: Panel, limits: tuple[float, float], box: tuple[float, ...], ink: str) -> None:
    """Draw one swatch a layer, with its number."""
    from braindash.cortex.colour import colour_values

    axes = figure.add_axes(box)  # type: ignore[arg-type]
    layers = np.asarray(panel.layers, dtype=float)
    axes.imshow(colour_values(layers, panel.cmap, *limits)[None], aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(layers)), [str(k) for k in panel.layers])
    axes.set_yticks([])
    axes.tick_params(labelsize=10 if len(layers) <= 13 else 7, colors=ink, length=0)
    axes.set_xlabel(panel.label, fontsize=11, color=ink)


def _beyond(panel: Panel, vmin: float, vmax: float) -> Literal["neither", "both", "min", "max"]:
    """Return on which ends of the colour bar some shown value lies beyond the limits."""
    index = np.asarray(panel.cortex_map.index)
    shown = np.asarray(panel.values, dtype=np.float64)[np.unique(index[index >= 0])]
    below, above = bool((shown < vmin).any()), bool((shown > vmax).any())
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"
