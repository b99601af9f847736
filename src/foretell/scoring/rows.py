"""The row of a model in a ranking: its mean scores over batches and seeds, or why it has none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from foretell.engine.caller import kept_settings
from foretell.engine.failures import LossFailed, any_error, complaint_of
from foretell.engine.plan import Request
from foretell.errors import ForetellError
from foretell.progress import Tally
from foretell.scoring.factories import Build
from foretell.scoring.forms import in_forms
from foretell.scoring.many import Batches, summary
from foretell.scoring.settings import ScoreSettings

__all__ = ["Scorer", "batches_for", "row_of"]


@dataclass(frozen=True)
class Scorer:
    """What every model of a ranking is scored on, and how."""

    batches: Batches | Callable[[str], Batches]
    proxies: Request
    names: Sequence[str]
    """The names of the proxies."""
    seeds: Sequence[int]
    scoring: ScoreSettings
    tally: Tally
    reduced: Mapping[str, Build] = field(default_factory=dict)
    """The reduced forms of the models, if these are scored."""
    without_loss: list[LossFailed] = field(default_factory=list)
    """The errors of the models for which the loss could not be computed."""

    def row(self, name: str, build: Build) -> dict[str, Any]:
        """The row of a model; one that cannot be scored has the reason in `why`."""
        try:
            with kept_settings():
                own = batches_for(name, self.batches) if callable(self.batches) else self.batches
                how = (own, self.proxies, self.seeds, self.scoring)
                row = row_of(in_forms(build, self.reduced.get(name), *how))
        except ForetellError as error:
            row = {**dict.fromkeys(self.names, float("nan")), "seconds": 0.0, "why": str(error)}
            if isinstance(error, LossFailed):
                self.without_loss.append(error)
        self.tally.add("score", name)
        return row


def batches_for(name: str, batches: Callable[[str], Batches]) -> Batches:
    """The batches of one model. Raises ForetellError if the function raises anything."""
    try:
        return batches(name)
    except ForetellError:
        raise
    except any_error() as error:
        raise ForetellError(f"batches({name!r}) raised {complaint_of(error)}") from error


def row_of(runs: pd.DataFrame) -> dict[str, Any]:
    """The mean scores of one model, and their spread if there are several runs."""
    table = summary(runs)
    row = {str(name): float(mean) for name, mean in table["mean"].items()}
    if table["runs"].max() > 1:
        row |= {f"{name}_std": float(std) for name, std in table["std"].items()}
    reasons = []
    for one in table.reset_index().to_dict(orient="records"):
        some = f" (in {one['undefined']} of {one['runs']} runs)"
        if one["undefined"]:
            reasons.append(
                f"{one['proxy']}: {one['why']}{some if one['undefined'] < one['runs'] else ''}"
            )
    each = runs.groupby(["run", "form"])["seconds"].max()  # the slowest score needed all passes
    return {**row, "seconds": float(each.sum()), "why": "; ".join(reasons)}
