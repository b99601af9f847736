"""A few steps of training, to check that a network can learn."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def losses_of(model: nn.Module, x: Tensor, y: Tensor, lr: float, steps: int = 15) -> list[float]:
    """The loss before each step of plain gradient descent on one batch."""
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses
