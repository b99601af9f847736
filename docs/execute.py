"""Execute the notebooks in docs/notebooks and store their outputs, with charts as SVG.

python docs/execute.py [NAME ...]
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).with_name("notebooks")
LIMIT = 600
"""The maximum number of seconds for one cell."""
FIRST = (
    "import altair, warnings",
    "altair.renderers.enable('svg')",  # it is shown everywhere, without a script
    "warnings.filterwarnings('ignore', 'IProgress not found')",
)
"""What the kernel executes before the first cell."""
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""More threads than idle cores make small networks many times slower."""


def main() -> None:
    """Execute the notebooks that are named, or all of them."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            nbformat.write(executed(path), path)
            print(path)


def executed(path: Path) -> Any:
    """The notebook with its outputs. Raises CellExecutionError if a cell fails.

    It is executed in a temporary folder that contains the data files beside the notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob("*.csv"):
            shutil.copy(file, folder)
        NotebookClient(
            notebook,
            timeout=LIMIT,
            record_timing=False,
            extra_arguments=[f"--IPKernelApp.exec_lines={line}" for line in FIRST],
            resources={"metadata": {"path": folder}},
        ).execute(env={**os.environ, **ONE_THREAD})
    return notebook


if __name__ == "__main__":
    main()
