"""Top-1 accuracies that the zoos publish for their trained weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from foretell.errors import ForetellError, did_you_mean
from foretell.names import extra, parse_spec

__all__ = ["published_accuracy"]

_WEIGHTS = "IMAGENET1K_V1"
_FORMS = "the forms are torchvision, timm:FILE and pytorchcv:FILE?dataset=NAME"
_READERS: dict[str, Callable[..., pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
}


def published_accuracy(source: str) -> pd.Series:
    """Top-1 accuracy in percent by the text that `load_model` reads; higher is better.

    - "torchvision": on ImageNet, as torchvision itself states it for the weights IMAGENET1K_V1.
      The later ones (V2, SWAG) come from longer training and more data, which would be mistaken
      for better architectures; the two models that have no others, regnet_y_128gf and vit_h_14,
      are left out.
    - "timm:FILE": on ImageNet, from the results of timm that you have downloaded, CSV or Parquet
      with the columns model, img_size and top1; with a column eval, its rows "imagenet". Names
      keep what is behind the dot, since it tells apart differently trained weights of one
      architecture. Of several image sizes the smallest counts: the one a model is built for.
    - "pytorchcv:FILE": 100 - error, from a table with the columns weights, dataset and top1_err.
      It may hold several data sets, and accuracies on two of them cannot be compared:
      "pytorchcv:FILE?dataset=CIFAR-10" says which, and is needed where there are several.

    Raises ForetellError for another source, a file that is not there, or one without the columns.

    >>> published_accuracy("torchvision")["torchvision:resnet18"].item()
    69.758
    """
    zoo, _, rest = source.partition(":")
    file, settings = parse_spec(rest)
    dataset = settings.pop("dataset", None) if zoo == "pytorchcv" else None
    if settings:
        raise ForetellError(f"{source!r} has the setting {min(settings)!r}, unknown here; {_FORMS}")
    if zoo == "torchvision" and not rest:
        found = _torchvision()
    elif zoo == "timm" and file:
        found = _timm(Path(file))
    elif zoo == "pytorchcv" and file:
        found = _pytorchcv(Path(file), dataset)
    else:
        raise ForetellError(f"{source!r} names no published accuracies; {_FORMS}")
    named = {f"{zoo}:{name}": accuracy for name, accuracy in sorted(found.items())}
    return pd.Series(named, name="accuracy", dtype=float).rename_axis("arch")


def _torchvision() -> dict[str, float]:
    zoo = extra("torchvision.models", "torchvision")
    return {
        name: weights[_WEIGHTS].meta["_metrics"]["ImageNet-1K"]["acc@1"]
        for name in zoo.list_models(module=zoo)
        if _WEIGHTS in (weights := zoo.get_model_weights(name)).__members__
    }


def _timm(file: Path) -> dict[str, float]:
    rows = _read(file, ["model", "img_size", "top1"])
    if "eval" in rows:
        rows = rows[rows["eval"] == "imagenet"]
    rows = rows.sort_values("img_size", kind="stable").drop_duplicates("model")
    return dict(zip(rows["model"], rows["top1"], strict=True))


def _pytorchcv(file: Path, dataset: str | None) -> dict[str, float]:
    rows = _read(file, ["weights", "dataset", "top1_err"])
    held = list(map(str, rows["dataset"].unique()))
    if dataset is None and len(held) > 1:
        raise ForetellError(
            f"{file} holds the data sets {', '.join(held)}; choose one, such as "
            f"pytorchcv:{file}?dataset={held[0]}"
        )
    if dataset is not None and dataset not in held:
        raise ForetellError(f"{file} has no data set {dataset!r}; {did_you_mean(dataset, held)}")
    rows = rows[rows["dataset"] == (dataset or held[0])] if held else rows
    return dict(zip(rows["weights"], (100 - rows["top1_err"]).round(6), strict=True))


def _read(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    if file.suffix not in _READERS:
        raise ForetellError(f"{str(file)!r} is not a table; give a .csv or .parquet file")
    if not file.is_file():
        raise ForetellError(f"there is no file {str(file)!r}; download it and give its path")
    try:
        table = _READERS[file.suffix](file)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ForetellError(f"{file} cannot be read ({reason}); download it again") from error
    if missing := [column for column in columns if column not in table]:
        raise ForetellError(
            f"{file} has no column {missing[0]!r} but {', '.join(map(str, table.columns))}; "
            f"the columns {', '.join(columns)} are needed"
        )
    return table
