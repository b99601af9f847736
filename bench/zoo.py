"""Score many published networks by every proxy, and list which scores are undefined and why.

    python bench/zoo.py --run runs/zoo [--only torchvision] [--workers 2]
    python bench/zoo.py --run runs/zoo --report docs/zoo.md

The run folder has one row per network; existing rows are not computed again. Each network is scored
untrained on four random images (or texts), at 64 pixels if it accepts them and at its own size
otherwise. The script needs the extras timm, pytorchcv and hf.
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from foretell import score
from foretell.batch import Batch
from foretell.data import load_data, minibatch
from foretell.errors import ForetellError
from foretell.models import expand_models, fit_batch, load_model
from foretell.proxies import PROXIES
from foretell.runs.store import Store, read_rows

PYTORCHCV = """
alexnet zfnet vgg11 bn_vgg11 bninception resnet10 preresnet10 resnext14_16x4d seresnet10
sepreresnet10 senet16 diaresnet10 cbam_resnet18 bam_resnet18 ibn_resnet50 resnesta18 regnetx002
regnety002 densenet121 peleenet dpn68 darknet_tiny darknet_ref dla34 squeezenet_v1_0 sqnxt23_w1
squeezeresnet_v1_0 shufflenet_g1_wd4 shufflenetv2_wd2 shufflenetv2b_wd2 menet108_8x1_g3
mobilenet_wd4 mobilenetv2_wd4 mobilenetv3_small_wd2 igcv3_wd4 mnasnet_b1 fbnet_cb
proxylessnas_cpu efficientnet_b0 ghostnet hrnet_w18_small_v1 vovnet27s selecsls42 fdmobilenet_wd4
hardnet39ds mixnet_s inceptionv3 condensenet74_c4_g4 resattnet56
""".split()  # noqa: SIM905 - read more easily as text
TEXT = ("hf:gpt2", "hf:llama", "hf:bert", "hf:roberta", "hf:t5", "hf:bart")
HF_IMAGES = ("hf:vit", "hf:swin", "hf:convnext")
BATCH = 4
PIXELS = 64
LISTED = 20
MEMORY = 22  # GiB for a network's process


def networks(only: str | None) -> list[str]:
    """The names of the networks."""
    timm = [f"timm:{name}" for name in smallest_of_each_family()]
    zoo = [
        *expand_models(["torchvision:*"]),
        *(f"pytorchcv:{name}" for name in PYTORCHCV),
        *TEXT,
        *HF_IMAGES,
        *timm,
    ]
    return [name for name in zoo if only is None or name.startswith(only)]


def smallest_of_each_family() -> Iterator[str]:
    """One model of each module of timm: the first whose name suggests that it is small."""
    import timm

    for module in timm.list_modules():
        names = timm.list_models(module=module)
        small = ("atto", "femto", "nano", "pico", "050", "xxs", "xx_small", "tiny", "small", "_s")
        yield next((n for word in small for n in names if word in n), names[0])


@dataclass(frozen=True)
class ZooTask:
    """Score one network by all proxies."""

    name: str

    def __call__(self) -> dict[str, Any]:
        """Its row: scores, reasons, seconds, and the size of its images."""
        torch.set_num_threads(1)
        bounded(MEMORY)
        start = time.perf_counter()
        complaints = []
        for name in dict.fromkeys([self.name, *self._small()][::-1]):
            try:
                return {"as": name, **scored(name), "seconds": time.perf_counter() - start}
            except ForetellError as error:
                complaints.append(str(error))
            except Exception as error:  # it would be a traceback for the user
                complaints.append(f"BUG {type(error).__name__}: {str(error)[:300]}")
        return {"as": self.name, "failed": complaints[-1], "seconds": time.perf_counter() - start}

    def _small(self) -> list[str]:
        return [] if self.name in TEXT else [f"{self.name}?image_size={PIXELS}"]


def bounded(gib: int) -> None:
    """Make allocations beyond this amount of memory fail, before the machine starts to swap."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (gib << 30, gib << 30))


