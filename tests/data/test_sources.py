"""Data from files, arrays, libraries and loaders: what is read, when, and what is refused."""

import gzip
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from foretell import Batch, ForetellError, load_data, minibatch, score
from foretell.cli import main
from foretell.data import DATA, Splits, first_batch, with_settings
from foretell.data.lazy import LazyImages
from foretell.data.tokens import BYTES
from foretell.models import load_model

RNG = np.random.default_rng(0)


def save_npz(path: Path, **changes: Any) -> str:
    """Sixty colour images of 5x6 pixels in three classes, as an .npz file."""
    arrays = {
        "images": np.random.default_rng(0).integers(0, 256, (60, 5, 6, 3), dtype=np.uint8),
        "labels": np.arange(60) % 3,
    }
    np.savez(path, **(arrays | changes))
    return str(path)


def save_pictures(
    top: Path, classes: dict[str, int], size: Callable[[int], tuple[int, int]]
) -> None:
    """Save this number of pictures per class, each filled with its own colour."""
    for place, (name, count) in enumerate(classes.items()):
        (top / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("RGB", size(number), (10 * place, number, 200))
            picture.save(top / name / f"{number:03}.png")


def images_of(splits: Splits) -> LazyImages:
    """The training images, which must be read lazily."""
    images = splits.train[0]
    assert isinstance(images, LazyImages)
    return images


def test_npz_of_either_layout_gives_the_same_normalised_images(tmp_path: Path) -> None:
    """Channels are last, first or missing; only the training part determines the scaling."""
    last = load_data(f"npz:{save_npz(tmp_path / 'last.npz')}")
    pixels = np.load(tmp_path / "last.npz")["images"]
    first = load_data(
        f"npz:{save_npz(tmp_path / 'first.npz', images=pixels.transpose(0, 3, 1, 2))}"
    )
    assert last.sample_shape == first.sample_shape == (3, 5, 6)
    assert last.classes == 3
    assert torch.equal(images_of(last)[:], images_of(first)[:])
    train = images_of(last)[:]
    assert train.dtype == torch.float32
    assert train.mean((0, 2, 3)).abs().max() < 1e-5
    assert (train.square().mean((0, 2, 3)) - 1).abs().max() < 1e-5
    grey = load_data(f"npz:{save_npz(tmp_path / 'grey.npz', images=pixels[..., 0])}")
    assert grey.sample_shape == (1, 5, 6)


def test_a_source_without_parts_is_split_by_class(tmp_path: Path) -> None:
    """Each part has a tenth of each class, no image is in two parts, and the split is fixed."""
    file = save_npz(tmp_path / "a.npz")
    splits = load_data(f"npz:{file}")
    parts = (splits.train, splits.val, splits.test)
    assert [labels.bincount().tolist() for _, labels in parts] == [[16] * 3, [2] * 3, [2] * 3]
    rows = [images.rows.tolist() for images, _ in parts if isinstance(images, LazyImages)]
    assert sorted(row for part in rows for row in part) == list(range(60))
    assert load_data(f"npz:{file}").fingerprint == splits.fingerprint
    whole = load_data(f"npz:{file}?held_out=0")
    assert len(whole.train[1]) == 60
    assert whole.fingerprint != splits.fingerprint


def test_the_fingerprint_of_lazy_images_notices_a_pixel(tmp_path: Path) -> None:
    """It differs even if mean and deviation are equal, and depends on the selection of images."""
    first = load_data(f"npz:{save_npz(tmp_path / 'a.npz')}")
    pixels = np.load(tmp_path / "a.npz")["images"].copy()
    here, there = images_of(first).rows[:2].tolist()
    pixels[[here, there], 2, 3, 1] = pixels[[there, here], 2, 3, 1]
    other = load_data(f"npz:{save_npz(tmp_path / 'b.npz', images=pixels)}")
    assert images_of(first).mean == images_of(other).mean
    assert first.fingerprint != other.fingerprint
    images = images_of(first)
    parts = [images.chosen(torch.tensor(rows)).fingerprint for rows in ([0, 1], [0, 2], [1, 0])]
    assert len({*parts}) == 3
    batches = [Batch(*minibatch(first.train, 12, seed)).fingerprint for seed in (0, 0, 1)]
    assert batches[0] == batches[1] != batches[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.arange(59)}, "60 images but 59 labels"),
        ({"labels": np.full(60, -1)}, "label -1 is out of range; labels start at 0"),
        ({"labels": np.ones(60)}, "'labels' is float64 of shape [60]; expected one integer label"),
        (
            {"images": np.zeros((60, 5, 6, 3))},
            "'images' is float64 of shape [60, 5, 6, 3]; expected uint8",
        ),
        ({"images": np.zeros((60, 5, 6, 7), np.uint8)}, "expected 1, 3 or 4 channels"),
        ({"images": np.array([object()] * 60)}, "is not a complete .npz file"),
    ],
)
def test_npz_files_with_other_arrays_are_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The message describes the array that was found."""
    with pytest.raises(ForetellError, match=re.escape(message)):
        load_data(f"npz:{save_npz(tmp_path / 'a.npz', **change)}")


def test_frames_of_audio_in_an_npz_file(tmp_path: Path) -> None:
    """Frames are unchanged, with a label for every fourth; networks of the space asr read them."""
    frames = np.random.default_rng(0).normal(size=(20, 9, 5))
    labels = np.arange(60).reshape(20, 3) % 4
    file = save_npz(tmp_path / "a.npz", images=frames, labels=labels)
    splits = load_data(f"npz:{file}")
    assert (splits.kind, splits.classes, splits.labelled) == ("audio", 4, False)
    assert [len(part[1]) for part in (splits.train, splits.val, splits.test)] == [16, 2, 2]
    whole = load_data(f"npz:{file}?held_out=0,classes=7")
    assert np.array_equal(whole.train[0][:].numpy(), frames.astype(np.float32))
    assert whole.classes == 7
    text = "asr:011015110?groups=2,group_width=1,cells=1"
    assert load_model(text, splits)(splits.train[0][:2]).shape == (2, 3, 4)
    with pytest.raises(ForetellError, match=r"labels are int64 of shape \[20\]; .*shape \[20, 3\]"):
        load_data(f"npz:{save_npz(tmp_path / 'b.npz', images=frames, labels=labels[:, 0])}")
    frames[0, 0, 0] = np.nan
    with pytest.raises(ForetellError, match="some frames are not finite"):
        load_data(f"npz:{save_npz(tmp_path / 'c.npz', images=frames, labels=labels)}")


def test_invalid_npz_files_are_refused(tmp_path: Path) -> None:
    """Missing or truncated files, arrays with other names, and invalid settings."""
    with pytest.raises(ForetellError, match="there is no file"):
        load_data(f"npz:{tmp_path / 'nowhere.npz'}")
    whole = Path(save_npz(tmp_path / "a.npz")).read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(ForetellError, match=r"is not a complete \.npz file"):
            load_data(f"npz:{tmp_path / 'cut.npz'}")
    with pytest.raises(ForetellError, match="no array 'pixels'; its arrays are images, labels"):
        load_data(f"npz:{tmp_path / 'a.npz'}?images=pixels")
    with pytest.raises(ForetellError, match="label 2 is out of range; with classes=2"):
        load_data(f"npz:{tmp_path / 'a.npz'}?classes=2")
    with pytest.raises(ForetellError, match=r"held_out is 0\.7"):
        load_data(f"npz:{tmp_path / 'a.npz'}?held_out=0.7")


def test_the_small_sample_of_cifar_is_read(shared: Path) -> None:
    """Real images in a user's file."""
    file = shared / "data" / "images" / "cifar10_jpeg_train_100perclass.npz"
    splits = load_data(f"npz:{file}")
    assert splits.sample_shape == (3, 32, 32)
    assert splits.classes == 10
    assert len(splits.train[1]) == 800


