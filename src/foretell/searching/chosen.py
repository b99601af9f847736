"""The chosen network of a search: saved, read back, loaded."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretell.errors import ForetellError, RunStateError
from foretell.files import write_atomically
from foretell.runs.evaluate import Evaluator
from foretell.spaces import SPACES, Arch, Space, make_space, own_space
from foretell.version import __version__

__all__ = ["load_chosen"]


def save_chosen(arch: Arch, evaluator: Evaluator) -> None:
    """Write chosen.pt, a state_dict, and chosen.json, what rebuilds the network it fits."""
    folder = evaluator.store.folder
    training = evaluator.training(arch)
    about = evaluator.network(arch).key() | {
        "weights": "chosen.pt",
        "val_accuracy": training.val_accuracy,
        "test_accuracy": training.test_accuracy,
        "foretell": __version__,
    }
    weights = evaluator.weights_file(arch)
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise RunStateError(
            f"cannot read {weights}, which this run has trained: {error.strerror}; "
            "restore it or give another --run folder",
            folder,
            "damaged",
        ) from error
    write_atomically(folder / "chosen.pt", content)
    write_atomically(folder / "chosen.json", f"{json.dumps(about, indent=2)}\n".encode())


def load_chosen(run: str | os.PathLike[str], space: str | Space | None = None) -> nn.Module:
    """The trained network that a search chose, in evaluation mode, on the CPU.

    A space of your own is given again, as an object or `FILE.py:NAME`: nothing in the run folder
    is executed. Raises RunStateError if the search has not finished.
    """
    folder = Path(run)
    about = read_chosen(folder)
    built = space_of(about, space)
    model = built.build(built.parse(about["arch"]), about["seed"])
    path = folder / about["weights"]
    try:
        model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    except Exception as error:  # torch raises what it likes
        raise RunStateError(f"{path} is damaged; {REDO}", folder, "damaged") from error
    return model.eval()


REDO = "delete it and run the same command again"


CHOSEN = {"space": str, "settings": dict, "arch": str, "seed": int, "weights": str}
"""What chosen.json says at least of what rebuilds a network."""


def read_chosen(folder: Path) -> dict[str, Any]:
    """What chosen.json says. Raises RunStateError if the search has not finished."""
    try:
        about: dict[str, Any] = json.loads((folder / "chosen.json").read_bytes())
        kinds = {name: type(about[name]) for name in CHOSEN}
    except FileNotFoundError:
        raise RunStateError(
            f"{folder} holds no chosen network yet; let `foretell search --run {folder}` finish",
            folder,
            "unfinished",
        ) from None
    except (ValueError, KeyError, TypeError):
        kinds = {}
    if kinds != CHOSEN:
        raise RunStateError(f"{folder / 'chosen.json'} is damaged; {REDO}", folder, "damaged")
    return about


def space_of(about: dict[str, Any], given: str | Space | None) -> Space:
    """The space of a chosen network: a registered one, or the one that is given again."""
    if given is not None:
        space = own_space(given) if isinstance(given, str) else given
        if space.settings() != about["settings"]:
            raise ForetellError(
                f"space {space.name} has other choices than {about['space']} of the run; "
                "give the space of the run"
            )
        return space
    if about["space"] not in SPACES:
        raise ForetellError(
            f"the space of this run is your own, {about['space']}; "
            "give it again (--space FILE.py:NAME)"
        )
    return make_space(about["space"], about["settings"])
