"""What all tests share: one thread, the reference data, a Ctrl-C that works, a random order."""

import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
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
    """Options for the golden file and for the order of the tests."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="rewrite tests/golden/scores.json from what the code gives now",
    )
    parser.addoption(
        "--order-seed",
        metavar="SEED",
        help="shuffle the files, and the tests in each: a number, or `random` to draw one",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed of the order where it was left to chance."""
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
    """Say what was skipped and why, each reason once, and how to have the same order again."""
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, times in skipped.items():
        terminalreporter.write_line(f"{times} skipped: {reason.removeprefix('Skipped: ')}")
    if seed := terminalreporter.config.option.order_seed:
        terminalreporter.write_line(f"the order of the tests was that of --order-seed={seed}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("FORETELL_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set FORETELL_SHARED to the folder of reference data")
    return folder


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts this process and those it starts, even if the suite runs in the background.

    A shell has what it starts in the background ignore SIGINT, and processes inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on time: a slow machine prints no more to standard error than a fast one."""
    monkeypatch.setattr("foretell.cli.progress.EVERY", 1e6)
