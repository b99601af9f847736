"""Studies: how well scores rank the networks of a benchmark, and how sure one can be."""

from foretell.studies.judge import judge
from foretell.studies.noise import noise_ceiling
from foretell.studies.reduced import REDUCED
from foretell.studies.resample import Interval, bootstrap
from foretell.studies.run import Rows, read_study, run_study
from foretell.studies.statistics import (
    kendall,
    majority_accuracy,
    pairwise_accuracy,
    partial_spearman,
    spearman,
    why_undefined,
)
from foretell.studies.table import study_table
from foretell.studies.tops import best_in_top, precision_at, regret, top_overlap, within_top

__all__ = [
    "REDUCED",
    "Interval",
    "Rows",
    "best_in_top",
    "bootstrap",
    "judge",
    "kendall",
    "majority_accuracy",
    "noise_ceiling",
    "pairwise_accuracy",
    "partial_spearman",
    "precision_at",
    "read_study",
    "regret",
    "run_study",
    "spearman",
    "study_table",
    "top_overlap",
    "why_undefined",
    "within_top",
]
