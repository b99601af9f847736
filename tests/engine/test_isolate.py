"""What a module keeps outside parameters and buffers comes back as it was."""

import torch
from torch import Tensor, nn

from foretell import score


class Keeper(nn.Module):
    """Writes into a list, a dict, a counter and a tensor of its own whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.cache = [torch.zeros(3)]
        self.seen: dict[str, Tensor] = {}
        self.calls = 0
        self.plain = torch.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.calls += 1
        self.cache[0].add_(1)
        self.cache.append(x)
        self.seen["x"] = x
        self.plain += 1
        out: Tensor = self.layer(x)
        return out


def test_lists_dicts_counters_and_tensors_come_back() -> None:
    model = Keeper()
    cache, seen, plain, first = model.cache, model.seen, model.plain, model.cache[0]
    score(model, (torch.randn(4, 4), torch.tensor([0, 1, 2, 0])))
    assert model.calls == 0
    assert model.cache is cache
    assert len(cache) == 1
    assert cache[0] is first
    assert torch.equal(first, torch.zeros(3))
    assert model.seen is seen
    assert not seen
    assert model.plain is plain
    assert torch.equal(plain, torch.zeros(2))
