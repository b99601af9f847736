"""The registry of architecture spaces: their names, constructors and sources.

To add a space, write a file in this package with a class that has the members of `Space`, import
the class here, and add a line to `SPACES`. Sampling, mutation and neighbours need no further code.
Name the settings that the data determines as in `foretell.models.spaces.DECIDED`; the networks of
the space can then be loaded by name, and the space can be searched and studied by name. If some
settings only scale the networks, declare smaller ones as `reduced`. The tests for all spaces cover
it as soon as it is listed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from foretell.batch import Kind
from foretell.errors import ForetellError, unknown_name
from foretell.names import first_line
from foretell.spaces.asr import NASBenchASR
from foretell.spaces.autoformer import AutoFormer
from foretell.spaces.choices import Choices, as_space, own_space
from foretell.spaces.cnn import SmallCNNs
from foretell.spaces.darts import DARTS
from foretell.spaces.gpt import GPT
from foretell.spaces.graph import Graph, Graphs, graph_of
from foretell.spaces.limited import Within
from foretell.spaces.macro import NASBenchMacro
from foretell.spaces.nats_sss import NATSSize
from foretell.spaces.nb101 import NASBench101
from foretell.spaces.nb201 import NASBench201
from foretell.spaces.nlp import NASBenchNLP
from foretell.spaces.space import (
    Arch,
    Coded,
    Fits,
    Json,
    Listed,
    Sourced,
    Space,
    enumerate_space,
    mutate,
    neighbours,
    require_valid,
    sample,
    size,
)
from foretell.spaces.subset import Subset
from foretell.spaces.tabular import Tabular
from foretell.spaces.tnb101_macro import TransNASMacro
from foretell.spaces.tnb101_micro import TransNASMicro

__all__ = [
    "DARTS",
    "GPT",
    "SPACES",
    "Arch",
    "AutoFormer",
    "Choices",
    "Coded",
    "Fits",
    "Graph",
    "Graphs",
    "Json",
    "Listed",
    "NASBench101",
    "NASBench201",
    "NASBenchASR",
    "NASBenchMacro",
    "NASBenchNLP",
    "NATSSize",
    "SmallCNNs",
    "Sourced",
    "Space",
    "SpaceEntry",
    "Subset",
    "Tabular",
    "TransNASMacro",
    "TransNASMicro",
    "Within",
    "as_space",
    "enumerate_space",
    "graph_of",
    "make_space",
    "mutate",
    "neighbours",
    "own_space",
    "reduced_form",
    "reduced_settings",
    "require_valid",
    "sample",
    "size",
]


@dataclass(frozen=True)
class SpaceEntry:
    """A registered space: its constructor and where it comes from."""

    constructor: Callable[..., Space]
    source: str
    example: str
    """The text of an example architecture."""
    reads: Kind = "image"
    """The kind of input that the networks take."""
    reduced: Mapping[str, int] = field(default_factory=dict)
    """The settings with which the networks are several times cheaper; empty if their size is chosen
    by the architecture alone."""

    @property
    def summary(self) -> str:
        """The first line of the constructor's docstring."""
        return first_line(self.constructor)

    @property
    def defaults(self) -> Mapping[str, Json]:
        """The settings of the constructor, with their default values."""
        return self.constructor().settings()


