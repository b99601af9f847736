"""Scores of NAS-Bench-201 networks compared with the authors' code (bench/golden_nb201.py)."""

import functools
import json
import math
from typing import Any

import pytest

from foretell import score
from tests.support.golden_nb201 import GOLDEN, MEASURES, rebuild

ROWS: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["rows"]
DOUBLE = [row for row in ROWS if row["dtype"] == "float64"]
OURS = {"fisher": "fisher_reference", "synflow": "synflow_reference"}
"""The name of a proxy in the reference → ours, if they differ."""
CHAOTIC = {"222222", "033323", "333333"}
"""Networks whose float32 grasp is off by 1 to 2 %: for the first two in the reference itself, for
the third in ours, in the median of 14 draws.
"""


@functools.cache
def scores(arch: str, dtype: str) -> dict[str, float]:
    """Our values with the reference's names and scale, on which synflow is not a logarithm."""
    row = next(row for row in ROWS if (row["arch"], row["dtype"]) == (arch, dtype))
    model, images, labels = rebuild(row)
    found = score(model, (images, labels), proxies=[OURS.get(name, name) for name in MEASURES])
    values = {name: found[OURS.get(name, name)].value for name in MEASURES}
    return {**values, "synflow": math.exp(values["synflow"])}


@pytest.mark.parametrize("row", DOUBLE, ids=[row["arch"] for row in DOUBLE])
def test_float64_scores_equal_those_of_the_authors_code(row: dict[str, Any]) -> None:
    found = scores(row["arch"], "float64")
    for name, value in row["values"].items():
        # the reference computes fisher in float32 even for a float64 network
        tolerance = 1e-5 if name == "fisher" else 1e-6
        assert found[name] == pytest.approx(value, rel=tolerance), name


@pytest.mark.parametrize("arch", sorted({row["arch"] for row in ROWS} - CHAOTIC))
def test_float32_scores_are_within_one_percent_of_float64_ones(arch: str) -> None:
    exact = scores(arch, "float64")
    for name, value in scores(arch, "float32").items():
        assert value == pytest.approx(exact[name], rel=0.01), name


def test_the_golden_file_holds_every_network_in_both_precisions() -> None:
    in_double = {row["arch"] for row in DOUBLE}
    assert in_double == {row["arch"] for row in ROWS if row["dtype"] == "float32"}
    assert len(in_double - CHAOTIC) >= 6
    assert all(sorted(row["values"]) == sorted(MEASURES) for row in ROWS)
