"""The kinds of problems.

A model's folder belongs to the first kind that recognises it, so the one that accepts any model with names is last.
"""

from tasks.methods.problems import (
    causal_lm,
    multi_label,
    sequence_to_sequence,
    text_classification,
    token_classification,
)

PROBLEMS = {
    "token-classification": token_classification.METHODS,
    "sequence-to-sequence": sequence_to_sequence.METHODS,
    "causal-lm": causal_lm.METHODS,
    "multi-label-classification": multi_label.METHODS,
    "text-classification": text_classification.METHODS,
}
