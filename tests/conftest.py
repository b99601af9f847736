"""What all tests share: one thread, where the reference data is, and the golden file's option."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.support.paths import ROOT

torch.set_num_threads(1)
settings.register_profile(
    "foretell", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # no test is timed: machines are busy
settings.load_profile("foretell")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes down today's scores as the ones to be kept."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="rewrite tests/golden/scores.json from what the code gives now",
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("FORETELL_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set FORETELL_SHARED to the folder of reference data")
    return folder
