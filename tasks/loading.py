"""Loading: check that a version, loaded from the store in an isolated process, repeats its evaluated predictions."""

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
    """Compare predictions for a few evaluated rows with the stored ones. Raises Corrupt if they differ."""
    from tasks.methods.problems.table import PROBLEMS

    store = current_store()
    first_rows, evaluated = read_table(store, rows).head(NUM_ROWS), read_table(store, scores).head(NUM_ROWS)
    with unpacked(store, model) as folder:
        found = answer_apart(f"The model {short(model.digest)}", folder, first_rows, problem)
    expected = list(evaluated["answer"])
    if len(found) != len(expected) or not all(map(PROBLEMS[problem.kind].agrees, found, expected)):
        raise Corrupt(
            f"The model {short(model.digest)} predicts {found} in an isolated process, but {expected} when it was "
            "evaluated: it is not promoted. Run again; if it happens again, its files do not determine the model."
        )
    return LoadedRef(digest=digest_of([model.digest, [str(answer) for answer in found]]), num_rows=len(found))
