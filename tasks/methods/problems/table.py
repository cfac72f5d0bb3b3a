"""Every kind of problem."""

from tasks.methods.problems import text_classification

PROBLEMS = {
    "text-classification": text_classification.METHODS,
}
