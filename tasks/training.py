"""Training: Hugging Face's Trainer over the training tokens; the checkpoint with the best validation loss is kept.

Each attempt works in a folder of its own under TUNEGATE_HOME/training/<key>; the first that ends well is renamed to
`finished`. A model that was trained but could not be stored is found there by the next run and not trained again.
"""

import math
import secrets
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from schemas.errors import Diverged
from schemas.learning import Problem, Training, Tuning
from schemas.references import CurvePoint, PretrainedRef, TokensPairRef, TrainedRef
from schemas.settings import Settings
from tasks.methods.tokenizer import load_tokenizer
from tasks.services.cache import cached_task, current_key
from tasks.services.embedded import open_store
from tasks.services.pretrained import unchanged_folder
from tasks.services.tables import read_table
from tasks.services.tracking import current_tracker

# Five times the first loss, or five nats where training starts from a model that knows the answers: far above any
# spike of a healthy run, whose first loss is near log(C) with C classes.
DIVERGENCE_FACTOR = 5.0
LOGGING_STEPS = 5
MODEL_FILES = ("config.json", "model.safetensors")
TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
CURVE = TypeAdapter(tuple[CurvePoint, ...])


def train(
    pretrained: Path,
    tokens: tuple[pd.DataFrame, pd.DataFrame],
    problem: Problem,
    tuning: Tuning,
    training: Training,
    work: Path,
) -> tuple[CurvePoint, ...]:
    """Train on `tokens` (training, validation), write the model's folder `work/model`, give the learning curve.

    Raises Diverged when a loss is not finite or far above the first one.
    """
    from datasets import Dataset
    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, set_seed

    from tasks.methods.problems.table import PROBLEMS
    from tasks.methods.tuners.table import TUNERS

    methods = PROBLEMS[problem.kind]
    tokenizer = load_tokenizer(pretrained)
    # The seed must be set before the head is made.
    set_seed(training.seeds[0])
    model = TUNERS[tuning.kind](tuning, methods.load(pretrained, problem, True))
    model.config.pad_token_id = tokenizer.pad_token_id
    training_rows, validation_rows = (Dataset.from_pandas(table, preserve_index=False) for table in tokens)
    trainer = Trainer(
        model=model,
        args=make_arguments(training, len(training_rows), work / "checkpoints"),
        train_dataset=training_rows,
        eval_dataset=validation_rows,
        data_collator=methods.collate(tokenizer),
        callbacks=[
            EarlyStoppingCallback(training.early_stopping.patience),
            make_watch(work / "checkpoints"),
            make_progress_bar(),
        ],
    )
    # Without its own bar, which prints every log as a line, the Trainer prints them all the same.
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    keep_model(trainer.model, pretrained, work / "model")
    return read_curve(trainer.state.log_history)


def make_arguments(training: Training, num_rows: int, checkpoints: Path) -> Any:
    """Say it in the Trainer's words. Rows of similar length share a batch, so little is padded."""
    from transformers import TrainingArguments

    steps_per_epoch = math.ceil(num_rows / training.batch_size)
    evaluation_steps = math.ceil(steps_per_epoch / training.evaluations_per_epoch)
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=2 * training.batch_size,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule if training.schedule != "constant" else "constant_with_warmup",
        warmup_steps=training.warmup_fraction,
        weight_decay=training.weight_decay,
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=evaluation_steps,
        save_strategy="steps",
        save_steps=evaluation_steps,
        save_total_limit=2,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        logging_steps=LOGGING_STEPS,
        logging_first_step=True,
        # The filter would replace the very values that the watch looks for.
        logging_nan_inf_filter=False,
        seed=training.seeds[0],
        data_seed=training.seeds[0],
        report_to="none",
        disable_tqdm=True,
    )


def make_progress_bar() -> Any:
    """A bar on standard error with the loss beside it."""
    from transformers import ProgressCallback

    class ProgressBar(ProgressCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            if self.training_bar is not None and "loss" in logs:
                self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}")

    return ProgressBar()


def make_watch(checkpoints: Path) -> Any:
    """A callback that hands the curves to the tracker and stops a run whose loss has left the reasonable range."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        first_loss: float | None = None

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            current_tracker().log({name: value for name, value in logs.items() if isinstance(value, int | float)})
            loss = logs.get("loss", logs.get("eval_loss"))
            if loss is None:
                return
            self.first_loss = loss if self.first_loss is None else self.first_loss
            if not math.isfinite(loss) or loss > DIVERGENCE_FACTOR * max(self.first_loss, 1.0):
                raise Diverged(_divergence(state.global_step, loss, self.first_loss, checkpoints))

    return Watch()


def _divergence(step: int, loss: float, first_loss: float, checkpoints: Path) -> str:
    saved = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    last = f"The last good checkpoint is {saved[-1]}." if saved else "It came before the first checkpoint."
    return (
        f"Training diverged at step {step}: the loss is {loss:.3g}, it began at {first_loss:.3g}. {last} "
        "The same settings would diverge again: lower training.learning_rate or raise training.warmup_fraction."
    )


def keep_model(model: Any, pretrained: Path, folder: Path) -> None:
    """Write weights and configuration, and copy the tokenizer's files as they are; nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for path in folder.iterdir():
        if path.name not in MODEL_FILES:
            path.unlink()
    for pattern in TOKENIZER_FILES:
        for path in pretrained.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def read_curve(history: list[dict[str, float]]) -> tuple[CurvePoint, ...]:
    """Take the losses out of the Trainer's log."""
    return tuple(
        CurvePoint(
            step=int(entry["step"]),
            epoch=entry["epoch"],
            loss=entry.get("loss"),
            validation_loss=entry.get("eval_loss"),
        )
        for entry in history
        if "loss" in entry or "eval_loss" in entry
    )


def finish(attempt: Path, finished: Path) -> None:
    """Make an attempt the finished one, unless another process was first with the same work."""
    shutil.rmtree(attempt / "checkpoints")
    try:
        attempt.rename(finished)
    except OSError:
        if not finished.exists():
            raise
        shutil.rmtree(attempt)


@cached_task("train")
def train_model(
    tokens: TokensPairRef, pretrained: PretrainedRef, problem: Problem, tuning: Tuning, training: Training
) -> TrainedRef:
    """Train, unless a run before has done it and failed to store the model, and keep the model's files."""
    settings, key = Settings(), current_key()
    store = open_store(settings)
    finished = settings.home / "training" / key.path.rpartition("/")[2] / "finished"
    if not finished.exists():
        attempt = finished.with_name(f"attempt-{secrets.token_hex(4)}")
        tables = (read_table(store, tokens.train), read_table(store, tokens.validation))
        curve = train(unchanged_folder(pretrained), tables, problem, tuning, training, attempt)
        (attempt / "curve.json").write_bytes(CURVE.dump_json(curve))
        finish(attempt, finished)
    files = {path.name: store.put_file(path) for path in sorted((finished / "model").iterdir())}
    curve = CURVE.validate_json((finished / "curve.json").read_bytes())
    return TrainedRef.of(files, curve=curve, code=key.code, environment=key.env)
