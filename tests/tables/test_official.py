"""Importing the files that authors of benchmarks publish, from small files of that structure."""

import base64
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ForetellError
from foretell.progress import Progress
from foretell.tables import Table, import_table, read_table
from foretell.tables.tfrecord import crc32c, fields, masked
from tests.support.cells import CELLS
from tests.support.commands import refused, run

Make = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's tables."""
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


# NAS-Bench-101 ------------------------------------------------------------------------------------


def slow_crc32c(message: bytes) -> int:
    """The checksum, computed bit by bit."""
    state = 0xFFFFFFFF
    for byte in message:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    """A record in the format that TensorFlow writes."""

    def mask(value: int) -> int:
        return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF

    length = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", mask(slow_crc32c(part))) for part in (length, data))
    return length + next(sums) + data + next(sums)


def message(*parts: tuple[int, int | float | bytes]) -> bytes:
    """A protobuf message with these fields."""

    def varint(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    written = b""
    for number, value in parts:
        if isinstance(value, int):
            written += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            written += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            written += varint(number << 3 | 2) + varint(len(value)) + value
    return written


NB101_CELLS = {
    "a" * 32: ("0111000100010000", "input,conv3x3-bn-relu,maxpool3x3,output", 8_555_530),
    "b" * 32: ("011001000", "input,conv1x1-bn-relu,output", 227_274),
}


def nb101_record(digest: str, epochs: int, valid: float, test: float, seconds: float) -> bytes:
    """One run, evaluated before, halfway through and after training."""
    adjacency, operations, parameters = NB101_CELLS[digest]
    evaluations = [
        (1, message((1, done), (2, done * seconds), (3, 0.9), (4, v), (5, t), (6, b"/a/model")))
        for done, v, t in ((0.0, 0.1, 0.1), (0.5, 0.11, 0.12), (1.0, valid, test))
    ]
    metrics = message(*evaluations, (2, parameters), (3, 1.5 * seconds))
    encoded = base64.b64encode(metrics).decode()
    return json.dumps([digest, epochs, adjacency, operations, encoded]).encode()


NB101_RUNS = [
    ("a" * 32, 4, 0.5, 0.25, 40.0),
    ("b" * 32, 4, 0.25, 0.125, 20.0),
    ("a" * 32, 108, 0.75, 0.5, 1000.0),
    ("b" * 32, 108, 0.5, 0.375, 500.0),
    ("a" * 32, 108, 0.875, 0.625, 1100.0),
]


def make_tfrecord(path: Path) -> Path:
    """Five runs of two cells."""
    file = path / "nasbench.tfrecord"
    file.write_bytes(b"".join(framed(nb101_record(*values)) for values in NB101_RUNS))
    return file


def test_tfrecord(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are means over runs, in percent, and each run is a repeat."""
    file = make_tfrecord(tmp_path)
    assert run(capsys, "data", "import", "nb101-tfrecord", str(file))[0] == 0
    table = read_table("nb101", space="nb101")
    assert list(table.frame["hash"]) == ["a" * 32, "b" * 32]
    assert list(table.frame.index) == ["111011:02", "111:1"]
    assert table.choose("valid_108").tolist() == [81.25, 50.0]
    assert table.report("test_108").tolist() == [56.25, 37.5]
    assert table.choose("valid_4").tolist() == [50.0, 25.0]
    assert table.frame["seconds_108"].tolist() == [1050.0, 500.0]
    assert table.frame["params"].tolist() == [8_555_530, 227_274]
    assert table.repeats["test_108"] == ("test_108_1", "test_108_2")
    assert table.frame["test_108_1"].tolist() == [50.0, 37.5]
    assert table.frame["test_108_2"].iloc[0] == 62.5
    assert np.isnan(table.frame["test_108_2"].iloc[1])
    assert table.repeats["valid_4"] == ("valid_4_1",)
    assert not set(table.choosing) & set(table.reporting)


@given(st.data())
def test_tfrecord_damaged_anywhere(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Every changed byte and every truncation is noticed, except between two records."""
    file = make_tfrecord(tmp_path_factory.mktemp("nb101"))
    whole = file.read_bytes()
    ends = {0, *np.cumsum([len(framed(nb101_record(*values))) for values in NB101_RUNS]).tolist()}
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[place] ^ data.draw(st.integers(1, 255))])
    file.write_bytes(whole[:place] + changed + whole[place + 1 :])
    with pytest.raises(ForetellError, match=r"checksum|truncated"):
        import_table("nb101-tfrecord", file)
    file.write_bytes(whole[:place])
    if place not in ends:
        with pytest.raises(ForetellError, match="truncated"):
            import_table("nb101-tfrecord", file)


