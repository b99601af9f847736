"""The workers of a Ray cluster: assigns tasks, and tells failures of tasks from those of nodes.

Ray reports how a worker was lost. If its node was lost, the task is not to blame and runs again
elsewhere. If the node survives, the task may have killed the worker: it is retried once on a node
where nothing else runs at the same time, a different one if possible.
"""

import os
import queue
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError, complaint_of
from foretell.executors.processes import DiedTwice
from foretell.executors.ray_worker import Worker, versions
from foretell.names import extra

__all__ = ["Crew", "Job", "Needs"]

LOOK = 2.0
"""Seconds between checks of the available nodes."""


STARTS = 3
"""The number of consecutive failed starts per slot after which the run ends."""


@dataclass(frozen=True)
class Needs:
    """The resources of a worker, and its Ray runtime environment."""

    cpus: float = 1
    gpus: float = 0
    runtime_env: dict[str, Any] = field(default_factory=dict)

    def slots(self) -> int:
        """The number of workers that fit on the live nodes."""
        return sum(
            int(
                min(
                    node["Resources"].get(name, 0) / wanted
                    for name, wanted in (("CPU", self.cpus), ("GPU", self.gpus))
                    if wanted
                )
            )
            for node in extra("ray", "ray").nodes()
            if node["Alive"]
        )

    def environment(self) -> dict[str, Any]:
        """The runtime environment, with foretell on PYTHONPATH unless it is installed."""
        root = str(Path(__file__).parents[2])
        if root == sysconfig.get_path("purelib"):
            return self.runtime_env
        variables = {"PYTHONPATH": f"{root}:${{PYTHONPATH}}"} | self.runtime_env.get("env_vars", {})
        return self.runtime_env | {"env_vars": variables}


@dataclass(eq=False)
class Job:
    """A submitted task."""

    pickled: bytes
    refs: dict[int, Any]
    future: "Future[Any]" = field(default_factory=Future)
    started: bool = False
    died_on: str = ""
    """The surviving node on which a worker died running this job; empty if none died."""


@dataclass(eq=False)
class Seat:
    """A worker and its current job."""

    actor: Any
    node: str = ""
    """The worker's node; empty until the worker has started."""
    job: Job | None = None


