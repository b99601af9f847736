"""NAS-Bench-NLP: recipes as graphs, and the language models built from them."""

import itertools
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import networkx
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from foretell import score
from foretell.errors import ForetellError
from foretell.losses import token_cross_entropy
from foretell.spaces import NASBenchNLP, sample
from foretell.spaces.nlp_canonical import canonical_recipe
from foretell.spaces.nlp_network import fill, network
from foretell.spaces.nlp_recipe import Recipe, read_recipe, write_recipe

SMALL = NASBenchNLP(vocabulary=30, embedding=6, hidden=8, layers=2)
ASKED = ["synflow", "snip", "grad_norm", "params", "l2_norm"]
Document = dict[str, dict[str, Any]]

RNN: Document = {
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["f"]},
}
LSTM: Document = {
    **{gate: {"op": "linear", "input": ["x", "h_prev_0"]} for gate in "ifgo"},
    **{f"{gate}_act": {"op": "activation_sigm", "input": [gate]} for gate in "ifo"},
    "g_act": {"op": "activation_tanh", "input": ["g"]},
    "kept": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
    "new": {"op": "elementwise_prod", "input": ["i_act", "g_act"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["kept", "new"]},
    "h_new_1_act": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["o_act", "h_new_1_act"]},
}
GRU: Document = {
    "r": {"op": "linear", "input": ["x", "h_prev_0"]},
    "r_act": {"op": "activation_sigm", "input": ["r"]},
    "z": {"op": "linear", "input": ["x", "h_prev_0"]},
    "z_act": {"op": "activation_sigm", "input": ["z"]},
    "rh": {"op": "elementwise_prod", "input": ["r_act", "h_prev_0"]},
    "n": {"op": "linear", "input": ["x", "rh"]},
    "n_act": {"op": "activation_tanh", "input": ["n"]},
    "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "n_act"]},
}


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.DataFrame:
    """The benchmark's recipes with the sizes of the networks it trained on WikiText-2."""
    return pd.read_parquet(shared / "data" / "tables" / "nasbench_nlp_wikitext2_345.parquet")


def model_of(document: Document, *, layers: int = 1, tied: bool = True) -> nn.Module:
    sizes = {"vocabulary": 11, "embedding": 5, "hidden": 7, "layers": layers, "dropout": 0.0}
    model = network(read_recipe(document), **sizes, tied=tied)  # type: ignore[arg-type]
    fill(model, seed=3)
    return model


def ids(samples: int, steps: int, vocabulary: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (samples, steps), generator=generator)


def test_an_lstm_written_as_a_recipe_agrees_with_pytorch() -> None:
    model, tokens = model_of(LSTM, tied=False), ids(3, 6, 11)
    own = model.state_dict()
    torchs = nn.LSTM(5, 7, batch_first=True)
    with torch.no_grad():
        for leaf, part in (("weight_ih_l0", "0.weight"), ("weight_hh_l0", "1.weight")):
            rows = [own[f"layers.0.linear.{gate}.{part}"] for gate in "ifgo"]
            torchs.get_parameter(leaf).copy_(torch.cat(rows))
        biases = [own[f"layers.0.linear.{gate}.0.bias"] for gate in "ifgo"]
        torchs.bias_ih_l0.copy_(torch.cat(biases))
        torchs.bias_hh_l0.zero_()
        states, _ = torchs(own["encoder.weight"][tokens])
        expected = states @ own["decoder.weight"].T + own["decoder.bias"]
        torch.testing.assert_close(model(tokens), expected)


def test_a_gru_computes_its_formula() -> None:
    model, tokens = model_of(GRU), ids(2, 5, 11)
    own = model.state_dict()

    def linear(node: str, x: Tensor, h: Tensor) -> Tensor:
        """The value of a linear node with two inputs."""
        part = {key: own[f"layers.0.linear.{node}.{key}"] for key in ("0.weight", "1.weight")}
        bias = own[f"layers.0.linear.{node}.0.bias"]
        return x @ part["0.weight"].T + h @ part["1.weight"].T + bias

    h, expected = torch.zeros(2, 5), []
    for step in range(5):
        x = own["encoder.weight"][tokens[:, step]]
        r, z = torch.sigmoid(linear("r", x, h)), torch.sigmoid(linear("z", x, h))
        h = z * h + (1 - z) * torch.tanh(linear("n", x, r * h))
        expected.append(h @ own["encoder.weight"].T + own["decoder.bias"])
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), torch.stack(expected, 1))


