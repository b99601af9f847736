"""Files with known columns: the roles of the columns, the source and the licence.

To add one, add an entry to `RECIPES`. If a file must be reshaped first, its function is in
reshape.py. The licence is "not stated" if the source gives none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from foretell.errors import ForetellError
from foretell.tables import reshape
from foretell.tables.mapping import Columns, Labels, read_frame, tabulate
from foretell.tables.table import Table
from foretell.tables.tnb101 import METRICS
from foretell.tables.tnb101 import SOURCE as TNB101_SOURCE

__all__ = ["RECIPES", "Recipe", "import_recipe"]

NB101_EPOCHS = (4, 12, 36, 108)
NB201_SEEDS = tuple(f"cifar10_test_200_seed_{seed}" for seed in "abc")
NB201_SOURCE = "Dong & Yang 2020, arXiv:2001.00326; Dong et al. 2021, arXiv:2009.00437"
PYTORCHCV_SOURCE = "pytorchcv (imgclsmob), published errors of its weights"


@dataclass(frozen=True)
class Recipe:
    """The conversion of a known file to a table."""

    summary: str
    labels: Labels
    columns: Columns
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = pd.DataFrame
    """Reshapes the rows of the file, if needed."""


def import_recipe(recipe: Recipe, path: Path) -> Table:
    """The file converted by the recipe. Raises ForetellError for other columns."""
    frame = read_frame(path, recipe.columns.key)
    try:
        prepared = recipe.prepare(frame)
    except KeyError as error:
        raise ForetellError(
            f"{path} has no column {error}, which {recipe.labels.name} requires; "
            "`foretell data import table` accepts any columns"
        ) from error
    return tabulate(prepared, recipe.columns, recipe.labels)


def _pytorchcv(dataset: str, short: str) -> Recipe:
    return Recipe(
        f"pytorchcv's published top-1 errors on {dataset}",
        Labels(f"pytorchcv-{short}", "models", PYTORCHCV_SOURCE, "MIT"),
        Columns(key="arch", report=("top1_err",), cost=("params", "mmacs"), lower=("top1_err",)),
        partial(reshape.pytorchcv, dataset=dataset),
    )


RECIPES: dict[str, Recipe] = {
    # Left out: cifar10_val_200_1seed, cifar100_xvalid_200_1seed and imagenet16_xvalid_200_1seed.
    # In the official archive, these values are *test* accuracies (of seed 888), despite their
    # names; docs/tables.md gives the evidence.
    "nb201": Recipe(
        "NAS-Bench-201's accuracies on three data sets, all 15,625 cells",
        Labels("nb201", "nb201", NB201_SOURCE, "not stated"),
        Columns(
            key="arch_str",
            choose=(
                "cifar10valid_xvalid_200",
                "cifar10valid_xvalid_12",
                "cifar100_xvalid_12",
                "imagenet16_xvalid_12",
            ),
            report=(
                "cifar10_test_200",
                "cifar100_test_200",
                "imagenet16_test_200",
                "cifar10valid_test_200",
                "cifar10_test_12",
                "cifar100_test_12",
                "imagenet16_test_12",
                "cifar10_test_200_nb201v11",
            ),
            cost=("params_m_cifar10",),
            # The single seeds are those of release 1.1 and average to its values in every row; the
            # later release agrees in 85 % of the rows, since some networks were trained again.
            repeats={
                "cifar10_test_200": NB201_SEEDS,
                "cifar10_test_200_nb201v11": NB201_SEEDS,
            },
            keep=("index", "iso_class"),
        ),
        reshape.nb201,
    ),
    "nb201-hw": Recipe(
        "HW-NAS-Bench's latency (ms) and energy (mJ) of NAS-Bench-201's cells on six devices",
        Labels("nb201-hw", "nb201", "Li et al. 2021, arXiv:2103.10584", "MIT"),
        Columns(
            key="index",
            cost=tuple(
                f"{dataset}_{device}"
                for dataset in reshape.HW_DATASETS
                for device in reshape.HW_COLUMNS
            ),
        ),
        reshape.hw_nas_bench,
    ),
    "nb201-latency": Recipe(
        "HELP's latency (ms) of NAS-Bench-201's cells on 27 devices",
        Labels("nb201-latency", "nb201", "Lee et al. 2021, arXiv:2106.08630", "not stated"),
        Columns(key="index", cost=reshape.HELP_COLUMNS),
        reshape.whole_index,
    ),
    "nb101": Recipe(
        "a sample of NAS-Bench-101's cells: validation accuracy of one run on CIFAR-10",
        Labels("nb101", "nb101", "Ying et al. 2019, arXiv:1902.09635", "not stated"),
        Columns(
            key="arch",
            choose=tuple(f"valid_{epochs}" for epochs in NB101_EPOCHS),
            cost=("train_time_s", "params"),
            keep=("hash",),
            scale=100,
        ),
        reshape.nb101,
    ),
    "macro": Recipe(
        "NAS-Bench-Macro's test accuracies on CIFAR-10, all 6,561 networks",
        Labels("macro", "macro", "Su et al. 2021, arXiv:2103.11922", "Apache-2.0"),
        Columns(
            key="arch",
            report=("mean_acc",),
            cost=("params", "flops"),
            repeats={"mean_acc": ("test_acc_a", "test_acc_b", "test_acc_c")},
        ),
    ),
    "nb301": Recipe(
        "725 networks of the DARTS space: what NAS-Bench-301's surrogate model predicts",
        Labels("nb301", "darts", "Siems et al. 2020, arXiv:2008.09777", "Apache-2.0"),
        Columns(key="arch", choose=("surrogate_val_accuracy",), cost=("params", "flops")),
        reshape.nb301,
    ),
    "tnb101_micro": Recipe(
        "NASLib's copy of TransNAS-Bench-101: one metric of seven tasks, all 4,096 cells",
        Labels("tnb101_micro", "tnb101_micro", TNB101_SOURCE, "Apache-2.0"),
        Columns(key="arch", report=tuple(METRICS), lower=("room_layout",)),
        reshape.tnb101_micro,
    ),
    "pytorchcv-cifar10": _pytorchcv("CIFAR-10", "cifar10"),
    "pytorchcv-cifar100": _pytorchcv("CIFAR-100", "cifar100"),
    "pytorchcv-svhn": _pytorchcv("SVHN", "svhn"),
    "pytorchcv-cub": _pytorchcv("CUB-200-2011", "cub"),
    "pytorchcv-imagenet": _pytorchcv("ImageNet-1K", "imagenet"),
    "torchvision": Recipe(
        "torchvision's ImageNet accuracies of its first weights (IMAGENET1K_V1)",
        Labels("torchvision", "models", "torchvision, published with its weights", "BSD-3-Clause"),
        Columns(key="arch", report=("acc1", "acc5"), cost=("params", "gflops")),
        reshape.torchvision,
    ),
    "timm": Recipe(
        "timm's results on ImageNet and five variants of it, at each network's smallest size",
        Labels("timm", "models", "timm (pytorch-image-models), its results tables", "Apache-2.0"),
        Columns(
            key="arch",
            report=tuple(f"top1_{name}" for name in reshape.TIMM_SETS),
            cost=("param_count",),
            keep=("img_size",),
        ),
        reshape.timm,
    ),
}
