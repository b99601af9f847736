"""The kinds of rows that a run stores, with one class per kind.

A stored row is JSON: `{"key": {"kind": "score", ...}, ...values}`. The class of a kind defines the
fields of its key and of its values, and reads a stored row back; no other code uses the names of
these fields. An object without values can be used to look up a row by its `key()`.

An undefined value is nan in the object and null in JSON, with the reason in the field `why`.
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
    "SEARCH",
    "CodeRow",
    "CostRow",
    "Declared",
    "Network",
    "PickRow",
    "ReducedRow",
    "ScoreRow",
    "SimulatedRow",
    "ToldRow",
    "TrainRow",
    "add",
    "depends_on",
    "find",
    "is_coded",
    "key_code",
    "rows_of",
    "versions",
]

MADE_WITH = f"foretell {__version__}, torch {torch.__version__}"
"""The versions that a row was computed with, which are not part of its key."""


class Declared(Protocol):
    """The interface of the classes of rows below."""

    kind: ClassVar[str]

    def key(self) -> dict[str, Any]:
        """The row key: everything that determines the values."""

    def values(self) -> dict[str, Any]:
        """The results as JSON values."""

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON. Raises KeyError, TypeError or ValueError for any other JSON."""


Kind = TypeVar("Kind", bound=Declared)


def add(store: Store, row: Declared) -> None:
    """Add a finished row to the store."""
    store.add({"key": row.key(), **row.values()})


def find(store: Store, asked: Kind) -> Kind | None:
    """The stored row with the same key, or None."""
    stored = store.get(asked.key())
    return None if stored is None else read_as(type(asked), stored)


def rows_of(kind: type[Kind], rows: Iterable[Stored]) -> list[Kind]:
    """The rows of one kind, in the given order.

    Raises ForetellError for a row that has the name of this kind but other fields.
    """
    return [read_as(kind, row) for row in rows if row["key"].get("kind") == kind.kind]


