"""The text that names an architecture in a table: as its space writes it, so that tables join."""

from collections.abc import Iterable

from foretell.errors import ForetellError, unknown_name
from foretell.models import SOURCES
from foretell.models.sources import require_registered
from foretell.spaces import make_space

__all__ = ["MODELS", "nb101_key", "official_keys"]

MODELS = "models"
"""What stands for a space where the keys are names of models, such as torchvision:resnet18."""
SHOWN = 60


def official_keys(space: str, keys: Iterable[str], what: str) -> list[str]:
    """Every key as its space writes it; the name of a model as it is.

    Raises ForetellError for the first key that is not an architecture of the space.

    >>> official_keys("nb201", ["000001"], "a file")
    ['|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|']
    """
    keys = list(keys)
    if space == MODELS:
        return [_model(key, what) for key in keys]
    known = make_space(space)
    written = []
    for row, key in enumerate(keys):
        try:
            written.append(known.format(known.parse(key)))
        except ForetellError as error:
            shown = key if len(key) <= SHOWN else key[: SHOWN - 3] + "..."
            raise ForetellError(
                f"{what}: the key of row {row}, {shown!r}, is no architecture of {space}; give "
                f"another key column, or the space the table is of"
            ) from error
    return written


def _model(key: str, what: str) -> str:
    prefix, colon, name = key.partition(":")
    if not colon or not name or prefix not in SOURCES:
        said = (
            f"{what}: {key!r} names no model; write zoo:name with a zoo as in `foretell list "
            "models`"
        )
        raise unknown_name("model source", prefix, SOURCES, said)
    require_registered(key)
    return key


def nb101_key(adjacency: str, operations: str) -> str:
    """The cell of NAS-Bench-101 as its space writes it.

    `adjacency` is the whole matrix row by row, `operations` a digit for each interior node:
    0 conv3x3-bn-relu, 1 conv1x1-bn-relu, 2 maxpool3x3. The key is the matrix above its diagonal,
    a colon, and the digits. Raises ForetellError where the two don't fit each other.

    >>> nb101_key("011" "001" "000", "0")
    '111:0'
    """
    n = len(operations) + 2
    if len(adjacency) != n * n or set(adjacency) - {"0", "1"} or set(operations) - set("012"):
        raise ForetellError(
            f"adjacency {adjacency!r} with operations {operations!r} is no NAS-Bench-101 cell; "
            f"expected n×n zeros and ones, and n-2 digits 0..2"
        )
    above = (adjacency[row * n + row + 1 : (row + 1) * n] for row in range(n))
    return f"{''.join(above)}:{operations}"
