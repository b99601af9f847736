"""Scores compared with those of the authors' code on torchvision networks, and with stored ones."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from foretell import Score, explain, score
from foretell.proxies import PROXIES
from tests.support import paths
from tests.support.models import MODELS, make

OURS = paths.GOLDEN / "scores.json"
MEASURES = {
    "grad_norm": "grad_norm",
    "snip": "snip",
    "grasp": "grasp",
    "fisher": "fisher_reference",
    "synflow": "synflow_reference",
    "jacob_cov": "jacob_cov",
}
"""The name of a proxy in the reference → ours."""
NETS = (
    "torchvision:resnet18",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:regnet_x_400mf",
    "torchvision:resnet50",
    "torchvision:densenet121",
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(shared: Path) -> dict[str, Row]:
    """The float64 values of the reference by the name of the network."""
    found = json.loads((shared / "golden" / "zero_cost_nas_reference.json").read_text())["rows"]
    return {row["model"]: row for row in found if row["dtype"] == "float64"}


def test_every_network_of_the_file_is_tested(rows: dict[str, Row]) -> None:
    assert set(rows) == set(NETS)


def rescore(row: Row) -> dict[str, Score]:
    """Our scores of the network of a row, rebuilt as described in its README."""
    models = pytest.importorskip("torchvision").models
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(row["model_seed"])
        name = row["model"].partition(":")[2]
        model = models.get_model(name, weights=None, num_classes=row["num_classes"]).train()
    generator = torch.Generator().manual_seed(row["data_seed"])
    images = torch.randn(row["batch"], 3, row["size"], row["size"], generator=generator)
    labels = torch.randint(0, row["num_classes"], (row["batch"],), generator=generator)
    names = list(MEASURES.values())
    return score(model.double(), (images.double(), labels), names, layers="conv2d_linear")


@pytest.mark.parametrize("name", NETS)
def test_the_authors_code_gives_the_same(rows: dict[str, Row], name: str) -> None:
    scores = rescore(rows[name])
    for measure, value in rows[name]["values"].items():
        ours = scores[MEASURES[measure]].value
        if measure == "synflow":
            assert ours == pytest.approx(math.log(value), abs=1e-6, rel=0), measure
        else:
            limit = 1e-5 if measure == "fisher" else 1e-6
            assert ours == pytest.approx(value, rel=limit, abs=0), measure


IN_TRAINING_MODE = {"loss", "reference_flow", "halves", "gaussian", "patterns", "samples"}
"""The passes in which a model draws numbers, as for dropout."""


def portable(name: str, proxy: str) -> bool:
    """False if the value depends on random draws, which differ between builds of PyTorch."""
    passes = set(explain(proxy).plan.passes)
    return not MODELS[name].random or not passes & IN_TRAINING_MODE


def scores_now() -> dict[str, dict[str, float | None]]:
    """Every proxy on every tiny model in float64; null if it is undefined."""
    found: dict[str, dict[str, float | None]] = {}
    for name in MODELS:
        scores = score(*make(name, torch.float64), list(PROXIES))
        found[name] = {
            proxy: None if one.why else one.value
            for proxy, one in scores.items()
            if portable(name, proxy)
        }
    return found


def test_scores_are_those_of_the_golden_file(request: pytest.FixtureRequest) -> None:
    now = scores_now()
    if request.config.getoption("--rewrite-golden"):
        OURS.write_text(json.dumps(now, indent=1) + "\n")
        pytest.skip(f"wrote {OURS.name}; review the difference before you commit it")
    kept = json.loads(OURS.read_text())
    assert {n: list(row) for n, row in now.items()} == {n: list(row) for n, row in kept.items()}
    for name, row in kept.items():
        for proxy, value in row.items():
            here = now[name][proxy]
            if value is None:
                assert here is None, (name, proxy)
            else:
                assert here == pytest.approx(value, rel=1e-9, abs=0), (name, proxy)