def read_as(kind: type[Kind], row: Stored) -> Kind:
    """Read a stored row as this kind. Raises ForetellError if it is of another kind."""
    try:
        return kind.read(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForetellError(
            f"a row of kind {kind.kind!r} does not have the fields of this version of foretell "
            f"({type(error).__name__}: {error}); use the version that wrote it"
        ) from error


def versions(rows: Iterable[Stored]) -> list[str]:
    """The versions that the rows were computed with, without duplicates."""
    return sorted({str(row["made_with"]) for row in rows if "made_with" in row})


@dataclass(frozen=True, slots=True)
class Network:
    """The description from which an untrained network can be rebuilt."""

    space: str
    settings: Mapping[str, Any]
    arch: str
    seed: int

    def key(self) -> dict[str, Any]:
        """The part of row keys that describes the network."""
        return {
            "space": self.space,
            "settings": self.settings,
            "arch": self.arch,
            "seed": self.seed,
        }

    @classmethod
    def read(cls, key: Mapping[str, Any]) -> Self:
        """The network that a row key describes."""
        return cls(key["space"], key["settings"], str(key["arch"]), int(key["seed"]))


UNKNOWN = Score(math.nan, 0.0, "it has not been computed yet")
UNTRAINED = Trained(math.nan, math.nan, 0.0, (), "it has not been trained yet")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The score of an untrained network on a minibatch."""

    kind: ClassVar[str] = "score"
    network: Network
    proxy: str
    proxy_settings: Mapping[str, Any]
    batch: str
    """The fingerprint of the minibatch."""
    scoring: Mapping[str, Any]
    """The result of `ScoreSettings.key`."""
    score: Score = UNKNOWN
    made_with: str = MADE_WITH
    code: Mapping[str, str] = field(default_factory=dict)
    """The digests of the user code that the values depend on, by name; see `code.py`."""

    def key(self) -> dict[str, Any]:
        """Network, proxy, minibatch and settings of scoring."""
        return {
            "kind": self.kind,
            "proxy": self.proxy,
            "proxy_settings": self.proxy_settings,
            **self.network.key(),
            "batch": self.batch,
            **self.scoring,
            **code_key(self.code),
        }

    def values(self) -> dict[str, Any]:
        """`value`, `why` (if it is undefined), `seconds` and `made_with`."""
        return {
            "value": null_if_nan(self.score.value),
            "why": self.score.why,
            "seconds": round(self.score.seconds, 6),
            "made_with": self.made_with,
        }

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        key = stored["key"]
        score = Score(nan_if_null(stored["value"]), float(stored["seconds"]), stored["why"])
        settings, how = key["proxy_settings"], rest(key, "proxy", "proxy_settings", "batch")
        about = Network.read(key), key["proxy"], settings, key["batch"], how
        return cls(*about, score, stored["made_with"], code_of(key))


@dataclass(frozen=True, slots=True)
class TrainRow:
    """The training of a network, and its accuracies."""

    kind: ClassVar[str] = "train"
    network: Network
    data: Mapping[str, str]
    """The `name` and `fingerprint` of the data set."""
    training: Mapping[str, Any]
    """The result of `TrainSettings.key`."""
    device: Mapping[str, str] = field(default_factory=dict)
    """The kind of device, unless it is the CPU."""
    trained: Trained = UNTRAINED
    made_with: str = MADE_WITH
    code: Mapping[str, str] = field(default_factory=dict)
    """As in `ScoreRow`."""

    def key(self) -> dict[str, Any]:
        """Network, data and settings of training."""
        return {
            "kind": self.kind,
            **self.network.key(),
            "data": self.data,
            "training": self.training,
            **self.device,
            **code_key(self.code),
        }

    def values(self) -> dict[str, Any]:
        """The fields of `Trained`, and `made_with`."""
        return {**finite_or_null(asdict(self.trained)), "made_with": self.made_with}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        key = stored["key"]
        trained = Trained(
            nan_if_null(stored["val_accuracy"]),
            nan_if_null(stored["test_accuracy"]),
            float(stored["seconds"]),
            tuple(map(epoch_of, stored["history"])),
            stored["why"],
        )
        data, training, device = key["data"], key["training"], rest(key, "data", "training")
        how = (data, training, device)
        return cls(Network.read(key), *how, trained, stored["made_with"], code_of(key))


@dataclass(frozen=True, slots=True)
class ReducedRow:
    """A reduced training of a study, and its validation accuracy."""

    kind: ClassVar[str] = "reduced"
    network: Network
    """A network of the reduced space."""
    reduced: str
    """The name of the reduced training."""
    data: str
    """The fingerprint of the reduced data."""
    training: Mapping[str, Any]
    """The result of `TrainSettings.key`."""
    device: Mapping[str, str] = field(default_factory=dict)
    """The kind of device, unless it is the CPU."""
    value: float = math.nan
    """Validation accuracy in %."""
    why: str | None = None
    seconds: float = 0.0
    minibatches: int = 0
    history: tuple[float, ...] = ()
    """Validation accuracy in % after each epoch."""
    made_with: str = MADE_WITH
    code: Mapping[str, str] = field(default_factory=dict)
    """As in `ScoreRow`."""

    def key(self) -> dict[str, Any]:
        """Network, data and settings of training."""
        return {
            "kind": self.kind,
            "reduced": self.reduced,
            **self.network.key(),
            "data": self.data,
            "training": self.training,
            **self.device,
            **code_key(self.code),
        }

    def values(self) -> dict[str, Any]:
        """The measured values, and `made_with`."""
        names = ("value", "why", "seconds", "minibatches", "history", "made_with")
        return {name: finite_or_null(getattr(self, name)) for name in names}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
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
            code_of(key),
        )


@dataclass(frozen=True, slots=True)
class CostRow:
    """The cost of a network."""

    kind: ClassVar[str] = "cost"
    network: Network
    cost: str
    """A key of `foretell.scoring.costs.COSTS`, or TABLE:COLUMN."""
    device: Mapping[str, str] = field(default_factory=dict)
    """The device on which a latency was measured."""
    value: float = math.nan
    code: Mapping[str, str] = field(default_factory=dict)
    """As in `ScoreRow`; for a column of a table, also the digest of the table."""

    def key(self) -> dict[str, Any]:
        """Network and cost."""
        about = {"kind": self.kind, "cost": self.cost, **self.network.key(), **self.device}
        return about | code_key(self.code)

    def values(self) -> dict[str, Any]:
        """The `value`."""
        return {"value": null_if_nan(self.value)}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        key = stored["key"]
        about = Network.read(key), key["cost"], rest(key, "cost")
        return cls(*about, nan_if_null(stored["value"]), code_of(key))


@dataclass(frozen=True, slots=True)
class PickRow:
    """The record that a search, with or without scores, trained a network in full."""

    kind: ClassVar[str] = "trained"
    arm: str
    """The arm of the search: "scored", "unscored" or "largest"."""
    number: int
    """The number of the training in the search, from 1."""
    arch: str = ""
    scored: int = 0
    """The number of networks that were scored before this training."""
    before: float = 0.0
    """The seconds of the stages before the full training."""
    code: Mapping[str, str] = field(default_factory=dict)
    """One digest of all user code that the search depends on, by name."""

    def key(self) -> dict[str, Any]:
        """The arm, and the number of the training."""
        return {"kind": self.kind, "arm": self.arm, "number": self.number, **code_key(self.code)}

    def values(self) -> dict[str, Any]:
        """The architecture, and the work done before its training."""
        before = {"before": self.before} if self.before else {}
        return {"arch": self.arch, "scored": self.scored, **before}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        key, before = stored["key"], float(stored.get("before", 0.0))
        found = stored["arch"], int(stored["scored"]), before
        return cls(key["arm"], int(key["number"]), *found, code_of(key))


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """A simulated search: the networks that it trained, in order."""

    kind: ClassVar[str] = "simulated"
    strategy: str
    told: str
    """The column of the table whose values the searcher received as results of trainings."""
    trainings: int
    seed: int
    trained: tuple[int, ...] = ()
    """The trained networks, as positions of rows of the table."""
    scored: tuple[int, ...] = ()
    """The number of networks that were scored before each training."""
    made_with: str = MADE_WITH
    code: Mapping[str, str] = field(default_factory=dict)
    """The digest of the user's searcher, by name."""

    def key(self) -> dict[str, Any]:
        """Everything that determines the search within a run."""
        return {
            "kind": self.kind,
            "strategy": self.strategy,
            "told": self.told,
            "trainings": self.trainings,
            "seed": self.seed,
            **code_key(self.code),
        }

    def values(self) -> dict[str, Any]:
        """The trained networks, the numbers of scored ones, and `made_with`."""
        trained, scored = list(self.trained), list(self.scored)
        return {"trained": trained, "scored": scored, "made_with": self.made_with}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        key = stored["key"]
        about = (key["strategy"], key["told"], int(key["trainings"]), int(key["seed"]))
        found = tuple(stored["trained"]), tuple(stored["scored"])
        return cls(*about, *found, stored["made_with"], code_of(key))


@dataclass(frozen=True, slots=True)
class ToldRow:
    """The result of a training that was done elsewhere and added to a search."""

    kind: ClassVar[str] = "told"
    space: str
    settings: Mapping[str, Any]
    arch: str
    seed: int | None
    """The seed of the training, if it was given."""
    epoch: int | None
    """The number of epochs, if it was given."""
    value: float = math.nan
    """The value as it was given, in the unit and the direction of the search."""
    code: Mapping[str, str] = field(default_factory=dict)
    """As in `ScoreRow`."""

    def key(self) -> dict[str, Any]:
        """The architecture, and the seed and number of epochs of its training."""
        return {
            "kind": self.kind,
            "space": self.space,
            "settings": self.settings,
            "arch": self.arch,
            "seed": self.seed,
            "epoch": self.epoch,
            **code_key(self.code),
        }

    def values(self) -> dict[str, Any]:
        """The `value`."""
        return {"value": null_if_nan(self.value)}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        key, value = stored["key"], nan_if_null(stored["value"])
        about = key["space"], key["settings"], str(key["arch"]), key["seed"], key["epoch"]
        return cls(*about, value, code_of(key))


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A change of the user's code, from which on other digests are current."""

    kind: ClassVar[str] = "code"
    number: int
    """The number of such rows before this one; the last row with a name determines its digest."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The digests that have changed, by name; empty if the code is now foretell's own."""

    def key(self) -> dict[str, Any]:
        """The number."""
        return {"kind": self.kind, "number": self.number}

    def values(self) -> dict[str, Any]:
        """The digests."""
        return {"code": self.code}

    @classmethod
    def read(cls, stored: Stored) -> Self:
        """The row from its JSON."""
        return cls(int(stored["key"]["number"]), dict(stored["code"]))


SEARCH = "search"
"""The name of the digest of everything that the choices of a search depend on."""


def code_key(code: Mapping[str, str]) -> dict[str, Any]:
    """The part of a row key with the digests of users' code, if there is any."""
    return {"code": code} if code else {}


def code_of(key: Mapping[str, Any]) -> Mapping[str, str]:
    """The digests of users' code in a row key, by name."""
    return {str(name): str(digest) for name, digest in key.get("code", {}).items()}


def is_coded(row: Stored) -> bool:
    """Whether a stored row depends on, or is about, user code."""
    return "code" in row["key"] or row["key"].get("kind") == CodeRow.kind


def key_code(row: Stored) -> Mapping[str, str]:
    """The digests of users' code that a stored row depends on, by name."""
    return code_of(row["key"])


def depends_on(row: Stored) -> list[str]:
    """The names of all code that a stored row depends on, both the user's and foretell's."""
    key = row["key"]
    if key.get("kind") == PickRow.kind:
        return [SEARCH]
    names = [f"{name} {key[name]}" for name in ("proxy", "loss", "cost", "strategy") if name in key]
    if "arch" in key:
        zoo = key["space"] == "models"
        names.append(f"model {key['arch']}" if zoo else f"space {key['space']}")
    return names


def rest(key: Mapping[str, Any], *named: str) -> dict[str, Any]:
    """The fields of a key except its kind, the fields of its network, and the named ones.

    >>> rest({"kind": "cost", "cost": "latency", "arch": "333333", "device": "cpu"}, "cost")
    {'device': 'cpu'}
    """
    known = {"kind", "code", *Network.__dataclass_fields__, *named}
    return {name: value for name, value in key.items() if name not in known}


def epoch_of(stored: Mapping[str, Any]) -> Epoch:
    """An epoch from the JSON in the row of a training."""
    loss, accuracy = nan_if_null(stored["train_loss"]), nan_if_null(stored["val_accuracy"])
    return Epoch(int(stored["number"]), loss, accuracy)


def null_if_nan(value: float) -> float | None:
    """The value for JSON, with None in place of nan."""
    return None if math.isnan(value) else value


def nan_if_null(value: float | None) -> float:
    """The value from JSON, with nan in place of None."""
    return math.nan if value is None else float(value)


def finite_or_null(value: Any) -> Any:
    """The same nested dicts and sequences, with None for nan and infinity.

    >>> finite_or_null({"accuracy": math.nan, "history": (1.0, math.inf)})
    {'accuracy': None, 'history': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {name: finite_or_null(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
