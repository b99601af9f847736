"""Train the network that a search chose in full."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from foretell.checks import as_instance, as_path, as_seed
from foretell.engine.caller import own_settings
from foretell.engine.device import device_for
from foretell.errors import ForetellError, RunStateError
from foretell.progress import Progress, ProgressCallback, as_progress
from foretell.runs.code import code_about
from foretell.runs.config import locked, read_config
from foretell.runs.kept import UNFINISHED
from foretell.runs.rowlog import canonical
from foretell.runs.space import space_of
from foretell.runs.tasks import Data, fit_of, loaded, weights_of
from foretell.searching.chosen import RETRAINED, read_chosen, save_network
from foretell.spaces import Space
from foretell.training.settings import TrainSettings
from foretell.training.train import Epoch, Trained, check_trainable, train

__all__ = ["Retrained", "retrain"]


@dataclass(frozen=True, eq=False)
class Retrained:
    """The result of a retraining."""

    model: nn.Module
    """The trained network."""
    trained: Trained
    """The accuracies of the network and the results of each epoch."""
    weights: Path
    """The file with its weights: a state_dict, as `torch.save` writes it."""


@own_settings()
def retrain(
    run: str | os.PathLike[str],
    training: TrainSettings,
    data: Data | None = None,
    *,
    space: str | Sequence[str] | Space | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: ProgressCallback | bool | None = None,
) -> Retrained:
    """Train the network that a search chose from untrained weights, and save it in the run folder.

    Returns the trained network, its accuracies and the file of its weights. `data` must have the
    same samples as the data of the search; if it is not given, the data of the search is loaded by
    its name, without settings. A space of your own must be given again, as an object or as
    `FILE.py:NAME`. If the training is interrupted, the same call continues it from the last
    finished epoch. `progress` is called with a `Progress` after each epoch.

    Raises RunStateError if the search has not finished, if another process writes to the run
    folder, or if the data differs; ForetellError if the space differs or the training fails.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from foretell import Choices, search
    >>> def mlp(width):
    ...     layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
    ...     return nn.Sequential(nn.Flatten(), *layers)
    >>> space = Choices(mlp, {"width": [4, 8, 16]})
    >>> few = {"by": "params", "proxies": ["params"], "pool": 3, "trainings": 1}
    >>> with TemporaryDirectory() as folder:
    ...     run, training = f"{folder}/run", TrainSettings(epochs=1)
    ...     found = search(space, "digits", run=run, training=training, **few)
    ...     again = retrain(run, TrainSettings(epochs=2), space=space)
    >>> again.trained.epochs, again.weights.name
    (2, 'retrained.pt')
    """
    folder, seed, device = as_path("run", run), as_seed("seed", seed), device_for(device)
    as_instance("training", training, TrainSettings)
    progress = as_progress(progress)
    config, about = read_config(folder, "search"), read_chosen(folder)
    splits = loaded(data if data is not None else config["data"]["name"])
    if splits.fingerprint != config["data"]["fingerprint"]:
        raise RunStateError(
            f"{splits.name} is not the data of this run, {config['data']['name']} with fingerprint "
            f"{config['data']['fingerprint']}; give the same --data",
            folder,
            "other settings",
        )
    built = space_of(about, space)
    arch = built.parse(about["arch"])
    model, fit = built.build(arch, seed), fit_of(built, arch)
    check_trainable(model, splits, training, seed, device, fit)
    checkpoint = folder / f"{RETRAINED}{UNFINISHED}"
    start, epochs = time.perf_counter(), training.stop_after or training.epochs

    def finished(epoch: Epoch) -> None:
        name = f"epoch {epoch.number}: {epoch.val_accuracy:.2f} % on validation samples"
        if progress is not None:
            seconds = time.perf_counter() - start
            progress(Progress("retrain", epoch.number, epochs, seconds, name))

    with locked(folder):
        kept = (checkpoint, True, identity_of(about, built))
        trained = train(model, splits, training, seed, device, finished, *kept, fit)
        if trained.why is not None:
            raise ForetellError(f"the training failed: {trained.why}; try a smaller learning rate")
        keep(model, trained, training, about | code_about(built), seed, folder)
        checkpoint.unlink(missing_ok=True)
    return Retrained(model, trained, folder / f"{RETRAINED}.pt")


def identity_of(about: Mapping[str, Any], space: Space) -> str:
    """A text that identifies the chosen network."""
    names = ("space", "settings", "arch")
    return canonical({name: about[name] for name in names} | code_about(space))


def keep(
    model: nn.Module,
    trained: Trained,
    training: TrainSettings,
    about: dict[str, Any],
    seed: int,
    folder: Path,
) -> None:
    """Write the weights of the network and its description."""
    names = ("space", "settings", "arch", "code")
    said = {name: about[name] for name in names if name in about}
    said |= {"seed": seed, "training": training.key(), **asdict(trained)}
    save_network(folder, RETRAINED, weights_of(model), said)
