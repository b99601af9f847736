"""A process that keeps its memory does not get new pages for each network."""

from pathlib import Path

import pytest

from foretell.executors import own_memory as heap
from tests.support.processes import python

SCRIPT = """
import resource, sys
from foretell.executors.own_memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        blocks = [torch.ones(12_000_000) for _ in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(how: str) -> int:
    done = python("-c", SCRIPT, how)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(heap.platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_memory_that_was_freed_is_there_for_what_comes_next() -> None:
    given_back, kept = faults("as python does"), faults("keep")
    assert kept < given_back / 20


def test_a_limit_on_addresses_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heap.reserve() > heap.BLOCK
    monkeypatch.setattr("resource.getrlimit", lambda _: (1 << 40, 1 << 40))
    assert heap.reserve() == 0


def test_no_addresses_are_taken_where_they_count_as_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heap, "OVERCOMMIT", tmp_path / "overcommit_memory")
    heap.OVERCOMMIT.write_text("2\n")
    assert heap.reserve() == 0


def test_another_malloc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.platform, "libc_ver", lambda: ("", ""))
    assert heap.keep_memory() is False
