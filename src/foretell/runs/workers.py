"""Run tasks in this process or in several, and hand over each result as soon as it is there."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from foretell.errors import ForetellError

__all__ = ["available_cores", "completed", "pool"]

Key = TypeVar("Key")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """An executor of so many processes; of this one alone if it is one.

    When the block is left by an error or Ctrl-C, unfinished tasks are dropped at once.
    """
    if workers < 1:
        raise ForetellError(f"workers is {workers}; give at least 1")
    if workers == 1:
        yield InThisProcess()
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's broken threads
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=ignore_interrupts)
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        processes = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise


class InThisProcess(Executor):
    """Runs a task when it is submitted."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A finished future."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that started the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def completed(
    executor: Executor, tasks: Mapping[Key, Callable[[], Any]], at_once: int
) -> Iterator[tuple[Key, Any]]:
    """The key of each task with its result, in the order in which they finish."""
    running: dict[Future[Any], Key] = {}
    try:
        for key, task in tasks.items():
            running[executor.submit(task)] = key
            if len(running) >= at_once:
                yield from finished(running)
        while running:
            yield from finished(running)
    except BrokenProcessPool:
        raise ForetellError(
            "a worker process died (out of memory?); run again with fewer --workers, "
            "what is finished is kept"
        ) from None


def finished(running: dict[Future[Any], Key]) -> Iterator[tuple[Key, Any]]:
    """Wait for one or more, and take them out."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future.result()