@pytest.mark.parametrize(
    "record",
    [
        b"no JSON",
        b"[1, 2]",
        b'{"a": 1}',
        json.dumps(["a", 4, "011001000", "input,lstm,output", ""]).encode(),
        json.dumps(["a", 4, "011001000", "input,conv3x3-bn-relu,output", "AAAA"]).encode(),
        json.dumps(["a", 4, "0110", "input,conv3x3-bn-relu,output", "!"]).encode(),
        nb101_record(*NB101_RUNS[0])[:-20] + b'"]',
    ],
)
def test_tfrecord_with_other_content(tmp_path: Path, record: bytes) -> None:
    """Complete records of another kind are refused in one line."""
    file = tmp_path / "other.tfrecord"
    file.write_bytes(framed(record))
    with pytest.raises(ForetellError, match=r"not one of NAS-Bench-101") as caught:
        import_table("nb101-tfrecord", file)
    assert "\n" not in str(caught.value)
    file.write_bytes(b"")
    with pytest.raises(ForetellError, match="no records"):
        import_table("nb101-tfrecord", file)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_checksums_of_many_at_once(messages: list[bytes]) -> None:
    """They equal the checksums of the single messages, computed bit by bit."""
    assert crc32c(messages).tolist() == [slow_crc32c(one) for one in messages]


def test_masked_checksum() -> None:
    """Every event file of TensorBoard begins with the length 24 and its checksum."""
    first = bytes.fromhex("1800000000000000a37f4b22")
    assert masked(crc32c([first[:8]])).tolist() == [int.from_bytes(first[8:], "little")]
    assert framed(bytes(24))[:12] == first


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2000),
            st.integers(0, 2**40) | st.floats(allow_nan=False) | st.binary(max_size=300),
        )
    )
)
def test_protobuf_fields(parts: list[tuple[int, int | float | bytes]]) -> None:
    """The fields read are those that were written."""
    assert list(fields(message(*parts))) == parts


# NATS-Bench and NAS-Bench-201 ---------------------------------------------------------------------

SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
SEEDS = {"12": (111,), "200": (777, 888)}
SIZE_SEEDS = {"01": (777,), "12": (777,), "90": (777,)}
SIZES = ["8:8:8:8:8", "8:64:32:8:16", "64:64:64:64:64"]


def accuracy(number: int, budget: str, dataset: str, part: str, seed: int) -> float:
    """An accuracy that differs for all arguments."""
    return (
        10.0
        + number
        + (0.5 if budget == "200" else 0.0)
        + 0.1 * list(SETS).index(dataset)
        + 0.01 * ("x-valid", "x-test", "ori-test").index(part)
        + seed / 1e6
    )


def nats_results(
    package: Any, number: int, cell: str, budgets: dict[str, tuple[int, ...]] = SEEDS
) -> dict[str, Any]:
    """One network in the format of the archive: budget -> state."""
    states = {}
    for budget, seeds in budgets.items():
        results = package.ArchResults(number, cell)
        for dataset, parts in SETS.items():
            for seed in seeds:
                epochs, size = 2, np.float64(0.5 + number)  # two epochs in all
                one = package.ResultsCount(
                    dataset, None, {}, {}, size, 20.0 + number, {}, seed, epochs, [0.01]
                )
                curve = {0: 1.0, 1: 2.0}
                one.update_train_info(curve, curve, curve, {0: 100.0, 1: 110.0})
                last = {
                    f"{part}@{epoch}": epoch * accuracy(number, budget, dataset, part, seed)
                    for part in parts
                    for epoch in range(epochs)
                }
                one.update_eval(last, last, last)
                results.update(dataset, seed, one)
        states[budget] = results.state_dict()
    return states


