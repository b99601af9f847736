"""Text as sequences of tokens, each with the token that follows."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from foretell.data.lazy import completed
from foretell.data.splits import Split, Splits
from foretell.data.tokens import Tokenizer, make_tokenizer
from foretell.errors import ForetellError

__all__ = ["labelled_texts", "sequences_of", "text", "text_splits"]

LENGTH, SEQUENCES = 64, 4096


def text(
    file: str,
    *,
    length: int = LENGTH,
    tokenizer: str = "bytes",
    sequences: int = SEQUENCES,
    held_out: float = 0.1,
    download: bool = False,
) -> Splits:
    """Lines of a UTF-8 text file, for language models: a token a byte, or a `tokenizer`'s.

    The lines, an end token after each, are joined and cut into sequences of `length` tokens, at
    most so many `sequences`, so that nothing is padded and a large file is not read to its end.
    """
    if not Path(file).is_file():
        raise ForetellError(f"there is no file {file}; give the path of a text file")
    tokens = make_tokenizer(tokenizer, download)
    try:
        with Path(file).open(encoding="utf-8") as lines:
            part = sequences_of(lines, tokens, length, sequences, file)
    except UnicodeDecodeError as error:
        raise ForetellError(f"{file} is no UTF-8 text ({error.reason}); convert it") from error
    return text_splits(f"text:{Path(file).name}", {"train": part}, tokens, held_out)


def sequences_of(
    lines: Iterable[str], tokens: Tokenizer, length: int, sequences: int, where: str
) -> Split:
    """Ids, int64 [N, length], and the id that follows each, of the same shape."""
    if length < 2 or sequences < 1:
        raise ForetellError(
            f"length is {length} and sequences {sequences}; ask for at least 2 tokens in each of "
            "at least 1"
        )
    joined = torch.tensor(
        list(itertools.islice(stream(lines, tokens), length * sequences + 1)), dtype=torch.int64
    )
    count = (len(joined) - 1) // length
    if count < 1:
        raise ForetellError(
            f"{where} has {len(joined)} tokens; a sequence of length={length} needs "
            f"{length + 1}: give more text or a shorter length"
        )
    end = count * length
    return joined[:end].reshape(count, length), joined[1 : end + 1].reshape(count, length)


def stream(lines: Iterable[str], tokens: Tokenizer) -> Iterator[int]:
    """The tokens of all lines that are not empty, an end token after each."""
    for line in lines:
        if stripped := line.strip():
            yield from tokens.encode(stripped)
            yield tokens.vocabulary.end


def labelled_texts(texts: Iterable[str], labels: Tensor, tokens: Tokenizer, length: int) -> Split:
    """Ids, int64 [N, length], cut off or padded at the end, and the labels as they are."""
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
    """Splits of what there is; what is missing is cut from the training part."""
    found = completed(parts, held_out, lambda ids, rows: ids[rows])
    size = tokens.vocabulary.size if classes is None else classes
    return Splits(name, size, found["train"], found["val"], found["test"], tokens.vocabulary)
