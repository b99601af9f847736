"""`foretell completion`: print a completion script for a shell."""

import click
from click.shell_completion import get_completion_class

from foretell.cli.command import Command
from foretell.cli.output import write
from foretell.cli.values import OneOf

VARIABLE = "_FORETELL_COMPLETE"

EXAMPLES = """\
Examples:
foretell completion bash >> ~/.bashrc
foretell completion zsh >> ~/.zshrc
foretell completion fish > ~/.config/fish/completions/foretell.fish"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("shell", type=OneOf(["bash", "zsh", "fish"]), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands and options.

    SHELL is bash, zsh or fish. Add the script to the startup files of the shell.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    write(f"{kind(ctx.find_root().command, {}, 'foretell', VARIABLE).source()}\n")
