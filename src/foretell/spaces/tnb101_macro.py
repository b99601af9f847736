"""TransNAS-Bench-101's skeletons: four to six modules of residual blocks.

Duan et al. 2021, arXiv:2105.11871. This file defines the architectures and their texts;
`tnb101_network` and `tnb101_tasks` build the networks.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.space import Arch, is_chosen, require_valid
from foretell.spaces.tnb101_network import MODULES, residual_block
from foretell.spaces.tnb101_settings import TransNASSettings

__all__ = ["TransNASMacro"]

_TEXT = re.compile("(?:[0-9]+-)?([1-4]{4,6})(?:-basic)?")
_FEWEST, _MOST = 4, 6


@dataclass(frozen=True)
class TransNASMacro(TransNASSettings):
    """TransNAS-Bench-101, skeletons: 3,256 networks of four to six modules, seven tasks.

    For each module, an architecture says what it does: keep the size of its input, double the
    channels, halve the resolution, or both; the last two modules may be missing. The channels are
    doubled one to three times and the resolution is halved one to four times, after the stem has
    halved it twice. A module has `blocks` residual blocks.

    >>> space = TransNASMacro()
    >>> space.parse("64-1234-basic")
    (0, 1, 2, 3, 0, 0)
    >>> space.format((0, 1, 2, 3, 1, 0))
    '12341'
    """

    name: ClassVar[str] = "tnb101_macro"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = (
        *(MODULES,) * _FEWEST,
        *(("none", *MODULES),) * (_MOST - _FEWEST),
    )

    def is_valid(self, arch: Arch) -> bool:
        """True for six options with one to three doublings and one to four halvings.

        The fifth module must not be missing before a sixth.
        """
        if not is_chosen(self.choices, arch) or (arch[4] == 0 and arch[5] != 0):
            return False
        modules = modules_of(arch)
        doubled = sum(module % 2 for module in modules)
        return 1 <= doubled <= 3 and 1 <= sum(module // 2 for module in modules) <= 4

    def canonical(self, arch: Arch) -> Arch:
        """The architecture itself, since no two architectures describe the same network."""
        require_valid(self, arch)
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `tnb101_network.network`."""
        require_valid(self, arch)
        return self.network(modules_of(arch), residual_block, seed)

    def format(self, arch: Arch) -> str:
        """The digits of the modules, as in the benchmark's string."""
        require_valid(self, arch)
        return "".join(str(module + 1) for module in modules_of(arch))

    def parse(self, text: str) -> Arch:
        """The architecture from the benchmark's string, or from the digits of its modules.

        Raises ForetellError for any other text.
        """
        if found := _TEXT.fullmatch(text.strip()):
            digits = [int(digit) for digit in found[1]]
            arch = (*(digit - 1 for digit in digits[:_FEWEST]), *digits[_FEWEST:])
            arch += (0,) * (_MOST - len(arch))
            if self.is_valid(arch):
                return arch
        raise ForetellError(
            f"{text!r} is not a skeleton of TransNAS-Bench-101; expected 64-1234-basic, or four to "
            "six digits 1..4, where 2 and 4 double the channels (one to three of them) and 3 and 4 "
            "halve the resolution (one to four of them)"
        )


def modules_of(arch: Arch) -> tuple[int, ...]:
    """The modules that are not missing, as indices into `MODULES`.

    >>> modules_of((0, 1, 2, 3, 1, 0))
    (0, 1, 2, 3, 0)
    """
    return (*arch[:_FEWEST], *(option - 1 for option in arch[_FEWEST:] if option))
