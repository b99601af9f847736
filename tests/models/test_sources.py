"""Models by name: what each source builds, which input it expects, and what it refuses."""

import math
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

from foretell import Batch, ForetellError, load_data, minibatch, score
from foretell.batch import main_output
from foretell.cli import main
from foretell.data import Splits
from foretell.data.tokens import BYTES
from foretell.errors import UnknownName
from foretell.losses import token_cross_entropy
from foretell.models import SOURCES, expand_models, fit_batch, load_model, wanted_input
from foretell.models.fit import as_wanted
from foretell.models.sources import resolved
from foretell.models.specs import Like, Wanted
from foretell.models.zoos import pytorchcv_names, timm_names, torchvision_names


def texts(classes: int, *labels_of_each: int) -> Splits:
    """Four texts of sixteen tokens, with one label per text or per token."""
    ids = torch.zeros(4, 16, dtype=torch.int64)
    part = ids, torch.zeros(4, *labels_of_each, dtype=torch.int64)
    return Splits("texts", classes, part, part, part, BYTES.vocabulary)


GREY = load_data("random:1x8x8x7")
TEXT = texts(259, 16)
REVIEWS = texts(3)

IMAGE_MODELS = {
    "nb201:333013?channels=2,cells=1": None,
    "torchvision:squeezenet1_1": (3, 224, 224),
    "torchvision:mobilenet_v3_small?image_size=32": (3, 32, 32),
    "torchvision:vit_b_32": (3, 224, 224),
    "torchvision:inception_v3": (3, 299, 299),
    "torchvision:vit_b_32?image_size=64": (3, 64, 64),
    "timm:test_resnet": (1, 160, 160),
    "timm:test_vit?image_size=64": (1, 64, 64),
    "timm:mobilenetv3_small_050?image_size=32,in_chans=3": (3, 32, 32),
    "timm:resnet10t.c3_in1k": (1, 176, 176),
    "pytorchcv:resnet20_cifar10": (1, 32, 32),
    "pytorchcv:squeezenet_v1_1": (1, 224, 224),
    "hf:vit?image_size=32,patch_size=8": (1, 32, 32),
}


def grey() -> Batch:
    """Three grey images of 8x8 and their labels."""
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.tensor([0, 3, 6]))


def lines() -> Batch:
    """Three sequences of 16 bytes, and the bytes that follow."""
    ids = torch.randint(0, 256, (3, 17), generator=torch.Generator().manual_seed(0))
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


@pytest.mark.parametrize(("text", "shape"), IMAGE_MODELS.items())
def test_image_models_fit_the_data_in_the_size_they_expect(
    text: str, shape: tuple[int, int, int] | None
) -> None:
    """The model has as many outputs as the data has classes, and the targets do not change."""
    wanted = wanted_input(text, Like.of(GREY))
    assert wanted == Wanted("image", shape)
    model = load_model(text, GREY)
    batch = as_wanted(grey(), wanted)
    assert main_output(batch.feed(model)).shape == (3, 10 if "cifar10" in text else 7)
    assert torch.equal(batch.targets, grey().targets)


@pytest.mark.parametrize("text", ["torchvision:squeezenet1_1", "timm:test_resnet", "hf:gpt2"])
def test_weights_depend_on_the_seed_alone(text: str) -> None:
    """The global generator of PyTorch does not change."""
    splits = TEXT if text.startswith("hf") else GREY
    before = torch.get_rng_state()
    first, again, different = (
        nn.utils.parameters_to_vector(load_model(text, splits, seed).parameters())
        for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, different)


