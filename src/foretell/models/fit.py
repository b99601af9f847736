"""Convert batches of the data to the form that a model expects."""

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.batch import Batch
from foretell.data.tokens import Vocabulary
from foretell.errors import ForetellError
from foretell.models.specs import Wanted

__all__ = ["as_wanted"]

MASKED_SHARE = 0.15
"""The share of tokens to mask, as in BERT (Devlin et al. 2018, arXiv:1810.04805).

All of them are replaced by the mask token."""
IGNORED = -100
"""The target that PyTorch's cross-entropy ignores."""


def as_wanted(
    batch: Batch, wanted: Wanted, vocabulary: Vocabulary | None = None, seed: int = 0
) -> Batch:
    """Convert a batch to the form that a model expects.

    Images are resized by bilinear interpolation with antialiasing, and a single channel is
    repeated. Text is arranged by `wanted.task`:

    * causal: the inputs are ids, the targets the ids that follow;
    * masked: 15 % of the ids, drawn by `seed`, are masked; the targets are these ids;
    * seq2seq: the inputs are the first half of the ids, the targets the second half;
    * classify: the inputs are ids and a mask that excludes padding, the targets the classes.

    Raises ForetellError if the images have the wrong number of channels.

    >>> grey = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    >>> as_wanted(grey, Wanted("image", (3, 32, 32))).inputs.shape
    torch.Size([2, 3, 32, 32])
    """
    inputs = batch.inputs
    if not isinstance(inputs, Tensor):
        return batch
    if wanted.kind == "image":
        return Batch(resized(inputs, wanted.shape), batch.targets) if wanted.shape else batch
    if wanted.task is None:
        return batch
    assert vocabulary is not None
    return laid_out(inputs, batch.targets, wanted.task, vocabulary, seed)


def resized(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Images [N, C, H, W], resized to a shape of (channels, height, width)."""
    channels, *size = shape
    if images.shape[1] != channels and images.shape[1] != 1:
        raise ForetellError(
            f"the images have {images.shape[1]} channels and the model expects {channels}; "
            f"give images with {channels} channels or 1"
        )
    if list(images.shape[2:]) != size:
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    return images.expand(-1, channels, -1, -1).contiguous()


def laid_out(ids: Tensor, targets: object, task: str, vocabulary: Vocabulary, seed: int) -> Batch:
    """Ids [N, length] as keyword arguments of a transformers model, with targets for the task."""
    if task == "classify":
        shown = (ids != vocabulary.pad).long()
        shown[:, 0] = 1  # attention without any key is undefined
        return Batch({"input_ids": ids, "attention_mask": shown}, targets)
    if task == "masked":
        draws = torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed))
        count = max(1, round(MASKED_SHARE * ids.shape[1]))
        hidden = draws.argsort(1).argsort(1) < count
        return Batch(
            {"input_ids": ids.masked_fill(hidden, vocabulary.mask)},
            ids.masked_fill(~hidden, IGNORED),
        )
    if task == "seq2seq":
        half = ids.shape[1] // 2
        first, second = ids[:, :half], ids[:, half:]
        start = torch.full_like(second[:, :1], vocabulary.pad)
        shifted = torch.cat([start, second[:, :-1]], dim=1)
        return Batch({"input_ids": first, "decoder_input_ids": shifted}, second.contiguous())
    return Batch({"input_ids": ids}, targets)