def test_a_folder_with_one_folder_per_class(tmp_path: Path) -> None:
    """Images are read when accessed, channels are in order, and a common size is kept."""
    save_pictures(tmp_path / "pets", {"cat": 10, "dog": 20}, lambda number: (7, 5))
    splits = load_data(f"folder:{tmp_path / 'pets'}")
    assert splits.sample_shape == (3, 5, 7)
    assert splits.classes == 2
    assert splits.note == ""
    assert splits.train[1].bincount().tolist() == [8, 16]
    images, labels = minibatch(splits.train, 6, seed=0)
    assert labels.bincount().tolist() == [3, 3]
    red = (images[:, 0, 0, 0] * 0.229 + 0.485) * 255
    assert red.round().tolist() == (10 * labels).tolist()
    for name in ("cat", "dog"):
        for file in (tmp_path / "pets" / name).iterdir():
            file.write_bytes(b"")  # nothing was kept in memory
    with pytest.raises(ForetellError, match="cannot be read as an image"):
        minibatch(splits.train, 6, seed=0)


def test_a_folder_with_its_own_parts(tmp_path: Path) -> None:
    """What is missing is cut from the training part; its classes count."""
    save_pictures(tmp_path / "train", {"a": 10, "b": 10}, lambda number: (4, 4))
    save_pictures(tmp_path / "val", {"b": 3}, lambda number: (4, 4))
    splits = load_data(f"folder:{tmp_path}")
    assert [len(labels) for _, labels in (splits.train, splits.val, splits.test)] == [18, 3, 2]
    assert splits.val[1].tolist() == [1, 1, 1]
    save_pictures(tmp_path / "val2" / "x", {"c": 1}, lambda number: (4, 4))
    (tmp_path / "val2" / "x" / "c").rename(tmp_path / "val" / "c")
    with pytest.raises(ForetellError, match="c is not a class of the training split"):
        load_data(f"folder:{tmp_path}")


