"""Score the pools on which the ranking `anchored` was chosen, and those on which it is evaluated.

    python bench/ensemble.py score POOL --tables TABLES --images IMAGES.npz --out OUT [--networks N]
    python bench/ensemble.py compare OUT

POOL is one of the keys of `POOLS`; TABLES is a folder with the tables that docs/ensemble.md names.
`score` writes OUT/POOL.parquet with one row for each network: its scores and its results, of which
higher is better. `compare` prints Spearman's ρ of scores and rankings with each result of the pools
in OUT, with 95 % intervals by the jackknife of `foretell.statistics`, and how many of the best 64
are among the 5 % with the best results.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from darts import Darts
from foretell import score
from foretell.batch import Batch
from foretell.data import load_data, minibatch
from foretell.models.spaces import space_for
from foretell.rankings import RANKINGS, points, scores_of
from foretell.spaces import NASBench201, make_space
from foretell.statistics.correlations import spearman
from foretell.statistics.intervals import interval
from foretell.tables import import_table

IMAGES = 16
TEXT = Path(__file__).with_name("text.txt")
MEMBERS = ("rmin", "d8", "jacob_cov", "nwot", "flops_used", "params_used", "params", "flops")
CHOSEN_AMONG = (
    *MEMBERS,
    *("synflow", "snip", "grad_norm", "zico", "zen", "rd8", "meco", "pr", "layers", "depth"),
    *("az_expressivity", "az_progressivity", "az_trainability"),
)

Build = Callable[[], nn.Module]
Networks = list[tuple[str, Build, dict[str, float]]]
"""The name of each network, a function that builds it, and its results."""


@dataclass(frozen=True)
class Pool:
    """Networks with known results."""

    networks: Callable[[Path], Networks]
    count: int
    """How many are drawn by default."""
    scores: tuple[str, ...] = MEMBERS


def trans_nas(tables: Path) -> Networks:
    """TransNAS-Bench-101's cells, as networks of NAS-Bench-201 of one cell a stage."""
    table = pd.read_parquet(tables / "tnb101_micro.parquet")
    results = table.pivot_table(index="arch", columns="task", values="metric")
    space, rows = NASBench201(cells=1), results.to_dict("records")
    archs = [space.parse(str(arch)) for arch in results.index]
    return [
        (space.format(arch), partial(space.build, arch, 0), row)
        for arch, row in zip(archs, rows, strict=True)
    ]


def nb301(tables: Path) -> Networks:
    """Cells of the DARTS space, as networks of five cells and eight channels."""
    table = pd.read_parquet(tables / "nb301_zc_sample_725.parquet")
    return [
        (row.arch, partial(Darts, row.arch, 8, 5), {"surrogate": row.val_accuracy_surrogate})
        for row in table.itertuples()
    ]


def nb201(tables: Path, *, classes: bool) -> Networks:
    """A cell of each class, or the cells without dead branches, of one cell a stage."""
    table = pd.read_parquet(tables / "nb201_accuracy.parquet")
    space = NASBench201(cells=1)
    chosen = table.drop_duplicates("iso_class") if classes else table[table["ops"].map(alive)]
    columns = [f"{data}_test_200" for data in ("cifar10", "cifar100", "imagenet16")]
    return [
        (row["arch_str"], partial(space.build, space.parse(row["arch_str"]), 0),
         {name: row[name] for name in columns})
        for row in chosen.to_dict("records")
    ]  # fmt: skip


def alive(ops: str) -> bool:
    """Whether every edge but `none` lies on a path from the input to the output."""
    edges = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    used = [edge for edge, op in zip(edges, ops, strict=True) if op != "0"]
    for _ in range(3):
        used = [(a, b) for a, b in used if (a == 0 or any(t == a for _, t in used))
                and (b == 3 or any(s == b for s, _ in used))]  # fmt: skip
    return len(used) == 6 - ops.count("0")


def tabled(tables: Path, name: str, file: str, column: str, settings: dict[str, int]) -> Networks:
    """The networks of an imported table of pictures."""
    space = make_space(name, settings)
    frame = import_table(name, tables / file).frame
    rows = [(str(arch), {column: row[column]}) for arch, row in frame.iterrows()]
    return [(arch, partial(built, space, arch), result) for arch, result in rows]


