"""The kinds of rows that a run keeps, one class each.

A stored row is JSON: `{"key": {"kind": "score", ...}, ...values}`. The class of a kind knows what
its key and its values hold, and reads a stored row back; nothing else spells the names of their
fields. A row without values is a question: the store is asked for its `key()`.

What is undefined is nan in a row's class and null in its JSON, the reason beside it as `why`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch

from foretell.errors import ForetellError
from foretell.runs.rowlog import Row as Stored
from foretell.runs.store import Store
from foretell.scoring.score import Score
from foretell.training.train import Epoch, Trained
from foretell.version import __version__

__all__ = [
    "CostRow",
    "Declared",
    "Network",
    "PickRow",
    "ReducedRow",
    "ScoreRow",
    "SimulatedRow",
    "TrainRow",
    "add",
    "find",
    "rows_of",
    "versions",
]

MADE_WITH = f"foretell {__version__}, torch {torch.__version__}"
"""The programs that make a row; not part of its key."""


class Declared(Protocol):
    """A row of a declared kind."""

    kind: ClassVar[str]

    def key(self) -> dict[str, Any]:
        """All that decides the values, as the store knows the row by it."""

    def values(self) -> dict[str, Any]:
        """What was found, as JSON values."""

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again. Raises KeyError, TypeError or ValueError for what is not of this kind."""


Kind = TypeVar("Kind", bound=Declared)


def add(store: Store, row: Declared) -> None:
    """Write a finished row."""
    store.add({"key": row.key(), **row.values()})


def find(store: Store, asked: Kind) -> Kind | None:
    """The finished row with the key of the one that is asked for, or None."""
    stored = store.get(asked.key())
    return None if stored is None else read_as(type(asked), stored)


def rows_of(kind: type[Kind], rows: Iterable[Stored]) -> list[Kind]:
    """The rows of one kind, in their order.

    Raises ForetellError for one that is of this kind by its name alone.
    """
    return [read_as(kind, row) for row in rows if row["key"].get("kind") == kind.kind]


