"""Run tasks in this process or in several, and yield each result as soon as it is available."""

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
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from foretell.checks import as_instance, as_integer, optional
from foretell.errors import MOST, ForetellError, any_error, complaint_of
from foretell.executors.own_memory import freeze_objects, keep_memory

__all__ = [
    "MOST_WORKERS",
    "DiedTwice",
    "Lost",
    "available_cores",
    "completed",
    "pool",
    "require_picklable",
    "require_workers",
]

Key = TypeVar("Key")


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def pool(workers: int | Executor) -> Iterator[Executor]:
    """An executor with `workers` processes, or this process if it is 1; an Executor is left open.

    If the block is left by an exception or Ctrl-C, unfinished tasks are cancelled immediately.
    """
    if isinstance(workers, Executor):
        yield workers
        return
    require_workers(workers)
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


MOST_WORKERS = 1_024
"""The maximum number of processes."""


def require_workers(workers: object, executor: object = None) -> None:
    """Raise ForetellError for an invalid number of workers or an invalid executor."""
    as_integer("workers", workers, 1, MOST_WORKERS if executor is None else MOST)
    optional(as_instance)("executor", executor, Executor, "a concurrent.futures.Executor")


def require_picklable(what: str, value: object) -> None:
    """Raise ForetellError unless this value can be sent to the processes of `pool`.

    >>> require_picklable("the loss", lambda outputs, targets: outputs.sum())
    Traceback (most recent call last):
    foretell.errors.ForetellError: the loss cannot be sent to other processes (...); define it at
    the top of a module, or use workers=1
    """
    try:
        pickle.dumps(value)
        typed_in = getattr(value, "__module__", None) == "__main__"
        if typed_in and not hasattr(sys.modules["__main__"], "__file__"):
            raise pickle.PicklingError("it was defined in an interactive session")
    except Exception as error:  # pickling executes code of the value
        raise ForetellError(
            f"{what} cannot be sent to other processes ({complaint_of(error)}); "
            "define it at the top of a module, or use workers=1"
        ) from error


class DiedTwice(BrokenExecutor):
    """The exception of a future whose executor has already retried the task alone."""


class Processes(Executor):
    """A pool of `workers` processes that is restarted if one of them dies.

    It is a `concurrent.futures.Executor`. Raises ForetellError unless `workers` is a positive
    integer.
    """

    dies_as_one: ClassVar[bool] = True
    """Whether all running tasks fail if one kills its process, while new ones can be submitted."""

    def __init__(self, workers: int) -> None:
        self._workers = as_integer("workers", workers, 1, MOST_WORKERS)
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=begin)

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A future; it fails with BrokenExecutor if a process dies before it is done."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._started()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their tasks are finished."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """Cancel all tasks and end the processes immediately."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


class InThisProcess(Executor):
    """Runs each task in this process when it is submitted."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A finished future."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except any_error() as error:
            future.set_exception(error)
        return future


def begin() -> None:
    """Ignore Ctrl-C, which is handled by the parent process, and end when the parent ends.

    The worker keeps freed memory, and does not trace the objects of torch.
    """
    keep_memory()
    freeze_objects()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this worker when its parent ends; a killed parent cannot notify its workers."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True)
class Lost:
    """The result of a task whose process died twice, the second time while it ran alone."""

    why: str = "the process that computed it died twice, the second time alone (out of memory?)"


def completed(
    executor: Executor,
    tasks: Mapping[Key, Callable[[], Any]],
    at_once: int,
    together: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[Key, Any]]:
    """The key of each task with its result, in order of completion.

    A task whose process dies is retried once while no other task runs; if it dies again, its result
    is `Lost`, and the others continue. The attribute `at_once` of an executor, if any, overrides
    the number of tasks that are submitted at a time. Results that are available at the same time
    are yielded within one block `with together()`. Raises ForetellError if the executor is broken.
    """
    running: dict[Future[Any], Key] = {}
    try:
        for key, task in tasks.items():
            running[submitted(executor, task)] = key
            if len(running) >= getattr(executor, "at_once", at_once):
                yield from finished(executor, tasks, running, together)
        while running:
            yield from finished(executor, tasks, running, together)
    except BrokenExecutor:
        raise ForetellError(
            "the executor is broken; run again with another one (finished results are kept)"
        ) from None


def submitted(executor: Executor, task: Callable[[], Any]) -> Future[Any]:
    """The future of a task. Raises ForetellError if the executor does not accept tasks."""
    try:
        return executor.submit(task)
    except BrokenExecutor:
        raise
    except RuntimeError as error:  # it has been shut down
        raise ForetellError(
            f"the executor does not accept tasks ({error}); give another one"
        ) from error


def finished(
    executor: Executor,
    tasks: Mapping[Key, Callable[[], Any]],
    running: dict[Future[Any], Key],
    together: Callable[[], AbstractContextManager[None]],
) -> Iterator[tuple[Key, Any]]:
    """Wait for at least one running task, and remove and yield the finished ones."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    as_one = getattr(executor, "dies_as_one", False)
    if as_one and any(map(died, done)):
        done, _ = wait(running)  # all running tasks failed; retrying them alone shows the cause
    again = []
    with together():
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
    """Whether the process of a task died, because of this task or of another one."""
    return isinstance(future.exception(), BrokenExecutor)
