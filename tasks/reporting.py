"""Report: the pictures and the errors to look at first; the flow puts them on one page."""

import pandas as pd

from schemas.frozen import digest_of
from schemas.records.references import CurvePoint, ErrorRow, ReportRef, RowsRef, ScoresRef
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.methods.rows import plain
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import open_store
from tasks.services.storage.tables import read_table

MAX_ERRORS = 20


def list_errors(
    rows: pd.DataFrame, candidate: pd.DataFrame, champion: pd.DataFrame | None, labels: tuple[str, ...]
) -> tuple[tuple[ErrorRow, ...], int, str]:
    """Give the candidate's worst errors, how many there are, and which come first.

    First come regressions, the rows that the champion had right; then the surest wrong answers. Texts are hardly ever
    the true ones word by word: of them come those that the model was least sure of.
    """
    table = candidate.reset_index(drop=True)
    table["text"] = list(rows["text"])
    table["champion"] = -1 if champion is None else champion["answer"].to_numpy()
    wrong = table[table["answer"] != table["truth"]] if labels else table
    is_regression = (wrong["champion"] == wrong["truth"]) & bool(labels)
    wrong = wrong.assign(is_regression=is_regression).sort_values(
        ["is_regression", "probability", "id"], ascending=[False, not labels, True]
    )
    errors = tuple(
        ErrorRow(
            text=plain(row.text),
            label=_in_words(row.truth, labels),
            answer=_in_words(row.answer, labels),
            probability=row.probability,
            champion=None if champion is None else _in_words(row.champion, labels),
        )
        for row in wrong.head(MAX_ERRORS).itertuples()
    )
    if not labels:
        return errors, len(wrong), "answers, the least sure first"
    first = "the surest first" if champion is None else "rows the champion had right come first, then the surest ones"
    return errors, len(wrong), f"wrong answers: {first}"


def _in_words(answer: int | str, labels: tuple[str, ...]) -> str:
    if not isinstance(answer, str):
        return labels[answer]
    if len(answer) == len(labels) and set(answer) <= {"0", "1"}:
        return ", ".join(label for label, bit in zip(labels, answer, strict=True) if bit == "1") or "(none)"
    return answer


def draw_pictures(
    candidate: ScoresRef,
    champion: ScoresRef | None,
    answers: dict[str, pd.DataFrame],
    verdict: Verdict,
    curve: tuple[CurvePoint, ...],
) -> dict[str, bytes]:
    """Draw what is better seen than read; `answers` are those of the candidate and of the champion, if there is one."""
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
) -> ReportRef:
    store = open_store(Settings())
    answers = {"candidate": read_table(store, candidate)}
    if champion:
        answers["champion"] = read_table(store, champion)
    drawn = draw_pictures(candidate, champion, answers, verdict, curve)
    pictures = {name: store.put_bytes(picture) for name, picture in drawn.items()}
    errors, count, order = list_errors(
        read_table(store, rows), answers["candidate"], answers.get("champion"), candidate.labels
    )
    identity = [
        {name: blob.digest for name, blob in pictures.items()},
        [error.model_dump() for error in errors],
        count,
        order,
    ]
    return ReportRef(digest=digest_of(identity), pictures=pictures, errors=errors, num_errors=count, order=order)
