"""The FLOPs of a product do not depend on how it is written or what runs it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import explain, score

N, T, C, K = 4, 5, 6, 3
BATCH = (torch.randn(N, T, C, generator=torch.Generator().manual_seed(0)), torch.arange(N) % K)


class Product(nn.Module):
    """An operation with a weight, then the mean over all axes but samples and classes."""

    def __init__(self, weight: Tensor, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.product = nn.Parameter(weight), product

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.product(x, self.weight).reshape(len(x), -1).mean(1, keepdim=True).expand(-1, K)


MATRIX, VECTOR, THREE = torch.ones(K, C), torch.ones(C), torch.ones(K, C, C)
WAYS: dict[str, tuple[Tensor, Callable[[Tensor, Tensor], Tensor], int]] = {
    "linear": (MATRIX, F.linear, 2 * T * C * K),
    "matmul": (MATRIX, lambda x, w: x @ w.T, 2 * T * C * K),
    "einsum": (MATRIX, lambda x, w: torch.einsum("ntc,kc->ntk", x, w), 2 * T * C * K),
    "tensordot": (MATRIX, lambda x, w: torch.tensordot(x, w, ([2], [1])), 2 * T * C * K),
    "inner": (MATRIX, torch.inner, 2 * T * C * K),
    "addmm": (MATRIX, lambda x, w: torch.addmm(x[:, 0, :K], x[:, 0], w.T), 2 * C * K),
    "baddbmm": (
        MATRIX,
        lambda x, w: torch.baddbmm(x[:, :, :K], x, w.T.expand(len(x), C, K)),
        2 * T * C * K,
    ),
    "addbmm": (
        MATRIX,
        lambda x, w: torch.addbmm(x[0, :, :K], x, w.T.expand(len(x), C, K)).expand(len(x), T, K),
        2 * T * C * K,
    ),
    "vector": (VECTOR, torch.matmul, 2 * T * C),
    "linear to one": (VECTOR, F.linear, 2 * T * C),
    "mv": (VECTOR, lambda x, w: torch.mv(x[:, 0], w), 2 * C),
    "addmv": (VECTOR, lambda x, w: torch.addmv(x[:, 0, 0], x[:, 0], w), 2 * C),
    "dot": (VECTOR, lambda x, w: torch.stack([torch.dot(row, w) for row in x[:, 0]]), 2 * C),
    "bilinear": (THREE, lambda x, w: F.bilinear(x[:, 0], x[:, 1], w), 2 * K * C * C + 2 * K * C),
    "sparse": (
        MATRIX,
        lambda x, w: torch.sparse.mm(w[:2].to_sparse(), x[:, 0].T).T,
        2 * 2 * C,
    ),
    "complex": (MATRIX, lambda x, w: (x.cfloat() @ w.T.cfloat()).abs(), 8 * T * C * K),
    "distances": (MATRIX, torch.cdist, 2 * T * C * K),
    "many distances": (MATRIX, lambda x, w: torch.cdist(x, w.repeat(20, 1)), 2 * T * C * 20 * K),
    "fft": (VECTOR, lambda x, w: torch.fft.fft(x.cfloat(), 8).abs() * w[0], 5 * T * 8 * 3),
    "rfft": (VECTOR, lambda x, w: torch.fft.rfft(x * w, 8).abs(), 5 * T * 8 * 3 // 2),
    "irfft": (VECTOR, lambda x, w: torch.fft.irfft((x * w).cfloat(), 8), 5 * T * 8 * 3 // 2),
    "fft2": (VECTOR, lambda x, w: torch.fft.fft2(x.cfloat(), (8, 8)).abs() * w[0], 5 * 64 * 6),
    "stft": (
        VECTOR,
        lambda x, w: torch.stft((x * w).flatten(1), 8, 4, return_complex=True, center=False).abs(),
        5 * ((T * C - 8) // 4 + 1) * 8 * 3 // 2,
    ),
}
"""Fourier transforms count n log₂ n operations, 5 times for complex and 5 / 2 times for real n."""


@pytest.mark.parametrize("way", WAYS)
def test_a_product_counts_however_it_is_written(way: str) -> None:
    weight, product, expected = WAYS[way]
    assert score(Product(weight, product), BATCH, "flops")["flops"].value == expected


UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "linalg_inv": torch.linalg.inv,
    "linalg_svd": lambda x: torch.linalg.svd(x)[0],
    "linalg_eigh": lambda x: torch.linalg.eigh(x)[1],
    "linalg_qr": lambda x: torch.linalg.qr(x)[0],
    "linalg_matrix_exp": torch.matrix_exp,
    "linalg_solve": lambda x: torch.linalg.solve(x, x),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_operations_of_unknown_cost_are_named(name: str) -> None:
    def product(x: Tensor, w: Tensor) -> Tensor:
        return UNKNOWN[name](torch.eye(C) + 0.01 * x.mT @ x * w)

    found = score(Product(VECTOR, product), BATCH, ["flops", "flops_used", "depth", "params_used"])
    for proxy in ("flops", "flops_used", "depth"):
        assert f"the number of operations of `{name}" in str(found[proxy].why)
    assert found["params_used"].why is None


class OnItsDevice(nn.Module):
    """A module that creates a tensor on the CPU, so it does not run on shapes alone."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        """The output of the inner module."""
        out = self.inner(x + torch.zeros(C))
        return out[0] if isinstance(out, tuple) else out


INNER: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "lstm": (lambda: nn.LSTM(C, K, batch_first=True), T * 2 * 4 * K * (C + K)),
    "gru": (lambda: nn.GRU(C, K, batch_first=True), T * 2 * 3 * K * (C + K)),
    "attention": (
        lambda: nn.TransformerEncoderLayer(C, 1, 8, batch_first=True).requires_grad_(False).eval(),
        2 * T * 4 * C * C + 2 * 2 * T * T * C + 2 * 2 * T * C * 8,
    ),
}


@pytest.mark.parametrize("shapes", [True, False], ids=["on shapes", "on samples"])
@pytest.mark.parametrize("kind", INNER)
def test_a_layer_counts_by_the_products_it_is_made_of(kind: str, shapes: bool) -> None:
    build, expected = INNER[kind]
    model = build() if shapes else OnItsDevice(build())
    assert score(model, BATCH, "flops")["flops"].value == expected


@torch.library.custom_op("foretell_tests::times", mutates_args=())
def times(x: Tensor, weight: Tensor) -> Tensor:
    """A product that no counter knows."""
    return x @ weight.T


@torch.library.custom_op("foretell_tests::cubed", mutates_args=())
def cubed(x: Tensor) -> Tensor:
    """An operator without a product."""
    return x**3


def back(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `times`."""
    x, weight = ctx.saved_tensors
    return grad @ weight, grad.flatten(0, 1).T @ x.flatten(0, 1)


