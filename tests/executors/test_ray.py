"""A real Ray cluster of two nodes on this machine, with lost nodes, lost workers and Ctrl-C."""

import contextlib
import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell import ForetellError, load_data
from foretell.cli import main
from foretell.executors import ray_crew
from foretell.executors.processes import Lost, completed
from foretell.executors.ray import RayExecutor, require_answer
from foretell.executors.ray_worker import Shipper
from foretell.runs.store import read_rows
from foretell.runs.tasks import ScoreTask
from foretell.searching.search import search
from foretell.spaces import make_space
from foretell.studies.run import run_study
from foretell.tables import Table
from foretell.training.settings import TrainSettings
from tests.support.rows import lines_of

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'foretell[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
SPACE = "nb201?channels=4,cells=1"
PROXIES = ["synflow", "snip", "params"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node with one CPU and a fake GPU; each test adds a second node."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # the path of a socket must be short
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # Ray stores the address there
    head = {**NODE, "num_gpus": 1, "temp_dir": folder}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """The second node, for one test."""
    node = cluster.add_node(**NODE)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node, allow_graceful=False)


def kill(cluster: Any, node: Any) -> None:
    """Kill a node without letting it shut down."""
    cluster.remove_node(node, allow_graceful=False)


def here() -> str:
    """The node that the task runs on."""
    return str(ray.get_runtime_context().get_node_id())


def wait_for_both(executor: RayExecutor) -> None:
    """Wait until one worker of each node has run a task."""
    seen: set[str] = set()
    while len(seen) < 2:
        futures = [executor.submit(here) for _ in range(8)]
        seen |= {future.result() for future in futures}


def log_and_die(log: Path, gate: Path) -> int:
    """The number of this attempt; the first waits for the gate, the second kills its worker."""
    with log.open("a") as file:
        file.write(f"{here()}\n")
    number = len(log.read_text().split())
    while number == 1 and not gate.exists():
        time.sleep(0.05)
    if number == 2:
        die()
    return number


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise ForetellError("no")


def a_table(count: int) -> Table:
    """A table of so many cells with random accuracies."""
    space, rng = make_space("nb201"), np.random.default_rng(0)
    archs = [tuple(map(int, rng.integers(0, 5, 6))) for _ in range(count)]
    keys = list(dict.fromkeys(space.format(arch) for arch in archs))
    frame = pd.DataFrame({"accuracy": rng.normal(70, 5, len(keys))}, index=keys)
    return Table("mine", "nb201", frame, reporting=("accuracy",))


def timeless(folder: Path) -> list[str]:
    """All rows without times, in the order of their keys."""
    rows = [
        {
            name: [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in value]
            if name == "history"
            else value
            for name, value in row.items()
            if name != "seconds"
        }
        for row in read_rows(folder)
    ]
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def test_a_node_that_is_killed_loses_no_rows(cluster: Any, second: Any, tmp_path: Path) -> None:
    """Each row exists once, with the same bits as from one process."""
    options: dict[str, Any] = {
        "proxies": PROXIES,
        "sample": None,
        "batch_size": 16,
        "space": SPACE,
    }
    ticks: list[object] = []

    def progress(tick: object) -> None:
        ticks.append(tick)
        if len(ticks) == 4:
            kill(cluster, second)

    with RayExecutor(cluster.address) as executor:
        wait_for_both(executor)
        assert executor.at_once == 4
        run_study(
            a_table(30),
            "digits",
            run=tmp_path / "ray",
            executor=executor,
            progress=progress,
            **options,
        )
    run_study(a_table(30), "digits", run=tmp_path / "alone", **options)
    assert second not in cluster.worker_nodes
    assert len(read_rows(tmp_path / "ray")) == len(ticks) * len(PROXIES) > 60
    assert timeless(tmp_path / "ray") == timeless(tmp_path / "alone")


def test_a_lost_node_is_no_fault_of_its_task(cluster: Any, second: Any, tmp_path: Path) -> None:
    """The lost node does not count as an attempt: the task may still kill its worker once."""
    logs, gates = [tmp_path / "a", tmp_path / "b"], [tmp_path / "go a", tmp_path / "go b"]
    with RayExecutor(cluster.address) as executor:
        futures = [executor.submit(log_and_die, *paths) for paths in zip(logs, gates, strict=True)]
        while not all(log.exists() and log.read_text() for log in logs):
            time.sleep(0.05)
        lost = [log.read_text().strip() == second.node_id for log in logs]
        kill(cluster, second)
        gates[lost.index(False)].touch()
        results = [future.result() for future in futures]
    assert sorted(lost) == [False, True]
    assert results == [3 if was_lost else 1 for was_lost in lost]


def test_who_kills_its_worker_twice_is_lost_and_no_other(
    cluster: Any, second: Any, tmp_path: Path
) -> None:
    tasks: dict[int, Callable[[], Any]] = {n: partial(int, n) for n in range(12)}
    tasks[3] = die
    with RayExecutor(cluster.address) as executor:
        results = dict(completed(executor, tasks, 1))
    assert results == {n: Lost() if n == 3 else n for n in range(12)}


