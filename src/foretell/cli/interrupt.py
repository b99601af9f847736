"""Remember Ctrl-C, since code that is called from C may swallow the KeyboardInterrupt."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["raise_if_interrupted", "remembered_interrupts"]

SEEN = threading.Event()


@contextmanager
def remembered_interrupts() -> Iterator[None]:
    """Within the block, Ctrl-C is also remembered for `raise_if_interrupted`."""
    usual = signal.default_int_handler
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not usual:
        yield
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        SEEN.clear()  # a later command of this process may run where Ctrl-C is ignored


def remember(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt like Python's own handler, and remember it."""
    SEEN.set()
    raise KeyboardInterrupt


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed but the command continued."""
    if SEEN.is_set():
        raise KeyboardInterrupt
