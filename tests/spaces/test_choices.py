"""A user's own space works with everything that works with a registered space."""

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foretell import ForetellError, load_chosen, search
from foretell.searchers import SEARCHERS
from foretell.spaces import Choices, enumerate_space, mutate, own_space, sample
from foretell.training.settings import TrainSettings

CODE = """
from torch import nn
from foretell.spaces import Choices

def build(depth, width, activation):
    layers = [nn.Linear(30, width)]
    for _ in range(depth):
        layers += [getattr(nn, activation)(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(width, 2))

def same(depth, width, activation):
    return dict(depth=depth, width=width, activation=activation if depth else "ReLU")

mlp = Choices(
    build,
    {"depth": [0, 1, 2], "width": [4, 8, 16], "activation": ["ReLU", "Tanh"]},
    valid=lambda depth, width, activation: depth * width < 32,
    same=same,
)
number = 3
"""
QUICK: dict[str, Any] = {
    "data": "breast_cancer",
    "trainings": 3,
    "pool": 8,
    "batch_size": 16,
    "training": TrainSettings(epochs=1, batch_size=32, lr=0.05),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(CODE)
    return path


def test_an_own_space_obeys_the_laws_of_spaces(file: Path) -> None:
    space = own_space(f"{file}:mlp")
    archs = list(enumerate_space(space))
    assert len(archs) == 16  # of 18, two are not valid
    assert len({space.canonical(arch) for arch in archs}) == 13
    for arch in archs:
        assert space.parse(space.format(arch)) == arch
        assert space.parse("".join(map(str, arch))) == arch
        assert space.canonical(space.canonical(arch)) == space.canonical(arch)
    rng = random.Random(0)
    assert all(space.is_valid(mutate(space, sample(space, rng), rng)) for _ in range(50))


def test_weights_depend_on_the_seed_alone(file: Path) -> None:
    space = own_space(f"{file}:mlp")
    before = torch.get_rng_state()
    one, again, other = (space.build((1, 1, 0), seed) for seed in (0, 0, 1))
    assert torch.get_rng_state().equal(before)
    x = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    assert one(x).equal(again(x))
    assert not one(x).equal(other(x))


def test_other_processes_load_it_from_its_file(file: Path) -> None:
    copied = pickle.loads(pickle.dumps(own_space(f"{file}:mlp")))
    assert copied.format((1, 1, 0)) == "depth=1,width=8,activation=ReLU"
    assert copied.name == "nets.py:mlp"


@pytest.mark.parametrize("searcher", sorted(SEARCHERS))
def test_every_searcher_searches_it(searcher: str, file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = search(f"{file}:mlp", run=run, searcher=searcher, **QUICK)
    assert len(outcome.table.loc["scored"]) == 3
    assert load_chosen(run, f"{file}:mlp")(torch.zeros(1, 30)).shape == (1, 2)


def test_workers_and_a_space_object_give_the_same_results(file: Path, tmp_path: Path) -> None:
    alone = search(f"{file}:mlp", run=tmp_path / "one", **QUICK)
    several = search(f"{file}:mlp", run=tmp_path / "two", workers=2, **QUICK)
    given = search(own_space(f"{file}:mlp"), run=tmp_path / "three", **QUICK)
    columns = ["synflow", "snip", "val_accuracy"]
    assert several.table[columns].equals(alone.table[columns])
    assert given.table[columns].equals(alone.table[columns])


def test_a_run_executes_nothing_and_asks_for_the_space(file: Path, tmp_path: Path) -> None:
    search(f"{file}:mlp", run=tmp_path / "run", **QUICK)
    with pytest.raises(ForetellError, match=r"is your own, nets\.py:mlp; pass it again"):
        load_chosen(tmp_path / "run")
    file.write_text(CODE.replace("[4, 8, 16]", "[4, 8]"))
    with pytest.raises(ForetellError, match="other choices"):
        load_chosen(tmp_path / "run", f"{file}:mlp")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "is of type int; expected a space"),
        ("nothing", "does not exist; expected a space"),
        ("Choices", "is of type type; expected a space"),
    ],
)
def test_an_object_that_is_not_a_space_is_refused(name: str, message: str, file: Path) -> None:
    with pytest.raises(ForetellError, match=message):
        own_space(f"{file}:{name}")
    with pytest.raises(ForetellError, match="there is no file"):
        own_space(f"{file}x.py:{name}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "options is empty; expected a dict"),
        ({"width": []}, "give at least one, and each once"),
        ({"width": [1, 1]}, "give at least one, and each once"),
        ({"width": ["a,b", "c"]}, "comma"),
        ({"layer": [nn.ReLU]}, "option <class .*ReLU.* is not a JSON value; give its name"),
    ],
)
def test_invalid_choices_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        Choices(nn.Identity, options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depth=1,width=8", "no option is given for 'activation'; add activation=OPTION"),
        ("depth=1,width=9,activation=ReLU", "width is 9; give one of 4, 8, 16"),
        ("deep=1,width=8,activation=ReLU", "no choice is called 'deep'; did you mean 'depth'"),
        ("depth=2,width=16,activation=ReLU", "not an architecture"),
    ],
)
def test_a_text_that_is_not_an_architecture_is_refused(text: str, message: str, file: Path) -> None:
    with pytest.raises(ForetellError, match=message):
        own_space(f"{file}:mlp").parse(text)


def test_a_build_that_fails_is_reported(file: Path) -> None:
    def wrong(width: int) -> Any:
        return {1: 1 / (width - 1) if width == 1 else "text"}.get(width, "text")

    space = Choices(wrong, {"width": [1, 2]})
    with pytest.raises(ForetellError, match="width=1 of space own cannot be built: ZeroDivision"):
        space.build((0,), 0)
    with pytest.raises(ForetellError, match=r"returned a str; return a torch\.nn\.Module"):
        space.build((1,), 0)
