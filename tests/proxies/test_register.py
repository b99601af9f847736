"""Users' own proxies: which are refused, and how an installed package provides them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from foretell import ForetellError, TrainSettings, calibrate, judge, run_study, search
from foretell.proxies import PROXIES, Proxy, register
from foretell.report import write_report
from foretell.studies.searches import run_simulations
from foretell.tables import Table
from tests.support.processes import environment, python


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Proxies that a test registers are removed afterwards."""
    before = dict(PROXIES)
    yield
    PROXIES.clear()
    PROXIES.update(before)


def asks_wrongly(wieghts: dict[str, Tensor]) -> Tensor:
    """A misspelt quantity."""
    raise AssertionError


def asks_nothing(epsilon: float = 0.1) -> Tensor:
    """A function that requires no quantity."""
    raise AssertionError


def takes_all(**quantities: Tensor) -> Tensor:
    """Whatever there is."""
    raise AssertionError


def undocumented(weights: dict[str, Tensor]) -> Tensor:
    raise AssertionError


def snip(weights: dict[str, Tensor]) -> Tensor:
    """A function whose name is in use."""
    raise AssertionError


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (asks_wrongly, "did you mean 'weights'"),
        (asks_nothing, "requires no quantity"),
        (takes_all, r"takes \*quantities"),
        (undocumented, "no docstring"),
        (snip, "already exists"),
    ],
)
def test_what_cannot_be_a_proxy_is_refused(function: object, message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        register(source="a test")(function)  # type: ignore[type-var]


PACKAGE = '''
from foretell.proxies import register

@register(source="an installed package")
def biggest_weight(weights):
    """Largest |w| of all weights."""
    return max(w.abs().max() for w in weights.values())
'''


def install(folder: Path, code: str) -> dict[str, str]:
    """An environment in which a package with an entry point is installed."""
    (folder / "their_package.py").write_text(code)
    info = folder / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[foretell.proxies]\nbiggest_weight = their_package:biggest_weight\n"
    )
    return environment(folder)


def test_an_installed_package_brings_its_proxy(tmp_path: Path) -> None:
    env = install(tmp_path, PACKAGE)
    assert "biggest_weight" in python("-m", "foretell", "list", "proxies", env=env).stdout
    cell = "nb201:333013?channels=2,cells=1"
    words = ["score", cell, "--proxies", "biggest_weight", "--csv"]
    scored = python("-m", "foretell", *words, env=env)
    assert scored.returncode == 0, scored.stderr
    assert "biggest_weight" in scored.stdout


def test_a_package_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    env = install(tmp_path, "import no_such_module")
    listed = python("-m", "foretell", "list", "proxies", env=env)
    assert listed.returncode == 2
    assert "'biggest_weight' of their-package cannot be loaded" in listed.stderr
    assert listed.stderr.count("\n") == 1


def total(weights: dict[str, Tensor]) -> Tensor:
    """The sum of all weights."""
    raise AssertionError


def test_a_proxy_is_described_as_given_and_by_default_is_better_if_higher() -> None:
    assert register(source="a test")(total) is total
    assert PROXIES.pop("total") == Proxy(total, "a test", True, "", False)
    register(source="another", higher_is_better=False, bound="0", draws=True)(total)
    assert PROXIES["total"] == Proxy(total, "another", False, "0", True)


def smallness(weights: dict[str, Tensor]) -> Tensor:
    """The sum of absolute weights, of which less is better."""
    return torch.stack([weight.abs().sum() for weight in weights.values()]).sum()


def test_a_run_is_read_where_its_proxy_is_not_registered(tmp_path: Path) -> None:
    """Its direction is unknown then: it is left out where it is only said, and else refused."""
    register(source="a test", higher_is_better=False)(smallness)
    small: dict[str, Any] = {"batch_size": 8, "proxies": ["smallness", "snip"]}
    short = TrainSettings(epochs=1, batch_size=512)
    space, searched, scored = "nb201?channels=2,cells=1", tmp_path / "search", tmp_path / "study"
    search(space, run=searched, by="smallness", pool=3, trainings=1, training=short, **small)
    frame = pd.DataFrame({"val": [1.0, 2, 3, 4]}, ["000000", "111111", "222222", "333333"])
    table = Table("mine", "nb201", frame, choosing=("val",))
    run_study(table, "digits", run=scored, space=space, **small)
    assert "smallness (lower is better)" in write_report(searched).read_text()
    del PROXIES["smallness"]
    page = write_report(searched).read_text()
    assert "The distribution of smallness over the 3 scored networks" in page
    assert "it is unknown whether higher or lower is better" in page
    for read in (
        lambda: calibrate(searched),
        lambda: judge(scored),
        lambda: run_simulations(scored, run=tmp_path / "new", by="smallness", seeds=1),
    ):
        with pytest.raises(ForetellError, match="unknown whether higher is better for smallness"):
            read()
    assert not (tmp_path / "new").exists()
