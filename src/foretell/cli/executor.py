"""`--executor`: where the tasks of a run are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from foretell.cli.device import pick_device
from foretell.errors import ForetellError
from foretell.executors.own_memory import freeze_objects
from foretell.executors.ray import RayExecutor

__all__ = ["Where", "chosen_executor"]


@dataclass(frozen=True)
class Where:
    """What computes, and on which device; without an executor, processes of this machine do."""

    executor: RayExecutor | None
    device: str

    def options(self) -> dict[str, Any]:
        """As `search` and `run_study` take them."""
        return {"executor": self.executor, "device": self.device}


@contextmanager
def chosen_executor(text: str, device: str) -> Iterator[Where]:
    """What `--executor` and `--device` say; `auto` is the GPU where the machine or cluster has one.

    Raises ForetellError for another text, or a cluster that does not answer.
    """
    if text == "processes":
        freeze_objects()  # a single worker is this process
        yield Where(None, str(pick_device(device)))
        return
    with RayExecutor(address_of(text), gpus_of(device)) as executor:
        yield Where(executor, "cuda" if executor.gpus_per_task else "cpu")


def address_of(text: str) -> str | None:
    """
    >>> address_of("ray"), address_of("ray:auto"), address_of("ray://host:10001")
    (None, 'auto', 'ray://host:10001')
    """
    kind, _, address = text.partition(":")
    if kind != "ray":
        raise ForetellError(f"--executor is {text!r}; give processes, ray or ray:ADDRESS")
    return text if address.startswith("//") else address or None


def gpus_of(device: str) -> float | None:
    """How many GPUs each worker has: None is one, if there are any."""
    known: dict[str, float | None] = {"auto": None, "cpu": 0, "cuda": 1}
    if device not in known:
        raise ForetellError(
            f"--device is {device!r}; a worker of Ray has one GPU, which it calls cuda: "
            "give cuda, cpu or auto"
        )
    return known[device]
