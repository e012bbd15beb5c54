"""Pictures of plotly figures that only a browser can draw: kaleido and Chrome, where both are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from braindash.errors import BraindashError
from braindash.figures.style import ThemeName, theme_of

INSTALL = "Install kaleido (pip install kaleido) and Chrome or Chromium, then try again."
_SIZE = (1000, 460)  # px


def browser_picture(
    spec: Mapping[str, Any], theme: ThemeName, kind: Literal["png", "svg"], missing: Sequence[str] = ()
) -> bytes:
    """Return a figure as a picture, at twice the pixels of a page.

    Parameters
    ----------
    spec : mapping
        As of `braindash.figures.plotly_spec.figure_spec`.
    missing : sequence of str
        What of it is not drawn without a browser, for the message.

    Raises
    ------
    BraindashError
        Where kaleido or a browser is not there, or fails.
    """
    import plotly.graph_objects as go

    what = f"A chart with {', '.join(missing)}" if missing else "This chart"
    try:
        import kaleido  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise BraindashError(f"{what} is drawn by a browser only, and kaleido is not installed.", INSTALL) from None
    figure = go.Figure(dict(spec))
    figure.update_layout(paper_bgcolor=theme_of(theme).page)
    try:
        return bytes(figure.to_image(format=kind, width=_SIZE[0], height=_SIZE[1], scale=2))
    except Exception as error:  # kaleido raises errors of its own, of the browser and of the system
        raise BraindashError(f"{what} is drawn by a browser only: {str(error)[:200]}", INSTALL) from error
