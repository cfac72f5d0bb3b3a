"""Gate: judge whether what was measured shows that the candidate may take the champion's place."""

from typing import Any

import numpy as np
import pandas as pd

from schemas.errors import StoreError, UsageError
from schemas.judging import Gate
from schemas.references import AnswersRef, CostsRef, RowsRef, ScoresRef
from schemas.settings import Settings
from schemas.verdict import Verdict
from tasks.services.cache import cached_task
from tasks.services.embedded import open_store
from tasks.services.tables import read_table


def judge_answers(gate: Gate, evidence: Any) -> Verdict:
    """Judge `tasks.methods.rules.evidence.Evidence` row by row.

    Raises StoreError when two models did not answer the same rows, UsageError when the metric cannot compare them.
    """
    from tasks.methods.rules.judge import judge

    others = {"the champion": evidence.champion, **evidence.earlier, **evidence.baselines}
    for name, answers in others.items():
        if answers is not None:
            _check_same_rows(gate, evidence.candidate, answers, name)
    return judge(gate, evidence)


def _check_same_rows(gate: Gate, candidate: pd.DataFrame, other: pd.DataFrame, name: str) -> None:
    from tasks.methods.metrics.table import METRICS

    columns, of_row = ["id", "truth"], METRICS[gate.metric].columns[0]
    if not candidate[columns].equals(other[columns]):
        raise StoreError(
            f"The candidate's answers and those of {name} are not about the same rows in the same order, so they "
            "cannot be compared. Run again; if it stays so, the stored answers were altered."
        )
    if not candidate[of_row].equals(other[of_row]):
        raise UsageError(
            f"{gate.metric} is a mean over tokens, and {name} was asked for others than the candidate, by another "
            "tokenizer or another problem.answer_tokens, so the two cannot be compared. Choose another gate.metric, or "
            "another promotion.model."
        )


@cached_task("gate")
def gate_candidate(
    candidate: ScoresRef,
    champion: ScoresRef | None,
    champion_version: str | None,
    earlier: tuple[tuple[str, ScoresRef], ...],
    baselines: AnswersRef | None,
    costs: CostsRef | None,
    seed_scores: tuple[float, ...],
    rows: RowsRef,
    gate: Gate,
) -> Verdict:
    """Judge the stored answers; the champion's version is part of the key, so another champion is another verdict."""
    from tasks.methods.rules.evidence import Evidence

    store = open_store(Settings())
    # Slices alone look at the texts.
    texts = read_table(store, rows, ["text"])["text"] if gate.slices else None
    evidence = Evidence(
        labels=candidate.labels,
        candidate=read_table(store, candidate),
        champion=read_table(store, champion) if champion else None,
        earlier={version: read_table(store, scores) for version, scores in earlier},
        baselines={name: read_table(store, blob) for name, blob in baselines.tables.items()} if baselines else {},
        lengths_N=None if texts is None else np.array([len(text) for text in texts]),
        costs=costs,
        seed_scores=seed_scores,
    )
    return judge_answers(gate, evidence)
