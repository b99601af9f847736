"""Results that `foretell.tell` added to a search, and when its searcher receives them.

The searcher receives all results, of trainings and from elsewhere, in the order in which their rows
were written, so a search that is continued asks the same questions again.
"""

from dataclasses import dataclass, field

from foretell.runs.code import current
from foretell.runs.evaluate import Evaluator
from foretell.runs.results import told_values
from foretell.runs.rowlog import canonical
from foretell.runs.rows import ToldRow, TrainRow, rows_of
from foretell.searchers import Question, Searcher
from foretell.searching.measure import Measure
from foretell.spaces import Arch

__all__ = ["Told", "told_to"]


@dataclass
class Told:
    """Results from elsewhere that were added in sequence, without a training between them."""

    before: frozenset[str]
    """The keys of the trainings that had finished before they were added."""
    rows: list[ToldRow] = field(default_factory=list)
    results: dict[Arch, float] = field(default_factory=dict)
    """The value of each architecture; higher is better."""

    def pass_on(self, searcher: Searcher) -> None:
        """Pass the results to the searcher."""
        for arch, value in self.results.items():
            searcher.tell(Question(arch, "train"), value)


def told_to(evaluator: Evaluator) -> list[Told]:
    """The results from elsewhere in a run, in the order in which they were added."""
    found: list[Told] = []
    trained: set[str] = set()
    for row in current(evaluator.store)[0]:
        trained.update(canonical(one.key()) for one in rows_of(TrainRow, [row]))
        for told in rows_of(ToldRow, [row]):
            if not found or len(found[-1].before) < len(trained):
                found.append(Told(frozenset(trained)))
            found[-1].rows.append(told)
    so_far: list[ToldRow] = []
    space, measure = evaluator.work.space, Measure.of(evaluator.work.training.key())
    for one in found:
        so_far += one.rows
        values = told_values(so_far, measure.lower_is_better)
        one.results = {space.parse(row.arch): values[row.arch] for row in one.rows}
    return found
