"""Fixtures and options of all tests: one thread, reference data, Ctrl-C, random order."""

import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.support.paths import ROOT

torch.set_num_threads(1)
settings.register_profile(
    "foretell", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # tests do not measure time, since machines are busy
settings.load_profile("foretell")

NEED_OPTUNA = ["integrations", "laws/test_wrong_values.py", "scoring/test_settings.py"]
collect_ignore = [] if find_spec("optuna") else NEED_OPTUNA


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for the golden file and for the order of the tests."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="rewrite tests/golden/scores.json with the present values",
    )
    parser.addoption(
        "--order-seed",
        metavar="SEED",
        help="shuffle the files, and the tests in each, by this seed, or by a `random` one",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed of the order if it is `random`."""
    if config.option.order_seed == "random":
        config.option.order_seed = str(random.SystemRandom().randrange(10**6))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle files, and the tests within each, if a seed is given."""
    if config.option.order_seed is None:
        return
    dice = random.Random(config.option.order_seed)
    files = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    shuffled = list(files.values())
    dice.shuffle(shuffled)
    for own in shuffled:
        dice.shuffle(own)
    items[:] = [item for own in shuffled for item in own]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each reason for skipped tests once, and how to repeat the order."""
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, times in skipped.items():
        terminalreporter.write_line(f"{times} skipped: {reason.removeprefix('Skipped: ')}")
    if seed := terminalreporter.config.option.order_seed:
        terminalreporter.write_line(f"the order of the tests was that of --order-seed={seed}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data next to the checkout; tests that need it are skipped without."""
    folder = Path(os.environ.get("FORETELL_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set FORETELL_SHARED to the folder of reference data")
    return folder


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts this process and its children, even if the tests run in the background.

    Processes that a shell starts in the background ignore SIGINT, and so do their children.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """No progress lines are printed to standard error, since their number depends on time."""
    monkeypatch.setattr("foretell.cli.progress.EVERY", 1e6)
