"""Evaluation: predictions of a model for the test rows, with scores; one call for each model."""

from math import isfinite
from pathlib import Path

import numpy as np
import pandas as pd

from schemas.recipe.evaluation import Evaluation
from schemas.recipe.problem import Problem
from schemas.recipe.tuning import Tuning
from schemas.records.references import ModelRef, RowsRef, ScoresRef
from tasks.methods.metrics.score import Score, score_intervals
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.registry.versions import unpacked
from tasks.services.storage.tables import keep_table, read_table


def answer(folder: Path, rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Predict rows (id, text, optional label) with the model in a folder, in their order."""
    from tasks.methods.models.predictor import open_model

    return open_model(folder, problem)(rows)


def score(answers: pd.DataFrame, evaluation: Evaluation, labels: tuple[str, ...]) -> dict[str, float]:
    """Compute the recipe's metrics of predictions, without those undefined on these rows."""
    from tasks.methods.metrics.module import ScoreModule

    scores: dict[str, float] = {}
    for metric in _scores_of(evaluation):
        truth, answer = metric.read(answers)
        module = ScoreModule(metric, truth, answer)
        found = module.compute(predictions=answer, references=truth, labels=labels)
        scores |= {name: value for name, value in found.items() if isfinite(value)}
    return scores


def _scores_of(evaluation: Evaluation) -> list[Score]:
    """Return the distinct scores behind the recipe's metrics; several metrics may share one."""
    from tasks.methods.metrics.table import METRICS

    return list(dict.fromkeys(METRICS[name] for name in evaluation.metrics))


def count_confusion(answers: pd.DataFrame, num_classes: int) -> tuple[tuple[int, ...], ...]:
    """Count rows by truth (down) and prediction (across), which are class numbers."""
    flat = np.bincount(answers["truth"] * num_classes + answers["answer"], minlength=num_classes**2)
    return tuple(tuple(int(count) for count in row) for row in flat.reshape(num_classes, num_classes))


def score_commonest(answers: pd.DataFrame, evaluation: Evaluation, labels: tuple[str, ...]) -> dict[str, float]:
    """Score the majority class as the prediction for all rows, by metrics that need no probabilities."""
    from tasks.methods.metrics.table import METRICS

    metrics = tuple(name for name in evaluation.metrics if METRICS[name].columns[1] == "answer")
    same = answers.assign(answer=answers["truth"].mode()[0])
    return score(same, Evaluation(metrics=metrics), labels) if metrics else {}


@cached_task("evaluate")
def evaluate_model(
    model: ModelRef, rows: RowsRef, problem: Problem, tuning: Tuning, evaluation: Evaluation
) -> ScoresRef:
    """Score a stored model on stored rows; `tuning` determines the code that loads the model."""
    from tasks.methods.problems.table import PROBLEMS

    has_classes = PROBLEMS[problem.kind].has_classes
    store = current_store()
    with unpacked(store, model) as folder:
        answers = answer(folder, read_table(store, rows), problem)
    return ScoresRef(
        **dict(keep_table(store, answers)),
        num_rows=len(answers),
        scores=score(answers, evaluation, problem.labels),
        intervals=score_intervals(_scores_of(evaluation), answers, problem.labels),
        constant=score_commonest(answers, evaluation, problem.labels) if has_classes else {},
        confusion=count_confusion(answers, len(problem.labels)) if has_classes else (),
        labels=problem.labels,
    )
