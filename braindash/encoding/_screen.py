"""A faster search for the penalty: few penalties are computed, the others are combined from them.

Ridge predictions at penalty a are X Q D_a C with D_a = 1 / (L + a). Over the part of the
spectrum that carries the responses, D_a is close to a combination of D at a few of the
penalties (the nodes), so held-out sums at every penalty follow from those at the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_NODES = 6
DAMPING = 1e-7  # of the largest eigenvalue; keeps the combination from amplifying the products' rounding


@dataclass(frozen=True)
class Screen:
    """Which penalties are computed, and how the others follow.

    Attributes
    ----------
    nodes : (J,) int
        Indices of the penalties that are computed, ascending.
    weights : (n_alphas, J) float64
        D_a ≈ Σ_j weights[a, j] D_nodes[j]; exact at the nodes.
    """

    nodes: np.ndarray
    weights: np.ndarray

    def combine(self, py: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ y·pred and Σ pred² at every penalty from those at the nodes.

        Parameters
        ----------
        py : (B, J)
        gram : (B, J, J), products of the nodes' predictions

        Returns
        -------
        two (B, n_alphas) arrays
        """
        pairs = np.einsum("aj,ak->ajk", self.weights, self.weights).reshape(len(self.weights), -1)
        return py @ self.weights.T, np.maximum(gram.reshape(len(gram), -1) @ pairs.T, 0.0)


def choose_nodes(spectrum: np.ndarray, power: np.ndarray, penalties: np.ndarray, n_nodes: int = N_NODES) -> Screen:
    """Choose the nodes and the combinations for a spectrum.

    Parameters
    ----------
    spectrum : (k,) eigenvalues of X'X, ≥ 0
    power : (k,) mean over targets of (Q'X'Y)²: what the responses hold along each eigenvector
    penalties : (n_alphas,)
    n_nodes : int
        Penalties that are computed; all of them where there are no more.

    Returns
    -------
    Screen
        Nodes are the columns that a pivoted QR decomposition finds most independent.
    """
    import scipy.linalg

    n_nodes = min(n_nodes, len(penalties))
    root = np.sqrt(spectrum * power)
    curves = root / (spectrum + penalties[:, None])  # (n_alphas, k): a prediction's size along each eigenvector
    size = np.linalg.norm(curves, axis=1, keepdims=True)
    unit = curves / np.where(size > 0, size, 1.0)
    _, _, order = scipy.linalg.qr(unit.T, mode="economic", pivoting=True)
    nodes = np.sort(order[:n_nodes])
    chosen = unit[nodes]
    gram = chosen @ chosen.T
    values, vectors = np.linalg.eigh(gram)
    inverse = (vectors / np.maximum(values, DAMPING * values[-1])) @ vectors.T
    weights = (unit @ chosen.T @ inverse) * size / np.where(size[nodes, 0] > 0, size[nodes, 0], 1.0)
    weights[nodes] = np.eye(n_nodes)
    return Screen(nodes, weights)
