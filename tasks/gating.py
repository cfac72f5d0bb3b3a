"""Gate: judge whether what was measured shows that the candidate may take the champion's place."""

import pandas as pd

from schemas.errors import StoreError, UsageError
from schemas.judging import Gate
from schemas.references import ScoresRef
from schemas.settings import Settings
from schemas.verdict import Verdict
from tasks.services.cache import cached_task
from tasks.services.embedded import open_store
from tasks.services.tables import read_table


def judge_answers(
    gate: Gate, candidate: pd.DataFrame, champion: pd.DataFrame | None, labels: tuple[str, ...]
) -> Verdict:
    """Judge answers row by row.

    Raises StoreError when the two models did not answer the same rows, UsageError when the metric cannot compare them.
    """
    from tasks.methods.metrics.table import METRICS
    from tasks.methods.rules.judge import judge

    score = METRICS[gate.metric]
    of_row, _ = score.columns

    columns = ["id", "truth"]
    if champion is not None and not candidate[columns].equals(champion[columns]):
        raise StoreError(
            "The candidate's and the champion's answers are not about the same rows in the same order, so they cannot "
            "be compared. Run again; if it stays so, the stored answers were altered."
        )
    if champion is not None and not candidate[of_row].equals(champion[of_row]):
        raise UsageError(
            f"{gate.metric} is a mean over tokens, and the champion was asked for others than the candidate, by "
            "another tokenizer or another problem.answer_tokens, so the two cannot be compared. Choose another "
            "gate.metric, or another promotion.model."
        )
    answers = None if champion is None else score.read(champion)[1]
    return judge(gate, *score.read(candidate), answers, labels)


@cached_task("gate")
def gate_candidate(
    candidate: ScoresRef, champion: ScoresRef | None, champion_version: str | None, gate: Gate
) -> Verdict:
    """Judge the stored answers; the champion's version is part of the key, so another champion is another verdict."""
    store = open_store(Settings())
    champion_answers = read_table(store, champion) if champion else None
    return judge_answers(gate, read_table(store, candidate), champion_answers, candidate.labels)
