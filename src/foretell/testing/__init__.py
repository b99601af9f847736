"""The laws as checks to run over proxies, spaces, searchers and data of your own.

Each check raises AssertionError, saying which law is broken; foretell's own tests run them over
everything that is registered. Beside them are the names that searchers and data are written with.
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
