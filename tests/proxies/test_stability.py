"""The warning about scores whose order depends on the seed."""

import json
import re
from pathlib import Path

import pytest

from foretell.cli import main
from foretell.proxies import PROXIES
from foretell.proxies.stability import BETWEEN_SEEDS, LEAST, unstable

PAGE = Path(__file__).parents[2] / "docs" / "stability.md"
COMMAND = ["rank", "cnn:1,4,1,ReLU,no,no,no", "cnn:2,4,1,ReLU,no,no,no", "--batch-size", "4"]


def test_the_warning_has_what_the_page_says() -> None:
    measured = {
        name: float(value.replace("−", "-"))
        for name, value in re.findall(r"`(\w+)` \((−?\.\d\d)\)", PAGE.read_text(encoding="utf-8"))
    }
    assert set(measured) <= set(PROXIES)
    assert {name: value for name, value in measured.items() if value < LEAST} == BETWEEN_SEEDS
    assert unstable(PROXIES) == {name: BETWEEN_SEEDS[name] for name in unstable(PROXIES)}


@pytest.mark.parametrize(
    ("proxies", "more", "warned"),
    [
        ("plain,params", [], {"plain": -0.23}),
        ("synflow,params", [], {}),
        ("plain,params", ["--seeds", "2"], {}),
    ],
)
def test_ranking_once_by_a_score_that_depends_on_the_seed_says_so(
    proxies: str, more: list[str], warned: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*COMMAND, "--proxies", proxies, *more]
    assert main(command) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert ("Another seed ranks networks differently by plain (ρ -.23)" in shown) == bool(warned)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["between_seeds"] == warned
