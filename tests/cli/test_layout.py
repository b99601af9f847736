"""A law of all printed tables: they fit the terminal, names come first, numbers are not cut."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

from foretell.cli import main
from foretell.cli.catalogue import CATALOGUES, catalogue
from foretell.cli.commands.search import print_outcome
from foretell.cli.commands.study import in_words
from foretell.cli.commands.study_search import gained_in_words
from foretell.cli.layout import Column, fitted
from foretell.cli.options import Form
from foretell.cli.show import cell, show
from foretell.proxies import PROXIES
from foretell.scoring.explain import explain
from foretell.searching.measure import Measure
from foretell.searching.outcome import Outcome
from foretell.spaces import make_space
from foretell.studies.curves import after
from foretell.studies.table import study_table
from foretell.tables import Table, write_table

WIDTHS = [60, 80, 100, 120, 200]
RNG = np.random.default_rng(0)
CELLS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|none~2|",
    "nb201:333333",
    "timm:mobilenetv3_large_100.ra_in1k?image_size=64",
]


def scores(count: int) -> pd.DataFrame:
    """Scores of all magnitudes, some undefined."""
    size = 10.0 ** RNG.integers(-6, 12, (count, len(PROXIES)))
    frame = pd.DataFrame(size * RNG.normal(size=size.shape), columns=list(PROXIES))
    frame["params"] = 11_181_642.0
    frame.iloc[-1, 2] = np.nan
    return frame


def ranked() -> pd.DataFrame:
    about = {"rank": [1, 2, 3], "wins": [2, 1, 0], "seconds": [0.1, 2.25, 31.0]}
    why = ["", "", "jacob_cov: the gradient of the output with respect to a sample is constant"]
    return scores(3).assign(**about, why=why, model=CELLS).set_index("model")


def trained() -> pd.DataFrame:
    about = {"val_accuracy": [97.25, 9.5, 10.0], "test_accuracy": [96.9, None, None]}
    frame = scores(3).assign(**about, seconds=12.5, why="", arm=["scored"] * 2 + ["unscored"])
    return frame.assign(arch=CELLS).set_index(["arm", "arch"])


def judged() -> pd.DataFrame:
    frame = pd.DataFrame(RNG.normal(size=(150, 4)), columns=["snip", "synflow", "params", "flops"])
    return in_words(study_table(frame, frame["snip"] + 70).assign(published=0.5))


def gained() -> pd.DataFrame:
    row = {"strategy": "aging_evolution?warmup=3000", "at": 100, "target": 93.512, "helped": 12.0}
    return gained_in_words(
        pd.DataFrame([{**row, "speedup": 8.3, "speedup_low": 6.1, "speedup_high": 12.4}])
    )


def found() -> pd.DataFrame:
    curves = {name: pd.DataFrame(RNG.normal(90, 2, (5, 300))) for name in ("random", "local?w=3")}
    for curve in curves.values():
        curve.columns = pd.Index(range(1, 301))
    return after(curves)


TABLES: dict[str, Callable[[], tuple[pd.DataFrame, list[str]]]] = {
    "rank": lambda: (ranked(), ["rank", "wins", "why", "params", "flops"]),
    "search": lambda: (trained(), ["val_accuracy", "test_accuracy", "synflow", "why"]),
    "study": lambda: (judged(), []),
    "study search": lambda: (found(), []),
    "speed-ups": lambda: (gained(), []),
    "explain": lambda: (explain(list(PROXIES)).table(), []),
    **{
        f"list {kind}": lambda kind=kind: (catalogue(kind), ["what", "source"])  # type: ignore[misc]
        for kind in CATALOGUES
    },
}


def printed(width: int, write: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that a function prints as its answer at a width."""
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    with click.Context(click.Command("test"), obj=out):
        write()
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_it_fits_names_first_numbers_whole(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, first = TABLES[name]()
    lines = printed(width, lambda: show(table, Form(), "Title", first), monkeypatch)
    assert max(map(cell_len, lines)) <= width
    rule = next(line for line in lines if line.startswith("─"))
    names = [str(one).replace("_", " ") for one in table.index.names]
    heading = lines[lines.index(rule) - 1]
    assert heading.startswith(names[0].split()[-1])
    longest = max(len(text) for text in map(str, table.index.get_level_values(0)))
    assert len(rule.split()[0]) >= min(12, max(longest, len(names[0])))
    text = "\n".join(lines)
    left_out = " ".join(lines).partition("Not shown: ")[2]
    for column in table.columns:
        whole = Column(str(column), tuple(map(cell, table[column])))
        if whole.number and str(column) not in re.split(r"[,;] ", left_out):
            assert all(value in text for value in whole.cells), column
    assert not left_out or "--columns" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_search_prints_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = trained()
    outcome = Outcome(
        table=table,
        chosen=None,  # type: ignore[arg-type]
        front=table.iloc[:2],
        scoring_seconds=1.0,
        short={arch: arch[:30] for arch in CELLS},
        folder=Path("run"),
        by="synflow",
        chance=10.0,
        measure=Measure(own=False, lower_is_better=False),
        notice="",
    )
    lines = printed(
        width, lambda: print_outcome(outcome, "nb201", "digits", (), Form()), monkeypatch
    )
    assert max(map(cell_len, lines)) <= max(width, *map(len, CELLS))  # a name is never cut
    assert {"val", "accuracy"} <= set(" ".join(lines).split())


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize(
    "command",
    [
        "score nb201:333333?channels=2,cells=1 --batch-size 4",
        "rank nb201:333333?channels=2,cells=1 nb201:000000?channels=2,cells=1 --batch-size 4",
        "explain nb201:333333?channels=2,cells=1 --batch-size 4",
        "list",
        "data list",
        "data check some-benchmark",
    ],
)
def test_commands_keep_to_the_width(
    command: str,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path))
    frame = pd.DataFrame({"val": [1.0, 2.0], "test": [1.0, 2.0]}, index=["333333", "222222"])
    benchmark = Table("some-benchmark", "nb201", frame, choosing=("val",), reporting=("test",))
    write_table(benchmark, tmp_path / "some-benchmark.parquet")
    assert main(command.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("─") for line in lines) >= 1
    table = [line for line in lines if "/" not in line and ": " not in line]
    assert max(map(cell_len, table)) <= width


