"""The command line: `foretell search`, `score`, `rank`, `list` and `explain`."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

import foretell
from foretell.cli.catalogue import CATALOGUES, catalogue
from foretell.cli.common import (
    Commands,
    add_common,
    add_form,
    add_tf32,
    drop_empty,
    names,
    pick_device,
    terminal,
)
from foretell.cli.data import add_data_command
from foretell.cli.inputs import Inputs, add_data, add_repeats, read_inputs
from foretell.cli.interrupt import remembered_interrupts
from foretell.cli.report import add_report
from foretell.cli.retrain import add_retrain
from foretell.cli.search import add_search
from foretell.cli.show import show
from foretell.cli.study import add_study
from foretell.cli.study_search import add_study_search
from foretell.engine.plan import DEFAULT
from foretell.errors import ForetellError
from foretell.proxies import PROXIES
from foretell.scoring.explain import Explanation, explain
from foretell.scoring.many import score_many, summary
from foretell.scoring.rank import rank

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did its job, 2 for a request that can't be met, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:2] == ["study", "search"]:
        words = ["study-search", *words[2:]]
    arguments = parser().parse_args(words)
    arguments.words = words
    try:
        with remembered_interrupts():
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
    add_retrain(commands)
    add_score(commands)
    add_rank(commands)
    add_list(commands)
    add_explain(commands)
    add_study(commands)
    add_study_search(commands)
    add_report(commands)
    add_data_command(commands)
    return top


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
    add_tf32(command)
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
    add_tf32(command)
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


def at_least_one(size: int) -> int:
    """A batch size that can be one."""
    if size < 1:
        raise ForetellError(f"--batch-size is {size}; give at least 1")
    return size


def run_score(arguments: argparse.Namespace) -> None:
    """Score one model and print a line a proxy."""
    inputs = read_inputs(arguments, [arguments.model], pick_device(arguments.device))
    if len(inputs.models) > 1:
        raise ForetellError(f"{arguments.model} is {len(inputs.models)} models; `rank` takes them")
    model = inputs.models[0]
    runs = score_many(
        partial(inputs.build, model),
        inputs.batches(model),
        names(arguments.proxies),
        seeds=inputs.seeds,
        **options(arguments, inputs),
        precision="tf32" if arguments.tf32 else "full",
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
    table = rank(
        {model: partial(inputs.build, model) for model in inputs.models},
        inputs.batches,
        proxies,
        by=arguments.by,
        seeds=inputs.seeds,
        **options(arguments, inputs),
        precision="tf32" if arguments.tf32 else "full",
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