@pytest.mark.parametrize(
    ("text", "architecture", "task"),
    [
        ("hf:gpt2", "GPT2LMHeadModel", "causal"),
        ("hf:llama", "LlamaForCausalLM", "causal"),
        ("hf:bert", "BertForMaskedLM", "masked"),
        ("hf:distilbert", "DistilBertForMaskedLM", "masked"),
        ("hf:t5", "T5ForConditionalGeneration", "seq2seq"),
        ("hf:bart", "BartForConditionalGeneration", "seq2seq"),
        ("hf:bert?task=causal", "BertLMHeadModel", "causal"),
    ],
)
def test_language_models_predict_text(text: str, architecture: str, task: str) -> None:
    """They are small, have the vocabulary of the data, and start about as good as a guess."""
    wanted = wanted_input(text, Like.of(TEXT))
    assert wanted == Wanted("tokens", task=task)  # type: ignore[arg-type]
    model = load_model(text, TEXT)
    assert type(model).__name__ == architecture
    assert sum(p.numel() for p in model.parameters()) < 3e6
    batch = as_wanted(lines(), wanted, BYTES.vocabulary)
    with torch.no_grad():
        loss = token_cross_entropy(batch.feed(model), batch.targets)
    assert abs(float(loss) - math.log(259)) < 0.25 * math.log(259)
    value = score(model, batch, ["grad_norm"], loss=token_cross_entropy)["grad_norm"]
    assert value.value > 0


def test_labelled_text_is_classified() -> None:
    """Padding is masked, so it changes nothing."""
    model = load_model("hf:bert", REVIEWS).eval()
    wanted = wanted_input("hf:bert", Like.of(REVIEWS))
    assert wanted.task == "classify"
    ids = lines().inputs
    assert isinstance(ids, torch.Tensor)
    padded = torch.cat([ids[:, :10], torch.full((3, 6), BYTES.vocabulary.pad)], dim=1)
    labels = torch.tensor([0, 2, 1])
    short, long = (
        as_wanted(Batch(one, labels), wanted, BYTES.vocabulary) for one in (ids[:, :10], padded)
    )
    assert torch.equal(long.targets, labels)
    torch.testing.assert_close(
        main_output(short.feed(model)), main_output(long.feed(model)), atol=1e-5, rtol=1e-4
    )
    assert main_output(long.feed(model)).shape == (3, 3)


def test_settings_of_a_configuration_have_its_own_or_the_usual_names() -> None:
    """Sizes that are not given are in proportion to those that are."""
    model = load_model("hf:gpt2?n_layer=2,hidden_size=64", TEXT)
    assert model.config.n_layer == 2  # type: ignore[union-attr]
    assert model.config.n_embd == 64  # type: ignore[union-attr]
    assert model.config.vocab_size == 259  # type: ignore[union-attr]
    llama = load_model("hf:llama?hidden_size=64,num_attention_heads=2", TEXT)
    assert llama.config.head_dim == 32  # type: ignore[union-attr]
    assert llama.config.intermediate_size == 256  # type: ignore[union-attr]


def test_hidden_tokens_are_the_targets_of_a_masked_model() -> None:
    """The seed hides 15 % of each sequence, at least one token; other targets are ignored."""
    batch, wanted = lines(), Wanted("tokens", task="masked")
    laid = as_wanted(batch, wanted, BYTES.vocabulary, seed=5)
    ids = laid.inputs["input_ids"]  # type: ignore[index, call-overload]
    hidden = ids == BYTES.vocabulary.mask
    assert hidden.sum(1).tolist() == [2, 2, 2]
    assert torch.equal(torch.where(hidden, laid.targets, ids), batch.inputs)  # type: ignore[call-overload]
    assert (laid.targets[~hidden] == -100).all()
    again = as_wanted(batch, wanted, BYTES.vocabulary, seed=5)
    assert again.fingerprint == laid.fingerprint
    assert as_wanted(batch, wanted, BYTES.vocabulary, seed=6).fingerprint != laid.fingerprint