def test_pictures_of_several_sizes_are_resized_and_cropped_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The centre of a picture stays in the centre."""
    save_pictures(tmp_path / "all", {"a": 4, "b": 4}, lambda number: (40 + 10 * number, 30))
    picture = Image.new("RGB", (90, 30))
    picture.paste((255, 255, 255), (30, 0, 60, 30))
    picture.save(tmp_path / "all" / "a" / "000.png")
    data = f"folder:{tmp_path / 'all'}"
    assert load_data(data).sample_shape == (3, 224, 224)
    splits = load_data(f"{data}?size=16,channels=1,held_out=0")
    assert splits.sample_shape == (1, 16, 16)
    assert "shorter side to 16 pixels, and cropped to 16x16" in splits.note
    middle = splits.train[0][torch.tensor([0])] * 0.226 + 0.449
    assert middle[..., 1:-1].min() > 0.99
    assert middle.min() > 0.5
    assert main(["score", "nb201:333013", "--data", f"{data}?size=16,held_out=0",
                 "--batch-size", "2", "--proxies", "params"]) == 0  # fmt: skip
    assert "cropped to 16x16" in capsys.readouterr().err


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    """Missing or empty folders, and a text file in place of a picture."""
    with pytest.raises(ForetellError, match="there is no folder"):
        load_data(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ForetellError, match="contains no folder with images"):
        load_data(f"folder:{tmp_path}")
    save_pictures(tmp_path, {"a": 2}, lambda number: (4, 4))
    with pytest.raises(ForetellError, match="size is 'big'"):
        load_data(f"folder:{tmp_path}?size=big")
    (tmp_path / "a" / "001.png").write_text("not a picture")
    with pytest.raises(ForetellError, match=r"001\.png cannot be read as an image"):
        load_data(f"folder:{tmp_path}")


def test_random_images_depend_only_on_seed_and_index() -> None:
    """They are approximately standard normal, and do not depend on which others are drawn."""
    splits = load_data("random:2x6x5x3?images=300")
    assert splits.sample_shape == (2, 6, 5)
    assert splits.train[1].bincount().tolist() == [100] * 3
    images = images_of(splits)
    assert torch.equal(images[torch.tensor([7, 3])], images[:][[7, 3]])
    assert abs(float(images[:].mean())) < 0.05
    assert abs(float(images[:].std()) - 1) < 0.05
    assert load_data("random:2x6x5x3?images=300").fingerprint == splits.fingerprint
    assert load_data("random:2x6x5x3?images=300,seed=1").fingerprint != splits.fingerprint
    assert load_data("random").sample_shape == (3, 32, 32)
    assert load_data("random:1x4x4").classes == 10
    assert not torch.equal(images[:60], splits.val[0][:60])


def test_random_frames_have_a_label_for_every_fourth() -> None:
    """A network of NAS-Bench-ASR has an output for each of these frames."""
    splits = load_data("random:10x6?images=20,classes=5")
    assert (splits.kind, splits.labelled, splits.loss) == ("audio", False, "token_cross_entropy")
    frames, labels = splits.train
    assert (tuple(frames.shape), tuple(labels.shape)) == ((20, 10, 6), (20, 3))
    assert labels.unique().tolist() == [0, 1, 2, 3, 4]
    assert load_data(splits.name).classes == 5
    assert load_data("random:10x6").classes == 10


def idx(values: np.ndarray[Any, Any]) -> bytes:
    """An array in the format of MNIST's files."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.tobytes()


