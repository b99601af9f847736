"""vkdnw_reference has the values of the authors' code, in float64 on small networks.

Their code was given our weights, and its smoothing, which it computes in half precision (a relative
difference of about 2e-5 here), was computed in double precision.
"""

import json
from typing import Any

import pytest
import torch

from foretell import score
from tests.support import paths
from tests.support.models import make

FOUND: dict[str, Any] = json.loads((paths.GOLDEN / "vkdnw.json").read_text())
ROWS: dict[str, dict[str, float]] = FOUND["rows"]


@pytest.mark.parametrize("name", ROWS)
def test_the_authors_code_gives_the_same(name: str) -> None:
    found = score(*make(name, torch.float64), list(ROWS[name]))
    for proxy, value in ROWS[name].items():
        assert found[proxy].value == pytest.approx(value, rel=1e-9), proxy