def make_nats_folder(path: Path) -> Path:
    """The archive in its -simple form, with three networks, one of which has no file."""
    package = pytest.importorskip("nats_bench")
    folder = path / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    for number in (0, 2):
        states = nats_results(package, number, CELLS[number])
        package.pickle_save(states, folder / f"{number:06d}", ".pickle.pbz2")
    meta = {"meta_archs": CELLS, "evaluated_indexes": {0, 2}}
    package.pickle_save(meta, folder / "meta", ".pickle.pbz2")
    return folder


def test_nats_sizes(tmp_path: Path) -> None:
    """The size archive has other budgets and other networks."""
    package = pytest.importorskip("nats_bench")
    infos = {n: nats_results(package, n, SIZES[n], SIZE_SEEDS) for n in (0, 1)}
    content = {"meta_archs": SIZES, "evaluated_indexes": {0, 1}, "arch2infos": infos}
    package.pickle_save(content, tmp_path / "NATS-sss", ".pickle.pbz2")
    table = import_table("nats-sss", tmp_path / "NATS-sss.pickle.pbz2", trust_pickle=True)
    assert (table.name, table.space) == ("nats_sss", "nats_sss")
    assert table.frame.index.tolist() == SIZES[:2]
    wanted = accuracy(1, "90", "cifar100", "x-valid", 777)
    assert table.choose("cifar100_xvalid_90")[SIZES[1]] == pytest.approx(wanted, abs=1e-12)
    assert {column.rpartition("_")[2] for column in table.reporting} == {"90", "12"}
    with pytest.raises(ForetellError, match="pickles, which can execute any code"):
        import_table("nats-sss", tmp_path / "NATS-sss.pickle.pbz2")
    with pytest.raises(ForetellError, match="give NATS-sss-v1_0-50262-simple"):
        import_table("nats-sss", tmp_path / "absent", trust_pickle=True)


def nats_dictionary(package: Any) -> dict[str, Any]:
    """The complete archive as a dictionary."""
    return {
        "meta_archs": CELLS,
        "evaluated_indexes": {0, 2},
        "arch2infos": {number: nats_results(package, number, CELLS[number]) for number in (0, 2)},
    }


def make_nats_file(path: Path) -> Path:
    """The archive as one file."""
    package = pytest.importorskip("nats_bench")
    package.pickle_save(nats_dictionary(package), path / "NATS-tss", ".pickle.pbz2")
    return path / "NATS-tss.pickle.pbz2"


def make_nb201_file(path: Path) -> Path:
    """NAS-Bench-201's file, which calls 12 epochs less and 200 full."""
    package = pytest.importorskip("nats_bench")
    content = nats_dictionary(package)
    infos = content["arch2infos"]
    content["arch2infos"] = {n: {"less": s["12"], "full": s["200"]} for n, s in infos.items()}
    content["evaluated_indexes"] = [0, 2]
    file = path / "NAS-Bench-201.pth"
    torch.save(content, file, _use_new_zipfile_serialization=False)  # as PyTorch did in 2020
    file.write_bytes(file.read_bytes().replace(b"numpy._core", b"numpy.core"))  # and NumPy 1
    return file


