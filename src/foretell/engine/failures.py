"""Exceptions for errors in code of the user."""

import re

import torch

from foretell.errors import ForetellError, any_error, complaint_of, message_of

__all__ = [
    "Inexact",
    "LossFailed",
    "ModelFailed",
    "Nested",
    "TooFewValues",
    "any_error",
    "complaint_of",
    "is_out_of_memory",
    "refuse_nested",
]


class ModelFailed(ForetellError):
    """The model raised an error; `complaint` is the original message."""

    def __init__(self, message: str, complaint: str = "") -> None:
        super().__init__(message)  # exceptions are pickled with their message only
        self.complaint = complaint


class TooFewValues(ModelFailed):
    """A normalisation over the batch has only one value per channel."""


class Nested(ModelFailed):
    """The model computes with nested tensors."""


def refuse_nested(*values: object) -> None:
    """Raise Nested if one of the values is a nested tensor, which has no axis of samples."""
    if any(isinstance(value, torch.Tensor) and value.is_nested for value in values):
        raise Nested(
            "the model computes with nested tensors, whose operations cannot be followed; let it "
            "compute with padded ones"
        )


class LossFailed(ModelFailed):
    """The loss cannot be computed from the outputs of the model."""


class Inexact(ForetellError):
    """Micro-batches would not give the value of the whole batch, for the reason `why`."""

    def __init__(self, why: str, otherwise: str = "") -> None:
        super().__init__(why, otherwise)
        self.why, self.otherwise = why, otherwise

    def __str__(self) -> str:
        return (
            f"micro_batch would change the scores: {self.why}; use micro_batch=None{self.otherwise}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch raised this error because an allocation failed, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(NO_MEMORY.search(message_of(error)))


NO_MEMORY = re.compile("can't allocate memory|not enough memory")
