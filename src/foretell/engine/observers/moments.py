"""Sums over all samples and positions from which the covariances of channels are computed."""

from torch import Tensor

__all__ = ["Moments"]


class Moments:
    """Σ (1, x)(1, x)ᵀ by layer, where x has the channels at a position of a sample."""

    def __init__(self) -> None:
        self.layers: dict[str, Tensor] = {}
        self.lost = ""
        """The reason why not all layers are known per sample; empty if they are."""

    def add(self, layer: str, rows: Tensor) -> None:
        """Add the values of a layer, `[N, positions, channels]`.

        >>> import torch
        >>> moments = Moments()
        >>> moments.add("relu", torch.tensor([[[2.0], [3.0]]]))
        >>> moments.layers["relu"]
        tensor([[ 2.,  5.],
                [ 5., 13.]], dtype=torch.float64)
        """
        x = rows.flatten(0, 1).double()
        with_one = x.new_ones(len(x), 1 + x.shape[1])
        with_one[:, 1:] = x
        self.layers[layer] = (with_one.T @ with_one).cpu()
