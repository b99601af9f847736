"""`--executor`: choose where the tasks of a run are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from foretell.engine.device import pick_device
from foretell.errors import ForetellError
from foretell.executors.own_memory import freeze_objects
from foretell.executors.ray import RayExecutor

__all__ = ["Where", "chosen_executor"]


@dataclass(frozen=True)
class Where:
    """The executor, or None for processes of this machine, and the device of its tasks."""

    executor: RayExecutor | None
    device: str

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `search` and `run_study`."""
        return {"executor": self.executor, "device": self.device}


@contextmanager
def chosen_executor(text: str, device: str) -> Iterator[Where]:
    """The executor and the device of the options; `auto` is a GPU if there is one.

    Raises ForetellError for an invalid option, or if the cluster does not answer.
    """
    if text == "processes":
        freeze_objects()  # a single worker is this process
        yield Where(None, str(pick_device(device)))
        return
    with RayExecutor(address_of(text), gpus_of(device)) as executor:
        yield Where(executor, "cuda" if executor.gpus_per_task else "cpu")


def address_of(text: str) -> str | None:
    """The address of a Ray cluster in the option; None if it has none.

    >>> address_of("ray"), address_of("ray:auto"), address_of("ray://host:10001")
    (None, 'auto', 'ray://host:10001')
    """
    kind, _, address = text.partition(":")
    if kind != "ray":
        raise ForetellError(f"--executor is {text!r}; give processes, ray or ray:ADDRESS")
    return text if address.startswith("//") else address or None


def gpus_of(device: str) -> float | None:
    """The number of GPUs per worker; None means one if the cluster has GPUs."""
    known: dict[str, float | None] = {"auto": None, "cpu": 0, "cuda": 1}
    if device not in known:
        raise ForetellError(
            f"--device is {device!r}, but each Ray worker has a single GPU, called cuda; give "
            "cuda, cpu or auto"
        )
    return known[device]
