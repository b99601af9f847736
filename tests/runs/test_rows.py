"""Each kind of row has one class, which reads what it writes and alone uses the field names."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import ForetellError
from foretell.runs import rows
from foretell.runs.rowlog import Row, canonical
from foretell.runs.rows import (
    CodeRow,
    CostRow,
    Declared,
    Network,
    PickRow,
    ReducedRow,
    ScoreRow,
    SimulatedRow,
    ToldRow,
    TrainRow,
    add,
    find,
    rows_of,
    versions,
)
from foretell.runs.store import Store, read_rows
from foretell.scoring.score import Score
from foretell.scoring.settings import ScoreSettings
from foretell.training.settings import TrainSettings
from foretell.training.train import Epoch, Trained
from tests.support.paths import ROOT

BEFORE = Path(__file__).parent / "before"
KINDS: dict[str, type[Declared]] = {
    kind.kind: kind
    for kind in (ScoreRow, TrainRow, PickRow, CostRow, ReducedRow, SimulatedRow, ToldRow, CodeRow)
}
NETWORK = Network("nb201", {"channels": 4, "classes": 10}, "333333", 3)
TRAINING = TrainSettings(patience=2).key()
GPU = {"device": "cuda"}

numbers = st.floats(allow_infinity=False)
whys = st.none() | st.text(max_size=5)
networks = st.just(NETWORK)
histories = st.lists(st.builds(Epoch, st.integers(1, 9), numbers, numbers), max_size=3).map(tuple)
counts = st.lists(st.integers(0, 99), max_size=4).map(tuple)
settings = st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
scoring = st.sampled_from([ScoreSettings(), ScoreSettings("mse", "conv2d_linear", "frozen")])
how = st.builds(lambda one, device: one.key(device), scoring, st.sampled_from(["cpu", "cuda"]))
devices = st.sampled_from([{}, GPU])
scores = st.builds(Score, numbers, st.floats(0, 99).map(lambda x: round(x, 6)), whys)
trained = st.builds(Trained, numbers, numbers, st.floats(0, 9), histories, whys)
codes = st.dictionaries(st.sampled_from(["proxy mine", "space a.py:b"]), st.text(), max_size=2)
any_row = st.one_of(
    st.builds(ScoreRow, networks, st.text(), settings, st.text(), how, scores, code=codes),
    st.builds(
        TrainRow, networks, st.just({"name": "a"}), st.just(TRAINING), devices, trained, code=codes
    ),
    st.builds(
        PickRow, st.text(), st.integers(1), st.text(), st.integers(0), st.floats(0, 9), codes
    ),
    st.builds(CostRow, networks, st.text(), devices, numbers, codes),
    st.builds(
        ReducedRow,
        networks,
        st.text(),
        st.text(),
        st.just(TRAINING),
        devices,
        numbers,
        whys,
        st.floats(0, 9),
        st.integers(0),
        st.lists(numbers, max_size=3).map(tuple),
        code=codes,
    ),
    st.builds(
        SimulatedRow,
        st.text(),
        st.text(),
        st.integers(1),
        st.integers(),
        counts,
        counts,
        code=codes,
    ),
    st.builds(
        ToldRow,
        st.text(),
        settings,
        st.text(),
        st.none() | st.integers(),
        st.none() | st.integers(),
        numbers,
        codes,
    ),
    st.builds(CodeRow, st.integers(0), codes),
)


def stored(row: Declared) -> Row:
    """The row as read from the file."""
    found: Row = json.loads(canonical({"key": row.key(), **row.values()}))
    return found


def text_of(row: Declared) -> str:
    """All its fields."""
    return json.dumps(asdict(row), sort_keys=True)  # type: ignore[call-overload]


@given(any_row)
def test_what_is_written_is_read_back(row: Declared) -> None:
    """This includes nan, which is not equal to itself, but has the same text."""
    (read,) = rows_of(KINDS[row.kind], [stored(row)])
    assert type(read) is type(row)
    assert text_of(read) == text_of(row)
    assert stored(read) == stored(row)


@pytest.mark.filterwarnings("ignore:.*recorded no checksums:foretell.errors.ForetellWarning")
@pytest.mark.parametrize("job", ["search", "study", "simulated"])
def test_every_row_of_before_is_of_a_declared_kind(job: str) -> None:
    """Its key is the one that its class computes, byte for byte."""
    for row in read_rows(BEFORE / job):
        (read,) = rows_of(KINDS[row["key"]["kind"]], [row])
        assert canonical(read.key()) == canonical(row["key"])
        assert canonical(read.values()) == canonical({n: v for n, v in row.items() if n != "key"})


def test_every_class_of_a_row_is_tried_here() -> None:
    declared = {getattr(rows, name) for name in rows.__all__ if name.endswith("Row")}
    assert declared == set(KINDS.values())


def test_a_row_without_values_asks_for_the_finished_one(tmp_path: Path) -> None:
    asked = CostRow(NETWORK, "params")
    with Store.open(tmp_path, {}) as store:
        assert find(store, asked) is None
        add(store, CostRow(NETWORK, "params", value=12.0))
        add(store, CostRow(NETWORK, "latency", GPU))
        found = find(store, asked)
        assert found is not None
        assert found.value == 12.0
        (latency,) = [row for row in rows_of(CostRow, list(store)) if row.device]
        assert math.isnan(latency.value)
        assert rows_of(ScoreRow, list(store)) == []
        assert versions(list(store)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_is_not_what_its_kind_says_is_one_line(kind: str) -> None:
    """Its checksum may be valid, and its kind known."""
    for values in ({}, {"value": "much", "trained": 3, "history": [None]}):
        with pytest.raises(ForetellError, match=f"a row of kind '{kind}' does not have") as caught:
            rows_of(KINDS[kind], [{"key": {"kind": kind}, **values}])
        assert "\n" not in str(caught.value)


def test_nothing_else_spells_the_fields_of_rows() -> None:
    own = {"rows.py", "rowlog.py", "store.py", "export.py"}
    spelt = [
        f"{path}: {line.strip()}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        if not (path.parent.name == "runs" and path.name in own)
        for line in path.read_text().splitlines()
        if re.search(r"""(row|stored)\[["']key["']\]|\[["']key["']\]\[|\{["']key["']: """, line)
    ]
    assert spelt == []
