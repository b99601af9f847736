"""Conformance checks for your own proxies, spaces, searchers and data.

Each check raises AssertionError with the requirement that is not met. foretell's own tests run the
checks on everything that is registered. The package also has the names that are needed to write
searchers and data.
"""

from foretell.data import Splits
from foretell.proxies.plugins import unregister
from foretell.searchers import Question, distinct
from foretell.testing.data import check_data
from foretell.testing.proxies import MODELS, check_proxy
from foretell.testing.searchers import check_searcher
from foretell.testing.spaces import check_space

__all__ = [
    "MODELS",
    "Question",
    "Splits",
    "check_data",
    "check_proxy",
    "check_searcher",
    "check_space",
    "distinct",
    "unregister",
]
