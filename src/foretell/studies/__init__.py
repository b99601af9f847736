"""Studies measure how well scores rank the networks of a benchmark, with confidence intervals."""

from foretell.statistics.correlations import (
    kendall,
    majority_accuracy,
    pairwise_accuracy,
    partial_spearman,
    spearman,
    why_undefined,
)
from foretell.statistics.intervals import Interval, interval
from foretell.statistics.noise import noise_ceiling
from foretell.statistics.tops import (
    best_in_top,
    ndcg_at,
    precision_at,
    regret,
    regret_of_first,
    top_overlap,
    within_top,
)
from foretell.studies.judging import judge
from foretell.studies.read import Rows, read_study
from foretell.studies.run import run_study
from foretell.studies.table import study_table
from foretell.training.reduced import REDUCED

__all__ = [
    "REDUCED",
    "Interval",
    "Rows",
    "best_in_top",
    "interval",
    "judge",
    "kendall",
    "majority_accuracy",
    "ndcg_at",
    "noise_ceiling",
    "pairwise_accuracy",
    "partial_spearman",
    "precision_at",
    "read_study",
    "regret",
    "regret_of_first",
    "run_study",
    "spearman",
    "study_table",
    "top_overlap",
    "why_undefined",
    "within_top",
]