def test_a_seq2seq_model_predicts_the_second_half_from_the_first() -> None:
    """The decoder reads a start token and then the preceding tokens."""
    laid = as_wanted(lines(), Wanted("tokens", task="seq2seq"), BYTES.vocabulary)
    ids = lines().inputs
    assert isinstance(ids, torch.Tensor)
    assert isinstance(laid.inputs, dict)
    assert torch.equal(laid.inputs["input_ids"], ids[:, :8])
    assert torch.equal(laid.targets, ids[:, 8:])
    assert torch.equal(laid.inputs["decoder_input_ids"][:, 1:], ids[:, 8:-1])
    assert (laid.inputs["decoder_input_ids"][:, 0] == BYTES.vocabulary.pad).all()


def test_one_channel_becomes_three_and_sizes_change_without_aliasing() -> None:
    """A constant image stays constant; stripes shrink to their mean."""
    flat = Batch(torch.full((2, 1, 8, 8), 0.3), torch.tensor([0, 1]))
    grown = as_wanted(flat, Wanted("image", (3, 20, 12)))
    assert torch.allclose(grown.inputs, torch.full((2, 3, 20, 12), 0.3))  # type: ignore[arg-type]
    stripes = (torch.arange(32) % 4 == 0).float().expand(1, 1, 32, 32)
    shrunk = as_wanted(Batch(stripes), Wanted("image", (1, 4, 4)))
    assert (shrunk.inputs - 0.25).abs().max() < 0.03  # type: ignore[operator]
    with pytest.raises(ForetellError, match="2 channels and the model expects 3"):
        as_wanted(Batch(torch.zeros(1, 2, 8, 8)), Wanted("image", (3, 8, 8)))
    same = as_wanted(flat, Wanted("image", (1, 8, 8)))
    assert same.fingerprint == flat.fingerprint


def test_patterns_and_files_are_expanded(tmp_path: Path) -> None:
    """Matches are sorted by number, keep their settings, and occur once."""
    listed = tmp_path / "zoo.txt"
    listed.write_text(
        "# CNNs\n\ntorchvision:resnet1*?image_size=32  # three\nnb201:333013\n"
        "timm:mobilenetv3_small_0[57]*\n"
    )
    found = expand_models(["nb201:333013", f"@{listed}", "pytorchcv:resnet*_wd4"])
    assert found == [
        "nb201:333013",
        *(f"torchvision:resnet{depth}?image_size=32" for depth in (18, 101, 152)),
        "timm:mobilenetv3_small_050",
        "timm:mobilenetv3_small_075",
        "pytorchcv:resnet18_wd4",
    ]
    listed.write_text("nb201:333013\nnb201:111111\n\nnb201:333013\n")
    assert expand_models([f"@{listed}"]) == ["nb201:333013", "nb201:111111"]


