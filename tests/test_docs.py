"""Pages that are generated are those that the generator writes."""

from foretell.proxies import PROXIES
from tests.support import paths
from tests.support.scripts import script


def test_the_page_of_proxies_is_the_generated_one() -> None:
    with script(paths.DOCS / "generate.py") as generate:
        expected = generate.page()
    assert (paths.DOCS / "proxies.md").read_text(encoding="utf-8") == expected, (
        "run `python docs/generate.py`"
    )
    assert all(f"## {name}\n" in expected for name in PROXIES)
