"""Cards beside a version, and which of them a pulled folder gets. Alone: pytest tests/tasks/services/registry/test_documents.py."""

import secrets
from pathlib import Path

import pytest

from schemas.errors import Corrupt
from schemas.records.versions import Manifest
from tasks.services.registry import versions
from tasks.services.registry.documents import attach_card, read_card
from tasks.services.registry.pull import pull_version
from tasks.services.registry.verification import check_version, find_faults
from tasks.services.storage.store import Store
from tests.tasks.services.registry.test_versions import GATE, make_manifest, promote


@pytest.fixture
def version(store: Store) -> Manifest:
    """A promoted version with a card by the verdict that promoted it and one by another."""
    manifest = make_manifest(store, f"model-{secrets.token_hex(4)}", secrets.token_bytes(300))
    versions.add_version(store, manifest)
    for gate, card in (("1" * 64, b"another"), (GATE, b"passed"), (GATE, b"passed")):
        attach_card(store, manifest, gate, card)
    promote(store, manifest.model, manifest.version)
    return manifest


def card_keys(store: Store, version: Manifest) -> list[str]:
    return store.list_keys(f"models/{version.model}/versions/{version.version}/card-")


def test_folder_has_the_card_of_the_verdict_that_promoted_it(store: Store, version: Manifest, tmp_path: Path):
    pull_version(store, version.model, version.version, tmp_path / "served")

    assert (tmp_path / "served" / "README.md").read_bytes() == b"passed"
    assert len(card_keys(store, version)) == 2
    cards = [read_card(store, version.model, version.version, gate) for gate in [GATE, "1" * 64, "2" * 64]]
    assert cards == [b"passed", b"another", None]
    store.delete(card_keys(store, version))
    pull_version(store, version.model, version.version, tmp_path / "served")
    assert not (tmp_path / "served" / "README.md").exists()


def test_altered_card_is_named_and_not_pulled_but_stops_no_rollback(store: Store, version: Manifest, tmp_path: Path):
    assert find_faults(store, version.model, version.version) == []
    (key,) = [key for key in card_keys(store, version) if GATE in key]
    store.replace(key, b"passes")

    assert [key in fault for fault in find_faults(store, version.model, version.version)] == [True]
    with pytest.raises(Corrupt, match=key):
        pull_version(store, version.model, version.version, tmp_path / "served")
    check_version(store, version.model, version.version)
