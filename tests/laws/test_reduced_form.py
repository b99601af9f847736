"""Laws of the reduced form of every space that has one."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from foretell import Batch, load_data, minibatch, rank, score, search
from foretell.cli import main
from foretell.errors import ForetellError
from foretell.models import load_model, reduced_name, space_for
from foretell.proxies import PROXIES
from foretell.proxies.quantities import QUANTITIES
from foretell.rankings.sizes import SIZES
from foretell.runs.store import read_rows
from foretell.spaces import SPACES, Subset, make_space, reduced_form, sample
from tests.laws.test_spaces_by_name import DATA

REDUCED = [name for name, entry in SPACES.items() if entry.reduced]
NETWORK, SMALLER = "nb201:301224?channels=4,cells=2", "nb201:301224?channels=4,cells=1"
QUICK = ["--batch-size", "6", "--proxies", "snip,flops"]


def forward_only() -> list[str]:
    """The proxies that need nothing but forward passes."""
    steps = {"forward", "codes", "correlations", "few_correlations", "moments", "rows"}
    return [
        name
        for name, proxy in PROXIES.items()
        if proxy.needs and {QUANTITIES[need].step for need in proxy.needs} <= steps
    ]


@pytest.mark.parametrize("name", REDUCED)
def test_the_same_architectures_have_cheaper_networks(name: str) -> None:
    space, rng = make_space(name), random.Random(0)
    small = reduced_form(space)
    assert small.choices == space.choices
    assert reduced_form(small).settings() == small.settings()
    for _ in range(3):
        arch = sample(space, rng)
        assert small.is_valid(arch)
        assert small.canonical(arch) == space.canonical(arch)
        assert small.format(arch) == space.format(arch)
        assert parameters(small, arch) < parameters(space, arch)


def parameters(space: Any, arch: Any) -> int:
    """The number of parameters of a network."""
    with torch.device("meta"):
        return sum(one.numel() for one in space.build(arch, 0).parameters())


@pytest.mark.parametrize("name", REDUCED)
def test_the_reduced_form_is_scored_with_fewer_flops(name: str, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("what the quick brown fox jumps over\n" * 12)
    splits = load_data(DATA[SPACES[name].reads].format(folder=tmp_path))
    space = space_for(name, {"patch": 4} if name == "autoformer" else {}, splits)
    arch, batch = sample(space, random.Random(1)), Batch(*minibatch(splits.train, 4, 0))
    full = score(space.build(arch, 0), batch, "flops", loss=splits.loss)
    small = score(reduced_form(space).build(arch, 0), batch, [*forward_only(), "flops"])
    assert 0 < small["flops"].value < full["flops"].value
    assert all(one.why or one.value == one.value for one in small.values())
    assert sum(one.why is None for one in small.values()) > 2


@pytest.mark.parametrize("name", sorted(set(SPACES) - set(REDUCED)))
def test_a_space_without_a_reduced_form_says_so(name: str) -> None:
    with pytest.raises(ForetellError, match=f"^{name} has no reduced form; score .* or those of"):
        reduced_form(make_space(name))
    with pytest.raises(ForetellError, match=f"^{name} has no reduced form; score"):
        reduced_name(f"{name}:{SPACES[name].example}")


def printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """The rows that a command prints as JSON."""
    assert main([*command, "--json"]) == 0, capsys.readouterr().err
    return next(
        one for one in json.loads(capsys.readouterr().out).values() if isinstance(one, list)
    )


def test_scores_are_of_the_reduced_form_and_sizes_of_the_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    splits = load_data("digits")
    assert reduced_name(NETWORK) == SMALLER
    batch = Batch(*minibatch(splits.train, 6, 0))
    full, small = (score(load_model(name, splits), batch) for name in (NETWORK, SMALLER))
    expected = {name: (full if name in SIZES else small)[name].value for name in full}
    rows = printed(["score", NETWORK, "--reduced-network", "--batch-size", "6"], capsys)
    found = {row["proxy"]: row["value"] for row in rows}
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-5)
    command = ["rank", NETWORK, "nb201:111111", "--reduced-network", "--by", "snip", *QUICK]
    (row,) = (row for row in printed(command, capsys) if row["model"] == NETWORK)
    assert row["snip"] == pytest.approx(expected["snip"], rel=1e-5)
    assert row["flops"] == expected["flops"]
    models = {"a": load_model(NETWORK, splits)}
    table = rank(models, batch, ["flops", "snip"], reduced={"a": load_model(SMALLER, splits)})
    assert table.loc["a", ["flops", "snip"]].tolist() == [expected["flops"], small["snip"].value]


def test_a_run_keeps_the_settings_that_each_score_was_computed_with(tmp_path: Path) -> None:
    """So a score of the reduced form is never taken for one of the network, nor the reverse."""
    whole = make_space("nb201", {"channels": 2, "cells": 2, "in_channels": 1})
    command = ["search", "--space", "nb201?channels=2,cells=2", "--data", "digits", *QUICK]
    command += ["--by", "snip", "--pool", "2", "--trainings", "1", "--epochs", "1"]
    command += ["--workers", "1", "--run", str(tmp_path / "run")]
    assert main([*command, "--reduced-network"]) == 0
    for row in read_rows(tmp_path / "run"):
        key = row["key"]
        if key["kind"] == "score":
            assert key["settings"]["cells"] == (1 if key["proxy"] == "snip" else 2)
            small = make_space("nb201", key["settings"])
            batch = Batch(*minibatch(load_data("digits").train, 6, 0))
            built = small.build(whole.parse(key["arch"]), key["seed"])
            assert row["value"] == pytest.approx(score(built, batch)[key["proxy"]].value, rel=1e-4)
        if key["kind"] == "train":
            assert key["settings"]["cells"] == 2
    assert main(command) == 2


@pytest.mark.parametrize(
    ("reduced", "message"),
    [
        ([torch.nn.Identity()], "reduced and models must be dicts with the same names"),
        ({"b": torch.nn.Identity()}, "have different names, such as 'a'"),
    ],
)
def test_reduced_forms_of_other_models_are_refused(reduced: Any, message: str) -> None:
    batch = (torch.ones(2, 2), torch.tensor([0, 1]))
    with pytest.raises(ForetellError, match=message):
        rank({"a": torch.nn.Linear(2, 2)}, batch, reduced=reduced)


def test_what_cannot_be_reduced_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rank", "torchvision:resnet18", "--reduced-network", "--data", "random:3x32x32x2"]
    assert main(command) == 2
    assert "has no reduced form, since it is not an architecture" in capsys.readouterr().err
    space = Subset(make_space("nb201"), [(0,) * 6, (1,) * 6])
    for wrong in ("cnn", space, ["nb201:111111"]):
        with pytest.raises(ForetellError, match="has no reduced form"):
            search(wrong, "digits", run=tmp_path / "run", reduced_network=True, pool=1, trainings=1)
        assert not (tmp_path / "run").exists()
