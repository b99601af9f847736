"""The laws as checks to run over proxies, spaces, searchers and data of your own."""

from foretell.proxies.plugins import unregister
from foretell.testing.proxies import MODELS, check_proxy

__all__ = ["MODELS", "check_proxy", "unregister"]
