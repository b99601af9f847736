"""Ctrl-C is remembered within a command, and only there."""

import os
import signal

import pytest

from foretell.cli.interrupt import raise_if_interrupted, remembered_interrupts


pytestmark = pytest.mark.usefixtures("ctrl_c")


def press() -> None:
    """Press Ctrl-C where something swallows the exception."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 0)
    except KeyboardInterrupt:
        pass


def test_an_interrupt_that_was_swallowed_is_remembered() -> None:
    with remembered_interrupts():
        press()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()


def test_a_stopped_command_does_not_stop_the_next_one() -> None:
    with remembered_interrupts():
        press()
    raise_if_interrupted()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    with remembered_interrupts():
        raise_if_interrupted()
