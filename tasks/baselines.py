"""Baselines: predictions of the test rows without tuning, for guard rails and comparisons."""

from schemas.frozen import digest_of
from schemas.recipe.problem import Problem
from schemas.records.references import AnswersRef, RowsRef
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import keep_table, read_table


@cached_task("baselines")
def answer_without_tuning(train: RowsRef, test: RowsRef, problem: Problem, names: tuple[str, ...]) -> AnswersRef:
    from tasks.methods.baselines.table import BASELINES

    store = current_store()
    rows = read_table(store, train), read_table(store, test)
    tables = {name: keep_table(store, BASELINES[name](*rows, problem.labels)) for name in names}
    return AnswersRef(digest=digest_of({name: blob.digest for name, blob in tables.items()}), tables=tables)
