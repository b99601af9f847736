"""A space that is restricted to architectures within cost limits."""

import math
import random

import pytest

from foretell import ForetellError
from foretell.spaces import NASBench201, Within, mutate, sample

NB201 = NASBench201()


def test_architectures_that_cost_too_much_are_not_in_the_space() -> None:
    space = Within(NB201, lambda name, arch: arch.count(3), {"convolutions": 1})
    rng = random.Random(0)
    drawn = [sample(space, rng) for _ in range(50)]
    drawn += [mutate(space, arch, rng) for arch in drawn]
    assert max(arch.count(3) for arch in drawn) == 1
    with pytest.raises(ForetellError, match="not within the limits"):
        space.parse("333333")
    never = Within(NB201, lambda name, arch: 7 + arch.count(3), {"convolutions": 1})
    with pytest.raises(ForetellError, match="least costs were convolutions 7; raise the limits"):
        sample(never, rng)
    unknown = Within(NB201, lambda name, arch: math.nan, {"seconds": math.inf})
    with pytest.raises(ForetellError, match="seconds has no value for any of 300 architectures"):
        sample(unknown, rng)