def test_mnist_from_its_own_files(tmp_path: Path) -> None:
    """The test part is kept, and the validation part is taken from the training part."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 10)):
        images = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 2).astype(np.uint8)
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            (raw / f"{part}-{name}-ubyte").write_bytes(idx(values))
            with gzip.open(raw / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(idx(values))
    splits = load_data(f"fashionmnist?root={tmp_path}")
    assert splits.sample_shape == (1, 28, 28)
    assert [len(labels) for _, labels in (splits.train, splits.val, splits.test)] == [36, 4, 10]
    assert abs(float(images_of(splits)[:].mean())) < 1e-4


def test_cifar10_from_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels are in their places; generated files stand in for the real ones."""
    import pickle

    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = RNG.integers(0, 256, (10, 3072), dtype=np.uint8)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        batch = {"data": pixels, "labels": list(range(10))}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    splits = load_data(f"cifar10?root={tmp_path},held_out=0")
    images = images_of(splits)
    back = images[:10] * torch.tensor(images.std)[:, None, None]
    back += torch.tensor(images.mean)[:, None, None]
    assert torch.equal(back.round().to(torch.uint8).flatten(1), torch.from_numpy(pixels))
    assert len(splits.test[1]) == 10


def test_a_data_set_of_torchvision_with_picture_files(tmp_path: Path) -> None:
    """EuroSAT is not split into parts; its pictures are opened when they are accessed."""
    save_pictures(tmp_path / "eurosat" / "2750", {"Forest": 10, "River": 10}, lambda _: (8, 8))
    splits = load_data(f"eurosat?root={tmp_path}")
    assert splits.sample_shape == (3, 8, 8)
    assert [len(labels) for _, labels in (splits.train, splits.val, splits.test)] == [16, 2, 2]
    assert minibatch(splits.train, 4, 0)[1].bincount().tolist() == [2, 2]


@pytest.mark.parametrize("name", ["cifar10", "svhn", "mnist", "dtd", "pets", "flowers102"])
def test_nothing_is_downloaded_without_consent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With consent, a download that fails is reported in one line."""
    requested: list[str] = []

    def no_network(url: str, *_: Any, **__: Any) -> None:
        requested.append(url)
        raise OSError("no network\nhere")

    for module in ("cifar", "svhn", "mnist", "dtd", "oxford_iiit_pet", "flowers102", "utils"):
        for function in ("download_url", "download_and_extract_archive"):
            path = f"torchvision.datasets.{module}.{function}"
            monkeypatch.setattr(path, no_network, raising=False)
    with pytest.raises(ForetellError, match=f"{name} cannot be read from .*download=true"):
        load_data(f"{name}?root={tmp_path}")
    assert not requested
    assert not list(tmp_path.iterdir())
    command = ["score", "nb201:333013", "--data", name, "--root", str(tmp_path)]
    assert main([*command, "--download"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert f"foretell: {name} cannot be downloaded" in errors
    assert requested


def test_text_becomes_bytes_and_the_bytes_that_follow(tmp_path: Path) -> None:
    """Lines end with the end token, nothing is padded, and an incomplete sequence is dropped."""
    file = tmp_path / "poem.txt"
    file.write_text("né\n\n  ab  \n" * 20, encoding="utf-8")
    splits = load_data(f"text:{file}?length=4,held_out=0")
    ids, following = splits.train
    assert splits.vocabulary == BYTES.vocabulary
    assert splits.classes == 259
    line = [110, 195, 169, 257, 97, 98, 257]
    stream = (line * 20)[: (140 - 1) // 4 * 4 + 1]
    assert ids[:].flatten().tolist() == stream[:-1]
    assert following.flatten().tolist() == stream[1:]
    few = load_data(f"text:{file}?length=4,sequences=5,held_out=0")
    assert torch.equal(few.train[1], following[:5])
    parts = load_data(f"text:{file}?length=4,held_out=0.2")
    assert [len(labels) for _, labels in (parts.train, parts.val, parts.test)] == [20, 7, 7]
    x, y = minibatch(splits.train, 3, seed=0)
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert (splits.kind, splits.labelled, splits.loss) == ("tokens", False, "token_cross_entropy")


def test_text_with_a_tokenizer_of_transformers(tmp_path: Path) -> None:
    """It is loaded from a folder; missing special tokens are added after its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "a": 1, "b": 2, "<pad>": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    theirs = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>")
    theirs.save_pretrained(tmp_path / "tok")
    (tmp_path / "x.txt").write_text("a b c\n" * 9)
    splits = load_data(f"text:{tmp_path / 'x.txt'}?length=3,tokenizer={tmp_path / 'tok'}")
    assert splits.vocabulary is not None
    assert vars(splits.vocabulary) == {"size": 6, "pad": 3, "end": 4, "mask": 5}
    assert set(splits.train[1].flatten().tolist()) == {0, 1, 2, 4}
    with pytest.raises(ForetellError, match="allow the download of tokenizer=gpt2"):
        load_data(f"text:{tmp_path / 'x.txt'}?tokenizer=gpt2")


