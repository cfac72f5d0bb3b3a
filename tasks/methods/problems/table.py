"""Every kind of problem."""

from tasks.methods.problems import multi_label, text_classification, token_classification

PROBLEMS = {
    "text-classification": text_classification.METHODS,
    "multi-label-classification": multi_label.METHODS,
    "token-classification": token_classification.METHODS,
}
