"""Data sets of the `datasets` library: from a folder, or downloaded with the user's consent."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foretell.data.lazy import Found, assemble, check_labels
from foretell.data.pictures import PARTS, common_shape, from_pictures
from foretell.data.splits import Splits
from foretell.data.text import LENGTH, SEQUENCES, labelled_texts, sequences_of, text_splits
from foretell.data.tokens import make_tokenizer
from foretell.errors import ForetellError, unknown_name
from foretell.names import extra

__all__ = ["hf_dataset"]


def hf_dataset(
    name: str,
    *,
    config: str | None = None,
    image: str | None = None,
    text: str | None = None,
    label: str | None = None,
    size: int | None = None,
    length: int = LENGTH,
    tokenizer: str = "bytes",
    sequences: int = SEQUENCES,
    held_out: float = 0.1,
    download: bool = False,
) -> Splits:
    """A data set of the `datasets` library: a folder that contains one, or a name to download.

    The samples are labelled images, labelled texts, or unlabelled texts for language models.
    `image=`, `text=` and `label=` name the columns if they cannot be inferred.
    """
    parts = named_parts(read(name, config, download), name)
    train = parts["train"]
    image = column(train, image, "Image") if text is None else None
    label = column(train, label, "ClassLabel", "label", "labels")
    short = f"hf-dataset:{Path(name).name}"
    if image is not None:
        if label is None:
            raise ForetellError(
                f"{name} has no label column; name one of {columns(train)} with label="
            )
        return images(short, parts, image, label, size, held_out)
    text = column(train, text, "", "text", "sentence", "content")
    if text is None:
        raise ForetellError(
            f"{name} has neither an image nor a text column; name one of {columns(train)} "
            "with image= or text="
        )
    tokens, texts = make_tokenizer(tokenizer, download), {p: one[text] for p, one in parts.items()}
    if label is None:
        found = {
            part: sequences_of(lines, tokens, length, sequences, f"{name} {part}")
            for part, lines in texts.items()
        }
        return text_splits(short, found, tokens, held_out)
    labels, classes = all_labels(parts, label, name)
    found = {p: labelled_texts(one, labels[p], tokens, length) for p, one in texts.items()}
    return text_splits(short, found, tokens, held_out, classes)


def read(name: str, config: str | None, download: bool) -> Any:
    """The data set, loaded by the library.

    Raises ForetellError if it does not exist and may not be downloaded.
    """
    library = extra("datasets", "hf")
    folder = Path(name)
    saved = [folder / "dataset_dict.json", folder / "state.json"]
    if not os.path.exists(folder) and not download:
        raise ForetellError(
            f"there is no folder {name!r}; give an existing folder, or allow the download with "
            "download=true"
        )
    try:
        if any(file.exists() for file in saved):
            return library.load_from_disk(name)
        return library.load_dataset(name, config)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise ForetellError(
            f"hf-dataset:{name} cannot be loaded ({reason}); check its name and config="
        ) from error


def named_parts(loaded: Any, name: str) -> dict[str, Any]:
    """The splits by foretell's names for them; a data set without splits is the training split."""
    if not isinstance(loaded, dict):
        return {"train": loaded}
    parts = {
        part: loaded[spelling]
        for part, spellings in PARTS.items()
        for spelling in spellings
        if spelling in loaded
    }
    if "train" not in parts:
        raise ForetellError(f"{name} has no split called train; its splits are {', '.join(loaded)}")
    return parts


def column(part: Any, given: str | None, feature: str, *usual: str) -> str | None:
    """The given column, or the first one with this kind of feature or a usual name, or None.

    Raises ForetellError if the given name is not a column.
    """
    if given is not None:
        if given not in part.column_names:
            raise unknown_name("column", given, part.column_names)
        return given
    kinds = {name: type(kind).__name__ for name, kind in part.features.items()}
    found = [name for name, kind in kinds.items() if kind == feature]
    found += [name for name in usual if name in kinds]
    return found[0] if found else None


def columns(part: Any) -> str:
    """The names of the columns."""
    return ", ".join(part.column_names)


def labels_of(part: Any, label: str) -> Tensor:
    """The labels of a column, int64 [N]. Raises ForetellError if they are not integers."""
    values = part[label][:]
    if not all(isinstance(value, int) for value in values):
        raise ForetellError(
            f"column {label!r} contains labels such as {values[0]!r}; expected integers"
        )
    return torch.tensor(values, dtype=torch.int64)


def all_labels(parts: dict[str, Any], label: str, name: str) -> tuple[dict[str, Tensor], int]:
    """The labels of each part, and the number of classes."""
    labels = {part: labels_of(one, label) for part, one in parts.items()}
    return labels, check_labels(torch.cat([*labels.values()]), None, name)


def images(
    name: str, parts: dict[str, Any], image: str, label: str, size: int | None, held_out: float
) -> Splits:
    """Splits of images that are decoded when they are accessed."""
    shape, note = common_shape(
        partial(picture, parts["train"], image), len(parts["train"]), size, None, name
    )
    labels, classes = all_labels(parts, label, name)
    found: Found = {}
    for part, one in parts.items():
        source = partial(str, f"{name} {part} {one._fingerprint}")
        made = from_pictures(partial(picture, one, image), len(one), shape, source)
        found[part] = made, labels[part]
    return assemble(name, found, classes, held_out, note)


def picture(part: Any, image: str, row: int) -> Any:
    """The image of a row."""
    return part[row][image]
