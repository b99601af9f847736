"""`foretell data`: list, import and check the tables of benchmarks."""

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console

from foretell.cli.common import Commands
from foretell.cli.show import show
from foretell.errors import ForetellError
from foretell.tables import (
    IMPORTERS,
    OWN,
    Columns,
    Labels,
    Table,
    check_table,
    data_folder,
    import_columns,
    import_table,
    read_about,
    read_table,
    relabelled,
    stored,
    summary,
    table_path,
    write_table,
)

__all__ = ["add_data_command"]

MAPPING = ("space", "key", "choose", "report", "cost", "keep", "lower", "repeats", "scale")


def add_data_command(commands: Commands) -> None:
    """`foretell data`."""
    data = commands.add_parser(
        "data",
        help="tables of benchmarks: list, import, check",
        description="Accuracies of benchmarks as tables, in one format and one folder: "
        "FORETELL_DATA, or the platform's folder for user data.",
    )
    actions = data.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the tables that are there, a line each")
    _add_form(listing)
    listing.set_defaults(command=run_list)
    _add_import(actions)
    checking = actions.add_parser("check", help="check a table, and say what is in it")
    checking.add_argument("name", help="of an imported table, or the path of one")
    _add_form(checking)
    checking.set_defaults(command=run_check)


def _add_import(actions: Commands) -> None:
    command = actions.add_parser(
        "import",
        help="make a table of what a benchmark's authors hand out, or of your own",
        description="Make a table of a file.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=sources_text(),
    )
    command.add_argument("source", metavar="SOURCE", help="one of those below")
    command.add_argument("file", metavar="FILE", help="file or folder of that source")
    command.add_argument("--name", help="of the table; by default as the source says")
    command.add_argument("--replace", action="store_true", help="a table of the same name")
    command.add_argument("--source", dest="origin", metavar="TEXT", help="whose values these are")
    command.add_argument("--licence", metavar="TEXT", help="under which they may be used")
    own = command.add_argument_group(f"only for source {OWN!r} (lists have commas between)")
    own.add_argument("--space", help="space of the keys, or models for names such as timm:resnet18")
    own.add_argument("--key", metavar="COLUMN", help="text of the architecture")
    own.add_argument("--choose", metavar="COLUMNS", help="to choose by: validation")
    own.add_argument("--report", metavar="COLUMNS", help="to report: test")
    own.add_argument("--cost", metavar="COLUMNS", help="seconds, parameters and the like")
    own.add_argument("--keep", metavar="COLUMNS", help="to come along without a role")
    own.add_argument("--lower", metavar="COLUMNS", help="to choose or report by, less is better")
    own.add_argument(
        "--repeats",
        metavar="COLUMN=COLUMNS",
        action="append",
        help="single runs that a column is the mean of; may be given again",
    )
    own.add_argument("--scale", type=float, help="multiplies accuracies: 100 for fractions")
    command.set_defaults(command=run_import)


def _add_form(command: argparse.ArgumentParser) -> None:
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


def sources_text() -> str:
    """Every source with what it takes."""
    lines = [f"  {OWN:20}any .csv or .parquet, its columns named by the options above"]
    for name, importer in IMPORTERS.items():
        lines.append(f"  {name:20}{importer.summary}\n{'':22}takes {importer.takes}")
    example = (
        "examples:\n  foretell data import nb201 nb201_accuracy.parquet\n"
        "  foretell data import table mine.csv --space nb201 --key arch_str --choose val_acc "
        "--report test_acc --cost seconds"
    )
    return "sources:\n" + "\n".join(lines) + "\n\n" + example


