"""What foretell's commands add to click's: options in sections, examples, near names."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from foretell.cli.ignored import refuse_ignored
from foretell.cli.output import own_output
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
    """`click.option` with a section; its default is shown."""
    shown = {"show_default": True} | attributes
    return click.option(*names, cls=Option, section=section, **shown)


class Command(click.Command):
    """A command whose help has sections of options and keeps the lines of its examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under the headings of their sections, in the order of their first option."""
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
        """The examples, a line each."""
        write_lines(formatter, self.epilog)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command with standard output kept for its answer."""
        refuse_ignored(ctx)
        with own_output() as ctx.obj:
            return super().invoke(ctx)


class Commands(click.Group):
    """A group that lists its commands as they were added and prints its help if given nothing."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The help if there are no arguments, which is not an error."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Two words may name one command: `study search`, beside `study TABLE`."""
        if (both := " ".join(args[:2])) in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, a line each."""
        write_lines(formatter, self.epilog)


def write_lines(formatter: click.HelpFormatter, epilog: str | None) -> None:
    """Write text whose first line is a heading, and the lines below it as they are."""
    if epilog:
        heading, *lines = epilog.splitlines()
        with formatter.section(heading.rstrip(":")):
            formatter.write("".join(f"  {line}\n" for line in lines))


def in_words(error: click.UsageError) -> str:
    """A wrong use of the command line in one line, with the nearest name where there is one."""
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
            return f"`{where}` needs {argument(one)}; {see}"
        case click.BadParameter(param=click.Parameter() as one):
            spelt = max(one.opts, key=len) if isinstance(one, click.Option) else None
            return f"{spelt or argument(one)} {error.message}"
    said = error.format_message().rstrip(".")
    return f"{said[:1].lower()}{said[1:]}; {see}"


def argument(parameter: click.Parameter) -> str:
    """The name of an argument as help has it."""
    return parameter.human_readable_name.strip("[].")


def spellings(command: click.Command | None) -> list[str]:
    """All options of a command as they are written."""
    parameters = command.params if command else []
    return [name for one in parameters for name in one.opts if name.startswith("--")]
