"""Compare the time of each pass with that of its convolutions alone.

    python bench/floor.py [CELL ...] [--batch 64] [--repeats 3]

For cells of NAS-Bench-201 (by default 333333, 231134 and 022012), every convolution of the network
is run separately, forward and for both gradients, in the layout that the passes use. The sum of
their times is a lower bound ("floor") of the time of a pass. It is printed with the time that the
pass took in a call for the six scores of the paper, and with the rate of the convolutions. One
thread, wall-clock seconds, the minimum of the repeats.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from foretell import score  # noqa: E402
from foretell.engine.faster.pools import QuickPools  # noqa: E402
from foretell.engine.passes import loss as loss_pass  # noqa: E402
from foretell.executors.own_memory import freeze_objects, keep_memory  # noqa: E402
from foretell.proxies import PAPER  # noqa: E402
from foretell.spaces import NASBench201  # noqa: E402

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], int]
"""Input, weight, stride, padding, groups."""
KINDS = ("forward", "by input", "by weight")
PARTS = {
    "forward": {"forward": 2},
    "jacobian": {"by input": 1},
    "backward": {"by input": 1, "by weight": 1},
    "curvature": {"by input": 1, "by weight": 2},
}
"""The convolutions that a step consists of; a pool has no gradient with respect to a weight."""


class Convolutions(TorchFunctionMode):
    """Records the convolutions within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[Shape] = Counter()

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.conv2d:
            x, weight, _, stride, padding, _, groups = (*args, *(None, 1, 0, 1, 1)[len(args) - 2 :])
            both = [(n, n) if isinstance(n, int) else tuple(n) for n in (stride, padding)]
            self.shapes[tuple(x.shape), tuple(weight.shape), *both, groups] += 1
        return func(*args, **(kwargs or {}))


def least(run: Callable[[], object], repeats: int) -> float:
    """The shortest time of the repeats, in seconds."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def alone(shape: Shape, repeats: int) -> dict[str, float]:
    """The seconds of one convolution by kind."""
    x_shape, weight_shape, stride, padding, groups = shape
    x = torch.randn(x_shape).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(weight_shape)
    settings = (stride, padding, (1, 1), False, (0, 0), groups)

    def forward() -> Tensor:
        return torch.ops.aten.convolution(x, weight, None, *settings)

    grad = torch.randn_like(forward())

    def backward(*mask: bool) -> object:
        return torch.ops.aten.convolution_backward(grad, x, weight, None, *settings, mask)

    runs = (forward, lambda: backward(True, False, False), lambda: backward(False, True, False))
    return {kind: least(run, repeats) for kind, run in zip(KINDS, runs, strict=True)}


def floors(model: nn.Module, images: Tensor, repeats: int) -> tuple[dict[str, float], float]:
    """The seconds of the convolutions of each step, and their FLOPs in one forward pass."""
    with torch.no_grad(), QuickPools(), Convolutions() as seen:
        model(images)
    total: Counter[str] = Counter()
    flops = 0.0
    for shape, times in seen.shapes.items():
        x, weight, stride, _, groups = shape
        taken = alone(shape, repeats)
        is_pool = groups == x[1] > 1 or x[1] == 1
        for step, parts in PARTS.items():
            for kind, count in parts.items():
                if not (is_pool and kind == "by weight"):
                    total[step] += times * count * taken[kind]
        inside = weight[1] * weight[2] * weight[3]
        flops += times * 2 * x[0] * weight[0] * inside * x[2] * x[3] / stride[0] / stride[1]
    return dict(total), flops


def measured(model: nn.Module, batch: tuple[Tensor, Tensor], repeats: int) -> dict[str, float]:
    """The seconds of each step in a call for the six scores, from the fastest call."""
    calls = []
    run = loss_pass.loss_pass

    def watched(subject: Any, wanted: set[str], seconds: dict[str, float]) -> Any:
        found = run(subject, wanted, seconds)
        calls.append(dict(seconds))
        return found

    with patch.dict("foretell.engine.passes.PASSES", {"loss": watched}):
        for _ in range(repeats + 2):  # two to warm up
            score(model, batch, list(PAPER))
    return min(calls[2:], key=lambda steps: sum(steps[step] for step in PARTS))


def main() -> None:
    """Print one line per step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cells", nargs="*", default=["333333", "231134", "022012"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    freeze_objects()
    space = NASBench201()
    print(f"{'cell':8} {'step':10} {'floor s':>8} {'took s':>8} {'times':>6}")
    for cell in arguments.cells:
        model = space.build(space.parse(cell), seed=0)
        generator = torch.Generator().manual_seed(0)
        shape = (space.in_channels, space.resolution, space.resolution)
        images = torch.randn(arguments.batch, *shape, generator=generator)
        labels = torch.randint(space.classes, (arguments.batch,), generator=generator)
        floor, flops = floors(model, images, arguments.repeats)
        took = measured(model, (images, labels), arguments.repeats)
        for step in (*PARTS, "all"):
            least_s = floor.get(step, sum(floor.values()))
            took_s = took.get(step, sum(took[part] for part in PARTS))
            print(f"{cell:8} {step:10} {least_s:8.3f} {took_s:8.3f} {took_s / least_s:6.2f}")
        print(f"{cell:8} forward convolutions at {2 * flops / floor['forward'] / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
