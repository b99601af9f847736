"""What users have in their hands is taken for a batch, and a score can be used as a number."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from foretell import Batch, ForetellError, Score, explain, load_data, rank, score, score_many

INPUTS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


class Dicts(Dataset[dict[str, Tensor]]):
    """Samples as dicts, as those of image processors."""

    def __len__(self) -> int:
        return len(INPUTS)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": INPUTS[index], "labels": LABELS[index]}


def net() -> nn.Module:
    """A network with one positional input."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))


OBJECTS: dict[str, Callable[[], Any]] = {
    "a loader": lambda: DataLoader(TensorDataset(INPUTS, LABELS), batch_size=6),
    "a loader of dicts": lambda: DataLoader(Dicts(), batch_size=6),
    "a data set": lambda: TensorDataset(INPUTS, LABELS),
    "a data set of dicts": Dicts,
    "a dict": lambda: {"pixel_values": INPUTS, "labels": LABELS},
    "a dict of another name": lambda: {"image": INPUTS, "label": LABELS},
    "arrays": lambda: (INPUTS.numpy(), LABELS.numpy()),
    "a Batch of a dict": lambda: Batch({"pixel_values": INPUTS}, LABELS),
}


@pytest.mark.parametrize("given", OBJECTS)
def test_a_batch_may_be_given_as(given: str) -> None:
    expected = score(net(), (INPUTS, LABELS), "snip")["snip"].value
    state = torch.get_rng_state()
    assert score(net(), OBJECTS[given](), "snip")["snip"].value == expected
    assert torch.equal(torch.get_rng_state(), state)
    assert rank([net()], OBJECTS[given](), "snip")["snip"].tolist() == [expected]
    assert score_many(net(), OBJECTS[given](), "snip")["value"].tolist() == [expected]
    assert explain("snip", net(), OBJECTS[given]()).batch_size == len(INPUTS)


class OwnLoss(nn.Module):
    """A model that returns its loss, as those of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Any:
        """The loss, if there are labels, and logits."""
        logits = self.inner(pixel_values)
        return {
            "logits": logits,
            "loss": None if labels is None else F.cross_entropy(logits, labels),
        }


def test_a_model_with_a_loss_of_its_own_is_given_the_labels() -> None:
    expected = score(net(), (INPUTS, LABELS), "snip")["snip"].value
    for given in ("a dict", "a loader of dicts"):
        assert score(OwnLoss(), OBJECTS[given](), "snip", loss="own")["snip"].value == expected
        table = rank([OwnLoss()], OBJECTS[given](), "snip", loss="own")
        assert table["snip"].tolist() == [expected]


def test_a_loader_without_a_batch_or_that_raises_is_refused() -> None:
    class Raises(Dicts):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            raise OSError("no such picture")

    with pytest.raises(ForetellError, match="the DataLoader yields no batch"):
        score(net(), DataLoader(TensorDataset(INPUTS, LABELS), 64, drop_last=True), "snip")
    with pytest.raises(ForetellError, match="the DataLoader raised OSError: no such picture"):
        score(net(), Raises(), "snip")


def test_a_score_is_used_as_a_number() -> None:
    scores = score(net(), (INPUTS, LABELS), ["snip", "params", "d8"])
    snip, params, undefined = scores.values()
    assert float(snip) == snip.value
    assert f"{snip:.3f}" == f"{snip.value:.3f}"
    assert round(params) == 66
    assert f"{params}" == repr(params)
    assert sorted([params, snip, undefined]) == [undefined, snip, params]
    assert max(scores, key=lambda name: scores[name]) == "params"
    assert snip < 66.5 < Score(67.0, 0.0)
    assert json.loads(json.dumps(scores, default=float))["params"] == 66
    assert math.isnan(float(undefined))


def test_a_batch_and_a_data_set_are_shown_on_one_line() -> None:
    splits = load_data("random:1x8x8x3?images=30")
    assert "\n" not in repr(splits)
    assert repr(splits).startswith("Splits(")
    assert repr(Batch((INPUTS, [INPUTS] * 6), LABELS)) == (
        "Batch(inputs=(float32 [6, 5], a list of 6), targets=int64 [6])"
    )


def test_a_size_has_no_effect_beside_a_batch() -> None:
    with pytest.raises(ForetellError, match="batch_size has no effect"):
        explain("snip", net(), (INPUTS, LABELS), batch_size=4)
