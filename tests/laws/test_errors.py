"""Errors that a program can react to: their types, their attributes, and where they are raised."""

import ast
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretell import ForetellError
from foretell.data import DATA, load_data
from foretell.engine.failures import Inexact, LossFailed, ModelFailed, Nested, TooFewValues
from foretell.engine.plan import make_plan
from foretell.errors import OutOfMemory, RunStateError, UnknownName, unknown_name
from foretell.losses import LOSSES, resolve_loss
from foretell.proxies import PROXIES
from foretell.runs.rowfile import DamageError
from foretell.scoring.costs import COSTS, require_cost
from foretell.searchers import SEARCHERS, make_searcher
from foretell.searching.chosen import load_chosen
from foretell.searching.read import read_search
from foretell.spaces import SPACES, make_space
from foretell.studies.read import read_study
from foretell.tables import IMPORTERS, import_table
from tests.support.paths import ROOT

LOOK_UPS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "proxy": (make_plan, PROXIES),
    "space": (make_space, SPACES),
    "searcher": (lambda name: make_searcher(name, make_space("nb201"), 0), SEARCHERS),
    "data set": (load_data, DATA),
    "loss": (resolve_loss, LOSSES),
    "cost": (require_cost, COSTS),
    "source": (lambda name: import_table(name, "x"), IMPORTERS),
}


@pytest.mark.parametrize("kind", LOOK_UPS)
def test_an_unknown_name_comes_with_the_near_ones(kind: str) -> None:
    look_up, known = LOOK_UPS[kind]
    for name in known:
        with pytest.raises(UnknownName, match="did you mean") as caught:
            look_up(f"{name}x")
        error = caught.value
        assert (error.given, error.kind) == (f"{name}x", kind)
        assert name in error.near
        assert f"did you mean {error.near[0]!r}" in str(error)


@pytest.mark.parametrize("kind", LOOK_UPS)
def test_where_none_is_similar_the_known_ones_are_listed(kind: str) -> None:
    look_up, known = LOOK_UPS[kind]
    with pytest.raises(
        UnknownName, match=f"known: .*{next(iter(known))}|nearest of [0-9]+ are "
    ) as caught:
        look_up("§§§")
    assert caught.value.near == ()


CARRIED: list[tuple[ForetellError, dict[str, Any]]] = [
    (ForetellError("no"), {}),
    (OutOfMemory("too much", 4), {"micro_batch": 4}),
    (RunStateError("busy", Path("a"), "locked"), {"path": Path("a"), "reason": "locked"}),
    (
        unknown_name("proxy", "snipp", ["snip"]),
        {"given": "snipp", "kind": "proxy", "near": ("snip",)},
    ),
    (ModelFailed("it raised", "KeyError"), {"complaint": "KeyError"}),
    (TooFewValues("one value", "ValueError"), {"complaint": "ValueError"}),
    (Nested("nested tensors"), {"complaint": ""}),
    (LossFailed("no loss", "TypeError"), {"complaint": "TypeError"}),
    (DamageError.of(Path("rows.sqlite"), "row 3 is missing"), {}),
    (Inexact("it normalises", "; or not"), {"why": "it normalises", "otherwise": "; or not"}),
]


@pytest.mark.parametrize(("error", "carried"), CARRIED, ids=lambda one: type(one).__name__)
def test_they_come_whole_out_of_another_process(
    error: ForetellError, carried: dict[str, Any]
) -> None:
    """Workers send errors in pickled form; one that cannot be unpickled breaks the pool."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error) == carried


def test_every_kind_is_tried_there() -> None:
    found, waiting = set(), [ForetellError]
    while waiting:
        found.add(kind := waiting.pop())
        waiting += kind.__subclasses__()
    ours = {kind for kind in found if kind.__module__.startswith("foretell")}
    assert ours == {type(error) for error, _ in CARRIED}


@pytest.mark.parametrize("read", [read_search, read_study, load_chosen])
def test_a_folder_without_a_run_is_named(read: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(RunStateError) as caught:
        read(tmp_path)
    assert caught.value.path == tmp_path
    assert caught.value.reason == ("unfinished" if read is load_chosen else "not a run")


def test_did_you_mean_is_said_by_unknown_name_alone() -> None:
    """It ensures that every unknown name raises UnknownName, except a wrong keyword, which raises
    Python's TypeError, and a wrong option, which is an error of the command line.
    """
    package = ROOT / "src" / "foretell"
    saying = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "did_you_mean"
    }
    assert saying == {"errors.py", "scoring/settings.py", "cli/command.py", "cli/values.py"}


def test_no_reason_repeats_the_name_that_is_written_before_it() -> None:
    """A table says `nwot: a kernel needs ...`, and the name of the file is that of the proxy."""
    own = [
        f"{path.name}: {node.value}"
        for path in (ROOT / "src" / "foretell" / "proxies").glob("*.py")
        for raised in ast.walk(ast.parse(path.read_text()))
        if isinstance(raised, ast.Raise)
        for node in ast.walk(raised)
        if isinstance(node, ast.Constant) and str(node.value).split(" ")[0] == path.stem
    ]
    assert not own
