"""Compare searchers by the best network that they find on tables of published scores.

    python bench/decisions.py FOLDER --seeds 100 --trainings 20

FOLDER has the Parquet files that bench/calibration.py reads, and nb201_accuracy (test accuracies),
nasbench_macro_cifar10 and nasbench_nlp_wikitext2_345. Each search receives a column of validation
results, and its best network by that column is evaluated by a column of test results, where the
table has one. The script prints the position of that network in the table, in % from the top, as
the mean over the tasks of each space and over the spaces.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.searchers import Searcher, make_searcher
from foretell.spaces import Arch, Subset
from foretell.spaces.choices import Choices
from foretell.statistics.ensemble import ensemble
from foretell.statistics.representative import relative_ranks

AT = (1, 3, 5, 10, 20, 50, 100)
POOL = 600
NAMES = {"jacov": "jacob_cov"}
SCORES = ("flops", "params", "synflow", "grasp", "fisher", "grad_norm", "l2_norm", "plain", "nwot")
SCORES += ("epe_nas", "jacob_cov", "snip")
FAILED = -1e8
STRATEGIES = {
    "random": ("random", ""),
    "params alone": ("random?warmup=POOL", "params"),
    "flops alone": ("random?warmup=POOL", "flops"),
    "synflow alone": ("random?warmup=POOL", "synflow"),
    "ensemble alone": ("random?warmup=POOL", "ensemble"),
    "evolution": ("aging_evolution?population=10,tournament=3", ""),
    "evolution, warmup": ("aging_evolution?population=10,tournament=3,warmup=POOL", "ensemble"),
    "local": ("local", ""),
    "local, warmup": ("local?warmup=POOL", "ensemble"),
    "reinforce": ("reinforce", ""),
    "reinforce, warmup": ("reinforce?warmup=POOL", "ensemble"),
    "predictor": ("predictor?block=5", ""),
    "predictor, warmup": ("predictor?block=5,warmup=POOL", "ensemble"),
    "tpe": ("tpe", ""),
    "guided, without scores": ("guided", ""),
    "guided": ("guided?warmup=POOL", "ensemble"),
}
"""By name: the searcher with its settings, and the score that it uses."""


@dataclass(frozen=True, eq=False)
class Task:
    """The architectures of a table with their scores and results; higher is better in all."""

    space: str
    name: str
    codes: list[Arch]
    scores: pd.DataFrame
    told: "np.ndarray"
    reported: "np.ndarray"

    @cached_property
    def searched(self) -> Subset:
        """The space of these architectures."""
        sizes = np.array(self.codes).max(axis=0)
        options = {f"p{at}": list(range(most + 1)) for at, most in enumerate(sizes.tolist())}
        return Subset(Choices(unbuilt, options, name=self.name), self.codes)

    @cached_property
    def row(self) -> dict[Arch, int]:
        """The row of each architecture."""
        return {code: number for number, code in enumerate(self.codes)}

    @cached_property
    def scored(self) -> list[dict[str, float]]:
        """All scores of each row."""
        return [{str(k): v for k, v in one.items()} for one in self.scores.to_dict("records")]

    @cached_property
    def by(self) -> dict[str, Any]:
        """The scores that searchers without a choice of their own use."""
        ranks = self.scores.apply(lambda one: relative_ranks(one.to_numpy(float)))
        each = {str(name): self.scores[name].to_numpy(float) for name in self.scores}
        return {**each, "ensemble": ensemble(ranks).to_numpy()}

    @cached_property
    def position(self) -> "np.ndarray":
        """The position of each row in % from the top of what is reported."""
        return 100 * (1 - relative_ranks(self.reported))


def unbuilt(**options: int) -> Any:
    """The networks of tables are not built."""
    raise NotImplementedError


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """The scores of a table."""
    frame = frame.rename(columns=NAMES).replace(FAILED, np.nan)
    return frame[[name for name in SCORES if name in frame and frame[name].notna().any()]]


def digits(texts: "pd.Series[Any]") -> list[Arch]:
    """Architectures written as digits."""
    return [tuple(map(int, str(text))) for text in texts]


def padded(codes: list[list[int]]) -> list[Arch]:
    """Lists of numbers with a last number that tells equal ones apart, all of the same length."""
    longest, seen, found = max(map(len, codes)), {}, []
    for code in codes:
        whole = (*code, *[0] * (longest - len(code)))
        seen[whole] = seen.get(whole, -1) + 1
        found.append((*whole, seen[whole]))
    return found


def nb201(folder: Path) -> Iterator[Task]:
    """NAS-Bench-201: told validation, reported test accuracies."""
    scores = pd.read_parquet(folder / "nb201_zc_scores_725_timed.parquet")
    results = pd.read_parquet(folder / "nb201_accuracy.parquet").set_index("index")
    sets = {"cifar10": "cifar10", "cifar100": "cifar100", "ImageNet16-120": "imagenet16"}
    for name, part in scores.groupby("dataset"):
        own = results.loc[part["index"]]
        test = own[f"{sets.get(str(name), 'imagenet16')}_test_200"].to_numpy(float)
        told = part["val_accuracy"].to_numpy(float)
        yield Task("nb201", str(name), digits(own["ops"]), known(part), told, test)


def nb101(folder: Path) -> Iterator[Task]:
    """NAS-Bench-101: validation accuracies."""
    frame = pd.read_parquet(folder / "nb101_zc_500.parquet")
    codes = []
    for n, adjacency, ops in zip(frame["n"], frame["adjacency"], frame["ops"], strict=True):
        cell = np.zeros((7, 7), dtype=int)
        cell[:n, :n] = np.array(list(map(int, adjacency))).reshape(n, n)
        interior = [1 + int(op) for op in ops] + [0] * (5 - len(ops))
        codes.append([*cell[np.triu_indices(7, 1)].tolist(), *interior])
    truth = frame["val_accuracy"].to_numpy(float)
    yield Task("nb101", "cifar10", padded(codes), known(frame), truth, truth)


def nb301(folder: Path) -> Iterator[Task]:
    """NAS-Bench-301: the predictions of its surrogate model."""
    frame = pd.read_parquet(folder / "nb301_zc_sample_725.parquet")
    codes = [[int(digit) for digit in text if digit.isdigit()] for text in frame["arch"]]
    truth = frame["val_accuracy_surrogate"].to_numpy(float)
    yield Task("nb301", "cifar10", padded(codes), known(frame), truth, truth)


def transnas(folder: Path) -> Iterator[Task]:
    """TransNAS-Bench-101, cells."""
    frame = pd.read_parquet(folder / "tnb101_micro_zc_sample.parquet")
    for name, part in frame.groupby("task"):
        truth = part["metric"].to_numpy(float)
        yield Task("transnas", str(name), digits(part["arch"]), known(part), truth, truth)


def macro(folder: Path) -> Iterator[Task]:
    """NAS-Bench-Macro: told one training, reported the mean of two others."""
    frame = pd.read_parquet(folder / "nasbench_macro_cifar10.parquet")
    told = frame["test_acc_a"].to_numpy(float)
    test = frame[["test_acc_b", "test_acc_c"]].mean(axis=1).to_numpy(float)
    yield Task("macro", "cifar10", digits(frame["arch"]), known(frame), told, test)


def nlp(folder: Path) -> Iterator[Task]:
    """NAS-Bench-NLP: told the validation, reported the test loss after the last epoch."""
    frame = pd.read_parquet(folder / "nasbench_nlp_wikitext2_345.parquet")
    kinds = ("linear", "blend", "elementwise_prod", "elementwise_sum", "activation_tanh")
    kinds += ("activation_sigm", "activation_leaky_relu")
    codes = [
        [min(text.count(f'"{kind}"'), 9) for kind in kinds] for text in frame["recipe"].map(str)
    ]
    last = [
        -frame[name]
        .map(lambda losses: float(losses[-1]) if len(losses) else math.nan)
        .to_numpy(float)
        for name in ("val_losses", "test_losses")
    ]
    scores = pd.DataFrame({"params": frame["num_params"].astype(float)})
    yield Task("nlp", "wikitext2", padded(codes), scores, *last)


SPACES: Mapping[str, Callable[[Path], Iterator[Task]]] = {
    "nb201": nb201,
    "nb101": nb101,
    "nb301": nb301,
    "transnas": transnas,
    "macro": macro,
    "nlp": nlp,
}


def searched(task: Task, strategy: str, by: str, trainings: int, seed: int, pool: int) -> list[int]:
    """The rows that a search trains, in order."""
    name, _, settings = strategy.replace("POOL", str(min(pool, len(task.codes)))).partition("?")
    if name == "tpe":
        return of_optuna(task, trainings, seed)
    given: dict[str, Any] = dict(one.split("=") for one in settings.split(",") if one)
    given = {key: int(value) for key, value in given.items()}
    if name == "guided" and given:
        given["scores"] = lambda arch: task.scored[task.row[arch]]
    searcher: Searcher = make_searcher(name, task.searched, seed, **given)
    trained: list[int] = []
    while len(trained) < trainings and (asked := searcher.ask(1)):
        if asked[0].kind == "train":
            trained.append(task.row[asked[0].arch])
            searcher.tell(asked[0], float(task.told[trained[-1]]))
            continue
        for question in searcher.ask(POOL):
            if question.kind == "score":
                searcher.tell(question, float(task.by[by][task.row[question.arch]]))
    return trained


def of_optuna(task: Task, trainings: int, seed: int) -> list[int]:
    """The rows that Optuna's TPE trains; what the table lacks is replaced by the nearest row."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    matrix, trained = np.array(task.codes), []
    for _ in range(trainings):
        trial = study.ask()
        code = [
            trial.suggest_categorical(f"p{at}", list(map(int, np.unique(matrix[:, at]))))
            for at in range(matrix.shape[1])
        ]
        distance = (matrix != np.array(code)).sum(axis=1).astype(float)
        distance[trained] = np.inf
        trained.append(int(distance.argmin()))
        value = task.told[trained[-1]]
        study.tell(trial, float(value) if np.isfinite(value) else float(np.nanmin(task.told)))
    return trained


