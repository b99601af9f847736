"""Refuse options that would have no effect, since users who give one expect an effect."""

from collections.abc import Iterable

import click
from click.core import ParameterSource

__all__ = ["is_given", "refuse_ignored"]

GPU_ONLY = {"score_precision": ("tf32",), "precision": ("tf32", "fp16")}
"""Values of options that require a GPU."""

WITHOUT_MODEL = ("model", "proxies", "batch_size", "json", "csv", "columns")
"""The options that have an effect on `foretell explain` without a model."""

TRAINING = "Training"
"""The section of the options of foretell's own training."""


def refuse_ignored(ctx: click.Context) -> None:
    """Raise UsageError if an option was given that has no effect."""
    given = ctx.params
    if "model" in given and given["model"] is None:
        others = (one for one in ctx.command.params if one.name not in WITHOUT_MODEL)
        refuse_all(ctx, others, "has no effect without MODEL")
    if given.get("evaluate") is not None or given.get("evaluate_command") is not None:
        training = (one for one in ctx.command.params if getattr(one, "section", "") == TRAINING)
        others = (one for one in training if one.name != "epochs")
        refuse_all(ctx, others, "has no effect on a training of your own")
    size, part = given.get("batch_size"), given.get("micro_batch")
    if size is not None and part is not None and part >= size:
        why = f"is {part}, but the minibatch has only {size} samples, so nothing would be split"
        refuse(ctx, "micro_batch", why)
    if "data" in given and given["data"] is None:
        for name in ("root", "download"):
            if given[name]:
                refuse(ctx, name, "has no effect without --data")
    for name, values in GPU_ONLY.items():
        if given.get(name) in values and computes_on_cpu(given["device"], given.get("executor")):
            refuse(ctx, name, f"is {given[name]}, which requires a GPU, but the device is a CPU")


def refuse_all(ctx: click.Context, options: Iterable[click.Parameter], why: str) -> None:
    """Raise UsageError about the first of these options that was given."""
    for one in options:
        if is_given(ctx, one.name):
            refuse(ctx, one.name, why)


def is_given(ctx: click.Context, name: str | None) -> bool:
    """Whether an option was given on the command line or in a file."""
    source = ctx.get_parameter_source(name) if name else None
    return source in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)


def computes_on_cpu(device: str, executor: str | None) -> bool:
    """Whether the device is a CPU; for a cluster, `auto` counts as a GPU."""
    from foretell.engine.device import pick_device

    if executor not in (None, "processes"):
        return device == "cpu"
    return pick_device(device).type == "cpu"


def refuse(ctx: click.Context, name: str | None, why: str) -> None:
    """Raise UsageError about an option."""
    parameter = next(one for one in ctx.command.params if one.name == name)
    raise click.BadParameter(f"{why}; leave it out", ctx, parameter)
