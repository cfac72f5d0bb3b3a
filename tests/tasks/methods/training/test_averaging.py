"""The average of the best checkpoints, and which they are. Alone: pytest tests/tasks/methods/training/test_averaging.py."""

import logging
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.errors import TrainingError
from schemas.recipe.tuning import FullTuning
from tasks.methods.problems.text_classification import load_model
from tasks.methods.training.averaging import average_checkpoints, best_folders, remove_others
from tasks.methods.training.checkpoint_format import TENSORS, thaw
from tasks.methods.training.trainer import Hooks
from tasks.training import train
from tests.tasks.test_resume import PROBLEM, TRAINING, Kept, encode, equal, make_table, model_of

pytestmark = pytest.mark.heavy

# 12 evaluations and checkpoints; at a rate that stays high the best ones are not the last ones.
AVERAGING = TRAINING.model_copy(
    update={"average_best": 3, "epochs": 6, "schedule": "constant", "learning_rate": 0.008, "early_stopping": None}
)
LAST = 48


@pytest.fixture(scope="module")
def tokens(tiny_model: Path):
    return encode(tiny_model, make_table(120, 1)), encode(tiny_model, make_table(60, 9))


@pytest.fixture
def average_wins(monkeypatch):
    """Whether a mean is better hangs on every detail of a training; here it is said to be."""
    monkeypatch.setattr("tasks.methods.training.averaging._validation_loss", lambda trainer: 0.0)


@pytest.fixture(scope="module")
def averaged(tiny_model: Path, tokens, tmp_path_factory):
    work = tmp_path_factory.mktemp("averaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.methods.training.averaging._validation_loss", lambda trainer: 0.0)
        return work, train(tiny_model, tokens, PROBLEM, FullTuning(), AVERAGING, work)


def folders_of(work: Path) -> set[str]:
    return {path.name for path in (work / "checkpoints").iterdir()}


def best_steps(curve, count: int) -> list[int]:
    losses = {point.step: point.validation_loss for point in curve if point.validation_loss is not None}
    return sorted(losses, key=losses.get)[:count]


def mean_of(work: Path, steps: list[int]) -> dict[str, torch.Tensor]:
    """The mean of what training wrote into the checkpoints' one file of weights."""
    folders = [work / "checkpoints" / f"checkpoint-{step}" for step in steps]
    files = [path for folder in folders for path in folder.glob("*.safetensors") if path.name != TENSORS]
    assert len(files) == len(steps)
    weights = [load_file(path) for path in files]
    return {name: torch.stack([one[name] for one in weights]).mean(0) for name in weights[0]}


def loss_of(weights: dict[str, torch.Tensor], work: Path, tokens: pd.DataFrame) -> float:
    model = load_model(work / "model", PROBLEM, False).eval()
    model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        logits = torch.cat([model(input_ids=torch.tensor([list(ids)])).logits for ids in tokens["input_ids"]])
    return torch.nn.functional.cross_entropy(logits, torch.tensor(list(tokens["labels"]))).item()


def test_model_is_the_mean_of_the_best_checkpoints(tiny_model, tokens, tmp_path, caplog, average_wins):
    with caplog.at_level(logging.INFO):
        curve = train(tiny_model, tokens, PROBLEM, FullTuning(), AVERAGING, tmp_path)
    steps, model = best_steps(curve, 3), model_of(tmp_path)

    assert "The average of the 3 best checkpoints has a validation loss of 0.0000" in caplog.text
    assert "the average is kept" in caplog.text
    torch.testing.assert_close(model, mean_of(tmp_path, steps))
    assert not equal(model, mean_of(tmp_path, steps[:1]))
    assert folders_of(tmp_path) == {f"checkpoint-{step}" for step in (*steps, LAST)} | {"average"}


def test_average_that_is_worse_gives_way_to_the_best_checkpoint(tiny_model, tokens, tmp_path, caplog):
    """All checkpoints from the first on: the mean is far from the last."""
    training = AVERAGING.model_copy(update={"average_best": 100})
    with caplog.at_level(logging.INFO):
        curve = train(tiny_model, tokens, PROBLEM, FullTuning(), training, tmp_path)

    (losses,) = re.findall(
        r"12 best .* loss of ([0-9.]+), the best alone ([0-9.]+): the best alone is kept", caplog.text
    )

    assert float(losses[0]) == pytest.approx(
        loss_of(mean_of(tmp_path, best_steps(curve, 12)), tmp_path, tokens[1]), abs=2e-4
    )
    assert float(losses[1]) == pytest.approx(min(point.validation_loss or 99 for point in curve), abs=1e-4)
    assert equal(model_of(tmp_path), mean_of(tmp_path, best_steps(curve, 1)))


