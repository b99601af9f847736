"""Pass noise through the blocks with Kaiming weights, and random signs back through each block.

Lee and Ham 2024, "AZ-NAS", arXiv:2403.19232.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretell.batch import Batch
from foretell.engine.blocks import NONE_FOUND, Blocks, BlockWatch, Boundary, levels_of
from foretell.engine.channels import with_channels_first
from foretell.engine.isolate import call, is_batch_norm
from foretell.engine.kaiming import double_or_float, kaiming_model, normal_like
from foretell.engine.memory import smaller, within_memory
from foretell.engine.microbatch import check_exact, split
from foretell.engine.modules import named_parameters_of
from foretell.engine.subject import (
    Found,
    Seconds,
    Subject,
    Unavailable,
    differentiated,
    timed,
)
from foretell.errors import Undefined
from foretell.seeds import derived_seed

__all__ = ["Sums", "add_part", "blocks_pass", "in_training"]


def blocks_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Compute `block_spectra` and `block_gains`.

    Raises OutOfMemory, with a micro-batch that fits, if memory does not suffice.
    """
    return within_memory(
        lambda: in_parts(subject, wanted, seconds),
        lambda: smaller(subject, lambda part: in_parts(part, wanted, {})),
    )


def in_training(model: nn.Module) -> bool:
    """Whether blocks are run in training mode, which is the case with batch normalisation.

    Batch normalisation then uses the statistics of the minibatch, as published for convolutional
    networks. All other models are run in evaluation mode, without dropout, as published for
    transformers.
    """
    return any(map(is_batch_norm, model.modules()))


