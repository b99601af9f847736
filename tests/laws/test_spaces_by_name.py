"""Laws of every registered space: it can be scored, searched and studied by name."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell import Batch, load_chosen, load_data, minibatch, score
from foretell.cli import main
from foretell.data import Splits, Vocabulary
from foretell.errors import ForetellError
from foretell.models import SOURCES, load_model, space_for
from foretell.models.spaces import PREDICTED
from foretell.models.specs import FITTING
from foretell.names import parse_spec
from foretell.searching.outcome import SHORT, short_name
from foretell.spaces import SPACES, Space, make_space, sample
from foretell.studies.read import read_study
from foretell.tables import Table, write_table

DATA = {
    "image": "random:1x8x8x3?images=40",
    "tokens": "text:{folder}/lines.txt?length=6",
    "audio": "random:9x5?images=40,classes=4",
    "table": "breast_cancer",
}
SMALL = {
    "cnn": "",
    "nb201": "channels=2,cells=1",
    "nb101": "channels=8,stacks=1,modules=1",
    "macro": "channels=2,features=8",
    "darts": "channels=2,cells=3",
    "nats_sss": "",
    "tnb101_micro": "channels=4,blocks=1",
    "tnb101_macro": "channels=4,blocks=1",
    "nlp": "embedding=4,hidden=4,layers=1",
    "autoformer": "patch=4,shrink=16",
    "gpt": "unit=1",
    "tabular": "",
    "asr": "groups=2,group_width=1,cells=1",
}
"""Settings for a small network of each space; add those of a new space."""
BUILT_FOR = {
    "image": {"classes": 3, "in_channels": 1, "resolution": 8},
    "tokens": {"vocabulary": 259, "length": 6},
    "audio": {"features": 5, "phonemes": 3},
    "table": {"classes": 2, "features": 30},
}
"""The settings of a space that the data determines."""
QUICK = ["--batch-size", "6", "--proxies", "snip,params"]
TRAINED = ["--pool", "2", "--trainings", "1", "--epochs", "1", "--workers", "1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text file, for runs."""
    (tmp_path / "lines.txt").write_text("what the quick brown fox jumps over\n" * 12)
    return tmp_path


def data_of(space: str, folder: Path) -> str:
    """The name of small data that fits the space."""
    return DATA[SPACES[space].reads].format(folder=folder)


def built_directly(name: str) -> Space:
    """The space with every setting given explicitly."""
    known = SPACES[name].defaults
    built_for = {k: v for k, v in BUILT_FOR[SPACES[name].reads].items() if k in known}
    return make_space(name, {**built_for, **parse_spec(f"?{SMALL[name]}")[1]})


def two_of(name: str) -> list[str]:
    """The texts of two architectures."""
    space, rng = make_space(name), random.Random(1)
    return [space.format(sample(space, rng)) for _ in range(2)]


def printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints, parsed as JSON."""
    capsys.readouterr()
    assert main([*command, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", SPACES)
def test_a_network_is_scored_by_name_as_it_is_when_built_directly(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = load_data(data_of(name, folder))
    space, arch = built_directly(name), two_of(name)[0]
    assert space_for(name, parse_spec(f"?{SMALL[name]}")[1], splits) == space
    batch = Batch(*minibatch(splits.train, 6, 0))
    direct = score(space.build(space.parse(arch), 0), batch, ["snip", "params"], loss=splits.loss)
    text = f"{name}:{arch}?{SMALL[name]}"
    named = score(load_model(text, splits), batch, ["snip", "params"], loss=splits.loss)
    assert {key: one.value for key, one in named.items()} == {
        key: one.value for key, one in direct.items()
    }
    shown = printed(["score", text, "--data", data_of(name, folder), *QUICK], capsys)
    for row in rows_of(shown):
        assert row["value"] == pytest.approx(direct[row["proxy"]].value, rel=1e-4)


def rows_of(shown: Any) -> list[dict[str, Any]]:
    """The rows of a table that was printed as JSON."""
    return next(value for value in shown.values() if isinstance(value, list))


@pytest.mark.parametrize("name", SPACES)
def test_networks_are_ranked_and_explained_by_name(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [f"{name}:{arch}?{SMALL[name]}" for arch in two_of(name)]
    listed = folder / "models.txt"
    listed.write_text("\n".join(models))
    data = ["--data", data_of(name, folder)]
    ranked = rows_of(printed(["rank", f"@{listed}", "--by", "snip", *data, *QUICK], capsys))
    assert {row["model"] for row in ranked} == set(models)
    assert ranked[0]["snip"] >= ranked[1]["snip"]
    assert printed(["explain", models[0], *data, *QUICK], capsys)["memory"] > 0


@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_searched_by_name(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(folder / "run")
    space, data = f"{name}?{SMALL[name]}", data_of(name, folder)
    command = ["search", "--space", space, "--data", data]
    rows = rows_of(
        printed([*command, "--run", run, *QUICK, "--by", "snip", *TRAINED, "--compare"], capsys)
    )
    assert [row["arm"] for row in rows] == ["scored", "unscored"]
    assert all(0 <= row["val_accuracy"] <= 100 for row in rows)
    assert not load_chosen(run).training
    assert main(["report", run]) == 0


@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_studied_by_name(name: str, folder: Path) -> None:
    space, rng = make_space(name), random.Random(0)
    keys = list(dict.fromkeys(space.format(sample(space, rng)) for _ in range(4)))
    frame = pd.DataFrame({"accuracy": np.linspace(60, 70, len(keys))}, index=keys)
    write_table(Table("mine", name, frame, reporting=("accuracy",)), folder / "mine.parquet")
    command = ["study", str(folder / "mine.parquet"), "--data", data_of(name, folder)]
    command += ["--space", f"{name}?{SMALL[name]}", "--run", str(folder / "run"), "--workers", "1"]
    assert main([*command, *QUICK, "--sample", "3"]) == 0
    assert np.isfinite(read_study(folder / "run").runs[0]["snip"]).all()


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", DATA)
def test_data_of_another_kind_is_refused_with_some_that_fits(
    name: str, kind: str, folder: Path
) -> None:
    """The model and the space give the same message."""
    splits, reads = load_data(DATA[kind].format(folder=folder)), SPACES[name].reads
    if kind == reads:
        return
    for refused in (
        lambda: space_for(name, {}, splits),
        lambda: load_model(f"{name}:{SPACES[name].example}", splits),
    ):
        with pytest.raises(ForetellError, match=r" reads .* and the data is .*; give ") as caught:
            refused()
        assert "\n" not in str(caught.value)
        assert FITTING[reads] in str(caught.value)


@pytest.mark.parametrize("name", SPACES)
def test_a_short_name_is_read_back_unless_it_is_cut_off(name: str) -> None:
    space, rng = make_space(name), random.Random(0)
    for _ in range(20):
        arch = sample(space, rng)
        short = short_name(space, arch)
        assert len(short) <= SHORT
        assert short.endswith("…") or space.parse(short) == arch


def one_label_each(splits: Splits) -> Splits:
    """The same samples, each with a different class."""
    parts = [(samples, labels[:, 0] % 2) for samples, labels in (splits.train, splits.val)]
    return Splits(splits.name, 2, parts[0], parts[1], parts[1], splits.vocabulary)


@pytest.mark.parametrize(
    "name", [name for name, entry in SPACES.items() if entry.reads in PREDICTED]
)
def test_networks_that_answer_for_every_token_refuse_one_label_per_sample(
    name: str, folder: Path
) -> None:
    splits = one_label_each(load_data(data_of(name, folder)))
    with pytest.raises(ForetellError, match=f"{name} predicts .* has one label per sample; give "):
        space_for(name, {}, splits)


@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_a_source_of_models_and_gives_an_example(name: str) -> None:
    space = make_space(name)
    assert space.is_valid(space.parse(SPACES[name].example))
    assert SPACES[name].example in SOURCES[name].example
    assert SOURCES[name].summary == SPACES[name].summary


def test_what_is_given_takes_precedence_over_the_data() -> None:
    digits = load_data("digits")
    assert space_for("nb201", {"classes": 3}, digits).settings()["classes"] == 3
    assert space_for("nb201", {}, digits).settings()["classes"] == 10


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nb210", {}, "no space is called 'nb210'; did you mean 'nb201'"),
        ("macro", {"chanels": 3}, "macro has no setting 'chanels'; did you mean 'channels'"),
        ("nb201:333013", {}, "nb201:333013 is one network; give its space, nb201"),
        ("nets.py:mlp", {"width": 3}, "nets.py:mlp is a space of your own and takes no settings"),
        ("nets.py:mlp", {}, "there is no file nets.py"),
    ],
)
def test_names_of_no_space_are_refused_in_one_line(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ForetellError, match=message) as caught:
        space_for(name, settings, load_data("digits"))
    assert "\n" not in str(caught.value)


def test_question_marks_and_colons_belong_to_the_architecture_where_it_has_some() -> None:
    """Settings follow the last question mark, unless the space takes the whole text."""
    splits = load_data("digits")
    ids = splits.train[1][:8, None].repeat(1, 4)
    splits = Splits("ids", 10, (ids, ids), (ids, ids), (ids, ids), Vocabulary(10, 7, 8, 9))
    recipe = (
        '{"a?b=1:c": {"op": "linear", "input": ["x", "h_prev_0"]}, '
        '"h_new_0": {"op": "activation_tanh", "input": ["a?b=1:c"]}}'
    )
    for text, width in ((recipe, 600), (f"{recipe}?embedding=5,hidden=7", 7)):
        model = load_model(f"nlp:{text}", splits)
        assert width in {side for one in model.parameters() for side in one.shape}
    with pytest.raises(ForetellError, match="nlp has no setting 'hiden'"):
        load_model(f"nlp:{recipe}?hiden=7", splits)
