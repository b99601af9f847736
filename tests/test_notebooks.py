"""The notebooks of the documentation: they run as they are, and hold the outputs of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import DOCS
from tests.support.scripts import script

for needed in ("nbclient", "altair", "optuna", "torchvision", "pyarrow", "vl_convert"):
    pytest.importorskip(needed)

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_there_is_one_for_each_kind_of_user() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["automl", "engineer", "researcher"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_cells_run_in_order(path: Path) -> None:
    """And each cell gives as many outputs, of the same kinds, as those that are stored."""

    def kinds(notebook: dict[str, Any]) -> list[list[str]]:
        return [
            [kind for output in cell.get("outputs", ()) for kind in sorted(output.get("data", ()))]
            for cell in notebook["cells"]
        ]

    stored = json.loads(path.read_text("utf-8"))
    with script(DOCS / "execute.py") as execute:
        assert kinds(execute.executed(path)) == kinds(stored)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_are_stored(path: Path) -> None:
    """Those of one run from the first cell to the last, without a path of the machine."""
    text = path.read_text("utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) >= 3
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not [word for word in ("/home/", "/tmp/", "/root/", "site-packages") if word in text]
