"""Convert text to token ids: bytes, or the tokens of a tokenizer of transformers."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from foretell.errors import ForetellError
from foretell.names import extra

__all__ = ["BYTES", "Tokenizer", "Vocabulary", "make_tokenizer"]


@dataclass(frozen=True)
class Vocabulary:
    """The number of tokens, and the ids of special tokens."""

    size: int
    pad: int
    """The token that pads texts that are too short."""
    end: int
    """The token that follows every line."""
    mask: int
    """The token that replaces a masked token."""


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Converts a line of text into token ids below the size of the vocabulary."""

    encode: Callable[[str], list[int]]
    vocabulary: Vocabulary


def _bytes(text: str) -> list[int]:
    return list(text.encode())


BYTES = Tokenizer(_bytes, Vocabulary(size=259, pad=256, end=257, mask=258))
"""A tokenizer with one token per byte of UTF-8 and three special tokens; it needs no download.

>>> BYTES.encode("né")
[110, 195, 169]
"""


def make_tokenizer(name: str, download: bool = False) -> Tokenizer:
    """`BYTES`, or the tokenizer that transformers loads from a folder or, if allowed, downloads.

    Missing special tokens are added at the end. Raises ForetellError if it cannot be loaded.
    """
    if name == "bytes":
        return BYTES
    transformers = extra("transformers", "hf")
    if not download and not os.path.isdir(name):
        raise ForetellError(
            f"there is no folder {name!r}; give tokenizer=FOLDER, or allow the download of "
            f"tokenizer={name} with download=true"
        )
    theirs = transformers.AutoTokenizer.from_pretrained(name, local_files_only=not download)
    size = len(theirs)
    special = []
    for token in (theirs.pad_token_id, theirs.eos_token_id, theirs.mask_token_id):
        special.append(size if token is None else int(token))
        size += token is None

    def encode(text: str) -> list[int]:
        return list(theirs.encode(text, add_special_tokens=False))

    return Tokenizer(encode, Vocabulary(size, *special))
