"""Estimate, before any training, which neural networks are worth training."""

from typing import TYPE_CHECKING

from foretell.names import lazily
from foretell.version import __version__

if TYPE_CHECKING:
    from foretell.batch import Batch
    from foretell.calibration.calibrate import calibrate
    from foretell.calibration.tell import tell
    from foretell.data import first_batch, load_data, minibatch
    from foretell.errors import ForetellError, OutOfMemory, RunStateError, UnknownName
    from foretell.models import fit_batch, load_model
    from foretell.progress import Progress
    from foretell.proxies import register
    from foretell.report import write_report
    from foretell.scoring.explain import explain
    from foretell.scoring.many import score_many
    from foretell.scoring.rank import rank
    from foretell.scoring.score import Score, score
    from foretell.scoring.settings import ScoreSettings
    from foretell.searching.chosen import load_chosen
    from foretell.searching.retrain import retrain
    from foretell.searching.search import search
    from foretell.spaces import Choices
    from foretell.studies import judge, run_study
    from foretell.tables import read_table
    from foretell.training.settings import TrainSettings

__all__ = [
    "Batch",
    "Choices",
    "ForetellError",
    "OutOfMemory",
    "Progress",
    "RunStateError",
    "Score",
    "ScoreSettings",
    "TrainSettings",
    "UnknownName",
    "__version__",
    "calibrate",
    "explain",
    "first_batch",
    "fit_batch",
    "judge",
    "load_chosen",
    "load_data",
    "load_model",
    "minibatch",
    "rank",
    "read_table",
    "register",
    "retrain",
    "run_study",
    "score",
    "score_many",
    "search",
    "tell",
    "write_report",
]

if not TYPE_CHECKING:  # or a type checker would accept any name
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "Batch": "batch",
            "Choices": "spaces",
            "ForetellError": "errors",
            "OutOfMemory": "errors",
            "Progress": "progress",
            "RunStateError": "errors",
            "Score": "scoring.score",
            "ScoreSettings": "scoring.settings",
            "TrainSettings": "training.settings",
            "UnknownName": "errors",
            "calibrate": "calibration.calibrate",
            "executors": "executors",
            "explain": "scoring.explain",
            "first_batch": "data",
            "fit_batch": "models",
            "integrations": "integrations",
            "judge": "studies",
            "load_chosen": "searching.chosen",
            "load_data": "data",
            "load_model": "models",
            "minibatch": "data",
            "plot": "plot",
            "rank": "scoring.rank",
            "read_table": "tables",
            "register": "proxies",
            "retrain": "searching.retrain",
            "run_study": "studies",
            "score": "scoring.score",
            "score_many": "scoring.many",
            "search": "searching.search",
            "tell": "calibration.tell",
            "testing": "testing",
            "write_report": "report",
        },
    )
