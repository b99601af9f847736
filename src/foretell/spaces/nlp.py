"""NAS-Bench-NLP: recurrent cells, graphs of up to 24 nodes with seven operations.

Klyuchnikov et al. 2020, arXiv:2006.07116. This file defines the architectures and their texts;
`nlp_recipe` reads cells, `nlp_canonical` recognises isomorphic cells, and `nlp_network` builds the
language models.
"""

import functools
import json
import operator
from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.nlp_canonical import canonical_recipe
from foretell.spaces.nlp_network import fill, network
from foretell.spaces.nlp_recipe import (
    OPERATIONS,
    Node,
    Recipe,
    complaint,
    is_state,
    read_recipe,
    state_count,
    write_recipe,
)
from foretell.spaces.settings import require_flag, require_integers, require_rate
from foretell.spaces.space import Arch, Json, require_valid

__all__ = ["NASBenchNLP"]

_STATES = 3
_HEAD = 1 + _STATES  # the number of states, and the slot of each
_GENES = 4  # for each slot: its operation and three inputs
_FORMS = (
    *(("linear", True, others) for others in (1, 2)),
    *(("linear", False, others) for others in (2, 3)),
    *((name, False, arities[0]) for name, arities in OPERATIONS.items() if name != "linear"),
)
"""The options of the first gene of a slot: operation, whether it reads x, number of inputs."""
_WORDS = tuple(
    f"{operation}({', '.join(['x'] * with_x + list('abc'[:others]))})"
    for operation, with_x, others in _FORMS
)


