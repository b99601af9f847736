"""Measure the cost of the six proxies of arXiv:2101.08134 on ResNet-50, in forward passes.

    python bench/resnet50.py [--batch 16] [--size 224] [--threads 2] [--keep-memory]

The script prints the time of all six divided by that of one forward pass (in training mode, without
gradient), and compares the peak memory of all proxies except grasp with that of one ordinary
training step, each in its own process. With `--keep-memory`, freed memory is kept, as by foretell's
command line.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import score
from foretell.executors.own_memory import freeze_objects, keep_memory
from foretell.proxies import PAPER


def network(arguments: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """ResNet-50 and a random batch."""
    from torchvision.models import resnet50

    torch.set_num_threads(arguments.threads)
    images = torch.randn(arguments.batch, 3, arguments.size, arguments.size)
    return resnet50(), images, torch.arange(arguments.batch)


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratio(arguments: argparse.Namespace) -> str:
    """The median ratio of alternating measurements of the six scores and of forward passes."""
    model, images, labels = network(arguments)

    def forward() -> None:
        with torch.no_grad():
            model(images)

    forward()
    pairs = []
    for _ in range(arguments.repeats):
        one = median(seconds(forward) for _ in range(3))
        six = seconds(lambda: score(model, (images, labels), PAPER))
        pairs.append((six / one, six, one))
    middle = sorted(pairs)[len(pairs) // 2]
    return (
        f"six proxies / one forward pass: {middle[0]:.2f} ({middle[1]:.1f} s / {middle[2]:.2f} s; "
        f"all: {', '.join(f'{r:.2f}' for r, *_ in pairs)})"
    )


def training_step(arguments: argparse.Namespace) -> None:
    """A forward pass, a backward pass and an SGD step with momentum."""
    model, images, labels = network(arguments)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def without_grasp(arguments: argparse.Namespace) -> None:
    """Compute all proxies of the paper except grasp."""
    model, images, labels = network(arguments)
    score(model, (images, labels), [name for name in PAPER if name != "grasp"])


def peak(part: str, arguments: argparse.Namespace) -> float:
    """The peak memory of one part in MiB, measured in its own process."""
    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("batch", "size", "threads")]
    command = [sys.executable, __file__, "--part", part, *sizes]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


PARTS = {"training_step": training_step, "without_grasp": without_grasp}


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("batch", 16), ("size", 224), ("threads", 2), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--keep-memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.part:
        PARTS[arguments.part](arguments)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    step, scores = peak("training_step", arguments), peak("without_grasp", arguments)
    print(f"peak memory, five proxies / training step: {scores / step:.2f} "
          f"({scores:.0f} / {step:.0f} MiB)")  # fmt: skip
    if arguments.keep_memory:
        keep_memory()
        freeze_objects()
    print(ratio(arguments))


if __name__ == "__main__":
    main()
