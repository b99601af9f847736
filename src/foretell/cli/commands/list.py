"""`foretell list`: show the available proxies, spaces, data, models and so on."""

from dataclasses import replace

import click

from foretell.cli.command import Command
from foretell.cli.options import Form, form_options
from foretell.cli.values import OneOf

EXAMPLES = """\
Examples:
foretell list
foretell list proxies
foretell list models --json"""

KINDS = (
    *("proxies", "rankings", "quantities", "spaces", "data", "searchers", "models", "losses"),
    "tables",
)


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("what", required=False, type=OneOf(KINDS), metavar="[WHAT]")
@form_options
def list_(what: str | None, form: Form) -> None:
    """List proxies, rankings, spaces, data, models and more.

    Each is shown with a description and its source. WHAT is one of proxies, rankings, quantities,
    spaces, data, searchers, models, losses and tables (the benchmarks that `foretell data import`
    reads); by default, all are listed. A ranking orders several models by several proxies, so the
    rank of a model depends on all the others.
    """
    import pandas as pd

    from foretell.cli.catalogue import catalogue
    from foretell.cli.show import require_columns, show

    tables = {kind: catalogue(kind) for kind in ([what] if what else KINDS)}
    require_columns(form, sorted({str(name) for table in tables.values() for name in table}))
    if form.kind == "text":
        for kind, table in tables.items():
            own = replace(form, columns=tuple(name for name in form.columns if name in table))
            show(table, own, kind, ["what", "source"])
    else:
        show(pd.concat(tables, names=["kind", "name"]), form)
