"""Reshape files with known columns to one row per architecture.

Each function takes the rows of a file and returns a frame with every column of its recipe. A
missing column raises KeyError, which the importer reports.
"""

import pandas as pd

from foretell.tables.keys import nb101_key

__all__ = [
    "HELP_COLUMNS",
    "HW_COLUMNS",
    "HW_DATASETS",
    "TIMM_SETS",
    "hw_nas_bench",
    "nb101",
    "nb201",
    "nb301",
    "numbered",
    "pytorchcv",
    "timm",
    "tnb101_micro",
    "torchvision",
    "whole_index",
]

HW_DATASETS = ("cifar10", "cifar100", "imagenet16")
HW_COLUMNS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "fpga_latency",
    "fpga_energy",
)
HELP_COLUMNS = (
    *(
        f"{gpu}_{n}_ms"
        for gpu in ("1080ti", "2080ti", "titan_rtx", "titanx", "titanxp")
        for n in (1, 32, 256)
    ),
    "essential_ph_1_ms",
    *(
        f"{device}_ms"
        for device in ("eyeriss", "fpga", "gold_6226", "gold_6240", "pixel2", "pixel3", "raspi4")
    ),
    *(f"{device}_ms" for device in ("samsung_a50", "samsung_s7", "silver_4114", "silver_4210r")),
)
TIMM_SETS = {
    "imagenet": "imagenet",
    "imagenet_real": "imagenet-real",
    "imagenet_v2": "imagenetv2-matched-frequency",
    "imagenet_a": "imagenet-a",
    "imagenet_r": "imagenet-r",
    "imagenet_sketch": "sketch",
}


def nb201(frame: pd.DataFrame) -> pd.DataFrame:
    """Rename the accuracy after training on half of the training set as in the archive's import."""
    return frame.rename(columns={"cifar10_xvalid_12": "cifar10valid_xvalid_12"})


def whole_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The official index as integers, which the space nb201 parses."""
    return frame.assign(index=frame["index"].astype(int))


def hw_nas_bench(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, with one column per data set and device."""
    wide = frame.pivot(index="index", columns="dataset", values=list(HW_COLUMNS))
    wide.columns = wide.columns.map(lambda pair: f"{pair[1]}_{pair[0]}")
    return wide.reset_index()


def nb101(frame: pd.DataFrame) -> pd.DataFrame:
    """The cell as text, and column names as in the other import of NAS-Bench-101."""
    cells = zip(frame["adjacency"], frame["ops"], strict=True)
    names = {f"val_acc_{epochs}": f"valid_{epochs}" for epochs in (4, 12, 36, 108)}
    return frame.rename(columns=names).assign(arch=[nb101_key(a, ops) for a, ops in cells])


def nb301(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the prediction of the surrogate a descriptive name."""
    return frame.rename(columns={"val_accuracy_surrogate": "surrogate_val_accuracy"})


def tnb101_micro(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, with one column per task; losses are positive, as in the official file."""
    wide = frame.pivot(index="arch", columns="task", values="metric")
    return wide.assign(room_layout=-wide["room_layout"]).reset_index()


def pytorchcv(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The networks trained on this data set, named as by the model source."""
    own = frame[frame["dataset"] == dataset]
    return own.assign(arch="pytorchcv:" + own["weights"])


def torchvision(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per network: its first weights, nearly all of which used the same training recipe."""
    first = frame[frame["weights"] == "IMAGENET1K_V1"]
    return first.assign(arch="torchvision:" + first["model"])


def timm(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per set of weights at its smallest image size, one column per data set."""
    smallest = frame.sort_values("img_size", kind="stable").drop_duplicates(["model", "eval"])
    wide = smallest.pivot(index="model", columns="eval", values="top1")
    wide = wide.rename(columns={theirs: f"top1_{ours}" for ours, theirs in TIMM_SETS.items()})
    facts = smallest.drop_duplicates("model").set_index("model")[["img_size", "param_count"]]
    wide = wide.join(facts).reset_index()
    return wide.assign(arch="timm:" + wide["model"])


def numbered(runs: pd.DataFrame, key: str, columns: list[str]) -> pd.DataFrame:
    """One row per key: the mean of its runs, and each run of `columns` as column_1, column_2, ...

    Means are over the runs that have a value.

    >>> runs = pd.DataFrame({"k": ["a", "b", "a"], "x": [1.0, 5.0, 3.0]})
    >>> numbered(runs, "k", ["x"]).to_dict(orient="list")
    {'k': ['a', 'b'], 'x': [2.0, 5.0], 'x_1': [1.0, 5.0], 'x_2': [3.0, nan]}
    """
    means = runs.groupby(key, sort=False).mean()
    run = runs.groupby(key, sort=False).cumcount() + 1
    for column in columns:
        wide = runs.assign(run=run).pivot(index=key, columns="run", values=column)
        means = means.join(wide.rename(columns=lambda i: f"{column}_{i}"))  # noqa: B023
    return means.reset_index()
