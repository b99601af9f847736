"""Run NSGA-II on a table, for accuracy and a cost, with and without scores.

    python bench/nsga2.py RUN [--told COLUMN] [--cost COLUMN] [--out docs/search/nsga2.svg]

RUN is a run folder of `foretell study search` on the benchmark, which has its table and scores. The
script draws the hypervolume of the networks trained so far: the dominated share of the rectangle
between accuracy 0 at the highest cost of the table and the best accuracy at cost 0. It needs the
extras moea, studies and report.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import vl_convert

from foretell.names import parse_spec
from foretell.report.charts import curves_chart
from foretell.searchers import make_searcher
from foretell.searching.pareto import hypervolume
from foretell.studies.curves import bands
from foretell.studies.simulate import Benchmark
from foretell.studies.simulations import read_simulations

STRATEGIES = ("random", "nsga2", "nsga2?warmup=1000")
AT = (20, 50, 100, 200, 300)
EVERY = 10


def main() -> None:
    """Search, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--told", default="cifar10valid_xvalid_200")
    parser.add_argument("--cost", default="params_m_cifar10")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trainings", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("docs/search/nsga2.svg"))
    arguments = parser.parse_args()
    benchmark = read_simulations(arguments.run).benchmark
    told = benchmark.told(arguments.told)
    cost = benchmark.table.cost_of(arguments.cost).to_numpy()
    points = np.stack([1 - told / np.nanmax(told), cost / np.nanmax(cost)], axis=1)
    curves = {}
    for strategy in STRATEGIES:
        lines = [
            covered(points[trained(benchmark, strategy, told, cost, arguments.trainings, seed)])
            for seed in range(arguments.seeds)
        ]
        counts = range(EVERY, EVERY * len(lines[0]) + 1, EVERY)
        curves[strategy] = pd.DataFrame(lines, columns=counts)
    whole = hypervolume(points, (1.0, 1.0))
    print(f"hypervolume of the whole table {whole:.4f}; mean [quartiles] over seeds:")
    band = bands(curves)
    shown = band[band["trainings"].isin(AT)]
    words = shown.assign(
        words=[f"{m:.4f} [{a:.4f}, {b:.4f}]" for m, a, b in shown[["mean", "low", "high"]].values]
    )
    print(words.pivot(index="strategy", columns="trainings", values="words").to_string())
    chart = curves_chart(band, "trainings", "networks trained", "hypervolume")
    svg = vl_convert.vegalite_to_svg(chart | {"width": 560, "background": "white"})
    arguments.out.write_text(svg)


def trained(
    benchmark: Benchmark,
    strategy: str,
    told: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    cost: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    trainings: int,
    seed: int,
) -> list[int]:
    """The positions in the table of the networks that a search trains, in order."""
    name, settings = parse_spec(strategy)
    rows = benchmark.rows
    costs = (lambda arch: [cost[rows[arch]]]) if name == "nsga2" else None
    searcher = make_searcher(name, benchmark.space, seed, costs=costs, **settings)
    found: list[int] = []
    while len(found) < trainings and (asked := searcher.ask(20)):
        for question in asked[: trainings - len(found)]:
            row = rows[question.arch]
            train = question.kind == "train"
            searcher.tell(question, float(told[row]) if train else benchmark.score[question.arch])
            found += [row] if train else []
    return found


def covered(points: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> list[float]:
    """The hypervolume after every tenth training."""
    counts = range(EVERY, len(points) + 1, EVERY)
    return [hypervolume(points[:count], (1.0, 1.0)) for count in counts]


if __name__ == "__main__":
    main()