def test_every_operation_computes_its_formula() -> None:
    document: Document = {
        "a": {"op": "linear", "input": ["x", "h_prev_0", "h_prev_1"]},
        "b": {"op": "activation_leaky_relu", "input": ["a"]},
        "c": {"op": "blend", "input": ["a", "h_prev_0", "b"]},
        "h_new_0": {"op": "elementwise_sum", "input": ["c", "b"]},
        "h_new_1": {"op": "elementwise_prod", "input": ["h_new_0", "a"]},
    }
    model, tokens = model_of(document), ids(2, 3, 11)
    own = model.state_dict()
    wx, w0, w1 = (own[f"layers.0.linear.a.{place}.weight"] for place in range(3))
    h0 = h1 = torch.zeros(2, 5)
    with torch.no_grad():
        logits = model(tokens)
        for step in range(3):
            x = own["encoder.weight"][tokens[:, step]]
            a = x @ wx.T + h0 @ w0.T + h1 @ w1.T + own["layers.0.linear.a.0.bias"]
            b = torch.where(a > 0, a, 0.01 * a)
            h0 = a * h0 + (1 - a) * b + b
            h1 = h0 * a
            expected = h0 @ own["encoder.weight"].T + own["decoder.bias"]
            torch.testing.assert_close(logits[:, step], expected)


def test_layers_follow_one_another_and_the_last_has_the_decoders_width() -> None:
    def shapes(tied: bool) -> dict[str, list[int]]:
        model = model_of(RNN, layers=3, tied=tied)
        return {name: list(p.shape) for name, p in model.named_parameters()}

    assert shapes(tied=True)["layers.0.linear.f.0.weight"] == [7, 5]
    assert shapes(tied=True)["layers.1.linear.f.0.weight"] == [7, 7]
    assert shapes(tied=True)["layers.2.linear.f.1.weight"] == [5, 5]
    assert "decoder.weight" not in shapes(tied=True)
    assert shapes(tied=False)["layers.2.linear.f.1.weight"] == [7, 7]
    assert shapes(tied=False)["decoder.weight"] == [11, 7]


def test_a_token_changes_nothing_before_it() -> None:
    model, tokens = model_of(LSTM, layers=2), ids(2, 6, 11)
    changed = tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 11
    one, other = model(tokens), model(changed)
    assert torch.equal(one[:, :3], other[:, :3])
    assert (one[:, 3:] != other[:, 3:]).any(-1).all()


def test_dropout_is_off_by_default_and_has_one_mask_for_all_steps() -> None:
    tokens, arch = torch.zeros(1, 4, dtype=torch.long), SMALL.parse(json.dumps(RNN))
    model: Any = SMALL.build(arch, 0)
    assert model.training
    assert torch.equal(model(tokens), model(tokens))
    model = NASBenchNLP(vocabulary=30, embedding=200, dropout=0.5).build(arch, 0)
    torch.manual_seed(0)
    ones = [torch.ones(2, 200)] * 3
    dropped = model._dropped(ones)
    assert set(dropped[0].unique().tolist()) == {0, 2}
    assert all(torch.equal(step, dropped[0]) for step in dropped)
    assert not torch.equal(dropped[0][0], dropped[0][1])
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


def test_weights_start_in_the_benchmarks_ranges() -> None:
    model = NASBenchNLP(vocabulary=50, embedding=16, hidden=100).build(
        SMALL.parse(json.dumps(LSTM)), seed=1
    )
    for name, parameter in model.named_parameters():
        if name == "decoder.bias":
            assert not parameter.any()
            continue
        widths = {"encoder": 100, "layers.0": 100, "layers.1": 100, "layers.2": 16}
        width = next(wide for prefix, wide in widths.items() if name.startswith(prefix))
        largest = parameter.detach().abs().max().item() * width**0.5
        assert 0.8 < largest <= 1.0001, name


def test_all_recipes_of_the_benchmark_are_in_the_space(table: pd.DataFrame) -> None:
    space = NASBenchNLP()
    for text in table.recipe:
        arch = space.parse(text)
        assert space.is_valid(arch)
        assert space.canonical(arch) == arch
        assert space.parse(space.format(arch)) == arch
        assert "genes" not in space.format(arch)


def test_networks_have_as_many_parameters_as_the_benchmark_counted(table: pd.DataFrame) -> None:
    space = NASBenchNLP(vocabulary=33278)
    for text, counted in zip(table.recipe[::23], table.num_params[::23], strict=True):
        recipe = canonical_recipe(read_recipe(json.loads(text)))
        sizes = {name: value for name, value in space.settings().items() if name != "nodes"}
        model = network(recipe, **sizes)  # type: ignore[arg-type]
        assert sum(parameter.numel() for parameter in model.parameters()) == counted


