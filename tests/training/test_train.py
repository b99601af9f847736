"""Training learns, and its results depend only on its arguments."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foretell.data import Part, Split, Splits, load_data
from foretell.data.digits import digits
from foretell.errors import ForetellError
from foretell.spaces.initialise import initialise
from foretell.training import train as training
from foretell.training.settings import TrainSettings
from foretell.training.train import Epoch, Trained, train

QUICK = TrainSettings(epochs=2, batch_size=64, lr=0.05)


def small_net(*extra: nn.Module, seed: int = 0) -> nn.Sequential:
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*layers, *extra, nn.Flatten(), nn.Linear(8 * 16, 10))
    initialise(model, seed)
    return model


@pytest.fixture(scope="module")
def splits() -> Splits:
    return digits()


@pytest.fixture(scope="module")
def few(splits: Splits) -> Splits:
    """A third of the digits, for tests that only compare runs."""

    def third(part: Part) -> Split:
        return part[0][::3], part[1][::3]

    return Splits("few", 10, third(splits.train), third(splits.val), third(splits.test))


def outcome(trained: Trained) -> Trained:
    return replace(trained, seconds=0.0)


def fresh(
    few: Splits, settings: TrainSettings = QUICK, seed: int = 0, *extra: nn.Module
) -> Trained:
    return outcome(train(small_net(*extra), few, settings, seed))


@pytest.mark.parametrize("part", ["val", "test"])
def test_data_without_samples_to_evaluate_on_are_refused(part: str, few: Splits) -> None:
    samples, labels = getattr(few, part)
    with pytest.raises(ForetellError, match=r"few has no (validation|test) samples, which"):
        fresh(replace(few, **{part: (samples[:0], labels[:0])}))


def test_it_learns_the_digits(splits: Splits) -> None:
    model = small_net()
    trained = train(model, splits, TrainSettings(epochs=3, lr=0.05), seed=0)
    assert trained.val_accuracy > 80
    assert trained.test_accuracy > 80
    assert trained.seconds > 0
    assert trained.why is None
    assert [epoch.number for epoch in trained.history] == [1, 2, 3]
    assert trained.history[-1].val_accuracy == trained.val_accuracy
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert not model.training
    images, labels = splits.test
    right = (model(images).argmax(1) == labels).double().mean().item()
    assert trained.test_accuracy == pytest.approx(100 * right)


def test_equal_seeds_train_alike_and_others_differ(few: Splits) -> None:
    assert fresh(few, seed=1) == fresh(few, seed=1)
    losses = {fresh(few, seed=seed).history[0].train_loss for seed in range(4)}
    assert len(losses) == 4


@pytest.mark.parametrize("name", ["shift", "dropout"])
def test_random_numbers_of_training_depend_on_the_seed(few: Splits, name: str) -> None:
    settings = replace(QUICK, augmentation="shift") if name == "shift" else QUICK
    extra = (nn.Dropout(0.5),) if name == "dropout" else ()
    first = fresh(few, settings, 0, *extra)
    torch.rand(7)  # other draws in between change nothing
    assert fresh(few, settings, 0, *extra) == first
    assert first != fresh(few)


def test_the_shift_does_not_change_the_order_of_images(few: Splits) -> None:
    seen: dict[str, list[Tensor]] = {"none": [], "shift": []}

    class Spy(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.net, self.name = small_net(), name

        def forward(self, images: Tensor) -> Any:
            if self.training:
                seen[self.name].append(images.detach().clone())
            return self.net(images)

    for name in ("none", "shift"):
        train(Spy(name), few, replace(QUICK, augmentation=name, epochs=1), seed=0)
    plain, shifted = torch.cat(seen["none"]), torch.cat(seen["shift"])
    assert plain.shape == shifted.shape
    moves = set()
    for before, after in zip(plain, shifted, strict=True):
        padded = nn.functional.pad(before, (1, 1, 1, 1), mode="replicate")
        windows = {(r, c): padded[:, r : r + 8, c : c + 8] for r in range(3) for c in range(3)}
        fitting = [move for move, window in windows.items() if torch.equal(window, after)]
        assert fitting
        moves.add(fitting[0])
    assert len(moves) == 9


def test_every_image_is_seen_once_per_epoch_in_even_batches(few: Splits) -> None:
    sizes: list[int] = []
    firsts: list[float] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, images: Tensor) -> Any:
            if self.training:
                sizes.append(len(images))
                firsts.extend(images.sum(dim=(1, 2, 3)).tolist())
            return self.net(images)

    count = len(few.train[1])
    train(Spy(), few, replace(QUICK, batch_size=count - 1), seed=0)  # not count - 1 and 1
    assert sorted(sizes) == [count // 2] * 2 + [count - count // 2] * 2
    expected = sorted(few.train[0][:].sum(dim=(1, 2, 3)).tolist())
    assert sorted(firsts[:count]) == pytest.approx(expected, abs=1e-4)
    assert sorted(firsts[count:]) == pytest.approx(expected, abs=1e-4)
    assert firsts[:count] != firsts[count:]


def test_global_generators_are_restored(few: Splits) -> None:
    class Draws(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            noise = random.random() + np.random.rand()
            return images + 1e-3 * noise * torch.rand_like(images)

    settings = replace(QUICK, augmentation="shift")
    model = small_net(nn.Dropout(0.5), Draws())
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    trained = outcome(train(model, few, settings, seed=0))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert repr(np.random.get_state()) == before[2]
    random.seed(99)
    assert fresh(few, settings, 0, nn.Dropout(0.5), Draws()) == trained


def test_the_test_part_affects_only_the_test_accuracy(few: Splits) -> None:
    images, labels = few.test
    other = Splits("few", 10, few.train, few.val, (images, (labels + 1) % 10))
    model, model_other = small_net(), small_net()
    trained = outcome(train(model, few, QUICK, seed=0))
    trained_other = outcome(train(model_other, other, QUICK, seed=0))
    assert trained.test_accuracy > 50 > trained_other.test_accuracy
    assert replace(trained_other, test_accuracy=trained.test_accuracy) == trained
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, model_other.state_dict()[name])


def test_validation_labels_do_not_train(few: Splits) -> None:
    images, labels = few.val
    other = Splits("few", 10, few.train, (images, (labels + 1) % 10), few.test)
    trained, trained_other = fresh(few), fresh(other)
    assert trained.test_accuracy == trained_other.test_accuracy
    assert trained.val_accuracy > 50 > trained_other.val_accuracy


def test_a_loss_that_explodes_is_undefined_with_a_reason(few: Splits) -> None:
    settings = replace(QUICK, lr=1e17, epochs=4)
    trained = fresh(few, settings)
    assert math.isnan(trained.val_accuracy)
    assert math.isnan(trained.test_accuracy)
    assert trained.why is not None
    assert trained.why.startswith("the training loss became ")
    assert trained.why.endswith(f" in epoch {trained.epochs + 1} of 4")
    assert all(math.isfinite(epoch.train_loss) for epoch in trained.history)


def test_outputs_that_are_not_finite_are_undefined_with_a_reason(few: Splits) -> None:
    class BreaksInEvaluation(nn.Module):
        def forward(self, outputs: Tensor) -> Tensor:
            return outputs if self.training or len(outputs) == 2 else outputs * math.inf

    model = nn.Sequential(small_net(), BreaksInEvaluation())
    trained = train(model, few, QUICK, seed=0)
    assert math.isnan(trained.val_accuracy)
    assert trained.why == (
        "the network's outputs are not finite on the validation samples after epoch 1 of 2"
    )
    assert trained.history == ()


def test_progress_is_called_after_every_epoch_and_may_stop_the_training(few: Splits) -> None:
    epochs: list[Epoch] = []
    trained = train(small_net(), few, QUICK, 0, progress=epochs.append)
    assert tuple(epochs) == trained.history

    def stop(_: Epoch) -> None:
        raise KeyboardInterrupt

    model, before = small_net(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train(model, few, QUICK, 0, progress=stop)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_rate_falls_along_a_cosine_to_zero(few: Splits) -> None:
    settings = TrainSettings(epochs=4, lr=0.2)
    rates = [rate for number in (1, 2, 3, 4) for rate in training._cosine(settings, 25, number)]
    assert len(rates) == 100
    assert rates[0] == 0.2
    assert rates[50] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[99] < 1e-4
    first_losses = {fresh(few, replace(QUICK, epochs=n)).history[0].train_loss for n in (1, 2, 3)}
    assert len(first_losses) == 3  # the rates differ from the first epoch on


def test_settings_reach_the_optimiser(few: Splits) -> None:
    losses = {
        fresh(few, replace(QUICK, **change)).history[-1].train_loss
        for change in (
            {},
            {"lr": 0.01},
            {"momentum": 0.5},
            {"nesterov": False},
            {"weight_decay": 0.1},
            {"optimizer": "adamw"},
            {"optimizer": "adamw", "weight_decay": 0.5},
            {"batch_size": 32},
        )
    }
    assert len(losses) == 8


def test_the_network_keeps_its_memory_format_and_has_no_gradients(few: Splits) -> None:
    model = small_net(nn.Conv2d(8, 8, 3, padding=1))
    train(model, few, QUICK, seed=0)
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs is 0; expected an integer of at least 1"),
        ({"batch_size": 2.5}, "batch_size is 2.5; expected an integer"),
        ({"lr": 0.0}, "lr is 0.0; expected a finite number above 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": math.inf}, "lr is inf"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
        ({"momentum": 1.0}, "momentum is 1.0; expected a finite number of at least 0 and below 1"),
        ({"momentum": 0.0}, "nesterov requires momentum"),
        ({"weight_decay": -1e-4}, "weight_decay is -0.0001; expected a finite number of"),
        ({"augmentation": "flip"}, "augmentation is 'flip'; expected 'none' or 'shift'"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; expected 'sgd' or 'adamw'"),
    ],
)
def test_invalid_settings_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ForetellError, match=said):
        replace(QUICK, **change)


def test_a_model_that_does_not_fit_the_data_is_refused(few: Splits) -> None:
    three_channels = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 10))
    with pytest.raises(ForetellError, match="Sequential does not accept the batch"):
        train(three_channels, few, QUICK, seed=0)
    two_classes = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(ForetellError, match=r"shape \(2, 2\); expected \(2, 10\)"):
        train(two_classes, few, QUICK, seed=0)


class Stopped(Exception):
    """Stands in for a kill after an epoch."""


def stop_at(number: int) -> Any:
    def progress(epoch: Epoch) -> None:
        if epoch.number == number:
            raise Stopped

    return progress


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_interrupted_training_resumes_to_the_same_result(
    optimizer: Any, few: Splits, tmp_path: Path
) -> None:
    """It is interrupted after each epoch in turn, with everything that draws random numbers."""
    settings = replace(QUICK, epochs=4, optimizer=optimizer, augmentation="shift", lr=0.01)
    calm, kept = small_net(nn.Dropout(0.3)), tmp_path / "kept.pt"
    expected = train(calm, few, settings, seed=1)
    for number in (1, 2, 3):
        model = small_net(nn.Dropout(0.3))
        with pytest.raises(Stopped):
            train(model, few, settings, 1, progress=stop_at(number), checkpoint=kept)
    seen: list[int] = []
    model = small_net(nn.Dropout(0.3))
    trained = train(
        model, few, settings, 1, progress=lambda e: seen.append(e.number), checkpoint=kept
    )
    assert seen == [4]
    assert outcome(trained) == outcome(expected)
    for name, tensor in calm.state_dict().items():
        assert tensor.equal(model.state_dict()[name]), name
    assert not kept.exists()


@pytest.mark.parametrize("damage", ["half", "empty", "text", "other"])
def test_an_unusable_checkpoint_is_ignored(damage: str, few: Splits, tmp_path: Path) -> None:
    kept = tmp_path / "kept.pt"
    other = replace(QUICK, lr=0.01) if damage == "other" else QUICK
    with pytest.raises(Stopped):
        train(small_net(), few, other, 0, progress=stop_at(1), checkpoint=kept)
    content = kept.read_bytes()
    if damage != "other":
        kept.write_bytes({"half": content[: len(content) // 2], "empty": b""}.get(damage, b"hello"))
    assert outcome(train(small_net(), few, QUICK, 0, checkpoint=kept)) == fresh(few)


def test_patience_ends_a_training_that_does_not_improve(few: Splits) -> None:
    """It is off by default."""
    settings = TrainSettings(epochs=40, batch_size=64, lr=0.05, patience=2)
    trained = train(small_net(), few, settings, 0)
    accuracies = [epoch.val_accuracy for epoch in trained.history]
    assert trained.epochs < 40
    assert max(accuracies[:-2]) >= max(accuracies[-2:])
    assert trained.val_accuracy == accuracies[-1]
    assert TrainSettings(epochs=40).patience is None


def test_mixed_precision_trains_about_as_well(few: Splits) -> None:
    """On the CPU, it uses bfloat16."""
    settings = replace(QUICK, epochs=3, precision="bf16")
    half, full = fresh(few, settings), fresh(few, replace(QUICK, epochs=3))
    assert half.history != full.history
    assert half.val_accuracy > 0.8 * full.val_accuracy
    with pytest.raises(ForetellError, match="requires a GPU"):
        fresh(few, replace(QUICK, precision="fp16"))


def test_texts_are_trained_token_by_token() -> None:
    """A network that sees one token learns a text in which each token determines the next."""
    ids = (torch.arange(600) % 5).reshape(60, 10)
    after = (ids + 1) % 5
    part = (ids[:40], after[:40])
    texts = Splits("count", 5, part, (ids[40:50], after[40:50]), (ids[50:], after[50:]))
    model = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
    trained = train(model, texts, TrainSettings(epochs=20, batch_size=8, lr=0.3), 0)
    assert trained.test_accuracy == 100


def test_random_numbers_of_a_model_differ_between_epochs(few: Splits) -> None:
    """They also differ between seeds, and depend on nothing else."""
    drawn: list[float] = []

    class Spy(nn.Module):
        def forward(self, outputs: Tensor) -> Tensor:
            if self.training:
                drawn.append(float(torch.rand(())))
            return outputs

    count = len(few.train[1])
    settings = replace(QUICK, epochs=3, batch_size=count)  # one step per epoch
    train(small_net(Spy()), few, settings, seed=0)
    first = list(drawn)
    assert len(set(first)) == 3
    drawn.clear()
    train(small_net(Spy()), few, settings, seed=0)
    assert drawn == first
    drawn.clear()
    train(small_net(Spy()), few, settings, seed=1)
    assert not set(drawn) & set(first)


def test_only_images_are_shifted(few: Splits) -> None:
    """Shifting other data is refused before training starts."""
    table = load_data("breast_cancer")
    shifted = replace(QUICK, augmentation="shift")
    with pytest.raises(ForetellError, match="moves images and the data has none"):
        train(nn.Linear(30, 2), table, shifted, 0)
    shifted.require(few.kind)
