"""Published values of Spearman's ρ between scores and accuracy, to compare with those of a study.

They are signed if those of the source are; the notebooks of the paper take absolute values. The
value of a vote is the share of pairs that it orders correctly, even if its source calls it a
correlation.
"""

from collections.abc import Mapping

__all__ = ["PUBLISHED", "SOURCES"]

NB201 = "executed notebook of arXiv:2101.08134's code, 15,625 cells, batch 64, absolute values"
SOURCES: Mapping[str, str] = {
    "nb201": NB201,
    "nb101": "executed notebook of arXiv:2101.08134's code, 423,624 cells, absolute values",
    "pytorchcv-cifar10": "executed notebook of arXiv:2101.08134's code, 56 networks, absolute",
    "pytorchcv-cifar100": "executed notebook of arXiv:2101.08134's code, 54 networks, absolute",
    "pytorchcv-svhn": "executed notebook of arXiv:2101.08134's code, 49 networks, absolute",
    "pytorchcv-imagenet": "executed notebook of arXiv:2101.08134's code, 191 networks, absolute",
}
"""The source of the values by table."""


def row(*numbers: float) -> dict[str, float]:
    """Values by name: for the six proxies of the paper, and for the vote if there is a seventh."""
    names = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacob_cov", "vote")
    return dict(zip(names, numbers, strict=False))


PUBLISHED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "nb201": {
        "cifar10_test_200": row(0.594, 0.596, 0.514, 0.360, 0.737, 0.731, 0.817),
        "cifar100_test_200": row(0.637, 0.637, 0.547, 0.385, 0.763, 0.704, 0.832),
        "imagenet16_test_200": row(0.578, 0.578, 0.549, 0.327, 0.751, 0.701, 0.813),
    },
    "nb101": {"valid_108": row(0.198, 0.164, 0.448, 0.257, 0.372, 0.378)},
    "pytorchcv-cifar10": {"top1_err": row(0.397, 0.508, 0.085, 0.477, 0.455, 0.051)},
    "pytorchcv-cifar100": {"top1_err": row(0.377, 0.492, 0.067, 0.482, 0.428, 0.126)},
    "pytorchcv-svhn": {"top1_err": row(0.657, 0.678, 0.155, 0.652, 0.826, 0.268)},
    "pytorchcv-imagenet": {"top1_err": row(0.567, 0.638, 0.100, 0.668, 0.651, 0.312)},
}
"""The values by table, truth column and score."""