def test_all_recipes_run_and_give_gradients(table: pd.DataFrame) -> None:
    tokens, still = ids(2, 3, 30), 0
    for arch in sorted({SMALL.parse(text) for text in table.recipe}):
        model = SMALL.build(arch, seed=0)
        logits = model(tokens)
        assert logits.shape == (2, 3, 30)
        grads = torch.autograd.grad(
            token_cross_entropy(logits, tokens),
            list(model.parameters()),
            allow_unused=True,
            materialize_grads=True,
        )
        assert all(grad.isfinite().all() for grad in grads)
        names = (name for name, _ in model.named_parameters())
        moved = {name for name, grad in zip(names, grads, strict=True) if grad.any()}
        still += moved == {"decoder.bias"}
    assert still == 1  # its state is a product with the previous state, which is zero


def test_recipes_are_scored(table: pd.DataFrame) -> None:
    tokens = ids(3, 5, 30)
    for text in table.recipe[::43]:
        model = SMALL.build(SMALL.parse(text), seed=0)
        found = score(model, (tokens[:, :-1], tokens[:, 1:]), ASKED, loss=token_cross_entropy)
        assert {name: scored.why for name, scored in found.items()} == dict.fromkeys(ASKED)
        assert found["params"].value == sum(p.numel() for p in model.parameters())
        assert found["snip"].value > 0


def test_a_cell_without_flow_has_no_synflow() -> None:
    """The benchmark trained such a cell: its state starts at zero and is only multiplied."""
    document: Document = {
        "f": {"op": "linear", "input": ["x", "h_prev_0"]},
        "h_new_0": {"op": "elementwise_prod", "input": ["f", "h_prev_0"]},
    }
    tokens = ids(2, 3, 30)
    model = SMALL.build(SMALL.parse(json.dumps(document)), seed=0)
    found = score(model, (tokens, tokens), ["synflow", "snip"], loss=token_cross_entropy)
    assert found["synflow"].why == "no signal flows from the input to the output"
    assert found["snip"].value == 0


def test_a_flow_beyond_all_floats_has_a_logarithm() -> None:
    """A state that is squared at every step, compared with the same sum in exact integers."""
    document: Document = {
        "f": {"op": "linear", "input": ["x", "h_prev_0"]},
        "g": {"op": "activation_leaky_relu", "input": ["f"]},
        "h_new_0": {"op": "elementwise_prod", "input": ["f", "g"]},
    }
    model = SMALL.build(SMALL.parse(json.dumps(document)), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(0 if "bias" in name else 1)
    tokens = torch.zeros(1, 12, dtype=torch.long)
    found = score(model, (tokens, tokens), ["synflow"], loss=token_cross_entropy)

    # all units are equal; a pair is a value if all weights are t, and its derivative at t = 1
    def layer(steps: list[tuple[int, int]], wide_in: int, wide: int) -> list[tuple[int, int]]:
        h, dh, states = 0, 0, []
        for x, dx in steps:
            f, df = wide_in * x + wide * h, wide_in * (x + dx) + wide * (h + dh)
            h, dh = f * f, 2 * f * df
            states.append((h, dh))
        return states

    top = layer(layer([(1, 1)] * 12, 6, 8), 8, 6)
    flow = 30 * 6 * sum(h + dh for h, dh in top)
    assert flow.bit_length() > 10_000
    assert found["synflow"].value == pytest.approx(math.log(flow))


def as_graph(document: Document) -> networkx.DiGraph:
    """A recipe as a graph for an independent isomorphism test; an edge links h_new to h_prev."""
    graph = networkx.DiGraph()
    for name, entry in document.items():
        state = re.fullmatch("h_new_[0-9]+", name)
        kind = "output" if name == "h_new_0" else "state" if state else ""
        graph.add_node(name, label=(entry["op"], kind))
        if state:
            graph.add_edge(name, f"h_prev_{name[6:]}", place="time")
        for place, source in enumerate(entry["input"]):
            graph.add_edge(source, name, place=place if entry["op"] == "blend" else 0)
    for source in set(graph) - set(document):
        graph.nodes[source]["label"] = "x" if source == "x" else "before"
    return graph


def isomorphic(one: networkx.DiGraph, other: networkx.DiGraph) -> bool:
    return bool(
        networkx.faster_could_be_isomorphic(one, other)
        and networkx.is_isomorphic(one, other, lambda a, b: a == b, lambda a, b: a == b)
    )


def test_canonical_texts_agree_exactly_where_graphs_are_isomorphic(table: pd.DataFrame) -> None:
    members: dict[str, networkx.DiGraph] = {}
    for text in table.recipe:
        graph = as_graph(json.loads(text))
        own = SMALL.format(SMALL.parse(text))
        assert isomorphic(graph, members.setdefault(own, graph))
    assert len(members) == 265  # of 345 recipes
    for one, other in itertools.combinations(members.values(), 2):
        assert not isomorphic(one, other)


def shuffled(document: Document, rng: random.Random) -> Document:
    """The same graph with other names, in another order."""
    count = sum(re.fullmatch("h_new_[0-9]+", name) is not None for name in document)
    numbers = [0, *rng.sample(range(1, count), count - 1)]
    plain = [name for name in document if not re.fullmatch("h_new_[0-9]+", name)]
    new = {name: f"n{place}" for place, name in enumerate(rng.sample(plain, len(plain)))}
    for state, number in enumerate(numbers):
        new |= {f"h_new_{state}": f"h_new_{number}", f"h_prev_{state}": f"h_prev_{number}"}
    out: Document = {}
    for name in rng.sample(list(document), len(document)):
        inputs = [new.get(source, source) for source in document[name]["input"]]
        if document[name]["op"] != "blend":
            rng.shuffle(inputs)
        out[new[name]] = {"op": document[name]["op"], "input": inputs}
    return out


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_graph_with_other_names_is_the_same_architecture(seed: int) -> None:
    rng = random.Random(seed)
    arch = sample(SMALL, rng)
    document = json.loads(SMALL.format(arch))
    document.pop("genes", None)
    other = SMALL.parse(json.dumps(shuffled(document, rng)))
    assert other == SMALL.canonical(arch)
    one, same = SMALL.build(arch, 1).state_dict(), SMALL.build(other, 1).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one | same)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_the_canonical_recipe_is_the_given_graph(seed: int) -> None:
    rng = random.Random(seed)
    document = json.loads(SMALL.format(sample(SMALL, rng)))
    document.pop("genes", None)
    other = shuffled(document, rng)
    canonical: Recipe = canonical_recipe(read_recipe(other))
    written: Any = write_recipe(canonical)
    assert isomorphic(as_graph(written), as_graph(other))