@pytest.mark.parametrize(
    ("source", "make"),
    [
        ("nats-tss", make_nats_folder),
        ("nats-tss", make_nats_file),
        ("nb201-pth", make_nb201_file),
    ],
)
def test_nats(source: str, make: Make, tmp_path: Path) -> None:
    """Validation parts are choosing columns, test parts reporting ones; seeds are averaged."""
    events: list[Progress] = []
    trusted = source == "nats-tss"
    table = import_table(source, make(tmp_path), trust_pickle=trusted, progress=events.append)
    assert (events[-1].what, events[-1].done, events[-1].total) == ("import", 2, 2)
    assert list(table.frame.index) == [CELLS[0], CELLS[2]]
    assert set(table.choosing) == {
        f"{name}_xvalid_{budget}"
        for name in ("cifar10valid", "cifar100", "imagenet16")
        for budget in (12, 200)
    }
    wanted = {
        "cifar10valid_xvalid_200": ("200", "cifar10-valid", "x-valid"),
        "cifar100_xvalid_12": ("12", "cifar100", "x-valid"),
        "imagenet16_xvalid_200": ("200", "ImageNet16-120", "x-valid"),
    }
    reported = {
        "cifar10_test_200": ("200", "cifar10", "ori-test"),
        "cifar10valid_test_12": ("12", "cifar10-valid", "ori-test"),
        "cifar100_test_200": ("200", "cifar100", "x-test"),
        "imagenet16_test_200": ("200", "ImageNet16-120", "x-test"),
    }
    for columns, values in ((wanted, table.choose), (reported, table.report)):
        for column, what in columns.items():
            for cell, number in ((CELLS[0], 0), (CELLS[2], 2)):
                mean = np.mean([accuracy(number, *what, seed) for seed in SEEDS[what[0]]])
                assert values(column)[cell] == pytest.approx(mean, abs=1e-12), column
    assert table.repeats["cifar100_test_200"] == (
        "cifar100_test_200_seed_777",
        "cifar100_test_200_seed_888",
    )
    assert "cifar100_test_12" not in table.repeats
    assert table.frame["params_m_cifar10"].tolist() == [0.5, 2.5]
    assert table.frame["flops_m_cifar10"].tolist() == [20.0, 22.0]
    assert table.frame["cifar10valid_seconds_200"].tolist() == [210.0, 210.0]


def test_invalid_nats_files_are_refused(tmp_path: Path) -> None:
    """Missing, truncated, of another kind, or a .pth file that would execute code."""
    folder = make_nats_folder(tmp_path)
    file = folder / "000002.pickle.pbz2"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ForetellError, match="cannot be read as the official archive"):
        import_table("nats-tss", folder, trust_pickle=True)
    for made, source in ((make_nats_file, "nats-tss"), (make_nb201_file, "nb201-pth")):
        cut = made(tmp_path)
        cut.write_bytes(cut.read_bytes()[:-100])
        with pytest.raises(ForetellError, match="cannot be read as the official archive"):
            import_table(source, cut, trust_pickle=source == "nats-tss")
        with pytest.raises(ForetellError, match="there is no"):
            import_table(source, tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ForetellError, match="cannot be read as the official archive"):
        import_table("nats-tss", tmp_path / "empty", trust_pickle=True)
    trap = tmp_path / "trap.pth"
    torch.save({"arch2infos": {}, "meta_archs": Trap(tmp_path / "sprung")}, trap)
    with pytest.raises(ForetellError, match="Unsupported global") as caught:
        import_table("nb201-pth", trap)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        """The call that unpickling makes."""
        return Path.touch, (self.path,)


# TransNAS-Bench-101 -------------------------------------------------------------------------------

METRICS = {
    "class_object": ("valid_top1", "test_top1"),
    "class_scene": ("valid_top1", "test_top1"),
    "jigsaw": ("valid_top1", "test_top1"),
    "room_layout": ("valid_loss", "test_loss"),
    "segmentsemantic": ("valid_mIoU", "test_mIoU"),
    "normal": ("val_ssim", "test_ssim"),
    "autoencoder": ("val_ssim", "test_ssim"),
}


def make_tnb101(path: Path) -> Path:
    """Two cells and a skeleton on seven tasks: metrics after three epochs, the last not best."""

    def results(start: float) -> dict[str, Any]:
        costs = {"encoder_params": 7, "encoder_FLOPs": 2.5, "inference_time": np.float64(0.5)}
        return {
            task: {
                "metrics": {name: [start, start + 2, start + 1] for name in names},
                "model_info": costs,
                "total_epochs": 3,
            }
            for task, names in METRICS.items()
        }

    file = path / "transnas-bench_v10141024.pth"
    cells = {"64-41414-1_02_333": results(10.0), "64-41414-0_02_333": results(20.0)}
    content = {"data": {"micro": cells, "macro": {"64-1234-basic": results(30.0)}}}
    torch.save({"task_list": list(METRICS), **content}, file)
    return file