def test_patterns_match_only_classifiers() -> None:
    """Models for detection, segmentation, poses or speech are not listed."""
    assert {"resnet18", "vit_b_16"} <= set(torchvision_names())
    assert not [name for name in torchvision_names() if "rcnn" in name or "deeplab" in name]
    names = pytorchcv_names()
    assert {"resnet18_wd4", "resnet20_cifar10", "resnet20_svhn", "diaresnet50", "fbnet_cb"} <= {
        *names
    }
    others = ("voc", "coco", "cityscapes", "ade20k", "celebamaskhq", "widerface", "_en")
    assert not [name for name in names if name.endswith(others)]
    assert len(names) > 700
    assert len(timm_names()) > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchvision:resnet81", "torchvision has no model 'resnet81'; did you mean 'resnet18'"),
        ("timm:mobilnetv3_small_050", "did you mean 'mobilenetv3_small_050'"),
        ("timm:resnet50.zzz", r"Invalid pretrained tag \(zzz\)"),
        ("pytorchcv:resnet20_cifar", "did you mean 'resnet20_cifar10'"),
        ("pytorchcv:resnet20_cifar10?num_classes=7", "cannot be made: AssertionError"),
        ("hf:gpt22", "did you mean 'gpt2'"),
        ("torchvision:rexnet*", "no model of torchvision matches 'rexnet\\*'; did you mean"),
        ("torchvision:resnet18?image_size=big", "image_size is 'big'"),
        ("torchvision:resnet18?depth=3", "'torchvision:resnet18' cannot be made: TypeError"),
        ("timm:test_resnet?widht=3", "'timm:test_resnet' cannot be made"),
        ("pytorchcv:resnet10?widht=3", "'pytorchcv:resnet10' cannot be made"),
        ("hf:vit?patch_sise=4", "hf:vit has no setting 'patch_sise'; did you mean 'patch_size'"),
        ("hf:vit?hidden_size=wide", "hidden_size is 'wide'"),
        ("hf:vit?patch_size=wide", r"hf:vit cannot be configured: .*patch_size"),
        ("hf:gpt2", "hf:gpt2 has no head for images"),
        ("hf:vit?task=causal", "task=causal does not suit the data; choose from image"),
        ("hf:vit?pretrained=true", "has no trained weights"),
        ("@nowhere.txt", "nowhere.txt cannot be read"),
    ],
)
def test_an_invalid_name_or_setting_is_one_clear_line(text: str, message: str) -> None:
    """The message quotes the name or setting as it was given."""
    with pytest.raises(ForetellError, match=message) as caught:
        [(wanted_input(one, Like.of(GREY)), load_model(one, GREY)) for one in expand_models([text])]
    assert "\n" not in str(caught.value)


def test_an_error_in_a_file_names_its_line(tmp_path: Path) -> None:
    """The message begins with the file and the line, as those of compilers do."""
    listed = tmp_path / "zoo.txt"
    listed.write_text("nb201:333013\n\ntorchvision:resnet81\n")
    with pytest.raises(ForetellError, match=re.escape(f"{listed}:3: torchvision has no model")):
        expand_models([f"@{listed}"])
    listed.write_text("# nothing yet\n")
    with pytest.raises(ForetellError, match="lists no model"):
        expand_models([f"@{listed}"])


def test_text_and_images_are_not_confused() -> None:
    """A network for images is not built for text."""
    for text in ("nb201:333013", "timm:test_resnet", "torchvision:resnet18", "hf:vit"):
        with pytest.raises(ForetellError, match=r"the data is text|no head for text"):
            load_model(text, TEXT)


