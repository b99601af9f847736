"""Compare searches by the accuracy that they reach after each number of trainings."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.studies.simulations import Simulations

__all__ = ["alone", "bands", "needed", "speedups"]

RESAMPLES = 1_000
FEWEST_SEEDS = 100
"""The fewest searches with a bootstrap interval; for fewer, its coverage is too low."""


HELP = ("warmup", "moves", "mix")
"""The settings of a searcher with which it uses scores."""


def bands(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The mean and quartiles over the seeds, one row per strategy and number of trainings.

    The columns are `mean`, `low` and `high`, the lower and upper quartile. A search that ended
    early keeps its last value.

    >>> curve = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=[1, 2])
    >>> bands({"random": curve}).values.tolist()
    [['random', 1, 2.0, 1.5, 2.5], ['random', 2, 3.0, 2.5, 3.5]]
    """
    frames = []
    for strategy, curve in curves.items():
        whole = curve.ffill(axis=1)
        frame = pd.DataFrame(
            {
                "strategy": strategy,
                "trainings": whole.columns,
                "mean": whole.mean().to_numpy(),
                "low": whole.quantile(0.25).to_numpy(),
                "high": whole.quantile(0.75).to_numpy(),
            }
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def needed(curve: pd.DataFrame, target: float) -> float:
    """The number of trainings after which the mean over the seeds reaches `target`; inf if never.

    >>> needed(pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=[1, 2]), 2.5)
    2.0
    """
    mean = curve.ffill(axis=1).mean().to_numpy()
    return first_at_least(mean[None, :], target)[0]


def first_at_least(
    means: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", target: float
) -> "list[float]":
    """The position, from 1, of the first value of at least `target` in each row; inf if none."""
    reached = means >= target - 1e-9
    return [float(row.argmax() + 1) if row.any() else np.inf for row in reached]


def speedups(
    curves: Mapping[str, pd.DataFrame],
    at: Sequence[int] = (50, 100, 200, 300),
    *,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """The factor by which scores reduce the number of trainings of a search.

    One row per strategy with scores and number in `at`: `target` is the mean that the search
    without scores reaches after that many trainings; `alone` and `helped` are the trainings that
    the searches without and with scores need to reach it; `speedup` is their ratio, with a
    percentile bootstrap interval over seeds in which both means and the target are resampled. For
    fewer than 100 seeds there is no interval (nan). A target that is not reached counts as
    infinitely many trainings.
    """
    found = []
    for strategy, curve in curves.items():
        plain = curves.get(alone(strategy))
        if plain is None or plain is curve:
            continue
        found += [
            {"strategy": strategy, **ratio(plain, curve, count, seed, level)}
            for count in at
            if count in plain.columns
        ]
    return pd.DataFrame(found)


def alone(strategy: str) -> str:
    """The name of the same search without scores.

    >>> alone("reinforce?hidden=32,warmup=3000,lr=0.01"), alone("aging_evolution?moves=1,mix=0.1")
    ('reinforce?hidden=32,lr=0.01', 'aging_evolution')
    """
    name, _, settings = strategy.partition("?")
    kept = [s for s in settings.split(",") if s and s.partition("=")[0] not in HELP]
    return f"{name}?{','.join(kept)}" if kept else name


def ratio(
    plain: pd.DataFrame, helped: pd.DataFrame, count: int, seed: int, level: float
) -> dict[str, float]:
    """One row of `speedups`."""
    rng = np.random.default_rng(seed)
    ours = [frame.ffill(axis=1).to_numpy(dtype=float) for frame in (plain, helped)]
    means = [values.mean(axis=0)[None, :] for values in ours]
    for index, values in enumerate(ours):
        draws = rng.integers(len(values), size=(RESAMPLES, len(values)))
        again = np.stack([values[draw].mean(axis=0) for draw in draws])
        means[index] = np.concatenate([means[index], again])
    targets = means[0][:, count - 1]
    pairs = [
        (first_at_least(alone[None], target)[0], first_at_least(with_help[None], target)[0])
        for alone, with_help, target in zip(*means, targets, strict=True)
    ]
    ratios = np.array([alone / with_help for alone, with_help in pairs])
    low, high = np.quantile(ratios[1:], [(1 - level) / 2, (1 + level) / 2])
    if min(len(plain), len(helped)) < FEWEST_SEEDS:
        low = high = np.nan
    return {
        "at": count,
        "target": float(targets[0]),
        "alone": pairs[0][0],
        "helped": pairs[0][1],
        "speedup": float(ratios[0]),
        "speedup_low": float(low),
        "speedup_high": float(high),
    }


AT = (20, 50, 100, 200, 300)


def pairs_of(found: Simulations, told: list[str], report: list[str]) -> list[tuple[str, str]]:
    """The pairs of columns to show: one that searchers learn from, and one that is reported.

    If searchers learned from a reporting column, the same column is reported, as in the paper.
    Raises ForetellError if no search learned from any of the columns `told`.
    """
    table = found.benchmark.table
    known = [column for column in found.told if not told or column in told]
    pairs = []
    for column in known:
        if column in table.reporting:
            pairs.append((column, column))
        else:
            shown = report or [*table.reporting[:3]] or [column]
            pairs += [(column, one) for one in shown]
    if not pairs:
        raise ForetellError(
            f"no searcher of the run received {', '.join(told)}; choose among "
            f"{', '.join(found.told)}, or add searches with `foretell study search --told`"
        )
    return pairs


def after(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per strategy: mean and quartiles after several numbers of trainings."""
    band = bands(curves)
    last = int(band["trainings"].max())
    band = band[band["trainings"].isin([count for count in AT if count <= last] or [last])]
    words = [
        f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for row in band.to_dict(orient="records")
    ]
    columns = "after " + band["trainings"].astype(str)
    cells = pd.DataFrame({"strategy": band["strategy"], "after": columns, "words": words})
    wide = cells.pivot(index="strategy", columns="after", values="words")
    return wide.reindex(index=list(curves), columns=list(dict.fromkeys(columns))).fillna("–")
