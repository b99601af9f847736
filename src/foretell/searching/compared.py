"""The names of the arms of a search: with scores, and the comparisons."""

__all__ = ["LARGEST", "SCORED", "SIZE", "TOLD", "UNSCORED", "arms_of"]

SCORED, UNSCORED, LARGEST = "scored", "unscored", "largest"
TOLD = "told"
"""The arm, in tables, of results that were added by `foretell.tell`."""
SIZE = "params"
"""The proxy by which the arm `largest` selects."""


def arms_of(*, compare: bool, compare_size: bool) -> list[str]:
    """The arms of a search with these comparisons, in order.

    >>> arms_of(compare=False, compare_size=True)
    ['scored', 'largest']
    """
    return [SCORED, *([UNSCORED] if compare else []), *([LARGEST] if compare_size else [])]
