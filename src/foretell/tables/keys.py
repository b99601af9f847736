"""Write keys of tables in the format of their space, so that tables can be joined."""

import json
from collections.abc import Callable, Iterable

from foretell.errors import ForetellError, unknown_name
from foretell.models import SOURCES
from foretell.models.sources import require_registered
from foretell.spaces import SPACES, make_space

__all__ = ["KEYED", "MODELS", "NDS", "nb101_key", "nds_key", "official_keys"]

MODELS = "models"
"""The space of tables whose keys are names of models, such as torchvision:resnet18."""
NDS = "nds"
"""The space of tables whose keys are the settings of networks of NDS, which cannot be built."""
KEYED = (*SPACES, MODELS, NDS)
"""The spaces that a table can have."""
SHOWN = 60


def official_keys(space: str, keys: Iterable[str], what: str) -> list[str]:
    """Every key in the format of its space; names of models are unchanged.

    Raises ForetellError for the first key that is not an architecture of the space.

    >>> official_keys("nb201", ["000001"], "a file")
    ['|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|']
    """
    keys = list(keys)
    if space == MODELS:
        return [_model(key, what) for key in keys]
    rewrite = nds_key if space == NDS else _rewriting(space)
    written = []
    for row, key in enumerate(keys):
        try:
            written.append(rewrite(key))
        except ForetellError as error:
            shown = key if len(key) <= SHOWN else key[: SHOWN - 3] + "..."
            raise ForetellError(
                f"{what}: the key of row {row}, {shown!r}, is not an architecture of {space}; give "
                "another key column, or the space of the table"
            ) from error
    return written


def _rewriting(space: str) -> Callable[[str], str]:
    known = make_space(space)
    return lambda key: known.format(known.parse(key))


def _model(key: str, what: str) -> str:
    prefix, colon, name = key.partition(":")
    if not colon or not name or prefix not in SOURCES:
        said = (
            f"{what}: {key!r} is not the name of a model; write SOURCE:NAME with a source of "
            "`foretell list models`"
        )
        raise unknown_name("model source", prefix, SOURCES, said)
    require_registered(key)
    return key


def nb101_key(adjacency: str, operations: str) -> str:
    """A cell of NAS-Bench-101 in the format of its space.

    `adjacency` is the complete matrix row by row, `operations` a digit for each interior node:
    0 conv3x3-bn-relu, 1 conv1x1-bn-relu, 2 maxpool3x3. The key is the matrix above its diagonal,
    a colon, and the digits. Raises ForetellError if the two do not match.

    >>> nb101_key("011" "001" "000", "0")
    '111:0'
    """
    n = len(operations) + 2
    if len(adjacency) != n * n or set(adjacency) - {"0", "1"} or set(operations) - set("012"):
        raise ForetellError(
            f"adjacency {adjacency!r} with operations {operations!r} is not a NAS-Bench-101 cell; "
            "expected n×n zeros and ones, and n-2 digits 0..2"
        )
    above = (adjacency[row * n + row + 1 : (row + 1) * n] for row in range(n))
    return f"{''.join(above)}:{operations}"


def nds_key(text: str) -> str:
    """The settings of a network of NDS as JSON with sorted names, as in the authors' code.

    Raises ForetellError for anything but a JSON object with a `block_type` or a `genotype`.

    >>> nds_key('{"ds":[1, 2],"block_type":"res_basic_block"}')
    '{"block_type": "res_basic_block", "ds": [1, 2]}'
    """
    try:
        settings = json.loads(text)
        known = isinstance(settings, dict) and not {"block_type", "genotype"}.isdisjoint(settings)
        written = json.dumps(settings, sort_keys=True)
    except (ValueError, RecursionError):
        known = False
    if not known:
        raise ForetellError(
            f"{text[:SHOWN]!r} does not describe a network of NDS; expected a JSON object with a "
            "block_type or a genotype"
        )
    return written
