"""Read, check and write recipes of recurrent cells.

A recipe names the nodes of a cell, as in the files of NAS-Bench-NLP (Klyuchnikov et al. 2020,
arXiv:2006.07116): {"f": {"op": "linear", "input": ["x", "h_prev_0"]},
"h_new_0": {"op": "activation_tanh", "input": ["f"]}}. `x` is the input of the cell at one time
step, `h_prev_i` the value of `h_new_i` one step before; `h_new_0` is also the output of the cell.
"""

import re
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, TypeAlias

from foretell.errors import ForetellError, unknown_name

__all__ = [
    "OPERATIONS",
    "Node",
    "Recipe",
    "complaint",
    "is_state",
    "live_nodes",
    "read_recipe",
    "state_count",
    "write_recipe",
]

OPERATIONS: dict[str, tuple[int, ...]] = {
    "linear": (2, 3),
    "blend": (3,),
    "elementwise_prod": (2,),
    "elementwise_sum": (2,),
    "activation_tanh": (1,),
    "activation_sigm": (1,),
    "activation_leaky_relu": (1,),
}
"""The possible numbers of inputs of each operation."""

_STATE = re.compile("h_new_[0-9]+")
_EXPECTED = 'expected nodes such as {"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}'


class Node(NamedTuple):
    """The operation of a node, and the names of its inputs."""

    operation: str
    inputs: tuple[str, ...]


Recipe: TypeAlias = dict[str, Node]
"""Maps the name of each node to the node; every node comes after its inputs."""


def read_recipe(document: object) -> Recipe:
    """The recipe in a decoded JSON document: its live nodes, in execution order.

    Nodes that no `h_new_i` needs are left out. Raises ForetellError if the recipe is not valid.

    >>> read_recipe({"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}})
    {'h_new_0': Node(operation='linear', inputs=('x', 'h_prev_0'))}
    """
    if not isinstance(document, dict) or not document:
        raise ForetellError(f"{document!r} is not a recipe of a recurrent cell; {_EXPECTED}")
    given = {name: _read_node(name, entry) for name, entry in document.items()}
    live = live_nodes(given)
    try:
        order = TopologicalSorter({name: node.inputs for name, node in live.items()})
        recipe = {name: live[name] for name in order.static_order() if name in live}
    except CycleError as error:
        cycle = " <- ".join(error.args[1])
        raise ForetellError(
            f"the recipe has a cycle ({cycle}); remove one of these inputs"
        ) from error
    if problem := complaint(recipe):
        raise ForetellError(f"not a recipe of a recurrent cell: {problem}")
    return recipe


def _read_node(name: str, entry: object) -> Node:
    if not isinstance(entry, dict) or set(entry) != {"op", "input"}:
        raise ForetellError(f"node {name!r} is {entry!r}; {_EXPECTED}")
    operation, inputs = entry["op"], entry["input"]
    if operation not in OPERATIONS:
        said = f"node {name!r} has the unknown operation {operation!r}"
        raise unknown_name("operation", operation, OPERATIONS, said)
    if not isinstance(inputs, list) or not all(isinstance(source, str) for source in inputs):
        raise ForetellError(f"node {name!r} has the input {inputs!r}; give a list of node names")
    return Node(operation, tuple(inputs))


def state_count(recipe: Recipe) -> int:
    """The number of nodes that are called h_new_0, h_new_1 and so on."""
    return sum(map(is_state, recipe))


def is_state(name: str) -> bool:
    """True for `h_new_0`, `h_new_1` and so on; `h_new_1_act` is a node like any other."""
    return _STATE.fullmatch(name) is not None


def live_nodes(recipe: Recipe) -> Recipe:
    """The nodes that some `h_new_i` depends on, in the given order."""
    needed: set[str] = set()
    waiting = [name for name in recipe if is_state(name)]
    while waiting:
        if (name := waiting.pop()) in recipe and name not in needed:
            needed.add(name)
            waiting.extend(recipe[name].inputs)
    return {name: node for name, node in recipe.items() if name in needed}


def complaint(recipe: Recipe) -> str | None:
    """The reason why a recipe is not a cell of the space; None if it is one.

    In a cell, every node has as many inputs as its operation takes, all different; only linear
    nodes read `x`, whose size differs from that of the states; and `x` and each state are read.
    """
    states = state_count(recipe)
    outer = {"x", *(f"h_prev_{state}" for state in range(states))}
    if states == 0 or any(f"h_new_{state}" not in recipe for state in range(states)):
        return "its states must be called h_new_0, h_new_1 and so on; rename them"
    if taken := outer & set(recipe):
        return f"{min(taken)!r} is an input of the cell; call the node something else"
    for name, (operation, inputs) in recipe.items():
        if len(inputs) not in OPERATIONS[operation] or len(set(inputs)) < len(inputs):
            counts = " or ".join(map(str, OPERATIONS[operation]))
            return f"{operation} node {name!r} reads {list(inputs)}; give {counts} different inputs"
        if "x" in inputs and operation != "linear":
            return f"{operation} node {name!r} reads 'x'; pass it through a linear node first"
        for source in inputs:
            if source not in outer and source not in recipe:
                return f"node {name!r} reads {source!r}, which is not defined; define it"
    if unread := outer - {source for node in recipe.values() for source in node.inputs}:
        return f"no live node reads {min(unread)!r}; read it, or leave its state out"
    return None


def write_recipe(recipe: Recipe) -> dict[str, dict[str, str | list[str]]]:
    """The JSON document from which `read_recipe` returns this recipe."""
    return {
        name: {"op": operation, "input": list(inputs)}
        for name, (operation, inputs) in recipe.items()
    }
