"""The laws as checks to run over proxies, spaces, searchers and data of your own."""
