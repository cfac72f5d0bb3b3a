"""Evaluation: the metrics and baselines that a recipe can name.

The class of a kind of problem lists those that suit it (schemas/recipe/problem.py).
"""

from typing import Literal

from pydantic import Field

from schemas.frozen import Frozen

ComparedMetric = Literal[
    "accuracy",
    "macro_f1",
    "mcc",
    "auroc",
    "entity_f1",
    "label_micro_f1",
    "label_macro_f1",
    "subset_accuracy",
    "answer_log_likelihood",
    "finished",
    "rouge_l",
    "bleu",
    "bleu_zh",
]
MetricName = Literal[ComparedMetric, "precision", "recall", "f1", "brier", "calibration_error"]

Baseline = Literal["commonest", "words", "entities"]

# Metrics for one label per text, the default of a recipe.
OF_ONE_LABEL: tuple[MetricName, ...] = (
    "macro_f1",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "mcc",
    "auroc",
    "brier",
    "calibration_error",
)

# These need a probability of each label, which baselines lack.
OF_PROBABILITIES: tuple[MetricName, ...] = ("auroc", "brier", "calibration_error")
# Scores in nats per token, at most 0; all others lie between 0 and 1.
LOGARITHMIC: tuple[ComparedMetric, ...] = ("answer_log_likelihood",)


class Evaluation(Frozen):
    metrics: tuple[MetricName, ...] = Field(
        OF_ONE_LABEL,
        min_length=1,
        description="Scores to report, by default all that suit the problem; precision, recall and f1 are per class.",
    )
