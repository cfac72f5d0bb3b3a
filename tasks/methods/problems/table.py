"""Every kind of problem.

A model's folder is one of the first kind that recognises it; so the kind that takes any model with names comes last.
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
