"""Answer a searcher's questions by scoring and by training, and keep every answer as a row."""

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from foretell.batch import Batch
from foretell.data import Splits
from foretell.files import write_atomically
from foretell.plan import Plan
from foretell.proxies import PROXIES
from foretell.rowlog import canonical
from foretell.score import Score, score
from foretell.searchers import Question
from foretell.spaces import Arch, Space
from foretell.store import Store
from foretell.training import TrainSettings, train
from foretell.version import __version__

__all__ = ["Evaluator", "Tick"]


@dataclass(frozen=True)
class Tick:
    """One unit of work is finished: a network scored, or an epoch trained."""

    unit: Literal["score", "epoch"]
    label: str
    from_store: bool = False


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores and trains the architectures of a space on one data set, each thing once."""

    space: Space
    splits: Splits
    batch: Batch
    plan: Plan
    by: str
    training: TrainSettings
    seed: int
    device: torch.device
    store: Store
    progress: Callable[[Tick], object] = lambda tick: None

    def answer(self, question: Question) -> float:
        """The proxy score (higher is better) or the validation accuracy that was asked for."""
        if question.kind == "score":
            value = self.scores(question.arch)[self.by]["value"]
            sign = 1 if PROXIES[self.by].higher_is_better else -1
        else:
            value, sign = self.trained(question.arch)["val_accuracy"], 1
        return math.nan if value is None else sign * float(value)

    def scores(self, arch: Arch) -> dict[str, Mapping[str, Any]]:
        """The row of each proxy for this architecture, computing those that are missing."""
        keys = {proxy.name: self._score_key(arch, proxy.name) for proxy in self.plan.proxies}
        missing = [name for name, key in keys.items() if key not in self.store]
        if missing:
            request = {name: self.plan.settings.get(name, {}) for name in missing}
            for name, result in score(
                self._build(arch), self.batch, request, seed=self.seed
            ).items():
                self.store.add(score_row(keys[name], result))
        self.progress(Tick("score", self.space.format(arch), from_store=not missing))
        return {name: self._row(key) for name, key in keys.items()}

    def trained(self, arch: Arch) -> Mapping[str, Any]:
        """The row of this architecture's training, which is done if it is missing."""
        key = self._train_key(arch)
        label = self.space.format(arch)
        if key in self.store:
            for _ in range(self.training.epochs):
                self.progress(Tick("epoch", label, from_store=True))
            return self._row(key)
        model = self._build(arch)
        result = train(
            model,
            self.splits,
            self.training,
            self.seed,
            self.device,
            progress=lambda _: self.progress(Tick("epoch", label)),
        )
        self._save(model, self.weights_file(arch))
        self.store.add({"key": key, **finite_or_null(asdict(result)), "made_with": versions()})
        return self._row(key)

    def weights_file(self, arch: Arch) -> Path:
        """Where the trained weights of this architecture are kept."""
        name = hashlib.sha256(canonical(self._train_key(arch)).encode()).hexdigest()[:16]
        return self.store.folder / "networks" / f"{name}.pt"

    def network(self, arch: Arch) -> dict[str, Any]:
        """What rebuilds the untrained network."""
        return {
            "space": self.space.name,
            "settings": self.space.settings(),
            "arch": self.space.format(arch),
            "seed": self.seed,
        }

    def _build(self, arch: Arch) -> nn.Module:
        return self.space.build(arch, self.seed).to(self.device)

    def _row(self, key: Mapping[str, Any]) -> Mapping[str, Any]:
        row = self.store.get(key)
        assert row is not None
        return row

    def _score_key(self, arch: Arch, proxy: str) -> dict[str, Any]:
        settings = dict(PROXIES[proxy].settings) | dict(self.plan.settings.get(proxy, {}))
        return {
            "kind": "score",
            "proxy": proxy,
            "proxy_settings": settings,
            **self.network(arch),
            "batch": self.batch.fingerprint,
            "loss": "cross_entropy",
            "layers": "all",
            "batch_norm": "batch",
        }

    def _train_key(self, arch: Arch) -> dict[str, Any]:
        return {
            "kind": "train",
            **self.network(arch),
            "data": self.splits.name,
            "data_fingerprint": self.splits.fingerprint,
            "training": asdict(self.training),
        }

    def _save(self, model: nn.Module, path: Path) -> None:
        content = io.BytesIO()
        torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, content)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content.getvalue())


def score_row(key: Mapping[str, Any], result: Score) -> dict[str, Any]:
    """A score as a row: an undefined value is null, its reason beside it."""
    value = None if math.isnan(result.value) else result.value
    seconds = round(result.seconds, 6)
    return {
        "key": key,
        "value": value,
        "why": result.why,
        "seconds": seconds,
        "made_with": versions(),
    }


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


def versions() -> str:
    """The programs that made a row."""
    return f"foretell {__version__}, torch {torch.__version__}"
