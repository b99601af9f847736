"""Batches that other packages make, which are refused with what to give instead."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from foretell import ForetellError, score

INPUTS, LABELS = torch.ones(6, 4), torch.arange(6) % 3
GRAPH = SimpleNamespace(x=INPUTS, edge_index=torch.zeros(2, 3, dtype=torch.long), y=LABELS)


class Rows(Dataset[Any]):
    """Six rows of a table."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.row, "label": index % 3}


class Split(torch.Tensor):
    """A part of a tensor that is spread over several processes."""

    def full_tensor(self) -> torch.Tensor:
        """The whole tensor."""
        return self


REFUSED: dict[str, tuple[Any, str]] = {
    "sparse": ((INPUTS.to_sparse(), LABELS), r"a sparse tensor \(sparse_coo\).*x\.to_dense\(\)"),
    "parts": ((INPUTS.as_subclass(Split), LABELS), r"a DTensor.*x\.full_tensor\(\)"),
    "a graph": (GRAPH, r"\(data\.x, data\.y\), and let the module hold data\.edge_index"),
    "a graph and targets": ((GRAPH, LABELS), r"let the module hold data\.edge_index"),
    "rows": ([{"ids": [1, 2], "label": 0}] * 4, "a list of 4 rows; join them to tensors first"),
    "lists": (Rows({"ids": [1, 2, 3]}), r'6 samples each.*dataset\.set_format\("torch"\)'),
    "text": (Rows({"text": "abc"}), "turn text into token ids"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_said_what_to_give_instead(kind: str) -> None:
    batch, said = REFUSED[kind]
    with pytest.raises(ForetellError, match=said) as caught:
        score(nn.Linear(4, 3), batch, "snip")
    assert "\n" not in str(caught.value)


def test_split_weights_are_refused() -> None:
    model = nn.Linear(4, 3)
    model.weight = nn.Parameter(torch.ones(3, 4).as_subclass(Split))
    with pytest.raises(ForetellError, match=r"are DTensors.*before it was distributed"):
        score(model, (INPUTS, LABELS), "snip")
