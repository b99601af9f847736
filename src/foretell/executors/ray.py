"""A Ray cluster as an executor."""

import os
import socket
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from functools import partial
from types import TracebackType
from typing import Any

from foretell.checks import as_mapping, as_number, as_text, optional
from foretell.errors import ForetellError, complaint_of
from foretell.executors.processes import available_cores
from foretell.executors.ray_crew import Crew, Job, Needs
from foretell.executors.ray_worker import Shipper
from foretell.names import extra

__all__ = ["RayExecutor"]

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The preface of HTTP/2 with empty settings; an HTTP/2 server answers with its settings."""


PATIENCE = 5.0
"""The number of seconds to wait for an answer from an address."""


PORTS = {"": 6379, "ray://": 10001}


class RayExecutor(Executor):
    """One worker per CPU of a Ray cluster, or per GPU, while nodes may join and leave.

    A task whose node is lost runs again on another node. If a worker dies while its node survives,
    the task is retried once, alone on a node; if it dies again, the future fails with `DiedTwice`.
    If a `with` block is left by an exception or Ctrl-C, all tasks are cancelled immediately.
    """

    gpus_per_task: float
    """The GPUs of each worker; its device is `cuda`, or `cpu` if this is 0."""

    def __init__(
        self,
        address: str | None = None,
        gpus_per_task: float | None = 0,
        *,
        cpus_per_task: float = 1,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect to the cluster at `address`.

        The address is `HOST:PORT`, `ray://HOST:PORT`, or `auto` for the cluster of this machine. By
        default, it is that of RAY_ADDRESS, or else a local Ray instance is started that ends with
        the executor. If this process is already connected to Ray, that connection is used and left
        open. `gpus_per_task=None` means 1 if the cluster has GPUs, otherwise 0. `runtime_env` is
        that of `ray.init`.

        Raises ForetellError if Ray is not installed, if no cluster answers, or if no node can run a
        worker.
        """
        address = optional(as_text)("address", address)
        gpus_per_task = optional(as_number)("gpus_per_task", gpus_per_task, 0)
        cpus_per_task = as_number("cpus_per_task", cpus_per_task, 0)
        environment = "a dict, as ray.init takes it"
        runtime_env = optional(as_mapping)("runtime_env", runtime_env, environment)
        ray = extra("ray", "ray")
        ours = connect(address, dict(runtime_env or {}))
        try:
            if gpus_per_task is None:
                gpus_per_task = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
            self.gpus_per_task = gpus_per_task
            needs = Needs(cpus_per_task, gpus_per_task, dict(runtime_env or {}) if not ours else {})
            if needs.slots() < 1:
                raise ForetellError(
                    f"no node of the Ray cluster has {cpus_per_task:g} CPUs and "
                    f"{gpus_per_task:g} GPUs; add such a node, or request less (--device cpu)"
                )
            self._shipper = Shipper()
            self._closed = False
            self._crew = Crew(needs, ray.shutdown if ours else lambda: None)
        except BaseException:
            if ours:
                ray.shutdown()
            raise

    @property
    def at_once(self) -> int:
        """The number of tasks to submit at a time: one to run and one to follow per worker."""
        return max(1, 2 * self._crew.slots)

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A future; it fails with `DiedTwice` if the worker of the task dies twice.

        It fails with ForetellError if no worker can be started.
        """
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        pickled, refs = self._shipper.pickled(partial(fn, *args, **kwargs))
        future: Future[Any] = Future()
        self._crew.add(Job(pickled, refs, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers when their tasks are finished."""
        self._closed = True
        self._crew.close(cancel=cancel_futures)
        if wait:
            self._crew.join()

    def kill(self) -> None:
        """Cancel all tasks and end the workers immediately."""
        self._closed = True
        self._crew.abandon()
        self._crew.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if kind is None:
            self.shutdown()
        else:
            self.kill()
        return None


def connect(address: str | None, runtime_env: dict[str, Any]) -> bool:
    """Connect to Ray; returns False if this process was connected before.

    Raises ForetellError within seconds if no cluster answers.
    """
    ray = extra("ray", "ray")
    if ray.is_initialized():
        if address is not None:
            raise ForetellError(
                f"address is {address!r}, but this process is already connected to Ray; leave out "
                "the address, or call ray.shutdown() first"
            )
        return False
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {}
    if where == "local":
        options = {"num_cpus": available_cores(), "include_dashboard": False}
    elif where != "auto":
        require_answer(where)
    try:
        ray.init(
            address=where,
            runtime_env=runtime_env or None,
            log_to_driver=False,
            logging_level="CRITICAL",
            **options,
        )
    except (Exception, SystemExit) as error:  # Ray exits if it gives up
        if ray.is_initialized():
            ray.shutdown()
        raise ForetellError(f"no Ray cluster at {where} ({one_line_of(error)}); {NEXT}") from error
    # otherwise Ray would print a message for each death to standard output
    extra("ray._private.worker", "ray").__dict__["_worker_logs_enabled"] = False
    return True


NEXT = "give ray:HOST:PORT as `ray start --head` prints it"


def one_line_of(error: BaseException) -> str:
    """The message of an error on one line."""
    return complaint_of(error) if isinstance(error, Exception) else "Ray ended"


def require_answer(where: str) -> None:
    """Raise ForetellError unless an HTTP/2 server, such as Ray's, answers at `HOST:PORT`.

    Ray itself needs more than a minute to detect this.
    """
    kind = "ray://" if where.startswith("ray://") else ""
    host, _, port = where.removeprefix(kind).rpartition(":")
    if not host and not port.isdecimal():
        host, port = port, str(PORTS[kind])
    if not host or not port.isdecimal():
        raise ForetellError(f"{where!r} is not an address of a Ray cluster; {NEXT}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as other:
            other.settimeout(PATIENCE)
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                other.sendall(GREETING)
                if other.recv(9)[3:4] != b"\x04":
                    raise OSError("the server is not Ray")
    except (OSError, OverflowError) as error:
        raise ForetellError(f"no Ray cluster answers at {where} ({error}); {NEXT}") from error
