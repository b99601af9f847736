"""`foretell data`: download, import, list and check the tables of benchmarks."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from foretell.checks import as_path
from foretell.cli.command import Commands, option
from foretell.cli.options import Form, form_options
from foretell.cli.output import note, say
from foretell.cli.values import Names, Number, quoted
from foretell.errors import ForetellError
from foretell.names import extra

if TYPE_CHECKING:
    from foretell.tables import Columns, Table

Function = TypeVar("Function", bound=Callable[..., Any])
OWN = "table"
OWN_OPTIONS = ("space", "key", "choose", "report", "cost", "keep", "lower", "repeats", "scale")


@click.group(
    cls=Commands,
    epilog="""Examples:
foretell data fetch nb101
foretell data import nb201 nb201_accuracy.parquet
foretell data list""",
)
def data() -> None:
    """Download, import, list and check tables of benchmarks.

    A table contains the accuracies of the networks of a benchmark. All tables have the same format.
    A few small ones are included in foretell; imported ones are stored in one folder: that of the
    environment variable FORETELL_DATA, or else the platform's folder for user data.
    """


@data.command("list")
@form_options
def list_(form: Form) -> None:
    """List the tables that are included in foretell or have been imported."""
    import pandas as pd

    from foretell.cli.show import require_columns, show
    from foretell.tables import data_folder, read_about, stored

    columns = ["name", "space", "rows", "choose by", "report", "licence", "source"]
    require_columns(form, columns[1:])
    extra("pyarrow", "studies")
    rows = []
    for name, path in stored().items():
        try:
            said = read_about(path)
        except ForetellError as error:
            note(str(error))
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
    folder = str(data_folder())
    frame = pd.DataFrame(rows, columns=columns).set_index("name")
    show(frame, form, "Tables", about={"folder": folder})
    if form.kind == "text":
        say(
            f"`foretell data import` stores tables in {folder}; `foretell list tables` shows what "
            "can be imported."
        )


def own(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """An option that applies only to the source `table`."""
    return option(*names, section=f"Only for the source {OWN!r}", **attributes)


def columns(name: str, about: str) -> Callable[[Function], Function]:
    """An option that names columns of the file."""
    text = f"{about}, separated by commas."
    return own(f"--{name}", type=Names(), metavar="COLUMNS", help=text)


@data.command(
    "import",
    epilog="""Examples:
