"""Executors of tasks: this process, several processes, or a Ray cluster."""

from typing import TYPE_CHECKING

from foretell.names import lazily

if TYPE_CHECKING:
    from foretell.executors.own_memory import freeze_objects, keep_memory
    from foretell.executors.processes import Processes
    from foretell.executors.ray import RayExecutor

__all__ = ["Processes", "RayExecutor", "freeze_objects", "keep_memory"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "Processes": "processes",
            "RayExecutor": "ray",
            "freeze_objects": "own_memory",
            "keep_memory": "own_memory",
        },
    )
