"""Text as sequences of tokens, each with the next token as its target."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from foretell.data.lazy import completed
from foretell.data.splits import Split, Splits
from foretell.data.tokens import BYTES, Tokenizer, make_tokenizer
from foretell.errors import ForetellError

__all__ = ["labelled_texts", "python_topics", "sequences_of", "text", "text_splits"]

LENGTH, SEQUENCES = 64, 4096
HELD_OUT = 0.1


def text(
    file: str,
    *,
    length: int = LENGTH,
    tokenizer: str = "bytes",
    sequences: int = SEQUENCES,
    held_out: float = HELD_OUT,
    download: bool = False,
) -> Splits:
    """Lines of a UTF-8 text file, for language models; tokens are bytes or those of `tokenizer`.

    The lines are concatenated, each followed by an end token, and cut into at most `sequences`
    sequences of `length` tokens. There is no padding, and a large file is not read entirely.
    """
    if not os.path.isfile(file):
        raise ForetellError(f"there is no file {file}; give the path of a text file")
    tokens = make_tokenizer(tokenizer, download)
    try:
        with Path(file).open(encoding="utf-8") as lines:
            part = sequences_of(lines, tokens, length, sequences, file)
    except UnicodeDecodeError as error:
        raise ForetellError(
            f"{file} is not UTF-8 text ({error.reason}); convert it to UTF-8"
        ) from error
    return text_splits(f"text:{Path(file).name}", {"train": part}, tokens, held_out)


def python_topics(*, length: int = LENGTH, sequences: int = SEQUENCES) -> Splits:
    """The reference of the Python language, as bytes, for language models.

    Every Python includes the text, which `help("for")` shows; it differs between versions of
    Python. Of equal lines, the first is used. The text is cut into sequences like that of `text`.

    >>> python_topics(length=32, sequences=100).sample_shape
    (32,)
    """
    from pydoc_data.topics import topics  # it is large and only needed here

    lines = dict.fromkeys(line for _, topic in sorted(topics.items()) for line in topic.split("\n"))
    part = sequences_of(lines, BYTES, length, sequences, "the reference of Python")
    return text_splits("python_topics", {"train": part}, BYTES, HELD_OUT)


def sequences_of(
    lines: Iterable[str], tokens: Tokenizer, length: int, sequences: int, where: str
) -> Split:
    """Token ids, int64 [N, length], and the id that follows each, of the same shape."""
    if length < 2 or sequences < 1:
        raise ForetellError(
            f"length is {length} and sequences is {sequences}; expected a length of at least 2 and "
            "at least 1 sequence"
        )
    joined = torch.tensor(
        list(itertools.islice(stream(lines, tokens), length * sequences + 1)), dtype=torch.int64
    )
    count = (len(joined) - 1) // length
    if count < 1:
        raise ForetellError(
            f"{where} has {len(joined)} tokens; a sequence of length={length} needs {length + 1}: "
            "give more text or a shorter length"
        )
    end = count * length
    return joined[:end].reshape(count, length), joined[1 : end + 1].reshape(count, length)


def stream(lines: Iterable[str], tokens: Tokenizer) -> Iterator[int]:
    """The tokens of all non-empty lines, each followed by an end token."""
    for line in lines:
        if stripped := line.strip():
            yield from tokens.encode(stripped)
            yield tokens.vocabulary.end


def labelled_texts(texts: Iterable[str], labels: Tensor, tokens: Tokenizer, length: int) -> Split:
    """Token ids, int64 [N, length], truncated or padded at the end, with the unchanged labels."""
    pad = tokens.vocabulary.pad
    rows = [tokens.encode(one)[:length] for one in texts]
    padded = [row + [pad] * (length - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), length), labels


def text_splits(
    name: str,
    parts: dict[str, Split],
    tokens: Tokenizer,
    held_out: float,
    classes: int | None = None,
) -> Splits:
    """Splits of the given parts; missing parts are taken from the training part."""
    found = completed(parts, held_out, lambda ids, rows: ids[rows])
    size = tokens.vocabulary.size if classes is None else classes
    return Splits(name, size, found["train"], found["val"], found["test"], tokens.vocabulary)
