"""Refused runs leave nothing behind, for every command that writes and every wrong setting.

Each wrong command exits with code 2 and one line, and no file is created or changed. Then the right
command runs in the same folder.
"""

import hashlib
import math
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from foretell import ForetellError, search
from foretell.cli import main
from foretell.report import write_report
from foretell.runs.kept import keep
from foretell.scoring.settings import ScoreSettings
from foretell.searching.retrain import retrain
from foretell.spaces import Choices
from foretell.studies.run import run_study
from foretell.studies.searches import run_simulations
from foretell.tables import Table, write_table
from foretell.training.settings import TrainSettings

CELLS = ["333013", "111111", "222222", "123123"]
FRAME = pd.DataFrame({"val": [1.0, 2, 3, 4], "test": [2.0, 1, 4, 3], "took": [9.0, 8, 7, 6]}, CELLS)
NETS = """
from torch import nn
from foretell.spaces import Choices

def perceptron(inputs, outputs):
    def build(width):
        layers = nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs)
        return nn.Sequential(nn.Flatten(), *layers)
    return build

class Mapping(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(64, width)
    def forward(self, x):
        return {"a": 1}

class Foreign:
    name, choices = "foreign", (("0", "1"),) * 3
    def settings(self): return {}
    def is_valid(self, arch): return True
    def canonical(self, arch): return arch
    def format(self, arch): return "".join(map(str, arch))
    def parse(self, text): return tuple(map(int, text))
    def build(self, arch, seed): raise KeyError("width")

def fails(width): raise KeyError("width")
def returns_none(width): return None
def never(width): return False
def divides(width): return 1 / 0
def deeper(width): return {"depth": 3}

WIDTHS = {"width": [2, 4, 8, 16]}
good = Choices(perceptron(64, 10), WIDTHS)
of_tables = Choices(perceptron(30, 2), WIDTHS)
too_few = Choices(perceptron(64, 2), WIDTHS)
too_many = Choices(perceptron(64, 20), WIDTHS)
failing, none = Choices(fails, WIDTHS), Choices(returns_none, WIDTHS)
mapping = Choices(Mapping, WIDTHS)
empty = Choices(perceptron(64, 10), WIDTHS, valid=never)
invalid = Choices(perceptron(64, 10), WIDTHS, valid=divides)
twisted = Choices(perceptron(64, 10), WIDTHS, same=deeper)
single = Choices(perceptron(64, 10), {"width": [4]})
foreign = Foreign()
"""
TOLD = {
    "told": "name,value,seed\n111111,50,0\n111111,51,1\n333333,60,0",
    "unknown": "name,value\n111111,50\n911111,60",
    "twice": "name,value\n111111,50\n111111,60",
    "text": "name,value\n111111,good",
    "half": "name,value,seed\n111111,50,0.5",
    "fractions": "name,value\n111111,0.5\n333333,0.6",
    "huge": "name,value\n111111,500",
    "losses": "name,val_loss\n111111,50",
    "unnamed": "value\n50",
}
"""Results, of which the first can be told."""
SMALL = "--batch-size 8 --workers 1"
NB201 = "--space 'nb201?channels=2,cells=1'"
LONG = f"--run new/below/{'a' * 300}"
RIGHT = {
    "search": f"search {NB201} {SMALL} --proxies snip,synflow --pool 3 --trainings 1 --epochs 1 "
    "--train-batch-size 512",
    "study": f"study four.parquet {NB201} {SMALL} --proxies snip",
    "study search": "study search scored --by snip --strategies random --seeds 1 --trainings 2 "
    "--workers 1",
    "retrain": "retrain searched --epochs 1 --train-batch-size 512",
    "tell": "tell searched --results told.csv",
    "report": "report scored --out page",
    "data import": "data import table four.csv --space nb201 --key arch --choose val",
}
WRONG = {
    "search": [
        *(f"--space nets.py:{name}" for name in ("of_tables", "too_few", "too_many", "failing")),
        *(f"--space nets.py:{name}" for name in ("none", "mapping", "empty", "invalid", "twisted")),
        *(f"--space nets.py:{name}" for name in ("single", "foreign", "nowhere")),
        *("--data breast_cancer", "--data digitz", "--data 'random:3x8x8?images=-1'"),
        *("--batch-size 0", "--batch-size 100000", "--workers 0", "--workers 1000000"),
        *("--seed -1", "--seed 18446744073709551616", "--pool 0", "--pool 1000000"),
        *("--pool 3 --trainings 4", "--trainings 0", "--epochs 0", "--lr nan", "--lr 0"),
        *("--by fisher", "--proxies snap", "--by vote", "--loss ce", "--loss mse"),
        *("--loss own", "--loss bce_with_logits", "--batch-norm frozen --micro-batch 3 --loss own"),
        *("--searcher randon", "--searcher 'random?x=1'", "--searcher 'local?initial=1.5'"),
        *("--searcher 'predictor?hidden=0.5'", "--searcher 'aging_evolution?population=nan'"),
        *("--first-stage thirds", "--first-stage halving", "--device cuda:99", "--device tpu"),
        *("--first-stage econas --space nets.py:good", "--against params"),
        *(
            "--max-params 1",
            "--max-flops 1 --space nets.py:good",
            "--max-latency 0 --space nets.py:good",
            "--limit parms=3",
        ),
        *("--limit nowhere:x=5", "--limit ./four.parquet:val=1", "--limit params=nan"),
        *(
            "--augmentation shift --space nets.py:of_tables --data breast_cancer",
            "--precision fp16",
        ),
        *("--columns val_acc", "--columns rank", "--executor slurm", "--executor ray:localhost:1"),
        *("--config nowhere.toml", "--run nets.py", "--run nets.py/run", "--run .", LONG),
    ],
    "study": [
        *("--truth tst", "--truth took", "--columns spearmn", "--columns n", "--loss mse"),
        *("--loss own", "--proxies snap", "--proxies ''", "--reduced econa", "--reduced econas,x"),
        *("--space macro", "--space 'nb201?chanels=2'", "--data breast_cancer", "--data digitz"),
        *("--batch-size 0", "--batch-size 100000", "--workers 0", "--sample 2", "--repeats 0"),
        *("--seed 18446744073709551616", "--seed 9223372036854775807", "--device cuda:99"),
        *("--executor slurm", "--executor ray:localhost:1", "--run nets.py", "--run .", LONG),
    ],
    "study search": [
        *("--by fisher", "--by synflow", "--told tst", "--told took", "--report tst"),
        *(
            "--strategies nsga2?costs=3",
            "--strategies guided?scores=3",
            "--strategies random?seed=3",
        ),
        *("--columns 'after 7'", "--strategies randon", "--strategies 'random?moves=1'"),
        *("--strategies 'predictor?hidden=0.5'", "--strategies ''", "--seconds four:took"),
        *("--seconds ./four.parquet:val", "--seeds 0", "--trainings 0", "--workers 0"),
        *("--run nets.py", "--run scored", "--run .", LONG),
    ],
    "retrain": [
        *("--data breast_cancer", "--data digitz", "--space nets.py:good", "--space nowhere.py:x"),
        *("--space nb201", "--data random:", "--lr 1e308"),
        *("--epochs 0", "--lr nan", "--optimizer adam", "--precision fp16", "--precision half"),
        *("--seed 18446744073709551616", "--device cuda:99", "--patience 0", "--columns accuracy"),
    ],
    "tell": [
        *("--space nets.py:good", "--space nowhere.py:x", "--space nb201"),
        *(f"--results wrong.json --results {name}.csv" for name in TOLD if name != "told"),
        *("--results nowhere.csv", "--results nets.py", "--results four.parquet"),
    ],
    "report": [
        *("--truth tst", "--truth took", "--out nets.py", "--out nets.py/page"),
        *(f"--out new/below/{'a' * 300}", "--rows rows.csv", "--rows rows.jsonl"),
    ],
    "data import": [
        *("--key nowhere", "--choose tst", "--space nb299", "--report val", "--scale nan"),
        *("--repeats val=", "--repeats val=run", "--name ../x", f"--name {'a' * 300}"),
        "--name taken",
    ],
}
OTHERS = {
    "study": [
        f"study unread.parquet {SMALL} --proxies snip",
        f"study zoo.parquet {SMALL} --proxies snip --loss mse",
        f"study zoo.parquet {SMALL} --proxies snip --reduced econas",
        f"study code.parquet {SMALL} --proxies snip",
        "study four.csv",
        "study nowhere",
    ],
    "study search": ["study search searched", "study search nowhere"],
    "tell": ["tell scored --results told.csv", "tell nowhere --results told.csv", "tell searched"],
    "retrain": ["retrain scored", "retrain nowhere", "retrain stopped"],
    "report": [
        "report searched --out page --truth val",
        "report simulated --out page --truth val",
        "report nowhere",
        "report scored/run.json",
        *("report tables", "report nowhere --rows rows.jsonl", "report scored --rows a.csv"),
    ],
    "data import": ["data import nb201 four.csv --name taken", "data import nb201 four.csv"],
}
"""Wrong commands that are not an extension of the right one."""
RUNS = {job: ["--run", f"of a {job}"] for job in ("search", "study", "study search")}