def test_tnb101(tmp_path: Path) -> None:
    """Metrics are those after the last epoch; a loss is better if it is lower."""
    file = make_tnb101(tmp_path)
    table = import_table("tnb101-micro-pth", file)
    assert table.frame.index.tolist() == ["1_02_333", "0_02_333"]
    assert len(table.choosing) == len(table.reporting) == len(METRICS)
    assert table.choose("normal_valid_ssim").tolist() == [11.0, 21.0]
    assert table.report("segmentsemantic_test_mIoU").tolist() == [11.0, 21.0]
    assert table.lower_is_better == ("room_layout_valid_loss", "room_layout_test_loss")
    assert table.frame["encoder_params"].tolist() == [7, 7]
    assert import_table("tnb101-macro-pth", file).frame.index.tolist() == ["1234"]


def test_invalid_tnb101_files_are_refused(tmp_path: Path) -> None:
    """Missing, truncated, of another kind, or a file that would execute code."""
    file = make_tnb101(tmp_path)
    with pytest.raises(ForetellError, match="there is no file"):
        import_table("tnb101-micro-pth", tmp_path / "absent.pth")
    for content in ({"data": {}}, {"data": {"micro": {"1_02_333": {}}}}, [1]):
        torch.save(content, file)
        with pytest.raises(ForetellError, match="cannot be read as the official file"):
            import_table("tnb101-micro-pth", file)
    torch.save({"data": Trap(tmp_path / "sprung")}, file)
    with pytest.raises(ForetellError, match="Unsupported global") as caught:
        import_table("tnb101-micro-pth", file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()
    whole = make_tnb101(tmp_path)
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ForetellError, match="cannot be read as the official file"):
        import_table("tnb101-micro-pth", whole)


# NAS-Bench-ASR ------------------------------------------------------------------------------------

OPS = ["linear", "conv5", "conv5d2", "conv7", "conv7d2", "zero"]
ASR_CELLS = {"h1": [(1, 0), (1, 0, 0), (1, 0, 0, 0)], "h2": [(0, 1), (3, 0, 1), (5, 1, 0, 1)]}


def two_pickles(path: Path, header: dict[str, Any], rows: list[list[Any]]) -> None:
    """Write a file in the format of the release."""
    space = {"ops": OPS, "nodes": 3, "shape": [[6, 2], [6, 2, 2], [6, 2, 2, 2]]}
    with path.open("wb") as file:
        pickle.dump({"version": 1, "search_space": space, **header}, file)
        pickle.dump(rows, file)


def make_asr(path: Path) -> Path:
    """Files of two seeds, the parameters and one device; the last epoch is not the best."""
    folder = path / "nb-asr"
    folder.mkdir()
    columns = ["model_hash", "val_per", "test_per", "arch_vec"]
    for seed, plus in ((1234, 0.0), (1235, 0.02)):
        rows = [
            [digest, [0.5, low + plus, 0.4], low + 0.02 + plus, cell]
            for (digest, cell), low in zip(ASR_CELLS.items(), (0.2, 0.3), strict=True)
        ]
        header = {"dataset_type": "training", "seed": seed, "epochs": 40, "columns": columns}
        two_pickles(folder / f"nb-asr-e40-{seed}.pickle", header, rows)
    static = {"dataset_type": "static", "columns": ["model_hash", "params"]}
    two_pickles(folder / "nb-asr-info.pickle", static, [["h2", 200], ["h1", 100]])
    device = {
        "dataset_type": "benchmarking",
        "device": "jetson-nano-fp32",
        "columns": ["model_hash", "latency"],
    }
    two_pickles(folder / "nb-asr-bench-jetson-nano-fp32.pickle", device, [["h1", 0.5]])
    return folder


