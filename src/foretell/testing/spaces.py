"""The requirements that every architecture space must meet."""

import itertools
import json
import random
from typing import Any

import torch
from torch import Tensor, nn

from foretell.batch import main_output
from foretell.checks import as_instance, as_integer, as_seed, optional
from foretell.errors import ForetellError, any_error, complaint_of
from foretell.spaces import (
    SPACES,
    Arch,
    Graphs,
    Listed,
    Space,
    as_space,
    enumerate_space,
    make_space,
    neighbours,
    sample,
    size,
)
from foretell.testing.generators import generator_states

__all__ = ["check_space"]

LISTED = 200
"""The number of architectures of an enumeration that are checked."""


LARGEST = 100_000
"""The largest number of samples that is accepted."""


def check_space(
    space: Space, *, samples: int = 10, batch: Tensor | None = None, seed: int = 0
) -> None:
    """Raise AssertionError with the requirement that the space does not meet, if any.

    `samples` random architectures are checked, and the networks of three of them are built. If a
    `batch` of inputs is given, these networks are also run and differentiated.

    >>> from foretell.spaces import NASBench201
    >>> check_space(NASBench201(channels=4, cells=1), samples=2, batch=torch.ones(2, 3, 8, 8))
    """
    as_space(space)
    samples, seed = as_integer("samples", samples, 1, LARGEST), as_seed("seed", seed)
    batch = optional(as_instance)("batch", batch, Tensor, "a tensor of inputs")
    before = generator_states()
    check_form(space)
    check_enumeration(space)
    drawn = check_samples(space, samples, seed)
    for arch in drawn:
        check_text(space, arch)
        check_canonical(space, arch)
        check_surroundings(space, arch)
        check_graph(space, arch)
    check_refusals(space, drawn[0])
    for arch in drawn[:3]:
        check_build(space, arch, seed)
        if batch is not None:
            check_run(space, arch, batch)
    assert generator_states() == before, "the space changed a global random number generator"


def check_form(space: Space) -> None:
    """Check the types of name, options and settings, and that JSON settings rebuild the space."""
    assert isinstance(space.name, str), f"the name is {space.name!r}, not a string"
    assert space.name, "the name is empty"
    choices = space.choices
    assert isinstance(choices, tuple), "choices is not a tuple"
    assert choices, "choices is empty: an architecture has at least one position"
    for position, options in enumerate(choices):
        assert isinstance(options, tuple), f"the options at position {position} are not a tuple"
        assert options, f"there are no options at position {position}"
        texts = all(isinstance(option, str) for option in options)
        assert texts, f"the options at position {position} are not all strings"
    settings = space.settings()
    again = json.loads(json.dumps(settings))
    assert again == settings, "the settings change when they are written to JSON and read back"
    entry = SPACES.get(space.name)
    if (
        entry is not None
        and isinstance(entry.constructor, type)
        and type(space) is entry.constructor
    ):
        rebuilt = make_space(space.name, again)
        assert rebuilt == space, "make_space(space.name, space.settings()) gives a different space"


def check_enumeration(space: Space) -> None:
    """Check that the first architectures of the enumeration are valid and in ascending order."""
    first = list(itertools.islice(enumerate_space(space), LISTED if size(space) < 10**7 else 1))
    assert first, "the space has no valid architecture"
    assert first == sorted(set(first)), "listing gives an architecture twice or out of order"
    assert all(space.is_valid(arch) for arch in first), "is_valid rejects what is listed"


def check_samples(space: Space, samples: int, seed: int) -> list[Arch]:
    """Check that random architectures are valid and determined by the generator; return them."""
    rng, again = random.Random(seed), random.Random(seed)
    drawn = [sample(space, rng) for _ in range(samples)]
    assert drawn == [sample(space, again) for _ in range(samples)], (
        "sampling twice with the same generator gives different architectures"
    )
    for arch in drawn:
        assert space.is_valid(arch), f"the random architecture {arch} is not valid"
        assert len(arch) == len(space.choices), f"{arch} does not have one option per position"
    return drawn


def check_text(space: Space, arch: Arch) -> None:
    """Check that `parse` is the inverse of `format`."""
    text = space.format(arch)
    assert isinstance(text, str), f"format gives {text!r}, not a string"
    assert "\n" not in text, f"the text {text!r} has several lines"
    found = space.parse(text)
    assert found == arch, f"parse({text!r}) gives {found}, but the text is that of {arch}"