def found(task: Task, trained: list[int]) -> list[tuple[int, float, float]]:
    """After so many trainings: the position of the best by what was told, and its result."""
    told = np.where(np.isnan(task.told), -np.inf, task.told)
    rows = []
    for count in AT:
        if count <= len(trained):
            best = max(trained[:count], key=lambda row: told[row])
            rows.append((count, float(task.position[best]), float(task.reported[best])))
    return rows


def main() -> None:
    """Search, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trainings", type=int, default=20)
    parser.add_argument("--pool", type=int, default=POOL)
    parser.add_argument("--spaces", nargs="*", default=list(SPACES), choices=list(SPACES))
    parser.add_argument(
        "--strategies", nargs="*", default=list(STRATEGIES), choices=list(STRATEGIES)
    )
    parser.add_argument("--out", type=Path, help="a CSV file of every search")
    given = parser.parse_args()
    rows: list[tuple[Any, ...]] = []
    spent: dict[str, float] = {}
    for task in (task for name in given.spaces for task in SPACES[name](given.folder)):
        for name in given.strategies:
            strategy, by = STRATEGIES[name]
            if by and by not in task.by:
                continue
            start = time.perf_counter()
            for seed in range(given.seeds):
                trained = searched(task, strategy, by, given.trainings, seed, given.pool)
                rows += [(task.space, task.name, name, seed, *one) for one in found(task, trained)]
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
    names = ["space", "task", "strategy", "seed", "trainings", "position", "result"]
    frame = pd.DataFrame(rows, columns=names)
    if given.out:
        frame.to_csv(given.out, index=False)
    each = frame.groupby(["strategy", "space", "task", "trainings"])["position"].mean()
    by_space = each.groupby(["strategy", "space", "trainings"]).mean().unstack()
    order = [name for name in given.strategies if name in by_space.index.get_level_values(0)]
    print(by_space.groupby("strategy").mean().loc[order].round(1).to_string())
    for space in given.spaces:
        print(
            space, by_space.xs(space, level="space").reindex(order).round(1).to_string(), sep="\n"
        )
    print({name: round(seconds) for name, seconds in spent.items()})


if __name__ == "__main__":
    main()
