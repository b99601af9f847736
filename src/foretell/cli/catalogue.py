"""The registered proxies, spaces, data sets and so on, as tables."""

from collections.abc import Callable, Iterable

import pandas as pd

from foretell.data import DATA
from foretell.errors import ForetellError
from foretell.losses import LOSSES
from foretell.models import SOURCES
from foretell.names import first_line
from foretell.proxies import PROXIES, load_plugins
from foretell.proxies.quantities import QUANTITIES
from foretell.rankings import FAMILIES, RANKINGS, find_ranking
from foretell.searchers import SEARCHERS, Warmup
from foretell.spaces import SPACES
from foretell.tables import IMPORTERS, OWN

__all__ = ["CATALOGUES", "catalogue"]

Row = dict[str, str]


def _proxies() -> Iterable[Row]:
    load_plugins()
    for name, proxy in PROXIES.items():
        yield {
            "name": name,
            "better": "higher" if proxy.higher_is_better else "lower",
            "bound": proxy.bound,
            "what": proxy.summary,
            "source": proxy.source,
        }


def _rankings() -> Iterable[Row]:
    for name, ranking in RANKINGS.items():
        about = f"{ranking.summary} Members: {', '.join(ranking.members)}."
        yield {"name": name, "what": about, "source": ranking.source}
    for name in FAMILIES:
        family = find_ranking(name, ())
        yield {"name": f"{name}[:SCORES]", "what": family.summary, "source": family.source}


def _quantities() -> Iterable[Row]:
    for name, quantity in QUANTITIES.items():
        yield {"name": name, "what": quantity.meaning, "source": f"step {quantity.step}"}


def _spaces() -> Iterable[Row]:
    for name, space in SPACES.items():
        yield {"name": name, "what": space.summary, "source": space.source}


def _data() -> Iterable[Row]:
    for data in DATA.values():
        yield {"name": data.pattern, "what": data.summary, "source": data.source}


def _searchers() -> Iterable[Row]:
    for name, searcher in SEARCHERS.items():
        yield {"name": name, "what": searcher.summary, "source": searcher.source}
    yield {
        "name": "warmup",
        "what": first_line(Warmup),
        "source": "Abdelfattah et al. 2021, arXiv:2101.08134",
    }


def _models() -> Iterable[Row]:
    for source in SOURCES.values():
        yield {"name": source.pattern, "what": source.summary, "source": f"e.g. {source.example}"}


def _losses() -> Iterable[Row]:
    for name, loss in LOSSES.items():
        source = "the model" if name == "own" else "torch.nn.functional"
        yield {"name": name, "what": first_line(loss), "source": source}


def _tables() -> Iterable[Row]:
    about = "Any table of your own; options of `foretell data import` name its columns."
    yield {"name": OWN, "what": about, "source": "a .csv or .parquet file"}
    for name, importer in IMPORTERS.items():
        yield {"name": name, "what": importer.summary, "source": importer.takes}


CATALOGUES: dict[str, Callable[[], Iterable[Row]]] = {
    "proxies": _proxies,
    "rankings": _rankings,
    "quantities": _quantities,
    "spaces": _spaces,
    "data": _data,
    "searchers": _searchers,
    "models": _models,
    "losses": _losses,
    "tables": _tables,
}


def catalogue(what: str) -> pd.DataFrame:
    """One row per name, with a one-line description and its source.

    >>> catalogue("searchers").index.tolist()
    ['random', 'aging_evolution', 'guided', 'local', 'nsga2', 'predictor', 'reinforce',
     'warmup']
    """
    if what not in CATALOGUES:
        raise ForetellError(f"there is no list of {what!r}; choose one of {', '.join(CATALOGUES)}")
    return pd.DataFrame(CATALOGUES[what]()).set_index("name")
