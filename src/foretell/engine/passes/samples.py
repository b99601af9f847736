"""The pass that computes gradients of each sample by itself."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from foretell.batch import main_output
from foretell.engine.failures import LossFailed, TooFewValues
from foretell.engine.passes.loss import loss_pass
from foretell.engine.subject import Found, Seconds, Subject, Unavailable, timed
from foretell.seeds import derived_seed

__all__ = ["samples_pass"]


@dataclass
class Spread:
    """The mean of some tensors, and the sum of squared differences from it (Welford 1962).

    If all tensors are equal, the spread is exactly zero.

    >>> spread = Spread.like(torch.zeros(1))
    >>> for value in (1.0, 3.0):
    ...     spread.add(torch.tensor([value]))
    >>> spread.mean, spread.variance()
    (tensor([2.]), tensor([1.]))
    """

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def like(cls, tensor: Tensor) -> "Spread":
        """The spread of no tensors yet."""
        return cls(0, torch.zeros_like(tensor), torch.zeros_like(tensor))

    def add(self, tensor: Tensor) -> None:
        """Add one more tensor."""
        self.count += 1
        apart = tensor - self.mean
        self.mean += apart / self.count
        self.squares += apart * (tensor - self.mean)

    def variance(self) -> Tensor:
        """The population variance."""
        return self.squares / self.count


@dataclass
class Sums:
    """The sums over the gradients of the samples, as far as they are wanted."""

    wanted: set[str]
    signs: dict[str, Tensor] = field(default_factory=dict)
    spreads: dict[str, tuple[Spread, Spread]] = field(default_factory=dict)
    """The spread of the gradient of each weight, and of its absolute value."""

    def add(self, grads: dict[str, Tensor]) -> None:
        """Add the gradients of one sample."""
        for name, grad in grads.items():
            if "sample_signs" in self.wanted:
                signs = grad.sign().to(torch.int32)
                self.signs[name] = self.signs[name] + signs if name in self.signs else signs
            if "sample_moments" in self.wanted:
                if name not in self.spreads:
                    self.spreads[name] = Spread.like(grad), Spread.like(grad)
                signed, sizes = self.spreads[name]
                signed.add(grad)
                sizes.add(grad.abs())

    def found(self) -> Found:
        """The wanted quantities."""
        moments = {
            name: torch.stack([sizes.mean, signed.variance(), sizes.variance()])
            for name, (signed, sizes) in self.spreads.items()
        }
        both = {"sample_signs": self.signs, "sample_moments": moments}
        return {name: both[name] for name in self.wanted}


@dataclass
class Rows:
    """The gradients of all samples, for their inner products."""

    rows: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def add(self, grads: dict[str, Tensor]) -> None:
        """Keep the gradients of one sample."""
        for name, grad in grads.items():
            self.rows[name].append(grad.flatten())

    def found(self) -> Found:
        """`sample_kernel`, in float64."""
        stacked = (torch.stack(rows).double() for rows in self.rows.values())
        return {"sample_kernel": sum(rows @ rows.T for rows in stacked)}


def samples_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The quantities of single samples; each has its own loss, statistics and random numbers."""
    found: Found = {}
    of_loss = wanted - {"sample_kernel"}
    if of_loss:
        with timed(seconds, "samples", subject.device):
            found |= of_each(subject, of_loss, Sums(of_loss))
    if "sample_kernel" in wanted:
        by_output = replace(subject, loss=summed_output)
        with timed(seconds, "sample_outputs", subject.device):
            try:
                found |= of_each(by_output, {"sample_kernel"}, Rows())
            except LossFailed as error:
                found["sample_kernel"] = Unavailable(error.complaint)
    return found


def summed_output(outputs: Any, targets: Any) -> Tensor:
    """The sum of the main output, in place of the loss."""
    return main_output(outputs).sum()


def of_each(subject: Subject, wanted: set[str], collected: Sums | Rows) -> Found:
    """The quantities that are computed from the gradients of each sample."""
    for index in range(len(subject.batch)):
        one = replace(
            subject,
            batch=subject.batch[index : index + 1],
            seed=derived_seed(subject.seed, "sample", index),
            micro_batch=None,
        )
        try:
            grads = loss_pass(one, {"grads"}, {})["grads"]
        except TooFewValues:
            why = "a sample by itself has one value per channel, too few for BatchNorm"
            return dict.fromkeys(wanted, Unavailable(why))
        if isinstance(grads, Unavailable):
            return dict.fromkeys(wanted, grads)
        collected.add(grads)
    return collected.found()
