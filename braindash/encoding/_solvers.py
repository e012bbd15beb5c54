"""Ridge regression with every fold and every penalty from one decomposition.

With X the stacked stories less their mean, G = X'X = Q L Q' and T = X Q, the fit
without the rows h, at penalty a, needs no decomposition of its own: Woodbury gives

    M = (I − T_h D T_h')⁻¹ T_h D,   D = (L + a)⁻¹,   prediction of h = M (C − T_h'Y_h),

C = T'Y (for one row left out this is Allen's PRESS statistic; cf. Golub, Heath &
Wahba 1979). An intercept refitted in every fold is one more row in h: the mean of
the remaining rows, times the root of their number. With fewer rows than features
the same is done on X X' (n × n), where, with W = (X X' + aI)⁻¹ less its constant
part, the prediction of h is −W_hh⁻¹ W_h,rest Y_rest: a product with the responses
themselves, which loses no digits however ill-conditioned X is.

Responses are kept target-major, (n_targets, n_rows), so that sums over rows are contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from braindash.encoding._engines import Engine
from braindash.encoding._folds import Folds
from braindash.encoding._screen import Screen

# Below this ratio of rows to features a left-out fold can leave fewer rows than
# features, and the primal form would have to cancel large numbers in float32.
DUAL_BELOW = 1.25


@dataclass
class Basis:
    """Features in the coordinates where ridge regression is a division.

    Attributes
    ----------
    kind : "primal" (n ≥ p) or "dual"
    spectrum : (k,) eigenvalues of X'X or X X', ascending, ≥ 0
    rows : (n, k) float64; C = rows' Y. X Q, or the eigenvectors U of X X'
    right : (p, k) float64; new features project as (X − mean) @ right. Q, or X'U
    mean : (p,) float64, zero without an intercept
    """

    kind: Literal["primal", "dual"]
    spectrum: np.ndarray
    rows: np.ndarray
    right: np.ndarray
    mean: np.ndarray
    intercept: bool

    def project(self, X: np.ndarray) -> np.ndarray:
        """Return new features in this basis: (n_trs, k) float64. Predictions are project(X) @ (C / (spectrum + a))."""
        return (np.asarray(X, dtype=np.float64) - self.mean) @ self.right


def decompose(features: Sequence[np.ndarray], *, intercept: bool = True) -> Basis:
    """Decompose stacked features once, in float64.

    Parameters
    ----------
    features : sequence of (n_trs, p) arrays, one a story
    intercept : bool
        Subtract the mean over all rows; folds then refit it exactly.
    """
    n = sum(len(x) for x in features)
    p = features[0].shape[1]
    mean = np.zeros(p)
    if intercept:
        mean = sum(x.sum(0, dtype=np.float64) for x in features) / n
    if n >= DUAL_BELOW * p:
        gram = np.zeros((p, p))
        for x in features:
            xc = np.asarray(x, dtype=np.float64) - mean
            gram += xc.T @ xc
        spectrum, Q = np.linalg.eigh(gram)
        rows = np.empty((n, p))
        a = 0
        for x in features:
            np.matmul(np.asarray(x, dtype=np.float64) - mean, Q, out=rows[a : a + len(x)])
            a += len(x)
        return Basis("primal", np.maximum(spectrum, 0), rows, Q, mean, intercept)
    X = np.concatenate([np.asarray(x, dtype=np.float64) for x in features]) - mean
    spectrum, U = np.linalg.eigh(X @ X.T)
    return Basis("dual", np.maximum(spectrum, 0), U, X.T @ U, mean, intercept)


@dataclass
class FoldOperator:
    """What turns responses into the predictions of one held-out set, for some penalties.

    predictions (B, A, n_h) = R @ M', less their mean over the rows. With
    ``rotation``, R is rotated and scaled first (an own decomposition of the fold).
    """

    rows: slice | np.ndarray
    n_train: int
    M: Any  # (A, n_h, k), or (n_h, k) where scale is set
    offset: Any  # (A, k): mean prediction of the fold = R @ offset' (+ mean of the training responses)
    rotation: Any = None  # (k, k)
    scale: Any = None  # (A, k)


class Plan:
    """A basis, its folds and an engine: scores and coefficients for blocks of targets."""

    def __init__(self, basis: Basis, folds: Folds, engine: Engine, n_targets: int, n_alphas: int) -> None:
        self.basis, self.folds, self.engine = basis, folds, engine
        self.n = len(basis.rows)
        # Contiguous sets that cover every row once: cross-products of the folds sum to the whole.
        self.packed = folds.partition and all(isinstance(r, slice) for r in folds.rows)
        self.augment = int(self.packed and basis.intercept and basis.kind == "primal")
        self.own = [self._own_decomposition(size, n_targets, n_alphas) for size in folds.sizes]
        self._T: Any = None
        self._sums: Any = None

    def _own_decomposition(self, size: int, n_targets: int, n_alphas: int) -> bool:
        """Say whether an eigendecomposition of the fold costs less than Woodbury's n_h × n_h systems."""
        if self.basis.kind == "dual":
            return False
        k = len(self.basis.spectrum)
        woodbury = n_alphas * (4.0 * size**2 * k + 2.0 * size**3)
        own = 12.0 * k**3 + 2.0 * k**2 * size + k**2 * n_targets  # float32 products count half
        return own < woodbury

    def bytes_per_alpha(self) -> int:
        """Bytes that the operators take for each penalty."""
        k = self.n if self.basis.kind == "dual" else len(self.basis.spectrum)
        sizes = [0 if own else size for size, own in zip(self.folds.sizes, self.own, strict=True)]
        return self.engine.dtype.itemsize * k * (sum(sizes) + len(sizes))

    def bytes_fixed(self) -> int:
        """Bytes that the operators take whatever the penalties."""
        k = len(self.basis.spectrum)
        own = sum(k * (k + size) for size, o in zip(self.folds.sizes, self.own, strict=True) if o)
        return self.engine.dtype.itemsize * (own + self.n * k)

    def bytes_per_target(self, n_alphas: int, n_test: int = 0) -> int:
        """Bytes that a block takes for each of its targets."""
        k = len(self.basis.spectrum)
        held = len(self.folds) if self.packed and self.basis.kind == "primal" else 1
        largest = max(self.folds.sizes)
        return self.engine.dtype.itemsize * (2 * self.n + (held + 4) * k + (n_alphas + 2) * largest + 3 * n_test)

    def block(self, stories: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return a block of responses target-major and centred, and the mean that was subtracted.

        Parameters
        ----------
        stories : sequence of (n_trs, B) arrays

        Returns
        -------
        (B, n) or, where folds carry their mean row, (B, n + n_folds) array; (B,) float64
        """
        B = stories[0].shape[1]
        Y = np.empty((B, self.n), dtype=self.engine.dtype)
        mean = np.zeros(B)
        if self.basis.intercept:
            mean = sum(y.sum(0, dtype=np.float64) for y in stories) / self.n
        a = 0
        for y in stories:
            np.subtract(y.T, mean[:, None], out=Y[:, a : a + len(y)], casting="unsafe")
            a += len(y)
        if not self.augment:
            return Y, mean
        packed = np.empty((B, self.n + len(self.folds)), dtype=self.engine.dtype)
        for i, (rows, size) in enumerate(zip(self.folds.rows, self.folds.sizes, strict=True)):
            assert isinstance(rows, slice)
            packed[:, rows.start + i : rows.stop + i] = Y[:, rows]
            packed[:, rows.stop + i] = Y[:, rows].sum(1, dtype=np.float64) / np.sqrt(self.n - size)
        return packed, mean

    def _fold_rows(self, i: int) -> slice | np.ndarray:
        rows = self.folds.rows[i]
        return slice(rows.start + i, rows.stop + i) if self.augment and isinstance(rows, slice) else rows

    def _put_rows(self) -> None:
        if self._T is not None:
            return
        T = self.basis.rows
        if self.augment:
            parts, sums = [], []
            for rows, size in zip(self.folds.rows, self.folds.sizes, strict=True):
                total = T[rows].sum(0)
                parts += [T[rows], total[None] / np.sqrt(self.n - size)]
                sums.append(total / np.sqrt(self.n - size))
            T = np.concatenate(parts)
            self._sums = self.engine.put(np.stack(sums))
        self._T = self.engine.put(T)

    def operators(self, alphas: np.ndarray, earlier: Sequence[FoldOperator] = ()) -> list[FoldOperator]:
        """Return one operator a fold for ``alphas``; a fold's own decomposition is taken from ``earlier``."""
        self._put_rows()
        if self.basis.kind == "dual":
            return self._dual_operators(alphas)
        made = []
        for i, (rows, size) in enumerate(zip(self.folds.rows, self.folds.sizes, strict=True)):
            T_h = self.basis.rows[rows]
            n_train = self.n - size
            Z, mean_row = T_h, T_h.mean(0)
            if self.basis.intercept:
                total = T_h.sum(0)
                Z = np.concatenate([T_h, total[None] / np.sqrt(n_train)])
                mean_row = mean_row + total / n_train
            make = self._own_operator if self.own[i] else self._woodbury_operator
            made.append(make(rows, n_train, size, Z, mean_row, alphas))
        return made

    def _woodbury_operator(
        self, rows: Any, n_train: int, size: int, Z: np.ndarray, mean_row: np.ndarray, alphas: np.ndarray
    ) -> FoldOperator:
        k = Z.shape[1]
        M = np.empty((len(alphas), size, k), dtype=self.engine.dtype)
        offset = np.empty((len(alphas), k))
        eye = np.eye(len(Z))
        for j, alpha in enumerate(alphas):
            root = Z / np.sqrt(self.basis.spectrum + alpha)  # a matrix times its own transpose costs half a product
            full = np.linalg.inv(eye - root @ root.T) @ (root / np.sqrt(self.basis.spectrum + alpha))
            mean = full[:size].mean(0)
            M[j] = full[:size] - mean
            offset[j] = mean + (full[size] / np.sqrt(n_train) if self.basis.intercept else 0)
        return FoldOperator(rows, n_train, self.engine.put(M), self.engine.put(offset))

    def shorten(self, operators: Sequence[FoldOperator]) -> None:
        """Keep the operators in the short format of `Engine.matmul_short`, where the engine has one."""
        for op in operators:
            op.M = self.engine.short(op.M)

    def _own_operator(
        self, rows: Any, n_train: int, size: int, Z: np.ndarray, mean_row: np.ndarray, alphas: np.ndarray
    ) -> FoldOperator:
        spectrum, V = np.linalg.eigh(np.diag(self.basis.spectrum) - Z.T @ Z)
        scale = 1 / (np.maximum(spectrum, 0) + alphas[:, None])
        rotated = Z[:size] @ V
        put = self.engine.put
        return FoldOperator(
            rows, n_train, put(rotated - rotated.mean(0)), put((mean_row @ V) * scale), put(V), put(scale)
        )

    def _dual_operators(self, alphas: np.ndarray) -> list[FoldOperator]:
        U, n = self.basis.rows, self.n
        M = [np.zeros((len(alphas), size, n), dtype=self.engine.dtype) for size in self.folds.sizes]
        offset = [np.zeros((len(alphas), n)) for _ in self.folds.sizes]
        for j, alpha in enumerate(alphas):
            W = (U / (self.basis.spectrum + alpha)) @ U.T
            if self.basis.intercept:
                W -= 1 / (alpha * n)  # the rows of X sum to zero, so W·1 = 1/α: project the constant out
            for i, rows in enumerate(self.folds.rows):
                index = np.arange(n)[rows]
                rest = np.setdiff1d(np.arange(n), index)
                P = -np.linalg.inv(W[np.ix_(index, index)]) @ W[np.ix_(index, rest)]
                mean = P.mean(0)
                M[i][j][:, rest] = P - mean
                offset[i][j, rest] = mean
        return [
            FoldOperator(rows, n - size, self.engine.put(m), self.engine.put(o))
            for rows, size, m, o in zip(self.folds.rows, self.folds.sizes, M, offset, strict=True)
        ]

    def cross_products(self, Y: Any) -> tuple[Any, list[Any]]:
        """Return C' = Y T, (B, k), and each fold's share of it where these come for free."""
        self._put_rows()
        if not self.packed or self.basis.kind == "dual":
            return self.engine.matmul(Y, self._T), []
        parts, C, ends = [], None, []
        for i in range(len(self.folds)):
            rows = self._fold_rows(i)
            assert isinstance(rows, slice)
            rows = slice(rows.start, rows.stop + self.augment)
            part = self.engine.matmul(Y[:, rows], self._T[rows])
            if C is None:
                C = part + 0  # a copy: the first part is still needed
            else:
                C += part
            parts.append(part)
            ends.append(rows.stop - 1)
        if self.augment:
            C -= self.engine.matmul(self.engine.take(Y, np.asarray(ends)), self._sums)
        return C, parts

    def scores(
        self, Y: Any, operators: Sequence[FoldOperator], select: str, screen: Screen | None = None
    ) -> tuple[np.ndarray, Any]:
        """Return the mean over folds of the held-out score, (A, B) float64, and C', (B, k).

        Parameters
        ----------
        Y : engine array from :meth:`block`
        operators : from :meth:`operators`
        select : "r" or "r2"
        screen : Screen, optional
            The operators are those of its nodes; the other penalties' scores follow from them.
        """
        C, parts = self.cross_products(Y)
        total: np.ndarray | None = None
        for i, op in enumerate(operators):
            Y_h = self.engine.take(Y, self._fold_rows(i))
            n_h = Y_h.shape[1]
            y_sum = Y_h.sum(-1)
            if self.basis.kind == "dual":
                R = Y
            elif parts:
                R, parts[i] = C - parts[i], None
            else:
                R = C - self.engine.matmul(Y_h, self._T[op.rows])
                if self.basis.intercept:
                    R -= (y_sum / op.n_train)[:, None] * self._T[op.rows].sum(0)
            py, pp, mean = self._predicted_sums(R, op, Y_h - (y_sum / n_h)[:, None], select, screen)
            centred = Y_h - (y_sum / n_h)[:, None]
            yy = self.engine.rowdot(centred, centred)[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                if select == "r":
                    score = np.where((yy > 0) & (pp > 0), py / np.sqrt(yy * pp), 0.0)
                else:
                    y_sums = self.engine.get(y_sum).astype(np.float64)[:, None]
                    if self.basis.intercept and self.basis.kind == "primal":
                        mean = mean - y_sums / op.n_train
                    error = yy - 2 * py + pp + n_h * (y_sums / n_h - mean) ** 2
                    score = np.where(yy > 0, 1 - error / yy, 0.0)
            total = score if total is None else total + score
        assert total is not None
        return total.T / len(operators), C

    def _predicted_sums(
        self, R: Any, op: FoldOperator, Y_h: Any, select: str, screen: Screen | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Σ y·pred, Σ pred² and the mean prediction, each (B, A), of centred predictions."""
        engine = self.engine
        n_h = Y_h.shape[1]
        if screen is not None:
            predicted = engine.matmul_short(R, op.M.reshape(-1, op.M.shape[-1]).T).reshape(len(R), -1, n_h)
            gram = engine.get(engine.matmul(predicted, predicted.swapaxes(1, 2))).astype(np.float64)
            py, pp = screen.combine(engine.rowdot(predicted, Y_h[:, None, :]), gram)
        elif op.scale is None:
            predicted = engine.matmul(R, op.M.reshape(-1, op.M.shape[-1]).T).reshape(len(R), -1, n_h)
            py, pp = engine.rowdot(predicted, Y_h[:, None, :]), engine.rowdot(predicted, predicted)
        else:
            R = engine.matmul(R, op.rotation)
            py, pp = np.empty((len(R), len(op.scale))), np.empty((len(R), len(op.scale)))
            for j in range(len(op.scale)):
                predicted = engine.matmul(R * op.scale[j], op.M.T)
                py[:, j], pp[:, j] = engine.rowdot(predicted, Y_h), engine.rowdot(predicted, predicted)
        mean = engine.get(engine.matmul(R, op.offset.T)).astype(np.float64) if select == "r2" else np.zeros(1)
        if screen is not None and select == "r2":
            mean = mean @ screen.weights.T
        return py, pp, mean
