"""A digest of the code of users, so that results of one version are not taken for those of another.

The digest covers what a function does: its instructions and constants, its default values, the
variables that it has captured, the global functions, classes and values that it mentions, and the
whole files that these come from. Code of foretell, of Python, of PyTorch and of other installed
packages is identified by its name only.
"""

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["file_digest", "is_foretells", "is_installed", "names_in", "source_digest"]

INSTALLED = ("site-packages", "dist-packages")
BY_NAME = {"foretell", "torch", *sys.builtin_module_names, *sys.stdlib_module_names} - {"__main__"}
"""The top-level packages whose code is always identified by its name only."""

CODE = ModuleType | type | BuiltinFunctionType | FunctionType
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented))
SKIPPED = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__slots__"),
    *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl"),
}
"""Members of classes that Python adds itself, or that do not change the behaviour."""


def source_digest(*things: object) -> str:
    """Sixteen hex digits that change when the code of any of the given objects changes.

    The objects are functions, classes, or instances, whose state is included. Comments and layout
    count, since whole files are hashed. The result is empty if all objects are None or part of
    foretell.

    >>> source_digest(source_digest, None)
    ''
    >>> binary, octal = functools.partial(int, base=2), functools.partial(int, base=8)
    >>> source_digest(binary) == source_digest(octal)
    False
    """
    if all(thing is None or is_foretells(thing) for thing in things):
        return ""
    walk = Walk({top_of(thing) for thing in things} - BY_NAME)
    walk.waiting += things
    return walk.digest()


def is_foretells(thing: object) -> bool:
    """Whether a function, or the class of an object, is part of foretell.

    >>> is_foretells(is_foretells), is_foretells(len)
    (True, False)
    """
    return top_of(thing) == "foretell"


def is_installed(thing: object) -> bool:
    """Whether a function or a class is part of an installed package."""
    file = getattr(sys.modules.get(top_of(thing)), "__file__", None) or ""
    return any(part in INSTALLED for part in Path(file).parts)


def file_digest(path: str) -> str:
    """Sixteen hex digits of the content of a file; empty if it cannot be read."""
    try:
        if not Path(path).is_file():  # a pipe could wait for a writer
            return ""
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except (OSError, ValueError):
        return ""


def top_of(thing: object) -> str:
    """The top-level package that defines a function, a class or the class of an object."""
    if isinstance(thing, FunctionType):  # decorators may copy the __module__ of another function
        name = thing.__globals__.get("__name__", "")
    elif isinstance(thing, MethodType):
        return top_of(thing.__func__)
    elif isinstance(thing, ModuleType):
        name = thing.__name__
    elif isinstance(thing, type | BuiltinFunctionType):
        name = thing.__module__ or "builtins"
    else:
        name = type(thing).__module__
    return str(name).partition(".")[0]