def nlp(tables: Path) -> Networks:
    """NAS-Bench-NLP's cells with one layer; the result is −loss."""
    splits = load_data(f"text:{TEXT}")
    space = space_for("nlp", {"layers": 1, "hidden": 200, "embedding": 200}, splits)
    frame = import_table("nlp", tables / "nasbench_nlp_wikitext2_345.parquet").frame
    frame = frame.dropna(subset=["test_loss"])
    return [
        (str(arch), partial(built, space, str(arch)), {"test_loss": -loss})
        for arch, loss in frame["test_loss"].items()
    ]


def built(space: object, arch: str) -> nn.Module:
    """The network of an architecture, with seed 0."""
    return space.build(space.parse(arch), 0)  # type: ignore[attr-defined, no-any-return]


POOLS = {
    "trans_nas": Pool(trans_nas, 300, CHOSEN_AMONG),
    "nb301": Pool(nb301, 200, CHOSEN_AMONG),
    "nb201_classes": Pool(partial(nb201, classes=True), 500),
    "nb201_alive": Pool(partial(nb201, classes=False), 500),
    "nb101": Pool(
        partial(tabled, name="nb101", file="nb101_20001.parquet", column="valid_108",
                settings={"channels": 32, "modules": 1}),
        300,
    ),
    "macro": Pool(
        partial(tabled, name="macro", file="nasbench_macro_cifar10.parquet", column="mean_acc",
                settings={}),
        300,
    ),
    "nlp": Pool(nlp, 150),
}  # fmt: skip


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("score")
    one.add_argument("pool", choices=POOLS)
    one.add_argument("--tables", type=Path, required=True)
    one.add_argument("--images", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--networks", type=int)
    commands.add_parser("compare").add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "compare":
        compare(arguments.out)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = list(scored(arguments.pool, arguments))
    pd.DataFrame(rows).to_parquet(arguments.out / f"{arguments.pool}.parquet")


def scored(name: str, arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A row for each network that is drawn."""
    pool = POOLS[name]
    networks = pool.networks(arguments.tables)
    random.Random(0).shuffle(networks)
    count = arguments.networks or pool.count
    print(f"{name}: {count} of {len(networks)}", flush=True)
    batch, loss = texts() if name == "nlp" else (pictures(arguments.images), "cross_entropy")
    start = time.process_time()
    for place, (arch, build, results) in enumerate(networks[:count], start=1):
        torch.manual_seed(0)
        found = score(build(), batch, pool.scores, loss=loss)
        yield {
            "arch": arch,
            **{proxy: one.value for proxy, one in found.items()},
            **{f"result_{key}": value for key, value in results.items()},
        }
        if place % 50 == 0:
            print(f"{name}: {place}, {time.process_time() - start:.0f} s", flush=True)


def pictures(path: Path) -> Batch:
    """Normalised pictures of all classes in turn, and their labels."""
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    order = np.argsort(np.arange(len(labels)) % (len(labels) // 10), kind="stable")[:IMAGES]
    x = torch.from_numpy(images[order]).permute(0, 3, 1, 2).float() / 255
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    return Batch((x - mean) / std, torch.from_numpy(labels[order]).long())


def texts() -> tuple[Batch, str]:
    """A minibatch of text, and its loss."""
    splits = load_data(f"text:{TEXT}")
    return Batch(*minibatch(splits.train, IMAGES, 0)), str(splits.loss)


def compare(folder: Path) -> None:
    """Print a table for each result of each pool."""
    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        results = [name for name in table if str(name).startswith("result_")]
        proxies = [name for name in MEMBERS if name in table]
        columns = {name: table[name] for name in proxies}
        for name, ranking in RANKINGS.items():
            if set(scores_of(ranking)) <= set(table):
                columns[name] = points(ranking, table)
        for result in results:
            print(f"\n{path.stem}, {result.removeprefix('result_')}, n = {len(table)}")
            for name, column in columns.items():
                print(f"{name:12} {line(column, table[result])}")


def line(column: "pd.Series[float]", result: "pd.Series[float]") -> str:
    """ρ with its interval, and the share of the best 64 among the best 5 %."""
    values = column.fillna(-np.inf).rank().to_numpy()
    truth = result.to_numpy(dtype=float)
    best = np.argsort(-values, kind="stable")[:64]
    top = (truth[best] >= np.quantile(truth, 0.95)).mean()
    return f"{interval(spearman, values, truth)}   {top:.2f}"


if __name__ == "__main__":
    main()
