"""The controller of REINFORCE: its gradients, and the architectures that it draws."""

import numpy as np
import torch

from foretell.searchers.controller import Controller


def test_only_listed_architectures_are_drawn() -> None:
    archs = [(0, 1, 4, 4), (0, 1, 4, 3), (2, 2, 2, 2), (4, 0, 0, 0)]
    controller = Controller((5, 5, 5, 5), hidden=4, lr=0.05, seed=0, listed=archs)
    drawn = controller.draw(np.random.default_rng(0), 400)
    assert set(drawn) == set(archs)
    assert 100 < drawn.count((2, 2, 2, 2)) < 170  # one of three beginnings
    for _ in range(60):
        controller.learn([(0, 1, 4, 3)], [1.0], entropy=0.0)
    assert controller.draw(np.random.default_rng(0), 100).count((0, 1, 4, 3)) > 90


def test_gradients_agree_with_pytorch() -> None:
    options, hidden, entropy = (3, 2, 5, 4), 7, 0.1
    taught = [((2, 1, 4, 0), 0.7), ((0, 0, 3, 3), -0.3), ((2, 1, 0, 2), 0.2)]
    controller = Controller(options, hidden, lr=0.01, seed=3)
    controller.weights["out"][:] = np.random.default_rng(0).normal(size=(4, 7, 5))
    controller.slopes([arch for arch, _ in taught], [value for _, value in taught], entropy)
    weights = {
        name: torch.tensor(value.astype(float), requires_grad=True)
        for name, value in controller.weights.items()
    }
    total = torch.zeros(())
    for arch, advantage in taught:
        state = memory = torch.zeros(hidden, dtype=torch.float64)
        word, first = sum(options), 0
        for position, (option, count) in enumerate(zip(arch, options, strict=True)):
            gates = weights["read"][word] + state @ weights["recall"]
            enter, keep, content, leave = gates.reshape(4, hidden)
            memory = keep.sigmoid() * memory + enter.sigmoid() * content.tanh()
            state = leave.sigmoid() * memory.tanh()
            logs = (state @ weights["out"][position, :, :count]).log_softmax(0)
            total = total + advantage * logs[option] - entropy * (logs.exp() * logs).sum()
            word, first = first + option, first + count
    (total / len(taught)).backward()
    for name, weight in weights.items():
        assert weight.grad is not None
        np.testing.assert_allclose(controller.gradients[name], weight.grad, atol=1e-6)
