"""Every long call gives its `progress` callback the same kind of event."""

import sys

import pytest

from foretell.errors import ForetellError
from foretell.progress import Progress, Tally, as_progress


def test_a_tally_counts_each_kind_of_work_alone() -> None:
    events: list[Progress] = []
    tally = Tally(events.append, {"score": 2})
    tally.add("score", "a", cached=True)
    tally.add("train", "a")
    tally.add("score", "b")
    assert [(event.what, event.done, event.total, event.name) for event in events] == [
        ("score", 1, 2, "a"),
        ("train", 1, None, "a"),
        ("score", 2, 2, "b"),
    ]
    assert [event.cached for event in events] == [True, False, False]
    assert sorted(event.seconds for event in events) == [event.seconds for event in events]


def test_a_unit_that_is_asked_for_twice_counts_once() -> None:
    events: list[Progress] = []
    tally = Tally(events.append, {"score": 2})
    for unit in ("a", "b", "a"):
        tally.add_once(unit, "score", unit, cached=False)
    assert [(event.done, event.total) for event in events] == [(1, 2), (2, 2)]


def test_a_fast_loop_is_counted_now_and_then_and_to_its_end() -> None:
    events: list[Progress] = []
    assert list(Tally(events.append).over("import", range(10_000))) == list(range(10_000))
    assert 1 <= len(events) < 100
    done = [event.done for event in events]
    assert done[-1] == 10_000
    assert done == sorted(done)
    assert all(event.total is None for event in events)


def test_more_than_was_expected_raises_the_total() -> None:
    """So that done is never more than total."""
    events: list[Progress] = []
    tally = Tally(events.append, {"score": 1})
    tally.add("score")
    tally.add("score")
    assert [(event.done, event.total) for event in events] == [(1, 1), (2, 2)]


def test_true_draws_a_bar_for_each_kind_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    """With the number of units, and the name of the last one; a new call draws new bars."""
    pytest.importorskip("tqdm")
    for _ in range(2):
        tally = Tally(True, {"score": 2, "train": 1})
        for what, name in (("score", "a"), ("score", "b" * 100), ("train", "c")):
            tally.add(what, name)
        shown = capsys.readouterr().err
        assert "2/2" in shown
        assert "train" in shown
        assert "b" * 40 in shown
        assert "b" * 41 not in shown


def test_false_shows_nothing_and_other_values_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Tally(False, {"score": 1}).add("score")
    assert capsys.readouterr().err == ""
    with pytest.raises(ForetellError, match="progress is 3; expected True, or a function"):
        as_progress(3)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ForetellError, match="pip install tqdm, or give a function"):
        as_progress(True)
