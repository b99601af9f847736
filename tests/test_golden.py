"""Every file of golden values is compared by some test, so that none is out of date unnoticed."""

import pytest

from tests.support import paths

FILES = sorted(path.name for path in paths.GOLDEN.iterdir())
TESTS = [path.read_text(encoding="utf-8") for path in sorted(paths.ROOT.glob("tests/**/*.py"))]


def test_there_are_golden_files() -> None:
    assert FILES


@pytest.mark.parametrize("name", FILES)
def test_a_test_reads_the_file(name: str) -> None:
    assert any(f'GOLDEN / "{name}"' in text for text in TESTS), "compare it in a test, or remove it"