def test_invalid_text_is_refused(tmp_path: Path) -> None:
    """A missing or short file, a file that is not UTF-8, and an invalid length."""
    with pytest.raises(ForetellError, match="there is no file"):
        load_data(f"text:{tmp_path / 'nowhere.txt'}")
    file = tmp_path / "x.txt"
    file.write_text("short")
    with pytest.raises(ForetellError, match="has 6 tokens; a sequence of length=64 needs 65"):
        load_data(f"text:{file}")
    with pytest.raises(ForetellError, match="length is 1"):
        load_data(f"text:{file}?length=1")
    file.write_bytes(b"\xff\xfe\x00" * 50)
    with pytest.raises(ForetellError, match="is not UTF-8 text"):
        load_data(f"text:{file}")


def saved(tmp_path: Path, columns: dict[str, Any], features: dict[str, Any]) -> str:
    """A data set of the datasets library in a folder, with training and test parts."""
    import datasets

    part = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    datasets.DatasetDict(train=part, test=part).save_to_disk(tmp_path / "set")
    return f"hf-dataset:{tmp_path / 'set'}"


def test_hf_images(tmp_path: Path) -> None:
    """Columns are found by their kind, and pictures are decoded when they are accessed."""
    import datasets

    pictures = [Image.new("L", (6, 5), 10 * number) for number in range(20)]
    data = saved(
        tmp_path,
        {"pic": pictures, "what": [number % 2 for number in range(20)]},
        {"pic": datasets.Image(), "what": datasets.ClassLabel(names=["even", "odd"])},
    )
    splits = load_data(data)
    assert splits.sample_shape == (1, 5, 6)
    assert splits.classes == 2
    assert [len(labels) for _, labels in (splits.train, splits.val, splits.test)] == [18, 2, 20]
    image = splits.test[0][torch.tensor([3])]
    assert ((image * 0.226 + 0.449) * 255).round().unique().tolist() == [30]
    assert load_data(data).fingerprint == splits.fingerprint
    with pytest.raises(ForetellError, match="no column is called 'wat'; did you mean 'what'"):
        load_data(f"{data}?label=wat")


def test_hf_text_with_and_without_labels(tmp_path: Path) -> None:
    """Labelled texts are padded to one length; others are joined for language models."""
    import datasets

    texts = ["good", "bad film"] * 10
    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["p", "n"])}
    data = saved(tmp_path / "a", {"text": texts, "label": [0, 1] * 10}, kinds)
    splits = load_data(f"{data}?length=6")
    assert splits.classes == 2
    ids, labels = minibatch(splits.train, 2, seed=0)
    assert ids[labels.tolist().index(0)].tolist() == [*b"good", 256, 256]
    assert ids[labels.tolist().index(1)].tolist() == [*b"bad fi"]
    bare = saved(tmp_path / "b", {"text": texts}, {"text": datasets.Value("string")})
    splits = load_data(f"{bare}?length=8")
    assert splits.train[1].shape[1] == 8
    assert splits.classes == 259
    none = saved(tmp_path / "c", {"x": [1.0]}, {"x": datasets.Value("float64")})
    with pytest.raises(ForetellError, match="neither an image nor a text column; name one of x"):
        load_data(none)
    with pytest.raises(ForetellError, match=r"no folder 'mnist'.*download=true"):
        load_data("hf-dataset:mnist")