times.register_autograd(
    back, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs)
)


def test_operators_without_a_formula_leave_the_flops_undefined() -> None:
    names = ["flops", "flops_used", "depth", "params_used", "snip"]
    found = score(Product(MATRIX, times), BATCH, names)
    for name in ("flops", "flops_used", "depth"):
        assert "number of operations of `foretell_tests.times` is unknown" in str(found[name].why)
    assert found["params_used"].value == MATRIX.numel()
    assert found["snip"].why is None
    assert explain("snip", Product(MATRIX, times), BATCH).forward_flops is None
    one = score(Product(MATRIX, lambda x, w: F.linear(cubed(x), w)), BATCH, "flops")["flops"]
    assert one.value == 2 * T * C * K


TABLE = torch.ones(9, C)
LOOKUPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "embedding": F.embedding,
    "bag": lambda x, w: F.embedding_bag(x.flatten(1), w),
    "index": lambda x, w: w[x],
    "index_select": lambda x, w: w.index_select(0, x.flatten()).unflatten(0, x.shape),
    "gather": lambda x, w: w.gather(0, x.reshape(-1, 1).expand(-1, C)).unflatten(0, x.shape),
}


@pytest.mark.parametrize("way", LOOKUPS)
def test_a_table_is_a_layer_however_it_is_read(way: str) -> None:
    numbers = torch.arange(N * T).view(N, T) % len(TABLE)
    found = score(Product(TABLE, LOOKUPS[way]), (numbers, BATCH[1]), ["depth", "flops"])
    assert (found["depth"].value, found["flops"].value) == (1, 0)


def test_an_inner_gradient_counts() -> None:
    def product(x: Tensor, weight: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(F.linear(x, weight).sum(), x, create_graph=True)[0]

    assert score(Product(MATRIX, product), BATCH, "flops")["flops"].value == 4 * T * C * K
