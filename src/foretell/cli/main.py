"""The command line: `foretell search`, `score`, `rank`, `list` and `explain`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
import torch
from rich.console import Console

import foretell
from foretell.cli.catalogue import CATALOGUES, catalogue
from foretell.cli.data import add_data_command
from foretell.cli.inputs import Inputs, add_data, add_repeats, data_text, read_inputs
from foretell.cli.progress import SearchProgress
from foretell.cli.report import add_report
from foretell.cli.show import show
from foretell.cli.study import add_study
from foretell.cli.study_search import add_study_search
from foretell.engine.plan import DEFAULT
from foretell.errors import ForetellError
from foretell.explain import Explanation, explain
from foretell.proxies import BASELINES, PROXIES
from foretell.repeat import rank_many, score_many, summary
from foretell.runs.workers import available_cores
from foretell.search import DEMO, Outcome, search

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did its job, 2 for a request that can't be met, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:2] == ["study", "search"]:
        words = ["study-search", *words[2:]]
    arguments = parser().parse_args(words)
    try:
        arguments.command(arguments)
    except ForetellError as error:
        print(f"foretell: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # CPython remembers an interrupt inside the `exec` of an import (a dataclass does one), and
        # would die of the signal at exit even though it is caught here; another `exec` forgets it.
        exec("")
        print("foretell: stopped; the same command continues from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="foretell",
        description=foretell.__doc__,
    )
    top.add_argument("--version", action="version", version=f"foretell {foretell.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add_search(commands)
    add_score(commands)
    add_rank(commands)
    add_list(commands)
    add_explain(commands)
    add_study(commands)
    add_study_search(commands)
    add_report(commands)
    add_data_command(commands)
    return top


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_search(commands: Commands) -> None:
    """`foretell search`."""
    command = commands.add_parser(
        "search",
        help="find the networks of a space worth training on your data, and train them",
        description="Score random networks of a space on one minibatch, train the most promising "
        "ones and as many unscored ones for comparison, and save the best. A run that was stopped "
        "continues when the same command is given again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--space", default=DEMO.space, help="search space, name?key=value,...")
    add_data(command, DEMO.data)
    command.add_argument("--run", default="runs/search", metavar="DIR", help="folder for the rows")
    command.add_argument("--by", default=DEMO.by, help="proxy that chooses what is trained")
    command.add_argument(
        "--searcher",
        default=DEMO.searcher,
        help="name?key=value,...; see `foretell list searchers`",
    )
    command.add_argument("--pool", type=int, default=DEMO.pool, help="networks to score first")
    command.add_argument(
        "--trainings", type=int, default=DEMO.trainings, help="networks to train, of each kind"
    )
    command.add_argument("--epochs", type=int, default=DEMO.training.epochs, help="of a training")
    command.add_argument("--lr", type=float, default=DEMO.training.lr, help="learning rate")
    command.add_argument(
        "--workers", type=int, default=available_cores(), help="processes, of one thread each"
    )
    add_common(command, batch_size=DEMO.batch_size)
    command.set_defaults(command=run_search)


def add_score(commands: Commands) -> None:
    """`foretell score`."""
    command = commands.add_parser(
        "score",
        help="score one untrained network",
        description="Score one untrained network by any number of proxies in the fewest passes.",
        epilog="example: foretell score nb201:333013 --data digits",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("model", help="see `foretell list models` for the forms")
    add_scoring(command)
    command.set_defaults(command=run_score)


def add_rank(commands: Commands) -> None:
    """`foretell rank`."""
    command = commands.add_parser(
        "rank",
        help="score several untrained networks and put the most promising first",
        description="Score untrained networks on the same minibatch, the most promising first.",
        epilog="example: foretell rank nb201:333013 nb201:111111 nb201:440001 --by synflow",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("models", nargs="+", metavar="model", help="see `foretell list models`")
    command.add_argument("--by", help="a proxy, or vote (the default where its voters are there)")
    add_scoring(command)
    command.set_defaults(command=run_rank)


def add_list(commands: Commands) -> None:
    """`foretell list`."""
    command = commands.add_parser("list", help="what there is, a line each, with its source")
    command.add_argument("what", nargs="?", choices=sorted(CATALOGUES), help="only these")
    add_form(command)
    command.set_defaults(command=run_list)


def add_explain(commands: Commands) -> None:
    """`foretell explain`."""
    command = commands.add_parser(
        "explain",
        help="the passes that would run for some proxies, and what they cost",
        description="The passes that would run. A cost of 1 is the arithmetic of one forward pass "
        "of the minibatch. With a model, also its FLOPs and the memory to expect.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("model", nargs="?", help="see `foretell list models` for the forms")
    add_scoring(command)
    command.set_defaults(command=run_explain)


def add_scoring(command: argparse.ArgumentParser) -> None:
    """What `score` and `rank` have in common."""
    add_data(command, "digits")
    add_repeats(command)
    command.add_argument("--proxies", default=",".join(DEFAULT), help="names with commas between")
    command.add_argument("--loss", default="cross_entropy", help="see `foretell list losses`")
    command.add_argument(
        "--layers", default="all", help="weights that count: all, or conv2d_linear as the paper's"
    )
    command.add_argument(
        "--batch-norm", default="batch", help="statistics: of the batch, or the frozen running ones"
    )
    command.add_argument("--micro-batch", type=int, metavar="N", help="samples to run at a time")
    add_common(command, batch_size=64)


def add_common(command: argparse.ArgumentParser, batch_size: int) -> None:
    """What all commands that compute have in common."""
    command.add_argument("--batch-size", type=int, default=batch_size, help="of the minibatch")
    command.add_argument("--seed", type=int, default=0, help="of weights, minibatch and choices")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    add_form(command)


def add_form(command: argparse.ArgumentParser) -> None:
    """`--json` and `--csv`."""
    form = command.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        form.add_argument(
            f"--{name}",
            dest="form",
            action="store_const",
            const=name,
            default="text",
            help=f"print {name.upper()}",
        )


def at_least_one(size: int) -> int:
    """A batch size that can be one."""
    if size < 1:
        raise ForetellError(f"--batch-size is {size}; give at least 1")
    return size


def run_search(arguments: argparse.Namespace) -> None:
    """Search, with progress on a terminal, and print what came of it."""
    training = replace(DEMO.training, epochs=arguments.epochs, lr=arguments.lr)
    totals = {
        "score": arguments.pool,
        "train": 2 * arguments.trainings,
    }
    with SearchProgress(totals, Console(stderr=True)) as progress:
        outcome = search(
            arguments.space,
            data_text(arguments),
            run=arguments.run,
            by=arguments.by,
            searcher=arguments.searcher,
            pool=arguments.pool,
            trainings=arguments.trainings,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            training=training,
            device=str(pick_device(arguments.device)),
            workers=arguments.workers,
            progress=progress,
        )
    if outcome.notice:
        print(f"foretell: {outcome.notice}", file=sys.stderr)
    if arguments.form != "text":
        show(outcome.table, arguments.form, terminal())
        return
    console = terminal()
    show(in_width(outcome, arguments.by, console.width), "text", console, "Trained networks")
    console.print(verdict(outcome, arguments.by), soft_wrap=True)


def in_width(outcome: Outcome, by: str, width: int) -> pd.DataFrame:
    """The table with short names, and on a narrow terminal with the deciding score alone."""
    table = outcome.table.reset_index()
    table["arch"] = table["arch"].map(outcome.short)
    if width < FULL_WIDTH:
        others = [name for name in table if name in PROXIES and name not in (by, *BASELINES)]
        table = table.drop(columns=[*others, "flops"], errors="ignore")
    return drop_empty(table.set_index(["arm", "arch"]))


FULL_WIDTH = 120
"""Columns of text that a table with all scores needs."""


def verdict(outcome: Outcome, by: str) -> str:
    """What scoring bought, in three lines."""
    chosen = outcome.table[outcome.table["test_accuracy"].notna()].reset_index()
    lines = [
        f"best {row['arm']}: {row['val_accuracy']:.2f} % on validation images, "
        f"{row['test_accuracy']:.2f} % on test images  {row['arch']}"
        for row in chosen.to_dict(orient="records")
    ]
    lines.append(
        f"Scoring by {by} took {outcome.scoring_seconds:.1f} s. The chosen network is in "
        f"{outcome.folder}/chosen.pt; foretell.load_chosen({str(outcome.folder)!r}) gives it back."
    )
    return "\n".join(lines)


def run_score(arguments: argparse.Namespace) -> None:
    """Score one model and print a line a proxy."""
    inputs = read_inputs(arguments, [arguments.model], pick_device(arguments.device))
    if len(inputs.models) > 1:
        raise ForetellError(f"{arguments.model} is {len(inputs.models)} models; `rank` takes them")
    model = inputs.models[0]
    runs = score_many(
        partial(inputs.build, model),
        inputs.batches(model),
        inputs.seeds,
        names(arguments.proxies),
        **options(arguments, inputs),
    )
    found = summary(runs)
    place = list(found.columns).index("seconds")
    better = ["higher" if PROXIES[name].higher_is_better else "lower" for name in found.index]
    found.insert(place, "better", better)
    found.insert(place + 1, "bound", [PROXIES[name].bound for name in found.index])
    if runs["run"].max() == 0:
        found = found.rename(columns={"mean": "value"}).drop(columns=["std", "runs", "undefined"])
    show(drop_empty(found), arguments.form, terminal(), model, model=model)


def options(arguments: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    """How to score, as `foretell.score` has it."""
    return {
        "loss": inputs.loss(arguments.loss),
        "layers": arguments.layers,
        "batch_norm": arguments.batch_norm,
        "micro_batch": arguments.micro_batch,
    }


def run_rank(arguments: argparse.Namespace) -> None:
    """Rank several models and print a line a model."""
    inputs = read_inputs(arguments, arguments.models, pick_device(arguments.device))
    proxies = names(arguments.proxies)
    table = rank_many(
        {model: partial(inputs.build, model) for model in inputs.models},
        inputs.batches,
        inputs.seeds,
        proxies,
        by=arguments.by,
        **options(arguments, inputs),
    )
    if table[[name for name in table if name in PROXIES]].isna().to_numpy().all():
        raise ForetellError(f"no model could be scored; the first: {table['why'].iloc[0]}")
    show(drop_empty(table), arguments.form, terminal(), f"Ranked on {arguments.data}")


def run_list(arguments: argparse.Namespace) -> None:
    """Print one catalogue, or all of them."""
    chosen = [arguments.what] if arguments.what else list(CATALOGUES)
    tables = {what: catalogue(what) for what in chosen}
    if arguments.form == "text":
        for what, table in tables.items():
            show(table, "text", terminal(), what)
    else:
        show(pd.concat(tables, names=["kind", "name"]), arguments.form, terminal())


def run_explain(arguments: argparse.Namespace) -> None:
    """Print the plan, and for a model what it would take."""
    proxies = names(arguments.proxies)
    if arguments.model is None:
        found = explain(proxies, batch_size=at_least_one(arguments.batch_size))
    else:
        inputs = read_inputs(arguments, [arguments.model], pick_device(arguments.device))
        model = inputs.models[0]
        batch = inputs.batches(model)[0]
        built = inputs.build(model, arguments.seed)
        found = explain(proxies, built, batch, **options(arguments, inputs))
    about = {"forward_equivalents": found.cost, "memory": found.memory}
    show(found.table(), arguments.form, terminal(), arguments.model or "Steps", **about)
    if arguments.form == "text":
        print(in_words(found))


def in_words(found: Explanation) -> str:
    """The totals, a line each."""
    lines = [f"{found.cost:.2f} forward passes in all, at a batch of {found.batch_size}"]
    if found.memory is not None:
        lines.append(f"about {found.memory / 2**20:,.0f} MiB at the peak")
    if found.curvature:
        lines.append(f"curvature by {found.curvature}")
    return "\n".join(lines)


def terminal() -> Console:
    """Standard output; where it is no terminal, wide enough not to fold a table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=220)


def names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def drop_empty(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the text columns that say nothing."""
    text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    empty = [name for name in text if not any(table[name])]
    return table.drop(columns=empty)


def pick_device(text: str) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ForetellError(f"there is no device {text!r} here ({reason}); use cpu") from error
    return device