def test_nodes_with_the_same_neighbourhood_are_distinguished() -> None:
    """In a ring of three and one of five, the neighbourhood of a node does not tell its ring."""
    pairs = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 6), (6, 7), (7, 3)]
    document: Document = {f"b{i}": {"op": "linear", "input": ["x", "h_prev_0"]} for i in range(8)}
    for i, (one, other) in enumerate(pairs):
        document[f"a{i}"] = {"op": "elementwise_prod", "input": [f"b{one}", f"b{other}"]}
    for i in range(4):
        document[f"q{i}"] = {"op": "elementwise_sum", "input": [f"a{2 * i}", f"a{2 * i + 1}"]}
    document["r0"] = {"op": "elementwise_sum", "input": ["q0", "q1"]}
    document["r1"] = {"op": "elementwise_sum", "input": ["q2", "q3"]}
    document["h_new_0"] = {"op": "elementwise_sum", "input": ["r0", "r1"]}
    rng, arch = random.Random(0), SMALL.parse(json.dumps(document))
    assert {SMALL.parse(json.dumps(shuffled(document, rng))) for _ in range(10)} == {arch}


@pytest.mark.parametrize(
    "change",
    [
        {"h_new_0": {"op": "blend", "input": ["z_act", "n_act", "h_prev_0"]}},
        {"rh": {"op": "elementwise_prod", "input": ["z_act", "h_prev_0"]}},
        {"z_act": {"op": "activation_tanh", "input": ["z"]}},
        {"n": {"op": "linear", "input": ["x", "rh", "h_prev_0"]}},
    ],
)
def test_another_graph_is_another_architecture(change: Document) -> None:
    assert SMALL.parse(json.dumps(GRU | change)) != SMALL.parse(json.dumps(GRU))


def test_nodes_that_no_state_needs_are_neither_built_nor_counted() -> None:
    spare: Document = {"spare": {"op": "linear", "input": ["x", "f"]}}
    arch = SMALL.parse(json.dumps(RNN | spare))
    assert arch == SMALL.parse(json.dumps(RNN))
    neutral = (*arch[:-1], arch[-1] + 1)
    assert SMALL.is_valid(neutral)
    assert SMALL.canonical(neutral) == arch
    assert json.loads(SMALL.format(neutral)).pop("genes") == list(neutral)