@dataclass(frozen=True)
class NASBenchNLP:
    """NAS-Bench-NLP: recurrent cells of up to 24 nodes and three states in a language model.

    Cells are graphs of different shapes, so an architecture encodes a cell as in Cartesian genetic
    programming (Miller & Thomson 2000): the number of states, the slot in which each state is
    computed, and `nodes` slots, each an operation with three inputs a, b, c from earlier slots or
    states. Slots that no state needs, and inputs that an operation does not take, are part of the
    architecture but not of the cell: a mutation there does not change the network, and several
    architectures describe the same cell. `canonical` returns one architecture for all of them, with
    zeros in all unused positions. The space contains all cells of the benchmark, and all other
    cells that `nlp_recipe.complaint` accepts.

    The text of a canonical architecture is its recipe in JSON, as in the files of the benchmark;
    the text of any other architecture also has "genes", the architecture itself. Isomorphic
    architectures build the same network.

    The defaults are those of the benchmark on Penn Treebank, except for its dropout. `dropout` is
    the rate of the embedding, between layers and of the output, with one mask for all time steps.
    With `tied`, the decoder shares the matrix of the embedding, and the last layer has its width.

    >>> space = NASBenchNLP()
    >>> gates = '{"f": {"op": "linear", "input": ["h_prev_0", "x"]}, '
    >>> arch = space.parse(gates + '"h_new_0": {"op": "activation_tanh", "input": ["f"]}}')
    >>> space.format(arch)[:68]
    '{"h_new_0": {"input": ["node_0"], "op": "activation_tanh"}, "node_0"'
    """

    nodes: int = 24
    vocabulary: int = 10_000
    embedding: int = 400
    hidden: int = 600
    layers: int = 3
    dropout: float = 0.0
    tied: bool = True

    name: ClassVar[str] = "nlp"

    def __post_init__(self) -> None:
        integers = {k: v for k, v in asdict(self).items() if k not in ("dropout", "tied")}
        require_integers(self.name, integers)
        require_rate(self.name, "dropout", self.dropout)
        require_flag(self.name, "tied", self.tied)

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The number of states, their slots, then the operation and inputs a, b, c of each slot."""
        return _choices(self.nodes)

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)

    def is_valid(self, arch: Arch) -> bool:
        """True if all genes are within their ranges and the genes in use describe a cell."""
        sizes = _sizes(self.nodes)
        return (
            isinstance(arch, tuple)
            and len(arch) == len(sizes)
            and set(map(type, arch)) == {int}
            and min(arch) >= 0
            and all(map(operator.lt, arch, sizes))
            and complaint(_read_genes(arch, self.nodes)) is None
        )

    def canonical(self, arch: Arch) -> Arch:
        """The architecture with the canonical recipe in the first slots and zeros elsewhere."""
        require_valid(self, arch)
        return _write_genes(canonical_recipe(_read_genes(arch, self.nodes)), self.nodes)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained language model: ids [batch, time] -> logits [batch, time, vocabulary]."""
        require_valid(self, arch)
        model = network(
            canonical_recipe(_read_genes(arch, self.nodes)),
            vocabulary=self.vocabulary,
            embedding=self.embedding,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
            tied=self.tied,
        )
        fill(model, seed)
        return model

    def format(self, arch: Arch) -> str:
        """The canonical recipe as JSON with sorted keys, and "genes" if `arch` is not canonical."""
        require_valid(self, arch)
        recipe = canonical_recipe(_read_genes(arch, self.nodes))
        document: dict[str, object] = {**write_recipe(recipe)}
        if arch != _write_genes(recipe, self.nodes):
            document["genes"] = list(arch)
        return json.dumps(document, sort_keys=True)

    def parse(self, text: str) -> Arch:
        """The architecture that `format` wrote; for a recipe without "genes", the canonical one.

        Raises ForetellError for any other text.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ForetellError(f"{text[:80]!r} is not JSON ({error}); give a recipe") from error
        genes = document.pop("genes", None) if isinstance(document, dict) else None
        recipe = canonical_recipe(read_recipe(document))
        if (found := state_count(recipe)) > _STATES:
            raise ForetellError(f"the recipe has {found} states; give at most {_STATES}")
        if len(recipe) > self.nodes:
            raise ForetellError(
                f"the recipe has {len(recipe)} nodes and the space allows {self.nodes}; "
                f"give the space nodes={len(recipe)} or more"
            )
        if genes is None:
            return _write_genes(recipe, self.nodes)
        arch = tuple(genes) if isinstance(genes, list) else genes
        require_valid(self, arch)
        if canonical_recipe(_read_genes(arch, self.nodes)) != recipe:
            raise ForetellError('"genes" do not encode the recipe beside them; leave them out')
        return arch


@functools.cache
def _choices(nodes: int) -> tuple[tuple[str, ...], ...]:
    slots = tuple(f"node_{slot}" for slot in range(nodes))
    before = tuple(f"h_prev_{state}" for state in range(_STATES))
    genes = (
        options for slot in range(nodes) for options in (_WORDS, *(before + slots[:slot],) * 3)
    )
    counts = tuple(str(count + 1) for count in range(_STATES))
    return (counts, *(slots,) * _STATES, *genes)


@functools.cache
def _sizes(nodes: int) -> tuple[int, ...]:
    return tuple(map(len, _choices(nodes)))


def _read_genes(arch: Arch, nodes: int) -> Recipe:
    """The recipe that the genes encode: the live nodes, in the order of the slots.

    A state that a live node reads is included even if it exceeds the encoded number of states; the
    included states are numbered in order.
    """
    states, live = set(range(arch[0] + 1)), dict[int, Node]()
    waiting = [arch[1 + state] for state in states]
    while waiting:
        if (slot := waiting.pop()) in live:
            continue
        live[slot] = _node_at(arch, slot, nodes)
        for source in live[slot].inputs:
            kind, _, number = source.rpartition("_")
            if kind == "node":
                waiting.append(int(number))
            elif kind == "h_prev" and int(number) not in states:
                states.add(int(number))
                waiting.append(arch[1 + int(number)])
    names = {f"h_prev_{state}": f"h_prev_{place}" for place, state in enumerate(sorted(states))}
    names |= {
        f"node_{arch[1 + state]}": f"h_new_{place}" for place, state in enumerate(sorted(states))
    }
    return {
        names.get(f"node_{slot}", f"node_{slot}"): Node(
            live[slot].operation, tuple(names.get(source, source) for source in live[slot].inputs)
        )
        for slot in sorted(live)
    }


def _node_at(arch: Arch, slot: int, nodes: int) -> Node:
    start = _HEAD + _GENES * slot
    operation, with_x, arity = _FORMS[arch[start]]
    sources = _choices(nodes)[start + 1]
    inputs = tuple(sources[gene] for gene in arch[start + 1 : start + 1 + arity])
    return Node(operation, ("x", *inputs) if with_x else inputs)


def _write_genes(recipe: Recipe, nodes: int) -> Arch:
    """The genes that encode a canonical recipe, with one node per slot, in order."""
    slot_of = {name: f"node_{slot}" for slot, name in enumerate(recipe)}
    arch = [0] * len(_choices(nodes))
    arch[0] = state_count(recipe) - 1
    for slot, (name, (operation, inputs)) in enumerate(recipe.items()):
        if is_state(name):
            arch[1 + int(name.removeprefix("h_new_"))] = slot
        start = _HEAD + _GENES * slot
        others = [slot_of.get(source, source) for source in inputs if source != "x"]
        arch[start] = _FORMS.index((operation, "x" in inputs, len(others)))
        for position, source in enumerate(others, start=start + 1):
            arch[position] = _choices(nodes)[position].index(source)
    return tuple(arch)
