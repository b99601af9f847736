"""Importing CSV and Parquet files: a user's own columns, and the recipes for known ones."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.errors import ForetellError
from foretell.spaces import make_space
from foretell.tables import IMPORTERS, Table, check_table, import_table, read_table
from foretell.tables.recipes import RECIPES
from tests.support.cells import CELLS
from tests.support.commands import refused, run

PREPARED = {
    "nb201": ("nb201_accuracy", 15_625),
    "nb201-hw": ("nb201_hw_nas_bench", 15_625),
    "nb201-latency": ("nb201_help_latency", 15_625),
    "nb101": ("nb101_20001", 20_001),
    "macro": ("nasbench_macro_cifar10", 6_561),
    "nb301": ("nb301_zc_sample_725", 725),
    "tnb101_micro": ("tnb101_micro", 4_096),
    "nlp": ("nasbench_nlp_wikitext2_345", 265),
    "pytorchcv-cifar10": ("pytorchcv_models", 70),
    "pytorchcv-cifar100": ("pytorchcv_models", 68),
    "pytorchcv-svhn": ("pytorchcv_models", 63),
    "pytorchcv-cub": ("pytorchcv_models", 15),
    "pytorchcv-imagenet": ("pytorchcv_models", 323),
    "torchvision": ("torchvision_weights", 78),
    "timm": ("timm_imagenet_results", 1_267),
}
OFFICIAL = {
    "nats-tss",
    "nats-sss",
    "nb201-pth",
    "tnb101-micro-pth",
    "tnb101-macro-pth",
    "nb101-tfrecord",
    "asr",
    "nlp",
    "nds",
}
"""The sources that test_official.py tests."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's tables."""
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's CSV file: cells as digits, some with leading zeros, and accuracies as fractions."""
    path = tmp_path / "mine.csv"
    frame = pd.DataFrame(
        {
            "cell": ["000000", "100000", "200000", "300000"],
            "val_acc": [0.1, 0.5, 0.7, None],
            "test_acc": [0.1, 0.6, 0.7, 0.8],
            "run_1": [0.1, 0.5, 0.7, 0.8],
            "run_2": [0.1, 0.7, 0.7, 0.8],
            "seconds": [1, 2, 3, 4],
            "note": list("abcd"),
        }
    )
    frame.to_csv(path, index=False)
    return path


def own(path: Path, *more: str) -> list[str]:
    """The command that imports the file."""
    return ["data", "import", "table", str(path), "--space", "nb201", "--key", "cell", *more]


