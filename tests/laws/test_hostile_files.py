"""Malicious tables, run folders, archives and column names execute nothing."""

import bz2
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell import ForetellError, load_data
from foretell.cli import main
from foretell.files import file_name
from foretell.models.sources import require_registered
from foretell.report import Page, TableBlock, write_page
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
