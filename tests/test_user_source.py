"""The digest of users' code changes with whatever changes a result, and with nothing else."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.proxies import PROXIES
from foretell.spaces import SPACES, Choices
from foretell.user_code import named_in_file
from foretell.user_source import is_foretells, source_digest
from tests.support.processes import python


def typed(code: str, **known: Any) -> Any:
    """What a name `it` is, as if the code was typed at a prompt."""
    space = {"__name__": "__main__", **known}
    exec(code, space)
    return space["it"]


def scaled(factor: Any) -> Callable[[Any], Any]:
    return lambda x: factor * x


DIFFERENT: dict[str, tuple[Any, Any]] = {
    "formula": (typed("def it(x): return x"), typed("def it(x): return -x")),
    "constant": (typed("def it(x): return 2 * x"), typed("def it(x): return 3 * x")),
    "lambda": (typed("it = lambda x: x + 1"), typed("it = lambda x: x + 2")),
    "name of a function": (typed("def it(x): return abs(x)"), typed("def it(x): return max(x)")),
    "default": (typed("def it(x, k=1): return k * x"), typed("def it(x, k=2): return k * x")),
    "keyword": (typed("def it(*, k=1): return k"), typed("def it(*, k=2): return k")),
    "captured": (scaled(2), scaled(3)),
    "captured list": (scaled([1, 2]), scaled([1, 3])),
    "captured dict": (scaled({"a": 1}), scaled({"a": 2})),
    "captured function": (scaled(scaled(1)), scaled(scaled(2))),
    "captured tensor": (scaled(torch.zeros(2)), scaled(torch.ones(2))),
    "captured network": (scaled(nn.ReLU()), scaled(nn.GELU())),
    "within": (
        typed("def it(x):\n def f(y): return y\n return f(x)"),
        typed("def it(x):\n def f(y): return -y\n return f(x)"),
    ),
    "global": (typed("def it(x): return K * x", K=1), typed("def it(x): return K * x", K=2)),
    "helper": (
        typed("def helper(x): return x\ndef it(x): return helper(x)"),
        typed("def helper(x): return -x\ndef it(x): return helper(x)"),
    ),
    "class": (
        typed("class it:\n def f(self): return 1"),
        typed("class it:\n def f(self): return 2"),
    ),
    "member": (typed("class it:\n k = 1"), typed("class it:\n k = 2")),
    "property": (
        typed("class it:\n @property\n def f(self): return 1"),
        typed("class it:\n @property\n def f(self): return 2"),
    ),
    "base": (
        typed("class A:\n def f(self): return 1\nclass it(A): pass"),
        typed("class A:\n def f(self): return 2\nclass it(A): pass"),
    ),
    "state": (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)),
    "partial": (functools.partial(F.mse_loss), functools.partial(F.mse_loss, reduction="sum")),
    "cached": (functools.cache(scaled(1)), functools.cache(scaled(2))),
    "other function": (F.mse_loss, F.l1_loss),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_another_code_is_another_digest(what: str) -> None:
    one, other = DIFFERENT[what]
    assert len(source_digest(one)) == len(source_digest(other)) == 16
    assert source_digest(one) != source_digest(other)
    assert source_digest(one) == source_digest(one)


@pytest.mark.parametrize(
    "code",
    [
        "def it(x):\n    '''What it does.'''\n    return 2 * x",
        "K = (1, 2.5, 'a', frozenset({'x', 'y', 'z'}))\ndef it(x): return x in K",
        "class it:\n    k: int = 1\n    def f(self): return {'p', 'q', 'r'}",
        "def it(n): return n == 0 or other(n - 1)\ndef other(n): return n != 0 and it(n - 1)",
        "L = [1]\nL.append(L)\ndef it(): return L",
        "import threading\nlock = threading.Lock()\ndef it(x):\n with lock: return x",
        "S = {len, print, abs, min, max}\ndef it(x): return x in S",
    ],
)
def test_the_same_code_is_the_same_digest(code: str) -> None:
    """Wherever it is typed, and in another process."""
    script = (
        "import sys\nfrom foretell.user_source import source_digest\n"
        "space = {'__name__': '__main__'}\nexec(sys.argv[1], space)\n"
        "print(source_digest(space['it']))"
    )
    assert source_digest(typed(f"\n\n{code}")) == source_digest(typed(code))
    assert python("-c", script, code).stdout.strip() == source_digest(typed(code))


def test_what_is_foretells_own_has_none() -> None:
    for name, proxy in PROXIES.items():
        if is_foretells(proxy.function):
            assert source_digest(proxy.function) == "", name
    for entry in SPACES.values():
        assert source_digest(entry.constructor) == source_digest(entry.constructor()) == ""
    assert source_digest(Choices, None) == ""
    assert source_digest(None, scaled(1)) != ""


def test_a_decorator_that_copies_the_name_of_a_proxy_is_not_foretells() -> None:
    snip = PROXIES["snip"].function

    @functools.wraps(snip)
    def doubled(*given: Any, **named: Any) -> Tensor:
        return 2 * snip(*given, **named)

    assert doubled.__module__ == snip.__module__
    assert source_digest(doubled) != ""


FILE = "from neighbour import factor\n\ndef it(x):\n    return factor(x)\n"
NEIGHBOUR = "def factor(x):\n    return x\n"


def digest_in(folder: Path, file: str, neighbour: str) -> str:
    """The digest of `it` in a file, with another file beside it."""
    (folder / "nets.py").write_text(file)
    (folder / "neighbour.py").write_text(neighbour)
    sys.modules.pop("neighbour", None)
    return source_digest(named_in_file(f"{folder / 'nets.py'}:it"))


@pytest.mark.parametrize(
    ("file", "neighbour"),
    [
        (FILE.replace("(x)\n", "(x) + 1\n"), NEIGHBOUR),
        (f"# another comment\n{FILE}", NEIGHBOUR),
        (FILE, NEIGHBOUR.replace("return x", "return -x")),
        (FILE, f"# another comment\n{NEIGHBOUR}"),
    ],
)
def test_a_change_in_a_file_is_another_digest(file: str, neighbour: str, tmp_path: Path) -> None:
    """Of any kind, and in the file beside it that it imports."""
    before = digest_in(tmp_path, FILE, NEIGHBOUR)
    assert digest_in(tmp_path, file, neighbour) != before
    assert digest_in(tmp_path, FILE, NEIGHBOUR) == before


def test_a_file_that_moves_keeps_its_digest(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    moved = digest_in(tmp_path / "elsewhere", FILE, NEIGHBOUR)
    assert moved == digest_in(tmp_path, FILE, NEIGHBOUR)


def test_a_file_that_changes_after_it_was_imported_is_not_taken_for_its_code(
    tmp_path: Path,
) -> None:
    """What runs is the old code, so its results must not be those of the new file."""
    path = tmp_path / "nets.py"
    path.write_text("def it(x):\n    return x\n")
    old = named_in_file(f"{path}:it")
    path.write_text("def it(x):\n    return -x\n")
    assert source_digest(old) != source_digest(named_in_file(f"{path}:it"))
