"""The metrics that a recipe can name, for reports and for the gate."""

from tasks.methods.metrics import bleu, confusion, probabilities, spans, text

METRICS = {
    "accuracy": confusion.ACCURACY,
    "macro_f1": confusion.MACRO_F1,
    "precision": confusion.PRECISION,
    "recall": confusion.RECALL,
    "f1": confusion.F1,
    "mcc": confusion.MCC,
    "auroc": probabilities.AUROC,
    "brier": probabilities.BRIER,
    "calibration_error": probabilities.CALIBRATION_ERROR,
    "entity_f1": spans.ENTITIES,
    "label_micro_f1": spans.LABELS,
    "label_macro_f1": spans.LABELS,
    "subset_accuracy": spans.SUBSET_ACCURACY,
    "answer_log_likelihood": text.LIKELIHOOD,
    "finished": text.FINISHED,
    "rouge_l": text.ROUGE_L,
    "bleu": bleu.WORDS,
    "bleu_zh": bleu.CHINESE,
}
