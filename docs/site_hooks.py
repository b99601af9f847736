"""What `mkdocs.yml` needs to build the site from the pages as they are in the repository."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import click
import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from foretell.cli.app import foretell

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}
"""The pages that are not in docs/, and their names in the site."""
ORIGINS = {name: path for path, name in PAGES.items()}
COMMANDS = "reference/command-line.md"
LINK = re.compile(r"\[([^\]]*)\]\(((?!\w+:|#)[^)#\s]+)(#[^)]*)?\)")
EXAMPLE = re.compile(r"^(?:>>>|\.\.\.).*(?:\n(?!\n).*)*", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt the links of a page, which lead to files of the repository."""
    here = PurePosixPath(page.file.src_uri)
    if str(here) == COMMANDS:
        markdown += "".join(help_of(foretell, "foretell"))
    return LINK.sub(lambda link: adapted(*link.groups(default=""), here), markdown)


def help_of(command: click.Command, name: str) -> Iterator[str]:
    """A section with the help of a command, and one for each command below it."""
    with click.Context(command, info_name=name, max_content_width=88) as context:
        level = "#" * min(2 + name.count(" "), 4)
        yield f"\n{level} {name}\n\n```text\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                one = command.get_command(context, below)
                yield from help_of(one, f"{name} {below}") if one else ()


def adapted(text: str, target: str, anchor: str, here: PurePosixPath) -> str:
    """A link of the page at `here` to a page of the site, or the path of any other file.

    >>> adapted("studies", "../studies.md", "#n", PurePosixPath("studies/README.md"))
    '[studies](../studies.md#n)'
    >>> adapted("studies", "docs/studies.md", "", PurePosixPath("index.md"))
    '[studies](studies.md)'
    >>> adapted("the license", "LICENSE", "", PurePosixPath("index.md"))
    'the license (`LICENSE`)'
    """
    origin = ORIGINS.get(str(here), f"docs/{here}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if path in PAGES or path.startswith("docs/"):
        name = PAGES.get(path, path.removeprefix("docs/"))
        return f"[{text}]({posixpath.relpath(name, here.parent)}{anchor})"
    return f"{text} (`{path}`)"


class Doctests(griffe.Extension):
    """Shows the examples in docstrings as code; Markdown would take `>>>` for a quotation."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Put the examples of a docstring into fences."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with each paragraph that is an example in a fence.

    >>> fenced("Adds one.\\n\\n>>> 1 + 1\\n2\\n\\nDone.").splitlines()[2:6]
    ['```pycon', '>>> 1 + 1', '2', '```']
    """
    return EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}\n```", text)
