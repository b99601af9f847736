"""A Ray cluster as an executor."""

import os
import socket
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from functools import partial
from types import TracebackType
from typing import Any

from foretell.errors import ForetellError, complaint_of
from foretell.executors.processes import available_cores
from foretell.executors.ray_crew import Crew, Job, Needs
from foretell.executors.ray_worker import Shipper
from foretell.names import extra

__all__ = ["RayExecutor"]

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""HTTP/2's preface and empty settings; a server that speaks it answers with its own."""


PATIENCE = 5.0
"""Seconds for an address to answer."""


PORTS = {"": 6379, "ray://": 10001}


class RayExecutor(Executor):
    """A worker for each CPU of a Ray cluster, or for each GPU, while nodes come and go.

    A task whose node is lost runs again on another. A task whose worker dies while its node lives
    on is tried once more with no other beside it on the node; if that dies too, its future fails
    with `DiedTwice`. Left by an error or Ctrl-C, a `with` block drops all tasks at once.
    """

    gpus_per_task: float
    """What each worker has; its device is then `cuda`, or `cpu` where it is 0."""

    def __init__(
        self,
        address: str | None = None,
        gpus_per_task: float | None = 0,
        *,
        cpus_per_task: float = 1,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect to the cluster at `address`.

        That is `HOST:PORT`, `ray://HOST:PORT`, `auto` for the one that runs on this machine, or by
        default RAY_ADDRESS or else a Ray on this machine alone, which ends with the executor. A
        Ray that this process is connected to already is used, and left connected.
        `gpus_per_task=None` is 1 where the cluster has GPUs. `runtime_env` is as in `ray.init`.

        Raises ForetellError without Ray, without an answer, or where no worker fits in a node.
        """
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
                    f"{gpus_per_task:g} GPUs; start one, or ask for less (--device cpu)"
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
        """How many tasks it wants to have: one for each worker to do, and one to do next."""
        return max(1, 2 * self._crew.slots)

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A future; it fails with `DiedTwice` where the task's worker dies twice.

        It fails with ForetellError where no worker can be started.
        """
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        pickled, refs = self._shipper.pickled(partial(fn, *args, **kwargs))
        future: Future[Any] = Future()
        self._crew.add(Job(pickled, refs, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers when their tasks are done."""
        self._closed = True
        self._crew.close(cancel=cancel_futures)
        if wait:
            self._crew.join()

    def kill(self) -> None:
        """Drop all tasks and end the workers now."""
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
    """Whether it was done here: not where this process was connected before.

    Raises ForetellError where no cluster answers, in seconds.
    """
    ray = extra("ray", "ray")
    if ray.is_initialized():
        if address is not None:
            raise ForetellError(
                f"Ray is connected already, so {address!r} can't be; "
                "leave the address out, or call ray.shutdown() first"
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
    except (Exception, SystemExit) as error:  # Ray exits where it gives up
        if ray.is_initialized():
            ray.shutdown()
        raise ForetellError(f"no Ray cluster at {where} ({one_line_of(error)}); {NEXT}") from error
    # Ray would print of each death, to where the tables go
    extra("ray._private.worker", "ray").__dict__["_worker_logs_enabled"] = False
    return True


NEXT = "give ray:HOST:PORT as `ray start --head` prints it"


def one_line_of(error: BaseException) -> str:
    """Its message on one line."""
    return complaint_of(error) if isinstance(error, Exception) else "it gave up"


def require_answer(where: str) -> None:
    """Raise ForetellError unless something at `HOST:PORT` speaks HTTP/2, as Ray does.

    Ray itself takes over a minute to find out.
    """
    kind = "ray://" if where.startswith("ray://") else ""
    host, _, port = where.removeprefix(kind).rpartition(":")
    if not host and not port.isdecimal():
        host, port = port, str(PORTS[kind])
    if not host or not port.isdecimal():
        raise ForetellError(f"{where!r} is no address of a Ray cluster; {NEXT}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as other:
            other.settimeout(PATIENCE)
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                other.sendall(GREETING)
                if other.recv(9)[3:4] != b"\x04":
                    raise OSError("something else than Ray answers")
    except (OSError, OverflowError) as error:
        raise ForetellError(f"no Ray cluster answers at {where} ({error}); {NEXT}") from error
