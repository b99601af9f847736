"""Break the code on purpose, one place at a time, and list the changes that no test detects.

    python bench/mutants.py --count 60 --seed 1
    python bench/mutants.py --only searchers/local.py --count 20

Each mutant changes one place in a copy of the sources: a sign, a comparison, a constant, the order
of two arguments or branches, or a statement that is dropped. The seed determines the places. Then
the tests that concern the module run, nearest first, until one fails: the examples of the module,
the test files that have its name or import it, those of its folder and, for modules that compute
scores, the laws. A mutant that makes a test hang counts as detected. The survivors are printed as a
table for docs/mutants.md, which explains those that no test can detect.

The tests run in forks of this process, which has imported all libraries already.
"""

import argparse
import ast
import copy
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPLAINED = ROOT / "docs" / "mutants.md"
ROOMS = ("calibration", "engine", "proxies", "rankings", "runs", "searchers", "spaces")
ROOMS += ("statistics", "tables", "training")
LIBRARIES = ("torch", "torch.utils.flop_counter", "pandas", "scipy.stats", "sklearn.datasets")
LIBRARIES += ("sklearn.ensemble", "pyarrow.parquet", "pytest", "rich.live", "click")
SCORES = ("engine", "proxies", "scoring")
"""The packages that the laws of scores cover."""
GUARDS = ("strict", "frozen", "eq", "slots", "stacklevel")
"""Keyword arguments that only guard against mistakes in the code itself."""
COPIED = ("src", "tests", "docs", "bench", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Mutant:
    """A change of one place in one file."""

    file: str  # below src/foretell
    line: int
    kind: str
    before: str
    after: str
    start: int  # the first character that is replaced
    end: int

    def of(self, source: str) -> str:
        """The source with the change."""
        return source[: self.start] + self.after + source[self.end :]

    @property
    def row(self) -> str:
        """The row of the table of survivors."""
        cells = (self.file, str(self.line), self.kind, code(self.before), code(self.after))
        return f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """Source code as one line for a Markdown table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return f"`{line if len(line) <= 90 else line[:87] + '...'}`"


OPERATORS: dict[type[ast.AST], type[ast.AST]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
OPERATORS |= {ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult}
COMPARISONS: dict[type[ast.AST], type[ast.AST]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt}
COMPARISONS |= {ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARISONS |= {ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}


def changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The kinds of change that a node permits, each with the replacement."""
    other = copy.deepcopy(node)
    if isinstance(other, ast.UnaryOp) and isinstance(other.op, ast.USub):
        yield "sign", other.operand
    elif isinstance(other, ast.BinOp) and type(other.op) in OPERATORS:
        other.op = OPERATORS[type(other.op)]()  # type: ignore[assignment]
        yield "sign", other
    elif isinstance(other, ast.Compare) and type(other.ops[-1]) in COMPARISONS:
        other.ops[-1] = COMPARISONS[type(other.ops[-1])]()  # type: ignore[assignment]
        yield "comparison", other
    elif isinstance(other, ast.Constant) and isinstance(other.value, bool):
        other.value = not other.value
        yield "constant", other
    elif isinstance(other, ast.Constant) and isinstance(other.value, int | float):
        other.value = other.value + 1 if isinstance(other.value, int) else other.value * 2
        yield "constant", other
    elif isinstance(other, ast.BoolOp):
        other.op = ast.And() if isinstance(other.op, ast.Or) else ast.Or()
        yield "swap", other
    elif isinstance(other, ast.IfExp):
        other.body, other.orelse = other.orelse, other.body
        yield "swap", other
    elif isinstance(other, ast.Call) and len(other.args) == 2 and swappable(other):
        other.args.reverse()
        yield "swap", other
    elif droppable(other):
        yield "dropped", ast.Pass()


def swappable(call: ast.Call) -> bool:
    """Whether Python may accept the call with its two arguments exchanged."""
    first, second = call.args
    if isinstance(first, ast.Starred) or isinstance(second, ast.Starred):
        return False
    at_once = ("isinstance", "issubclass", "hasattr", "getattr", "setattr")
    return ast.unparse(call.func) not in at_once and ast.dump(first) != ast.dump(second)


def droppable(node: ast.AST) -> bool:
    """Whether the node is a statement that has an effect and does not define a name."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)  # a docstring, or `...`
    if isinstance(node, ast.Assign):  # to an attribute or entry: an undefined name always fails
        return not any(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    if isinstance(node, ast.If):
        return not node.orelse
    return isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All possible mutants of a file."""
    source = path.read_text(encoding="utf-8")
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def place(line: int, column: int) -> int:
        """The position in characters of a column that `ast` counts in bytes."""
        text = source[lines[line - 1] : lines[line]].encode()
        return lines[line - 1] + len(text[:column].decode())

    name = path.relative_to(ROOT / "src" / "foretell").as_posix()
    for node in reached(ast.parse(source)):
        for kind, other in changed(node):
            start = place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
            end = place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
            text = ast.unparse(other)
            after = text if isinstance(other, ast.Pass | ast.Constant) else f"({text})"
            before = source[start:end]
            yield Mutant(name, node.lineno, kind, before, after, start, end)  # type: ignore[attr-defined]


def reached(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes to change: no annotations, messages, `__all__` or arguments in `GUARDS`."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg in GUARDS):
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return
    yield node
    skipped = {"annotation", "returns"}
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and field not in skipped:
                yield from reached(child)


def drawn(only: list[str], count: int, seed: int) -> list[Mutant]:
    """`count` random mutants, equally many of each package and kind as far as there are enough."""
    package = ROOT / "src" / "foretell"
    files = [path for name in only for path in sorted(package.glob(f"{name}/**/*.py"))]
    files += [package / name for name in only if name.endswith(".py")]
    dice, kinds = random.Random(seed), {}
    for mutant in (mutant for path in files for mutant in mutants_of(path)):
        kinds.setdefault((mutant.kind, mutant.file.partition("/")[0]), []).append(mutant)
    for mutants in kinds.values():
        dice.shuffle(mutants)
    found: list[Mutant] = []
    while len(found) < count and any(kinds.values()):
        found += [mutants.pop() for _, mutants in sorted(kinds.items()) if mutants]
    return found[:count]


def tests_of(file: str) -> list[list[str]]:
    """The tests that concern a module, in groups, nearest first."""
    path = Path(file)
    module = ".".join(("foretell", *path.with_suffix("").parts)).removesuffix(".__init__")
    folder = ROOT / "tests" / path.parent
    named = folder / f"test_{path.stem}.py"
    importing = [
        test
        for test in sorted((ROOT / "tests").rglob("test_*.py"))
        if f"from {module} import" in test.read_text(encoding="utf-8")
    ]
    room = sorted((ROOT / "tests" / path.parts[0]).rglob("test_*.py"))
    groups = [[ROOT / "src" / "foretell" / path, *filter(Path.exists, [named])]]
    groups += [importing, sorted(folder.glob("test_*.py")), room]
    if path.parts[0] in SCORES:
        groups += [[ROOT / "tests" / "proxies", ROOT / "tests" / "laws" / "test_laws.py"]]
    seen: set[Path] = set()
    found = []
    for group in groups:
        found.append([str(p.relative_to(ROOT)) for p in group if p not in seen])
        seen |= set(group)
    return [group for group in found if group]


def noticed(mutant: Mutant, folder: Path, limit: float, failing: set[str]) -> str:
    """The test that notices a mutant; empty if none does.

    `failing` has the tests that also fail in the unbroken copy; newly found ones are added.
    """
    target = folder / "src" / "foretell" / mutant.file
    source = target.read_text(encoding="utf-8")
    groups = tests_of(mutant.file)
    while groups:
        replace(target, mutant.of(source))
        try:
            said = failure(groups[0], folder, limit, failing)
        finally:
            replace(target, source)
        if not said:
            groups.pop(0)
        elif "::" in said and said not in failing and failure([said], folder, limit, failing):
            failing.add(said)
        else:
            return said
    return ""


def replace(target: Path, source: str) -> None:
    """Write the source with a time of its own, since Python knows changed sources by their time."""
    when = target.stat().st_mtime + 2
    target.write_text(source, encoding="utf-8")
    os.utime(target, (when, when))


def failure(tests: list[str], folder: Path, limit: float, failing: set[str]) -> str:
    """The first test that fails in the copy; empty if none does."""
    command = ["-x", "-q", "-p", "no:cacheprovider", "--timeout", str(limit)]
    command += [f"--session-timeout={limit}", *(f"--deselect={test}" for test in failing)]
    with tempfile.TemporaryFile("w+") as output:
        arguments = ([*command, *tests], folder, output.fileno())
        fork = multiprocessing.get_context("fork").Process(target=tested, args=arguments)
        fork.start()
        fork.join(3 * limit)
        if fork.is_alive():
            os.killpg(fork.pid or 0, signal.SIGKILL)
            return "it hangs"
        output.seek(0)
        lines = output.read().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if failed:
        return failed[0].split(" - ")[0].split(" ", 1)[1]
    over = any("session-timeout: " in line for line in lines)
    done = over or fork.exitcode in (0, 5)  # 5: there are no tests
    return "" if done else f"pytest ended with {fork.exitcode}"


def tested(command: list[str], folder: Path, output: int) -> None:
    """Run pytest in the copy; the last thing that this process does."""
    os.setsid()
    os.chdir(folder)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    os.environ.setdefault("FORETELL_SHARED", str(ROOT.parent / "shared"))
    sys.path.insert(0, str(folder / "src"))
    import pytest

    code = pytest.main(command)
    sys.stdout.flush()
    os._exit(code)


def explained(mutant: Mutant) -> bool:
    """Whether docs/mutants.md explains the mutant; its line number may differ."""
    if not EXPLAINED.exists():
        return False
    cells = [mutant.row.split(" | ")[place] for place in (0, 2, 3, 4)]
    return any(
        all(cell.strip("| ") in line for cell in cells)
        for line in EXPLAINED.read_text(encoding="utf-8").splitlines()
    )


def main() -> None:
    """Make the mutants, run the tests, and print what survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20, help="number of mutants (20)")
    parser.add_argument("--seed", type=int, default=0, help="selects the mutants (0)")
    parser.add_argument("--only", default=",".join(ROOMS), help="folders or files of src/foretell")
    parser.add_argument("--limit", type=float, default=180, help="seconds for a group of tests")
    given = parser.parse_args()
    ends: Counter[str] = Counter()
    survivors: list[Mutant] = []
    failing: set[str] = set()
    for name in LIBRARIES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "foretell"
        copied(folder)
        for number, mutant in enumerate(drawn(given.only.split(","), given.count, given.seed), 1):
            start = time.perf_counter()
            said = noticed(mutant, folder, given.limit, failing)
            end = "noticed" if said else "explained" if explained(mutant) else "SURVIVED"
            ends[end] += 1
            survivors += [mutant] if end == "SURVIVED" else []
            took = f"{time.perf_counter() - start:.0f} s"
            print(f"{number} {end} ({took}) {mutant.row} {said}", flush=True)
    print(f"\n{', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}\n")
    for test in sorted(failing):
        print(f"left out, since it fails on unbroken code: {test}")
    print("| file | line | kind | before | after |\n|---|---|---|---|---|")
    for mutant in survivors:
        print(mutant.row)


def copied(folder: Path) -> None:
    """Copy the files that the tests need into the folder."""
    folder.mkdir()
    ignored: Callable[..., set[str]] = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)


if __name__ == "__main__":
    main()
