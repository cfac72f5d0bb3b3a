"""Report: pictures and the most important errors; the flow renders the page."""

import numpy as np
import pandas as pd

from schemas.frozen import digest_of
from schemas.recipe.problem import Problem
from schemas.records.references import CurvePoint, ErrorRow, ReportRef, RowsRef, ScoresRef
from schemas.records.verdict import Verdict
from tasks.methods.rows import plain
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import read_table

MAX_ERRORS = 20


def list_errors(
    rows: pd.DataFrame, candidate: pd.DataFrame, champion: pd.DataFrame | None, problem: Problem
) -> tuple[tuple[ErrorRow, ...], int, str]:
    """Return the candidate's worst errors, the number of all errors, and their order in words.

    Regressions, the rows that the champion had right, come first; then the kind of problem determines the order.
    """
    from tasks.methods.problems.table import PROBLEMS

    methods = PROBLEMS[problem.kind]
    mistakes = methods.mistakes
    table = candidate.assign(text=list(rows["text"]), rank=mistakes.rank(candidate))
    table["is_regression"] = False if champion is None else np.isnan(mistakes.rank(champion))
    table["champion"] = None if champion is None else [methods.in_words(one, problem) for one in champion["answer"]]
    wrong = table[table["rank"].notna()]
    first = wrong.sort_values(["is_regression", "rank", "id"], ascending=[False, False, True]).head(MAX_ERRORS)
    errors = tuple(
        ErrorRow(
            text=plain(row.text),
            label=methods.in_words(row.truth, problem),
            answer=methods.in_words(row.answer, problem),
            probability=row.probability,
            champion=row.champion,
        )
        for row in first.itertuples()
    )
    return errors, len(wrong), mistakes.words if champion is None else mistakes.words_with_champion


def draw_pictures(
    candidate: ScoresRef,
    champion: ScoresRef | None,
    answers: dict[str, pd.DataFrame],
    verdict: Verdict,
    curve: tuple[CurvePoint, ...],
) -> dict[str, bytes]:
    """Draw the pictures; `answers` holds the predictions of the candidate and of the champion, if there is one."""
    from tasks.methods.reports.pictures import draw_confusion, draw_learning_curve, draw_reliability, draw_rules

    slices = tuple(rule for rule in verdict.rules if rule.name.startswith("slice: "))
    others = tuple(rule for rule in verdict.rules if rule not in slices)
    pictures = {"rules.png": draw_rules(others)}
    if slices:
        pictures["slices.png"] = draw_rules(slices)
    if curve:
        pictures["learning_curve.png"] = draw_learning_curve(curve)
    if candidate.confusion:
        pictures["confusion_candidate.png"] = draw_confusion("candidate", candidate.confusion, candidate.labels)
    if champion is not None and champion.confusion:
        pictures["confusion_champion.png"] = draw_confusion("champion", champion.confusion, champion.labels)
    if candidate.confusion and "p0" in answers["candidate"]:
        pictures["reliability.png"] = draw_reliability(answers, candidate.labels)
    return pictures


@cached_task("report")
def make_report(
    candidate: ScoresRef,
    champion: ScoresRef | None,
    verdict: Verdict,
    rows: RowsRef,
    curve: tuple[CurvePoint, ...],
    problem: Problem,
) -> ReportRef:
    store = current_store()
    answers = {"candidate": read_table(store, candidate)}
    if champion:
        answers["champion"] = read_table(store, champion)
    drawn = draw_pictures(candidate, champion, answers, verdict, curve)
    pictures = {name: store.put_bytes(picture) for name, picture in drawn.items()}
    errors, count, order = list_errors(read_table(store, rows), answers["candidate"], answers.get("champion"), problem)
    identity = [
        {name: blob.digest for name, blob in pictures.items()},
        [error.model_dump() for error in errors],
        count,
        order,
    ]
    return ReportRef(digest=digest_of(identity), pictures=pictures, errors=errors, num_errors=count, order=order)
