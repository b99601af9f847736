"""The code that runs on a Ray worker, and the transfer of tasks; data is sent once per worker."""

import io
import os
import pickle
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foretell.data import Splits
from foretell.executors.own_memory import freeze_objects, keep_memory
from foretell.names import extra

__all__ = ["Seen", "Shipper", "Worker", "versions"]

Seen = tuple[str, dict[str, str]]
"""The node of a worker, and the versions installed there."""


def versions() -> dict[str, str]:
    """The versions of the packages that a score may depend on."""
    import torch

    from foretell.version import __version__

    return {"foretell": __version__, "torch": torch.__version__.partition("+")[0]}


class Shipper:
    """Pickles tasks; the data in them is put into Ray's object store, once for all tasks."""

    def __init__(self) -> None:
        self._put: dict[int, tuple[Splits, Any]] = {}  # keeps ids from being reused
        self._lock = threading.Lock()

    def pickled(self, task: Callable[[], Any]) -> tuple[bytes, dict[int, Any]]:
        """The pickled task, and an object reference for each `Splits` that it contains."""
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
    """A Ray actor that runs one task after another and caches the data that they share."""

    def __init__(self, folder: str) -> None:
        """Change to `folder`, if it exists on this machine and Ray did not set another one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the driver
        keep_memory()
        freeze_objects()
        ray = extra("ray", "ray")
        self._context = ray.get_runtime_context()
        self._data: dict[int, Any] = {}
        if not self._context.runtime_env.get("working_dir") and Path(folder).is_dir():
            os.chdir(folder)

    def seen(self) -> Seen:
        """The node of this worker and the versions installed there."""
        return self._context.get_node_id(), versions()

    def run(self, pickled: bytes, refs: Mapping[int, Any]) -> tuple[bool, Any]:
        """True and the result of the task, or False and its exception."""
        try:
            return True, Unpickler(pickled, refs, self._data).load()()
        except Exception as error:
            return False, error


class Unpickler(pickle.Unpickler):
    """Unpickles a task; data that this worker does not have yet is read from the object store."""

    def __init__(self, pickled: bytes, refs: Mapping[int, Any], data: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._refs, self._data = refs, data

    def persistent_load(self, number: Any) -> Any:
        """The data with this id."""
        if number not in self._data:
            self._data[number] = extra("ray", "ray").get(self._refs[number])
        return self._data[number]
