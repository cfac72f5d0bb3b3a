"""Micro-batches and failures of memory do not change what is learned. Alone: pytest tests/tasks/methods/training/test_micro_batches.py.

A model that raises as the allocator would, when a batch is too large, stands for a device with little memory. Runs that
sum the same gradients in another order are compared within TOLERANCE, dropout being off; the others bit by bit.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from schemas.errors import RecipeError, TrainingError
from schemas.recipe.problem import TextClassification
from schemas.recipe.training import CrossEntropy, Training
from tasks.methods.losses.cross_entropy import make_loss
from tasks.methods.losses.loss import Loss
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.encoded import IGNORED, shorten_row
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.training.callbacks import Hooks
from tasks.methods.training.micro_batches import Stepper
from tasks.methods.training.out_of_memory import Limits
from tasks.methods.training.trainer import choose_precision, make_trainer
from tests.conftest import LABELS
from tests.tasks.test_training import encode, make_table

pytestmark = pytest.mark.heavy

PROBLEM = TextClassification(labels=LABELS, max_tokens=16)
# float32 weights near 1 after 6 steps: measured 1e-6, and AdamW can turn an ulp of a tiny gradient into a little more.
TOLERANCE = 2e-5
SHORT = Training(epochs=1, batch_size=16, learning_rate=0.001, evaluations_per_epoch=1)


@pytest.fixture(scope="module")
def tokens(tiny_model: Path):
    return encode(tiny_model, make_table(90, 1)), encode(tiny_model, make_table(20, 9))


CROSS_ENTROPY = make_loss(CrossEntropy(), np.ones(3))


class SmallMemory:
    """Raises as the allocator does when a training batch has too many positions."""

    def __init__(self, model, room: int, from_call: int = 0) -> None:
        self.room, self.from_call, self.calls, self.failures, self.shapes = room, from_call, 0, 0, []
        self.original = model.forward

    def __call__(self, input_ids, **more):
        self.calls += 1
        rows, length = input_ids.shape
        is_fit = rows * length <= self.room * (2 if self.is_cheaper() else 1)
        # Random numbers are drawn and gradients added before memory runs out.
        output = self.original(input_ids=input_ids, **more)
        if not is_fit and torch.is_grad_enabled() and self.calls > self.from_call:
            self.failures += 1
            output.logits.sum().backward()
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        self.shapes.append((rows, length))
        return output

    def is_cheaper(self) -> bool:
        return False


def run(
    tiny_model, tokens, work, training, room=None, dropout=0.0, from_call=0, loss=CROSS_ENTROPY, cheaper=False, **more
):
    from datasets import Dataset
    from transformers import set_seed

    set_seed(training.seeds[0])
    model = PROBLEMS["text-classification"].load(tiny_model, PROBLEM, True)
    model.config.pad_token_id = 0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    model.config.attention_probs_dropout_prob = dropout
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = dropout
    memory = SmallMemory(model, room or 10**9, from_call)
    if cheaper:
        memory.is_cheaper = lambda: model.is_activation_checkpointing

    def forward(input_ids=None, **more):
        return memory(input_ids, **more)

    model.forward = forward
    rows = tuple(Dataset.from_pandas(table, preserve_index=False) for table in tokens)
    collate = PROBLEMS["text-classification"].collate(load_tokenizer(tiny_model), None)
    trainer = make_trainer(model, training, rows, collate, work, Hooks(**more), loss)
    trainer.train()
    return {name: weight.clone() for name, weight in model.state_dict().items()}, trainer, memory


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two weights.

    Without the biases of keys: softmax ignores what all keys have in common, so their gradients are rounding errors,
    which AdamW brings to the size of any other step.
    """
    return max((one[name] - other[name]).abs().max().item() for name in one if not name.endswith("key.bias"))


@pytest.fixture(scope="module")
def undisturbed(tiny_model, tokens, tmp_path_factory):
    return run(tiny_model, tokens, tmp_path_factory.mktemp("undisturbed"), SHORT)


