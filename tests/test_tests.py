"""What holds for the tests themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

TESTS = ROOT / "tests"
PACKAGE = ROOT / "src" / "foretell"


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, with what is called as it is written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_test_waits_for_a_process_without_an_end() -> None:
    endless = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name, call in calls(path)
        if name in ("subprocess.run", "subprocess.call", "subprocess.check_output")
        or name.endswith((".communicate", ".wait"))
        if not call.args[name.startswith("subprocess.") :]
        and "timeout" not in {keyword.arg for keyword in call.keywords}
    ]
    assert not endless, "give a timeout, or use tests/support/processes.py"


def test_no_test_edits_the_path_of_imports() -> None:
    writes = ("sys.path.insert", "sys.path.append", "sys.path.extend")
    assert not [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted(TESTS.rglob("*.py"))
        for name, call in calls(path)
        if name in writes or name.endswith(".syspath_prepend")
    ]


def folders(root: Path) -> set[str]:
    """The folders that hold Python files, as paths below `root`."""
    return {str(path.parent.relative_to(root)) for path in root.rglob("*.py")}


def test_the_folders_of_tests_are_those_of_the_package() -> None:
    of_their_own = {"laws", "support", "twins", "twins/proxies"}
    assert folders(TESTS) - of_their_own <= folders(PACKAGE)
    assert {folder for folder in folders(PACKAGE) if "/" not in folder} <= folders(TESTS)
