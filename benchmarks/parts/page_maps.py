"""The maps of the Cortex page: painting, bytes, the server's picture, and the same map by pycortex and nilearn."""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from browser import act, visit, window

from braindash.config import Home

HEIGHT = 560  # px: a map on a page
LAYERS = 6  # steps of the layer slider
REPEATS = 5


def measure(browser: Any, url: str, home: Home) -> dict[str, float]:
    """Return milliseconds and kilobytes of one map, or of one change of all maps of the page."""
    return in_the_browser(browser, url) | by_others(home)


def in_the_browser(browser: Any, url: str) -> dict[str, float]:
    """Move the layer slider; return how long drawing takes in the browser and what travels for it."""
    context = window(browser)
    sizes: list[float] = []
    try:
        page, _ = visit(context, url)
        page.wait_for_function("__seen.paints > 0")
        page.on("response", lambda r: "/media/" in r.url and sizes.append(float(r.headers.get("content-length", 0))))
        slider = page.get_by_role("slider").first
        swaps, painted, totals = [], [], []
        n_maps = 0
        for _ in range(LAYERS):
            before = len(sizes)
            times = act(page, lambda: slider.press("ArrowLeft"))
            n_maps = int(page.locator("[data-painted]").first.get_attribute("data-painted"))
            painted.append(times["painted"])
            totals.append(sum(sizes[before:]) / 1e3)
            swaps.append(float(page.locator("[data-ms]").first.get_attribute("data-ms")))
    finally:
        context.close()
    return {
        "maps": n_maps,
        "swap_ms": statistics.median(swaps),
        "layer_to_painted_ms": statistics.median(painted),
        "layer_kB": statistics.median(totals),
        "map_kB": max(sizes, default=0.0) / 1e3,
    }


def by_others(home: Home) -> dict[str, float]:
    """Draw one map of every target by the server, by pycortex's make_figure and by nilearn's view_surf."""
    from synthetic_home import STUDY, SUBJECT

    from braindash.cortex.flatmap import flat_index, flatmap_image, png_bytes
    from braindash.cortex.surfaces import mirror_subject, pycortex
    from braindash.studies import open_study

    cortex_map = open_study(STUDY, home).cortex(SUBJECT)
    assert cortex_map is not None
    assert cortex_map.filestore is not None
    n = len(cortex_map.index)
    values = (np.sin(np.arange(n) / 900) * 0.3 + 0.4).astype(np.float32)
    out: dict[str, float] = {"png_height": HEIGHT}

    def ours() -> bytes:
        return png_bytes(flatmap_image(values, cortex_map, home, vmin=0, vmax=1, height=HEIGHT))

    ours()
    out["server_png_ms"], picture = _median(ours, REPEATS)
    out["server_png_kB"] = len(picture) / 1e3
    name = mirror_subject(cortex_map.filestore, SUBJECT, home)
    with pycortex(home) as cortex:
        volume = cortex.Volume(values, name, cortex_map.transform, vmin=0, vmax=1, cmap="viridis")
        _pycortex_png(volume)
        out["pycortex_ms"], picture = _median(lambda: _pycortex_png(volume), REPEATS)
    out["pycortex_kB"] = len(picture) / 1e3
    flat = flat_index(cortex_map, home, HEIGHT)
    of_vertices = np.where(flat.vertex_point >= 0, values[flat.vertex_point], np.nan)
    out["view_surf_ms"], page = _median(lambda: _view_surf(home, of_vertices), 1)
    out["view_surf_kB"] = len(page) / 1e3
    return out


def _median(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    spent = []
    result = None
    for _ in range(repeats):
        began = time.perf_counter()
        result = call()
        spent.append((time.perf_counter() - began) * 1e3)
    return statistics.median(spent), result


def _pycortex_png(volume: Any) -> bytes:
    """Draw and encode with pycortex at as many pixels, without outlines (those need Inkscape)."""
    import cortex
    import matplotlib.pyplot as plt

    with contextlib.redirect_stdout(io.StringIO()):
        figure = cortex.quickflat.make_figure(
            volume, with_rois=False, with_curvature=True, with_colorbar=False, height=HEIGHT
        )
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=HEIGHT / figure.get_size_inches()[1])
    plt.close(figure)
    return out.getvalue()


def _view_surf(home: Home, values: np.ndarray) -> bytes:
    """Make nilearn's interactive page of both inflated hemispheres."""
    import nibabel as nib
    from nilearn import plotting

    from braindash.cortex.surfaces import filestore, surface_subject

    folder = filestore(home) / surface_subject("fs_LR-32k", home) / "surfaces"
    (left, faces_l), (right, faces_r) = (nib.load(folder / f"inflated_{h}.gii").agg_data() for h in ("lh", "rh"))
    away = right + np.array([left[:, 0].max() - right[:, 0].min() + 20, 0, 0])
    mesh = (np.concatenate([left, away]), np.concatenate([faces_l, faces_r + len(left)]))
    view = plotting.view_surf(mesh, np.nan_to_num(values), cmap="viridis", vmin=0, vmax=1, symmetric_cmap=False)
    return bytes(view.html.encode())
