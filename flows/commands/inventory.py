"""Inventory of the registry: models with their aliases, and versions with their events and pins."""

from datetime import datetime

from schemas.errors import Corrupt
from schemas.frozen import Frozen
from schemas.records.versions import ModelLog
from tasks.services.registry.log import checked_name, read_log
from tasks.services.registry.pins import Pin, list_pins
from tasks.services.registry.versions import list_models, list_versions, refuse_unknown_model
from tasks.services.storage.store import Store


class ModelFound(Frozen):
    """A model, and the damage to its log if that cannot be read."""

    model: str
    aliases: dict[str, str]
    num_versions: int
    damage: str | None


class VersionFound(Frozen):
    """A version: its storage time, events, aliases and pin."""

    version: str
    stored: datetime
    on_record: tuple[str, ...]
    aliases: tuple[str, ...]
    pin: Pin | None


def find_models(store: Store) -> list[ModelFound]:
    """Return every model; a damaged log hides no other model."""
    return [_find_model(store, name) for name in list_models(store)]


def _find_model(store: Store, name: str) -> ModelFound:
    num_versions = len(list_versions(store, name))
    try:
        return ModelFound(model=name, aliases=read_log(store, name).aliases, num_versions=num_versions, damage=None)
    except Corrupt as error:
        return ModelFound(model=name, aliases={}, num_versions=num_versions, damage=str(error))


def find_versions(store: Store, name: str) -> list[VersionFound]:
    """Return every version of a model, oldest first. Raises UsageError for an unknown model."""
    log, pins = read_log(store, name), list_pins(store, name)
    objects = store.list_objects(f"models/{checked_name(name)}/versions/")
    stored = {each.key.split("/")[3]: each.modified for each in objects if each.key.endswith("/manifest.json")}
    if not stored:
        refuse_unknown_model(store, name)
    return [
        VersionFound(
            version=version,
            stored=at,
            on_record=_on_record(log, version),
            aliases=tuple(alias for alias, named in log.aliases.items() if named == version),
            pin=pins.get(version),
        )
        for version, at in sorted(stored.items(), key=lambda item: item[1])
    ]


def _on_record(log: ModelLog, version: str) -> tuple[str, ...]:
    """Return the kinds of a version's events, and `taken back` if an alias was rolled back from it since."""
    kinds = [event.kind for event in log.events if event.to_version == version]
    is_taken_back = any(log.taken_back(alias, version) for alias in log.aliases)
    return (*dict.fromkeys(kinds), *["taken back"] * is_taken_back)
