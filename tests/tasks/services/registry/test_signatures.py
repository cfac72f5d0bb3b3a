"""Signatures, and the refusal of versions without a valid one. Alone: pytest tests/tasks/services/registry/test_signatures.py."""

import logging
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from model_signing import verifying

from schemas.errors import Corrupt, UsageError
from schemas.records.versions import Manifest
from schemas.settings import Settings
from tasks.services.registry import versions
from tasks.services.registry.pull import pull_version, read_pulled
from tasks.services.registry.sbom import make_sbom
from tasks.services.registry.signatures import check_keys
from tasks.services.registry.verification import check_version, find_faults, sign_version
from tasks.services.storage.store import Store
from tests.tasks.services.registry.keys import KeyPair, make_keys
from tests.tasks.services.registry.test_versions import make_manifest, promote

INSTALLED = {"torch": "2.13.0+cpu"}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyPair:
    """A key pair, configured for signing and verification."""
    pair = make_keys(tmp_path, "ours")
    pair.configure(monkeypatch)
    return pair


def add(store: Store, name: str | None = None) -> Manifest:
    """A promoted version, by default of a new model."""
    manifest = make_manifest(store, name or f"model-{secrets.token_hex(4)}", secrets.token_bytes(300))
    versions.add_version(store, manifest, INSTALLED)
    promote(store, manifest.model, manifest.version)
    return manifest


def key_of(version: Manifest, file: str) -> str:
    return f"models/{version.model}/versions/{version.version}/{file}"


def test_pulled_folder_is_verified_by_the_library_itself(store: Store, keys: KeyPair, tmp_path: Path):
    version, folder = add(store), tmp_path / "served"
    pull_version(store, version.model, version.version, folder)
    (folder / "README.md").write_text("The card is not part of what is signed.")
    standard = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)

    assert {"manifest.json", "bom.cdx.json", "model.sig"} < {path.name for path in folder.iterdir()}
    standard.verify(folder.resolve(), folder / "model.sig")
    for file in ("model.safetensors", "manifest.json", "bom.cdx.json"):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content + b" ")
        with pytest.raises(ValueError, match=f"Hash mismatch for .*{file}"):
            standard.verify(folder.resolve(), folder / "model.sig")
        (folder / file).write_bytes(content)


def test_pulled_folder_is_verified_by_the_tool_that_others_have(store: Store, keys: KeyPair, tmp_path: Path):
    version, folder = add(store), tmp_path / "served"
    pull_version(store, version.model, version.version, folder)
    tool = [sys.executable, "-m", "model_signing", "verify", "key", folder.resolve()]
    found = subprocess.run(
        [*tool, "--signature", folder / "model.sig", "--public_key", keys.public], capture_output=True, text=True
    )

    assert (found.returncode, "Verification succeeded" in found.stdout) == (0, True), found.stderr


def flip(content: bytes) -> bytes:
    """Alter a letter in the middle of the signature itself, the last long field of the file."""
    at = content.rindex(b'"sig"') + 40
    return content[:at] + (b"A" if content[at : at + 1] != b"A" else b"B") + content[at + 1 :]


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "flipped signature": ("model.sig", flip),
    "truncated signature": ("model.sig", lambda content: content[:-9]),
    "empty signature": ("model.sig", lambda content: b""),
    "no bundle": ("model.sig", lambda content: b'{"verificationMaterial": {}}'),
    "altered bill": ("bom.cdx.json", lambda content: content.replace(b"2.13.0", b"2.12.0")),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused_by_every_reader_with_the_key(store: Store, keys: KeyPair, tmp_path: Path, what: str):
    version = add(store)
    file, damage = DAMAGE[what]
    key, name = key_of(version, file), (version.model, version.version)
    store.replace(key, damage(store.read(key)))
    readers = [versions.read_manifest, check_version, lambda *one: pull_version(*one, tmp_path / "served")]

    for reader in readers:
        with pytest.raises(Corrupt, match=key_of(version, "model.sig")):
            reader(store, *name)
    assert not (tmp_path / "served").exists()
    assert key_of(version, "model.sig") in " ".join(find_faults(store, *name))


