"""Every kind of problem."""

from tasks.methods.problems import (
    causal_lm,
    multi_label,
    sequence_to_sequence,
    text_classification,
    token_classification,
)

PROBLEMS = {
    "text-classification": text_classification.METHODS,
    "multi-label-classification": multi_label.METHODS,
    "token-classification": token_classification.METHODS,
    "causal-lm": causal_lm.METHODS,
    "sequence-to-sequence": sequence_to_sequence.METHODS,
}
