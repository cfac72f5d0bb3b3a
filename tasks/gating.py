"""Gate: a verdict on whether the candidate may replace the champion."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from schemas.errors import StoreError, UsageError
from schemas.frozen import short
from schemas.recipe.gate import Gate
from schemas.records.references import EvidenceRef, RowsRef
from schemas.records.verdict import Verdict
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import read_table

log = logging.getLogger(__name__)


def gate_predictions(gate: Gate, evidence: Any) -> Verdict:
    """Gate a candidate by a `tasks.methods.rules.evidence.Evidence`.

    Raises StoreError when predictions are for different rows, UsageError when the metric cannot compare them.
    """
    from tasks.methods.metrics.table import METRICS
    from tasks.methods.rules.decision import decide

    champion, candidate = evidence.champion, evidence.candidate
    others = {"the champion": champion, **evidence.earlier, **evidence.baselines}
    for name, answers in others.items():
        if answers is not None and not candidate[["id", "truth"]].equals(answers[["id", "truth"]]):
            raise StoreError(
                f"The predictions of the candidate and of {name} are not for the same rows in the same order, so they "
                "cannot be compared. Run again; if it happens again, the stored predictions were altered."
            )
    of_row = METRICS[gate.metric].columns[0]
    if champion is not None and not candidate[of_row].equals(champion[of_row]):
        raise UsageError(
            f"{gate.metric} is a mean over tokens, and those of the champion differ from the candidate's, by another "
            "tokenizer or another problem.answer_tokens, so the two cannot be compared. Choose another "
            "gate.metric, or another promotion.model."
        )
    comparable = {name: found for name, found in evidence.earlier.items() if candidate[of_row].equals(found[of_row])}
    for name in evidence.earlier.keys() - comparable.keys():
        log.warning("The earlier champion %s has other tokens, so no-creep leaves it out.", short(name))
    return decide(gate, replace(evidence, earlier=comparable))


@cached_task("gate")
def gate_candidate(evidence: EvidenceRef, rows: RowsRef, gate: Gate) -> Verdict:
    """Gate a candidate by stored predictions; another reference model is another verdict."""
    from tasks.methods.rules.evidence import Evidence

    store = current_store()
    # Only slices need the texts.
    texts = read_table(store, rows, ["text"])["text"] if gate.slices else None
    baselines = evidence.baselines.tables if evidence.baselines else {}
    found = Evidence(
        labels=evidence.labels,
        candidate=read_table(store, evidence.candidate),
        champion=read_table(store, evidence.champion) if evidence.champion else None,
        earlier={version: read_table(store, scores) for version, scores in evidence.earlier.items()},
        baselines={name: read_table(store, blob) for name, blob in baselines.items()},
        lengths_N=None if texts is None else np.array([len(text) for text in texts]),
        costs=evidence.costs,
        seed_scores=evidence.seed_scores,
        # Evaluation counts a confusion matrix where the kind of problem has classes.
        has_classes=bool(evidence.candidate.confusion),
    )
    return gate_predictions(gate, found)