@pytest.mark.parametrize("what", [*DAMAGE, "no signature"])
def test_pulled_folder_is_refused_with_the_key_where_its_signature_does_not_fit(
    store: Store, keys: KeyPair, tmp_path: Path, monkeypatch, what: str
):
    version, folder = add(store), tmp_path / "served"
    pull_version(store, version.model, version.version, folder)
    assert read_pulled(folder) is not None
    if what == "no signature":
        (folder / "model.sig").unlink()
    else:
        file, damage = DAMAGE[what]
        (folder / file).write_bytes(damage((folder / file).read_bytes()))

    with pytest.raises(Corrupt, match=f"{folder}: .*model.sig: .*signature"):
        read_pulled(folder)
    monkeypatch.delenv("TUNEGATE_PUBLIC_KEY")
    assert read_pulled(folder) is not None


def test_version_without_a_signature_is_refused_until_it_is_signed(store: Store, keys: KeyPair):
    version = add(store)
    store.delete([key_of(version, "model.sig"), key_of(version, "bom.cdx.json")])

    with pytest.raises(Corrupt, match="there is no signature.*`tunegate sign"):
        versions.read_manifest(store, version.model, version.version)
    sign_version(store, version.model, version.version)
    assert store.read(key_of(version, "bom.cdx.json")) == make_sbom(version, {})
    assert versions.read_manifest(store, version.model, version.version) == version
    assert find_faults(store, version.model, version.version) == []


def test_signature_of_another_key_or_version_is_refused(store: Store, keys: KeyPair, tmp_path: Path, monkeypatch):
    version = add(store)
    sibling = add(store, version.model)
    store.replace(key_of(sibling, "model.sig"), store.read(key_of(version, "model.sig")))

    with pytest.raises(Corrupt, match="is not valid for this version .it covers other bytes"):
        versions.read_manifest(store, sibling.model, sibling.version)
    monkeypatch.setenv("TUNEGATE_PUBLIC_KEY", str(make_keys(tmp_path, "theirs").public))
    with pytest.raises(Corrupt, match="Key mismatch"):
        versions.read_manifest(store, version.model, version.version)


def test_signed_version_cannot_be_passed_off_as_one_of_another_model(store: Store, keys: KeyPair):
    version, name = add(store), f"model-{secrets.token_hex(4)}"
    for file in ("manifest.json", "model.sig", "bom.cdx.json"):
        store.replace(f"models/{name}/versions/{version.version}/{file}", store.read(key_of(version, file)))

    with pytest.raises(Corrupt, match=f"a version of '{version.model}'"):
        versions.read_manifest(store, name, version.version)


def test_run_replaces_no_signature_of_a_version_that_is_there(
    store: Store, keys: KeyPair, tmp_path, monkeypatch, caplog
):
    logging.getLogger("tasks").propagate = True
    version = add(store)
    key = key_of(version, "model.sig")
    first = store.read(key)
    versions.add_version(store, version, {"torch": "3"})

    assert not caplog.messages
    make_keys(tmp_path, "theirs").configure(monkeypatch)
    versions.add_version(store, version, INSTALLED)
    assert store.read(key) == first
    assert f"{key}: the version exists with another signature" in caplog.text
    store.replace(key, flip(first))
    versions.add_version(store, version, INSTALLED)
    assert store.read(key) == flip(first)
    sign_version(store, version.model, version.version)
    assert versions.read_manifest(store, version.model, version.version) == version


def test_new_version_is_signed_by_an_account_that_may_only_create(store: Store, keys: KeyPair, monkeypatch):
    def refuse(key: str, content: bytes) -> None:
        raise AssertionError(f"{key}: replaced")

    manifest = make_manifest(store, f"model-{secrets.token_hex(4)}", secrets.token_bytes(300))
    monkeypatch.setattr(store, "replace", refuse)
    versions.add_version(store, manifest, INSTALLED)

    assert find_faults(store, manifest.model, manifest.version) == []


def test_signature_that_a_killed_run_left_without_a_manifest_makes_way(
    store: Store, keys: KeyPair, tmp_path, monkeypatch
):
    version = add(store)
    store.delete([key_of(version, "manifest.json")])
    store.replace(key_of(version, "bom.cdx.json"), make_sbom(version, {"torch": "a harmless one"}))
    make_keys(tmp_path, "theirs").configure(monkeypatch)
    versions.add_version(store, version, INSTALLED)

    assert store.read(key_of(version, "bom.cdx.json")) == make_sbom(version, INSTALLED)
    assert versions.read_manifest(store, version.model, version.version) == version


