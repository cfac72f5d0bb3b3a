"""Commands for models: list, history, verify, sign, pull, and the store's doctor."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import to_json

from flows.commands.echo import echo
from flows.commands.options import AsJson, Name, Reference, ReferenceOrName
from flows.commands.runtime import resolve, translated_disk_failures
from schemas.errors import Corrupt, StoreError, UsageError
from schemas.frozen import short
from schemas.settings import read_settings

registry = typer.Typer()


@registry.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show the versions of one model.")] = None, as_json: AsJson = False
) -> None:
    """List models with their aliases, or the versions of one with their events."""
    from flows.commands.display import show_models, show_versions
    from flows.commands.inventory import find_models, find_versions
    from tasks.services.local.object_store import current_store

    store = current_store()
    if name is not None:
        versions = find_versions(store, name)
        _print({"model": name, "versions": versions}, as_json, lambda: show_versions(versions))
        return
    found = find_models(store)
    _print({"models": found}, as_json, lambda: show_models(found))
    damage = [model.damage for model in found if model.damage]
    if damage:
        raise Corrupt(" ".join(damage))


@registry.command()
def history(
    name: Name,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show full reasons, including the gate's.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every promotion of a model: time, version, person and reason."""
    from flows.commands.display import show_history
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.log import read_log
    from tasks.services.registry.versions import refuse_unknown_model

    store = current_store()
    events = read_log(store, name).events
    if not events:
        refuse_unknown_model(store, name)
    _print({"model": name, "events": events}, as_json, lambda: show_history(events, verbose))


@registry.command()
def verify(reference: ReferenceOrName, as_json: AsJson = False) -> None:
    """Read every byte of a version, or of a model's log and versions, and compare digests."""
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.signatures import check_keys
    from tasks.services.registry.verification import find_faults, find_faults_of_model, list_retired
    from tasks.services.registry.versions import refuse_unknown_model, resolve_reference

    check_keys(read_settings())
    store, retired = current_store(), list[str]()
    if "@" in reference:
        name, version = resolve_reference(store, reference)
        found = iter([(version, find_faults(store, name, version))])
    else:
        refuse_unknown_model(store, reference)
        found, retired = find_faults_of_model(store, reference), list_retired(store, reference)
    checked: dict[str, list[str]] = {}
    for what, wrong in found:
        echo(f"{short(what):12}  {'; '.join(wrong) if wrong else 'as it should be'}")
        checked[what] = wrong
    for version in retired:
        echo(f"{short(version)}  retired: no alias names it, and it is no longer in the store")
    if as_json:
        echo(to_json({"reference": reference, "checked": checked, "retired": retired}).decode())
    num_faults = sum(map(len, checked.values()))
    if num_faults:
        raise Corrupt(f"{num_faults} objects of {reference} are not what they should be; they are named above.")


@registry.command()
def sign(reference: ReferenceOrName) -> None:
    """Sign stored versions after verifying every byte, when signing is introduced or with a new key."""
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.signatures import check_keys
    from tasks.services.registry.verification import sign_version
    from tasks.services.registry.versions import list_versions, refuse_unknown_model, resolve_reference

    settings = read_settings()
    if settings.signing_key is None:
        raise UsageError("TUNEGATE_SIGNING_KEY is not set; give the path of a private key in PEM.")
    check_keys(settings)
    store = open_store(settings)
    if "@" in reference:
        versions = [resolve_reference(store, reference)]
    else:
        refuse_unknown_model(store, reference)
        versions = [(reference, version) for version in list_versions(store, reference)]
    for name, version in versions:
        sign_version(store, name, version)
        echo(f"{short(version)}  signed")


@registry.command()
def pull(
    reference: Reference, folder: Annotated[Path, typer.Argument(help="The link to the version's folder.")]
) -> None:
    """Download a version's files, verify them, and replace the folder atomically."""
    from tasks.services.registry.pull import pull_version

    store, name, version = resolve(reference)
    with translated_disk_failures(folder):
        written = pull_version(store, name, version, folder)
    echo(f"{folder} holds {name}@{short(version)}; {written} files were downloaded.")


@registry.command()
def doctor(as_json: AsJson = False) -> None:
    """Probe whether the store keeps the promises that the registry relies on."""
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.doctor import examine

    found = examine(current_store(), read_settings().home)
    for finding in found.findings:
        state = "kept" if finding.is_kept else "BROKEN" if finding.is_needed else "missing"
        echo(f"{state:7}  {finding.promise}: {finding.seen}")
    if as_json:
        echo(found.model_dump_json())
    if found.broken:
        raise StoreError(
            f"This store breaks promises that the registry relies on; nothing will be promoted to it. {found.advice}"
        )


def _print(found: dict[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    """Print a result as JSON, or show it to a person."""
    if as_json:
        echo(to_json(found).decode())
    else:
        show()
