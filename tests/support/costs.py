"""Counts the cost of a computation."""

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def flops(work: Callable[[], object]) -> int:
    """The FLOPs of the convolutions and matrix products that a function runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