def test_asr(tmp_path: Path) -> None:
    """Error rates are in percent, lower is better, seeds are averaged, and costs joined by hash."""
    folder = make_asr(tmp_path)
    events: list[Progress] = []
    table = import_table("asr", folder, progress=events.append)
    files = len([*folder.glob("nb-asr-e40-*.pickle")])
    assert (events[-1].what, events[-1].done, events[-1].total) == ("import", files, files)
    assert table.frame.index[0] == '[["conv5", 0], ["conv5", 0, 0], ["conv5", 0, 0, 0]]'
    assert table.frame.index[1] == '[["linear", 1], ["conv7", 0, 1], ["zero", 1, 0, 1]]'
    assert table.choose("valid_per").tolist() == pytest.approx([21, 31])
    assert table.report("test_per").tolist() == pytest.approx([23, 33])
    assert table.frame["test_per_2"].tolist() == pytest.approx([24, 34])
    assert table.frame["params"].tolist() == [100, 200]
    assert table.frame["latency_jetson-nano-fp32"].iloc[0] == 0.5
    assert np.isnan(table.frame["latency_jetson-nano-fp32"].iloc[1])
    assert table.lower_is_better == ("valid_per", "test_per")
    alone = import_table("asr", folder / "nb-asr-e40-1234.pickle")
    assert alone.choose("valid_per").tolist() == pytest.approx([20, 30])
    assert not alone.repeats
    assert not alone.cost