def test_version_without_a_signature_gets_one_by_a_run_that_makes_the_same_bill(store: Store, keys: KeyPair):
    version = add(store)
    key = key_of(version, "model.sig")
    for installed, is_signed in (({"torch": "3"}, False), (INSTALLED, True)):
        store.delete([key])
        versions.add_version(store, version, installed)

        assert (store.read(key) is not None) == is_signed
    assert versions.read_manifest(store, version.model, version.version) == version


def test_version_that_stays_without_a_signature_is_told_once(store: Store, keys: KeyPair, caplog):
    logging.getLogger("tasks").propagate = True
    version = add(store)
    store.delete([key_of(version, "model.sig")])
    versions.add_version(store, version, {"torch": "3"})

    assert caplog.text.count("it is left unchanged") == 1


def test_signature_that_a_collection_takes_from_a_version_that_is_added_is_put_back(
    store: Store, keys: KeyPair, monkeypatch
):
    version = add(store)
    monkeypatch.setattr(versions, "wait_until_free", lambda *_: store.delete([key_of(version, "model.sig")]))
    versions.add_version(store, version, INSTALLED)

    assert versions.read_manifest(store, version.model, version.version) == version
    versions.add_version(store, version, {"torch": "3"})
    assert store.read(key_of(version, "model.sig")) is None, "it is another environment's bill"


def test_altered_bill_is_not_signed_by_the_next_run_and_a_missing_one_put_back(store: Store, keys: KeyPair):
    version = add(store)
    key = key_of(version, "bom.cdx.json")
    for without in (["model.sig"], []):
        store.delete([key_of(version, file) for file in without])
        store.replace(key, make_sbom(version, {"torch": "a harmless one"}))
        versions.add_version(store, version, INSTALLED)

        with pytest.raises(Corrupt, match=key_of(version, "model.sig")):
            versions.read_manifest(store, version.model, version.version)
        store.delete([key])
        versions.add_version(store, version, INSTALLED)
        assert versions.read_manifest(store, version.model, version.version) == version


def test_keys_that_do_not_belong_together_are_refused_before_anything_runs(keys: KeyPair, tmp_path, monkeypatch):
    check_keys(Settings())
    monkeypatch.setenv("TUNEGATE_PUBLIC_KEY", str(make_keys(tmp_path, "theirs").public))

    with pytest.raises(
        UsageError, match="TUNEGATE_PUBLIC_KEY is .*theirs.pub, which is not the public half of .*ours.pem"
    ):
        check_keys(Settings())


def test_nothing_is_signed_or_asked_for_without_keys(store: Store):
    version = add(store)

    assert store.read(key_of(version, "model.sig")) is None
    assert versions.read_manifest(store, version.model, version.version) == version
    assert find_faults(store, version.model, version.version) == []


def test_key_with_a_password_signs_and_a_wrong_one_is_not_told(store: Store, tmp_path: Path, monkeypatch):
    make_keys(tmp_path, "hidden", "open sesame").configure(monkeypatch)
    for wrong in ("tell nobody", ""):
        monkeypatch.setenv("TUNEGATE_SIGNING_KEY_PASSWORD", wrong)
        with pytest.raises(UsageError, match="TUNEGATE_SIGNING_KEY is .*assword") as refused:
            add(store)
        assert not wrong or wrong not in str(refused.value)
    monkeypatch.setenv("TUNEGATE_SIGNING_KEY_PASSWORD", "open sesame")

    assert "open sesame" not in repr(Settings())
    version = add(store)
    assert versions.read_manifest(store, version.model, version.version) == version


def write_rsa(path: Path) -> None:
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


@pytest.mark.parametrize("variable", ["TUNEGATE_SIGNING_KEY", "TUNEGATE_PUBLIC_KEY"])
@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("no key"), write_rsa])
def test_key_that_cannot_be_used_is_refused_by_its_variable(tmp_path: Path, monkeypatch, variable: str, make):
    make(tmp_path / "key.pem")
    monkeypatch.setenv(variable, str(tmp_path / "key.pem"))

    with pytest.raises(UsageError, match=f"^{variable} is .*key.pem, which cannot be used: .*openssl"):
        check_keys(Settings())


def test_commands_that_do_not_sign_do_not_load_what_signs():
    code = (
        "import sys, flows.commands.app, tasks.services.registry.pull, tasks.services.registry.verification\n"
        "print(sorted({'model_signing', 'sigstore', 'cyclonedx'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
