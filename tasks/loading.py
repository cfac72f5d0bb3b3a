"""Loading: a version answers in a process of its own, from the stored bytes, as it did when it was judged."""

from schemas.errors import Corrupt
from schemas.frozen import digest_of, short
from schemas.recipe.problem import Problem
from schemas.recipe.tuning import Tuning
from schemas.records.references import LoadedRef, ModelRef, RowsRef, ScoresRef
from tasks.methods.models.isolated import answer_apart
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.registry.versions import unpacked
from tasks.services.storage.tables import read_table

NUM_ROWS = 8


@cached_task("load")
def load_version(model: ModelRef, problem: Problem, tuning: Tuning, rows: RowsRef, scores: ScoresRef) -> LoadedRef:
    """Ask a few of the rows that were judged again, of what services will fetch. Raises Corrupt."""
    from tasks.methods.problems.table import PROBLEMS

    store = current_store()
    asked, judged = read_table(store, rows).head(NUM_ROWS), read_table(store, scores).head(NUM_ROWS)
    with unpacked(store, model) as folder:
        found = answer_apart(f"The model {short(model.digest)}", folder, asked, problem)
    expected = list(judged["answer"])
    if len(found) != len(expected) or not all(map(PROBLEMS[problem.kind].agrees, found, expected)):
        raise Corrupt(
            f"The model {short(model.digest)} answers {found} in a process of its own, but {expected} when it was "
            "judged: it is not promoted. Run again; if it stays so, its files do not say all that it is."
        )
    return LoadedRef(digest=digest_of([model.digest, [str(answer) for answer in found]]), num_rows=len(found))
