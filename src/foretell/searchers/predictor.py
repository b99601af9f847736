"""Train the networks selected by a graph network that learns which of two architectures is better.

The binary predictor of BRP-NAS, Dudziak et al. 2020, arXiv:2007.08668, with the settings of the
code of arXiv:2101.08134: four graph convolutions of 600 units, dropout 0.2, AdamW with learning
rate 3.5e-4, weight decay 5e-4 and a cosine schedule, 250 epochs with patience 35, and five
iterations of 20 networks. Half of the networks of an iteration are those predicted to be the best,
half are drawn from the best 1/2, 1/4, ... of the candidates. A warmup pretrains the graph network
on scores.

Here, a step uses 64 graphs and all pairs among them, whereas the authors use 64 pairs: each graph
is processed once instead of once per pair. Patience applies to the training loss, since no networks
are trained for validation.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.searchers.random import RandomSearch
from foretell.searchers.searcher import Question, distinct
from foretell.seeds import own_randomness
from foretell.spaces.graph import graph_of
from foretell.spaces.space import Arch, Space

__all__ = ["Predictor"]


class Predictor:
    """Trains the networks that a graph network ranks first; it learns from pairs of trained ones.

    The first `block` networks are random, or with `warmup` the best according to a graph network
    trained on that many scores. After `iterations` blocks, it continues in the order of the last
    prediction. Candidates are all classes of isomorphic architectures, or `candidates` random ones.

    >>> from foretell.spaces import NASBench201
    >>> search = Predictor(NASBench201(), seed=0, block=2, hidden=8, epochs=2, candidates=50)
    >>> for question, accuracy in zip(search.ask(2), [90.0, 80.0], strict=True):
    ...     search.tell(question, accuracy)
    >>> [question.kind for question in search.ask(2)]
    ['train', 'train']
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        warmup: int = 0,
        block: int = 20,
        iterations: int = 5,
        candidates: int = 10_000,
        layers: int = 4,
        hidden: int = 600,
        dropout: float = 0.2,
        lr: float = 3.5e-4,
        weight_decay: float = 5e-4,
        epochs: int = 250,
        patience: int = 35,
    ) -> None:
        """Raises ForetellError for a setting out of range."""
        if warmup < 0 or min(block, iterations, candidates, layers, hidden, epochs, patience) < 1:
            raise ForetellError(
                "a setting of the predictor is out of range; expected warmup of at least 0, and "
                "block, iterations, candidates, layers, hidden, epochs and patience of at least 1"
            )
        if not (0 <= dropout < 1 and lr > 0 and weight_decay >= 0):
            raise ForetellError(
                f"dropout is {dropout}, lr is {lr} and weight_decay is {weight_decay}; expected a "
                "dropout of at least 0 and below 1, lr above 0 and weight_decay of at least 0"
            )
        self._space, self._seed = space, seed
        self._warmup, self._block, self._iterations = warmup, block, iterations
        self._learning = Learning(dropout, lr, weight_decay, epochs, patience)
        self._shape = (layers, hidden)
        self._random = RandomSearch(space, seed)
        drawn = distinct(space, seed)
        self._candidates = {canonical: arch for arch, canonical in islice(drawn, candidates)}
        self._known: dict[str, dict[Arch, tuple[Arch, float]]] = {"score": {}, "train": {}}
        self._network: GraphNetwork | None = None
        self._plan: list[Arch] = []
        self._fits = 0

    def ask(self, n: int = 1) -> list[Question]:
        """Request the scores of the warmup, then the networks selected for this iteration."""
        scored, trained = self._known["score"], self._known["train"]
        if not trained and len(scored) < self._warmup:
            wanted = (arch for c, arch in self._candidates.items() if c not in scored)
            count = min(n, self._warmup - len(scored))
            return [Question(arch, "score") for arch in islice(wanted, count)]
        if not self._plan:
            return self._random.ask(min(n, max(self._block - len(trained), 1)))
        planned = (arch for arch in self._plan if self._space.canonical(arch) not in trained)
        return [Question(arch, "train") for arch in islice(planned, n)] or self._random.ask(n)

    def tell(self, question: Question, value: float) -> None:
        """Record an answer, and learn again when the warmup or an iteration is complete."""
        value = -math.inf if math.isnan(value) else value
        canonical = self._space.canonical(question.arch)
        known = self._known[question.kind]
        known[canonical] = (question.arch, value)
        trained = self._known["train"]
        if question.kind == "score":
            if not trained and len(known) == self._warmup:
                self._learn("score", 1.0)
                self._plan = self._ranked()[: self._block]
            return
        self._random.tell(question, value)
        done = all(self._space.canonical(arch) in trained for arch in self._plan)
        if done and (self._plan or len(trained) >= self._block):
            self._replan()

    def _replan(self) -> None:
        """Learn from all trainings, and select the next iteration, or the rest after the last."""
        self._fits += 1
        self._learn("train", min(self._fits / self._iterations, 1.0))
        ranked = self._ranked()
        if self._fits >= self._iterations:
            self._plan = ranked[: 5 * self._block]
            return
        best = ranked[: self._block // 2]
        pool = ranked[len(best) : max(len(ranked) // 2**self._fits, self._block)]
        rng = random.Random(f"{self._seed}/{self._fits}")
        drawn = rng.sample(pool, min(self._block - len(best), len(pool)))
        self._plan = [*best, *drawn]

    def _learn(self, kind: str, share: float) -> None:
        """Continue fitting the graph network for a share of the epochs."""
        encoder, _ = self._encoded
        archs = [arch for arch, _ in self._known[kind].values()]
        values = torch.tensor([value for _, value in self._known[kind].values()])
        batch = encoder.encode(archs)
        if self._network is None:
            self._network = network_of(len(encoder.labels), *self._shape, self._seed)
        fit(self._network, batch, values, self._learning, share, self._seed + 7 * len(archs))

    def _ranked(self) -> list[Arch]:
        """The candidates that are not trained, best prediction first."""
        trained = self._known["train"]
        if self._network is None:
            return []
        _, (nodes, edges) = self._encoded
        with torch.no_grad():
            parts = zip(torch.split(nodes, AT_ONCE), torch.split(edges, AT_ONCE), strict=True)
            worth = torch.cat([self._network(*part) for part in parts]).tolist()
        by_class = dict(zip(self._candidates, worth, strict=True))
        best = sorted(by_class, key=lambda c: -by_class[c])
        return [self._candidates[canonical] for canonical in best if canonical not in trained]

    @cached_property
    def _encoded(self) -> "tuple[Encoder, tuple[Tensor, Tensor]]":
        """The encoder, and all candidates encoded by it."""
        archs = list(self._candidates.values())
        encoder = Encoder(self._space, archs)
        return encoder, encoder.encode(archs)


class Encoder:
    """Encodes architectures as one-hot labels and adjacency matrices, padded with zeros."""

    def __init__(self, space: Space, archs: Sequence[Arch]) -> None:
        self._space = space
        self._graphs = {arch: graph_of(space, arch) for arch in archs}
        graphs = self._graphs.values()
        self.labels = sorted({label for labels, _ in graphs for label in labels})
        self._nodes = max(len(labels) for labels, _ in graphs)

    def encode(self, archs: Sequence[Arch]) -> tuple[Tensor, Tensor]:
        """Labels (architecture, node, label) and edges (architecture, source, target)."""
        number = {label: index for index, label in enumerate(self.labels)}
        labelled: list[tuple[int, int, int]] = []
        joined: list[tuple[int, int, int]] = []
        for index, arch in enumerate(archs):
            labels, pairs = self._graphs.get(arch) or graph_of(self._space, arch)
            labelled += [  # a label that no candidate has carries no information
                (index, node, number[label]) for node, label in enumerate(labels) if label in number
            ]
            joined += [(index, source, target) for source, target in pairs]
        nodes = torch.zeros(len(archs), self._nodes, len(self.labels))
        edges = torch.zeros(len(archs), self._nodes, self._nodes)
        nodes[tuple(torch.tensor(labelled).T)] = 1
        edges[tuple(torch.tensor(joined).T)] = 1
        return nodes, edges


class GraphNetwork(nn.Module):
    """Graph convolutions along edges, against them and within nodes; one number per graph."""

    def __init__(self, labels: int, layers: int, hidden: int) -> None:
        super().__init__()
        sizes = [labels, *[hidden] * layers]
        self.steps = nn.ModuleList(
            nn.Linear(3 * before, after) for before, after in pairwise(sizes)
        )
        self.out = nn.Linear(hidden, 1)

    def forward(
        self,
        nodes: Tensor,
        edges: Tensor,
        keep: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> Tensor:
        """The predicted value of each graph; with `keep` below 1, `rng` drops units."""
        present = nodes.sum(dim=-1, keepdim=True)
        into = edges.transpose(1, 2)
        along = [m / m.sum(dim=-1, keepdim=True).clamp(min=1) for m in (into, edges)]
        for step in self.steps:
            near = [matrix @ nodes for matrix in along]
            nodes = F.relu(step(torch.cat([nodes, *near], dim=-1))) * present
            if rng is not None and keep < 1:  # torch draws from a generator five times slower
                drawn = torch.from_numpy(rng.random(nodes.shape, dtype=np.float32))
                nodes = nodes * ((drawn < keep) / keep)
        worth: Tensor = self.out(nodes.sum(dim=1) / present.sum(dim=1).clamp(min=1))
        return worth.squeeze(-1)


@dataclass(frozen=True)
class Learning:
    """The training settings of the graph network."""

    dropout: float
    lr: float
    weight_decay: float
    epochs: int
    patience: int


AT_ONCE = 1024
"""The number of graphs that are evaluated at a time."""
BATCH = 64
"""The number of graphs in a step, which learns from all pairs among them."""


def network_of(labels: int, layers: int, hidden: int, seed: int) -> GraphNetwork:
    """An untrained graph network, initialised from the seed."""
    with own_randomness(seed, torch.device("cpu")):  # these weights are replaced
        network = GraphNetwork(labels, layers, hidden)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            bound = 1 / math.sqrt(parameter.shape[-1])
            parameter.uniform_(-bound, bound, generator=generator)
    return network


def fit(
    network: GraphNetwork,
    batch: tuple[Tensor, Tensor],
    values: Tensor,
    by: Learning,
    share: float,
    seed: int,
) -> None:
    """Train on which of two networks is better; the loss is the KL divergence from the target."""
    nodes, edges = batch
    epochs = max(round(by.epochs * share), 1)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=by.lr, weight_decay=by.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    rng = np.random.default_rng(seed)
    best, since = math.inf, 0
    for _ in range(epochs):
        total = 0.0
        for part in torch.split(torch.from_numpy(rng.permutation(len(values))), BATCH):
            if len(part) < 2:
                continue
            worth = network(nodes[part], edges[part], 1 - by.dropout, rng)
            loss = pairs_loss(worth, values[part])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(part)
        schedule.step()
        best, since = (total, 0) if total < best else (best, since + 1)
        if since >= by.patience:
            return


def pairs_loss(worth: Tensor, values: Tensor) -> Tensor:
    """The mean loss over all pairs; the target for equal values is one half.

    >>> round(float(pairs_loss(torch.tensor([50.0, 0.0]), torch.tensor([2.0, 1.0]))), 9)
    0.0
    """
    first, second = torch.triu_indices(len(values), len(values), offset=1)
    equal = (values[first] == values[second]).float()
    better = (values[first] > values[second]).float() + 0.5 * equal
    surprise = F.binary_cross_entropy_with_logits(worth[first] - worth[second], better)
    return surprise - math.log(2) * equal.mean()
