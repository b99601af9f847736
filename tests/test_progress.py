"""Every long call gives its `progress` callback the same kind of event."""

from foretell.progress import Progress, Tally


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
