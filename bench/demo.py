"""Draw the figures of docs/search.md from several searches that differ in their seeds.

    python bench/demo.py RUN RUN ... [--out docs/search]

The script writes curves.svg and seconds.svg, which show the mean and the quartiles over the runs of
the best validation accuracy so far, and prints the table of docs/search.md. It needs the extra
report.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import vl_convert

from foretell.report.charts import curves_chart
from foretell.searching.read import ARMS, Found, read_search

LEVELS = (98.5, 99.0, 99.25)


def main() -> None:
    """Write the figures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/search"))
    arguments = parser.parse_args()
    found = [read_search(run) for run in arguments.runs]
    arguments.out.mkdir(parents=True, exist_ok=True)
    number = int(max(run.trained["number"].max() for run in found))
    axis = "best validation accuracy so far (%)"
    draw(
        bands(found, "trainings", np.arange(1, number + 1)),
        ("trainings", "networks trained", axis),
        arguments.out / "curves.svg",
    )
    last = max(run.trained["spent"].max() for run in found)
    draw(
        bands(found, "seconds", np.linspace(0, last, 200)),
        ("seconds", "seconds of training and scoring", axis),
        arguments.out / "seconds.svg",
    )
    for line in table(found):
        print(line)


def bands(found: list[Found], across: str, grid: np.ndarray) -> pd.DataFrame:
    """Mean and quartiles of each arm over the runs, as far as all runs reach."""
    parts = []
    for arm, label in ARMS.items():
        curves = []
        for run in found:
            curve = run.curve(arm)
            at = curve.index.to_numpy() if across == "trainings" else curve["spent"].to_numpy()
            place = np.searchsorted(at, grid, side="right") - 1
            best = curve["best"].to_numpy()
            curves.append(np.where(place >= 0, best[place.clip(0)], np.nan))
        every = np.array(curves)
        known = ~np.isnan(every).any(axis=0)
        low, high = np.quantile(every[:, known], [0.25, 0.75], axis=0)
        part = {"strategy": label, across: grid[known], "mean": every[:, known].mean(axis=0)}
        parts.append(pd.DataFrame({**part, "low": low, "high": high}))
    band = pd.concat(parts)
    return band.assign(trainings=band[across])


def draw(band: pd.DataFrame, texts: tuple[str, str, str], path: Path) -> None:
    """A figure as SVG."""
    chart = curves_chart(band, *texts, steps=True) | {"width": 560, "background": "white"}
    path.write_text(vl_convert.vegalite_to_svg(chart))


def table(found: list[Found]) -> list[str]:
    """The trainings and seconds until each arm reaches some accuracies: medians over the runs."""
    lines = ["| | " + " | ".join(f"{level} %" for level in LEVELS) + " | all trainings | test |"]
    lines.append("|---|" + "---|" * (len(LEVELS) + 2))
    for arm, label in ARMS.items():
        cells = []
        for level in LEVELS:
            firsts = [first(run, arm, level) for run in found]
            trainings, seconds = np.median(np.array(firsts), axis=0)
            reached = sum(np.isfinite(number) for number, _ in firsts)
            what = f"{trainings:.0f} ({seconds:.0f} s)" if np.isfinite(trainings) else "–"
            cells.append(f"{what}, {reached} of {len(found)}")
        best = [run.best.set_index("arm").loc[arm] for run in found]
        spent = np.median([run.curve(arm)["spent"].iloc[-1] for run in found])
        final = np.mean([row["val_accuracy"] for row in best])
        cells += [f"{final:.2f} % ({spent:.0f} s)"]
        cells += [f"{np.mean([row['test_accuracy'] for row in best]):.2f} %"]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def first(run: Found, arm: str, level: float) -> tuple[float, float]:
    """The trainings and seconds after which an arm reaches `level`; infinity if it never does."""
    curve = run.curve(arm)
    reached = curve[curve["best"] >= level]
    if reached.empty:
        return float("inf"), float("inf")
    return float(reached.index[0]), float(reached["spent"].iloc[0])


if __name__ == "__main__":
    main()