def test_micro_batches_of_any_size_give_the_same_steps_and_weights(tiny_model, tokens, undisturbed, tmp_path):
    weights, trainer, memory = run(tiny_model, tokens, tmp_path, SHORT.model_copy(update={"micro_batch_tokens": 50}))

    assert trainer.state.global_step == undisturbed[1].state.global_step == 6
    assert max(rows * length for rows, length in memory.shapes if rows * length <= 50) <= 50
    assert distance(weights, undisturbed[0]) < TOLERANCE
    rates = [
        [entry["learning_rate"] for entry in one.state.log_history if "loss" in entry]
        for one in (trainer, undisturbed[1])
    ]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("from_call", [0, 4])
def test_run_that_lacked_memory_ends_with_the_weights_of_one_that_did_not(
    tiny_model, tokens, undisturbed, tmp_path, caplog, from_call
):
    with caplog.at_level(logging.WARNING):
        weights, trainer, memory = run(tiny_model, tokens, tmp_path, SHORT, room=60, from_call=from_call)

    assert memory.failures >= 2
    assert caplog.messages.count(next(line for line in caplog.messages if "effective batch is unchanged" in line)) == 1
    assert trainer.state.global_step == 6
    assert distance(weights, undisturbed[0]) < TOLERANCE
    assert Limits.of_history(trainer.state.log_history).micro_batch_tokens <= 60


def test_with_dropout_it_is_bit_for_bit_the_run_that_began_with_small_micro_batches(tiny_model, tokens, tmp_path):
    failed, trainer, memory = run(tiny_model, tokens, tmp_path / "one", SHORT, room=60, dropout=0.1)
    tokens_left = Limits.of_history(trainer.state.log_history).micro_batch_tokens
    small = SHORT.model_copy(update={"micro_batch_tokens": tokens_left})
    begun, _, never = run(tiny_model, tokens, tmp_path / "other", small, dropout=0.1)

    assert memory.failures > 0
    assert never.failures == 0
    assert all(torch.equal(failed[name], begun[name]) for name in failed)


def test_probe_leaves_everything_as_it_was(tiny_model, tokens, tmp_path, monkeypatch):
    probed, _, memory = run(tiny_model, tokens, tmp_path / "one", SHORT, dropout=0.1)
    monkeypatch.setattr(Stepper, "probe", lambda *_: None)
    plain, _, without = run(tiny_model, tokens, tmp_path / "other", SHORT, dropout=0.1)

    longest = max(map(len, tokens[0]["input_ids"]))
    assert memory.shapes[0] == (16, longest)
    assert memory.calls == without.calls + 1
    assert all(torch.equal(probed[name], plain[name]) for name in probed)


@pytest.mark.slow
def test_ladder_shortens_rows_then_computes_activations_again(tiny_model, tokens, tmp_path, caplog):
    """Of 32 rows three have 13 tokens, the others 8: more than the 90th percentile."""
    training = tokens[0][tokens[0]["input_ids"].map(len) == 13].head(3)
    cut = tokens[0].head(29).assign(input_ids=lambda table: table["input_ids"].map(lambda ids: [*ids[:7], ids[-1]]))
    with caplog.at_level(logging.WARNING):
        _, trainer, memory = run(
            tiny_model, (pd.concat([training, cut]), tokens[1]), tmp_path, SHORT, room=7, cheaper=True
        )

    assert Limits.of_history(trainer.state.log_history) == Limits(13, 8, True)
    assert [line.split(": ")[1].split()[0] for line in caplog.messages[-2:]] == ["training", "activations"]
    assert memory.shapes[-1] == (1, 8)


def test_memory_too_small_for_a_row_is_an_error_that_says_so(tiny_model, tokens, tmp_path):
    with pytest.raises(TrainingError, match="one row of .* tokens does not fit.*Lower problem.max_tokens") as caught:
        run(tiny_model, tokens, tmp_path, SHORT, room=3)
    assert caught.value.exit_code == 6