def test_asr_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with anything but plain values is refused before it can execute code."""
    trap = tmp_path / "nb-asr-e40-1.pickle"
    with trap.open("wb") as file:
        pickle.dump(Trap(tmp_path / "sprung"), file)
        pickle.dump([], file)
    assert "plain values do not" in refused(capsys, "data", "import", "asr", str(trap))
    assert not (tmp_path / "sprung").exists()


def test_invalid_asr_files_are_refused(tmp_path: Path) -> None:
    """Truncated, of another kind, or missing."""
    folder = make_asr(tmp_path)
    file = folder / "nb-asr-e40-1234.pickle"
    whole = file.read_bytes()
    for length in range(0, len(whole), 40):
        file.write_bytes(whole[:length])
        with pytest.raises(ForetellError, match="is not a file of NAS-Bench-ASR"):
            import_table("asr", folder)
    with pytest.raises(ForetellError, match="it is 'static'"):
        import_table("asr", folder / "nb-asr-info.pickle")
    with pytest.raises(ForetellError, match="there is no nb-asr-e40"):
        import_table("asr", tmp_path)


# NAS-Bench-NLP ------------------------------------------------------------------------------------

CELL = (
    '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "%s", "input": ["f"]}}'
)
NLP_LOGS = [
    ("activation_tanh", [6.0, 4.0, 5.0], [6.5, 4.5, 3.0], "f"),
    ("activation_sigm", [6.0, 5.0, 4.5], [6.5, 5.5, 4.0], "f"),
    ("activation_tanh", [6.0, 5.0, 5.5], [6.5, 5.5, 5.0], "g"),
    ("activation_leaky_relu", [float("nan")], [float("nan")], "f"),
]


def make_nlp(path: Path) -> Path:
    """Four runs of three cells, one cell with two recipes; one run diverged at once."""
    folder = path / "train_logs"
    folder.mkdir()
    for number, (operation, valid, test, node) in enumerate(NLP_LOGS):
        log = {
            "recepie": (CELL % operation).replace('"f"', f'"{node}"'),
            "recepie_id": number,
            "num_params": 1000 + number,
            "val_losses": valid,
            "test_losses": test,
            "train_losses": valid,
            "wall_times": [10.0] * len(valid),
            "status": "OK",
        }
        (folder / f"log_stats_model_{number}.json").write_text(json.dumps(log))
    return folder


def check_nlp(table: Table) -> None:
    """The test loss is that of the epoch with the lowest validation loss."""
    assert len(table.frame) == 3
    assert table.choose("valid_loss").tolist()[:2] == [4.5, 4.5]
    assert table.report("test_loss").tolist()[:2] == [5.0, 4.0]
    assert np.isnan(table.report("test_loss").iloc[2])
    assert table.frame["test_loss_1"].tolist()[:2] == [4.5, 4.0]
    assert table.frame["test_loss_2"].iloc[0] == 5.5
    assert table.frame["seconds"].tolist() == [30.0, 30.0, 10.0]
    assert table.lower_is_better == ("valid_loss", "test_loss")


def test_nlp(tmp_path: Path) -> None:
    """The logs are read from a folder and from the published ZIP file."""
    folder = make_nlp(tmp_path)
    events: list[Progress] = []
    check_nlp(import_table("nlp", folder, progress=events.append))
    assert events[-1].done == len([*folder.rglob("*.json")])
    packed = tmp_path / "logs.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    check_nlp(import_table("nlp", packed))


def test_invalid_nlp_files_are_refused(tmp_path: Path) -> None:
    """No log, a truncated log, another JSON file, or a truncated ZIP file."""
    folder = make_nlp(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ForetellError, match=r"no \.json logs"):
        import_table("nlp", tmp_path / "empty")
    log = folder / "log_stats_model_0.json"
    whole = log.read_text()
    for text in (whole[:100], "{}", "[]", '{"recepie": 1}'):
        log.write_text(text)
        with pytest.raises(ForetellError, match="is not a log of NAS-Bench-NLP"):
            import_table("nlp", folder)
    packed = tmp_path / "logs.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.json", whole)
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(ForetellError, match="cannot be read as a ZIP file"):
        import_table("nlp", packed)
    with pytest.raises(ForetellError, match="there is no"):
        import_table("nlp", tmp_path / "absent")


# NDS ----------------------------------------------------------------------------------------------

CELL_SETTINGS = {
    "genotype": {
        "normal": [["sep_conv_3x3", 0], ["skip_connect", 1]],
        "normal_concat": [2],
        "reduce": [["max_pool_3x3", 0], ["none", 1]],
        "reduce_concat": [2],
    },
    "depth": 8,
    "width": 16,
    "aux": False,
    "drop_prob": 0.0,
}
STAGES = {
    "ws": [16, 64],
    "block_type": "res_bottleneck_block",
    "ds": [1, 4],
    "ss": [1, 2],
    "bot_muls": [],
    "num_gs": [],
}


def nds_run(net: dict[str, Any], last: float, **more: Any) -> dict[str, Any]:
    """A run of 25 epochs, whose best epoch is the last but one."""
    curve = [60.0 - epoch for epoch in range(23)] + [last - 1, last]
    return {
        "job_id": 1,
        "rng_seed": 1,
        "net": net,
        "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": 25, "lr_policy": "cos"},
        "params": 1000,
        "flops": 2000,
        "min_test_top1": last - 1,
        "test_ep_top1": curve,
        "train_ep_top1": [error / 2 for error in curve],
        "train_ep_loss": [float("nan")] * 25,
        **more,
    }


def write_nds(path: Path, runs: object, name: str = "ResNet") -> Path:
    file = path / f"{name}.json"
    file.write_text(json.dumps(runs))
    return file


def test_nds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors become accuracies, of test images only; keys have the settings, sorted by name."""
    file = write_nds(tmp_path, [nds_run(STAGES, 7.5), nds_run(CELL_SETTINGS, 5.0, params=3000)])
    events: list[Progress] = []
    table = import_table("nds", file, progress=events.append)
    assert (events[-1].done, events[-1].total) == (2, 2)
    assert (table.name, table.space) == ("nds_ResNet", "nds")
    assert [json.loads(key) for key in table.frame.index] == [STAGES, CELL_SETTINGS]
    assert table.frame.index[0].startswith('{"block_type": "res_bottleneck_block", "bot_muls": []')
    assert table.choosing == ()
    assert table.reporting == ("test_accuracy", "best_test_accuracy", "test_10")
    assert table.report("test_accuracy").tolist() == [92.5, 95.0]
    assert table.report("best_test_accuracy").tolist() == [93.5, 96.0]
    assert table.report("test_10").tolist() == [49.0, 49.0]
    assert table.frame["train_accuracy"].tolist() == [96.25, 97.5]
    assert table.cost_of("params").tolist() == [1000, 3000]
    assert table.frame["learning_rate"].tolist() == [0.1, 0.1]
    assert not table.repeats
    assert not table.lower_is_better
    assert run(capsys, "data", "import", "nds", str(file))[0] == 0
    assert (
        "ok: all 2 keys are architectures of nds" in run(capsys, "data", "check", "nds_ResNet")[1]
    )
    assert "--replace" in refused(capsys, "data", "import", "nds", str(file))
    assert "no space of NDS" in refused(capsys, "study", "nds_ResNet", "--data", "digits")


