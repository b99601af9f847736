"""The stream of distinct architectures that searchers draw from."""

import pytest

from foretell.searchers import (
    distinct,
    searcher,
)
from foretell.spaces import (
    enumerate_space,
)
from tests.support.searches import CLASSES, TOY


def test_the_stream_yields_every_class_once_then_ends() -> None:
    drawn = list(distinct(TOY, seed=0))
    assert len(drawn) == CLASSES
    assert all(TOY.canonical(arch) == canonical for arch, canonical in drawn)
    assert {canonical for _, canonical in drawn} == {
        TOY.canonical(arch) for arch in enumerate_space(TOY)
    }


@pytest.mark.parametrize(
    ("patience", "listable", "found"), [(0, 100, CLASSES), (1, 100, CLASSES), (1, 10, None)]
)
def test_classes_that_the_draws_miss_are_enumerated_unless_the_space_is_too_large(
    monkeypatch: pytest.MonkeyPatch, patience: int, listable: int, found: int | None
) -> None:
    monkeypatch.setattr(searcher, "PATIENCE", patience)
    monkeypatch.setattr(searcher, "LISTABLE", listable)
    streams = [[canonical for _, canonical in distinct(TOY, seed)] for seed in range(5)]
    for stream in streams:
        assert len(set(stream)) == len(stream)
        assert len(stream) == found if found else len(stream) < CLASSES
    assert len({tuple(stream) for stream in streams}) == 5  # the enumerated rest is shuffled, too
