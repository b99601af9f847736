"""The files of public benchmarks that can be downloaded from the addresses that their authors give.

The other benchmarks are distributed by services that ask for a confirmation in a browser;
docs/tables.md says where.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["BY_HAND", "OFFICIAL", "Official"]


@dataclass(frozen=True)
class Official:
    """A published file, and how to import it."""

    address: str
    page: str
    """Where the authors give the address."""
    then: str
    """The commands that import the file, in which FILE stands for its path."""
    size: str = "unknown"
    """The size as the authors state it."""
    sha256: str = ""
    """The SHA-256 that the authors publish; empty if they publish none."""

    @property
    def file(self) -> str:
        """The name of the file."""
        return urlsplit(self.address).path.rpartition("/")[2]


NASBENCH = "https://github.com/google-research/nasbench"
NDS = "https://github.com/facebookresearch/nds"
NLP = "https://github.com/fmsnew/nas-bench-nlp-release"
NATS = "https://github.com/D-X-Y/NATS-Bench"

OFFICIAL: Mapping[str, Official] = {
    "nb101": Official(
        "https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord",
        NASBENCH,
        "foretell data import nb101-tfrecord FILE",
        "499 MB",
        "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
    ),
    "nb101-full": Official(
        "https://storage.googleapis.com/nasbench/nasbench_full.tfrecord",
        NASBENCH,
        "foretell data import nb101-tfrecord FILE --name nb101_full",
        "1.95 GB",
        "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
    ),
    "nds": Official(
        "https://dl.fbaipublicfiles.com/nds/data.zip",
        NDS,
        "python3 -m zipfile -e FILE nds\nforetell data import nds nds/nds_data/ResNet.json",
    ),
    "nlp": Official(
        f"{NLP}/raw/HEAD/train_logs_wikitext-2/logs.zip", NLP, "foretell data import nlp FILE"
    ),
}
"""The files by the name of the benchmark."""

BY_HAND: Mapping[str, str] = {
    "nats-tss": NATS,
    "nats-sss": NATS,
    "nb201": NATS,
    "tnb101": "https://github.com/yawen-d/TransNASBench",
    "asr": "https://github.com/SamsungLabs/nb-asr",
}
"""The pages that say how to download other benchmarks."""
