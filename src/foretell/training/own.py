"""Run the user's own training: a function, a function in a file, or a command.

A function has any of these parameters, in any order: `network`, the untrained network; `arch`, the
text of its architecture; `seed`; `budget`, the number of epochs; and `report`, a function of an
epoch and a value. It returns a value, or yields pairs of an epoch and a value, the last of which is
the result. If it trains `network` in place, the weights are kept.

A command is run without a shell, with `{arch}`, `{seed}`, `{budget}` and `{out}` replaced by their
values. `{out}` is the path of the file to which the command writes its result; without it, the
result is read from standard output. The result is a number, or lines of JSON such as `{"epoch": 1,
"value": 0.5}`.
"""

import inspect
import json
import math
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretell.checks import as_flag, as_number, as_text, keep, optional
from foretell.errors import ForetellError, any_error, complaint_of, shown
from foretell.seeds import own_randomness
from foretell.training.settings import TrainSettings
from foretell.training.train import Epoch, Trained
from foretell.user_code import named_in_file, named_in_package
from foretell.user_source import source_digest

__all__ = ["OwnTraining", "own_training"]

WANTED = ("network", "arch", "seed", "budget", "report")
FILLED = ("arch", "seed", "budget", "out")
"""The placeholders of a command."""
FORM = 'a number, or lines such as {"epoch": 1, "value": 0.5}'


@dataclass(frozen=True)
class OwnTraining(TrainSettings):
    """The user's own training, which replaces foretell's; `epochs` is passed to it as the budget.

    Raises ForetellError if it cannot be used.
    """

    evaluate: Callable[..., object] | str | None = None
    """A function, or its name as `FILE.py:NAME` or `PACKAGE.MODULE:NAME`."""
    command: str | None = None
    lower_is_better: bool = False
    """Whether the value is a loss or an error. Rows then contain the negated values as
    accuracies."""
    timeout: float | None = None
    """The maximum number of seconds of a training. A command is stopped at that time, a function
    when it next reports a value."""

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, "lower_is_better", as_flag)
        keep(self, "timeout", optional(as_number), above=0)
        if self.command is not None:
            words_of(as_text("evaluate_command", self.command, "a command"))
            return
        require_parameters(self.function)

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickling; a function from a file is found again by its name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def function(self) -> Callable[..., object]:
        """The function; the first access runs the file that defines it."""
        found: Any = self.evaluate
        if isinstance(found, str):
            path, _, _ = found.rpartition(":")
            found = named_in_file(found) if path.endswith(".py") else named_in_package(found)
        if not callable(found):
            given = self.evaluate if found is None else found
            raise ForetellError(
                f"evaluate is {shown(given)}; expected a function, or FILE.py:FUNCTION of one"
            )
        function: Callable[..., object] = found
        return function

    def key(self) -> dict[str, Any]:
        """The part of a row key that determines the results: the code, and the budget."""
        if self.command is not None:
            how = {"evaluate_command": self.command}
        else:
            name = getattr(self.function, "__qualname__", type(self.function).__name__)
            how = {"evaluate": name, "code": self._digest}
        direction = {"lower_is_better": True} if self.lower_is_better else {}
        return {**how, "budget": self.epochs, **direction}

    @cached_property
    def _digest(self) -> str:
        """The digest of the function's code, which is part of the key of every row."""
        return source_digest(self.function)

    def require(self, kind: object, device: str = "cpu") -> None:
        """Accept any data: the training may use other data than the networks are scored on."""

    def run(self, network: nn.Module, arch: str, seed: int) -> Trained:
        """The results of a training; undefined, with the reason, if it fails."""
        log, why = Log(self.timeout, -1.0 if self.lower_is_better else 1.0), None
        try:
            if self.command is None:
                with own_randomness(seed, torch.device("cpu")):
                    self._call(log, {"network": network, "arch": arch, "seed": seed})
            else:
                log.read(self._commanded(self.command, arch, seed))
        except ForetellError as error:
            why = str(error)
        except any_error() as error:
            why = f"evaluate raised {complaint_of(error)}"
        value = log.history[-1].val_accuracy if log.history else math.nan
        if why is None and not math.isfinite(value):
            why = f"evaluate returned {value}" if log.history else "evaluate returned no value"
        if why is not None:
            value = math.nan
        seconds = time.perf_counter() - log.start
        return Trained(value, math.nan, seconds, tuple(log.history), why)

    def _call(self, log: "Log", given: dict[str, Any]) -> None:
        """Call the function, and record the values that it reports, yields or returns."""
        function = self.function
        known = {**given, "budget": self.epochs, "report": log.add}
        wanted = inspect.signature(function).parameters
        found = function(**{name: known[name] for name in wanted if name in known})
        if isinstance(found, Iterator):
            log.read(found)
        elif found is not None or not log.history:
            log.add(len(log.history) + 1, found)

    def _commanded(self, command: str, arch: str, seed: int) -> list[tuple[int, object]]:
        """Run the command, and read the values that it wrote."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            given = {"arch": arch, "seed": seed, "budget": self.epochs, "out": out}
            words = words_of(command)
            for name, value in given.items():
                words = [word.replace(f"{{{name}}}", str(value)) for word in words]
            try:
                done = subprocess.run(words, capture_output=True, text=True, timeout=self.timeout)
            except subprocess.TimeoutExpired:
                raise ForetellError(f"the training took more than {self.timeout:g} s") from None
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
                raise ForetellError(f"the command ended with exit code {done.returncode}: {last}")
            if "{out}" in command and not out.exists():
                raise ForetellError(f"the command wrote no file {{out}}; expected {FORM}")
            return readings(out.read_text("utf-8") if "{out}" in command else done.stdout)


def require_parameters(function: Callable[..., object]) -> None:
    """Raise ForetellError unless the function takes `network` or `arch`, and only known names."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions are written in C
        raise ForetellError(
            f"evaluate is {shown(function)} whose parameters are unknown; give a function of some "
            f"of {', '.join(WANTED)}"
        ) from None
    named = [p.name for p in parameters if p.name in WANTED and p.kind is not p.POSITIONAL_ONLY]
    unknown = [p.name for p in parameters if p.default is p.empty and p.name not in named]
    if unknown:
        raise ForetellError(
            f"evaluate wants {unknown[0]!r}; expected parameters among {', '.join(WANTED)}"
        )
    if not {"network", "arch"} & set(named):
        raise ForetellError(
            f"evaluate is {shown(function)} with neither of the parameters network and arch, so "
            "it cannot distinguish networks; add one of them"
        )