def test_nds_reruns(tmp_path: Path) -> None:
    """Runs of a network are averaged, also if its settings are in another order."""
    turned = dict(reversed(STAGES.items()))
    content = {
        "top": [nds_run(STAGES, 6.0), nds_run(turned, 8.0)],
        "mid": [nds_run(CELL_SETTINGS, 9.0)],
    }
    table = import_table("nds", write_nds(tmp_path, content, "ResNet_reruns"))
    assert table.report("test_accuracy").tolist() == [93.0, 91.0]
    assert table.repeats["test_accuracy"] == ("test_accuracy_1", "test_accuracy_2")
    assert table.frame["test_accuracy_2"].tolist()[0] == 92.0
    assert np.isnan(table.frame["test_accuracy_2"].tolist()[1])
    assert table.reporting[2:] == ("test_10",)
    other = {"base_lr": 0.2, "wd": 0.0005}
    file = write_nds(tmp_path, [nds_run(STAGES, 6.0), nds_run(STAGES, 8.0, optim=other)])
    with pytest.raises(ForetellError, match="several learning rates"):
        import_table("nds", file)


NOT_NDS = [
    ({}, "contains no runs of NDS"),
    ([], "contains no runs of NDS"),
    ({"top": []}, "contains no runs of NDS"),
    ({"top": [nds_run(STAGES, 6.0)], "mid": 3}, "contains no runs of NDS"),
    ("text", "contains no runs of NDS"),
    ([3], "a run that is not of NDS"),
    ([{"net": STAGES}], "KeyError: 'test_ep_top1'"),
    ([nds_run(STAGES, 6.0, test_ep_top1=[])], "IndexError"),
    ([nds_run(STAGES, 6.0, test_ep_top1=["a"])], "could not convert"),
    ([nds_run(STAGES, 6.0, params=None)], "TypeError"),
    ([nds_run(STAGES, 6.0, optim=[])], "a run that is not of NDS"),
    ([nds_run({"ds": [1]}, 6.0)], "does not describe a network of NDS"),
    ([nds_run(STAGES, 6.0, flops=float("inf"))], "an infinite value"),
]


@pytest.mark.parametrize(("content", "message"), NOT_NDS, ids=range(len(NOT_NDS)))
def test_other_json_is_not_nds(
    content: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints one line that says what is wrong, and writes no table."""
    file = write_nds(tmp_path, content)
    assert message in refused(capsys, "data", "import", "nds", str(file))
    assert not (tmp_path / "data").exists()


def test_damaged_nds_files_are_refused(tmp_path: Path) -> None:
    """Missing, truncated anywhere, not text, or nested too deeply."""
    with pytest.raises(ForetellError, match="there is no file"):
        import_table("nds", tmp_path / "absent.json")
    file = write_nds(tmp_path, [nds_run(STAGES, 6.0)])
    whole = file.read_bytes()
    contents = [whole[:length] for length in range(0, len(whole), 50)]
    for content in (*contents, b"\xff\x00", b"[" * 10**6):
        file.write_bytes(content)
        with pytest.raises(ForetellError, match="cannot be read as JSON"):
            import_table("nds", file)
