"""What something costs, counted."""

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def flops(work: Callable[[], object]) -> int:
    """The arithmetic of convolutions and matrix products while something runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
