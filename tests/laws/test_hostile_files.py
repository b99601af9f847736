"""Malicious tables, run folders, archives and column names execute nothing."""

import bz2
import json
import os
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretell import ForetellError, load_data
from foretell.cli import main
from foretell.files import delete_drafts, file_name
from foretell.models.sources import require_registered
from foretell.report import Page, TableBlock, write_page
from foretell.runs.kept import KEPT
from foretell.runs.rowfile import ROWS
from foretell.runs.store import Store, read_rows
from foretell.studies.read import read_study
from foretell.studies.run import run_study
from foretell.tables import Table, import_table, read_table, write_table

HOSTILE = (
    "subprocess:getoutput?cmd=touch TAKEN",
    "os:system?command=touch TAKEN",
    "evil.py:net",
    "/tmp/evil.py:net",
    "builtins:eval?source=1",
    "package:os.system",
    "file:evil.py:net",
    "timm:resnet18?pretrained=true",
    "timm:resnet18?checkpoint_path=evil.pth",
    "torchvision:resnet18?weights=DEFAULT",
    "hf:gpt2?trust_remote_code=true",
    'hf:gpt2?auto_map={"AutoModel":"evil.Model"}',
    "pytorchcv:resnet20_cifar10?root=/tmp",
)
HARMLESS = (
    "timm:resnet18",
    "torchvision:resnet18?image_size=64",
    "hf:gpt2?n_layer=4",
    "hf:bert?task=masked",
    "nb201:333013",
    "macro:02012100",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_cannot_name_code(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Neither the named file nor one that a setting points to is run, and no folder is created."""
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("open('TAKEN', 'w')\ndef net(): ...\n")
    frame = pd.DataFrame({"top1": [1.0, 2.0, 3.0]}, index=[name, "timm:resnet18", "timm:resnet34"])
    write_table(Table("zoo", "models", frame, reporting=("top1",)), tmp_path / "zoo.parquet")
    with pytest.raises(ForetellError, match="; in a table, "):
        run_study(tmp_path / "zoo.parquet", "random:3x8x8", run="run", proxies=["params"])
    with pytest.raises(ForetellError, match="; in a table, "):
        run_study(read_table(tmp_path / "zoo.parquet"), "random:3x8x8", run="run")
    assert not Path("TAKEN").exists()
    assert not Path("run").exists()


@pytest.mark.parametrize("name", HARMLESS)
def test_names_of_registered_sources_are_accepted(name: str) -> None:
    """Their settings can be numbers, or the task of a language model."""
    require_registered(name)


def test_a_table_made_in_python_may_name_a_file(tmp_path: Path, monkeypatch: Any) -> None:
    """The names come from the caller. Reading the study does not run the file again."""
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(
        "import torch\ndef net(width=4):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    names = [f"nets.py:net?width={width}" for width in (4, 5, 6)]
    frame = pd.DataFrame({"top1": [1.0, 2.0, 3.0]}, index=names)
    table = Table("zoo", "models", frame, reporting=("top1",))
    run_study(table, load_data("digits"), run="run", proxies=["params"], sample=None, batch_size=4)
    Path("nets.py").write_text("raise SystemExit('this must not run')\n")
    assert read_study("run").runs[0]["params"].notna().all()


def test_an_importer_refuses_names_of_code(tmp_path: Path) -> None:
    """A table that could not be read back is not written."""
    path = tmp_path / "zoo.csv"
    path.write_text("net,top1\nsubprocess:getoutput?cmd=date,1\ntimm:resnet18,2\n")
    from foretell.tables import Columns, Labels, import_columns

    with pytest.raises(ForetellError, match=r"not the name of a model|may name models"):
        import_columns(path, Columns(key="net", report=("top1",)), Labels("zoo", "models"))


@pytest.mark.parametrize(
    "text", ["../../escaped", "acc/top1", "/etc/passwd", "a\\b", "a\0b", ".hidden", "", "x" * 500]
)
def test_a_column_names_a_file_in_the_folder_only(text: str, tmp_path: Path) -> None:
    """No column name becomes a path, a hidden file, or a name that the system refuses."""
    name = file_name(text)
    assert Path(name).name == name
    assert not name.startswith(".")
    assert 0 < len(name.encode()) <= 120
    block = TableBlock(f"table-{text}", "caption", pd.DataFrame({"a": [1]}))
    write_page(Page("title", "summary", [("section", [block])]), tmp_path / "out")
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "out"}


def test_different_columns_name_different_files() -> None:
    """This holds even if the same characters remain of them."""
    assert len({file_name(text) for text in ("a/b", "a-b", "a\\b", "a b", "a:b")}) == 5


def test_official_pickles_are_read_only_if_trusted(tmp_path: Path) -> None:
    """The package of their authors reads them, which runs the code in them."""
    pytest.importorskip("nats_bench")
    marker = tmp_path / "TAKEN"
    path = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(bz2.compress(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()))
    with pytest.raises(ForetellError, match="--trust-pickle"):
        import_table("nats-tss", path)
    assert main(["data", "import", "nats-tss", str(path)]) == 2
    assert not marker.exists()
    with pytest.raises(ForetellError, match="cannot be read as the official archive"):
        import_table("nats-tss", path, trust_pickle=True)
    assert marker.exists()  # which is why it must be requested


def test_a_pickle_for_the_speech_benchmark_runs_nothing(tmp_path: Path) -> None:
    """It is read by an unpickler that knows only plain values."""
    marker = tmp_path / "TAKEN"
    path = tmp_path / "nb-asr-e40-1.pickle"
    path.write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    with pytest.raises(ForetellError):
        import_table("asr", tmp_path)
    assert not marker.exists()


ENDLESS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
    "loop": lambda path: path.symlink_to(path.name),
    "nothing": lambda path: path.symlink_to("/nowhere/at/all"),
}
"""What can stand in the place of a file, and can have no writer or no end."""
READING = r"""
calibrate x.csv
calibrate x.json
calibrate x.parquet
calibrate scores.csv --results x.csv
rank @x.txt
search --space @x.txt
score x.py:net
score nb201:333013 --data npz:x.npz
score nb201:333013 --data csv:x.csv
score nb201:333013 --data text:x.txt
score nb201:333013 --data folder:pictures
study x.parquet
data check x.parquet
data import table x.csv --space nb201 --key arch
data import nb201 x.parquet
data import nb201-pth x.pth
data import nb101-tfrecord x.tfrecord
data import asr x.pickle
data import nlp x.zip
search --against ./x.parquet:took --searcher nsga2
study search run
report run
retrain run
tell run --results x.csv
"""


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("line", READING.strip().splitlines())
def test_nothing_waits_for_a_pipe_or_reads_a_device(
    line: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text("name,snip\na,1\nb,2\nc,3\n")
    for folder in ("run", "pictures/class"):
        Path(folder).mkdir(parents=True)
    endings = ("csv", "json", "parquet", "txt", "py", "npz", "pth", "tfrecord", "pickle", "zip")
    for name in (*(f"x.{one}" for one in endings), "run/run.json", "pictures/class/x.png"):
        ENDLESS[kind](Path(name))
    assert main(shlex.split(line)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_no_file_of_a_run_is_waited_for(kind: str, tmp_path: Path) -> None:
    for name in (KEPT, ROWS, "run.json"):
        folder = tmp_path / name
        Store.open(folder, {"seed": 0}).close()
        (folder / name).unlink()
        ENDLESS[kind](folder / name)
        with pytest.raises(ForetellError):
            read_rows(folder)
        with pytest.raises(ForetellError):
            Store.open(folder, {"seed": 0})
    ENDLESS[kind](tmp_path / ".x.foretell.tmp")
    delete_drafts(tmp_path)


METADATA = [
    b"[]",
    b"null",
    b"[" * 100_000,
    b"\xff",
    b'{"format":1}',
    b'{"format":1e999}',
    b'{"format":1,"name":"x","space":"nb201","source":"","licence":"","choosing":5,'
    b'"reporting":[],"cost":[],"lower_is_better":[],"repeats":{},"checksum":""}',
    b'{"format":1,"name":"x","space":"nb201","source":"","licence":"","choosing":[["a"]],'
    b'"reporting":[],"cost":[],"lower_is_better":[],"repeats":{"a":[{}]},"checksum":""}',
]


@pytest.mark.parametrize("metadata", METADATA, ids=range(len(METADATA)))
def test_the_metadata_of_a_table_is_not_trusted(
    metadata: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path))
    content = pa.table({"arch": ["333013"], "val": [1.0]})
    path = tmp_path / "x.parquet"
    pq.write_table(content.replace_schema_metadata({b"foretell": metadata}), path)
    with pytest.raises(ForetellError):
        read_table(path)
    assert main(["data", "list"]) == 0


@pytest.mark.parametrize(
    "pandas", [b"{bad", b'{"index_columns":["x"],"columns":[],"column_indexes":[]}']
)
def test_a_table_that_pandas_cannot_read_is_refused(pandas: bytes, tmp_path: Path) -> None:
    content = pa.table({"name": ["a"], "value": [1.0]}).replace_schema_metadata({b"pandas": pandas})
    pq.write_table(content, tmp_path / "x.parquet")
    for command in ("calibrate", "tell", "data import nb201"):
        words = shlex.split(f"{command} {tmp_path / 'x.parquet'}")
        assert main([*words, *(["--results", words[-1]] if command == "tell" else [])]) == 2


def test_a_log_of_any_declared_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.tables.nlp.LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "logs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * 1001)
    with pytest.raises(ForetellError, match="has 1,001 bytes; expected logs of at most 1,000"):
        import_table("nlp", tmp_path / "logs.zip")


EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eevil\u2066"


def test_no_name_reaches_the_terminal_as_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in a table, nor in JSON or an error; CSV to a file has it as it is."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"name": [EVIL, "a\nb", "c"], f"s{EVIL}": [1.0, 2.0, 3.0]})
    frame.to_csv("x.csv", index=False)
    Path(f"{EVIL}.csv").write_text("name\na\n")
    roles: dict[str, Any] = {"choosing": (f"v{EVIL}",), "source": EVIL, "licence": EVIL}
    keys = ["333013", "111111", "222222"]
    values = pd.DataFrame({f"v{EVIL}": [1.0, 2.0, 3.0]}, keys)
    write_table(Table(EVIL, "nb201", values, **roles), tmp_path / "x.parquet")
    for line in (
        "calibrate x.csv",
        "calibrate x.csv --json",
        "calibrate x.csv --columns nope",
        f"calibrate {shlex.quote(f'{EVIL}.csv')}",
        "data check x.parquet",
        "data check x.parquet --json",
        f"rank {shlex.quote(EVIL)}",
        "study x.parquet --truth nope",
    ):
        main(shlex.split(line))
        said = capsys.readouterr()
        assert all(one.isprintable() or one == "\n" for one in said.out + said.err), line
        if "--json" in line:
            assert repr(EVIL)[1:-1] in str(json.loads(said.out))
    assert main(["calibrate", "x.csv", "--csv"]) == 0
    assert EVIL in capsys.readouterr().out
