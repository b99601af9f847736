"""Files written by `torch.save`, opened without executing any code in them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foretell.errors import ForetellError

__all__ = ["load_pth", "unreadable"]


def load_pth(path: Path) -> Any:
    """Load a file that contains only containers, numbers, NumPy scalars and tensors."""
    with torch.serialization.safe_globals(numpy_scalars()):
        return torch.load(path, map_location="cpu", weights_only=True)


def numpy_scalars() -> list[Any]:
    """The functions that unpickle NumPy scalars, also under their NumPy 1 names; all are safe."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    return [np.dtype, *((scalar, name) for name in names), *kinds]


def unreadable(path: Path, what: str, error: Exception) -> ForetellError:
    """The error for a file that is not `what`, with the reason in a few words."""
    message = " ".join(str(error).split())
    refused = re.search(r"Unsupported global: GLOBAL \S+", message)  # PyTorch's text is long
    reason = refused[0] if refused else message.partition(". ")[0][:200]
    return ForetellError(
        f"{path} cannot be read as {what} ({type(error).__name__}: {reason}); download it again"
    )
