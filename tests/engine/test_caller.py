"""Settings of the process that models change are restored, and do not affect other models."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foretell import rank, score
from foretell.cli.app import main
from foretell.engine.caller import SETTINGS, kept_settings

CHANGES: dict[str, Callable[[], object]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "errors of NumPy": lambda: np.seterr(over="ignore"),
    "folder": lambda: os.chdir("/"),
    "environment": lambda: os.environ.update(FORETELL_TEST="1", PATH="", HOME="/nowhere"),
}


def state() -> list[object]:
    return [setting.get() for setting in SETTINGS]


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


BATCH = torch.linspace(-1, 1, 24).reshape(4, 1, 2, 3), torch.tensor([0, 1, 2, 0])
NAMES = ["snip", "grasp", "synflow", "jacob_cov", "nwot", "params", "flops"]


class Changing(nn.Sequential):
    """Changes a setting in its forward pass, after it has computed its outputs."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        self.change()
        return out


@pytest.mark.parametrize("change", CHANGES)
def test_each_setting_is_restored(change: str) -> None:
    before = state()
    with kept_settings():
        CHANGES[change]()
        assert state() != before
    assert state() == before


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_forward_pass_changes_does_not_last(change: str) -> None:
    plain = net()
    model = Changing(*plain)
    model.change = CHANGES[change]
    before = state()
    found = score(model, BATCH, NAMES)
    assert state() == before
    wanted = score(plain, BATCH, NAMES)
    assert {name: one.value for name, one in found.items() if one.why is None}
    for name, one in found.items():
        assert one.why or one.value == wanted[name].value, name


@pytest.mark.parametrize("change", CHANGES)
def test_what_building_a_model_changes_does_not_affect_the_next(change: str) -> None:
    def first(seed: int) -> nn.Module:
        CHANGES[change]()
        return net()

    before = state()
    table = rank({"first": first, "second": net}, BATCH, NAMES)
    assert state() == before
    alone = rank({"second": net}, BATCH, NAMES)
    assert table.loc["second", NAMES].equals(alone.loc["second", NAMES])


@pytest.mark.parametrize(
    "line",
    [
        "torch.set_default_dtype(torch.float64)",
        "torch.set_default_device('meta')",
        "import os; os.chdir('/')",
        "torch.manual_seed(5)",
    ],
)
def test_what_a_file_changes_does_not_affect_the_next(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    body = (
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    Path("first.py").write_text(f"import torch\n{line}\n{body}")
    Path("second.py").write_text(body)
    options = ["--batch-size", "8", "--proxies", "snip,plain", "--by", "snip", "--csv"]
    rows = []
    for models in (["first.py:net", "second.py:net"], ["second.py:net"]):
        assert main(["rank", *models, *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        (row,) = [one for one in lines if one.startswith("second.py:net")]
        head = lines[0].split(",")
        rows.append({name: row.split(",")[head.index(name)] for name in ("snip", "plain")})
    assert rows[0] == rows[1]


def test_seeds_count_though_a_file_seeds_when_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "import torch\ntorch.manual_seed(0)\ndef net():\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    found = []
    for seed in ("1", "2"):
        command = ["score", "own.py:net", "--batch-size", "8", "--proxies", "plain", "--csv"]
        assert main([*command, "--seed", seed]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] != found[1]
