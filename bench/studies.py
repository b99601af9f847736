"""Write docs/studies from the run folders of studies and of simulated searches.

    python bench/studies.py RUNS [--out docs/studies]

RUNS is a folder of run folders, made by the commands that stand on each page, with the tables of
docs/tables.md imported. Needs the extras studies and report.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import vl_convert

from foretell.report.page import Code, Figure, Page, Prose, TableBlock, cell
from foretell.report.searches import searches_page
from foretell.report.study import study_page
from foretell.report.write import write_page
from foretell.runs.store import read_config
from foretell.studies.judge import judge
from foretell.studies.run import read_study
from foretell.studies.simulations import read_simulations

ORDER = (
    "nb201",
    "repeats201",
    "nb101",
    "macro",
    "pcv10",
    "pcvin",
    "torchvision",
    "nlp",
    "econas",
    "sim201",
    "sim101",
)
STILLS = ("scatter",)  # thousands of points: as pixels
ABSOLUTE = "the published number is an absolute value: their notebooks hide the sign"
OTHER_SET = (
    "one minibatch of ten CIFAR-10 classes serves this set's accuracies too; the paper scored "
    "networks on the set's own images and classes"
)
CLASSES = (
    "one cell of each class of isomorphic cells is drawn here, the paper counts all 15,625; "
    "counting all isomorphs of the cells drawn moves ρ beyond the published number (on CIFAR-10 "
    "grad_norm to 0.66, snip 0.67, grasp 0.54, synflow 0.82, jacob_cov 0.65)"
)
SMALL = (
    "batch 8 of JPEG images here, 256 images there (and another minibatch for each network), "
    "300 of 423,624 cells"
)
WHY = {
    ("nb201", "cifar10_test_200", "*"): CLASSES,
    ("nb201", "cifar100_test_200", "*"): f"{CLASSES}; and {OTHER_SET}",
    ("nb201", "imagenet16_test_200", "*"): f"{CLASSES}; and {OTHER_SET}",
    ("nb101", "valid_108", "grad_norm"): f"{ABSOLUTE}; here it is clearly negative",
    ("nb101", "valid_108", "snip"): f"{ABSOLUTE}; here it is clearly negative",
    ("nb101", "valid_108", "fisher"): f"{ABSOLUTE}; and their fisher is another (fisher_reference)",
    ("nb101", "valid_108", "jacob_cov"): f"{ABSOLUTE}; {SMALL}: with eight images the correlation "
    "matrix has 28 entries",
    ("nb101", "valid_108", "grasp"): f"{ABSOLUTE}; {SMALL}",
}
REMARKS = {
    "nb101": (
        "On 40 of the 500 cells that NAS-Bench-Suite-Zero published scores of, ours rank as "
        "theirs do (ρ = 0.99 for snip, 0.98 grad_norm, 0.92 fisher, 1.00 synflow), and there "
        "snip is positive (0.62): the sign of the gradient scores hangs on which cells are "
        "drawn. The sample here is random."
    ),
    "macro": "No proxy's correlation on this space is published in the paper.",
    "pcv10": (
        "The published numbers are of networks trained on CIFAR-10; here as there they are "
        "scored untrained. Top-1 errors: less is better, and the signs here say so. Six of the "
        "deepest found no room at batch 16 in 9 GB and rank last, which pulls every score down: "
        "they are all among the 25 most accurate."
    ),
    "repeats201": (
        "Weights and minibatch are drawn three times for each cell: the table as CSV says how far "
        "ρ spreads over the draws (standard deviation, least and most)."
    ),
    "pcvin": (
        "Forty of the published networks, drawn at random, on eight images of ImageNet; the paper "
        "scored 191. Top-1 errors: less is better, and the signs here say so."
    ),
    "torchvision": (
        "Sixty-seven of 78: the largest are left out, and a minibatch of eight of "
        "efficientnet_b4, _b5, _v2_s and _v2_m found no room in 17 GB; those rank last. Each was "
        "trained by its own recipe: newer recipes make much of the accuracy, and no score of an "
        "untrained network knows of them."
    ),
    "sim101": (
        "The table has one validation accuracy a cell and no test accuracy, so the curves show "
        "the validation accuracy itself. A cell's neighbours are the 24 nearest of those "
        "scored. Random search after a warmup of 2,800 has with 10 networks what aging "
        "evolution alone has with 100 (94.51 %), but it never reaches what evolution alone has "
        "with 150: synflow's first picks are good, and its next ones are not better. Moves by "
        "synflow do not help here."
    ),
    "sim201": (
        "The sections told `cifar100_test_200` account as the paper does, by test accuracies "
        "alone; the others choose by validation and report the test accuracy of what was "
        "chosen. The paper reads, on CIFAR-100 after 300 networks: random 72.05, with warmup "
        "3000 73.15; evolution 73.25. Here no isomorph is trained twice, so random search sees "
        "more and has 72.5, with warmup 73.4, evolution 73.5. Evolution with warmup 3000 has "
        "with 80 networks (73.35) what it has alone with 200 (73.40), as in the paper."
    ),
    "econas": (
        "EcoNAS's reduced training is done on the thousand JPEG images of CIFAR-10 here, 800 "
        "of them to train on, where the paper trains on 50,000: its cost and its ρ are those "
        "of so few images."
    ),
    "nlp": (
        "Texts of this project's own, not WikiText-2, which is not at hand; losses: less is better."
    ),
}


def main() -> None:
    """Write a page for each run, and the index."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/studies"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    lines = ["# Studies", "", "Generated by `python bench/studies.py RUNS` from rows of runs.", ""]
    for name in ORDER:
        run = arguments.runs / name
        if (run / "rows.jsonl").exists():
            page = page_of(run)
            lines.append(f"- [{page.title}]({name}.md): {page.summary}")
            (arguments.out / f"{name}.md").write_text(markdown(page, name, run, arguments.out))
            print(name, page.title, flush=True)
    (arguments.out / "README.md").write_text("\n".join(lines) + "\n")


