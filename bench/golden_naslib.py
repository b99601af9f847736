"""Compute scores of a few networks by NASLib and by ZiCo's authors, for tests/golden/naslib.json.

    python bench/golden_naslib.py --naslib DIR --zico DIR

The folders are checkouts of github.com/automl/NASLib and github.com/SLDGroup/ZiCo. The networks are
rebuilt by tests/support/golden_naslib.py. All scores are computed in float64, except `zen`, whose
code draws its inputs in float32, with the seed named in the row.
"""

import argparse
import importlib
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.support.golden_naslib import Row, rebuild  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "naslib.json"
MEASURES = ("plain", "l2_norm", "nwot", "epe_nas", "synflow_bn")
FIXED = {"model_seed": 7, "data_seed": 11, "zen_seed": 5, "batch": 12}
ROWS: list[Row] = [
    {"model": "torchvision:resnet18", "num_classes": 10, "labels": 5, "size": 48},
    {"model": "torchvision:shufflenet_v2_x0_5", "num_classes": 10, "labels": 5, "size": 48},
    {"model": "small_vgg", "num_classes": 10, "labels": 4, "size": 16},
    {"model": "small_vgg", "num_classes": 120, "labels": 5, "size": 16},
]
LAST_MAPS = {"resnet18": "layer4", "shufflenet_v2_x0_5": "conv5", "": "8"}
"""The module whose output is pooled."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--naslib", type=Path, required=True, help="a checkout of automl/NASLib")
    parser.add_argument("--zico", type=Path, required=True, help="a checkout of SLDGroup/ZiCo")
    given = parser.parse_args()
    torch.set_num_threads(1)
    predictive, zico = load_naslib(given.naslib), load_zico(given.zico)
    rows = [golden_row(FIXED | row, predictive, zico) for row in ROWS]
    note = (
        "Scores by automl/NASLib (plain sum for synflow_bn, zen in float32) and SLDGroup/ZiCo "
        "(zico, of the two halves). To rebuild a network: tests.support.golden_naslib.py."
    )
    content = {"torch": torch.__version__, "note": note, "rows": rows}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{len(rows)} rows in {GOLDEN}")


def load_naslib(checkout: Path) -> Any:
    """The module with their measures; imports that the measures do not need are replaced."""
    for name in ("naslib", "naslib.predictors", "naslib.predictors.utils"):
        package = types.ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    sys.modules["naslib.predictors.utils.models"] = types.ModuleType("models")
    sys.modules["tensorwatch"] = mock.MagicMock()
    return importlib.import_module("naslib.predictors.utils.pruners.predictive")


def load_zico(checkout: Path) -> Any:
    """The module with their score, without their data loaders."""
    for name in ("global_utils", "ModelLoader"):
        sys.modules[name] = types.ModuleType(name)
    sys.path.insert(0, str(checkout / "ZeroShotProxy"))
    return importlib.import_module("compute_zico")


def golden_row(row: Row, predictive: Any, zico: Any) -> Row:
    """The row with the values of both codes."""
    values: dict[str, float] = {}
    for measure in MEASURES:
        model, images, labels = rebuild(row)
        values[measure] = measured(predictive, model, images, labels, measure)
    values["zen"] = zen(predictive, row)
    values["zico"] = zico_of_halves(zico, *rebuild(row))
    print(row["model"], row["num_classes"], values, flush=True)
    return {**row, "values": values}


def measured(
    predictive: Any, model: nn.Module, images: Tensor, labels: Tensor, measure: str
) -> float:
    """One of NASLib's measures."""
    loader, info = [(images, labels)], ("random", 1, 0)
    value = predictive.find_measures(model, loader, info, "cpu", F.cross_entropy, [measure])
    return float(value)


def zen(predictive: Any, row: Row) -> float:
    """Their Zen-score of a network that returns its last feature maps, as their networks do."""
    model, images, labels = rebuild(row, torch.float32)
    last = LAST_MAPS[row["model"].partition(":")[2]]

    def maps(self: nn.Module, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        hook = self.get_submodule(last).register_forward_hook(
            lambda _, __, out: kept.append(out.clone())
        )
        self(x)
        hook.remove()
        return kept[0]

    with mock.patch.object(type(model), "forward_before_global_avg_pool", maps, create=True):
        torch.manual_seed(row["zen_seed"])
        return measured(predictive, model, images, labels, "zen")


def zico_of_halves(zico: Any, model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """ZiCo of the two halves of the batch, on the CPU."""
    middle = len(images) // 2
    halves = [(images[:middle], labels[:middle]), (images[middle:], labels[middle:])]
    stay: Callable[..., Any] = lambda self, *_: self  # noqa: E731
    with mock.patch.object(nn.Module, "cuda", stay), mock.patch.object(Tensor, "cuda", stay):
        return float(zico.getzico(model, halves, F.cross_entropy))


if __name__ == "__main__":
    main()
