"""Extend the commands of click by sections of options, examples, and suggestions for typos."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from foretell.cli.ignored import refuse_ignored
from foretell.cli.output import own_output, warnings_noted
from foretell.errors import did_you_mean

__all__ = ["Command", "Commands", "Option", "in_words", "option"]

Function = TypeVar("Function", bound=Callable[..., Any])
SECTION = "Options"


class Option(click.Option):
    """An option that is listed in a section of the help text."""

    def __init__(self, *names: Any, section: str = SECTION, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


def option(
    *names: str, section: str = SECTION, **attributes: Any
) -> Callable[[Function], Function]:
    """`click.option` with a section, and with the default shown."""
    shown = {"show_default": True} | attributes
    return click.option(*names, cls=Option, section=section, **shown)


class Command(click.Command):
    """A command whose help has sections of options and shows its examples line by line."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their sections, which keep their order."""
        sections: dict[str, list[tuple[str, str]]] = {}
        *others, asking = self.get_params(ctx)  # click puts --help last
        for parameter in (asking, *others):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", SECTION), []).append(record)
        for name in (SECTION, *(name for name in sections if name != SECTION)):
            with formatter.section(name):
                formatter.write_dl(sections[name])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one per line."""
        write_lines(formatter, self.epilog)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, reserving standard output for its answer."""
        refuse_ignored(ctx)
        with own_output() as ctx.obj, warnings_noted():
            return super().invoke(ctx)


class Commands(click.Group):
    """A group that lists its commands in the order of addition, and prints its help by default."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help if there are no arguments, and exit with 0."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first two words if it exists (`study search`), or of the first."""
        if (both := " ".join(args[:2])) in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one per line."""
        write_lines(formatter, self.epilog)


def write_lines(formatter: click.HelpFormatter, epilog: str | None) -> None:
    """Write a text whose first line is a heading, keeping the lines below it unchanged."""
    if epilog:
        heading, *lines = epilog.splitlines()
        with formatter.section(heading.rstrip(":")):
            formatter.write("".join(f"  {line}\n" for line in lines))


def in_words(error: click.UsageError) -> str:
    """A usage error in one line, with a suggestion if a similar name exists."""
    command = error.ctx.command if error.ctx else None
    where = error.ctx.command_path if error.ctx else "foretell"
    see = f"see `{where} --help`"
    match error:
        case click.exceptions.NoSuchCommand(command_name=name):
            known = command.commands if isinstance(command, click.Group) else ()
            return f"there is no command {name!r}; {did_you_mean(name, known)}"
        case click.NoSuchOption(option_name=name):
            near = did_you_mean(name, spellings(command))
            return f"`{where}` has no option {name!r}; {near if near.startswith('did') else see}"
        case click.MissingParameter(param=click.Parameter() as one):
            return f"`{where}` needs {spelt(one)}; {see}"
        case click.BadParameter(param=click.Parameter() as one):
            return f"{spelt(one)} {error.message}"
    said = error.format_message().rstrip(".")
    return f"{said[:1].lower()}{said[1:]}; {see}"


def spelt(parameter: click.Parameter) -> str:
    """The long form of an option, or the name of an argument as shown in the help."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name.strip("[].")


def spellings(command: click.Command | None) -> list[str]:
    """All long options of a command, such as `--seed`."""
    parameters = command.params if command else []
    return [name for one in parameters for name in one.opts if name.startswith("--")]
