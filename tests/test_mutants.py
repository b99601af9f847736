"""bench/mutants.py makes changes that are changes, and finds the tests that may notice them."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT
from tests.support.scripts import script

SOURCE = '''"""A docstring of 1 line."""

__all__ = ["ä", "b"]


def f(x: "int < 3", *, strict: bool = True) -> int:
    """Says -1 < 2."""
    é = {"ü": -x}
    if x in (1, 2):
        raise ValueError(f"{x + 1}")
    é["ü"] += g(x, 2.5) if x < 3 or not strict else h(x)
    for _ in zip(é, é, strict=True):
        break
    return é["ü"] + 7
'''


@pytest.fixture(scope="module")
def mutants() -> Iterator[ModuleType]:
    """The script as a module."""
    with script(ROOT / "bench" / "mutants.py") as module:
        yield module


def test_each_kind_of_change_is_made_where_it_matters(
    mutants: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "src" / "foretell" / "engine" / "f.py"
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE, encoding="utf-8")
    found = {(m.kind, m.before, m.after) for m in mutants.mutants_of(path)}
    assert found == {
        ("constant", "True", "False"),
        ("sign", "-x", "(x)"),
        ("comparison", "x in (1, 2)", "(x not in (1, 2))"),
        ("constant", "1", "2"),
        ("constant", "2", "3"),
        ("dropped", 'if x in (1, 2):\n        raise ValueError(f"{x + 1}")', "pass"),
        ("dropped", 'raise ValueError(f"{x + 1}")', "pass"),
        (
            "dropped",
            'é["ü"] += g(x, 2.5) if x < 3 or not strict else h(x)',
            "pass",
        ),
        (
            "swap",
            "g(x, 2.5) if x < 3 or not strict else h(x)",
            "(h(x) if x < 3 or not strict else g(x, 2.5))",
        ),
        ("swap", "g(x, 2.5)", "(g(2.5, x))"),
        ("constant", "2.5", "5.0"),
        ("swap", "x < 3 or not strict", "(x < 3 and (not strict))"),
        ("comparison", "x < 3", "(x <= 3)"),
        ("constant", "3", "4"),
        ("dropped", "break", "pass"),
        ("sign", 'é["ü"] + 7', "(é['ü'] - 7)"),
        ("constant", "7", "8"),
    }
    for mutant in mutants.mutants_of(path):
        assert ast.dump(ast.parse(mutant.of(SOURCE))) != ast.dump(ast.parse(SOURCE))


def test_the_seed_decides_and_no_kind_is_left_out(mutants: ModuleType) -> None:
    some = mutants.drawn(["searchers", "training"], 25, 3)
    assert some == mutants.drawn(["searchers", "training"], 25, 3)
    assert some != mutants.drawn(["searchers", "training"], 25, 4)
    assert len({mutant.kind for mutant in some}) == 5
    assert {mutant.file.partition("/")[0] for mutant in some} == {"searchers", "training"}


def test_the_nearest_tests_come_first(mutants: ModuleType) -> None:
    groups = mutants.tests_of("searchers/local.py")
    assert groups[0] == ["src/foretell/searchers/local.py", "tests/searchers/test_local.py"]
    every = [test for group in groups for test in group]
    assert len(every) == len(set(every))
    assert "tests/searchers/test_searchers.py" in every
    assert "tests/laws/test_laws.py" in mutants.tests_of("engine/plan.py")[-1]


def test_what_is_explained_is_known_by_its_code(
    mutants: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = mutants.Mutant("engine/f.py", 7, "sign", "a | b", "(a)", 0, 5)
    assert mutant.row == r"| engine/f.py | 7 | sign | `a \| b` | `(a)` |"
    monkeypatch.setattr(mutants, "EXPLAINED", tmp_path / "mutants.md")
    assert not mutants.explained(mutant)
    (tmp_path / "mutants.md").write_text(r"| engine/f.py | 99 | sign | `a \| b` | `(a)` | equal |")
    assert mutants.explained(mutant)
    (tmp_path / "mutants.md").write_text(r"| engine/g.py | 7 | sign | `a \| b` | `(a)` | equal |")
    assert not mutants.explained(mutant)


def in_a_process(code: str, folder: Path) -> str:
    """What the code prints in a process of its own, which has not imported foretell."""
    start = (
        "import mutants\nfrom pathlib import Path\nfrom sys import argv\nfolder = Path(argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + code, folder],
        env=os.environ | {"PYTHONPATH": str(ROOT / "bench")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_mutant_is_noticed_and_the_copy_is_as_it_was(mutants: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    mutants.copied(folder)
    source = (folder / "src" / "foretell" / "seeds.py").read_text()
    start = source.index(">> 1")
    wrong = f"mutants.Mutant('seeds.py', 1, 'sign', '>> 1', '- \"a\"', {start}, {start + 4})"
    said = in_a_process(f"print(mutants.noticed({wrong}, folder, 60, set()))", folder)
    assert "derived_seed" in said
    assert (folder / "src" / "foretell" / "seeds.py").read_text() == source


def test_a_test_that_fails_anyway_notices_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    (folder / "src" / "foretell").mkdir(parents=True)
    (folder / "src" / "foretell" / "version.py").write_text("a = 1\nassert a\n")
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    test = folder / "tests" / "test_architecture.py"
    test.write_text("def test_one():\n    assert 0\n")
    code = """
same = mutants.Mutant("version.py", 1, "constant", "1", "2", 4, 5)
failing = set()
mutants.tests_of = lambda _: [["tests"]]
print(repr(mutants.noticed(same, folder, 60, failing)), failing)
"""
    assert in_a_process(code, folder) == "'' {'tests/test_architecture.py::test_one'}"
