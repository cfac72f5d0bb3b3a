"""Every metric that a recipe can name."""

from tasks.methods.metrics import classification

METRICS = {
    "accuracy": classification.Accuracy,
    "macro_f1": classification.MacroF1,
    "precision": classification.Precision,
    "recall": classification.Recall,
}
