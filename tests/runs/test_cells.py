"""Numbers that are collected from rows one by one."""

import itertools
from typing import Any

import pytest

from foretell.calibration.files import run_scores
from foretell.runs.cells import Cells
from foretell.runs.rows import Network, ScoreRow, add
from foretell.runs.store import Store
from foretell.scoring.score import Score

ASKED = [("b", "snip"), ("a", "snip"), ("c", "snip"), ("c", "params"), ("b", "params")]


@pytest.mark.parametrize("order", list(itertools.permutations(ASKED))[::7])
def test_a_cell_has_its_default_until_it_is_set(order: Any) -> None:
    """In whichever order cells are set, so that sums are right."""
    cells = Cells()
    for name, column in [*order, *order]:
        cells.put(name, column, cells.get(name, column, 10.0) + 1)
    assert {cell: cells.get(*cell, 0.0) for cell in ASKED} == dict.fromkeys(ASKED, 12.0)
    assert cells.get("a", "params", 5.0) == cells.get("x", "snip", 5.0) == 5.0
    assert cells.frame().stack().dropna().to_dict() == dict.fromkeys(ASKED, 12.0)


def test_scores_of_a_run_are_means_in_whichever_order_they_were_computed(tmp_path: Any) -> None:
    """Proxies may be computed one after another, and networks in another order."""
    for number, order in enumerate(itertools.permutations(ASKED[:4])):
        with Store.open(tmp_path / str(number), {"job": "x"}) as store, store.group():
            for seed, (name, proxy) in itertools.product(range(2), order):
                value = len(proxy) + 2.0 * seed + ord(name)
                network = Network("nb201", {}, name, seed)
                add(store, ScoreRow(network, proxy, {}, "", {}, Score(value, 0.1, None)))
        found = run_scores(tmp_path / str(number)).set_index("name")
        expected = {cell: len(cell[1]) + 1.0 + ord(cell[0]) for cell in ASKED[:4]}
        assert found.stack().dropna().to_dict() == expected
