"""The tangent of a normalisation by the statistics of its input, and the tangent's gradient.

Shifting or scaling all values of a channel has no effect; other changes do:

    >>> x = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    >>> Normed(x, None, 0.0).tangent(torch.tensor([[1.0], [0.0], [0.0], [0.0]])).flatten()
    tensor([ 0.5000,  0.0000, -0.5000,  0.0000])
"""

from typing import Any

import torch
from torch import Tensor

from foretell.engine.faster.batch_norm import made_here
from foretell.engine.faster.channels import Channels, moments

__all__ = ["Normed", "statistics_of"]

Means = tuple[Tensor, Tensor]


class Normed:
    """y = γ·s·(x − mean) + β, per channel (axis 1), with s = 1/√(var + ε).

    A tangent of x is given as u, or None for zero. With `own`, the tangent is u + x plus anything
    that is constant within a channel. Up to ε, a normalisation removes a multiple of its own input,
    so this part is given by a formula instead of being computed as a difference of large numbers.
    """

    def __init__(
        self,
        x: Tensor,
        weight: Tensor | None,
        eps: float,
        statistics: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """`statistics` are the mean and s, `[C]`, if they are known."""
        self.x, self.eps = x, eps
        self.channels = Channels(x)
        if statistics is None:
            var, mean = moments(x)
            statistics = mean, (var + eps).rsqrt()
        self.mean, self.s = statistics
        self.gamma = torch.ones_like(self.s) if weight is None else weight
        self._means_of_u: tuple[Tensor | None, Means | None] = (None, None)

    def tangent(self, u: Tensor | None, own: bool = False) -> Tensor:
        """γ·s·(u − mean u − x̂·mean(x̂u)) with x̂ = (x − mean)·s, and γ·ε·s³·(x − mean) if `own`."""
        channels, s, gamma = self.channels, self.s, self.gamma
        x = channels.flat(self.x)
        by_x = gamma * self.eps * s**3 if own else torch.zeros_like(s)
        constant = torch.zeros_like(s)
        if u is not None:
            m1, m2 = means = self._means(u)
            self._means_of_u = u, means
            u = channels.flat(u)
            by_x = by_x - gamma * s * s * m2
            constant = -gamma * s * m1
        constant = constant - by_x * self.mean
        out = torch.addcmul(channels.spread(constant), channels.spread(by_x), x)
        if u is not None:
            out.addcmul_(channels.spread(gamma * s), u)
        return channels.shaped(out)

    def gradient(
        self,
        c: Tensor,
        u: Tensor | None,
        own: bool = False,
        means: Means | None = None,
        *,
        over_u: bool = False,
    ) -> Tensor:
        """The gradient of Σ c·tangent with respect to x; u is constant, the x of `own` is not.

        `means` are the means of c and of c·x̂, if they are known. With `over_u`, the result may
        overwrite u, which is not used elsewhere.
        """
        channels, s, gamma, eps = self.channels, self.s, self.gamma, self.eps
        c0, k = (mean * gamma for mean in means or self._means(c))
        x, c = channels.flat(self.x), channels.flat(c)
        # −s² [m2 γc + k u + (mean(γcu) − c0 m1 − 3 k m2) x̂ − (m2 c0 + k m1)]
        by_c, by_xhat, constant = torch.zeros_like(s), torch.zeros_like(s), torch.zeros_like(s)
        if u is not None:
            of, kept = self._means_of_u
            m1, m2 = kept if of is u and kept else self._means(u)
            u = channels.flat(u)
            along = channels.means(c * u) * gamma
            by_c = -s * s * m2
            by_xhat = -s * s * (along - c0 * m1 - 3 * k * m2)
            constant = s * s * (m2 * c0 + k * m1)
        if own:  # ε s³ (γc − c0 − 3 k x̂)
            by_c = by_c + eps * s**3
            by_xhat = by_xhat - 3 * eps * s**3 * k
            constant = constant - eps * s**3 * c0
        by_x = by_xhat * s
        constant = constant - by_x * self.mean
        out = torch.addcmul(channels.spread(constant), channels.spread(by_x), x)
        out = out.addcmul_(channels.spread(by_c * gamma), c)
        if u is not None:
            out = torch.addcmul(out, channels.spread(-s * s * k), u, out=u if over_u else out)
        return channels.shaped(out)

    def _means(self, values: Tensor) -> Means:
        """The mean of the values, and of the values times x̂."""
        flat = self.channels.flat(values)
        mean = self.channels.means(flat)
        product = self.channels.means(self.channels.flat(self.x) * flat)
        return mean, (product - self.mean * mean) * self.s


def statistics_of(out: Tensor, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """The mean and 1/√(var + ε) with which x was normalised, if autograd has saved them."""
    node: Any = out.grad_fn
    if made_here(node):
        return node.mean, node.s
    if node is not None and node.name() == "NativeBatchNormBackward0":
        mean, scale = node._saved_result1, node._saved_result2
        if mean.numel() == scale.numel() == x.shape[1] and mean.dtype == x.dtype:
            return mean, scale
    return None