def in_parts(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Both quantities; parts of the batch use the same random numbers as the whole batch."""
    if not any(levels_of(subject.model)):
        raise Undefined(NONE_FOUND)
    if subject.micro_batch is not None and subject.micro_batch < len(subject.batch):
        check_exact(subject)
    dtype = double_or_float(subject.model)
    generator = Generator().manual_seed(derived_seed(subject.seed, "blocks"))
    drawn = kaiming_model(subject.model, subject.layers, generator, dtype)
    noise = Batch(subject.batch.inputs).each_shared(lambda t: normal_like(t, generator, dtype))
    sums = Sums(subject.seed)
    for index, part in enumerate(split(noise, subject.micro_batch)):
        add_part(subject, drawn, part, index, sums, seconds, back="block_gains" in wanted)
    found: Found = {"block_spectra": sums.spectra()}
    return found | ({"block_gains": sums.gains()} if "block_gains" in wanted else {})


@dataclass
class Scatter:
    """The number of rows x of a matrix, their mean, and Σ (x − mean)(x − mean)ᵀ."""

    count: int
    mean: Tensor
    total: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "Scatter":
        """The scatter of one matrix."""
        mean = rows.mean(0)
        centred = rows - mean
        return cls(len(rows), mean.double(), (centred.T @ centred).double())

    def add(self, other: "Scatter") -> None:
        """Add the rows of another matrix (Chan et al. 1979)."""
        apart, count = other.mean - self.mean, self.count + other.count
        self.total += other.total + torch.outer(apart, apart) * (self.count * other.count / count)
        self.mean += apart * (other.count / count)
        self.count = count


@dataclass
class Sums:
    """The sums over the parts of a batch."""

    seed: int
    scatters: list[Scatter] = field(default_factory=list)
    products: dict[int, Any] = field(default_factory=dict)
    """Σ g_in g_outᵀ over the positions of all samples, for each block."""
    counts: dict[int, int] = field(default_factory=dict)
    """The number of positions of each block."""
    changed: dict[int, bool] = field(default_factory=dict)
    """Whether the backward pass of each block changes the gradient."""
    skips: bool = False
    """Whether blocks that do not change the gradient are left out."""
    why: str = ""
    """The reason why gains are unavailable; empty if they are available."""
    signs_of: dict[int, Generator] = field(default_factory=dict)

    def spectra(self) -> list[Tensor]:
        """The eigenvalues of the covariance of the channels, for each boundary."""
        return [
            torch.linalg.eigvalsh(scatter.total / scatter.count).clamp(min=0)
            for scatter in self.scatters
        ]

    def gains(self) -> Tensor | Unavailable:
        """The largest singular value of the mean of g_in g_outᵀ for each block.

        It is infinity for a block that does not change the gradient.
        """
        if self.why:
            return Unavailable(self.why)
        gains = [
            largest_singular_value(self.products[block] / self.counts[block])
            if self.changed[block]
            else self.products[block].new_tensor(torch.inf)
            for block in sorted(self.products)
            if self.changed[block] or not self.skips
        ]
        if not gains:
            return Unavailable("every block passes the gradient on unchanged")
        return torch.stack(gains)

    def add(self, block: int, g_in: Tensor, g_out: Tensor) -> None:
        """Add the gradients before and after a block, [N, C, …] with the same positions."""
        left, right = positions_by_channels(g_in), positions_by_channels(g_out)
        same = left.shape == right.shape and torch.equal(left, right)
        self.products[block] = self.products.get(block, 0) + (left.T @ right).double()
        self.counts[block] = self.counts.get(block, 0) + len(right)
        self.changed[block] = self.changed.get(block, False) or not same

    def signs(self, block: int, like: Tensor) -> Tensor:
        """A random sign for each element, which does not depend on the division into parts."""
        start = Generator().manual_seed(derived_seed(self.seed, "blocks", "signs", block))
        generator = self.signs_of.setdefault(block, start)
        drawn = torch.randint(2, like.shape, generator=generator, device="cpu")
        return (2 * drawn - 1).to(like.device, like.dtype)


def largest_singular_value(matrix: Tensor) -> Tensor:
    """The largest singular value, from the eigenvalues of the smaller Gram matrix."""
    wide = matrix if matrix.shape[0] < matrix.shape[1] else matrix.T
    values: Tensor = torch.linalg.eigvalsh(wide @ wide.T)
    return values[-1].clamp(min=0).sqrt()


def add_part(
    subject: Subject,
    drawn: dict[str, Tensor],
    part: Batch,
    index: int,
    sums: Sums,
    seconds: Seconds,
    *,
    back: bool,
) -> None:
    """Run a part of the batch forward, and each block backward by itself. Raises Undefined."""
    training = in_training(subject.model)
    sums.skips = not training
    held = {name: tensor.clone() for name, tensor in drawn.items()}
    for name, parameter in named_parameters_of(subject.model):
        held[name].requires_grad_(parameter.is_floating_point())
    fed = part.each(lambda t: t.detach().clone().requires_grad_(t.is_floating_point()))
    watch, features = BlockWatch(subject.model), ExitStack()

    def add(_: Any) -> None:
        blocks = watch.blocks()
        add_scatters(subject.model, blocks, sums)
        features.close()  # modules that run in the backward pass are not further blocks
        if back and not sums.why:
            with timed(seconds, "block_gradients", subject.device):
                try:
                    add_products(subject.model, blocks, sums)
                except Undefined as error:
                    sums.why = str(error)

    with (
        subject.undisturbed("blocks", index, training=training),
        sdpa_kernel(SDPBackend.MATH),
        torch.enable_grad(),
        features,
    ):
        features.enter_context(timed(seconds, "block_features", subject.device))
        features.enter_context(watch)
        call(subject.model, held, fed.each(torch.clone), add)


def add_scatters(model: nn.Module, blocks: Blocks, sums: Sums) -> None:
    """Add the scatter of the channels at each boundary."""
    for place, boundary in enumerate(blocks.boundaries):
        features = with_channels_first(boundary.features.detach(), model, blocks.modules)
        scatter = Scatter.of(positions_by_channels(features))
        if place == len(sums.scatters):
            sums.scatters.append(scatter)
        else:
            sums.scatters[place].add(scatter)


def add_products(model: nn.Module, blocks: Blocks, sums: Sums) -> None:
    """Add Σ g_in g_outᵀ of each block, where g_out are signs and g_in is their backward pass.

    Blocks are processed from last to first, since each one frees its part of the graph.
    """
    for place in reversed(range(len(blocks.units))):
        before, after = blocks.boundaries[place : place + 2]
        signs = sums.signs(place, after.features)
        given = signs.unbind(1) if len(after.tensors) > 1 else (signs,)
        grads = differentiated([*after.tensors], [*before.tensors], grads=[*given])
        g_in = with_channels_first(Boundary(grads).features, model, blocks.modules)
        g_out = with_channels_first(signs, model, blocks.modules)
        sums.add(place, unshuffled(g_in, g_out, blocks.units[place].name), g_out)


def positions_by_channels(features: Tensor) -> Tensor:
    """[N, C, …] as a matrix with one row per sample and position."""
    return features.movedim(1, -1).flatten(0, -2)


def unshuffled(features: Tensor, like: Tensor, block: str) -> Tensor:
    """Features [N, C, …] with the positions of `like`; the positions of a stride become channels.

    Raises Undefined if the number of positions is not a multiple of that of `like`.
    """
    sizes, positions = features.shape[2:], like.shape[2:]
    strides = [size // max(1, fewer) for size, fewer in zip(sizes, positions, strict=False)]
    fits = len(sizes) == len(positions) and len(features) == len(like)
    if not fits or [s * p for s, p in zip(strides, positions, strict=True)] != list(sizes):
        raise Undefined(
            f"the block {block} turns features of shape {list(features.shape)} into "
            f"{list(like.shape)}, which is not an integer stride"
        )
    split_up = features
    for axis, stride in enumerate(strides):
        place = 2 + 2 * axis
        shape = split_up.shape
        split_up = split_up.reshape(*shape[:place], positions[axis], stride, *shape[place + 1 :])
    inner = [3 + 2 * axis for axis in range(len(strides))]
    outer = [2 + 2 * axis for axis in range(len(strides))]
    return split_up.permute(0, 1, *inner, *outer).flatten(1, 1 + len(strides))