def scored(name: str) -> dict[str, Any]:
    """Values and reasons."""
    text = name in TEXT
    source = Path(__file__).with_name("text.txt")
    splits = load_data(f"text:{source}?length=32" if text else f"random:3x{PIXELS}x{PIXELS}x1000")
    batch = fit_batch(Batch(*minibatch(splits.train, BATCH, 0)), name, splits)
    found = score(load_model(name, splits), batch, list(PROXIES), loss=splits.loss)
    return {
        "values": {key: one.value if one.why is None else None for key, one in found.items()},
        "why": {key: one.why for key, one in found.items() if one.why},
    }


def run(folder: str, names: list[str], workers: int) -> None:
    """Score the missing networks, each in a process of its own, so that all memory is free."""
    with Store.open(folder, {"job": "zoo", "batch": BATCH}) as store:
        tasks = [ZooTask(name) for name in names if {"network": name} not in store]
        with ThreadPoolExecutor(workers) as threads:
            rows = zip(tasks, threads.map(alone, tasks), strict=True)
            for done, (task, row) in enumerate(rows, 1):
                store.add({"key": {"network": task.name}, **row})
                note = row.get("failed") or ", ".join(row["why"]) or "all defined"
                print(f"{done}/{len(tasks)} {row['as']} {row['seconds']:.1f} s: {note}", flush=True)


def alone(task: ZooTask) -> dict[str, Any]:
    """The row of the task from a new process, or a row that says that the process died."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(task).result()
        except BrokenProcessPool:
            died = "its process died, probably because it ran out of memory"
            return {"as": task.name, "failed": died, "seconds": 0.0}


def report(folder: str) -> str:
    """The page: the networks, and for each reason why a score is undefined, those it applies to."""
    rows = read_rows(folder)
    scored_rows = [row for row in rows if "values" in row]
    sources = Counter(row["key"]["network"].partition(":")[0] for row in scored_rows)
    proxies = list(scored_rows[0]["values"])
    lines = [
        "# The zoo: scores of published models",
        "",
        "This page is for those who want to score a published model, and need to know which scores "
        "are defined for models of its kind. It is generated by `python bench/zoo.py`.",
        "",
        f"The models are {len(scored_rows)} untrained networks: "
        + ", ".join(f"{count} from {source}" for source, count in sources.items())
        + f". Each was scored on {BATCH} random images or texts, by {len(proxies)} proxies: "
        + ", ".join(f"`{proxy}`" for proxy in proxies)
        + ". All scores are defined, with the following exceptions:",
        "",
        "| score | why it is undefined | networks |",
        "|---|---|---|",
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in scored_rows:
        for proxy, why in row["why"].items():
            reasons.setdefault((proxy, why), []).append(row["key"]["network"])
    for (proxy, why), names in sorted(reasons.items()):
        lines.append(f"| `{proxy}` | {why} | {len(names)}: {listed(names)} |")
    failed = {row["key"]["network"]: row["failed"] for row in rows if "failed" in row}
    lines += ["", f"## Networks that could not be scored ({len(failed)})", ""]
    lines += [f"- {name}: {why}" for name, why in sorted(failed.items())] or ["None."]
    return "\n".join(lines) + "\n"


def listed(names: list[str]) -> str:
    """The names, or the first of them if there are many."""
    shown = sorted(names)
    rest = len(shown) - LISTED
    return ", ".join(shown if rest <= 0 else [*shown[:LISTED], f"and {rest} more"])


def main() -> None:
    """Score the networks, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", default="runs/zoo")
    parser.add_argument("--only", help="prefix of the names, such as torchvision")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.report:
        Path(arguments.report).write_text(report(arguments.run))
    else:
        run(arguments.run, networks(arguments.only), arguments.workers)


if __name__ == "__main__":
    main()