@pytest.mark.parametrize(
    ("module", "text", "extra"),
    [
        ("torchvision.models", "torchvision:resnet18", "torchvision"),
        ("timm", "timm:test_resnet", "timm"),
        ("pytorchcv.model_provider", "pytorchcv:resnet11_cub", "pytorchcv"),
        ("transformers.models.auto.modeling_auto", "hf:vit", "hf"),
    ],
)
def test_an_absent_extra_says_what_to_install(
    module: str, text: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the extra of foretell."""
    monkeypatch.setitem(sys.modules, module, None)
    pytorchcv_names.cache_clear()
    with pytest.raises(ForetellError, match=re.escape(f"pip install 'foretell[{extra}]'")):
        load_model(text, GREY)


@pytest.mark.parametrize(
    ("name", "downloading"),
    [
        ("torchvision:squeezenet1_1", "torchvision.models._api.load_state_dict_from_url"),
        ("timm:resnet18", "timm.create_model"),
    ],
)
def test_weights_that_cannot_be_downloaded(
    name: str, downloading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is one line and says what to do."""

    def no_network(*args: object, **more: object) -> None:
        raise URLError("no network\nhere")

    monkeypatch.setattr(downloading, no_network)
    with pytest.raises(ForetellError, match=r"no network here.*leave pretrained out") as error:
        load_model(name, GREY, pretrained=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nb201:333013?channels=2,cells=1", "torchvision.models:resnet18"])
def test_trained_weights_are_refused_where_there_are_none(name: str) -> None:
    with pytest.raises(ForetellError, match="pretrained has no effect"):
        load_model(name, GREY, pretrained=True)


def test_every_source_has_a_summary() -> None:
    """`foretell list models` prints it."""
    for source in SOURCES.values():
        assert source.summary.endswith(".")
        assert ":" in source.pattern


def test_rank_scores_networks_of_several_sizes_on_the_same_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line, with a file of models and several seeds."""
    listed = tmp_path / "zoo.txt"
    listed.write_text("timm:test_resnet\nnb201:333013?channels=2,cells=1\n")
    command = ["rank", f"@{listed}", "pytorchcv:resnet20_cifar10", "--batch-size", "4"]
    command += [
        "--proxies",
        "synflow,params",
        "--by",
        "synflow",
        "--seeds",
        "2",
        "--csv",
        "--data",
        "digits",
    ]
    assert main(command) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("model,synflow,params,synflow_std,params_std,rank,seconds")
    assert len(rows) == 3
    name, digits = "pytorchcv:resnet20_cifar10", load_data("digits")
    batch = fit_batch(Batch(*minibatch(digits.train, 4, 0)), name, digits)
    alone = score(load_model(name, digits), batch, ["synflow"])["synflow"].value
    command = ["score", name, "--batch-size", "4", "--proxies", "synflow"]
    assert main([*command, "--csv"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert float(row.split(",")[1]) == pytest.approx(alone, rel=1e-6)


def test_language_models_are_scored_from_the_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss is the cross-entropy of every token."""
    text = tmp_path / "lines.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    data = f"text:{text}?length=16"
    command = ["rank", "hf:gpt2?n_layer=1", "hf:bert?num_hidden_layers=1", "--data", data]
    assert main([*command, "--proxies", "snip", "--batch-size", "4", "--csv"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert all(float(row.split(",")[1]) > 0 for row in rows)
    assert main(["score", "torchvision:resnet*", "--data", "digits"]) == 2
    assert "names 5 models" in capsys.readouterr().err
    assert main(["score", "nb201:333013", "--batches", "0"]) == 2
    assert "--batches is 0" in capsys.readouterr().err


def test_a_bare_name_is_looked_up_in_all_zoos(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {"timm": ["resnet18", "vit_tiny"], "torchvision": ["resnet18", "vgg11"]}
    for prefix, source in SOURCES.items():
        names = partial(list, lists.get(prefix, [])) if source.names else None
        monkeypatch.setitem(SOURCES, prefix, replace(source, names=names))
    with pytest.raises(UnknownName, match="mean torchvision:resnet18 or timm:resnet18") as found:
        resolved("resnet18")
    assert found.value.near == ("torchvision:resnet18", "timm:resnet18")
    with pytest.raises(UnknownName, match="did you mean torchvision:vgg11") as found:
        resolved("vgg_11?image_size=32")
    assert found.value.near == ("torchvision:vgg11",)
    with pytest.raises(
        UnknownName, match="expected SPACE:ARCHITECTURE with one of the spaces cnn, nb201"
    ):
        resolved("qqqqqq")


def test_the_path_of_a_file_is_told_how_to_be_written(tmp_path: Path) -> None:
    nets, names = tmp_path / "nets.py", tmp_path / "names.txt"
    names.write_text("nb201:333013\n")
    with pytest.raises(UnknownName, match=r"nets\.py:FACTORY"):
        resolved(str(nets))
    with pytest.raises(UnknownName, match="write @") as found:
        resolved(str(names))
    assert found.value.near == (f"@{names}",)


def test_models_for_photographs_are_not_scored_on_the_default_digits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["score", "torchvision:inception_v3", "--proxies", "params", "--batch-size", "2"]
    assert main(command) == 2
    assert "expects images of 299 x 299 pixels" in capsys.readouterr().err
    assert main([*command, "--data", "digits"]) == 0
    assert main(["score", "nb201:333013?channels=2,cells=1", *command[2:]]) == 0
