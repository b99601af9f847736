"""Measure the CPU seconds of the sizes that a ranking shows, and of its scores, for some networks.

Run: OMP_NUM_THREADS=1 python bench/sizes.py
"""

import statistics
import time

import torch
import torchvision

import foretell
from foretell.rankings import RANKINGS, scores_of
from foretell.rankings.sizes import SIZES

ASKED = {
    "sizes": SIZES,
    "anchored": tuple(name for name in scores_of(RANKINGS["anchored"]) if name not in SIZES),
    "the paper's six": ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacob_cov"),
}


def main() -> None:
    """Print the median of five calls of each, without and with shortcuts."""
    digits = foretell.load_data("digits")
    small = foretell.minibatch(digits.train, 64, 0)
    photos = (torch.randn(16, 3, 224, 224), torch.arange(16) % 10)
    networks = {
        "nb201:333013": (foretell.load_model("nb201:333013", digits), small),
        "nb201:244120": (foretell.load_model("nb201:244120", digits), small),
        "resnet18": (torchvision.models.resnet18(num_classes=10), photos),
        "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small(num_classes=10), photos),
    }
    for name, (model, batch) in networks.items():
        for asked, proxies in ASKED.items():
            each = [seconds(model, batch, proxies, faster) for faster in (False, True)]
            print(f"{name:20} {asked:16} {each[0]:7.3f} s without shortcuts, {each[1]:.3f} s with")


def seconds(model: torch.nn.Module, batch: object, proxies: tuple[str, ...], faster: bool) -> float:
    """The median CPU seconds of a call, after a first one."""
    taken = []
    for _ in range(6):
        start = time.process_time()
        foretell.score(model, batch, proxies, faster=faster)
        taken.append(time.process_time() - start)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
