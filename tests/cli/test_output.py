"""Standard output may be full, closed or without a reader, and Ctrl-C may come at any time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FORETELL = f"{sys.executable} -m foretell"
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """The result of a line of bash, which fails if any command of a pipe fails."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        timeout=120,
    )


@FULL
@pytest.mark.parametrize("command", ["--help", "explain --proxies snip", "list losses --json"])
def test_a_full_disk_is_one_line_and_one(command: str) -> None:
    ended = shell(f"{FORETELL} {command} > /dev/full")
    assert ended.returncode == 1
    assert ended.stderr == "foretell: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("command", ["--help", "explain --proxies snip", "list losses --json"])
@pytest.mark.parametrize("end", ["| head -1 >&2", "| true", ">&-"])
def test_a_reader_that_has_gone_is_no_error(command: str, end: str) -> None:
    ended = shell(f"{FORETELL} {command} {end}")
    assert ended.returncode == 0
    assert ended.stderr.count("\n") <= 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_the_lines_of_tables_is_no_error(encoding: str) -> None:
    ended = shell(f"PYTHONIOENCODING={encoding} {FORETELL} list losses")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\u2500" in ended.stdout


@FULL
@pytest.mark.parametrize("end", ["2>&-", "2> /dev/full"])
def test_nobody_hears_the_reason(end: str) -> None:
    ended = shell(f"{FORETELL} rnk {end}")
    assert (ended.returncode, ended.stdout) == (2, "")


def test_ctrl_c_ends_a_ranking_with_130_and_one_line(tmp_path: Path) -> None:
    """This holds whatever the command is doing."""
    (tmp_path / "slow.py").write_text(
        "import sys, time\n"
        "from torch import nn\n"
        "def net():\n"
        "    print('now', flush=True)\n"
        "    time.sleep(100)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-m", "foretell", "rank", "slow.py:net"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with command as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "now\n"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == "foretell: stopped\n"