class Crew:
    """Workers and jobs. Everything is done on one thread; other threads only send events to it."""

    slots: int
    """The number of workers that exist or are being started."""

    def __init__(self, needs: Needs, at_end: Callable[[], object]) -> None:
        """`at_end` is called when the last worker has ended."""
        self._needs, self._at_end = needs, at_end
        self._ray = extra("ray", "ray")
        self.slots = needs.slots()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._seats: list[Seat] = []
        self._waiting: deque[Job] = deque()
        self._alone: deque[Job] = deque()
        self._kept_free: dict[str, Job] = {}  # nodes reserved for running one job alone
        self._failed_starts = 0
        self._looked = 0.0
        self._closing = False
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._unsettled: set[Job] = set()
        self._ended = False
        worker = self._ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus)(Worker)
        self._actor = worker.options(runtime_env=needs.environment())
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        """Add a job to the queue; its future receives the result."""
        with self._lock:
            if not self._ended:
                self._unsettled.add(job)
                self._events.put(partial(self._waiting.append, job))
                return
        job.future.set_exception(self._failure or BrokenExecutor("the executor has ended"))

    def close(self, *, cancel: bool = False) -> None:
        """End when all jobs are finished; with `cancel`, without those that have not started."""
        self._events.put(partial(self._close, cancel))

    def abandon(self) -> None:
        """End immediately; unfinished jobs fail with BrokenExecutor."""
        self._events.put(partial(self._fail, BrokenExecutor("the executor was stopped")))

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._failure and not (self._closing and not self._unsettled):
                if time.monotonic() - self._looked > LOOK:
                    self._resize()
                self._hand_out()
                with suppress(queue.Empty):
                    self._events.get(timeout=LOOK)()
        except Exception as error:  # must reach those who wait for a job
            self._fail(
                ForetellError(f"Ray failed ({complaint_of(error)}); finished results are kept")
            )
        finally:
            with self._lock:
                self._ended = True
            for job in list(self._unsettled):
                self._settle(job, error=self._failure)
            with suppress(Exception):  # if Ray is gone, so are the workers
                for seat in list(self._seats):
                    self._end(seat)
            self._at_end()

    def _close(self, cancel: bool) -> None:
        self._closing = True
        for job in list(self._waiting) if cancel else ():
            if job.future.cancel():
                self._waiting.remove(job)
                self._unsettled.discard(job)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _settle(self, job: Job, value: Any = None, error: BaseException | None = None) -> None:
        self._unsettled.discard(job)
        if error is None:
            job.future.set_result(value)
        else:
            job.future.set_exception(error)

    def _resize(self) -> None:
        """Start a worker for each available slot, and end those on lost nodes."""
        self._looked = time.monotonic()
        alive = self._alive()
        self.slots = self._needs.slots()
        for seat in list(self._seats):
            gone = seat.node and seat.node not in alive and not seat.job
            spare = not seat.node and len(self._seats) > self.slots
            if gone or spare:
                self._end(seat)
        for node in self._kept_free.keys() - alive:
            self._alone.append(self._kept_free.pop(node))
        while len(self._seats) < self.slots:
            seat = Seat(self._actor.remote(os.getcwd()))
            self._seats.append(seat)
            self._tell(seat.actor.seen, partial(self._begun, seat))

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def _end(self, seat: Seat) -> None:
        self._seats = [other for other in self._seats if other is not seat]
        self._ray.kill(seat.actor)

    def _tell(self, method: Any, then: "Callable[[Future[Any]], None]", *arguments: Any) -> None:
        """Call an actor, and post its result as an event."""
        future = method.remote(*arguments).future()
        future.add_done_callback(lambda done: self._events.put(partial(then, done)))

    def _begun(self, seat: Seat, done: "Future[Any]") -> None:
        """Handle the start, or the failed start, of a worker."""
        if seat not in self._seats:
            return
        error = done.exception()
        if error is None:
            seat.node, there = done.result()
            self._failed_starts = 0
            if there != versions():
                self._fail(
                    ForetellError(
                        f"a node has {in_words(there)}, this machine has {in_words(versions())}; "
                        "install the same versions on all machines"
                    )
                )
            return
        self._end(seat)
        self._failed_starts += 1
        if getattr(error, "actor_init_failed", False) or self._failed_starts > STARTS * self.slots:
            why = str(error).strip().splitlines()[-1]
            self._fail(
                ForetellError(
                    f"a Ray worker could not start ({why}); "
                    "install the same Python and foretell on every node"
                )
            )

    def _hand_out(self) -> None:
        """Assign jobs to idle workers."""
        ready = [seat for seat in self._seats if seat.node]
        while self._alone and (free := {s.node for s in ready} - self._kept_free.keys()):
            job = self._alone.popleft()
            busy = [seat.node for seat in ready if seat.job]
            node = min(sorted(free), key=lambda node: (node == job.died_on, busy.count(node)))
            self._kept_free[node] = job
        for node, job in list(self._kept_free.items()):
            there = [seat for seat in ready if seat.node == node]
            if there and not any(seat.job for seat in there):
                self._start(there[0], job)
        for seat in ready:
            if not self._waiting:
                return
            if not seat.job and seat.node not in self._kept_free:
                job = self._waiting.popleft()
                if job.started or job.future.set_running_or_notify_cancel():
                    self._start(seat, job)
                else:
                    self._unsettled.discard(job)

    def _start(self, seat: Seat, job: Job) -> None:
        seat.job, job.started = job, True
        self._tell(seat.actor.run, partial(self._done, seat, job), job.pickled, job.refs)

    def _done(self, seat: Seat, job: Job, done: "Future[Any]") -> None:
        """Handle the result of a job, or the loss of its worker."""
        seat.job = None
        alone = self._kept_free.get(seat.node) is job
        error = done.exception()
        if alone:
            del self._kept_free[seat.node]
        if error is None:
            good, value = done.result()
            self._settle(job, value if good else None, None if good else value)
        elif self._by_node(error, seat.node):
            self._end(seat)
            (self._alone if job.died_on else self._waiting).appendleft(job)
        elif self._by_task(error):
            self._end(seat)
            if job.died_on:
                self._settle(job, error=DiedTwice())
            else:
                job.died_on = seat.node
                self._alone.append(job)
            self._resize()
        else:  # for example, the result cannot be pickled
            self._settle(job, error=getattr(error, "cause", None) or error)

    def _by_node(self, error: BaseException, node: str) -> bool:
        """Whether a worker was lost with its node or is unreachable: not the fault of the task."""
        known = self._ray.exceptions
        away = (known.ActorUnavailableError, known.NodeDiedError, known.ObjectLostError)
        if isinstance(error, away) or getattr(error, "preempted", False):
            return True
        return isinstance(error, known.RayActorError) and node not in self._alive()

    def _by_task(self, error: BaseException) -> bool:
        known = self._ray.exceptions
        deaths = (known.RayActorError, known.WorkerCrashedError, known.OutOfMemoryError)
        return isinstance(error, deaths)


def in_words(found: dict[str, str]) -> str:
    """Packages and their versions as text for an error message.

    >>> in_words({"foretell": "1.0", "torch": "2.6"})
    'foretell 1.0 and torch 2.6'
    """
    return " and ".join(f"{name} {version}" for name, version in found.items())
