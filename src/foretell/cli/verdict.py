"""Put the result of a search into words, and suggest the commands to type next."""

import textwrap

from foretell.cli.hints import as_typed, typed
from foretell.searching.compared import LARGEST, SCORED, SIZE
from foretell.searching.lesson import Lesson
from foretell.searching.outcome import Outcome

__all__ = ["next_commands", "verdict"]


def verdict(outcome: Outcome, width: int) -> str:
    """The result and the evidence about the score, in lines of this width."""
    lesson = Lesson(outcome)
    if outcome.measure.own:
        best = lesson.best_trained
        parts = [f"Found {best['arch']}: {best[outcome.measure.name]:g}.", agreement(lesson)]
    else:
        parts = [found(lesson), failures(lesson), agreement(lesson), by_size(lesson)]
    parts += [
        limits(lesson),
        told(lesson),
        seconds(lesson),
        f"The network is in {outcome.folder}/chosen.pt.",
    ]
    lines = [textwrap.fill(part, width, break_on_hyphens=False) for part in parts if part]
    return "\n".join(lines)


def chosen(arm: str, outcome: Outcome) -> str:
    """A phrase that says how an arm chose its networks."""
    known = {SCORED: f"chosen by {outcome.by}", LARGEST: f"chosen by #{SIZE}"}
    return known.get(arm, "chosen without scores")


def found(lesson: Lesson) -> str:
    """The chosen network, and the best network of each arm."""
    best = lesson.best_trained
    each = [accuracy(lesson, arm) for arm in lesson.best if arm != LARGEST]
    return f"Found {best['arch']}. Accuracy: {'; '.join(each)}."


def accuracy(lesson: Lesson, arm: str) -> str:
    """The accuracies of the best network of an arm."""
    row = lesson.best[arm]
    return (
        f"{row['val_accuracy']:.2f} % on validation samples and {row['test_accuracy']:.2f} % on "
        f"test samples for the best of {len(lesson.arms[arm])} {chosen(arm, lesson.outcome)}"
    )


def failures(lesson: Lesson) -> str:
    """The number of networks of each arm that failed to learn."""
    counts = [
        f"{count} of {len(lesson.arms[arm])} {chosen(arm, lesson.outcome)}"
        for arm, count in lesson.failed.items()
    ]
    return (
        f"Failed to learn (below {lesson.least:.0f} % on validation samples, half-way between "
        f"guessing and the best): {', '.join(counts)}."
    )


def agreement(lesson: Lesson) -> str:
    """The rank correlation of score and accuracy among the trained networks."""
    n, value = len(lesson.trained), lesson.agreement
    if value != value:
        return ""
    return (
        f"Rank correlation of {lesson.outcome.by} and accuracy: {value:+.2f} among the {n} "
        "trained networks. They were not drawn at random, so there is no interval."
    )


def by_size(lesson: Lesson) -> str:
    """The result of choosing by the number of parameters."""
    if LARGEST not in lesson.best:
        return ""
    return f"By size alone: {accuracy(lesson, LARGEST)}, the largest of the pool."


def limits(lesson: Lesson) -> str:
    """The limits of the comparison."""
    if len(lesson.arms) == 1:
        return ""
    return (
        "One search is little evidence: repeat it with --seed 1, 2, and so on. Scores help most "
        "where many networks fail to learn, and must outperform size to be useful."
    )


def told(lesson: Lesson) -> str:
    """The best result from elsewhere, if it is better than all that the search trained."""
    best = lesson.best_told
    if best is None:
        return ""
    value = best[lesson.outcome.measure.name]
    return (
        f"The best result from elsewhere is {value:g}, of {best['arch']}; its weights are where it "
        "was trained."
    )


def seconds(lesson: Lesson) -> str:
    """The time of scoring and of the trainings of each arm."""
    each = [
        f"{rows['seconds'].sum():.1f} s for those {chosen(arm, lesson.outcome)}"
        for arm, rows in lesson.arms.items()
    ]
    scoring = lesson.outcome.scoring_seconds
    return f"Scoring took {scoring:.1f} s, training {', '.join(each)}."


def next_commands(outcome: Outcome, space: str, data: str) -> list[str]:
    """The commands to continue with, as they must be typed.

    A run keeps the name of its `data` without settings, so these must be given again. The last one
    compares the search, if that was not done, and otherwise lists the forms of data.
    """
    own = ["--space", space] if ":" in space or space.startswith("@") else []
    own += ["--data", data] if "?" in data else []
    folder = str(outcome.folder)
    compared = outcome.table.index.get_level_values("arm").nunique() > 1
    last = ["list", "data"] if compared or not typed() else [*typed(), "--compare"]
    return [as_typed(*words) for words in (("report", folder), ("retrain", folder, *own), last)]