def wrong_lines(job: str) -> list[str]:
    """The wrong commands of a job; if an option is given twice, the last one counts."""
    return [f"{RIGHT[job]} {words}" for words in WRONG[job]] + OTHERS.get(job, [])


def in_its_folder(job: str, line: str) -> list[str]:
    """The words of a command, with a run folder if it does not name one."""
    words = shlex.split(line)
    return words if "--run" in words else [*words, *RUNS.get(job, [])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder, with networks, tables, and a finished run of each kind."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "nets.py").write_text(NETS)
    FRAME.rename_axis("arch").to_csv(folder / "four.csv")
    for name, text in TOLD.items():
        (folder / f"{name}.csv").write_text(f"{text}\n")
    roles: dict[str, Any] = {"choosing": ("val",), "reporting": ("test",), "cost": ("took",)}
    for name, space, keys in (
        ("four", "nb201", CELLS),
        ("unread", "nb201", ["333013", "nope", "1", "2"]),
        ("zoo", "models", [f"nb201:{cell}" for cell in CELLS]),
        ("code", "models", [f"nets.py:{cell}" for cell in CELLS]),
        ("tables/taken", "nb201", CELLS),
    ):
        table = Table(Path(name).name, space, FRAME.set_axis(keys), **roles)
        write_table(table, folder / f"{name}.parquet")
    small: dict[str, Any] = {"batch_size": 8, "proxies": ["snip"]}
    short = TrainSettings(epochs=1, batch_size=512)
    tiny = "nb201?channels=2,cells=1"
    few = {"pool": 3, "trainings": 1, "training": short, "by": "snip"}
    search(tiny, run=folder / "searched", **few, **small)
    (folder / "searched" / ".lock").unlink()  # as in a folder that came from elsewhere
    run_study(Table("four", "nb201", FRAME, **roles), "digits", run=folder / "scored", space=tiny,
              **small)  # fmt: skip
    once: dict[str, Any] = {"by": "snip", "strategies": ["random"], "trainings": 2, "seeds": 1}
    run_simulations(folder / "scored", run=folder / "simulated", **once)
    (folder / "stopped").mkdir()
    keep(folder / "stopped", "run.json", (folder / "searched" / "run.json").read_bytes())
    return folder


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands in `folder`."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FORETELL_DATA", str(folder / "tables"))


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file in the folder, and every folder, except Python's caches."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes() if path.is_file() else b""
        ).hexdigest()
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(
    ("job", "line"), [(job, line) for job in RIGHT for line in wrong_lines(job)]
)
def test_a_wrong_command_leaves_nothing(
    job: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    assert main(in_its_folder(job, line)) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("foretell: ")
    assert errors.count("\n") == 1
    assert contents(folder) == before


def test_every_command_that_writes_is_tried() -> None:
    """A command writes if it has an option for a run folder, an output folder or a name."""
    from foretell.cli.app import COMMANDS
    from foretell.cli.commands.data import data

    every = {**COMMANDS, **{f"data {name}": one for name, one in data.commands.items()}}
    writing = {
        name
        for name, command in every.items()
        if {"run", "out", "replace"} & {parameter.name for parameter in command.params}
    }
    assert writing == set(RIGHT) == set(WRONG)


@pytest.mark.parametrize("job", RIGHT)
def test_the_right_command_runs_after_a_wrong_one(job: str, folder: Path) -> None:
    """The right command runs in the folder of the wrong one."""
    for line in (*wrong_lines(job)[:3], *wrong_lines(job)[-2:]):
        main(in_its_folder(job, line))
    assert main(in_its_folder(job, RIGHT[job])) == 0


def squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss that does not fit labels."""
    return (outputs - targets).square().mean()


def two_numbers(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Not a loss, since it has one value per sample."""
    return outputs.sum(1)


def closed() -> ThreadPoolExecutor:
    """An executor that no longer accepts tasks."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    return executor


NOT_COUNTS = [0, -1, 1.5, "3", True, None, 2**64]
WHERE: dict[str, list[Any]] = {
    "workers": [*NOT_COUNTS, 100_000],
    "seed": [2**64, -(2**64), 1.5, "0", None],
    "device": ["cuda:99", "tpu", "meta", "", None],
    "executor": ["ray", 3, closed],
}
HOW: dict[str, list[Any]] = {
    "batch_size": [*NOT_COUNTS, 100_000],
    "proxies": ["snap", [], ["snip", "snap"], {"snip": {"x": 1}}, 3, "vote"],
    "scoring": [
        "mse",
        None,
        ScoreSettings(loss="mse"),
        ScoreSettings(loss="own"),
        ScoreSettings(loss=squares),
        ScoreSettings(loss=two_numbers),
    ],
}
VALUES: dict[str, dict[str, list[Any]]] = {
    "search": {
        **WHERE,
        **HOW,
        "space": ["nb200", "nb201?channels=0", 3, None, object(), Choices, "nets.py:failing"],
        "data": ["digitz", "breast_cancer", 3, None],
        "by": ["fisher", "vote", None],
        "searcher": ["randon", "random?x=1", "local?initial=0", "predictor?hidden=0.5"],
        "pool": [*(value for value in NOT_COUNTS if value is not None), 10**9],
        "trainings": [*NOT_COUNTS, 4],
        "training": [
            None,
            {},
            TrainSettings(precision="fp16"),
            TrainSettings(augmentation="shift"),
        ],
        "first_stage": ["thirds", "halving", "econas", 3],
        "against": ["params", ["parms"], ["params"]],
        "limits": [{"params": "x"}, {"params": math.nan}, {"params": 0}, {"parms": 3}, {"x:y": 3}],
    },
    "study": {
        **WHERE,
        **HOW,
        "table": ["nowhere", "unread.parquet", "code.parquet"],
        "data": ["digitz", "breast_cancer", 3, None],
        "sample": [0, 2, 1.5, "all", True, 2**64],
        "repeats": NOT_COUNTS,
        "space": ["macro", "nb201?chanels=2", "nb200"],
        "reduced": [["econa"], ["econas", "x"], "econa", 3],
    },
    "study search": {
        "workers": WHERE["workers"],
        "scored": ["nowhere", "searched", "tables"],
        "by": ["fisher", None],
        "strategies": [["randon"], ["random?moves=1"], [], ["predictor?hidden=0.5"]],
        "told": [["tst"], ["took"]],
        "seconds": ["four:x", "nowhere:x"],
        "trainings": NOT_COUNTS,
        "seeds": NOT_COUNTS,
    },
    "retrain": {
        "seed": WHERE["seed"],
        "device": WHERE["device"],
        "data": ["digitz", "breast_cancer", 3],
        "run": ["nowhere", "scored", "stopped"],
        "space": ["nowhere.py:x", "nets.py:good"],
        "training": [None, {}, TrainSettings(precision="fp16")],
    },
    "report": {
        "run": ["nowhere", "stopped", "tables"],
        "out": ["nets.py", "nets.py/page", f"new/below/{'a' * 300}"],
        "truths": [["tst"], ["took"]],
    },
}


def called(job: str, name: str, value: Any) -> object:
    """Call the function of a job with one wrong argument."""
    short = TrainSettings(epochs=1, batch_size=512)
    small: dict[str, Any] = {"run": Path("made"), "batch_size": 8, "proxies": ["snip"]}
    tiny = "nb201?channels=2,cells=1"
    table = Table("four", "nb201", FRAME, choosing=("val",), cost=("took",))
    few: dict[str, Any] = {"by": "snip", "pool": 3, "trainings": 1, "training": short}
    if name == "training" and value == TrainSettings(augmentation="shift"):
        few |= {"space": load_space(), "data": "breast_cancer"}
    elif job == "search":
        few |= {"space": load_space() if value == "econas" else tiny}
    functions: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
        "search": (search, {**few, **small}),
        "study": (run_study, {"table": table, "data": "digits", "space": tiny, **small}),
        "study search": (
            run_simulations,
            {"scored": "scored", "run": Path("made"), "by": "snip", "strategies": ["random"]},
        ),
        "retrain": (retrain, {"run": "searched", "training": short}),
        "report": (write_report, {"run": "scored", "out": "made"}),
    }
    function, right = functions[job]
    return function(**{**right, name: value() if value is closed else value})


def load_space() -> Choices:
    """A space that differs from all registered ones."""
    return Choices(torch.nn.Linear, {"in_features": [30], "out_features": [2, 3]})


@pytest.mark.parametrize(
    ("job", "name", "value"),
    [
        pytest.param(job, name, value, id=f"{job}-{name}-{number}")
        for job, names in VALUES.items()
        for name, values in names.items()
        for number, value in enumerate(values)
    ],
)
def test_a_wrong_argument_leaves_nothing(job: str, name: str, value: Any, folder: Path) -> None:
    """The library also raises an error of one line and makes no folder."""
    before = contents(folder)
    with pytest.raises(ForetellError) as caught:
        called(job, name, value)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before
