"""Spaces of networks with a varying number of layers."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.spaces import GPT, Arch, AutoFormer, sample
from foretell.spaces.layered import Layered

SMALL: dict[str, Layered] = {
    "gpt": GPT(vocabulary=9, unit=2),
    "autoformer": AutoFormer(resolution=4, patch=2, shrink=32),
}
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("name", SMALL)
def test_what_unused_layers_have_does_not_change_the_network(name: str) -> None:
    space, rng = SMALL[name], random.Random(0)
    drawn = [sample(space, rng) for _ in range(40)]
    others = [arch for arch in drawn if space.canonical(arch) != arch]
    assert len({space.canonical(arch) for arch in others}) > 5
    for arch in others[:5]:
        one, other = (space.build(a, 0).state_dict() for a in (arch, space.canonical(arch)))
        assert list(one) == list(other)
        assert all(torch.equal(one[key], other[key]) for key in one)


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_only_canonical_texts_have_nothing_after_the_layers(seed: int) -> None:
    space = SMALL["gpt"]
    arch = sample(space, random.Random(seed))
    text = space.format(arch)
    canonical, _, unused = text.partition("+")
    assert space.parse(text) == arch
    assert space.parse(canonical) == space.canonical(arch)
    assert bool(unused) == (arch != space.canonical(arch))


def test_texts_name_the_options_of_the_network_and_of_each_layer() -> None:
    space = SMALL["gpt"]
    arch: Arch = (14, 2, 1, 2, 0, 1, *(0, 0) * 13, 3, 0)
    assert len(space.choices) == len(arch)
    assert space.format(arch) == "4/4:4/2:3" + "/2:2" * 13 + "+12:2"
    assert space.canonical(arch) == (*arch[:-2], 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "8", "8/", "8/4:5", "8/4", "1/4:4", "8" + "/4:4" * 17, "8:8/4:4", "8/4:4:4"),
        *("8/4:4+", "8/4:4+4:4", "8/4:4+2:3" + "/2:2" * 15, "08/4:4", "8/4:4/", "/4:4"),
        "8/4:4+2:2" + "/2:2" * 14,
    ],
)
def test_an_invalid_text_is_refused_with_the_form_and_an_example(text: str) -> None:
    with pytest.raises(ForetellError) as caught:
        SMALL["gpt"].parse(text)
    assert str(caught.value) == (
        f"{text[:60]!r} is not a network of gpt; expected 2|3|...|16, then a slash and "
        "2|4|8|12:2|3|4 for each of 1 to 16 layers, such as 4/4:2/8:4"
    )
