"""The cells and texts of NAS-Bench-101, compared with the benchmark's table and other counts."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given, settings

from foretell.errors import ForetellError
from foretell.spaces import Arch, NASBench101, sample
from foretell.spaces.nb101_cells import Cell, all_cells, fingerprint, pruned, smallest

SPACE = NASBench101()
archs = st.integers(0, 2**32).map(lambda seed: sample(SPACE, random.Random(seed)))


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.DataFrame:
    frame = pd.read_parquet(shared / "data" / "tables" / "nb101_20001.parquet")
    rows = zip(frame["n"], frame["adjacency"], frame["ops"], strict=True)
    return frame.set_index(pd.Index([text_of(*row) for row in rows], name="text"))


def text_of(n: int, adjacency: str, ops: str) -> str:
    return "".join(adjacency[i * n + i + 1 : (i + 1) * n] for i in range(n)) + ":" + ops


# --- names -----------------------------------------------------------------------------------


def test_the_tables_cells_keep_their_text_and_hash(table: pd.DataFrame) -> None:
    assert len(table) == 20_001
    for text, published in zip(table.index, table["hash"], strict=True):
        arch = SPACE.parse(text)
        assert SPACE.format(arch) == text
        assert SPACE.hash(arch) == published


@pytest.mark.parametrize(
    ("text", "arch"),
    [
        ("1:", "00000 000001 00000 0000 000 00 0"),
        ("110011:12", "12000 110000 00001 0001 000 00 0"),
        ("0101100001:012", "01200 010001 10000 0000 001 00 0"),
        ("000001000000000000000:00002", "00002 000001 00000 0000 000 00 0"),
    ],
)
def test_a_smaller_cell_takes_the_first_places(text: str, arch: str) -> None:
    assert SPACE.parse(text) == tuple(map(int, arch.replace(" ", "")))
    assert SPACE.format(SPACE.parse(text)) == text


@settings(max_examples=100, deadline=None)
@given(archs)
def test_the_text_of_all_seven_nodes_is_read_too(arch: Arch) -> None:
    full = f"{''.join(map(str, arch[5:]))}:{''.join(map(str, arch[:5]))}"
    assert SPACE.parse(full) == SPACE.parse(f" {SPACE.format(arch)}\n") == arch
    assert len(SPACE.format(arch)) <= len(full)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not a NAS-Bench-101 cell; expected the adjacency matrix"),
        ("110011", "is not a NAS-Bench-101 cell"),
        ("110011:03", "is not a NAS-Bench-101 cell"),
        ("110012:01", "is not a NAS-Bench-101 cell"),
        ("1" * 28 + ":000000", "is not a NAS-Bench-101 cell"),
        ("11001:01", "gives 5 bits for a cell of 4 nodes, which needs 6"),
        ("110011:0", "gives 6 bits for a cell of 3 nodes, which needs 3"),
        ("110000:01", "has 0 edges on paths from input to output"),
        ("1" * 10 + ":012", "has 10 edges on paths .* give a cell that has 1 to 9"),
    ],
)
def test_an_invalid_text_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ForetellError, match=complaint) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"channels": 3}, "channels is 3; give an integer of at least 4"),
        ({"stacks": 0}, "stacks is 0; give an integer of at least 1"),
        ({"modules": 2.0}, "modules is 2.0"),
        ({"classes": True}, "classes is True"),
        ({"resolution": "32"}, "resolution is '32'"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, object], complaint: str) -> None:
    with pytest.raises(ForetellError, match=complaint):
        NASBench101(**setting)  # type: ignore[arg-type]


# --- what is in the space --------------------------------------------------------------------


def with_edges(*edges: str) -> Arch:
    """A cell of 3x3 convolutions; each edge is given as two digits."""
    places = [f"{s}{t}" for s in range(7) for t in range(s + 1, 7)]
    return (0,) * 5 + tuple(int(place in edges) for place in places)


NINE = ("01", "02", "03", "04", "16", "26", "36", "46", "06")


@pytest.mark.parametrize(
    ("edges", "valid"),
    [
        (NINE, True),
        ((*NINE, "12"), False),
        ((*NINE, "15", "25", "35", "45"), True),  # node 5 leads nowhere
        ((*NINE, "15", "56"), False),
        (("01", "02", "12"), False),
        (("16",), False),
        ((), False),
        (("06",), True),
    ],
)
def test_nine_edges_are_allowed_on_paths_from_input_to_output(
    edges: tuple[str, ...], valid: bool
) -> None:
    assert SPACE.is_valid(with_edges(*edges)) == valid


def test_pruning_by_hand() -> None:
    dead = SPACE.parse("000110" + "00100" + "0010" + "000" + "01" + "0" + ":01212")
    # 0->4, 0->5, 1->4, 2->5, 4->6: nodes 1 and 2 have no input, 3 has no edges, 5 leads nowhere
    assert pruned(Cell(dead[:5], ((0, 4), (0, 5), (1, 4), (2, 5), (4, 6)))) == Cell(
        (1,), ((0, 1), (1, 2))
    )
    assert SPACE.format(SPACE.canonical(dead)) == "101:1"
    assert SPACE.hash(dead) == SPACE.hash(SPACE.parse("101:1"))


# --- isomorphism -----------------------------------------------------------------------------


def renumbered(arch: Arch, order: tuple[int, ...]) -> Arch | None:
    """The graph with interior node n renumbered to order[n - 1]; None if an edge goes downwards."""
    number = (0, *order, 6)
    pairs = [(s, t) for s in range(7) for t in range(s + 1, 7)]
    edges = {(number[s], number[t]) for (s, t), bit in zip(pairs, arch[5:], strict=True) if bit}
    if any(s > t for s, t in edges):
        return None
    operations = sorted(zip(order, arch[:5], strict=True))
    return (*(o for _, o in operations), *(int(pair in edges) for pair in pairs))


@settings(max_examples=50, deadline=None)
@given(archs, st.permutations(range(1, 6)))
def test_renumbered_cells_are_isomorphic(arch: Arch, order: list[int]) -> None:
    other = renumbered(arch, tuple(order))
    if other is not None:
        assert SPACE.canonical(other) == SPACE.canonical(arch)
        assert SPACE.hash(other) == SPACE.hash(arch)


@settings(max_examples=50, deadline=None)
@given(archs, archs)
def test_canonical_keeps_the_hash_and_only_the_hash(one: Arch, other: Arch) -> None:
    assert SPACE.hash(SPACE.canonical(one)) == SPACE.hash(one)
    same = SPACE.canonical(one) == SPACE.canonical(other)
    assert same == (SPACE.hash(one) == SPACE.hash(other))


def test_the_table_lists_canonical_cells(table: pd.DataFrame) -> None:
    for text in table.index[::10]:
        arch = SPACE.parse(text)
        assert SPACE.canonical(arch) == arch


# --- all there are ---------------------------------------------------------------------------


def graphs(nodes: int) -> Iterator[frozenset[tuple[int, int]]]:
    """The sets of at most nine edges that leave no node dead, found by trying all of them."""
    pairs = list(itertools.combinations(range(nodes), 2))
    for count in range(1, 10):
        for edges in itertools.combinations(pairs, count):
            sources, targets = zip(*edges, strict=True)
            if set(sources) == {*range(nodes - 1)} and set(targets) == {*range(1, nodes)}:
                yield frozenset(edges)


@pytest.mark.parametrize(("nodes", "count"), [(2, 1), (3, 6), (4, 84), (5, 2_441)])
def test_all_small_cells_are_listed_once(nodes: int, count: int) -> None:
    cells = [
        Cell(operations, tuple(sorted(edges)))
        for edges in graphs(nodes)
        for operations in itertools.product(range(3), repeat=nodes - 2)
    ]
    listed = list(all_cells(nodes - 1))
    assert {fingerprint(cell) for cell in cells} == {fingerprint(cell) for cell in listed}
    assert {smallest(cell) for cell in cells} == set(listed)
    assert len(listed) == count


def cells_by_symmetry(nodes: int) -> float:
    """The number of cells by Burnside's lemma.

    A graph has as many labellings as its symmetries leave unchanged on average. The loop meets a
    graph once for each renumbering that keeps its edges upwards. There are
    `upwards / len(symmetries)` of these, and each adds its share of the class.
    """
    total = 0.0
    orders = [(0, *order, nodes - 1) for order in itertools.permutations(range(1, nodes - 1))]
    for edges in graphs(nodes):
        images = [frozenset((number[s], number[t]) for s, t in edges) for number in orders]
        upwards = sum(all(s < t for s, t in image) for image in images)
        symmetries = (order for order, image in zip(orders, images, strict=True) if image == edges)
        total += sum(3 ** cycles(number) for number in symmetries) / upwards
    return total


def cycles(number: tuple[int, ...]) -> int:
    """The number of cycles of the interior nodes."""
    seen: set[int] = {0, len(number) - 1}
    count = 0
    for node in range(len(number)):
        count += node not in seen
        while node not in seen:
            seen.add(node)
            node = number[node]
    return count


def test_the_number_of_cells_of_up_to_six_nodes_agrees_with_burnside() -> None:
    counted = [cells_by_symmetry(nodes) for nodes in range(2, 7)]
    assert counted == pytest.approx([1, 6, 84, 2_441, 62_010], abs=1e-6)
    assert sum(1 for _ in all_cells(5)) == 62_010


def test_all_423624_cells_are_listed(table: pd.DataFrame) -> None:
    everything = list(map(bytes, SPACE.cells()))
    names = set(everything)
    assert len(everything) == len(names) == 423_624
    assert {bytes(SPACE.parse(text)) for text in table.index} <= names
    for name in everything[::1000]:
        assert SPACE.is_valid(tuple(name))
        assert SPACE.canonical(tuple(name)) == tuple(name)