BAD: list[tuple[object, str]] = [
    ([1], "is not a recipe of a recurrent cell"),
    ({}, "is not a recipe of a recurrent cell"),
    ({"h_new_0": "tanh"}, "node 'h_new_0' is 'tanh'; expected"),
    (RNN | {"f": {"op": "linaer", "input": ["x"]}}, "did you mean 'linear'"),
    (RNN | {"f": {"op": "linear", "input": "x"}}, "give a list of node names"),
    (RNN | {"f": {"op": "linear", "input": ["x", "x"]}}, "2 or 3 different inputs"),
    (RNN | {"f": {"op": "linear", "input": ["x"]}}, "2 or 3 different inputs"),
    (RNN | {"f": {"op": "linear", "input": ["h_prev_0", "g"]}}, "reads 'g', which is not defined"),
    (RNN | {"f": {"op": "elementwise_sum", "input": ["x", "h_prev_0"]}}, "a linear node first"),
    (RNN | {"h_new_2": {"op": "activation_tanh", "input": ["f"]}}, "h_new_0, h_new_1 and so on"),
    (RNN | {"h_new_1": {"op": "activation_tanh", "input": ["f"]}}, "reads 'h_prev_1'"),
    ({"h": RNN["f"]}, "h_new_0, h_new_1 and so on"),
    ({"h_new_0": {"op": "activation_tanh", "input": ["h_prev_0"]}}, "reads 'x'"),
    (
        {"f": {"op": "linear", "input": ["x", "h_new_0"]}, "h_new_0": RNN["h_new_0"]},
        "has a cycle",
    ),
    (RNN | {"genes": [0] * 100}, '"genes" do not encode the recipe'),
    (RNN | {"genes": [0] * 3}, "is not an architecture of nlp"),
    (RNN | {"genes": 3}, "is not an architecture of nlp"),
]


@pytest.mark.parametrize(("document", "message"), BAD)
def test_an_invalid_recipe_is_refused_with_the_reason(document: object, message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        SMALL.parse(json.dumps(document))


def test_a_recipe_that_is_too_large_is_refused() -> None:
    with pytest.raises(ForetellError, match="is not JSON"):
        SMALL.parse("lstm")
    with pytest.raises(ForetellError, match="give the space nodes=13 or more"):
        NASBenchNLP(nodes=12).parse(json.dumps(LSTM))
    assert NASBenchNLP(nodes=13).parse(json.dumps(LSTM))[0] == 1
    states = {f"h_new_{i}": {"op": "linear", "input": ["x", f"h_prev_{i}"]} for i in range(4)}
    with pytest.raises(ForetellError, match="has 4 states; give at most 3"):
        SMALL.parse(json.dumps(states))


@pytest.mark.parametrize(
    ("setting", "value"), [("layers", 0), ("hidden", 1.5), ("dropout", 1), ("tied", 1)]
)
def test_settings_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ForetellError, match=f"nlp: {setting} is {value!r}"):
        NASBenchNLP(**{setting: value})


def test_a_state_that_is_read_is_included_even_beyond_the_encoded_number() -> None:
    """The genes encode one state; its node reads the second, which reads the third."""
    space = NASBenchNLP(nodes=4)
    slots = {
        1: ("activation_tanh", False, ("h_prev_1",)),  # state 0
        2: ("activation_tanh", False, ("h_prev_2",)),  # state 1
        3: ("linear", True, ("h_prev_0",)),  # state 2
    }
    arch = [0] * len(space.choices)
    arch[1:4] = [1, 2, 3]
    for slot, (operation, with_x, inputs) in slots.items():
        start = 4 + 4 * slot
        words = [text.partition("(") for text in space.choices[start]]
        arch[start] = next(
            place
            for place, (name, _, rest) in enumerate(words)
            if name == operation
            and rest.startswith("x") == with_x
            and len(rest.split(",")) == len(inputs) + with_x
        )
        for place, source in enumerate(inputs, start=start + 1):
            arch[place] = space.choices[place].index(source)
    recipe = json.loads(space.format(tuple(arch)))
    assert {name for name in recipe if name.startswith("h_new")} == {
        "h_new_0",
        "h_new_1",
        "h_new_2",
    }
    fewer = list(arch)
    fewer[4 + 4 * 1 + 1] = space.choices[4 + 4 * 1 + 1].index("h_prev_0")
    fewer[4 + 4 * 1] = arch[4 + 4 * 3]  # state 0 reads x and itself, and nothing else is read
    recipe = json.loads(space.format(tuple(fewer)))
    assert {name for name in recipe if name.startswith("h_new")} == {"h_new_0"}