SPACES: dict[str, SpaceEntry] = {
    "cnn": SpaceEntry(SmallCNNs, "foretell, docs/search.md", "8,32,3,ReLU,BN,yes,max"),
    "nb201": SpaceEntry(
        NASBench201, "Dong & Yang 2020, arXiv:2001.00326", "333013", reduced={"cells": 1}
    ),
    "nb101": SpaceEntry(
        NASBench101,
        "Ying et al. 2019, arXiv:1902.09635",
        "110011:01",
        reduced={"channels": 32, "modules": 1},
    ),
    "macro": SpaceEntry(
        NASBenchMacro,
        "Su et al. 2021, arXiv:2103.11922",
        "02012100",
        reduced={"channels": 16, "features": 320},
    ),
    "darts": SpaceEntry(
        DARTS,
        "Liu et al. 2019, arXiv:1806.09055",
        "/".join(["|".join(["sep_conv_3x3~0+skip_connect~1"] * 4)] * 2),
        reduced={"channels": 16, "cells": 5},
    ),
    "nats_sss": SpaceEntry(NATSSize, "Dong et al. 2021, arXiv:2009.00437", "8:64:32:8:16"),
    "tnb101_micro": SpaceEntry(
        TransNASMicro,
        "Duan et al. 2021, arXiv:2105.11871",
        "1_02_333",
        reduced={"channels": 16, "blocks": 1},
    ),
    "tnb101_macro": SpaceEntry(
        TransNASMacro,
        "Duan et al. 2021, arXiv:2105.11871",
        "1234",
        reduced={"channels": 16, "blocks": 1},
    ),
    "autoformer": SpaceEntry(
        AutoFormer,
        "Chen et al. 2021, arXiv:2107.00651",
        AutoFormer.example,
        reduced={"shrink": 4},
    ),
    "nlp": SpaceEntry(
        NASBenchNLP,
        "Klyuchnikov et al. 2020, arXiv:2006.07116",
        '{"sum": {"op": "linear", "input": ["x", "h_prev_0"]}, '
        '"h_new_0": {"op": "activation_tanh", "input": ["sum"]}}',
        "tokens",
        {"embedding": 100, "hidden": 150, "layers": 1},
    ),
    "gpt": SpaceEntry(
        GPT, "Javaheripi et al. 2022, arXiv:2203.02094", GPT.example, "tokens", {"unit": 16}
    ),
    "tabular": SpaceEntry(
        Tabular, "Gorishniy et al. 2021, arXiv:2106.11959", "resnet,4,128,BN,0.2,2", "table"
    ),
    "asr": SpaceEntry(
        NASBenchASR, "Mehrotra et al. 2021, ICLR", "011015110", "audio", {"groups": 25, "cells": 1}
    ),
}


def make_space(name: str, settings: Mapping[str, Json] | None = None) -> Space:
    """Create a registered space by name; settings that are not given have their default values.

    Raises ForetellError for an unknown name or setting, or a value that the space does not accept.

    >>> make_space("nb201", {"channels": 8}).settings()["channels"]
    8
    """
    if name not in SPACES:
        raise unknown_name("space", name, SPACES)
    entry = SPACES[name]
    for setting in settings or {}:
        if setting not in entry.defaults:
            said = f"{name} has no setting {setting!r}"
            raise unknown_name("setting", setting, entry.defaults, said)
    return entry.constructor(**(settings or {}))


def reduced_settings(name: str, settings: Mapping[str, Json]) -> dict[str, Json]:
    """The settings of the reduced form of a space, in which its networks are cheaper to score.

    A setting that makes the networks even smaller than the reduced form is kept. Raises
    ForetellError if the space has no reduced form.

    >>> reduced_settings("nb101", {"channels": 16})
    {'channels': 16, 'modules': 1}
    >>> reduced_settings("cnn", {})
    Traceback (most recent call last):
    foretell.errors.ForetellError: cnn has no reduced form; score its networks in full, or those of
    nb201, nb101, macro, darts, tnb101_micro, tnb101_macro, autoformer, nlp, gpt, asr
    """
    entry = SPACES.get(name)
    if entry is None or not entry.reduced:
        others = ", ".join(name for name, one in SPACES.items() if one.reduced)
        raise ForetellError(
            f"{name} has no reduced form; score its networks in full, or those of {others}"
        )
    smaller = dict(settings)
    for key, value in entry.reduced.items():
        usual = entry.defaults[key]
        given = settings.get(key, usual)
        if isinstance(usual, int) and isinstance(given, int):  # or the space refuses it
            smaller[key] = min(given, value) if value < usual else max(given, value)
    return smaller


def reduced_form(space: Space) -> Space:
    """The space with cheaper networks for the same architectures, as `reduced_settings` has them.

    >>> reduced_form(NASBench201(classes=100)).settings()["cells"]
    1
    """
    small = make_space(space.name, reduced_settings(space.name, space.settings()))
    if type(small) is not type(space):
        raise ForetellError(
            f"{space.name} has no reduced form, since it is your own space; score its networks in "
            "full"
        )
    return small
