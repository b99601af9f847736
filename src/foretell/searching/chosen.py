"""Save and load the network that a search chose."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from foretell.checks import as_flag, as_path
from foretell.errors import RunStateError
from foretell.runs.code import code_about
from foretell.runs.evaluate import Evaluator
from foretell.runs.kept import damaged, keep_pair, kept
from foretell.runs.rows import finite_or_null
from foretell.runs.space import is_other_code, space_of
from foretell.runs.tasks import fill
from foretell.spaces import Arch, Space
from foretell.version import __version__

__all__ = ["load_chosen"]


CHOSEN, RETRAINED = "chosen", "retrained"
"""The names of the files without suffix: `.pt` contains the weights, `.json` the description."""
ABOUT = {"space": str, "settings": dict, "arch": str, "seed": int, "weights": str}
"""The fields that every description has, and their types."""


def save_chosen(arch: Arch, evaluator: Evaluator) -> None:
    """Write chosen.pt, a state_dict, and chosen.json, the description of the network.

    If the weights are missing or damaged, the network is trained again.
    """
    content, trained = evaluator.weights(arch)
    own = evaluator.network(arch).key() | code_about(evaluator.work.space)
    about = own | {
        "val_accuracy": trained.val_accuracy,
        "test_accuracy": trained.test_accuracy,
    }
    save_network(evaluator.store.folder, CHOSEN, content, about)


def save_network(folder: Path, name: str, weights: bytes, about: Mapping[str, Any]) -> None:
    """Write the weights of a network and its description."""
    said = finite_or_null({**about, "weights": f"{name}.pt", "foretell": __version__})
    text = f"{json.dumps(said, indent=2)}\n"
    keep_pair(folder, (f"{name}.pt", weights), (f"{name}.json", text.encode()))


def load_chosen(
    run: str | os.PathLike[str],
    space: str | Sequence[str] | Space | None = None,
    *,
    retrained: bool = False,
) -> nn.Module:
    """Load the trained network that a search chose, in evaluation mode, on the CPU.

    With `retrained`, its weights are those that `foretell.retrain` saved. Nothing in the run folder
    is executed, so a space of your own must be given again, as an object or as `FILE.py:NAME`, and
    so must a list of models if the chosen one is built by your own code. A model from a list
    expects images in its own size, which `foretell.fit_batch` provides.

    Raises RunStateError if the search or the retraining has not finished, or if a file is damaged;
    ForetellError if `space` is missing or is not the space of the run.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from foretell import Choices, TrainSettings, search
    >>> def mlp(width):
    ...     layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
    ...     return nn.Sequential(nn.Flatten(), *layers)
    >>> space = Choices(mlp, {"width": [4, 8, 16]})
    >>> few = {"by": "params", "proxies": ["params"], "pool": 3, "trainings": 1}
    >>> with TemporaryDirectory() as folder:
    ...     run, training = f"{folder}/run", TrainSettings(epochs=1)
    ...     found = search(space, "digits", run=run, training=training, **few)
    ...     network = load_chosen(run, space)
    >>> network[1].out_features, network.training
    (16, False)
    """
    folder, name = as_path("run", run), RETRAINED if as_flag("retrained", retrained) else CHOSEN
    about = read_network(folder, name)
    built = space_of(about, space)
    model = built.build(built.parse(about["arch"]), about["seed"])
    path = folder / f"{name}.pt"
    try:
        content = kept(folder, path.name, again(name))
    except FileNotFoundError:
        raise damaged(path, folder, again(name)) from None
    try:
        fill(model, content)
    except Exception as error:  # PyTorch may raise any exception here
        if is_other_code(about, built):
            raise RunStateError(
                f"{path} does not fit the networks of space {built.name}, whose code has changed; "
                f"give the version of the run, or {again(name)}",
                folder,
                "other settings",
            ) from error
        raise damaged(path, folder, again(name)) from error
    return model.eval()


def again(name: str) -> str:
    """The end of an error message: how to write the files of a network again."""
    return f"run the {'retraining' if name == RETRAINED else 'search'} again"


def read_chosen(folder: Path) -> dict[str, Any]:
    """The content of chosen.json; raises RunStateError if the search has not finished."""
    return read_network(folder, CHOSEN)


def read_network(folder: Path, name: str) -> dict[str, Any]:
    """The description of a network; raises RunStateError if it does not exist yet or is damaged."""
    path = folder / f"{name}.json"
    try:
        about: dict[str, Any] = json.loads(kept(folder, path.name, again(name)))
        kinds = {field: type(about[field]) for field in ABOUT}
    except FileNotFoundError:
        command = "retrain" if name == RETRAINED else "search --run"
        raise RunStateError(
            f"{folder} contains no {name} network yet; resume it with "
            f"`foretell {command} {folder}`",
            folder,
            "unfinished",
        ) from None
    except RunStateError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        kinds = {}
    if kinds != ABOUT or about["weights"] != f"{name}.pt":
        raise damaged(path, folder, again(name))
    return about
