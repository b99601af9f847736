"""The public face: few names, imported when they are asked for, and all that the docs need."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import foretell
from tests.support.paths import DOCS, ROOT
from tests.support.processes import python

PACKAGE = ROOT / "src" / "foretell"
LAZY = ("foretell", "foretell.executors")
HEAVY = {"click", "numpy", "pandas", "ray", "rich", "sklearn", "torch"}
OPEN = ("foretell.executors", "foretell.plot", "foretell.testing")
"""What documentation may import from beside `foretell` itself and `foretell.integrations`."""
GROUPS = {"foretell.proxies"}
"""Entry point groups: names in a package's metadata, which nobody imports."""
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def test_the_face_is_small_and_in_order() -> None:
    assert len(foretell.__all__) <= 30
    assert sorted(foretell.__all__) == foretell.__all__


@pytest.mark.parametrize("name", foretell.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(foretell, name)
    assert isinstance(value, str) or value.__doc__


def typed_names(package: str) -> dict[str, str]:
    """Name -> module, as a type checker sees the package."""
    tree = ast.parse(Path(str(import_module(package).__file__)).read_text())
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_see_what_python_gives(package: str) -> None:
    lazy, typed = import_module(package), typed_names(package)
    assert typed.keys() == set(lazy.__all__) - {"__version__"}
    for name, module in typed.items():
        assert getattr(lazy, name) is getattr(import_module(module), name)


@pytest.mark.parametrize("package", LAZY)
def test_an_unknown_name_is_no_attribute(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'scoore'"):
        import_module(package).scoore  # noqa: B018


def test_no_name_is_a_modules() -> None:
    """Else importing the module would replace what the name stands for."""
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert not modules & set(foretell.__all__)


def test_importing_foretell_imports_nothing_heavy() -> None:
    """It takes milliseconds; whoever needs one name waits for that one alone."""
    ask = "import sys, foretell, foretell.executors, foretell.errors; print(*sys.modules)"
    done = python("-c", ask)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & HEAVY


def code_of(page: Path) -> Iterator[str]:
    """The Python blocks of a page, without prompts."""
    for block in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
    ):
        yield re.sub(r"^(>>>|\.\.\.) ?", "", block, flags=re.M)


def imported(code: str) -> Iterator[tuple[str, str]]:
    """Module and name of each import from foretell."""
    for module, names in re.findall(r"^\s*from (foretell[\w.]*) import \(?([\w, ]+)", code, re.M):
        for name in names.split(","):
            yield module, name.strip()


def deeper(text: str) -> list[str]:
    """The dotted names in a text that are not of the public face."""
    dotted = re.findall(r"(?<![\w./-])foretell(?:\.\w+)+", text)
    return [name for name in dotted if name not in GROUPS and not is_public(name)]


def is_public(name: str) -> bool:
    """Whether a dotted name is of the face, or of what is open beside it."""
    _, first, *rest = name.split(".")
    if first in foretell.__all__ or first == "integrations":
        return True
    package = f"foretell.{first}"
    return package in OPEN and (not rest or rest[0] in import_module(package).__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documentation_uses_the_public_face_alone(page: Path) -> None:
    for code in code_of(page):
        for module, name in imported(code):
            assert is_public(f"{module}.{name}"), f"from {module} import {name}"
    assert not deeper(page.read_text(encoding="utf-8"))


def test_every_name_is_documented() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in foretell.__all__ if not re.search(rf"`{name}\b", text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`foretell.score(x)`, foretell.testing.check_proxy", []),
        ("foretell.engine.plan", ["foretell.engine.plan"]),
        ("`foretell.executors.ray.RayExecutor`", ["foretell.executors.ray.RayExecutor"]),
        ("in src/foretell.py or my-foretell.toml", []),
    ],
)
def test_the_reader_of_dotted_names(text: str, expected: list[str]) -> None:
    assert deeper(text) == expected
