"""Comparison: tuning methods and baselines on the same test rows."""

import numpy as np
import pandas as pd

from schemas.frozen import digest_of
from schemas.records.comparison import ComparisonRef, MethodScores
from schemas.records.references import AnswersRef, ScoresRef
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import read_table

RESAMPLES = 2_000


def score_methods(
    methods: dict[str, list[pd.DataFrame]], baseline: pd.DataFrame | None, metric: str, labels: tuple[str, ...]
) -> list[MethodScores]:
    """Score each method's predictions, one table per seed; the interval is that of the mean over the seeds.

    All methods and the baseline are scored on the same resamples, so differences are paired.
    """
    from tasks.methods.metrics.score import group_rows, interval, measure, resample
    from tasks.methods.metrics.table import METRICS

    if not methods:
        return []
    tables = [table for answers in methods.values() for table in answers] + ([] if baseline is None else [baseline])
    score = METRICS[metric]
    groups = group_rows(score.read(tables[0])[0], *(score.read(table)[1] for table in tables))
    measured = [measure(score, groups, model, labels)[metric] for model in range(len(tables))]
    drawn = [found[metric] for found in resample(score, groups, labels, RESAMPLES, seed=0)]
    results, first = [], 0
    for name, answers in methods.items():
        own = slice(first, first := first + len(answers))
        mean_R = np.mean(drawn[own], axis=0)
        ahead = None if baseline is None else interval(mean_R - drawn[-1], 0.975)
        results.append(
            MethodScores(
                name=name,
                scores=tuple(measured[own]),
                mean=float(np.mean(measured[own])),
                standard_deviation=float(np.std(measured[own], ddof=1)) if len(answers) > 1 else 0.0,
                interval=interval(mean_R, 0.975),
                ahead=ahead,
            )
        )
    return results


@cached_task("compare")
def compare_methods(
    names: tuple[str, ...],
    scores: tuple[tuple[ScoresRef, ...], ...],
    baselines: AnswersRef | None,
    labels: tuple[str, ...],
    metric: str,
) -> ComparisonRef:
    """Compare stored predictions: one name per method, and for each method one reference per seed."""
    from tasks.methods.reports.pictures import draw_comparison

    store = current_store()
    simple = {name: read_table(store, blob) for name, blob in baselines.tables.items()} if baselines else {}
    tuned = {name: [read_table(store, one) for one in seeds] for name, seeds in zip(names, scores, strict=True)}
    asked = tuned[names[0]][0][["id", "truth"]]
    assert all(table[["id", "truth"]].equals(asked) for table in simple.values()), "the same rows in the same order"
    best_simple = list(simple.values())[-1] if simple else None
    floors = score_methods({name: [found] for name, found in simple.items()}, None, metric, labels)
    methods = score_methods(tuned, best_simple, metric, labels)
    picture = store.put_bytes(draw_comparison(metric, floors, methods))
    identity = [picture.digest, [found.model_dump() for found in (*floors, *methods)]]
    return ComparisonRef(
        digest=digest_of(identity),
        metric=metric,
        num_rows=scores[0][0].num_rows,
        baselines=tuple(floors),
        methods=tuple(methods),
        picture=picture,
    )
