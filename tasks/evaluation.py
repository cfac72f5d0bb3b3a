"""Evaluation: a model answers the test rows one by one; candidate and champion are two calls of the same task."""

from pathlib import Path

import numpy as np
import pandas as pd

from schemas.errors import TrainingError
from schemas.judging import Evaluation
from schemas.problems import Problem
from schemas.references import ModelRef, RowsRef, ScoresRef
from schemas.settings import Settings
from schemas.tuning import Tuning
from tasks.methods.rules.resampling import score_intervals
from tasks.methods.tokenizer import load_tokenizer
from tasks.services.cache import cached_task
from tasks.services.embedded import open_store
from tasks.services.registry import unpacked
from tasks.services.tables import keep_table, read_table

BATCH_ROWS = 64


def answer(folder: Path, rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Let the model in a folder answer rows (id, text, perhaps label), in their order."""
    import torch

    from tasks.methods.artifact import load_model
    from tasks.methods.problems.table import PROBLEMS

    methods, tokenizer = PROBLEMS[problem.kind], load_tokenizer(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(folder, problem, methods).to(device).eval()
    encoded = methods.encode(tokenizer, rows, problem)
    collate = methods.collate(tokenizer)
    logits_NC: np.ndarray | None = None
    # Rows of similar length share a batch, so little is padded.
    order = np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), BATCH_ROWS):
            chosen = order[start : start + BATCH_ROWS]
            batch = collate([{"input_ids": list(encoded["input_ids"].iloc[number])} for number in chosen])
            found = model(**{name: values.to(device) for name, values in batch.items()}).logits.float().cpu().numpy()
            logits_NC = np.zeros((len(order), found.shape[1]), np.float32) if logits_NC is None else logits_NC
            logits_NC[chosen] = found
    if logits_NC is None:
        raise ValueError("there are no rows to answer")
    if not np.isfinite(logits_NC).all():
        raise TrainingError("The model's answers are not finite numbers: its weights are damaged. Train it again.")
    return methods.answer(logits_NC, rows, problem)


def score(answers: pd.DataFrame, evaluation: Evaluation, labels: tuple[str, ...]) -> dict[str, float]:
    """Compute the recipe's metrics of answers."""
    from tasks.methods.metrics.table import METRICS

    scores: dict[str, float] = {}
    for name in evaluation.metrics:
        metric = METRICS[name](keep_in_memory=True)
        scores |= metric.compute(predictions=answers["answer"], references=answers["truth"], labels=list(labels))
    return scores


def count_confusion(answers: pd.DataFrame, num_classes: int) -> tuple[tuple[int, ...], ...]:
    """Count rows by truth (down) and answer (across)."""
    flat = np.bincount(answers["truth"] * num_classes + answers["answer"], minlength=num_classes**2)
    return tuple(tuple(int(count) for count in row) for row in flat.reshape(num_classes, num_classes))


@cached_task("evaluate")
def evaluate_model(
    model: ModelRef, rows: RowsRef, problem: Problem, tuning: Tuning, evaluation: Evaluation
) -> ScoresRef:
    """Score a model of the store on rows of the store; `tuning` says by which method's code the model answers."""
    store = open_store(Settings())
    with unpacked(store, model) as folder:
        answers = answer(folder, read_table(store, rows), problem)
    blob = keep_table(store, answers)
    confusion = count_confusion(answers, len(problem.labels))
    scores = score(answers, evaluation, problem.labels)
    intervals = score_intervals(answers["truth"].to_numpy(), answers["answer"].to_numpy(), problem.labels)
    return ScoresRef(
        digest=blob.digest,
        size_bytes=blob.size_bytes,
        num_rows=len(answers),
        scores=scores,
        intervals={name: bounds for name, bounds in intervals.items() if name in scores},
        confusion=confusion,
        labels=problem.labels,
    )