@pytest.mark.parametrize(
    ("module", "data", "extra"),
    [
        ("torchvision.datasets", "cifar10", "torchvision"),
        ("datasets", "hf-dataset:somewhere", "hf"),
        ("PIL.Image", "folder:{pictures}", "torchvision"),
    ],
)
def test_an_absent_extra_says_what_to_install(
    module: str, data: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the extra of foretell."""
    save_pictures(tmp_path, {"a": 1}, lambda number: (4, 4))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ForetellError, match=re.escape(f"pip install 'foretell[{extra}]'")):
        load_data(data.format(pictures=tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cifar", "no data set is called 'cifar'; did you mean 'cifar10'"),
        ("npz", "'npz' is not the name of a data set; write npz:FILE"),
        ("digits:7", "not the name of a data set; write digits"),
        ("digits?size=9", "digits has no setting 'size'; known: flat"),
        ("digits?flat=1", "flat is 1; expected True or False"),
        ("breast_cancer?size=9", "breast_cancer has no setting 'size'; there are none"),
        ("python_topics?length=1", "length is 1 and sequences is 4096; expected a length of"),
        ("random?image=9", "random has no setting 'image'; did you mean 'images'"),
        ("random:32", "does not give a shape; write random:CxHxW"),
        ("random:1x8x8x4?classes=5", "already gives 4 classes; leave out classes=5"),
        ("random:8x4?classes=0", "classes is 0; expected at least 1"),
        ("random:0x3x3", "does not give a shape"),
        ("random?images=few", "images is 'few'; expected an integer"),
    ],
)
def test_an_invalid_name_of_data_is_one_line(text: str, message: str) -> None:
    """The message suggests a name, or says how to write it."""
    with pytest.raises(ForetellError, match=re.escape(message)) as error:
        load_data(text)
    assert "\n" not in str(error.value)


def test_settings_of_the_command_line_are_added_to_the_name() -> None:
    """Settings in the name take precedence."""
    assert with_settings("svhn", root="a") == "svhn?root=a"
    assert with_settings("svhn?root=b", root="a", download=True) == "svhn?root=b,download=true"
    for name, entry in DATA.items():
        assert name == entry.pattern.partition(":")[0]
        assert entry.summary


class Loader:
    """An endless stream that counts the batches read."""

    def __init__(self, labels: Callable[[int], Tensor]) -> None:
        self.read = 0
        self.labels = labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            labels = self.labels(self.read)
            self.read += 1
            yield labels[:, None].float(), labels


def test_the_first_batch_of_a_loader_is_balanced() -> None:
    """It is chosen from four times as many samples, in the order of the loader."""
    loader = Loader(lambda place: torch.tensor([0, 0, 0, place % 3]))
    batch = first_batch(loader, 9)
    assert batch.targets.bincount().tolist() == [3, 3, 3]
    assert torch.equal(batch.inputs[:, 0].long(), batch.targets)  # type: ignore[call-overload, index, union-attr]
    assert loader.read == 9
    plain = first_batch(loader, 6, balanced=False)
    assert plain.targets.tolist()[:3] == [0, 0, 0]
    assert len(plain) == 6


def test_the_first_batch_of_any_kind_of_batches() -> None:
    """Pairs of a DataLoader, dicts with labels, nested inputs, and targets that are not classes."""
    images, labels = torch.randn(10, 2), torch.arange(10) % 2
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    batch = first_batch(loader, 4)
    assert torch.equal(batch.inputs, images[:4])  # type: ignore[arg-type]
    dicts = [{"x": images[:5], "labels": labels[:5]}, {"x": images[5:], "labels": labels[5:]}]
    batch = first_batch(dicts, 10)
    assert isinstance(batch.inputs, dict)
    assert batch.inputs["x"].shape == (10, 2)
    batch = first_batch([((images, images), images)], 3)
    assert isinstance(batch.inputs, tuple)
    assert torch.equal(batch.targets, images[:3])
    model = torch.nn.Linear(2, 2)
    assert score(model, first_batch(loader, 4), ["snip"])["snip"].value > 0


@pytest.mark.parametrize(
    ("batches", "size", "message"),
    [
        ([], 1, "only 0 samples"),
        ([(torch.zeros(3, 2), torch.zeros(3).long())], 4, "only 3 samples"),
        ([(torch.zeros(3, 2), torch.zeros(3))], 2, "pass balanced=False"),
        ([torch.zeros(3, 2)], 2, "expected a pair"),
        ([], 0, "size is 0"),
        (
            [
                (torch.zeros(2, 3), torch.zeros(2).long()),
                (torch.zeros(2, 4), torch.zeros(2).long()),
            ],
            3,
            "pad them to the same shape",
        ),
    ],
)
def test_loaders_without_a_batch_are_refused(batches: list[Any], size: int, message: str) -> None:
    """The message says what the loader yields."""
    with pytest.raises(ForetellError, match=message):
        first_batch(batches, size)
