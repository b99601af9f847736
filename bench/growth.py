"""Measure how the cost of scoring grows with the batch, width, depth, scores and models.

    python bench/growth.py [--out docs/growth.svg]

Each point is measured in a new process with one thread, which scores cell 313431 of NAS-Bench-201
and prints its CPU seconds (of the second of two scorings) and the increase of its peak memory. One
quantity is varied at a time; the others are 16 images, 16 channels, 3 cells per stage, six scores
and one model. The script needs the extra report.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch
import vl_convert

import foretell
from foretell.spaces import make_space

SIX = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacob_cov")
USUAL = {"batch": 16, "channels": 16, "cells": 3, "scores": 6, "models": 1}
TRIED = {
    "batch": (8, 16, 32, 64, 128),
    "channels": (8, 16, 32, 64),
    "cells": (1, 2, 4, 8),
    "scores": (1, 2, 3, 4, 5, 6),
    "models": (1, 2, 4, 8),
}


def measure(setting: dict[str, int]) -> dict[str, float]:
    """The CPU seconds and MiB of one setting, and the CPU seconds of one training step."""
    torch.set_num_threads(1)
    space = make_space("nb201", {"channels": setting["channels"], "cells": setting["cells"]})
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(setting["batch"], 3, 32, 32, generator=generator)
    labels = torch.randint(10, (setting["batch"],), generator=generator)
    models = [space.build(space.parse("313431"), seed) for seed in range(setting["models"])]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        start = time.process_time()
        for model in models:
            foretell.score(model, (images, labels), SIX[: setting["scores"]])
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        start = time.process_time()
        models[0].train()(images).sum().backward()
        step = time.process_time() - start
    return {"seconds": seconds, "mib": (peak - before) / 1024, "step": step}


def apart(setting: dict[str, int]) -> dict[str, float]:
    """The result of `measure` in a fresh process."""
    words = [sys.executable, __file__, "--one", json.dumps(setting)]
    found: dict[str, float] = json.loads(subprocess.check_output(words))
    return found


def figure(frame: pd.DataFrame) -> str:
    """One panel per varied quantity, with logarithmic axes, as SVG."""
    points = frame.melt(["changed", "to"], ["seconds", "mib", "step"], "what")
    names = {"seconds": "scoring, CPU s", "mib": "scoring, MiB", "step": "one training step, CPU s"}
    log = {"type": "log", "nice": False, "padding": 10}
    axis = {"type": "quantitative", "scale": log}
    chart = {
        "data": {"values": points.assign(what=points["what"].map(names)).to_dict("records")},
        "facet": {"field": "changed", "type": "nominal", "columns": 3, "title": None},
        "spec": {
            "width": 190,
            "height": 190,
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {**axis, "field": "to", "title": None},
                "y": {**axis, "field": "value", "title": None},
                "color": {"field": "what", "type": "nominal", "title": None},
            },
        },
        "resolve": {"scale": {"x": "independent"}},
        "background": "white",
    }
    svg: str = vl_convert.vegalite_to_svg(chart)
    return svg


def main() -> None:
    """Measure, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/growth.svg"))
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return
    rows = []
    for changed, values in TRIED.items():
        for value in values:
            rows.append({"changed": changed, "to": value, **apart({**USUAL, changed: value})})
            last = rows[-1]
            numbers = f"{last['seconds']:8.2f} s {last['mib']:8.0f} MiB {last['step']:8.2f} s"
            print(f"{changed:<10}{value:>6} {numbers}", flush=True)
    arguments.out.write_text(figure(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
