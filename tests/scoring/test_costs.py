"""Tests of the costs of a network: parameters, FLOPs, latency."""

from foretell.scoring.costs import COSTS
from foretell.spaces import NASBench201

NB201 = NASBench201()


def test_costs_are_those_of_the_network() -> None:
    import torch

    from foretell.batch import Batch

    batch = Batch(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long))
    model = NB201.build(NB201.parse("333333"), 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert COSTS["params"].measure(model, batch) == sum(p.numel() for p in model.parameters())
    assert COSTS["flops"].measure(model, batch) > 1e7
    assert COSTS["latency"].measure(model, batch) > 0
    assert all(model.state_dict()[name].equal(tensor) for name, tensor in before.items())
