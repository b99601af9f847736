"""Options that several commands share, each declared once.

A decorator may hand the command one value made of several options: `ScoreSettings` of those of
scoring, `TrainSettings` of those of training, the text of the data set of `--data`, `--root` and
`--download`. Modules that need torch are imported when a command runs, not for its help.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from foretell.cli.command import option
from foretell.cli.values import Names, Number, OneOf, Whole
from foretell.errors import ForetellError
from foretell.executors.processes import available_cores
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
    "repeat_options",
    "run_option",
    "scoring_options",
    "seed_option",
    "together",
    "training_options",
    "truth_option",
    "workers_option",
    "workers_options",
]

Function = TypeVar("Function", bound=Callable[..., Any])


MANY = Whole(1, 1_000_000)
"""How often something is done: what nobody could wait for is refused."""

PROCESSES = Whole(1, 1_024)


def together(*decorators: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """One decorator of several; help lists their options in this order."""

    def decorated(function: Function) -> Function:
        result: Function = reduce(lambda inner, one: one(inner), reversed(decorators), function)
        return result

    return decorated


def collected(name: str, make: Callable[..., Any], *taken: str) -> Callable[[Function], Function]:
    """A decorator that gives the command `name`, made of the options `taken`, in their place."""

    def decorated(function: Function) -> Function:
        @wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            made = make(**{one: given.pop(one) for one in taken})
            return function(*args, **given, **{name: made})

        return command  # type: ignore[return-value]

    return decorated


def data_options(default: str | None, about: str) -> Callable[[Function], Function]:
    """`data`: the data set as `foretell.load_data` takes it; None where the default is taken."""
    return together(
        option("--data", default=default, help=about),
        option("--root", metavar="DIR", help="The folder that holds torchvision's data sets."),
        option("--download", is_flag=True, help="Download the data set if it is not there yet."),
        collected("data", data_text, "data", "root", "download"),
    )


def data_text(data: str | None, root: str | None, download: bool) -> str | None:
    """The data set with what the other options say about it."""
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
    """What is said of the data, the minibatches and the weights."""

    data: str
    batch_size: int
    seed: int
    pretrained: bool
    device: str


def input_options(function: Function) -> Function:
    """`given`: what models are scored on, as a `Given`."""
    return together(
        data_options("digits", "The data set; `foretell list data` shows all forms."),
        batch_size_option(64),
        seed_option("The seed of weights and minibatches; the next numbers draw further ones."),
        option(
            "--pretrained",
            is_flag=True,
            help="Download trained weights instead of drawing untrained ones.",
        ),
        device_option,
        collected("given", Given, "data", "batch_size", "seed", "pretrained", "device"),
    )(function)


def repeat_options(function: Function) -> Function:
    """`batches` and `seeds`: how often to score."""
    return together(
        option("--batches", type=MANY, default=1, help="How many minibatches to score on."),
        option("--seeds", type=MANY, default=1, help="How many times to draw the weights."),
    )(function)


def scoring_options(precision: str = "--precision") -> Callable[[Function], Function]:
    """`scoring`: how networks are scored, as ScoreSettings.

    `precision` is the spelling of that option; beside a training's it has another.
    """
    section = "Scoring"
    return together(
        option(
            "--loss",
            section=section,
            default="cross_entropy",
            show_default="that of the data: cross_entropy, or token_cross_entropy for text",
            help="The loss to differentiate; `foretell list losses` shows them all.",
        ),
        option(
            "--layers",
            section=section,
            type=OneOf(["all", "conv2d_linear"]),
            default="all",
            help="Which weights count: all, or those of 2-d convolutions and linear layers alone, "
            "as in the code of arXiv:2101.08134.",
        ),
        option(
            "--batch-norm",
            section=section,
            type=OneOf(["batch", "frozen"]),
            default="batch",
            help="Which statistics batch normalisation uses: those of the minibatch, or the "
            "frozen running ones.",
        ),
        option(
            "--micro-batch",
            section=section,
            type=Whole(1),
            metavar="N",
            help="Run N samples at a time to save memory. Refused where it would change a score.",
        ),
        option(
            precision,
            "score_precision",
            section=section,
            type=OneOf(["full", "tf32"]),
            default="full",
            help="How a GPU multiplies when it scores: in full float32, or faster with the 10 "
            "bits of TF32.",
        ),
        option("--tf32", "score_precision", flag_value="tf32", hidden=True),
        option(
            "--no-shortcuts",
            section=section,
            is_flag=True,
            help="Do without the shortcuts that give the same scores sooner, to check a doubtful "
            "score.",
        ),
        collected(
            "scoring",
            score_settings,
            *("loss", "layers", "batch_norm", "micro_batch", "score_precision", "no_shortcuts"),
        ),
    )


def score_settings(score_precision: Any, no_shortcuts: bool, **choices: Any) -> "ScoreSettings":
    """The options of scoring as ScoreSettings."""
    from foretell.scoring.settings import ScoreSettings

    return ScoreSettings(precision=score_precision, faster=not no_shortcuts, **choices)


def training_options(usual: TrainSettings) -> Callable[[Function], Function]:
    """`training`: how networks are trained, as TrainSettings, with the defaults `usual`."""
    return together(
        of_training("epochs", usual, MANY, "How many epochs a training has."),
        of_training(
            "lr", usual, Number(), "The learning rate at the start; a cosine takes it to zero."
        ),
        option(
            "--train-batch-size",
            section="Training",
            type=Whole(1),
            default=usual.batch_size,
            help="How many samples a step of the training takes at the most.",
        ),
        of_training("optimizer", usual, OneOf(get_args(Optimizer)), "The optimizer."),
        of_training(
            "augmentation",
            usual,
            OneOf(get_args(Augmentation)),
            "What is done to training images: nothing, or a shift by up to one pixel.",
        ),
        of_training(
            "precision",
            usual,
            OneOf(get_args(Precision)),
            "The arithmetic of the training. tf32 and fp16 need a GPU.",
        ),
        of_training("weight_decay", usual, Number(0), "The decay of all weights."),
        of_training(
            "patience",
            usual,
            Whole(1),
            "Stop after so many epochs in a row without a better validation accuracy.",
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
    """The option of one setting of a training."""
    spelling = f"--{name.replace('_', '-')}"
    default = getattr(usual, name)
    return option(spelling, section="Training", type=kind, default=default, help=about)


def train_settings(train_batch_size: int, **choices: Any) -> TrainSettings:
    """The options of training as TrainSettings."""
    return TrainSettings(batch_size=train_batch_size, **choices)


@dataclass(frozen=True)
class Form:
    """How a table is printed."""

    kind: Literal["text", "json", "csv"] = "text"
    columns: tuple[str, ...] = ()
    """Those to print, in this order; all, if there are none."""


def form_options(function: Function) -> Function:
    """`form`: how tables are printed, as a `Form`."""
    return together(
        option("--json", "kind", section="Output", flag_value="json", help="Print JSON."),
        option("--csv", "kind", section="Output", flag_value="csv", help="Print CSV."),
        option(
            "--columns",
            section="Output",
            type=Names(),
            default="",
            show_default="as many as the terminal has room for, all in JSON and CSV",
            metavar="NAMES",
            help="Print these columns, with commas between, in this order.",
        ),
        collected("form", form_of, "kind", "columns"),
    )(function)


def form_of(kind: Any, columns: tuple[str, ...]) -> Form:
    """The options of output as a Form."""
    return Form(kind or "text", columns)


def device_option(function: Function) -> Function:
    """`device`: its name; `foretell.cli.device.pick_device` finds it."""
    about = "Where to compute: auto, which is the GPU if there is one, cpu, cuda, cuda:1, ..."
    return option("--device", default="auto", help=about)(function)


def proxies_option(usual: str) -> Callable[[Function], Function]:
    """`proxies`: their names, or None for the usual ones, which `usual` describes."""
    about = "The proxies to compute, with commas between; `foretell list proxies` shows them all."
    return option("--proxies", type=Names(), metavar="NAMES", show_default=usual, help=about)


def batch_size_option(default: int) -> Callable[[Function], Function]:
    """`batch_size`."""
    about = "How many samples the minibatch has that networks are scored on."
    return option("--batch-size", type=Whole(1), default=default, help=about)


def seed_option(about: str) -> Callable[[Function], Function]:
    """`seed`."""
    return option("--seed", type=Whole(0), default=0, help=about)


def run_option(default: str) -> Callable[[Function], Function]:
    """`run`: the run folder."""
    about = "The run folder, which keeps every result; the same command continues from it."
    return option("--run", default=default, metavar="DIR", help=about)


def workers_option(function: Function) -> Function:
    """`workers`: how many processes compute."""
    return option(
        "--workers",
        type=PROCESSES,
        default=available_cores(),
        show_default="one for each core",
        help="How many processes compute, each on one thread.",
    )(function)


def workers_options(function: Function) -> Function:
    """`workers` and `executor`: what computes."""
    return together(
        workers_option,
        option(
            "--executor",
            default="processes",
            metavar="WHERE",
            help="What computes: processes of this machine, or a Ray cluster as ray or "
            "ray:ADDRESS, with HOST:PORT, auto or ray://HOST:PORT for the address.",
        ),
    )(function)


def truth_option(function: Function) -> Function:
    """`truth`: columns of a table."""
    return option(
        "--truth",
        type=Names(),
        default="",
        show_default="the first few to report",
        metavar="COLUMNS",
        help="The columns of the table that scores are held against, with commas between.",
    )(function)