def check_canonical(space: Space, arch: Arch) -> None:
    """Check that the canonical form is valid, and that its canonical form is itself."""
    canonical = space.canonical(arch)
    assert space.is_valid(canonical), f"canonical({arch}) = {canonical} is not valid"
    again = space.canonical(canonical)
    assert again == canonical, f"canonical({canonical}) is {again}; expected the same"


def check_surroundings(space: Space, arch: Arch) -> None:
    """Check that neighbours are valid, distinct, not `arch` itself, and listed if the space is."""
    near = list(itertools.islice(neighbours(space, arch), LISTED))
    assert len(set(near)) == len(near), f"a neighbour of {arch} occurs twice"
    assert arch not in near, f"{arch} is its own neighbour"
    assert all(space.is_valid(other) for other in near), f"a neighbour of {arch} is not valid"
    if isinstance(space, Listed):
        listed = set(space.listed())
        assert arch in listed, f"{arch} is valid but not listed"
        assert listed.issuperset(near), f"a neighbour of {arch} is not listed"


def check_graph(space: Space, arch: Arch) -> None:
    """Check that each edge of a graph leads to a later node, so that there are no cycles."""
    if isinstance(space, Graphs):
        labels, edges = space.graph(arch)
        assert all(isinstance(label, str) for label in labels), "a node's label is not a string"
        forward = all(0 <= source < target < len(labels) for source, target in edges)
        assert forward, f"the graph of {arch} has an edge that does not lead to a later node"


def check_refusals(space: Space, arch: Arch) -> None:
    """Check that invalid architectures and texts are rejected by all members of the space."""
    for wrong in (arch[:-1], (*arch, 0), (10**6, *arch[1:]), (-1, *arch[1:])):
        assert not space.is_valid(wrong), f"is_valid accepts {wrong}"
        for what, use in (
            ("canonical", space.canonical),
            ("format", space.format),
            ("build", lambda a: space.build(a, 0)),
        ):
            assert refuses(use, wrong), f"{what}({wrong}) does not raise ForetellError"
    nonsense = "no architecture, says \N{SNOWMAN}"
    assert refuses(space.parse, nonsense), f"parse({nonsense!r}) does not raise ForetellError"


def refuses(use: Any, wrong: object) -> bool:
    """Whether the function raises ForetellError for this argument, and nothing else."""
    try:
        use(wrong)
    except ForetellError:
        return True
    except Exception:
        return False
    return False


def check_build(space: Space, arch: Arch, seed: int) -> None:
    """Check that the weights are finite and determined by the seed alone."""
    one = weights(space.build(arch, seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 12345)
        same = weights(space.build(arch, seed))
    assert list(one) == list(same), f"building {arch} twice gives different parameters"
    for name, value in one.items():
        assert value.isfinite().all(), f"{name} of {arch} is not finite"
    equal = all(torch.equal(one[name], same[name]) for name in one)
    assert equal, f"building {arch} twice with seed {seed} gives different weights"
    other = weights(space.build(arch, seed + 1))
    differs = not one or any(not torch.equal(one[name], other[name]) for name in one)
    assert differs, f"building {arch} with another seed gives the same weights"


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers of a network, which must be in training mode."""
    assert isinstance(model, nn.Module), f"build gives a {type(model).__name__}, not a module"
    assert model.training, "build gives a network in evaluation mode"
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def check_run(space: Space, arch: Arch, batch: Tensor) -> None:
    """Check that the network gives a finite, differentiable output for each sample."""
    model = space.build(arch, 0)
    try:
        with torch.random.fork_rng(devices=[]):
            output = main_output(model(batch))
    except any_error() as error:
        raise AssertionError(f"{arch} cannot run on the batch: {complaint_of(error)}") from error
    assert len(output) == len(batch), f"{arch} gives {len(output)} outputs for {len(batch)} samples"
    assert output.isfinite().all(), f"an output of {arch} is not finite"
    if any(parameter.requires_grad for parameter in model.parameters()):
        assert output.requires_grad, f"the outputs of {arch} do not depend on its weights"
