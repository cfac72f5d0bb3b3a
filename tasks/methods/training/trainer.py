"""Hugging Face's Trainer, set up for all trainings: steps, evaluations, checkpoints, curves, progress.

A resumed training sees the same batches, dropout masks and learning rates as an uninterrupted one: the order of rows
depends only on seed and epoch, and a checkpoint holds the random states.
The Trainer is given the rows of one optimizer step at a time; `micro_batches` cuts them into micro-batches.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from schemas.errors import RecipeError, TrainingError
from schemas.recipe.training import Training
from tasks.methods.losses.loss import Loss
from tasks.methods.models.artifact import load_trained, save_trained
from tasks.methods.problems.encoded import row_length, shorten_row
from tasks.methods.training.batching import EpochSampler, Rows
from tasks.methods.training.callbacks import Hooks, Keeper, Patience, ProgressBar, Watch
from tasks.methods.training.micro_batches import Stepper, mean_of
from tasks.methods.training.out_of_memory import Limits, is_out_of_memory
from tasks.methods.training.param_groups import group_parameters

LOGGING_STEPS = 5


class OrderedTrainer(Trainer):
    model: Any
    train_dataset: Any

    def __init__(
        self, loss: Loss, layer_decay: float, limits: Limits, collate: Any, shorten: Any, **settings: Any
    ) -> None:
        super().__init__(data_collator=lambda rows: {"rows": Rows(rows)}, **settings)
        self._lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        self._layer_decay = layer_decay
        self._stepper = Stepper(loss, collate, shorten, self._lengths)
        self._limits, self._is_probed = limits, False

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            make, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            rates = self.args.learning_rate, self.args.weight_decay, self._layer_decay
            self.optimizer = make(group_parameters(self.model, *rates), **settings)
        return self.optimizer

    def train(self, *arguments: Any, **more: Any) -> Any:
        """Train. Raises TrainingError also when out of memory outside a step."""
        try:
            return super().train(*arguments, **more)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"Out of memory with the weights, their gradients and the optimizer state alone: {error}. Choose a "
                "smaller model.base, or train fewer weights."
            ) from None

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        model.train()
        if not self._is_probed:
            self._probe(model)
        total, weight = self._stepper.run(model, inputs["rows"].rows, self._prepare_inputs, self.accelerator.backward)
        self._log_limits()
        return mean_of(total, weight)

    def evaluation_loop(
        self, dataloader: Any, description: str, *_: Any, metric_key_prefix: str = "eval", **more: Any
    ) -> EvalLoopOutput:
        """Compute the weighted mean loss of all items, which differs from the mean of the batches' means."""
        self.model.eval()
        with torch.no_grad():
            sums = [
                self._stepper.run(self.model_wrapped, batch["rows"].rows, self._prepare_inputs, None)
                for batch in dataloader
            ]
        self._log_limits()
        total, weight = (torch.stack(column).sum() for column in zip(*sums, strict=True))
        if not weight > 0:
            raise TrainingError(
                "The validation rows hold no target with a weight, so no checkpoint can be chosen. Add rows."
            )
        metrics = {f"{metric_key_prefix}_loss": (total / weight).item()}
        return EvalLoopOutput(np.empty(0), None, metrics, num_samples=len(dataloader.dataset))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the number of tokens and the share of padding to every training loss."""
        super().log(logs | self._stepper.take_counts() if "loss" in logs else logs, start_time)

    def _log_limits(self) -> None:
        """Log new limits to the history, which the next checkpoint holds."""
        if self._stepper.limits != self._limits:
            self._limits = self._stepper.limits
            self.log(self._limits.as_log())

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Estimate the operations: six for each token (without padding) and weight (without embeddings)."""
        tokens = sum(map(row_length, inputs["rows"].rows))
        return 6 * tokens * int(self.model.num_parameters(exclude_embeddings=True))

    def _probe(self, model: Any) -> None:
        """Try the longest rows before the first step, beginning with the limits of the resumed run."""
        self._is_probed = True
        self._limits = Limits.of_history(self.state.log_history) or self._limits
        self._stepper.apply(self.model, self._limits)
        longest = sorted(range(len(self._lengths)), key=self._lengths.__getitem__)[-self.args.train_batch_size :]
        dataset = self._remove_unused_columns(self.train_dataset)
        rows = [dataset[number] for number in longest]
        has_moments = self.optimizer is not None and bool(self.optimizer.state)
        self._stepper.probe(model, rows, self._prepare_inputs, self.accelerator.backward, has_moments)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return EpochSampler(self.args.train_batch_size, self._lengths, self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        lengths = [len(ids) for ids in eval_dataset["input_ids"]]
        return sorted(range(len(lengths)), key=lengths.__getitem__)

    # A checkpoint holds the trained weights; the others are those of the base model.
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_trained(self.model, Path(output_dir or self.args.output_dir or ""))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        best = Path(self.state.best_model_checkpoint or "")
        if best.is_dir():  # the training step refuses a missing best model
            load_trained(self.model, best)


def make_trainer(
    model: Any,
    training: Training,
    rows: tuple[Any, Any],
    collate: Any,
    checkpoints: Path,
    hooks: Hooks,
    loss: Loss,
    layer_decay: float = 1.0,
    shorten: Any = shorten_row,
) -> Trainer:
    """Set up a Trainer for `rows` (training, validation).

    Raises RecipeError when the model lacks something that the recipe requires.
    """
    if training.gradient_checkpointing and not model.supports_gradient_checkpointing:
        raise RecipeError(
            f"training.gradient_checkpointing is true, but {type(model).__name__} does not support it. Set it to false."
        )
    trainer = OrderedTrainer(
        loss,
        layer_decay,
        Limits(training.micro_batch_tokens, None, training.gradient_checkpointing),
        collate,
        shorten,
        model=model,
        args=make_arguments(training, len(rows[0]), checkpoints),
        train_dataset=rows[0],
        eval_dataset=rows[1],
        callbacks=[
            *([Patience(training.early_stopping.patience)] if training.early_stopping else []),
            Watch(hooks, checkpoints),
            Keeper(hooks, checkpoints, training.average_best),
            ProgressBar(),
        ],
    )
    # With its progress bar disabled the Trainer prints every log.
    trainer.remove_callback(PrinterCallback)
    return trainer


def make_arguments(training: Training, num_rows: int, checkpoints: Path) -> TrainingArguments:
    assert training.learning_rate is not None, "Recipe.trainings sets it"
    steps_per_epoch = math.ceil(num_rows / training.batch_size)
    evaluation_steps = math.ceil(steps_per_epoch / training.evaluations_per_epoch)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=2 * training.batch_size,
        optim="adamw_torch_fused",
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule if training.schedule != "constant" else "constant_with_warmup",
        warmup_steps=training.warmup_fraction,
        weight_decay=training.weight_decay,
        eval_strategy="steps",
        eval_steps=evaluation_steps,
        save_strategy="steps",
        save_steps=evaluation_steps,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        restore_callback_states_from_checkpoint=True,
        logging_steps=LOGGING_STEPS,
        logging_first_step=True,
        # The filter would replace the values by which divergence is found.
        logging_nan_inf_filter=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=training.seeds[0],
        data_seed=training.seeds[0],
        torch_compile=training.compile,
        report_to="none",
        disable_tqdm=True,
        **choose_precision(training.precision, torch.cuda.is_available()),
    )
    # With several accelerators the Trainer would multiply the batch; a step is batch_size rows everywhere.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def choose_precision(precision: str, has_accelerator: bool) -> dict[str, Any]:
    """Return the Trainer's arguments for a precision; `auto` is half precision on an accelerator.

    Raises RecipeError for float16 on a CPU, where it is slower and its gradients vanish.
    """
    if precision == "fp16" and not has_accelerator:
        raise RecipeError("training.precision is fp16, but there is no accelerator. Use auto, fp32 or bf16.")
    if precision == "auto" and has_accelerator:
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # The Trainer accepts bfloat16 on a CPU only with use_cpu.
    return {
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": precision == "bf16" and not has_accelerator,
    }
