"""What the zoos publish of their trained weights."""

from pathlib import Path

import pandas as pd
import pytest

from foretell.errors import ForetellError
from foretell.models import Like, wanted_input
from foretell.models.published import published_accuracy


@pytest.fixture(scope="module")
def tables(shared: Path) -> Path:
    return shared / "data" / "tables"


def test_torchvisions_are_those_of_its_own_table(tables: Path) -> None:
    rows = pd.read_parquet(tables / "torchvision_weights.parquet")
    first = rows[rows.weights == "IMAGENET1K_V1"].set_index("model").acc1
    found = published_accuracy("torchvision")
    assert len(found) == len(first) == 78
    assert found.to_dict() == {f"torchvision:{name}": value for name, value in first.items()}
    assert found["torchvision:resnet50"] == 76.13  # not the 80.858 of its V2
    assert "torchvision:vit_h_14" not in found
    assert wanted_input(found.index[0], Like(classes=10, shape=(3, 8, 8))).kind == "image"


def test_timms_are_of_imagenet_at_the_smallest_size(tables: Path) -> None:
    file = tables / "timm_imagenet_results.parquet"
    found = published_accuracy(f"timm:{file}")
    rows = pd.read_parquet(file)
    rows = rows[rows["eval"] == "imagenet"]
    assert found.index.is_unique
    assert set(found.index) == {f"timm:{name}" for name in rows.model}
    assert found["timm:convnext_atto.d2_in1k"] == 75.672  # at 224; 77.016 at 288
    for name, group in list(rows.groupby("model"))[::50]:
        smallest = group.img_size.min()
        assert group.top1[group.img_size == smallest].tolist() == [found[f"timm:{name}"]]


def test_timms_own_csv_has_no_column_of_evaluations(tmp_path: Path) -> None:
    text = "model,img_size,top1,top1_err\nb,288,80.5,19.5\nb,224,79.5,20.5\na,224,70.0,30.0\n"
    (tmp_path / "results-imagenet.csv").write_text(text)
    found = published_accuracy(f"timm:{tmp_path / 'results-imagenet.csv'}")
    assert found.to_dict() == {"timm:a": 70.0, "timm:b": 79.5}


def test_pytorchcvs_are_a_hundred_less_the_error_on_one_data_set(tables: Path) -> None:
    file = tables / "pytorchcv_models.parquet"
    rows = pd.read_parquet(file)
    for dataset, count in rows.dataset.value_counts().items():
        found = published_accuracy(f"pytorchcv:{file}?dataset={dataset}")
        assert len(found) == count
        assert found.between(0, 100).all()
    imagenet = published_accuracy(f"pytorchcv:{file}?dataset=ImageNet-1K")
    error = rows.set_index("weights").top1_err["vgg11"]
    assert imagenet["pytorchcv:vgg11"] == pytest.approx(100 - error)
    with pytest.raises(ForetellError, match=r"holds the data sets ImageNet-1K, .*choose one"):
        published_accuracy(f"pytorchcv:{file}")


def test_a_file_of_one_data_set_needs_no_choice(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("weights,dataset,top1_err\nnet_svhn,SVHN,2.5\n")
    assert published_accuracy(f"pytorchcv:{file}").to_dict() == {"pytorchcv:net_svhn": 97.5}
    with pytest.raises(ForetellError, match="did you mean 'SVHN'"):
        published_accuracy(f"pytorchcv:{file}?dataset=SVNH")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("keras", "names no published accuracies; the forms are torchvision"),
        ("torchvision:resnet18", "names no published accuracies"),
        ("timm", "names no published accuracies"),
        ("timm:a.csv?size=3", "has the setting 'size', unknown here"),
        ("timm:results.txt", "is not a table; give a .csv or .parquet file"),
        ("timm:absent.csv", "there is no file 'absent.csv'; download it"),
    ],
)
def test_what_is_not_published_is_told_why(source: str, message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        published_accuracy(source)


def test_a_file_that_does_not_fit_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("model,top1\nx,1\n")
    with pytest.raises(ForetellError, match="no column 'img_size' but model, top1"):
        published_accuracy(f"timm:{tmp_path / 'a.csv'}")
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(ForetellError, match="cannot be read"):
        published_accuracy(f"timm:{tmp_path / 'b.parquet'}")