def read_as(kind: type[Kind], row: Stored) -> Kind:
    """A stored row as one of this kind. Raises ForetellError if it is not."""
    try:
        return kind.read(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForetellError(
            f"a row is of kind {kind.kind!r} but not as this foretell writes them "
            f"({type(error).__name__}: {error}); use the foretell that wrote it"
        ) from error


def versions(rows: Iterable[Stored]) -> list[str]:
    """The programs that made the rows, each once."""
    return sorted({str(row["made_with"]) for row in rows if "made_with" in row})


@dataclass(frozen=True, slots=True)
class Network:
    """An untrained network, by what rebuilds it."""

    space: str
    settings: Mapping[str, Any]
    arch: str
    seed: int

    def key(self) -> dict[str, Any]:
        """As it stands in the keys of rows."""
        return {
            "space": self.space,
            "settings": self.settings,
            "arch": self.arch,
            "seed": self.seed,
        }

    @classmethod
    def read(cls, key: Mapping[str, Any]) -> Self:
        """The network that a row's key names."""
        return cls(key["space"], key["settings"], str(key["arch"]), int(key["seed"]))


UNKNOWN = Score(math.nan, 0.0, "it is not computed yet")
UNTRAINED = Trained(math.nan, math.nan, 0.0, (), "it is not trained yet")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A proxy's score of an untrained network on a minibatch."""

    kind: ClassVar[str] = "score"
    network: Network
    proxy: str
    proxy_settings: Mapping[str, Any]
    batch: str
    """The minibatch's fingerprint."""
    scoring: Mapping[str, Any]
    """As `ScoreSettings.key` has it."""
    score: Score = UNKNOWN
    made_with: str = MADE_WITH

    def key(self) -> dict[str, Any]:
        """Network, proxy, minibatch, and how it is scored."""
        return {
            "kind": self.kind,
            "proxy": self.proxy,
            "proxy_settings": self.proxy_settings,
            **self.network.key(),
            "batch": self.batch,
            **self.scoring,
        }

    def values(self) -> dict[str, Any]:
        """`value`, `why` it is undefined, `seconds`, `made_with`."""
        return {
            "value": null_if_nan(self.score.value),
            "why": self.score.why,
            "seconds": round(self.score.seconds, 6),
            "made_with": self.made_with,
        }

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again."""
        key = stored["key"]
        score = Score(nan_if_null(stored["value"]), float(stored["seconds"]), stored["why"])
        settings, how = key["proxy_settings"], rest(key, "proxy", "proxy_settings", "batch")
        network = Network.read(key)
        return cls(network, key["proxy"], settings, key["batch"], how, score, stored["made_with"])


@dataclass(frozen=True, slots=True)
class TrainRow:
    """A network's training, and its accuracies."""

    kind: ClassVar[str] = "train"
    network: Network
    data: Mapping[str, str]
    """The data set's `name` and `fingerprint`."""
    training: Mapping[str, Any]
    """As `TrainSettings.key` has it."""
    device: Mapping[str, str] = field(default_factory=dict)
    """Its kind, if it is not the CPU."""
    trained: Trained = UNTRAINED
    made_with: str = MADE_WITH

    def key(self) -> dict[str, Any]:
        """Network, data, and how it is trained."""
        return {
            "kind": self.kind,
            **self.network.key(),
            "data": self.data,
            "training": self.training,
            **self.device,
        }

    def values(self) -> dict[str, Any]:
        """The fields of `Trained`, and `made_with`."""
        return {**finite_or_null(asdict(self.trained)), "made_with": self.made_with}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again."""
        key = stored["key"]
        trained = Trained(
            nan_if_null(stored["val_accuracy"]),
            nan_if_null(stored["test_accuracy"]),
            float(stored["seconds"]),
            tuple(map(epoch_of, stored["history"])),
            stored["why"],
        )
        data, training, device = key["data"], key["training"], rest(key, "data", "training")
        return cls(Network.read(key), data, training, device, trained, stored["made_with"])


@dataclass(frozen=True, slots=True)
class ReducedRow:
    """A reduced training of a study, and its validation accuracy."""

    kind: ClassVar[str] = "reduced"
    network: Network
    """Of the reduced space."""
    reduced: str
    """The reduced training's name."""
    data: str
    """The reduced samples' fingerprint."""
    training: Mapping[str, Any]
    """As `TrainSettings.key` has it."""
    device: Mapping[str, str] = field(default_factory=dict)
    """Its kind, if it is not the CPU."""
    value: float = math.nan
    """Validation accuracy in %."""
    why: str | None = None
    seconds: float = 0.0
    minibatches: int = 0
    history: tuple[float, ...] = ()
    """Validation accuracy in % after each epoch."""
    made_with: str = MADE_WITH

    def key(self) -> dict[str, Any]:
        """Network, data, and how it is trained."""
        return {
            "kind": self.kind,
            "reduced": self.reduced,
            **self.network.key(),
            "data": self.data,
            "training": self.training,
            **self.device,
        }

    def values(self) -> dict[str, Any]:
        """What was measured, and `made_with`."""
        names = ("value", "why", "seconds", "minibatches", "history", "made_with")
        return {name: finite_or_null(getattr(self, name)) for name in names}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again."""
        key = stored["key"]
        return cls(
            Network.read(key),
            key["reduced"],
            key["data"],
            key["training"],
            rest(key, "reduced", "data", "training"),
            nan_if_null(stored["value"]),
            stored["why"],
            float(stored["seconds"]),
            int(stored["minibatches"]),
            tuple(map(nan_if_null, stored["history"])),
            stored["made_with"],
        )


@dataclass(frozen=True, slots=True)
class CostRow:
    """What a network costs."""

    kind: ClassVar[str] = "cost"
    network: Network
    cost: str
    """A name of `foretell.scoring.costs.COSTS`, or TABLE:COLUMN."""
    device: Mapping[str, str] = field(default_factory=dict)
    """Where it was measured, of a latency."""
    value: float = math.nan

    def key(self) -> dict[str, Any]:
        """Network and cost."""
        return {"kind": self.kind, "cost": self.cost, **self.network.key(), **self.device}

    def values(self) -> dict[str, Any]:
        """The `value`."""
        return {"value": null_if_nan(self.value)}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again."""
        key = stored["key"]
        device = rest(key, "cost")
        return cls(Network.read(key), key["cost"], device, nan_if_null(stored["value"]))


@dataclass(frozen=True, slots=True)
class PickRow:
    """That a search had a network trained in full, with or without the help of scores."""

    kind: ClassVar[str] = "trained"
    arm: str
    """ "scored" or "unscored"."""
    number: int
    """Of its trainings, from 1."""
    arch: str = ""
    scored: int = 0
    """How many networks were scored before."""
    before: float = 0.0
    """Seconds that the stages before the full training took."""

    def key(self) -> dict[str, Any]:
        """Which of the trainings it is."""
        return {"kind": self.kind, "arm": self.arm, "number": self.number}

    def values(self) -> dict[str, Any]:
        """The architecture, and what came before it."""
        before = {"before": self.before} if self.before else {}
        return {"arch": self.arch, "scored": self.scored, **before}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again."""
        key, before = stored["key"], float(stored.get("before", 0.0))
        return cls(key["arm"], int(key["number"]), stored["arch"], int(stored["scored"]), before)


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """A search on a table: what it trained, in order."""

    kind: ClassVar[str] = "simulated"
    strategy: str
    told: str
    """The table's column that the searcher was given as the result of a training."""
    trainings: int
    seed: int
    trained: tuple[int, ...] = ()
    """Rows of the table."""
    scored: tuple[int, ...] = ()
    """How many networks were scored before each training."""
    made_with: str = MADE_WITH

    def key(self) -> dict[str, Any]:
        """What decides the search within a run."""
        return {
            "kind": self.kind,
            "strategy": self.strategy,
            "told": self.told,
            "trainings": self.trainings,
            "seed": self.seed,
        }

    def values(self) -> dict[str, Any]:
        """What it trained, and `made_with`."""
        trained, scored = list(self.trained), list(self.scored)
        return {"trained": trained, "scored": scored, "made_with": self.made_with}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row again."""
        key = stored["key"]
        about = (key["strategy"], key["told"], int(key["trainings"]), int(key["seed"]))
        found = tuple(stored["trained"]), tuple(stored["scored"])
        return cls(*about, *found, stored["made_with"])


def rest(key: Mapping[str, Any], *named: str) -> dict[str, Any]:
    """What a key says beside its kind, its network and what is named.

    >>> rest({"kind": "cost", "cost": "latency", "arch": "333333", "device": "cpu"}, "cost")
    {'device': 'cpu'}
    """
    known = {"kind", *Network.__dataclass_fields__, *named}
    return {name: value for name, value in key.items() if name not in known}


def epoch_of(stored: Mapping[str, Any]) -> Epoch:
    """An epoch as a training's row has it."""
    loss, accuracy = nan_if_null(stored["train_loss"]), nan_if_null(stored["val_accuracy"])
    return Epoch(int(stored["number"]), loss, accuracy)


def null_if_nan(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value


def nan_if_null(value: float | None) -> float:
    """Back from JSON."""
    return math.nan if value is None else float(value)


def finite_or_null(value: Any) -> Any:
    """The same nest of dicts and sequences with null for nan and infinity.

    >>> finite_or_null({"accuracy": math.nan, "history": (1.0, math.inf)})
    {'accuracy': None, 'history': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {name: finite_or_null(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