def test_nothing_else_differs_from_a_training_without_averaging(averaged, tiny_model: Path, tokens, tmp_path: Path):
    single = AVERAGING.model_copy(update={"average_best": 1})

    assert train(tiny_model, tokens, PROBLEM, FullTuning(), single, tmp_path) == averaged[1]
    assert not equal(model_of(tmp_path), model_of(averaged[0]))
    assert folders_of(tmp_path) == {f"checkpoint-{step}" for step in (*best_steps(averaged[1], 1), LAST)}


@pytest.mark.slow
def test_run_that_died_after_a_checkpoint_averages_to_the_same_weights(
    tiny_model, tokens, averaged, average_wins, tmp_path, monkeypatch
):
    step = 44
    assert min(best_steps(averaged[1], 3)) < step  # otherwise nothing of before would be averaged
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 1e9)
    kept = Kept(tmp_path / "kept", stop_at=step)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model, tokens, PROBLEM, FullTuning(), AVERAGING, tmp_path / "dead", kept.hooks())
    shutil.rmtree(tmp_path / "dead")
    shutil.copytree(kept.folder, tmp_path / "work" / "checkpoints")
    thaw(checkpoint := tmp_path / "work" / "checkpoints" / f"checkpoint-{step}")
    train(tiny_model, tokens, PROBLEM, FullTuning(), AVERAGING, tmp_path / "work", checkpoint=checkpoint)

    assert equal(model_of(tmp_path / "work"), model_of(averaged[0]))


def test_checkpoint_to_average_that_is_gone_is_an_error(tiny_model, tokens, averaged, tmp_path):
    second = tmp_path / "checkpoints" / f"checkpoint-{best_steps(averaged[1], 2)[1]}"

    def lose(logs: dict[str, float]) -> None:
        if "train_runtime" in logs:
            shutil.rmtree(second)

    with pytest.raises(TrainingError, match="best validation losses is missing"):
        train(tiny_model, tokens, PROBLEM, FullTuning(), AVERAGING, tmp_path, Hooks(report=lose))


def test_best_are_those_of_the_lowest_losses_and_of_equal_ones_the_earlier(tmp_path: Path):
    history = [
        {"step": 1, "loss": 0.1},
        *({"step": step, "eval_loss": loss} for step, loss in ((2, 0.9), (4, 0.5), (6, 0.5), (8, 0.4))),
    ]

    for step in (2, 4, 6, 8):
        (tmp_path / f"checkpoint-{step}").mkdir()

    assert [folder.name for folder in best_folders(history, 3, tmp_path)] == [
        "checkpoint-8",
        "checkpoint-4",
        "checkpoint-6",
    ]
    assert len(best_folders(history, 100, tmp_path)) == 4
    assert best_folders(history[:1], 3, tmp_path) == []


def test_all_checkpoints_but_those_to_keep_are_removed(tmp_path: Path):
    for name in ("checkpoint-1", "checkpoint-2", "checkpoint-10", "other"):
        (tmp_path / name).mkdir()
    remove_others(tmp_path, [tmp_path / "checkpoint-2", tmp_path / "checkpoint-3"])

    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-2", "other"}


def test_trained_weights_are_averaged_in_their_own_type_and_equal_ones_stay(tmp_path: Path):
    folders = [tmp_path / name for name in ("best", "second", "third")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        weights = {
            "moved": torch.tensor([1.0, 2.0]) * number,
            "half": torch.tensor([float(number)], dtype=torch.bfloat16),
            "still": torch.tensor([0.1, 1 / 3, -7e-5]),
        }
        save_file(weights, folder / "trained.safetensors")
        save_file(weights, folder / "state.safetensors")
    found = load_file(average_checkpoints(folders, tmp_path / "average") / "trained.safetensors")

    assert [path.name for path in (tmp_path / "average").iterdir()] == ["trained.safetensors"]
    assert torch.equal(found["moved"], torch.tensor([1.0, 2.0]))
    assert torch.equal(found["half"], torch.tensor([1.0], dtype=torch.bfloat16))
    assert torch.equal(found["still"], torch.tensor([0.1, 1 / 3, -7e-5]))