class Log:
    """The values of a training so far; higher is better."""

    def __init__(self, timeout: float | None, sign: float) -> None:
        self.start, self.timeout, self.sign = time.perf_counter(), timeout, sign
        self.history: list[Epoch] = []

    def read(self, found: Iterable[object]) -> None:
        """Record pairs of an epoch and a value; further elements are ignored."""
        for one in found:
            if not isinstance(one, tuple | list) or len(one) < 2:
                raise ForetellError(
                    f"evaluate yielded {shown(one)}; expected pairs of an epoch and a value"
                )
            self.add(one[0], one[1])

    def add(self, epoch: object, value: object) -> None:
        """Record a value. Raises ForetellError if it is not a number, or if the time is over."""
        try:
            number, known = int(epoch), float(value)  # type: ignore[call-overload,arg-type]
        except (TypeError, ValueError):
            raise ForetellError(
                f"evaluate returned {shown(value)} for epoch {shown(epoch)}; expected numbers"
            ) from None
        self.history.append(Epoch(number, math.nan, self.sign * known))
        if self.timeout is not None and time.perf_counter() - self.start > self.timeout:
            raise ForetellError(f"the training took more than {self.timeout:g} s")


def own_training(
    training: TrainSettings,
    evaluate: Callable[..., object] | str | None,
    command: str | None,
    lower_is_better: bool = False,
    timeout: float | None = None,
    *,
    usual: TrainSettings,
) -> TrainSettings:
    """The user's own training with the epochs of `training`; `training` itself if there is none.

    `usual` has the default settings of the caller. Raises ForetellError if both a function and a
    command are given, if a direction or a time limit is given without either, or if a setting of
    `training` other than `epochs` is changed.
    """
    lower_is_better = as_flag("lower_is_better", lower_is_better)
    if evaluate is None and command is None:
        if lower_is_better or timeout is not None:
            raise ForetellError(
                "lower_is_better and evaluate_timeout have no effect without evaluate or "
                "evaluate_command; leave them out"
            )
        return training
    if evaluate is not None and command is not None:
        raise ForetellError("evaluate and evaluate_command are both given; give one of them")
    refuse_unused(training, usual)
    return OwnTraining(
        epochs=training.epochs,
        evaluate=evaluate,
        command=command,
        lower_is_better=lower_is_better,
        timeout=timeout,
    )


def refuse_unused(training: TrainSettings, usual: TrainSettings) -> None:
    """Raise ForetellError for a setting besides `epochs` that differs from its defaults."""
    for one in fields(TrainSettings):
        value = getattr(training, one.name)
        if one.name != "epochs" and value not in (one.default, getattr(usual, one.name)):
            raise ForetellError(
                f"training has {one.name}={value!r}, which has no effect on a training of your own "
                "(only epochs has, as its budget); leave it out"
            )


def words_of(command: str) -> list[str]:
    """The program and its arguments. Raises ForetellError for a command that cannot be run."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ForetellError(f"evaluate_command is {command!r}: {error}; correct it") from None
    if "{arch}" not in command:
        raise ForetellError(f"evaluate_command is {command!r}; it must contain {{arch}}")
    if unknown := set(re.findall(r"(?<!\$)\{(\w+)\}", command)) - {*FILLED}:
        raise ForetellError(
            f"evaluate_command has {{{min(unknown)}}}, which would not be replaced; known: "
            f"{', '.join(f'{{{name}}}' for name in FILLED)}"
        )
    if shutil.which(words[0]) is None:
        raise ForetellError(f"evaluate_command: there is no program {words[0]!r}")
    return words


def readings(text: str) -> list[tuple[int, object]]:
    """The epochs and values in the output of a command.

    >>> readings("0.75")
    [(1, 0.75)]
    >>> readings('{"epoch": 3, "value": 0.5}')
    [(3, 0.5)]
    """
    found: list[tuple[int, object]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            one = json.loads(line)
            pair = (one.get("epoch", len(found) + 1), one["value"]) if isinstance(one, dict) else ()
            found.append(pair or (len(found) + 1, float(one)))
        except (ValueError, TypeError, KeyError):
            said = f"the command wrote {shown(line)}; expected {FORM}"
            raise ForetellError(said) from None
    return found