class Walk:
    """A traversal of everything that the given objects consist of; each part is visited once."""

    def __init__(self, own: set[str]) -> None:
        """`own` contains the top-level packages that are traversed even if they are installed."""
        self.own = own
        self.waiting: list[object] = []
        self.numbers: dict[int, int] = {}
        self.files: dict[str, str] = {}

    def digest(self) -> str:
        """Sixteen hex digits of everything that can be reached from the objects in `waiting`."""
        found = hashlib.sha256()
        for thing in self.waiting:  # it grows meanwhile, and keeps every numbered object alive
            found.update(f"{self.described(thing)}\n".encode(errors="surrogatepass"))
        return found.hexdigest()[:16]

    def text(self, thing: Any) -> str:
        """A constant as text; any other object is numbered, and described later."""
        if type(thing) in PLAIN:
            return f"{type(thing).__name__} {thing!r}"
        if type(thing) in (tuple, frozenset):
            ordered = sorted(thing, key=label) if type(thing) is frozenset else thing
            return f"({', '.join(map(self.text, ordered))})"
        if isinstance(thing, CodeType):
            return self.code(thing)
        if id(thing) not in self.numbers:
            self.numbers[id(thing)] = len(self.waiting)
            self.waiting.append(thing)
        return f"#{self.numbers[id(thing)]}"

    def code(self, code: CodeType) -> str:
        """The instructions, names and constants of a code object, without line numbers."""
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_flags, code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount)
        return f"code {code.co_code.hex()} {names} {counts} {self.text(code.co_consts)}"

    def described(self, thing: Any) -> str:
        """The description of an object: its kind and its parts."""
        if isinstance(thing, CODE) and not self.is_walked(thing):
            name = getattr(thing, "__qualname__", None) or thing.__name__
            return f"named {getattr(thing, '__module__', '')} {name}"
        for kind, describe in KINDS.items():
            if isinstance(thing, kind):
                return describe(self, thing)
        if inner := getattr(thing, "__wrapped__", None):  # a cache around a function
            return f"wrapping {self.text(inner)}"
        return self.state(thing)

    def is_walked(self, thing: object) -> bool:
        """Whether the code is traversed: code of users, in files or typed interactively."""
        top = top_of(thing)
        return top in self.own or not (top in BY_NAME or is_installed(thing))

    def function(self, function: FunctionType) -> str:
        """A function: its code, default values, captured variables and the globals that it uses."""
        code = function.__code__
        known = function.__globals__
        reached = [(name, known[name]) for name in sorted(set(names_in(code))) if name in known]
        cells = [content(cell) for cell in function.__closure__ or ()]
        defaults = [function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())]
        parts = self.texts(code, *defaults, *cells, *reached)
        return f"function {parts} {self.file(code.co_filename)}"

    def texts(self, *parts: object) -> str:
        """Several parts as text."""
        return f"[{', '.join(map(self.text, parts))}]"

    def type(self, kind: type) -> str:
        """A class: its bases and members."""
        members = [one for one in sorted(vars(kind).items(), key=name_of) if one[0] not in SKIPPED]
        module = sys.modules.get(kind.__module__) if kind.__module__ != "__main__" else None
        file = getattr(module, "__file__", None) or ""  # its methods say which file is __main__
        return f"class {self.texts(*kind.__bases__, *members)} {self.file(file)}"

    def module(self, module: ModuleType) -> str:
        """A module: the digest of its file."""
        return f"module {self.file(getattr(module, '__file__', None) or '')}"

    def file(self, path: str) -> str:
        """The digest of a file's content; empty without a file, as for code typed interactively."""
        if path not in self.files:
            self.files[path] = file_digest(path)
        return self.files[path]

    def tensor(self, tensor: Any) -> str:
        """A tensor: its type, shape and values."""
        import torch

        dense = tensor.detach().cpu().to_dense().contiguous()
        values = dense.flatten().view(torch.uint8).numpy().tobytes()
        return f"tensor {dense.dtype} {tuple(dense.shape)} {hashlib.sha256(values).hexdigest()}"

    def state(self, thing: Any) -> str:
        """Any other object: the parts from which pickle would copy it, or only its class."""
        if type(thing).__module__.partition(".")[0] == "torch" and hasattr(thing, "to_dense"):
            return self.tensor(thing)
        kind = self.text(type(thing))
        try:
            reduced = thing.__reduce_ex__(4)
        except Exception:  # locks, generators and open files cannot be copied
            return f"object {kind}"
        if isinstance(reduced, str):
            return f"object {kind} {reduced}"
        parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
        return f"object {kind} {self.texts(*parts)}"


KINDS: dict[Any, Callable[[Walk, Any], str]] = {
    FunctionType: Walk.function,
    ModuleType: Walk.module,
    type: Walk.type,
    MethodType: lambda walk, one: f"method {walk.texts(one.__func__, one.__self__)}",
    functools.partial: lambda walk, one: (
        f"partial {walk.texts(one.func, one.args, *sorted(one.keywords.items()))}"
    ),
    property: lambda walk, one: f"property {walk.texts(one.fget, one.fset, one.fdel)}",
    (classmethod, staticmethod): lambda walk, one: f"method {walk.text(one.__func__)}",
    functools.cached_property: lambda walk, one: f"property {walk.text(one.func)}",
    list: lambda walk, one: f"list {walk.texts(*one)}",
    Mapping: lambda walk, one: f"dict {walk.texts(*one.items())}",
    set: lambda walk, one: f"set {walk.texts(*sorted(one, key=label))}",
}
"""The function that describes objects of each type; the first type that fits is used."""


def name_of(pair: tuple[str, object]) -> str:
    """The name of a member, as a sort key."""
    return pair[0]


def label(thing: object) -> str:
    """A sort key for the members of a set, whose order differs between processes."""
    if type(thing) in PLAIN or type(thing) in (tuple, frozenset):
        return repr(thing)
    return f"{getattr(thing, '__module__', '')} {getattr(thing, '__qualname__', type(thing))}"


def names_in(code: CodeType) -> Iterator[str]:
    """The names that occur in a function, including those in functions nested in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def content(cell: Any) -> object:
    """The value of a captured variable; an empty string if it is not set yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