def test_without_a_terminal_nothing_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    space = make_space("nb201")
    model = f"nb201:{space.format((1, 2, 3, 4, 0, 1))}?channels=2,cells=1"
    assert main(["rank", model, "--batch-size", "4"]) == 0
    out = capsys.readouterr().out
    assert model in out
    assert "No room" not in out
    assert all(name.replace("_", " ") in out for name in ("jacob_cov", "flops", "seconds"))


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_columns_are_chosen(form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "proxies", "--columns", "source,better", *form]) == 0
    out = capsys.readouterr().out
    assert "arXiv:1810.02340" in out
    assert "higher" in out
    assert "|w ·" not in out
    assert out.index("source") < out.index("better")
    assert main(["list", "proxies", "--columns", "sauce", *form]) == 2
    assert "no column is called 'sauce'; did you mean 'source'?" in capsys.readouterr().err


def test_a_column_is_left_out_before_a_number_is_cut() -> None:
    """At every width, there are names, and as many whole columns as fit, in their order."""
    names = Column("model", ("a" * 40, "b"), is_name=True)
    numbers = [Column(name, (f"{10**size:,}", "–")) for size, name in enumerate("abcdefgh", 5)]
    for width in range(12, 160):
        widths = fitted([names, *numbers], width)
        shown = list(widths)
        assert shown == ["model", *"abcdefgh"][: len(shown)]
        assert widths["model"] >= 12
        assert sum(widths.values()) + 2 * (len(widths) - 1) <= width
        assert all(widths[one.name] >= len(one.cells[0]) for one in numbers if one.name in widths)
