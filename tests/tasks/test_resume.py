"""Training that was stopped goes on as if it had not been. Alone: pytest tests/tasks/test_resume.py."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from schemas.errors import TrainingError
from schemas.recipe.problem import TextClassification
from schemas.recipe.training import EarlyStopping, Training
from schemas.recipe.tuning import BottleneckAdapters, FullTuning, LoRA, PrefixTuning, PromptTuning, TopLayers, Tuning
from tasks.methods.problems.problem import TRAINED
from tasks.methods.training.batching import EpochSampler
from tasks.methods.training.callbacks import Hooks, Keeper
from tasks.methods.training.checkpoint_format import freeze, thaw
from tasks.training import train
from tests.conftest import LABELS
from tests.tasks.test_training import encode, make_table

pytestmark = pytest.mark.heavy

PROBLEM = TextClassification(labels=LABELS, max_tokens=16)
# 8 steps an epoch of 120 rows, an evaluation every 4.
TRAINING = Training(
    epochs=4,
    batch_size=16,
    learning_rate=0.004,
    evaluations_per_epoch=2,
    schedule="cosine",
    early_stopping=EarlyStopping(patience=3),
)


@pytest.fixture(scope="module")
def tokens(tiny_model: Path):
    return encode(tiny_model, make_table(120, 1)), encode(tiny_model, make_table(60, 9))


FULL = FullTuning()
# Of the methods that train a part; the others are as quick as they are alike.
SLOW = {"lora", "prefix", "prompt", "top"}


class Kept:
    """Checkpoints copied away, safe files only, as the store would hold them."""

    def __init__(self, folder: Path, stop_at: int | None = None) -> None:
        self.folder, self.stop_at = folder, stop_at
        self.steps: list[int] = []

    def keep(self, step: int, folder: Path, files: list[Path]) -> None:
        self.steps.append(step)
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in files:
            target = self.folder / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if step == self.stop_at:
            raise KeyboardInterrupt

    def hooks(self) -> Hooks:
        return Hooks(keep=self.keep)


class Stopping:
    """Asks to stop after a number of optimizer steps, as a signal would."""

    def __init__(self, kept: Kept, step: int) -> None:
        self.kept, self.step, self.asked = kept, step, 0

    def is_stopping(self) -> bool:
        # Asked once a step, and once more when the checkpoint is saved.
        self.asked += 1
        return self.asked >= self.step

    def stop(self) -> None:
        raise KeyboardInterrupt

    def hooks(self) -> Hooks:
        return Hooks(keep=self.kept.keep, is_stopping=self.is_stopping, stop=self.stop)


def model_of(work: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(work / "model" / name)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def straight(tiny_model: Path, tokens, tmp_path_factory):
    work = tmp_path_factory.mktemp("straight")
    return work, train(tiny_model, tokens, PROBLEM, FullTuning(), TRAINING, work)


@pytest.mark.parametrize("step", [pytest.param(4, marks=pytest.mark.slow), 8, pytest.param(28, marks=pytest.mark.slow)])
def test_run_that_died_after_a_checkpoint_ends_with_the_same_weights_and_curve(
    tiny_model, tokens, straight, tmp_path, monkeypatch, step
):
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 1e9)
    kept = Kept(tmp_path / "kept", stop_at=step)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model, tokens, PROBLEM, FullTuning(), TRAINING, tmp_path / "dead", kept.hooks())
    curve = go_on(tiny_model, tokens, tmp_path, kept)

    assert equal(model_of(tmp_path / "work"), model_of(straight[0]))
    assert curve == straight[1]


@pytest.mark.parametrize(
    "tuning",
    [
        pytest.param(tuning, id=tuning.kind, marks=[pytest.mark.slow] if tuning.kind in SLOW else [])
        for tuning in (LoRA(), BottleneckAdapters(), PrefixTuning(), PromptTuning(), TopLayers(num_layers=1))
    ],
)
def test_run_that_tunes_in_part_and_died_ends_with_the_same_weights_too(
    tiny_model, tokens, tmp_path, monkeypatch, tuning: Tuning
):
    """Its checkpoints hold what is trained and not the base."""
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 1e9)
    short, kept = TRAINING.model_copy(update={"epochs": 2}), Kept(tmp_path / "kept", stop_at=8)
    curve = train(tiny_model, tokens, PROBLEM, tuning, short, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model, tokens, PROBLEM, tuning, short, tmp_path / "dead", kept.hooks())
    gone_on = go_on(tiny_model, tokens, tmp_path, kept, short, tuning)

    assert equal(model_of(tmp_path / "work", TRAINED), model_of(tmp_path / "straight", TRAINED))
    assert gone_on == curve
    assert not list(kept.folder.rglob("model.safetensors"))


@pytest.mark.parametrize("step", [1, pytest.param(13, marks=pytest.mark.slow)])
def test_signal_saves_within_a_step_and_the_rest_gives_the_same_weights(tiny_model, tokens, straight, tmp_path, step):
    kept = Kept(tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model, tokens, PROBLEM, FullTuning(), TRAINING, tmp_path / "dead", Stopping(kept, step).hooks())
    assert kept.steps[-1] <= step
    go_on(tiny_model, tokens, tmp_path, kept)

    assert equal(model_of(tmp_path / "work"), model_of(straight[0]))


def test_early_stopping_goes_on_counting(tiny_model, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 1e9)
    contradicting = tokens[0], tokens[0].assign(labels=(tokens[0]["labels"] + 1) % 3)
    impatient = TRAINING.model_copy(update={"early_stopping": EarlyStopping(patience=2), "epochs": 8})
    straight = train(tiny_model, contradicting, PROBLEM, FullTuning(), impatient, tmp_path / "straight")
    last = straight[-1].step
    assert last < 64
    kept = Kept(tmp_path / "kept", stop_at=last - 4)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model, contradicting, PROBLEM, FullTuning(), impatient, tmp_path / "dead", kept.hooks())

    assert go_on(tiny_model, contradicting, tmp_path, kept, impatient) == straight


def test_checkpoint_of_a_training_that_is_about_to_end_is_not_one_to_go_on_from(
    tiny_model, tokens, tmp_path, monkeypatch
):
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 1e9)
    kept = Kept(tmp_path / "kept")
    curve = train(tiny_model, tokens, PROBLEM, FullTuning(), TRAINING, tmp_path / "work", kept.hooks())

    assert curve[-1].step == 32
    assert kept.steps == [4, 8, 12, 16, 20, 24, 28]


class Control:
    should_save = should_log = should_training_stop = False


class State:
    global_step, log_history = 5, ()


def test_every_epoch_has_an_order_of_its_own(tiny_model, tokens, tmp_path, monkeypatch):
    epochs: list[int] = []
    monkeypatch.setattr(EpochSampler, "set_epoch", lambda self, epoch: epochs.append(epoch))
    train(tiny_model, tokens, PROBLEM, FullTuning(), TRAINING, tmp_path)

    assert sorted(set(epochs)) == [0, 1, 2, 3]


def test_best_checkpoint_that_is_gone_is_an_error_and_not_the_last_weights(tiny_model, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 0)
    contradicting = tokens[0], tokens[0].assign(labels=(tokens[0]["labels"] + 1) % 3)
    checkpoints = tmp_path / "checkpoints"

    def lose(_: dict[str, float]) -> None:
        saved = sorted(checkpoints.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
        for folder in saved[:-1]:
            shutil.rmtree(folder)

    with pytest.raises(TrainingError, match="best validation losses is missing"):
        train(tiny_model, contradicting, PROBLEM, FullTuning(), TRAINING, tmp_path, Hooks(report=lose))


def go_on(tiny_model, tokens, tmp_path: Path, kept: Kept, training: Training = TRAINING, tuning: Tuning = FULL):
    shutil.rmtree(tmp_path / "dead")
    work = tmp_path / "work"
    shutil.copytree(kept.folder, work / "checkpoints")
    checkpoint = work / "checkpoints" / f"checkpoint-{kept.steps[-1]}"
    assert not [path for path in work.rglob("*.*") if path.suffix not in (".json", ".safetensors")]
    thaw(checkpoint)
    return train(tiny_model, tokens, PROBLEM, tuning, training, work, checkpoint=checkpoint)


def test_order_of_rows_depends_on_seed_and_epoch_only():
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(4, list(range(100)), seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert sorted(order(0, 0)) == list(range(100))


def test_state_comes_back_as_it_was_and_types_without_a_plain_form_are_refused(tmp_path: Path):
    (tmp_path / "trainer_state.json").write_text('{"best_model_checkpoint": "/elsewhere/checkpoint-3"}')
    state = {"state": {0: {"step": torch.tensor(3.0), "moments": [torch.ones(2), None]}}, "rates": (0.1, 1)}
    torch.save(state, tmp_path / "optimizer.pt")
    freeze(tmp_path)
    (tmp_path / "optimizer.pt").unlink()
    thaw(tmp_path)
    found = torch.load(tmp_path / "optimizer.pt", weights_only=True)

    assert found["rates"] == (0.1, 1)
    assert torch.equal(found["state"][0]["moments"][0], torch.ones(2))
    assert found["state"][0]["moments"][1] is None
    best = json.loads((tmp_path / "trainer_state.json").read_text())["best_model_checkpoint"]
    assert best == str(tmp_path.parent / "checkpoint-3")
    torch.save({"set": {1, 2}}, tmp_path / "scheduler.pt")
    with pytest.raises(TypeError, match="a set, which has no plain form"):
        freeze(tmp_path)


def test_checkpoints_far_apart_are_saved_in_between(tmp_path: Path, monkeypatch):
    keeper, control = Keeper(Hooks(), tmp_path), Control()

    keeper.on_step_end(None, State(), control)
    assert not control.should_save
    monkeypatch.setattr("tasks.methods.training.callbacks.SAVE_SECONDS", 0)
    keeper.on_step_end(None, State(), control)
    assert control.should_save


def test_keeping_takes_its_share_of_the_time_and_no_more(tmp_path: Path, monkeypatch):
    clock, kept = [0.0], []

    def keep(*_: object) -> None:
        kept.append(clock[0])
        clock[0] += 2.0

    monkeypatch.setattr("tasks.methods.training.callbacks.monotonic", lambda: clock[0])
    monkeypatch.setattr("tasks.methods.training.callbacks.freeze", lambda folder: None)
    monkeypatch.setattr("tasks.methods.training.callbacks.snapshot_files", lambda folder, best: [])
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_SHARE", 0.1)
    monkeypatch.setattr("tasks.methods.training.callbacks.KEEPING_BYTES_PER_SECOND", 100.0)
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "optimizer.pt").write_bytes(bytes(100))  # one second, it seems: due after ten
    keeper = Keeper(Hooks(keep=keep), tmp_path)
    for _ in range(100):
        clock[0] += 1.0
        keeper.on_save(None, State(), Control())

    assert kept == [10.0, 40.0, 60.0, 80.0, 100.0]
