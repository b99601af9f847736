"""Architectures as labelled graphs, for predictors that learn from graphs."""

from typing import Protocol, TypeAlias, runtime_checkable

from foretell.spaces.space import Arch, Space

__all__ = ["Graph", "Graphs", "graph_of"]

Graph: TypeAlias = tuple[tuple[str, ...], tuple[tuple[int, int], ...]]
"""The label of each node, and the edges as pairs of nodes: source, target."""


@runtime_checkable
class Graphs(Protocol):
    """A space that defines the graphs of its architectures."""

    def graph(self, arch: Arch) -> Graph:
        """The graph of `arch`: operations as nodes, the flow of values as edges."""


def graph_of(space: Space, arch: Arch) -> Graph:
    """The graph that the space defines; by default, one node per position, all connected.

    >>> from foretell.spaces import NASBench201
    >>> space = NASBench201()
    >>> labels, edges = graph_of(space, space.parse("333333"))
    >>> labels[0], labels[1], len(labels), len(edges)
    ('input', 'nor_conv_3x3', 8, 10)
    """
    if isinstance(space, Graphs):
        return space.graph(arch)
    labels = tuple(
        f"{position}: {options[option]}"
        for position, (options, option) in enumerate(zip(space.choices, arch, strict=True))
    )
    count = len(labels)
    edges = tuple((i, j) for i in range(count) for j in range(i + 1, count))
    return labels, edges
