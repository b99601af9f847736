"""Write docs/proxies.md from the registry and the proxies' docstrings.

python docs/generate.py
"""

import inspect
import textwrap
from collections.abc import Iterable
from pathlib import Path

from foretell.engine.plan import make_plan
from foretell.proxies import PROXIES, Proxy
from foretell.proxies.quantities import QUANTITIES
from foretell.rankings import RANKINGS

PAGE = Path(__file__).with_name("proxies.md")
OURS = [p for p in PROXIES.values() if p.function.__module__.startswith("foretell.")]
"""The proxies of foretell; those of plugins are documented by the plugins."""

BATCH = 64
LIMITS = "Limitations: "

INTRODUCTION = f"""\
# The proxies

This page defines every proxy and ranking of foretell, with its source, cost and known limitations.
It is generated from the docstrings in `foretell/proxies/` by `python docs/generate.py`.

The cost is that of computing the proxy alone, in forward-equivalents: 1 is the arithmetic of one
forward pass of a minibatch of {BATCH} samples. Proxies that are computed together share their
passes; `foretell explain` shows the total. If a proxy is undefined for a model, its score is `nan`,
with a reason.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{len(OURS)} proxies in {PAGE}")


def page() -> str:
    """The content of the page."""
    return "\n".join((INTRODUCTION, *table(), "", *rankings(), "", *map(section, OURS)))


RANKINGS_SAID = """\
## Rankings

A ranking orders several networks by several scores (`--by NAME` of `foretell rank` and `foretell
search`, `by=NAME` in Python, `proxy=NAME` of the sampler for Optuna). It depends on the whole pool:
**one more network can change the order of the others**, so its points are not comparable between
pools. The columns `rank_without_MEMBER` give the rank without each of its members.

`log_rank:SCORES` (or `log_rank`, for all requested proxies) is Σ log(rank / m) over these scores,
m being the number of networks; the best network has rank m. If a member is undefined for a network,
the network is ranked by the other members: their sum is divided by their number and multiplied by
the number of all members, and `why` says which are missing. `mean_rank:SCORES` is the mean of
rank / m instead, and `synflow+jacob_cov` is short for `mean_rank:synflow,jacob_cov`. In the vote,
an undefined score loses to any other.
"""


def rankings() -> Iterable[str]:
    """The section on rankings, with their table."""
    yield RANKINGS_SAID
    yield "| ranking | members | source |"
    yield "|---|---|---|"
    for name, ranking in RANKINGS.items():
        members = ", ".join(f"`{member}`" for member in ranking.members)
        yield f"| `{name}` | {members} | {ranking.source} |"


def table() -> Iterable[str]:
    """The table of proxies: direction, cost and source."""
    yield "| proxy | better | cost | source |"
    yield "|---|---|---|---|"
    for proxy in OURS:
        link = f"[`{proxy.name}`](#{proxy.name})"
        yield f"| {link} | {better(proxy)} | {cost(proxy)} | {proxy.source} |"


def section(proxy: Proxy) -> str:
    """The section of one proxy."""
    definition, limits = parts(proxy)
    facts = [
        f"- Source: {proxy.source}",
        f"- Better: {better(proxy)}",
        f"- Bound: {proxy.bound or 'none'}",
        "- Needs:",
        *(f"  - `{need}`: {QUANTITIES[need].meaning}" for need in proxy.needs),
        *([f"- Settings: {settings(proxy)}"] if proxy.settings else []),
        *(["- Draws random numbers: the value depends on the seed"] if proxy.draws else []),
        f"- Cost: {cost(proxy)} forward-equivalents",
    ]
    return "\n".join((f"## {proxy.name}", "", *definition, *facts, "", f"**{limits}", ""))


def parts(proxy: Proxy) -> tuple[list[str], str]:
    """The paragraphs of the docstring, each followed by a blank line, and its limitations."""
    text = (inspect.getdoc(proxy.function) or "").partition(">>>")[0]
    paragraphs = [filled(paragraph) for paragraph in text.strip().split("\n\n")]
    limits = [paragraph for paragraph in paragraphs if paragraph.startswith(LIMITS)]
    if len(limits) != 1:
        raise ValueError(f"the docstring of {proxy.name} needs one paragraph '{LIMITS}...'")
    definition = [line for p in paragraphs if p not in limits for line in (p, "")]
    return definition, limits[0].replace(LIMITS, "Limitations:** ", 1)


def filled(paragraph: str) -> str:
    """The paragraph wrapped to lines of at most 100 characters."""
    return textwrap.fill(" ".join(paragraph.split()), 100, break_on_hyphens=False)


def better(proxy: Proxy) -> str:
    """Whether higher or lower is better."""
    return "higher" if proxy.higher_is_better else "lower"


def settings(proxy: Proxy) -> str:
    """The settings with their defaults."""
    return ", ".join(f"`{name}={value}`" for name, value in proxy.settings.items())


def cost(proxy: Proxy) -> str:
    """The cost of the proxy alone, in forward-equivalents of a minibatch of `BATCH`."""
    return f"{make_plan(proxy.name).cost(BATCH):.3g}"


if __name__ == "__main__":
    main()
