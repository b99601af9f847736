"""The plan of the house: what stands at the root, and that imports point one way only."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import DOCS, ROOT

PACKAGE = ROOT / "src" / "foretell"

FLOORS = (
    "errors version",
    "checks",
    "progress seeds files names user_code user_source",
    "batch",
    "losses",
    "proxies",
    "rankings spaces data",
    "models",
    "engine",
    "scoring",
    "training",
    "executors tables",
    "statistics",
    "searchers",
    "runs",
    "searching studies calibration",
    "report",
    "integrations plot testing",
    "__init__",
    "cli",
    "__main__",
)
"""From the ground up. A module may import from the floors below its own, and from its own room."""

FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor.split()}


def room_of(path: Path) -> str:
    """The module or folder at the package's root that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """The rooms that a file imports from, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if node.module == "foretell":
                names = [f"foretell.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "foretell":
                room = rest.partition(".")[0]
                yield room if room in FLOOR else "__init__"


def modules() -> list[str]:
    """Every module of the package by its dotted name."""
    found = pkgutil.walk_packages([str(PACKAGE)], prefix="foretell.")
    return [info.name for info in found if not info.name.endswith("__main__")]


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")}
    assert rooms == set(FLOOR)


def test_at_most_twelve_modules_stand_loose_at_the_root() -> None:
    assert len([path for path in PACKAGE.glob("*.py") if path.stem != "__init__"]) <= 12


def test_imports_point_down() -> None:
    upward = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for other in imported(path)
        if other != (own := room_of(path)) and FLOOR[other] >= FLOOR[own]
    ]
    assert not upward


@pytest.mark.parametrize("name", modules())
def test_no_module_is_hidden_by_something_of_its_own_name(name: str) -> None:
    importlib.import_module(name)
    parent, _, leaf = name.rpartition(".")
    assert isinstance(getattr(importlib.import_module(parent), leaf), ModuleType)


def test_the_page_on_the_architecture_shows_the_floors_in_order() -> None:
    table = (DOCS / "architecture.md").read_text().partition("| layer |")[2].partition("\n\n")[0]
    shown = [line.split("|")[1].replace("`", "").split() for line in table.splitlines()[2:]]
    assert shown == [floor.split() for floor in FLOORS]
