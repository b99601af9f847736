"""The canonical form of recipes of recurrent cells, by colour refinement.

Nodes are coloured by their operation, their inputs and the nodes that they are inputs of
(Weisfeiler & Leman 1968); if several nodes have the same colour, each of them is tried as the first
(as in McKay 1981 for graphs in general).
"""

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

from foretell.spaces.nlp_recipe import Node, Recipe, is_state, state_count

__all__ = ["canonical_recipe"]

_COMMUTING = ("linear", "elementwise_prod", "elementwise_sum")


def canonical_recipe(recipe: Recipe) -> Recipe:
    """The canonical form of a recipe, in execution order; the same for all isomorphic recipes.

    Recipes are isomorphic if they differ only in the names and the order of nodes, in the order of
    the inputs of linear, product and sum nodes, and in the numbers of the states other than 0.
    Nodes that compute the same value are not merged.

    >>> recipe = {
    ...     "f": Node("linear", ("h_prev_0", "x")),
    ...     "h_new_0": Node("activation_tanh", ("f",)),
    ... }
    >>> canonical_recipe(recipe)["node_0"]
    Node(operation='linear', inputs=('x', 'h_prev_0'))
    """
    numberings = itertools.permutations(range(1, state_count(recipe)))
    return min(
        (
            _renamed(graph, order)
            for numbers in numberings
            for graph in [_with_states(recipe, (0, *numbers))]
            for order in _orders(graph, _first_colours(graph))
        ),
        key=_compared,
    )


def _compared(recipe: Recipe) -> list[tuple[str, Node]]:
    return list(recipe.items())


def _with_states(recipe: Recipe, numbers: tuple[int, ...]) -> Recipe:
    """The recipe with state i called `numbers[i]`."""
    new = {
        f"{kind}_{state}": f"{kind}_{number}"
        for state, number in enumerate(numbers)
        for kind in ("h_new", "h_prev")
    }
    return {
        new.get(name, name): Node(operation, tuple(new.get(source, source) for source in inputs))
        for name, (operation, inputs) in recipe.items()
    }


def _renamed(recipe: Recipe, order: list[str]) -> Recipe:
    """The recipe with nodes sorted and named by this order, and with commuting inputs sorted."""
    plain = (name for name in order if not is_state(name))
    names = {name: f"node_{number}" for number, name in enumerate(plain)}
    rank = {name: place for place, name in enumerate(order)}

    def place(source: str) -> tuple[int, str]:
        return rank.get(source, -2 if source == "x" else -1), source

    return {
        names.get(name, name): Node(
            node.operation,
            tuple(
                names.get(source, source)
                for source in (
                    sorted(node.inputs, key=place) if node.operation in _COMMUTING else node.inputs
                )
            ),
        )
        for name, node in ((name, recipe[name]) for name in order)
    }


Colours: TypeAlias = dict[str, int]


def _first_colours(recipe: Recipe) -> Colours:
    """Colours that rank nodes by depth first, so that sorting by colour gives execution order."""
    depth: dict[str, int] = {}
    for name, node in recipe.items():
        depth[name] = 1 + max(depth.get(source, 0) for source in node.inputs)
    marks = {
        name: (depth[name], node.operation, name if is_state(name) else "")
        for name, node in recipe.items()
    }
    return _ranked(marks)


def _ranked(marks: dict[str, Any]) -> Colours:
    ranks = {mark: rank for rank, mark in enumerate(sorted(set(marks.values())))}
    return {name: ranks[mark] for name, mark in marks.items()}


def _refined(recipe: Recipe, colours: Colours) -> Colours:
    """Refine the colours by those of neighbouring nodes until they are stable."""
    while True:
        readers: dict[str, list[tuple[int, int]]] = {name: [] for name in recipe}
        reads: dict[str, list[tuple[int, str]]] = {}
        for name, (operation, inputs) in recipe.items():
            commuting = operation in _COMMUTING
            for place, source in enumerate(inputs):
                if source in recipe:
                    readers[source].append((colours[name], 0 if commuting else place))
            seen = [(colours.get(s, -1), "" if s in recipe else s) for s in inputs]
            reads[name] = sorted(seen) if commuting else seen
        finer = _ranked(
            {
                name: (colours[name], tuple(reads[name]), tuple(sorted(readers[name])))
                for name in recipe
            }
        )
        if len(set(finer.values())) == len(set(colours.values())):
            return finer
        colours = finer


def _orders(recipe: Recipe, colours: Colours) -> Iterator[list[str]]:
    """The orders of the nodes to compare; they are the same for isomorphic recipes up to names.

    If several nodes have the same colour, each of them in turn is placed before the others.
    """
    colours = _refined(recipe, colours)
    alike: dict[int, list[str]] = {}
    for name in sorted(recipe, key=colours.__getitem__):
        alike.setdefault(colours[name], []).append(name)
    tied = next((names for names in alike.values() if len(names) > 1), None)
    if tied is None:
        yield [names[0] for names in alike.values()]
        return
    for chosen in tied:
        doubled = {name: 2 * colour for name, colour in colours.items()}
        doubled[chosen] -= 1
        yield from _orders(recipe, doubled)
