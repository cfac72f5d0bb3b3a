"""How a candidate is measured: the metrics and baselines that suit each kind of problem."""

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
# What needs no tuning and answers a kind of problem; a tuned model must beat the last one.
BASELINES_OF: dict[str, tuple[Baseline, ...]] = {
    "text-classification": ("commonest", "words"),
    "token-classification": ("entities",),
}

# What suits a kind of problem; the gate's metric is the first one unless the recipe names another.
METRICS_OF: dict[str, tuple[MetricName, ...]] = {
    "text-classification": (
        "macro_f1",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "mcc",
        "auroc",
        "brier",
        "calibration_error",
    ),
    "multi-label-classification": ("label_micro_f1", "label_macro_f1", "subset_accuracy"),
    "token-classification": ("entity_f1",),
    "causal-lm": ("answer_log_likelihood", "finished", "rouge_l"),
    "sequence-to-sequence": ("bleu", "bleu_zh", "rouge_l", "finished"),
}
# They need a probability of each label, which baselines do not give.
OF_PROBABILITIES = ("auroc", "brier", "calibration_error")
# Scores of nats a token, at most 0; all others lie between 0 and 1.
LOGARITHMIC = ("answer_log_likelihood",)


class Evaluation(Frozen):
    metrics: tuple[MetricName, ...] = Field(
        METRICS_OF["text-classification"],
        min_length=1,
        description="Scores to report, all that suit the problem unless given; precision, recall and f1 are per class.",
    )