def test_own_csv(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys are in the format of the space, fractions become percent, and costs do not change."""
    roles = ["--choose", "val_acc", "--report", "test_acc", "--cost", "seconds", "--scale", "100"]
    more = ["--repeats", "test_acc=run_1,run_2", "--keep", "note", "--name", "cells"]
    labels = ["--source", "a colleague", "--licence", "CC0"]
    code, out, _ = run(capsys, *own(mine, *roles, *more, *labels))
    assert code == 0
    assert "table cells: 4 rows, columns: 1 to choose by, 1 to report, 1 of cost" in out
    table = read_table("cells", space="nb201")
    assert list(table.frame.index) == CELLS
    assert table.choose("val_acc").tolist()[:3] == pytest.approx([10, 50, 70])
    assert np.isnan(table.choose("val_acc").iloc[3])
    assert table.report("test_acc").tolist() == pytest.approx([10, 60, 70, 80])
    assert table.frame["seconds"].tolist() == [1, 2, 3, 4]
    assert table.frame["run_2"].tolist() == pytest.approx([10, 70, 70, 80])
    assert table.repeats == {"test_acc": ("run_1", "run_2")}
    assert (table.source, table.licence) == ("a colleague", "CC0")
    assert all(finding.good for finding in check_table(table))


def test_own_parquet_gives_the_same_table(mine: Path, tmp_path: Path) -> None:
    """The kind of file does not matter, and a named index counts as a column."""
    from foretell.tables import Columns, Labels, import_columns

    columns = Columns(key="cell", report=("test_acc",))
    labels = Labels("mine", "nb201")
    frame = pd.read_csv(mine, dtype={"cell": str})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_index("cell").to_parquet(tmp_path / "b.parquet")
    frame.to_csv(tmp_path / "c.tsv", sep="\t", index=False)
    tables = [
        import_columns(path, columns, labels)
        for path in (mine, *(tmp_path / name for name in ("a.parquet", "b.parquet", "c.tsv")))
    ]
    assert len({table.checksum for table in tables}) == 1


def test_models_as_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of models are not parsed, but must contain a source."""
    path = tmp_path / "zoo.csv"
    path.write_text("net,top1\ntorchvision:resnet18,69.8\ntimm:resnet50,80.1\n")
    command = ["data", "import", "table", str(path), "--key", "net", "--report", "top1", "--space"]
    assert run(capsys, *command, "models")[0] == 0
    assert read_table("zoo").report("top1")["timm:resnet50"] == 80.1
    path.write_text("net,top1\nresnet18,69.8\n")
    assert "is not the name of a model" in refused(capsys, *command, "models", "--replace")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--choose", "val_acc", "--report", "val_acc"], "has the roles choosing and reporting"),
        (["--choose", "val"], "no column 'val'; did you mean 'val_acc'?"),
        (["--choose", "note"], "contains 'a'; expected numbers in a column with a role"),
        ([], "no choosing, reporting or cost column"),
        (["--report", "test_acc", "--key", "net"], "no key column 'net'"),
        (["--report", "test_acc", "--key", "note"], "is not an architecture of nb201"),
        (["--report", "test_acc", "--space", "nb210"], "no space is called 'nb210'"),
        (["--report", "test_acc", "--repeats", "run_1"], "names no runs"),
        (["--report", "test_acc", "--name", "a/b"], "is not a valid table name"),
    ],
)
def test_invalid_columns_are_refused(
    mine: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """The command prints one line, exits with code 2, and writes nothing."""
    assert message in refused(capsys, *own(mine, *more))
    assert not folder.exists()


def test_invalid_files_are_refused(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing or duplicate keys, also in different notation, and files that are not tables."""
    report = ["--report", "test_acc"]
    rows = mine.read_text().splitlines()
    for name, lines, message in (
        ("missing.csv", [*rows, ",1,1,1,1,1,x"], "1 of 5 rows have no key, the first is row 4"),
        ("twice.csv", [*rows, rows[1]], "1 rows repeat a key"),
        ("same.csv", [*rows, f"{CELLS[0]},1,1,1,1,1,x"], "repeat a key"),
        ("empty.csv", [], "cannot be read as CSV"),
        ("none.csv", rows[:1], "has no rows"),
        ("torn.csv", [*rows, 'x,"'], "cannot be read as CSV"),
    ):
        path = tmp_path / name
        path.write_text("\n".join(lines))
        assert message in refused(capsys, *own(path, *report)), name
    pd.read_csv(mine).to_parquet(tmp_path / "torn.parquet")
    whole = (tmp_path / "torn.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(capsys, *own(tmp_path / "torn.parquet", *report))
    assert "no file" in refused(capsys, *own(tmp_path / "absent.csv", *report))
    assert "is not a table" in refused(capsys, *own(tmp_path, *report))


def test_import_needs_and_refuses_options(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown source, columns for a known source, and overwriting without --replace."""
    assert "did you mean 'nb201'?" in refused(capsys, "data", "import", "nb210", str(mine))
    known = ["data", "import", "nb201", str(mine), "--choose", "val_acc"]
    assert "applies only to the source 'table'" in refused(capsys, *known)
    assert "needs --space" in refused(capsys, "data", "import", "table", str(mine))
    short = ["data", "import", "table", str(mine), "--space", "nb201"]
    assert "needs --key" in refused(capsys, *short)
    assert "no key column 'arch_str'" in refused(capsys, "data", "import", "nb201", str(mine))
    assert "has no column 'adjacency'" in refused(capsys, "data", "import", "nb101", str(mine))
    assert run(capsys, *own(mine, "--report", "test_acc"))[0] == 0
    before = read_table("mine").checksum
    assert "--replace" in refused(capsys, *own(mine, "--choose", "val_acc"))
    assert read_table("mine").checksum == before
    assert run(capsys, *own(mine, "--choose", "val_acc", "--replace"))[0] == 0
    assert read_table("mine").choosing == ("val_acc",)


def test_every_importer_is_tested() -> None:
    """A new source needs a line in this file, or a test on a small file of its structure."""
    assert set(RECIPES) == set(PREPARED) - {"nlp"}
    assert set(PREPARED) | OFFICIAL == set(IMPORTERS)


@pytest.fixture(scope="session")
def imported(shared: Path) -> Callable[[str], Table]:
    """Imports a prepared table by the name of its recipe, each once."""
    return cache(
        lambda name: import_table(name, shared / "data" / "tables" / f"{PREPARED[name][0]}.parquet")
    )


@pytest.mark.parametrize("name", PREPARED)
def test_prepared_tables(name: str, imported: Callable[[str], Table]) -> None:
    """They have one row per architecture, and accuracies in percent."""
    table = imported(name)
    assert len(table.frame) == PREPARED[name][1]
    assert table.name == name
    assert table.source
    judged = table.frame[[*table.choosing, *table.reporting]]
    if len(judged.columns) and not name.startswith(("nlp", "tnb101")):
        assert judged.mean().min() > 1.5  # the lowest is an error of 2.5 % on SVHN
        assert judged.max().max() <= 100
    assert not any("test" in column for column in table.choosing)
    assert not any("val" in column.replace("10valid_test", "") for column in table.reporting)


def test_prepared_nb201(imported: Callable[[str], Table]) -> None:
    """It has the published maxima, keys in the format of the space, and no one-seed columns."""
    table, space = imported("nb201"), make_space("nb201")
    best = table.frame[list(table.reporting)].max()
    assert best["cifar10_test_200"] == pytest.approx(94.373, abs=1e-3)
    assert best["cifar100_test_200"] == pytest.approx(73.513, abs=1e-3)
    assert best["imagenet16_test_200"] == pytest.approx(47.311, abs=1e-3)
    assert table.choose("cifar10valid_xvalid_200").max() == pytest.approx(91.607, abs=1e-3)
    assert table.frame.index[0] == space.format(space.parse("0"))
    assert not [column for column in table.frame if "1seed" in column]
    costs = imported("nb201-hw").frame
    assert costs.loc[table.frame.index[0], "cifar10_edgegpu_latency"] == pytest.approx(5.8074, 1e-4)
    assert set(imported("nb201-latency").frame.index) == set(table.frame.index)


def test_one_seed_columns_are_test_accuracies(shared: Path) -> None:
    """The recipe leaves these columns out, since they are test accuracies despite their names.

    A validation accuracy on CIFAR-10 is over 25,000 images and a test accuracy over 10,000, and
    only the latter is always a multiple of 0.01 %. The validation and test images of CIFAR-100 are
    two halves, on which the accuracies of a network differ by chance; the column is closer to the
    test mean than that.
    """
    frame = pd.read_parquet(shared / "data" / "tables" / "nb201_accuracy.parquet")
    hundredths = 100 * frame["cifar10_val_200_1seed"]
    assert np.allclose(hundredths, hundredths.round(), atol=1e-3)
    honest = 100 * frame["cifar10_xvalid_12"]
    assert not np.allclose(honest, honest.round(), atol=1e-3)
    better = frame[frame["cifar100_test_12"] > frame["cifar100_test_12"].median()]
    halves = (better["cifar100_xvalid_12"] - better["cifar100_test_12"]).std()
    assert (better["cifar100_xvalid_200_1seed"] - better["cifar100_test_200"]).std() < halves


def test_prepared_nb101(imported: Callable[[str], Table], shared: Path) -> None:
    """Fractions become percent, and the key has the matrix above its diagonal."""
    raw = pd.read_parquet(shared / "data" / "tables" / "nb101_20001.parquet").iloc[0]
    table = imported("nb101")
    assert table.frame.index[0] == "100110100001001010101:02001"
    assert table.frame["hash"].iloc[0] == raw["hash"]
    assert table.choose("valid_108").iloc[0] == pytest.approx(100 * raw["val_acc_108"])
    assert table.frame["params"].iloc[0] == raw["params"]


def test_prepared_losses_and_errors(imported: Callable[[str], Table]) -> None:
    """Lower is better for losses and errors only."""
    nlp = imported("nlp")
    assert nlp.choose("valid_loss").min() == pytest.approx(4.567582, abs=1e-6)
    assert set(nlp.lower_is_better) == {"valid_loss", "test_loss"}
    assert imported("pytorchcv-cifar10").lower_is_better == ("top1_err",)
    assert imported("torchvision").report("acc1")["torchvision:resnet18"] == 69.758


def test_repeated_sizes_of_timm() -> None:
    """For each data set, the result at the smallest image size is used."""
    from foretell.tables.reshape import TIMM_SETS, timm

    rows = [
        {"eval": name, "model": "a", "img_size": size, "top1": size / 10, "param_count": 1.0}
        for name in TIMM_SETS.values()
        for size in (288, 224)
    ]
    wide = timm(pd.DataFrame(rows))
    assert wide["arch"].tolist() == ["timm:a"]
    assert wide["img_size"].tolist() == [224]
    assert wide["top1_imagenet_v2"].tolist() == [22.4]


def test_recipe_on_a_file_that_lacks_a_column(tmp_path: Path) -> None:
    """The message names the column."""
    path = tmp_path / "macro.csv"
    path.write_text("arch,mean_acc\n00000000,90\n")
    with pytest.raises(ForetellError, match="no column 'test_acc_a'"):
        import_table("macro", path)
