"""What runs on a Ray worker, and how a task gets there: data is sent to a worker once."""

import io
import os
import pickle
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foretell.data import Splits
from foretell.executors.own_memory import keep_memory
from foretell.names import extra

__all__ = ["Seen", "Shipper", "Worker", "versions"]

Seen = tuple[str, dict[str, str]]
"""A worker's node, and the versions that are installed there."""


def versions() -> dict[str, str]:
    """What a score may depend on, by package."""
    import torch

    from foretell.version import __version__

    return {"foretell": __version__, "torch": torch.__version__.partition("+")[0]}


class Shipper:
    """Pickles tasks; data that they hold goes into Ray's object store, once for all of them."""

    def __init__(self) -> None:
        self._put: dict[int, tuple[Splits, Any]] = {}  # holding the data keeps its id its own
        self._lock = threading.Lock()

    def pickled(self, task: Callable[[], Any]) -> tuple[bytes, dict[int, Any]]:
        """The task, and a reference into the object store for each `Splits` that it holds."""
        ray = extra("ray", "ray")
        refs: dict[int, Any] = {}

        class Pickler(ray.cloudpickle.Pickler):  # type: ignore[misc, name-defined]
            def persistent_id(pickler, value: object) -> int | None:  # noqa: N805
                if not isinstance(value, Splits):
                    return None
                with self._lock:
                    if id(value) not in self._put:
                        self._put[id(value)] = (value, ray.put(value))
                refs[id(value)] = self._put[id(value)][1]
                return id(value)

        file = io.BytesIO()
        Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(task)
        return file.getvalue(), refs


class Worker:
    """A Ray actor: does one task after another, and keeps what data they share."""

    def __init__(self, folder: str) -> None:
        """Relative paths begin at `folder`, if this machine has it and Ray set no other."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the run
        keep_memory()
        ray = extra("ray", "ray")
        self._context = ray.get_runtime_context()
        self._data: dict[int, Any] = {}
        if not self._context.runtime_env.get("working_dir") and Path(folder).is_dir():
            os.chdir(folder)

    def seen(self) -> Seen:
        """Where this is."""
        return self._context.get_node_id(), versions()

    def run(self, pickled: bytes, refs: Mapping[int, Any]) -> tuple[bool, Any]:
        """True and what the task gives, or False and what it raised."""
        try:
            return True, Unpickler(pickled, refs, self._data).load()()
        except Exception as error:
            return False, error


class Unpickler(pickle.Unpickler):
    """Takes data from the object store where this worker does not have it yet."""

    def __init__(self, pickled: bytes, refs: Mapping[int, Any], data: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._refs, self._data = refs, data

    def persistent_load(self, number: Any) -> Any:
        """The data of that number."""
        if number not in self._data:
            self._data[number] = extra("ray", "ray").get(self._refs[number])
        return self._data[number]
