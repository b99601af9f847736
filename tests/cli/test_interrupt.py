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


def is_remembered() -> bool:
    try:
        raise_if_interrupted()
    except KeyboardInterrupt:  # pytest itself would stop at it
        return True
    return False


def test_an_interrupt_that_was_swallowed_is_remembered() -> None:
    with remembered_interrupts():
        press()
        assert is_remembered()


def test_a_stopped_command_does_not_stop_the_next_one() -> None:
    with remembered_interrupts():
        press()
    assert not is_remembered()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    with remembered_interrupts():
        assert not is_remembered()
