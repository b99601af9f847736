"""Options that several commands share, each declared once.

A decorator may combine several options into one value: those of scoring into `ScoreSettings`, those
of training into `TrainSettings`, and `--data`, `--root` and `--download` into the name of a data
set. Modules that import torch are imported when a command runs, not when its help is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from foretell.cli.command import option
from foretell.cli.values import Names, Number, OneOf, Whole
from foretell.errors import ForetellError
from foretell.executors.processes import MOST_WORKERS, available_cores
from foretell.training.settings import Augmentation, Optimizer, Precision, TrainSettings

if TYPE_CHECKING:
    from foretell.scoring.settings import ScoreSettings

__all__ = [
    "MANY",
    "Form",
    "Given",
    "batch_size_option",
    "data_options",
    "device_option",
    "form_options",
    "input_options",
    "proxies_option",
    "reduced_network_option",
    "repeat_options",
    "run_option",
    "scoring_options",
    "seed_option",
    "subject_options",
    "together",
    "training_options",
    "truth_option",
    "workers_option",
    "workers_options",
]

Function = TypeVar("Function", bound=Callable[..., Any])


MANY = Whole(1, 1_000_000)
"""The type of counts; numbers that no computation could finish are refused."""

PROCESSES = Whole(1, MOST_WORKERS)


def together(*decorators: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """One decorator that applies several; the help lists their options in this order."""

    def decorated(function: Function) -> Function:
        result: Function = reduce(lambda inner, one: one(inner), reversed(decorators), function)
        return result

    return decorated


def collected(name: str, make: Callable[..., Any], *taken: str) -> Callable[[Function], Function]:
    """A decorator that replaces the options `taken` by one argument `name` made from them."""

    def decorated(function: Function) -> Function:
        @wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            made = make(**{one: given.pop(one) for one in taken})
            return function(*args, **given, **{name: made})

        return command  # type: ignore[return-value]

    return decorated


def data_options(default: str | None, about: str) -> Callable[[Function], Function]:
    """`data`: the data set as a name for `foretell.load_data`; None if the default is None."""
    return together(
        option("--data", default=default, help=about),
        option("--root", metavar="DIR", help="The folder with the data sets of torchvision."),
        option("--download", is_flag=True, help="Download the data set if it does not exist yet."),
        collected("data", data_text, "data", "root", "download"),
    )


def data_text(data: str | None, root: str | None, download: bool) -> str | None:
    """The name of the data set with the other options as settings."""
    from foretell.data import with_settings

    wanted: dict[str, Any] = {"root": root, "download": download or None}
    for name, value in wanted.items():
        if data is not None and value is not None:
            before, data = data, with_settings(data, **{name: value})
            if data == before:
                raise ForetellError(f"--{name} has no effect on the data {data}; leave it out")
    return data


@dataclass(frozen=True)
class Given:
    """The options for data, minibatches and weights."""

    data: str
    batch_size: int
    seed: int
    pretrained: bool
    device: str


def input_options(function: Function) -> Function:
    """`given`: the options for data, minibatches and weights, as a `Given`."""
    return together(
        data_options("digits", "The data set; `foretell list data` shows all forms."),
        batch_size_option(64),
        seed_option("The first seed of weights and minibatches; further seeds count up from it."),
        option(
            "--pretrained",
            is_flag=True,
            help="Download trained weights instead of drawing random ones.",
        ),
        device_option,
        collected("given", Given, "data", "batch_size", "seed", "pretrained", "device"),
    )(function)


def repeat_options(function: Function) -> Function:
    """`batches` and `seeds`: how often to score."""
    return together(
        option("--batches", type=MANY, default=1, help="The number of minibatches to score on."),
        option(
            "--seeds", type=MANY, default=1, help="The number of initialisations of the weights."
        ),
    )(function)


def subject_options(usual: str) -> Callable[[Function], Function]:
    """All options of a command that scores models: what is scored, how, and how it is printed.

    `usual` describes the default proxies.
    """
    return together(
        input_options, repeat_options, proxies_option(usual), scoring_options(), form_options
    )


def scoring_options(precision: str = "--precision") -> Callable[[Function], Function]:
    """`scoring`: the settings of scoring, as ScoreSettings.

    `precision` is the name of that option; it differs in commands that also train.
    """
    section = "Scoring"
    return together(
        option(
            "--loss",
            section=section,
            default="cross_entropy",
            show_default="that of the data: cross_entropy, or token_cross_entropy for text",
            help="The loss to differentiate; `foretell list losses` shows all.",
        ),
        option(
            "--layers",
            section=section,
            type=OneOf(["all", "conv2d_linear"]),
            default="all",
            help="The weights that count: all, or only those of two-dimensional convolutions and "
            "linear layers, as in the code of arXiv:2101.08134.",
        ),
        option(
            "--batch-norm",
            section=section,
            type=OneOf(["batch", "frozen"]),
            default="batch",
            help="The statistics that batch normalisation uses: those of the minibatch, or the "
            "frozen running statistics.",
        ),
        option(
            "--micro-batch",
            section=section,
            type=Whole(1),
            metavar="N",
            help="Run N samples at a time to save memory; refused if it would change a score.",
        ),
        option(
            precision,
            "score_precision",
            section=section,
            type=OneOf(["full", "tf32"]),
            default="full",
            help="The precision of multiplications on a GPU: full float32, or TF32, which is "
            "faster and has a mantissa of 10 bits.",
        ),
        option("--tf32", "score_precision", flag_value="tf32", hidden=True),
        option(
            "--no-shortcuts",
            section=section,
            is_flag=True,
            help="Turn off all optimisations, to check a doubtful score.",
        ),
        collected(
            "scoring",
            score_settings,
            *("loss", "layers", "batch_norm", "micro_batch", "score_precision", "no_shortcuts"),
        ),
    )


def score_settings(score_precision: Any, no_shortcuts: bool, **choices: Any) -> "ScoreSettings":
    """The options for scoring as ScoreSettings."""
    from foretell.scoring.settings import ScoreSettings

    return ScoreSettings(precision=score_precision, faster=not no_shortcuts, **choices)


def training_options(usual: TrainSettings) -> Callable[[Function], Function]:
    """`training`: the settings of training, as TrainSettings, with the defaults `usual`."""
    return together(
        of_training("epochs", usual, MANY, "The number of epochs."),
        of_training(
            "lr", usual, Number(), "The initial learning rate, which decays to zero along a cosine."
        ),
        option(
            "--train-batch-size",
            section="Training",
            type=Whole(1),
            default=usual.batch_size,
            help="The largest number of samples per training step.",
        ),
        of_training("optimizer", usual, OneOf(get_args(Optimizer)), "The optimizer."),
        of_training(
            "augmentation",
            usual,
            OneOf(get_args(Augmentation)),
            "The augmentation of training images: none, or a shift by up to one pixel.",
        ),
        of_training(
            "precision",
            usual,
            OneOf(get_args(Precision)),
            "The precision of the training. tf32 and fp16 require a GPU.",
        ),
        of_training("weight_decay", usual, Number(0), "The weight decay of all parameters."),
        of_training(
            "patience",
            usual,
            Whole(1),
            "Stop after this many epochs in a row without a better validation accuracy.",
        ),
        collected(
            "training",
            train_settings,
            *("epochs", "lr", "train_batch_size", "optimizer", "augmentation", "precision"),
            *("weight_decay", "patience"),
        ),
    )


def of_training(
    name: str, usual: TrainSettings, kind: Any, about: str
) -> Callable[[Function], Function]:
    """The option for one setting of training."""
    spelling = f"--{name.replace('_', '-')}"
    default = getattr(usual, name)
    return option(spelling, section="Training", type=kind, default=default, help=about)


def train_settings(train_batch_size: int, **choices: Any) -> TrainSettings:
    """The options for training as TrainSettings."""
    return TrainSettings(batch_size=train_batch_size, **choices)


@dataclass(frozen=True)
class Form:
    """The format in which a table is printed."""

    kind: Literal["text", "json", "csv"] = "text"
    columns: tuple[str, ...] = ()
    """The columns to print, in this order; empty for all."""


def form_options(function: Function) -> Function:
    """`form`: how tables are printed, as a `Form`."""
    return together(
        option("--json", section="Output", is_flag=True, help="Print JSON."),
        option("--csv", section="Output", is_flag=True, help="Print CSV."),
        option(
            "--columns",
            section="Output",
            type=Names(),
            default="",
            show_default="as many as fit the terminal, all in JSON and CSV",
            metavar="NAMES",
            help="Print these columns, separated by commas, in this order.",
        ),
        collected("form", form_of, "json", "csv", "columns"),
    )(function)


def form_of(json: bool, csv: bool, columns: tuple[str, ...]) -> Form:
    """The options for output as a Form. Raises ForetellError for two kinds at once."""
    if json and csv:
        raise ForetellError("--json and --csv are both given; give one of them")
    return Form("json" if json else "csv" if csv else "text", columns)


def device_option(function: Function) -> Function:
    """`device`: its name; `foretell.engine.device.pick_device` finds it."""
    about = "The device to compute on: auto (the GPU if there is one), cpu, cuda, cuda:1, ..."
    return option("--device", default="auto", help=about)(function)


def proxies_option(usual: str) -> Callable[[Function], Function]:
    """`proxies`: their names, or None for the default, which `usual` describes."""
    about = (
        "The proxies to compute, separated by commas: names from `foretell list proxies`, all, or "
        "your own, FILE.py:NAME."
    )
    return option("--proxies", type=Names(), metavar="NAMES", show_default=usual, help=about)


def reduced_network_option(function: Function) -> Function:
    """`reduced_network`: whether the reduced form of a space is scored."""
    return option(
        "--reduced-network",
        section="Scoring",
        is_flag=True,
        help="Score the networks of a space in its reduced form, with fewer cells, layers or "
        "channels, which is cheaper. Sizes such as params and flops are those of the full network.",
    )(function)


def batch_size_option(default: int) -> Callable[[Function], Function]:
    """`batch_size`: the number of samples in a minibatch."""
    about = "The number of samples in the minibatch that networks are scored on."
    return option("--batch-size", type=Whole(1), default=default, help=about)


def seed_option(about: str) -> Callable[[Function], Function]:
    """`seed`: a seed, which `about` describes."""
    return option("--seed", type=Whole(0), default=0, help=about)


def run_option(default: str) -> Callable[[Function], Function]:
    """`run`: the run folder."""
    about = "The run folder, which keeps every result, so that the same command can resume."
    return option("--run", default=default, metavar="DIR", help=about)


def workers_option(function: Function) -> Function:
    """`workers`: the number of processes."""
    return option(
        "--workers",
        type=PROCESSES,
        default=available_cores(),
        show_default="one per core",
        help="The number of processes, each with one thread.",
    )(function)


def workers_options(function: Function) -> Function:
    """`workers` and `executor`: where tasks run."""
    return together(
        workers_option,
        option(
            "--executor",
            default="processes",
            metavar="WHERE",
            help="Where to compute: `processes` of this machine, or a Ray cluster, given as ray, "
            "ray:auto, ray:HOST:PORT or ray://HOST:PORT.",
        ),
    )(function)


def truth_option(function: Function) -> Function:
    """`truth`: the truth columns of a table."""
    return option(
        "--truth",
        type=Names(),
        default="",
        show_default="the first reporting columns",
        metavar="COLUMNS",
        help="The columns of the table that scores are compared with, separated by commas.",
    )(function)
