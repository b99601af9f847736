"""Scores have the values of their authors' code, in float64 on small networks.

Their code was given our draws: the channels of meco_opt, on the network whose maps have at least
eight, the rows that near takes, the weights of swap and of vkdnw. That of near and swap sees
modules only, so their networks have no functional activations. That of vkdnw smooths in half
precision (a relative difference of about 2e-5 here), which was computed in double precision.
"""

import json
from pathlib import Path

import pytest
import torch

from foretell import score
from tests.support import paths
from tests.support.models import make

TOLERANCES = {
    paths.GOLDEN / "meco.json": 1e-12,
    paths.GOLDEN / "near_swap.json": 1e-12,
    paths.GOLDEN / "te_nas.json": 1e-12,
    paths.GOLDEN / "vkdnw.json": 1e-9,
}
ROWS: dict[Path, dict[str, dict[str, float]]] = {
    path: json.loads(path.read_text())["rows"] for path in TOLERANCES
}


@pytest.mark.parametrize(
    ("path", "name"),
    [pytest.param(path, name, id=f"{path.stem}-{name}") for path in ROWS for name in ROWS[path]],
)
def test_the_authors_code_gives_the_same(path: Path, name: str) -> None:
    expected = ROWS[path][name]
    found = score(*make(name, torch.float64), list(expected))
    for proxy, value in expected.items():
        assert found[proxy].value == pytest.approx(value, rel=TOLERANCES[path]), proxy
