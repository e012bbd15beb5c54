"""Drawing a flatmap: look-up by pixel against pycortex, as a page needs it.

    python benchmarks/flatmaps.py [--height PIXELS] [--repeats N] [--json]

Both draw the same 59,412 values on fs_LR-32k, in turn, in one process. "Cold" is the
first picture in a fresh home, after the libraries are loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from braindash.config import Home
from braindash.cortex.flatmap import flat_index, flatmap_image, png_bytes
from braindash.cortex.outlines import main_regions
from braindash.cortex.parcellation import cortical_points
from braindash.cortex.surfaces import pycortex
from braindash.studies.base import CortexMap


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return (time.perf_counter() - began) * 1e3, result


def measure(height: int, repeats: int) -> dict[str, float]:
    """Return milliseconds (the best of the repeats) and bytes of each way of drawing."""
    points = cortical_points()
    index = np.full(64_984, -1, dtype=np.int32)
    index[points] = np.arange(points.size)
    cortex_map = CortexMap("fs_LR-32k", index)
    rng = np.random.default_rng(0)
    smooth = np.sin(np.arange(points.size) / 900) * 0.3 + 0.4
    options: dict[str, Any] = {"vmin": 0.0, "vmax": 1.0, "height": height, "outlines": main_regions()}
    out: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        with pycortex(home):
            pass  # the import is not what is measured
        out["cold_ms"] = timed(lambda: flatmap_image(smooth, cortex_map, home, alpha=smooth, **options))[0]
        rows: dict[str, list[float]] = {"image_ms": [], "png_ms": [], "pycortex_figure_ms": []}
        for _ in range(repeats):
            values = smooth + rng.normal(0, 0.05, points.size)
            ms, image = timed(lambda v=values: flatmap_image(v, cortex_map, home, alpha=smooth, **options))
            rows["image_ms"].append(ms)
            ms, png = timed(lambda i=image: png_bytes(i))
            rows["png_ms"].append(ms)
            whole = np.full(64_984, np.nan)
            whole[points] = values
            with pycortex(home) as cortex:
                vertex = cortex.Vertex(whole, "fs_LR_32k", vmin=0, vmax=1, cmap="viridis")
                rows["pycortex_figure_ms"].append(timed(lambda v=vertex: _pycortex_png(v, height))[0])
        out |= {k: float(min(v)) for k, v in rows.items()}
        out["image_and_png_ms"] = out["image_ms"] + out["png_ms"]
        out["png_kB"] = len(png) / 1e3
        flat = flat_index(cortex_map, home, height)
        out["width"], out["height"] = flat.shape[1], flat.shape[0]
        out["ratio_to_pycortex"] = out["pycortex_figure_ms"] / out["image_and_png_ms"]
    return out


def _pycortex_png(vertex: Any, height: int) -> bytes:
    """Draw and encode with pycortex at the same number of pixels, without outlines (those need Inkscape)."""
    import cortex
    import matplotlib.pyplot as plt

    with contextlib.redirect_stdout(io.StringIO()):
        figure = cortex.quickflat.make_figure(
            vertex, with_rois=False, with_curvature=True, with_colorbar=False, height=height
        )
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=height / figure.get_size_inches()[1])
    plt.close(figure)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, nargs="*", default=[512, 768, 1024])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = [measure(height, arguments.repeats) for height in arguments.height]
    if arguments.json:
        print(json.dumps({"flatmaps": results}))
        return
    print("pixels        cold    image      PNG   together  pycortex  ratio     PNG size")
    for r in results:
        print(
            f"{r['width']:.0f}×{r['height']:<5.0f} {r['cold_ms']:6.0f} ms "
            f"{r['image_ms']:5.1f} ms {r['png_ms']:5.1f} ms "
            f"{r['image_and_png_ms']:6.1f} ms {r['pycortex_figure_ms']:6.0f} ms {r['ratio_to_pycortex']:5.1f}× "
            f"{r['png_kB']:8.0f} kB"
        )


if __name__ == "__main__":
    main()
