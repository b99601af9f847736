"""Expand patterns of model names, and files that list models."""

import fnmatch
import re
from collections.abc import Iterable, Iterator

from foretell.errors import ForetellError, unknown_name
from foretell.files import read_text
from foretell.models.sources import resolved, understood

__all__ = ["expand_models"]


def expand_models(texts: Iterable[str]) -> list[str]:
    """Expand patterns such as `torchvision:resnet*` and files such as `@FILE` to names of models.

    A pattern may contain `*` and `[...]`; its matches are sorted, and settings after it apply to
    all of them. A file has one model or pattern per line; empty lines and comments after # are
    ignored. Duplicates are removed. Raises ForetellError for a name or pattern that a source does
    not know, with the line if it is from a file.

    >>> expand_models(["torchvision:resnet1*?image_size=32", "nb201:333013"])
    ['torchvision:resnet18?image_size=32', 'torchvision:resnet101?image_size=32',
     'torchvision:resnet152?image_size=32', 'nb201:333013']
    """
    found: dict[str, None] = {}
    for text in texts:
        found |= dict.fromkeys(listed(text[1:]) if text.startswith("@") else written_out(text))
    return list(found)


def listed(file: str) -> Iterator[str]:
    """The models that a file lists."""
    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, ValueError) else error.strerror
        raise ForetellError(
            f"{file or '@'} cannot be read ({reason}); give a text file with one model per line"
        ) from error
    texts = [re.split(r"(?:^|\s)#", line)[0].strip() for line in lines]
    if not any(texts):
        raise ForetellError(f"{file} lists no models; write one per line, such as nb201:333013")
    for number, text in enumerate(texts, 1):
        try:
            yield from written_out(text) if text else []
        except ForetellError as error:
            error.args = (f"{file}:{number}: {error}",)  # the error keeps its type
            raise


def written_out(text: str) -> list[str]:
    """The models that a text denotes: the text itself, or all models that match its pattern."""
    name, question, settings = text.partition("?")
    prefix, _, pattern = name.partition(":")
    source = resolved(text)[0]
    if source.names is None or not re.search(r"[*[]", pattern):
        understood(text)
        return [text]
    known = source.names()
    matching = sorted(fnmatch.filter(known, pattern), key=natural)
    if not matching:
        said = f"no model of {prefix} matches {pattern!r}"
        raise unknown_name("model", pattern, known, said)
    return [f"{prefix}:{match}{question}{settings}" for match in matching]


def natural(name: str) -> list[tuple[str, int]]:
    """A sort key by which resnet18 comes before resnet101."""
    return [(word, int(number or 0)) for word, number in re.findall(r"(\D*)(\d*)", name)]
