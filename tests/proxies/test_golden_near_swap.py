"""near and swap have the values of the authors' code, in float64 on small networks.

Their code was given our draws: the rows that near takes, and the weights of swap. It sees modules
only, so the networks are those without functional activations, whose ReLUs are modules.
"""

import json
from typing import Any

import pytest
import torch

from foretell import score
from tests.support import paths
from tests.support.models import make

FOUND: dict[str, Any] = json.loads((paths.GOLDEN / "near_swap.json").read_text())
ROWS: dict[str, dict[str, float]] = FOUND["rows"]


@pytest.mark.parametrize("name", ROWS)
def test_the_authors_code_gives_the_same(name: str) -> None:
    found = score(*make(name, torch.float64), list(ROWS[name]))
    for proxy, value in ROWS[name].items():
        assert found[proxy].value == pytest.approx(value, rel=1e-12), proxy
