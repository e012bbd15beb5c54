"""From the frames of a step's windows to the rows of the responses: fixed weights, or weights that are learnt."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
import torch

CHUNK = 2**24  # numbers of a product that are in memory at once on the way back


class _Apply(torch.autograd.Function):
    """A sparse matrix times a dense one, with the transpose kept for the way back."""

    @staticmethod
    def forward(ctx: Any, frames: torch.Tensor, forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
        ctx.transpose = backward
        return forward @ frames

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.transpose @ grads[0].contiguous(), None, None


class _Weigh(torch.autograd.Function):
    """The same where the matrix's entries have a gradient as well; no (entries, width) product is kept."""

    @staticmethod
    def forward(ctx: Any, frames: torch.Tensor, share: torch.Tensor, fmap: FrameMap) -> torch.Tensor:
        ctx.save_for_backward(frames, share)
        ctx.fmap = fmap
        return fmap.matrix(share) @ frames

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        frames, share = ctx.saved_tensors
        fmap, grad = ctx.fmap, grads[0].contiguous()
        by_entry = torch.empty_like(share)
        step = max(1, CHUNK // frames.shape[1])
        for at in range(0, len(share), step):
            one = slice(at, at + step)
            by_entry[one] = (grad[fmap.row[one]] * frames[fmap.column[one]]).sum(dim=1)
        return fmap.matrix(share, transposed=True) @ grad, by_entry, None


class FrameMap:
    """A linear map from frames to rows (a mean over a TR, or window read-outs and Lanczos).

    Parameters
    ----------
    row, column : (n,) int arrays
    weight : (n,) array
    shape : (n_rows, n_frames)
    device : torch device
    """

    def __init__(
        self, row: np.ndarray, column: np.ndarray, weight: np.ndarray, shape: tuple[int, int], device: torch.device
    ) -> None:
        import scipy.sparse

        self.shape = shape
        self._device = device
        self._matrix = scipy.sparse.csr_matrix((weight.astype(np.float32), (row, column)), shape=shape)
        self._matrix.sum_duplicates()
        self._forward = _csr(self._matrix, device)
        self._backward = _csr(self._matrix.T.tocsr(), device)

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Map (n_frames, width) float32 to (n_rows, width); differentiable."""
        out: torch.Tensor = _Apply.apply(frames, self._forward, self._backward)
        return out

    def attend(self, frames: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Map frames to rows with weights that depend on the frames; differentiable in both arguments.

        A row is ``Σ_f w_f exp(s_f) h_f / Σ_f w_f exp(s_f)`` over its frames ``f``, with ``w`` the
        map's own weights: equal scores give the weighted mean. A row without frames is 0.

        Parameters
        ----------
        frames : (n_frames, width) tensor
        scores : (n_frames,) tensor of the same dtype

        Returns
        -------
        (n_rows, width) tensor
        """
        s = scores[self.column]
        top = torch.full((self.shape[0],), -torch.inf, dtype=s.dtype, device=s.device)
        top = top.scatter_reduce(0, self.row, s.detach(), "amax")  # taken off, so that no exponential overflows
        e = self._weight.to(s.dtype) * torch.exp(s - top[self.row])
        total = torch.zeros(self.shape[0], dtype=s.dtype, device=s.device).index_add(0, self.row, e)
        out: torch.Tensor = _Weigh.apply(frames, e / total[self.row], self)
        return out

    def matrix(self, values: torch.Tensor, *, transposed: bool = False) -> torch.Tensor:
        """Return the map with other entries, (n,) in the order of `row`: a sparse tensor."""
        if not transposed:
            return _sparse(self._forward.crow_indices(), self._forward.col_indices(), values, self.shape)
        crow, column = self._backward.crow_indices(), self._backward.col_indices()
        return _sparse(crow, column, values[self._order], self.shape[::-1])

    @cached_property
    def row(self) -> torch.Tensor:
        """The row of every entry, in increasing order: (n,) int64."""
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self._matrix.indptr))
        return torch.from_numpy(rows).to(self._device)

    @property
    def column(self) -> torch.Tensor:
        """The frame of every entry: (n,) int64."""
        columns: torch.Tensor = self._forward.col_indices()
        return columns

    @property
    def _weight(self) -> torch.Tensor:
        return self._forward.values()

    @cached_property
    def _order(self) -> torch.Tensor:
        """The entries in the order of the transpose."""
        order = np.argsort(self._matrix.indices, kind="stable")  # rows stay in order within a column
        return torch.from_numpy(order).to(self._device)


def _csr(m: Any, device: torch.device) -> torch.Tensor:
    crow, column = (torch.from_numpy(a.astype(np.int64)).to(device) for a in (m.indptr, m.indices))
    return _sparse(crow, column, torch.from_numpy(m.data).to(device), m.shape)


def _sparse(crow: torch.Tensor, column: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, column, values, size=shape, check_invariants=False)
