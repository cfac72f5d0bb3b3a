"""Watch for new data: a recipe's files with unseen content emit one event."""

import json
import logging
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from prefect import flow

from flows.prefect_server.events import emit
from schemas.errors import RecipeError, TunegateError
from schemas.frozen import digest_of
from schemas.records.request import RetrainRequest
from schemas.settings import read_settings
from tasks.pinning import list_sources, pin_sources
from tasks.services.local.object_store import current_store
from tasks.services.storage.store import Store

CHANGED = "tunegate.data.changed"
# Prefect loads this file under another module name.
log = logging.getLogger("flows.watch")


@flow(name="watch", persist_result=False)
def watch(recipes: list[str]) -> list[str]:
    """Emit the event tunegate.data.changed for recipes with new rows, on which an automation retrains.

    The first look at a recipe only records its content. Content that was seen once is never new again.

    Args:
        recipes: Recipes below recipes/, such as tweets/full.
    """
    logging.getLogger("flows").setLevel(logging.INFO)
    changed, errors = [], []
    for name in recipes:
        try:
            changed += [name] if _has_changed(name) else []
        except TunegateError as error:
            errors.append(f"{name}: {error}")
    if errors:
        raise RecipeError("\n".join(errors))
    return changed


def _has_changed(name: str) -> bool:
    recipe, folder = RetrainRequest(recipe=name).resolve(read_settings().recipes)
    store, listing = current_store(), list_sources(recipe.data, folder).encode()
    # No recipe's name begins with a dot.
    last = f"watched/{name}/.listing/last"
    is_new = False
    if store.read(last) != listing:
        is_new = _has_new_rows(store, name, [files.digest for files in pin_sources(recipe.data, folder)])
        # The listing from before reading: changes since are seen next time.
        store.replace(last, listing)
    log.info("%s: %s", name, "new data" if is_new else "nothing new")
    return is_new


def _has_new_rows(store: Store, name: str, digests: list[str]) -> bool:
    seen = f"watched/{name}/"
    # A recipe's name may be the folder of another one.
    known = [key for key in store.list_keys(seen) if "/" not in key.removeprefix(seen)]
    key = f"{seen}{digest_of(digests)}.json"
    is_new = bool(known) and key not in known
    if is_new:
        files = dict(zip(("train", "test"), digests, strict=True))
        emit(CHANGED, name, uuid5(NAMESPACE_URL, key), files=files)
    # After the event: after an interruption in between it is emitted again, with the same id.
    store.create(key, json.dumps({"seen": datetime.now(UTC).isoformat()}).encode())
    return is_new
