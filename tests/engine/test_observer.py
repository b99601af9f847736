"""Observers see each operation in the order in which they surround it, in one call by torch."""

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from foretell.engine import observer
from foretell.engine.observer import Chain, Observer, Then

Log = list[str]


class Notes(Observer):
    """An observer that writes down what it sees."""

    def __init__(self, own: str, log: Log) -> None:
        self.own, self.log = own, log

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        torch.zeros(1)  # hidden from all observers
        self.log.append(f"{self.own} {name}")
        return lambda out: self.log.append(f"{name} {self.own}")


class Doubles(Notes):
    """An observer that replaces exp by a sum and a logarithm."""

    replaced = (torch.exp,)

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the sine of the cosine."""
        return torch.sin(torch.cos(*args))


def depth() -> int:
    return torch._C._len_torch_function_stack()


def test_the_inner_observer_is_first_before_an_operation_and_last_after_it() -> None:
    log: Log = []
    with Notes("outer", log), Notes("inner", log):
        torch.relu(torch.ones(2))
    assert log[-4:] == ["inner relu", "outer relu", "relu outer", "relu inner"]
    assert depth() == 0


def test_operations_of_a_replacement_are_seen_by_the_observers_around_it_alone() -> None:
    log: Log = []
    x = torch.ones(2)
    with Notes("outer", log), Doubles("middle", log), Notes("inner", log):
        out = torch.exp(x)
    assert torch.equal(out, x.cos().sin())
    assert log == [
        *("inner exp", "middle exp", "outer cos", "cos outer", "outer sin", "sin outer"),
        *("exp middle", "exp inner"),
    ]
    assert depth() == 0


def test_an_error_in_a_replacement_leaves_nothing_behind() -> None:
    log: Log = []
    with Notes("outer", log):
        with pytest.raises(TypeError), Doubles("inner", log):
            torch.exp("one")  # type: ignore[arg-type]
        assert depth() == 1
        torch.ones(1)
    assert log[-2:] == ["outer ones", "ones outer"]
    assert depth() == 0


def test_a_mode_of_the_model_may_lie_between() -> None:
    class Plain(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            log.append("mode")
            return func(*args, **(kwargs or {}))

    log: Log = []
    with Notes("outer", log), Plain(), Notes("inner", log):
        torch.ones(1)
    assert log == ["inner ones", "mode", "outer ones", "ones outer", "ones inner"]
    assert depth() == 0


def test_torch_calls_once_for_any_number_of_observers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    own = Chain.__torch_function__

    def counted(self: Chain, func: Any, *rest: Any) -> Any:
        calls.append(func)
        return own(self, func, *rest)

    monkeypatch.setattr(observer.Chain, "__torch_function__", counted)
    log: Log = []
    with Notes("1", log), Notes("2", log), Doubles("3", log), Notes("4", log):
        torch.nn.functional.relu(torch.ones(2))
    assert len(calls) == 2
