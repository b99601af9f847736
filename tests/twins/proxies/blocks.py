"""The twins of what is computed at the boundaries of blocks."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foretell.seeds import derived_seed
from tests.support.models import Case, feed
from tests.twins.proxies.gaussian import draw_weights
from tests.twins.proxies.running import Row, copy_of


def features(case: Case, model: nn.Module, inputs: Any) -> list[tuple[Tensor, Tensor]]:
    """The input and the output of each block, for noise and Kaiming weights."""
    model = copy_of(model)
    model.train(any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()))
    generator = torch.Generator().manual_seed(derived_seed(0, "blocks"))
    draw_weights(case, model, generator, kaiming=True)
    noise = torch.randn(inputs.shape, generator=generator).to(inputs.dtype).requires_grad_()
    found: dict[str, tuple[Tensor, Tensor]] = {}
    names = {model.get_submodule(name): name for name in case.blocks}

    def before(module: nn.Module, args: Any) -> Any:
        found[names[module]] = (args[0], args[0])
        return (args[0].clone(),)

    def after(module: nn.Module, _: Any, out: Tensor) -> Any:
        found[names[module]] = (found[names[module]][0], out)
        return out.clone()

    for module in names:
        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)
    feed(model, noise)
    return [found[name] for name in case.blocks]


def columns(x: Tensor) -> Row:
    """A row a channel: of maps the second axis, of tokens the last."""
    moved = x.detach().movedim(1, -1) if x.ndim == 4 else x.detach()
    return moved.flatten(0, -2).double().numpy().T


def spectra(case: Case, model: nn.Module, inputs: Any) -> list[Row]:
    """The eigenvalues of the covariance of the channels."""
    pairs = features(case, model, inputs)
    every = [pairs[0][0], *(out for _, out in pairs)]
    return [np.linalg.eigvalsh(np.cov(columns(x), bias=True)) for x in every]


def entropies(case: Case, model: nn.Module, inputs: Any) -> list[float]:
    """The entropy of the normalised eigenvalues."""
    found = []
    for values in spectra(case, model, inputs):
        shares = [max(0.0, float(value)) / values.sum() for value in values]
        found.append(-sum(p * math.log(p + 1e-8) for p in shares))
    return found


def az_expressivity(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The sum of the entropies."""
    return sum(entropies(case, model, inputs)) if case.blocks else math.nan


def az_progressivity(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The smallest increase of the entropy."""
    if not case.blocks:
        return math.nan
    found = entropies(case, model, inputs)
    return min(after - before for before, after in pairwise(found))


def pr(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The sum of (trace C)² / trace C²."""
    if not case.blocks:
        return math.nan
    return sum(float(v.sum() ** 2 / (v**2).sum()) for v in spectra(case, model, inputs))


def az_trainability(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The mean of 2 − s − 1/(s + ε), s being the largest singular value of mean g_in g_outᵀ."""
    if not case.blocks:
        return math.nan
    scores = []
    for place, (given, out) in enumerate(features(case, model, inputs)):
        seed = derived_seed(0, "blocks", "signs", place)
        coins = torch.randint(2, out.shape, generator=torch.Generator().manual_seed(seed))
        g_out = (2 * coins - 1).to(out.dtype)
        g_in = torch.autograd.grad(out, given, g_out, retain_graph=True)[0]
        if g_in.ndim == 4:
            g_in = nn.functional.pixel_unshuffle(g_in, g_in.shape[-1] // g_out.shape[-1])
        left, right = columns(g_in), columns(g_out)
        s = np.linalg.svd(left @ right.T / left.shape[1], compute_uv=False).max()
        scores.append(2 - s - 1 / (s + 1e-6))
    return float(np.mean(scores))
