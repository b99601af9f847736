"""Run tasks in this process or in several, and hand over each result as soon as it is there."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from foretell.errors import ANY, ForetellError, complaint_of
from foretell.executors.own_memory import keep_memory

__all__ = ["DiedTwice", "Lost", "available_cores", "completed", "pool", "require_picklable"]

Key = TypeVar("Key")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def pool(workers: int | Executor) -> Iterator[Executor]:
    """An executor of so many processes; of this one alone if it is one. Another's is left open.

    When the block is left by an error or Ctrl-C, unfinished tasks are dropped at once.
    """
    if isinstance(workers, Executor):
        yield workers
        return
    if workers < 1:
        raise ForetellError(f"workers is {workers}; give at least 1")
    if workers == 1:
        yield InThisProcess()
        return
    executor = Processes(workers)
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        executor.kill()
        raise


def require_picklable(what: str, value: object) -> None:
    """Raise ForetellError unless a process of `pool` can be given this value.

    >>> require_picklable("the loss", lambda outputs, targets: outputs.sum())
    Traceback (most recent call last):
    foretell.errors.ForetellError: the loss cannot be sent to other processes (...); define it at
    the top of a module, or use workers=1
    """
    try:
        pickle.dumps(value)
        typed_in = getattr(value, "__module__", None) == "__main__"
        if typed_in and not hasattr(sys.modules["__main__"], "__file__"):
            raise pickle.PicklingError("it was typed into an interpreter")
    except Exception as error:  # pickling calls the value's own code
        raise ForetellError(
            f"{what} cannot be sent to other processes ({complaint_of(error)}); "
            "define it at the top of a module, or use workers=1"
        ) from error


class DiedTwice(BrokenExecutor):
    """What a future fails with if its executor itself has tried the task again, alone."""


class Processes(Executor):
    """So many processes, started anew where one has died."""

    dies_as_one: ClassVar[bool] = True
    """Whether all tasks under way fail where one kills its process, and others can follow."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork inherits torch's broken threads
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=begin)

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A future; it fails with BrokenExecutor where a process dies before it is done."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._started()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their tasks are done."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """Drop all tasks and end the processes now."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


class InThisProcess(Executor):
    """Runs a task when it is submitted."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A finished future."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except ANY as error:
            future.set_exception(error)
        return future


def begin() -> None:
    """Leave Ctrl-C to the process that started the workers, and end when that has ended.

    Memory stays with the worker: it has nothing else to do with it.
    """
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A killed process cannot end its workers, and their queue never tells them."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True)
class Lost:
    """Stands for the result of a task whose process died, and died again with it alone."""

    why: str = "the process that computed it died twice, the second time alone (out of memory?)"


def completed(
    executor: Executor, tasks: Mapping[Key, Callable[[], Any]], at_once: int
) -> Iterator[tuple[Key, Any]]:
    """The key of each task with its result, in the order in which they finish.

    A task whose process dies is tried once more, with no other beside it; where that dies too,
    its result is `Lost`, and the others go on. An executor that has an `at_once` says itself how
    many tasks it wants at a time. Raises ForetellError if the executor is broken.
    """
    running: dict[Future[Any], Key] = {}
    try:
        for key, task in tasks.items():
            running[executor.submit(task)] = key
            if len(running) >= getattr(executor, "at_once", at_once):
                yield from finished(executor, tasks, running)
        while running:
            yield from finished(executor, tasks, running)
    except BrokenExecutor:
        raise ForetellError(
            "the executor that was given is broken; run again with another, "
            "what is finished is kept"
        ) from None


def finished(
    executor: Executor, tasks: Mapping[Key, Callable[[], Any]], running: dict[Future[Any], Key]
) -> Iterator[tuple[Key, Any]]:
    """Wait for one or more, and take them out."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    as_one = getattr(executor, "dies_as_one", False)
    if as_one and any(map(died, done)):
        done, _ = wait(running)  # all that ran beside it died too: which one did it shows alone
    again = []
    for future in done:
        key = running.pop(future)
        if as_one and died(future):
            again.append(key)
        elif isinstance(future.exception(), DiedTwice):
            yield key, Lost()
        else:
            yield key, future.result()
    for key in again:
        future = executor.submit(tasks[key])
        wait([future])
        yield key, Lost() if died(future) else future.result()


def died(future: Future[Any]) -> bool:
    """Whether the process of a finished task died of it, or of one beside it."""
    return isinstance(future.exception(), BrokenExecutor)
