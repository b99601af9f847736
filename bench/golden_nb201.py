"""Compute scores of NAS-Bench-201 networks by the code of arXiv:2101.08134, for tests/golden/.

    python bench/golden_nb201.py --reference DIR

DIR is a checkout of github.com/SamsungLabs/zero-cost-nas. Each network is built here with the
weights of tests/support/golden_nb201.py, which are copied into the authors' network. Its scores are
stored only if both networks have the same outputs. The result replaces
tests/golden/nb201_reference.json.
"""

import argparse
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from foretell.spaces import NASBench201  # noqa: E402
from foretell.spaces.nb201_network import EDGES  # noqa: E402
from tests.support.golden_nb201 import GOLDEN, MEASURES, rebuild  # noqa: E402

ARCHS = {
    "333333": "3x3 convolutions everywhere",
    "111111": "skips everywhere",
    "222222": "1x1 convolutions everywhere",
    "434341": "pools and 3x3 convolutions",
    "321431": "every operation but none",
    "204032": "sparse, without a skip",
    "130201": "sparse, node 1 leads nowhere",
    "000300": "one edge alone",
    "320300": "nodes 1 and 2 lead nowhere",
    "033323": "node 1 has no input and feeds two convolutions",
}
THEIR_OPERATIONS = ("none", "avg_pool_3x3", "nor_conv_3x3", "nor_conv_1x1", "skip_connect")
THEIR_NAMES = {
    r"stem\.(\d)\.": r"stem.net.\1.",
    r"(reduction\d)\.(conv_.)\.": r"\1.\2.op.",
    r"(reduction\d)\.shortcut\.": r"\1.residual.1.",
    r"head\.0\.": "top.lastact.0.",
    r"head\.4\.": "top.classifier.",
}
WEIGHT_SEED, DATA_SEED, BATCH = 3, 5, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reference", type=Path, help="a checkout of SamsungLabs/zero-cost-nas")
    reference = parser.parse_args().reference
    if reference is None or not (reference / "foresight" / "pruners").is_dir():
        sys.exit(f"--reference is {reference}; give a checkout of SamsungLabs/zero-cost-nas")
    sys.path.insert(0, str(reference))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the reference uses hooks that torch has deprecated
    rows = [golden_row(arch, dtype) for arch in ARCHS for dtype in ("float32", "float64")]
    content = {
        "torch": torch.__version__,
        "note": "Scores by SamsungLabs/zero-cost-nas; synflow is its plain sum. "
        "To rebuild a network: tests/support/golden_nb201.py.",
        "recipe": "sorted-normal",
        "rows": rows,
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{len(rows)} rows in {GOLDEN}")


def golden_row(arch: str, dtype: str) -> dict[str, Any]:
    """One row of the file; stops if the two networks do not compute the same."""
    row: dict[str, Any] = {
        "arch": arch,
        "kind": ARCHS[arch],
        "weight_seed": WEIGHT_SEED,
        "data_seed": DATA_SEED,
        "batch": BATCH,
        "dtype": dtype,
    }
    ours, images, labels = rebuild(row)
    theirs = their_network(arch, ours)
    check_same_outputs(rebuild({**row, "dtype": "float64"})[0], theirs, images.double())
    row["values"] = their_scores(theirs, images, labels)
    print(arch, dtype, row["values"], flush=True)
    return row


def their_network(arch: str, ours: nn.Module) -> nn.Module:
    """The authors' network with our weights."""
    from foresight.models.nasbench2 import get_model_from_arch_str

    space = NASBench201(variant="reference")
    theirs: nn.Module = get_model_from_arch_str(space.format(space.parse(arch)), space.classes)
    state = {
        their_name(name, arch): parameter.detach() for name, parameter in ours.named_parameters()
    }
    unknown = theirs.load_state_dict(state, strict=False).unexpected_keys
    if unknown:
        sys.exit(f"{arch}: the authors' network has no parameters called {unknown}")
    return theirs


def their_name(name: str, arch: str) -> str:
    """The authors' name for one of our parameters."""
    edge = re.match(r"stage(\d)\.(\d+)\.edges\.(\d)<-(\d)\.(.*)", name)
    if edge is None:
        for pattern, replacement in THEIR_NAMES.items():
            name = re.sub(f"^{pattern}", replacement, name)
        return name
    stage, cell, target, source, rest = edge.groups()
    position = EDGES.index((int(target), int(source)))
    operation = NASBench201.choices[position][int(arch[position])]
    option = position * len(THEIR_OPERATIONS) + THEIR_OPERATIONS.index(operation)
    return f"stack_cell{stage}.{cell}.options.{option}.op.{rest}"


@torch.no_grad()
def check_same_outputs(ours: nn.Module, theirs: nn.Module, images: Tensor) -> None:
    wanted, found = theirs.double()(images), ours(images)
    theirs.float()  # exact: the weights were drawn in float32
    difference = ((wanted - found).abs().max() / wanted.abs().max()).item()
    if not difference < 1e-12:
        sys.exit(f"outputs differ by {difference:.1e} of the largest; no scores stored")


def their_scores(theirs: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    from foresight.pruners.predictive import find_measures

    fresh = theirs.get_prunable_copy
    # the authors' copies are always float32; converting them is exact, see above
    theirs.get_prunable_copy = lambda bn: fresh(bn=bn).to(images.dtype)
    values = find_measures(
        theirs, [(images, labels)], ("random", 1, 10), "cpu", measure_names=MEASURES
    )
    return {name: float(values[name]) for name in MEASURES}


if __name__ == "__main__":
    main()
