"""Correlations of channels over positions, and their smallest eigenvalue."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Products", "products_of", "stacked"]


@dataclass(frozen=True, eq=False)
class Products:
    """The inner products of centred channels, which are their correlations up to scale.

    >>> rows = torch.tensor([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [3.0, 0.0, 5.0]])
    >>> products_of(rows).correlations()
    tensor([[ 1.0000, -0.5000,  0.0000],
            [-0.5000,  1.0000,  0.0000],
            [ 0.0000,  0.0000,  0.0000]], dtype=torch.float64)
    """

    matrix: Tensor
    """`[…, c, c]` in float64 on the CPU, since GPUs are not faster for small matrices."""
    least: Tensor
    """`[…, c]`: a channel whose sum of squares does not exceed this is constant up to rounding."""
    eps: float
    """The relative rounding error of the products."""

    @property
    def squares(self) -> Tensor:
        """The sum of squares of each channel, `[…, c]`."""
        return self.matrix.diagonal(dim1=-2, dim2=-1)

    def among(self, draws: Tensor) -> "Products":
        """The inner products of selected channels: indices `[draws, k]` give `[…, draws, k, k]`."""
        matrix = self.matrix[..., draws.unsqueeze(2), draws.unsqueeze(1)]
        return Products(matrix, self.least[..., draws], self.eps)

    def correlations(self) -> Tensor:
        """Pearson's correlations, `[…, c, c]`; a constant channel has only zeros."""
        squares = self.squares
        scale = squares.rsqrt().masked_fill(squares <= self.least, 0.0)
        return self.matrix * scale.unsqueeze(-1) * scale.unsqueeze(-2)

    def smallest_eigenvalues(self) -> Tensor:
        """The smallest eigenvalue of each matrix of correlations, `[…]`; nan if it is not finite.

        It is set to 0 if it does not exceed the rounding errors of a singular matrix.
        """
        matrices = self.correlations()
        finite = matrices.isfinite().all(-1).all(-1)
        found = torch.full_like(finite, torch.nan, dtype=torch.float64)
        values = torch.linalg.eigvalsh(matrices[finite])
        least, largest = values[..., 0], values[..., -1]
        found[finite] = least.masked_fill(least <= 16 * self.eps * largest, 0.0)
        return found


def products_of(rows: Tensor) -> Products:
    """The inner products of the channels, centred over the positions, `[…, P, c]`.

    They are formed in float32, or in float64 if the values are in float64 or on a GPU, which might
    multiply float32 as TF32. For sixty networks of NAS-Bench-201 in float32, products in float32
    change the scores by at most 1e-6 compared with products in float64, which differ by 4e-8 from
    the scores of the same networks in float64.
    """
    near = 8 * torch.finfo(rows.dtype).eps if rows.is_floating_point() else 0.0
    exact = rows.double() if rows.dtype == torch.float64 or rows.is_cuda else rows.float()
    mean = exact.mean(-2, keepdim=True)
    centred = exact - mean
    least = mean.squeeze(-2).square() * (near**2 * rows.shape[-2])
    products = centred.mT @ centred
    eps = torch.finfo(products.dtype).eps
    return Products(products.cpu().double(), least.cpu().double(), eps)


def stacked(several: Sequence[Products]) -> Products:
    """Stack several products of the same shape along a new first axis."""
    return Products(
        torch.stack([products.matrix for products in several]),
        torch.stack([products.least for products in several]),
        max(products.eps for products in several),
    )