def run_list(arguments: argparse.Namespace) -> None:
    """Print the tables of the folder; tell of files in it that are none."""
    rows = []
    for name, path in stored().items():
        try:
            said = read_about(path)
        except ForetellError as error:
            print(f"foretell: {error}", file=sys.stderr)
            continue
        rows.append(
            {
                "name": name,
                "space": said["space"],
                "rows": said["rows"],
                "choose by": ", ".join(said["choosing"]),
                "report": ", ".join(said["reporting"]),
                "licence": said["licence"],
                "source": said["source"],
            }
        )
    columns = ["name", "space", "rows", "choose by", "report", "licence", "source"]
    if not rows and arguments.form == "text":
        print(f"no tables in {data_folder()}; `foretell data import --help` says what can be read")
        return
    frame = pd.DataFrame(rows, columns=columns).set_index("name")
    show(frame, arguments.form, _console(), f"Tables in {data_folder()}", folder=str(data_folder()))


def run_import(arguments: argparse.Namespace) -> None:
    """Make a table of the file and put it into the folder."""
    table = _imported(arguments)
    path = table_path(table.name)
    if path.exists() and not arguments.replace:
        raise ForetellError(
            f"there is a table {table.name!r} already; give --replace, or another --name"
        )
    write_table(table, path)
    roles = ", ".join(
        f"{len(columns)} {what}"
        for what, columns in (
            ("to choose by", table.choosing),
            ("to report", table.reporting),
            ("of cost", table.cost),
        )
        if columns
    )
    print(f"table {table.name}: {len(table.frame):,} rows, columns: {roles}\n{path}")


def _imported(arguments: argparse.Namespace) -> Table:
    """The table that the command asks for, under the name it asks for."""
    given = [name for name in MAPPING if getattr(arguments, name) is not None]
    if arguments.name is not None:
        table_path(arguments.name)  # a bad name is told before an hour of reading
    if arguments.source == OWN:
        table = import_columns(arguments.file, _columns(arguments), _labels(arguments))
    elif given:
        raise ForetellError(
            f"--{given[0]} is for the source {OWN!r}; what the columns of {arguments.source} are "
            f"for is known"
        )
    else:
        table = import_table(arguments.source, arguments.file)
    return relabelled(
        table, name=arguments.name, source=arguments.origin, licence=arguments.licence
    )


def _columns(arguments: argparse.Namespace) -> Columns:
    for name in ("space", "key"):
        if getattr(arguments, name) is None:
            raise ForetellError(
                f"`import {OWN}` needs --{name}; give "
                f"{'the key column' if name == 'key' else 'the space that the keys are of'}"
            )
    repeats = {}
    for text in arguments.repeats or []:
        column, equals, runs = text.partition("=")
        if not equals or not _names(runs):
            raise ForetellError(f"--repeats {text!r} names no runs; write COLUMN=RUN,RUN")
        repeats[column] = _names(runs)
    return Columns(
        key=arguments.key,
        choose=_names(arguments.choose),
        report=_names(arguments.report),
        cost=_names(arguments.cost),
        repeats=repeats,
        lower=_names(arguments.lower),
        keep=_names(arguments.keep),
        scale=1.0 if arguments.scale is None else arguments.scale,
    )


def _labels(arguments: argparse.Namespace) -> Labels:
    return Labels(arguments.name or Path(arguments.file).stem, arguments.space)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def run_check(arguments: argparse.Namespace) -> None:
    """Check a table and print what is in it."""
    table = read_table(arguments.name)
    findings = check_table(table)
    about = {
        "space": table.space,
        "architectures": len(table.frame),
        "source": table.source or "not stated",
        "licence": table.licence,
        "checksum": table.checksum,
    }
    found = {"findings": [{"good": finding.good, "text": finding.text} for finding in findings]}
    columns = summary(table)
    if arguments.form == "text":
        columns["arch"] = [_short(arch) for arch in columns["arch"]]
    show(columns, arguments.form, _console(), f"Table {table.name}", **about, **found)
    if arguments.form == "text":
        print("\n".join(f"{what}: {value}" for what, value in about.items()))
        print("\n".join(f"{'ok' if one.good else 'note'}: {one.text}" for one in findings))


def _short(arch: object) -> str:
    """A recipe of recurrent cells can have thousands of characters."""
    text = arch if isinstance(arch, str) else ""
    return text if len(text) <= 100 else text[:99] + "…"


def _console() -> Console:
    """As wide as the terminal, and as wide as needed where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=240)