def check_data(executor: RayExecutor) -> None:
    """Tasks are small, since the images are in the object store once for all tasks."""
    digits = load_data("digits")
    space = make_space("nb201", {"channels": 4, "cells": 1, "in_channels": 1})
    tasks = [
        ScoreTask(space, arch, digits, 16, {"synflow": {}, "snip": {}}, 0, "cpu")
        for arch in ((3, 3, 3, 0, 1, 3), (2, 1, 3, 0, 1, 2))
    ]
    shipper = Shipper()
    parcels = [shipper.pickled(task) for task in tasks]
    assert all(len(pickled) < 5_000 for pickled, _ in parcels)
    assert len({ref for _, refs in parcels for ref in refs.values()}) == 1
    for task in tasks:
        there = executor.submit(task).result()
        assert [one.value for one in there.values()] == [one.value for one in task().values()]
    sent_back = executor.submit(copy.copy, digits).result()
    assert sent_back.fingerprint == digits.fingerprint


def test_what_a_worker_has(cluster: Any) -> None:
    """It has foretell, one thread, the folder and the requested GPU; errors are passed on."""
    with RayExecutor(cluster.address, gpus_per_task=None) as executor:
        check_data(executor)
        assert executor.gpus_per_task == 1
        assert executor.at_once == 2
        found = executor.submit(os.getenv, "CUDA_VISIBLE_DEVICES")
        threads = executor.submit(os.getenv, "OMP_NUM_THREADS")
        assert (found.result(), threads.result()) == ("0", "1")
        assert executor.submit(os.getcwd).result() == os.getcwd()
        with pytest.raises(ForetellError, match=r"^no$"):
            executor.submit(refuse).result()
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(threading.Lock).result()
    with pytest.raises(ForetellError, match="no node of the Ray cluster has 1 CPUs and 2 GPUs"):
        RayExecutor(cluster.address, gpus_per_task=2)


def test_other_versions_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row records which foretell and torch computed it."""
    monkeypatch.setattr(ray_crew, "versions", lambda: {"foretell": "0.0", "torch": "1.0"})
    with RayExecutor(cluster.address) as executor:
        first: Future[int] = executor.submit(int, "3")
        with pytest.raises(ForetellError, match=r"this machine has foretell 0\.0 and torch 1\.0"):
            first.result()
        with pytest.raises(ForetellError, match="install the same"):
            executor.submit(int, "3").result()


def test_a_search_from_the_command_line(
    cluster: Any, second: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "--space", SPACE, "--pool", "4", "--trainings", "2", "--batch-size", "16"]
    words += ["--epochs", "1", "--train-batch-size", "128", "--lr", "0.05", "--device", "cpu"]
    words += ["--run", str(tmp_path / "ray"), "--executor", f"ray:{cluster.address}", "--csv"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("arm,arch,")
    assert (tmp_path / "ray" / "chosen.pt").exists()
    search(
        SPACE,
        run=tmp_path / "alone",
        pool=4,
        trainings=2,
        batch_size=16,
        training=TrainSettings(epochs=1, batch_size=128, lr=0.05),
    )
    assert timeless(tmp_path / "ray") == timeless(tmp_path / "alone")


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_it(cluster: Any, tmp_path: Path) -> None:
    """It ends with one line, and the CPUs of the cluster are free again."""
    words = [sys.executable, "-m", "foretell", "search", "--space", SPACE, "--batch-size", "16"]
    words += ["--pool", "5000", "--run", str(tmp_path), "--executor", f"ray:{cluster.address}"]
    words += ["--device", "cpu"]
    source = str(Path(ray_crew.__file__).parents[2])
    run = subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": source},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not lines_of(tmp_path):
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    try:
        _, told = run.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130
    assert (
        told.decode().splitlines()[-1].startswith("foretell: stopped; run the same command again")
    )
    assert b"Traceback" not in told
    ray.init(address=cluster.address, log_to_driver=False)
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        time.sleep(0.1)
    ray.shutdown()


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        ("ray:127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("ray://127.0.0.1:1", "no Ray cluster answers at ray://127.0.0.1:1"),
        ("ray:nowhere:x", "'nowhere:x' is not an address of a Ray cluster"),
        ("dask:host:8786", "give processes, ray or ray:ADDRESS"),
    ],
)
def test_a_wrong_address_is_one_line(
    executor: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "--run", str(tmp_path / "run"), "--executor", executor]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_device_that_a_worker_cannot_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--executor", "ray", "--device", "cuda:1"]) == 2
    assert "give cuda, cpu or auto" in capsys.readouterr().err


def test_another_server_is_not_taken_for_ray() -> None:
    """Ray itself would take over a minute to detect it."""

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(ForetellError, match="the server is not Ray"):
            require_answer(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_without_ray(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["search", "--executor", "ray"]) == 2
    assert "pip install 'foretell[ray]'" in capsys.readouterr().err
