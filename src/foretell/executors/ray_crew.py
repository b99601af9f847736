"""A worker for each slot of a Ray cluster: hand out tasks, and tell a task's fault from a node's.

Ray tells how a worker was lost. Where its node went, the task is no worse than another: it runs
again elsewhere. Where the node lives on, the task may have killed it: it is tried once more on a
node where nothing else runs meanwhile, another one if there is one.
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
"""Seconds between looks at which nodes there are."""


STARTS = 3
"""How many starts may fail for each slot, with none that succeeds, before the run ends."""


@dataclass(frozen=True)
class Needs:
    """What a worker takes of a node, and the environment that Ray makes for it."""

    cpus: float = 1
    gpus: float = 0
    runtime_env: dict[str, Any] = field(default_factory=dict)

    def slots(self) -> int:
        """How many workers the living nodes have room for."""
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
        """With foretell found where it is found here, unless it is installed for good."""
        root = str(Path(__file__).parents[2])
        if root == sysconfig.get_path("purelib"):
            return self.runtime_env
        variables = {"PYTHONPATH": f"{root}:${{PYTHONPATH}}"} | self.runtime_env.get("env_vars", {})
        return self.runtime_env | {"env_vars": variables}


@dataclass(eq=False)
class Job:
    """A task on its way."""

    pickled: bytes
    refs: dict[int, Any]
    future: "Future[Any]" = field(default_factory=Future)
    started: bool = False
    died_on: str = ""
    """The node that lived on when this job's worker died; empty if none has died of it."""


@dataclass(eq=False)
class Seat:
    """A worker, and what it does."""

    actor: Any
    node: str = ""
    """Empty until the worker has started."""
    job: Job | None = None


class Crew:
    """Workers and jobs. All is done on one thread; others only post events to it."""

    slots: int
    """How many workers there are, or are about to be."""

    def __init__(self, needs: Needs, at_end: Callable[[], object]) -> None:
        """`at_end` is called when the last worker has ended."""
        self._needs, self._at_end = needs, at_end
        self._ray = extra("ray", "ray")
        self.slots = needs.slots()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._seats: list[Seat] = []
        self._waiting: deque[Job] = deque()
        self._alone: deque[Job] = deque()
        self._kept_free: dict[str, Job] = {}  # nodes whose workers pause, each for one job alone
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
        """Have it done; its future tells."""
        with self._lock:
            if not self._ended:
                self._unsettled.add(job)
                self._events.put(partial(self._waiting.append, job))
                return
        job.future.set_exception(self._failure or BrokenExecutor("the executor has ended"))

    def close(self, *, cancel: bool = False) -> None:
        """End when all is done, or without what has not begun."""
        self._events.put(partial(self._close, cancel))

    def abandon(self) -> None:
        """End now; what is unfinished fails with BrokenExecutor."""
        self._events.put(partial(self._fail, BrokenExecutor("the executor was stopped")))

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._failure and not (self._closing and not self._unsettled):
                if time.monotonic() - self._looked > LOOK:
                    self._resize()
                self._hand_out()
                with suppress(queue.Empty):
                    self._events.get(timeout=LOOK)()
        except Exception as error:  # whoever waits for a job must hear of it
            self._fail(
                ForetellError(f"Ray failed ({complaint_of(error)}); what is finished is kept")
            )
        finally:
            with self._lock:
                self._ended = True
            for job in list(self._unsettled):
                self._settle(job, error=self._failure)
            with suppress(Exception):  # where Ray is gone, so are the workers
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
        """A worker for each slot that there is now, and none on a node that is gone."""
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
        """Call an actor, and have what comes of it told as an event."""
        future = method.remote(*arguments).future()
        future.add_done_callback(lambda done: self._events.put(partial(then, done)))

    def _begun(self, seat: Seat, done: "Future[Any]") -> None:
        """A worker has started, or has not."""
        if seat not in self._seats:
            return
        error = done.exception()
        if error is None:
            seat.node, there = done.result()
            self._failed_starts = 0
            if there != versions():
                self._fail(
                    ForetellError(
                        f"a node has {in_words(there)}, here is {in_words(versions())}; "
                        "install the same on all"
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
                    "every node needs the same Python and foretell"
                )
            )

    def _hand_out(self) -> None:
        """Give work to who has none."""
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
        """A job has its result, or its worker is lost."""
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
        else:  # what it gave cannot be pickled, for one
            self._settle(job, error=getattr(error, "cause", None) or error)

    def _by_node(self, error: BaseException, node: str) -> bool:
        """Whether a worker was lost with its node, or out of reach: no fault of its task."""
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
    """
    >>> in_words({"foretell": "1.0", "torch": "2.6"})
    'foretell 1.0 and torch 2.6'
    """
    return " and ".join(f"{name} {version}" for name, version in found.items())