foretell data import nb201 nb201_accuracy.parquet
foretell data import table mine.csv --space nb201 --key arch_str \\
    --choose val_acc --report test_acc --cost seconds""",
)
@click.argument("source")
@click.argument("file")
@option("--name", show_default="that of the source or file", help="The name of the table.")
@option("--replace", is_flag=True, help="Replace a table of the same name.")
@option(
    "--source", "origin", metavar="TEXT", help="Where the values come from; stored in the table."
)
@option("--licence", metavar="TEXT", help="The licence under which the values may be used.")
@option(
    "--trust-pickle",
    is_flag=True,
    help="Read an archive of pickles, which can run arbitrary code; pass it only for an archive of "
    "the benchmark's authors.",
)
@own("--space", help="The space of the keys, or `models` for names such as timm:resnet18.")
@own("--key", metavar="COLUMN", help="The column with the text of the architecture.")
@columns("choose", "Accuracies to choose networks by, such as validation accuracy")
@columns("report", "Accuracies to report, such as test accuracy")
@columns("cost", "Costs, such as seconds or parameters")
@columns("keep", "Columns to keep without a role")
@columns("lower", "Accuracies for which lower is better, such as a loss")
@own(
    "--repeats",
    metavar="COLUMN=COLUMNS",
    multiple=True,
    help="The columns of the single runs whose mean is COLUMN; can be given several times.",
)
@own(
    "--scale",
    type=Number(),
    help="A factor by which accuracies are multiplied, such as 100 for fractions.",
)
def import_(
    source: str,
    file: str,
    name: str | None,
    replace: bool,
    origin: str | None,
    licence: str | None,
    trust_pickle: bool,
    **own: Any,
) -> None:
    """Import the file of a benchmark, or your own, as a table.

    FILE is the file or folder that the SOURCE requires; `foretell list tables` shows all sources.
    The source `table` is any .csv or .parquet file; the options below name its columns.
    """
    from foretell.tables import IMPORTERS, relabelled, write_table

    if name is not None:
        refuse_existing(name, replace)  # before an hour of reading
    elif source in IMPORTERS and IMPORTERS[source].name:
        refuse_existing(IMPORTERS[source].name, replace)
    found = imported(source, file, name, trust_pickle, own)
    table = relabelled(found, name=name, source=origin, licence=licence)
    path = refuse_existing(table.name, replace)
    write_table(table, path)
    roles = {"to choose by": table.choosing, "to report": table.reporting, "of cost": table.cost}
    counts = ", ".join(f"{len(names)} {role}" for role, names in roles.items() if names)
    say(f"table {table.name}: {len(table.frame):,} rows, columns: {counts}\n{path}")


def refuse_existing(name: str, replace: bool) -> Path:
    """The path of the table. Raises ForetellError if it exists and is not to be replaced."""
    from foretell.tables import table_path

    path = table_path(name)
    if path.exists() and not replace:
        raise ForetellError(
            f"a table called {name!r} already exists; give --replace, or another --name"
        )
    return path


def imported(
    source: str, file: str, name: str | None, trust_pickle: bool, own: dict[str, Any]
) -> "Table":
    """The table in the file."""
    from foretell.cli.progress import ShownProgress
    from foretell.tables import Labels, import_columns, import_table

    if source == OWN:
        if trust_pickle:
            raise ForetellError(f"--trust-pickle has no effect on the source {OWN!r}; leave it out")
        for needed, what in {"space": "space of the keys", "key": "key column"}.items():
            if own[needed] is None:
                raise ForetellError(f"`import {OWN}` needs --{needed}; give the {what}")
        labels = Labels(name or Path(file).stem, own["space"])
        return import_columns(file, described(own), labels)
    if given := [option for option in OWN_OPTIONS if own[option] not in (None, ())]:
        raise ForetellError(
            f"--{given[0]} applies only to the source {OWN!r}, since the columns of {source} are "
            "known; leave it out"
        )
    with ShownProgress() as progress:
        return import_table(source, file, trust_pickle=trust_pickle, progress=progress)


def described(own: dict[str, Any]) -> "Columns":
    """The roles of the columns according to the options."""
    from foretell.tables import Columns

    repeats = {}
    for text in own["repeats"]:
        column, _, runs = text.partition("=")
        repeats[column] = Names().convert(runs, None, None)
        if not column or not repeats[column]:
            raise ForetellError(f"--repeats {quoted(text)} names no runs; write COLUMN=RUN,RUN")
    roles = {role: own[role] or () for role in ("choose", "report", "cost", "lower", "keep")}
    scale = 1.0 if own["scale"] is None else own["scale"]
    return Columns(key=own["key"], repeats=repeats, scale=scale, **roles)


@data.command(
    "fetch",
    epilog="Examples:\nforetell data fetch nb101\nforetell data fetch nds --to downloads --yes",
)
@click.argument("name")
@option("--yes", is_flag=True, help="Download without asking.")
@option(
    "--to",
    metavar="DIR",
    show_default="downloads in the folder of tables",
    help="The folder for the file.",
)
def fetch_(name: str, yes: bool, to: str | None) -> None:
    """Download the official file of a benchmark, after asking.

    NAME is nb101 (NAS-Bench-101, 108 epochs), nb101-full, nds or nlp. The file comes from the
    address that its authors give, and its checksum is verified. An interrupted download is
    continued by the same command. docs/tables.md says where the files of other benchmarks are.
    """
    from foretell.cli.progress import ShownProgress
    from foretell.tables import data_folder
    from foretell.tables.fetch import fetch, official

    wanted = official(name)
    require_consent(name, f"{wanted.address}, size {wanted.size}", yes)
    folder = data_folder() / "downloads" if to is None else as_path("--to", to).expanduser()
    with ShownProgress() as progress:
        path, digest = fetch(wanted, folder, progress)
    say(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {digest}")
    if wanted.sha256:
        say(f"This is the checksum that {wanted.page} states.")
    else:
        say("The authors publish no checksum; this one is kept, and compared with later downloads.")
    say(f"Next:\n{wanted.then.replace('FILE', shlex.quote(str(path)))}")


def require_consent(name: str, what: str, yes: bool) -> None:
    """Ask whether to download; raise ForetellError without consent."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ForetellError(f"{name} would be downloaded from {what}; pass --yes to consent")
    if not click.confirm(f"Download {what}?", err=True):
        raise ForetellError("nothing was downloaded; pass --yes, or answer y, to consent")


@data.command("check")
@click.argument("name")
@form_options
def check(name: str, form: Form) -> None:
    """Check a table and summarise its content.

    NAME is a table of `foretell data list`, or the path of a table.
    """
    from foretell.cli.show import require_columns, show
    from foretell.tables import check_table, read_table, summary

    require_columns(form, ["role", "values", "best", "arch"])
    table = read_table(name)
    findings = check_table(table)
    about = {
        "space": table.space,
        "architectures": len(table.frame),
        "source": table.source or "not stated",
        "licence": table.licence,
        "checksum": table.checksum,
    }
    found = {"findings": [{"good": finding.good, "text": finding.text} for finding in findings]}
    described = summary(table)
    if form.kind == "text":
        described["arch"] = [shortened(arch) for arch in described["arch"]]
    show(described, form, f"Table {table.name}", about={**about, **found})
    if form.kind == "text":
        say("\n".join(f"{what}: {value}" for what, value in about.items()))
        say("\n".join(f"{'ok' if one.good else 'note'}: {one.text}" for one in findings))


def shortened(arch: object) -> str:
    """At most 100 characters of an architecture; that of a recurrent cell can have thousands."""
    text = arch if isinstance(arch, str) else ""
    return text if len(text) <= 100 else text[:99] + "…"
