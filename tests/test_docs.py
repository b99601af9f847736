"""Pages that are generated are those that the generator writes."""

import importlib.util
from types import ModuleType

from foretell.proxies import PROXIES
from tests.support import paths


def generator_of_the_page() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", paths.DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_proxies_is_the_generated_one() -> None:
    expected = generator_of_the_page().page()
    assert (paths.DOCS / "proxies.md").read_text(encoding="utf-8") == expected, (
        "run `python docs/generate.py`"
    )
    assert all(f"## {name}\n" in expected for name in PROXIES)