def page_of(run: Path) -> Page:
    """The same page as `foretell report` writes."""
    if read_config(run)["job"] == "simulation":
        return searches_page(read_simulations(run))
    rows = read_study(run)
    return study_page(rows, judge(rows))


def markdown(page: Page, name: str, run: Path, out: Path) -> str:
    """The page as Markdown, its figures beside it."""
    lines = [f"# {page.title}", "", page.summary, ""]
    lines += [REMARKS[name], ""] if name in REMARKS else []
    with tempfile.TemporaryDirectory() as aside:
        write_page(page, Path(aside))
        for heading, blocks in page.sections:
            lines += [f"## {heading}", ""]
            for block in blocks:
                match block:
                    case Prose():
                        lines += [block.text, ""]
                    case Code():
                        lines += ["```sh", block.text, "```", ""]
                    case TableBlock():
                        lines += [f"{block.caption.rstrip('.')}:", "", *rows_of(block.frame), ""]
                        lines += list(reasons(name, run, block))
                    case Figure():
                        file = figure(block, name, Path(aside), out)
                        lines += [f"![{block.caption}]({file})", "", block.caption, ""]
    return "\n".join(lines).rstrip() + "\n"


def rows_of(frame: pd.DataFrame) -> Iterator[str]:
    """A table in Markdown."""
    flat = frame.reset_index()
    yield "| " + " | ".join(str(column).replace("_", " ") for column in flat) + " |"
    yield "|" + "---|" * flat.shape[1]
    for row in flat.itertuples(index=False):
        yield "| " + " | ".join(cell(value).replace("|", "\\|") for value in row) + " |"


def reasons(name: str, run: Path, block: TableBlock) -> Iterator[str]:
    """Why a published number lies outside an interval, for each that does."""
    whole, truth = block.whole, block.name.removeprefix("table-")
    if whole is None or "published" not in whole:
        return
    apart = whole[whole["published"].notna()]
    apart = apart[
        (apart["published"] < apart["spearman_low"]) | (apart["published"] > apart["spearman_high"])
    ]
    for score, row in apart.iterrows():
        why = WHY.get((name, truth, str(score))) or WHY.get((name, truth, "*"))
        yield (
            f"- `{score}`: {row['spearman']:.2f} [{row['spearman_low']:.2f}, "
            f"{row['spearman_high']:.2f}], published {row['published']:.3f}: "
            f"{why or 'the cause is not known'}."
        )
    if len(apart):
        yield ""


def figure(block: Figure, name: str, aside: Path, out: Path) -> str:
    """Copy a figure: many points as pixels, else as SVG."""
    svg = aside / f"{block.name}.svg"
    if block.name.startswith(STILLS):
        file = f"{name}-{block.name}.png"
        (out / file).write_bytes(vl_convert.svg_to_png(svg.read_text(), scale=1))
    else:
        file = f"{name}-{block.name}.svg"
        shutil.copy(svg, out / file)
    return file


if __name__ == "__main__":
    main()
