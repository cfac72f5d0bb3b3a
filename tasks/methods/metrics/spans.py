"""Scores of spans: entities of a text, or labels of a text with any number of them.

A row adds, for each name, the numbers of right, predicted and true spans. The scores are those of seqeval (entities;
right if type, first and last word are) and of scikit-learn (labels).

Legend of shapes: G groups of equal rows, L names, R resamples.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial

import numpy as np
from scipy.sparse import csr_matrix

from tasks.methods.metrics.score import Labels, Score, add_rows, by_name, mean_of_rows, share_of

Things = Callable[[str, Labels], set[tuple[str, Hashable]]]


def entities_of(tags: str, labels: Labels) -> set[tuple[str, Hashable]]:
    """Convert tags to entities as seqeval does: type, and first and last word."""
    from seqeval.metrics.sequence_labeling import get_entities

    return {(kind, (first, last)) for kind, first, last in get_entities(tags.split())}


def labels_of(bits: str, labels: Labels) -> set[tuple[str, Hashable]]:
    return {(label, None) for label, bit in zip(labels, bits, strict=True) if bit == "1"}


def count_things(things: Things, truth_G: np.ndarray, answer_G: np.ndarray, labels: Labels) -> csr_matrix:
    """Count right, predicted and true spans by name; shape (G, 3 * L)."""
    numbers = {label: number for number, label in enumerate(labels)}
    counts_G3L = np.zeros((len(truth_G), 3, len(labels)), dtype=np.int64)
    for row, (truth, answer) in enumerate(zip(truth_G, answer_G, strict=True)):
        there, given = things(truth, labels), things(answer, labels)
        for place, found in enumerate((there & given, given, there)):
            for name, count in Counter(name for name, _ in found).items():
                counts_G3L[row, place, numbers[name]] = count
    return csr_matrix(counts_G3L.reshape(len(truth_G), -1))


def count_exact(truth_G: np.ndarray, answer_G: np.ndarray, labels: Labels) -> csr_matrix:
    return add_rows(truth_G == answer_G)


def all_or_no_entities(truth_G: np.ndarray, counts_G: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return the true tags; and no entities, or one at the first word of a text without entities."""
    wrong = [
        " ".join(["O"] * len(tags.split())) if entities_of(tags, labels) else tags.replace("O", f"B-{labels[0]}", 1)
        for tags in truth_G
    ]
    return truth_G, np.array(wrong, dtype=object)


def all_or_no_labels(truth_G: np.ndarray, counts_G: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return the true bits, and their opposites."""
    return truth_G, np.array([bits.translate({48: "1", 49: "0"}) for bits in truth_G], dtype=object)


def entity_scores(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Precision, recall and F1 over all entities, and F1 of each type."""
    right_RL, given_RL, there_RL = _per_name(sums_RS, labels)
    right_R, given_R, there_R = right_RL.sum(axis=1), given_RL.sum(axis=1), there_RL.sum(axis=1)
    return {
        "entity_f1": share_of(2 * right_R, given_R + there_R),
        "entity_precision": share_of(right_R, given_R),
        "entity_recall": share_of(right_R, there_R),
        **by_name("entity_f1", share_of(2 * right_RL, given_RL + there_RL), labels),
    }


def label_scores(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """F1 over all labels (micro), its mean over labels (macro), and F1 of each label."""
    right_RL, given_RL, there_RL = _per_name(sums_RS, labels)
    f1_RL = share_of(2 * right_RL, given_RL + there_RL)
    micro_R = share_of(2 * right_RL.sum(axis=1), given_RL.sum(axis=1) + there_RL.sum(axis=1))
    return {"label_micro_f1": micro_R, "label_macro_f1": f1_RL.mean(axis=1), **by_name("label_f1", f1_RL, labels)}


def _per_name(sums_RS: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    right_RL, given_RL, there_RL = np.moveaxis(sums_RS.reshape(-1, 3, len(labels)), 1, 0)
    return right_RL, given_RL, there_RL


ENTITIES = Score(partial(count_things, entities_of), entity_scores, extremes=all_or_no_entities)
LABELS = Score(partial(count_things, labels_of), label_scores, extremes=all_or_no_labels)
SUBSET_ACCURACY = Score(count_exact, partial(mean_of_rows, "subset_accuracy"), extremes=all_or_no_labels)
