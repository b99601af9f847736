"""The report of a run under way: served on this machine alone, and as new as the run."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from foretell.cli import main
from foretell.errors import ForetellError, RunStateError
from foretell.report import write_report
from foretell.report.watch import watching
from foretell.searching.search import search
from foretell.training.settings import TrainSettings

pytest.importorskip("vl_convert")


def searched(run: Path, trainings: int) -> Path:
    """A search with this many trainings, or one that is continued."""
    few = {"proxies": ["params"], "by": "params", "pool": 6, "batch_size": 4}
    search("cnn", run=run, trainings=trainings, training=TrainSettings(epochs=1), **few)  # type: ignore[arg-type]
    return run


@contextmanager
def served(run: Path) -> Iterator[int]:
    """The port at which the report of the run is served."""
    server = watching(run, partial(write_report, run))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, the seconds after which the browser asks again, and the text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    found = answer.status, answer.headers.get("Refresh", ""), answer.read().decode()
    connection.close()
    return found


def test_the_page_is_as_new_as_the_run(tmp_path: Path) -> None:
    run = searched(tmp_path / "run", 1)
    with served(run) as port:
        status, refresh, first = get(port, "/")
        assert (status, refresh) == (200, "10")
        assert "After 1 trainings" in first
        written = (run / "report" / "index.html").stat().st_mtime_ns
        assert get(port, "/index.html")[2] == first
        assert (run / "report" / "index.html").stat().st_mtime_ns == written
        searched(run, 2)
        assert "After 2 trainings" in get(port, "/")[2]
        status, refresh, table = get(port, "/trained.csv")
        assert (status, refresh, table.count("\n")) == (200, "", 3)
        (run / "run.json").write_text("{")
        (run / "rows.more").write_text("")
        assert get(port, "/")[0] == 500


def test_only_this_machine_and_only_the_report(tmp_path: Path) -> None:
    with served(searched(tmp_path / "run", 1)) as port:
        assert get(port, "/", host="localhost")[0] == 200
        assert get(port, "/", host="evil.example")[0] == 403
        assert get(port, "/../run.json")[0] == 404
        assert get(port, "/%2e%2e/run.json")[0] == 404
        with pytest.raises(ForetellError, match="leave --port out"):
            watching(tmp_path / "run", partial(write_report, tmp_path / "run"), port)


def test_what_is_no_run_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunStateError):
        watching(tmp_path, partial(write_report, tmp_path))
    assert main(["report", str(tmp_path), "--watch"]) == 2
    assert main(["report", str(tmp_path), "--port", "8000"]) == 2
    assert "--port has no effect without --watch" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
