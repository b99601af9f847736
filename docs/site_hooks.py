"""What `mkdocs.yml` needs to build the site from the pages as they are in the repository."""

import base64
import html
import json
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
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
ORIGINS = {name: path for path, name in PAGES.items()}
COMMANDS = "reference/command-line.md"
LINK = re.compile(r"\[([^\]]*)\]\(((?!\w+:|#)[^)#\s]+)(#[^)]*)?\)")
DRAWN = re.compile(r'<style.*?</style>| (?:border|class)="[^"]*"', re.DOTALL)
"""What pandas says about how a table is drawn."""
EXAMPLE = re.compile(r"^(?:>>>|\.\.\.).*(?:\n(?!\n).*)*", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and a page for each notebook."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    for notebook in NOTEBOOKS:
        content = page_of(json.loads(notebook.read_text("utf-8")), notebook.name)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=content))
    return files


def page_of(notebook: dict[str, Any], name: str) -> str:
    """A notebook as Markdown: text, code and outputs, with a link to the file below the title."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts += [shown(output, source) for output in cell["outputs"]]
    title, _, rest = parts[0].partition("\n")
    link = f"This page is a notebook, which you can [download]({name}) and change."
    return "\n\n".join([title, link, rest, *parts[1:]])


def shown(output: dict[str, Any], source: str) -> str:
    """The output of a cell as Markdown.

    >>> shown({"text": ["1\\n", "2\\n"]}, "print(1); print(2)")
    '```text\\n1\\n2\\n```'
    """
    data = output.get("data", {"text/plain": output.get("text", [])})
    texts = {kind: "".join(lines).rstrip() for kind, lines in data.items()}
    if svg := texts.get("image/svg+xml"):
        coded = base64.b64encode(svg.encode()).decode()
        what = html.escape(source.strip().splitlines()[-1])
        return f'<img alt="The chart of {what}" src="data:image/svg+xml;base64,{coded}">'
    if table := texts.get("text/html"):
        return DRAWN.sub("", table).replace("<th></th>", "<td></td>")  # an empty cell heads nothing
    return f"```text\n{texts['text/plain']}\n```"


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
    >>> adapted("a tutorial", "notebooks/automl.ipynb", "", PurePosixPath("search.md"))
    '[a tutorial](notebooks/automl.md)'
    """
    origin = ORIGINS.get(str(here), f"docs/{here}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if path in PAGES or path.startswith("docs/"):
        name = PAGES.get(path, path.removeprefix("docs/"))
        if name.endswith(".ipynb") and PurePosixPath(name).stem != here.stem:
            name = name.removesuffix("ipynb") + "md"  # only its own page links to the file
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