def test_other_errors_are_not_taken_for_lack_of_memory(tiny_model, tokens, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot"):
        run(tiny_model, tokens, tmp_path, SHORT, loss=Loss(fail, CROSS_ENTROPY.weight))


def test_weights_of_items_count_over_the_whole_step(tiny_model, tokens, tmp_path):
    """Items of weight 1 to 3: the mean of micro-batches' means would be another loss."""
    rates = torch.tensor([1.0, 2.0, 3.0])
    loss = Loss(
        total=lambda logits, labels: torch.nn.functional.cross_entropy(logits, labels, rates, reduction="sum"),
        weight=lambda labels: rates[labels].sum(),
    )
    whole, one, _ = run(tiny_model, tokens, tmp_path / "whole", SHORT, loss=loss)
    parts, other, _ = run(
        tiny_model,
        tokens,
        tmp_path / "parts",
        SHORT.model_copy(update={"micro_batch_tokens": 30}),
        loss=loss,
    )
    losses = [[entry["eval_loss"] for entry in run.state.log_history if "eval_loss" in entry] for run in (one, other)]

    assert distance(whole, parts) < TOLERANCE
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_step_in_which_no_item_counts_teaches_nothing(tiny_model, tokens):
    model = PROBLEMS["text-classification"].load(tiny_model, PROBLEM, True)
    collate = PROBLEMS["text-classification"].collate(load_tokenizer(tiny_model), None)
    rows = [row | {"labels": IGNORED} for row in tokens[0].head(4).to_dict("records")]
    stepper = Stepper(CROSS_ENTROPY, collate, shorten_row, [16])
    total, weight = stepper.run(model, rows, lambda batch: batch, torch.Tensor.backward)

    assert (total.item(), weight.item()) == (0, 0)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_padding_is_reported_with_each_loss(tiny_model, tokens, tmp_path):
    points = []
    _, trainer, _ = run(
        tiny_model, tokens, tmp_path, SHORT.model_copy(update={"micro_batch_tokens": 40}), report=points.append
    )
    shares = [point["padding_share"] for point in points if "loss" in point]

    assert shares == [entry["padding_share"] for entry in trainer.state.log_history if "loss" in entry]
    assert all(0 <= share < 0.1 for share in shares)
    assert sum(point.get("tokens", 0) for point in points) == sum(map(len, tokens[0]["input_ids"])) - last_rows(trainer)


def last_rows(trainer) -> int:
    """Tokens of the steps after the last log."""
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    order = list(trainer._get_train_sampler())
    logged = max(entry["step"] for entry in trainer.state.log_history if "loss" in entry)
    return sum(lengths[row] for row in order[logged * 16 :])


def test_precision_follows_the_device(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: False)

    assert choose_precision("auto", False) == {"bf16": False, "fp16": False, "use_cpu": False}
    assert choose_precision("bf16", False) == {"bf16": True, "fp16": False, "use_cpu": True}
    assert choose_precision("auto", True) == {"bf16": False, "fp16": True, "use_cpu": False}
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    assert choose_precision("auto", True) == {"bf16": True, "fp16": False, "use_cpu": False}
    with pytest.raises(RecipeError, match="fp16, but there is no accelerator"):
        choose_precision("fp16", False)


@pytest.mark.slow
def test_bfloat16_and_checkpointing_train_on_a_cpu(tiny_model, tokens, undisturbed, tmp_path):
    half = SHORT.model_copy(update={"precision": "bf16", "gradient_checkpointing": True})
    weights, trainer, _ = run(tiny_model, tokens, tmp_path, half)

    assert trainer.model.is_activation_checkpointing
    assert 0 < distance(weights, undisturbed[0]) < 0.05
    assert {weight.dtype for weight in trainer.model.parameters()} == {torch.float32}


def test_model_that_cannot_checkpoint_is_refused(tiny_model, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.BertPreTrainedModel.supports_gradient_checkpointing", False)
    with pytest.raises(RecipeError, match="gradient_checkpointing is true, but BertForSequenceClassification"):
        run(tiny_model, tokens, tmp_path, SHORT.model_copy(update={"gradient_checkpointing": True}))
