"""Export and import of a model with its log. Alone: pytest tests/tasks/services/registry/test_transfer.py."""

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from schemas.errors import Conflict, Corrupt, StoreError, UsageError
from schemas.frozen import canonical_json
from tasks.methods.rules.decision import weigh
from tasks.services.registry import versions as registry
from tasks.services.registry.log import read_log
from tasks.services.registry.pins import held
from tasks.services.registry.proposals import read_passing_verdict
from tasks.services.registry.transfer import export_model, import_models
from tasks.services.registry.verification import find_faults_of_model
from tasks.services.storage.s3 import Address
from tasks.services.storage.store import Store, blob_key
from tests.flows.command import run
from tests.tasks.services.registry.test_versions import make_event, make_manifest, promote
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore
from tests.tasks.test_approval import RULE, propose


def make_model(store: Store) -> str:
    """A model with two versions, a log of three events, a verdict each, and their documents."""
    name = f"moved-{secrets.token_hex(4)}"
    versions = [registry.add_version(store, make_manifest(store, name, secrets.token_bytes(3_000))) for _ in range(2)]
    for version in (*versions, versions[0]):
        verdict = store.put_bytes(canonical_json({"rows": secrets.token_hex(8)}))
        event = make_event(read_log(store, name), version).model_copy(update={"gate_sha256": verdict.digest})
        registry.append_event(store, name, event)
    store.create(f"models/{name}/versions/{versions[0]}/manifest.json.sig", b"signature")
    store.create(f"models/{name}/pins/{versions[1]}.json", b"{}")
    store.create(f"models/{name}/proposals/{versions[1]}/1.json", b"{}")
    store.create(f"models/{name}/unknown.json", b"it does not travel")
    return name


@pytest.fixture
def name(store: Store) -> str:
    return make_model(store)


@pytest.fixture(scope="module")
def exported(store: Store, tmp_path_factory) -> tuple[str, Path]:
    """A model that no test changes, and its export."""
    name, folder = make_model(store), tmp_path_factory.mktemp("exported")
    export_model(store, name, folder)
    return name, folder


@pytest.fixture
def copied(exported: tuple[str, Path], tmp_path: Path) -> tuple[str, Path]:
    """A copy that a test may damage."""
    name, folder = exported
    return name, shutil.copytree(folder, tmp_path / "copied")


@pytest.fixture(scope="module")
def other(store: Store, tmp_path_factory) -> Store:
    """Another bucket, seen from another machine."""
    address = store.address
    bucket, local = f"other-{secrets.token_hex(4)}", tmp_path_factory.mktemp("blobs")
    other = Store(Address(address.endpoint, bucket, address.access_key, address.secret_key), local)
    other.create_bucket()
    return other


def contents(store: Store, name: str) -> dict[str, bytes | None]:
    keys = [key for key in store.list_keys(f"models/{name}/") if not key.endswith(("unknown.json", "head.json"))]
    return {key: store.read(key) for key in keys}


def test_exported_wiped_and_imported_model_has_the_same_bytes_and_history(store, other, name, tmp_path, caplog):
    before, log, head = contents(store, name), read_log(store, name), store.read(f"models/{name}/head.json")
    exported = export_model(store, name, tmp_path / "out")
    store.delete(list(before))
    (imported,) = import_models(other, tmp_path / "out")

    assert contents(other, name) == before
    assert f"are not part of a model and not exported, such as models/{name}/unknown.json" in caplog.text
    assert read_log(other, name) == log
    assert other.read(f"models/{name}/head.json") == head
    assert [wrong for _, wrong in find_faults_of_model(other, name)] == [[], [], []]
    assert all(other.size(blob_key(event.gate_sha256)) for event in log.events)
    # Three events, two versions with a file each, three verdicts, two bills, a signature, a pin, a proposal.
    assert (exported.num_objects, imported.num_written) == (15, 15)
    assert export_model(other, name, tmp_path / "out").num_written == 0


def test_list_of_digests_is_what_sha256sum_reads(exported):
    name, folder = exported
    subprocess.run(["sha256sum", "--check", "--strict", f"{name}.sha256"], cwd=folder, check=True)


def test_what_is_there_is_not_moved_again(store, other, name, tmp_path):
    export_model(store, name, tmp_path / "out")
    import_models(other, tmp_path / "out")
    counted = FaultyStore(other, tmp_path / "counted")

    assert [moved.num_written for moved in import_models(counted, tmp_path / "out")] == [0]
    assert [
        path
        for operation, path in counted.requests
        if operation not in ("GetObject", "HeadObject", "ListObjectsV2") and "/head.json" not in path
    ] == []
    counted = FaultyStore(store, tmp_path / "counted")
    assert export_model(counted, name, tmp_path / "out").num_written == 0
    assert [path for operation, path in counted.requests if operation == "GetObject" and "/blobs/" in path] == []


def test_interrupted_export_is_refused_by_import_and_finished_by_the_same_command(store, other, name, tmp_path):
    faulty = FaultyStore(store, tmp_path / "faulty")
    faulty.faults.append(Fault("GetObject", kind="refused", key="/blobs/"))
    with pytest.raises(StoreError, match="access was refused"):
        export_model(faulty, name, tmp_path / "out")
    with pytest.raises(UsageError, match="it holds no complete export"):
        import_models(other, tmp_path / "out")
    assert contents(other, name) == {}

    export_model(store, name, tmp_path / "out")
    import_models(other, tmp_path / "out")
    assert contents(other, name) == contents(store, name)


@pytest.mark.parametrize("where", ["/blobs/", "/versions/", "/log/0000000000000002"])
def test_interrupted_import_names_nothing_incomplete_and_is_finished_by_the_same_command(
    store, other, name, tmp_path, where
):
    export_model(store, name, tmp_path / "out")
    faulty = FaultyStore(other, tmp_path / "faulty")
    faulty.faults.append(Fault("PutObject", kind="refused", key=where))
    with pytest.raises(StoreError, match="access was refused"):
        import_models(faulty, tmp_path / "out")
    assert [wrong for _, wrong in find_faults_of_model(other, name) if wrong] == []
    assert len(read_log(other, name).events) == (1 if "log" in where else 0)

    import_models(other, tmp_path / "out")
    assert contents(other, name) == contents(store, name)


def test_log_that_went_on_is_continued(store, other, name, tmp_path):
    export_model(store, name, tmp_path / "out")
    import_models(other, tmp_path / "out")
    promote(store, name, registry.list_versions(store, name)[1])
    export_model(store, name, tmp_path / "out")

    # The event and its verdict.
    assert [moved.num_written for moved in import_models(other, tmp_path / "out")] == [2]
    assert read_log(other, name) == read_log(store, name)


def test_verdict_of_a_proposal_travels_and_a_damaged_proposal_as_it_is(store, other, name, tmp_path):
    verdict = weigh((RULE.model_copy(update={"measured": secrets.randbelow(10**9) / 10**9}),), rows=100)
    proposal = propose(store, name, verdict, registry.list_versions(store, name)[0]).proposal
    damaged = f"models/{name}/proposals/{'0' * 64}/proposal.json"
    store.create(damaged, b'\xff{"gate_sha256":"')
    export_model(store, name, tmp_path / "out")
    import_models(other, tmp_path / "out")

    assert read_passing_verdict(other, proposal) == verdict
    assert other.read(damaged) == store.read(damaged)


def test_what_a_promoter_holds_meanwhile_stays_behind(store, name, tmp_path, monkeypatch):
    """It is deleted between listing and reading."""
    version = registry.list_versions(store, name)[0]
    list_keys = store.list_keys
    with held(store, name, version):
        (hold,) = [key for key in store.list_keys(f"models/{name}/pins/") if f"{version}-" in key]
    monkeypatch.setattr(
        store,
        "list_keys",
        lambda prefix, *after: (
            sorted([*list_keys(prefix, *after), hold]) if prefix == f"models/{name}/" else list_keys(prefix, *after)
        ),
    )
    export_model(store, name, tmp_path / "out")

    assert hold not in (tmp_path / "out" / f"{name}.sha256").read_text()
    assert f"models/{name}/pins/" in (tmp_path / "out" / f"{name}.sha256").read_text()


def test_log_that_is_ahead_or_differs_is_left_alone(store, other, name, tmp_path):
    export_model(store, name, tmp_path / "out")
    import_models(other, tmp_path / "out")
    promote(other, name, registry.list_versions(store, name)[0])
    ahead = contents(other, name)
    with pytest.raises(Conflict, match="has 4 events, the folder the first 3 of them"):
        import_models(other, tmp_path / "out")

    promote(store, name, registry.list_versions(store, name)[1])
    shutil.rmtree(tmp_path / "out")
    export_model(store, name, tmp_path / "out")
    with pytest.raises(Conflict, match="differs from the folder's from event 4 on"):
        import_models(other, tmp_path / "out")
    assert contents(other, name) == ahead
    with pytest.raises(UsageError, match="this event differs from the store's"):
        export_model(other, name, tmp_path / "out")


@pytest.mark.parametrize("what", ["blobs/", "versions/", "manifest.json.sig", "log/0000000000000003", "pins/"])
def test_damaged_folder_is_refused_with_the_key_before_anything_is_written(other, copied, what):
    name, folder = copied
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file() and what in str(path))
    raw = path.read_bytes()
    for damage in (path.unlink, lambda: path.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])):
        damage()
        with pytest.raises(Corrupt, match=path.name):
            import_models(other, folder)
    assert contents(other, name) == {}


def test_version_without_its_file_is_refused_though_the_list_agrees(store, other, copied):
    name, folder = copied
    manifest = registry.read_manifest(store, name, registry.list_versions(store, name)[0])
    key = blob_key(manifest.files["model.safetensors"].digest)
    sums = folder / f"{name}.sha256"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if key not in line))

    with pytest.raises(Corrupt, match=key):
        import_models(other, folder)


def test_altered_blob_is_not_exported(store, name, tmp_path):
    manifest = registry.read_manifest(store, name, registry.list_versions(store, name)[0])
    key = blob_key(manifest.files["model.safetensors"].digest)
    store.replace(key, b"x" * 3_000)

    with pytest.raises(Corrupt, match=key):
        export_model(store, name, tmp_path)
    assert not list(tmp_path.glob("*.sha256"))


@pytest.mark.parametrize(
    "key",
    [
        "../outside",
        "/etc/passwd",
        "models/NAME/versions/../../x",
        "models/NAME/pins/../../../x",
        "models/NAME/head.json",
        "models/somebody-else/log/0000000000000001.json",
        "cache/train/x.json",
        "blobs/sha256/00/" + "1" * 64,
        "blobs/sha256/22/" + "2" * 64,
    ],
)
def test_key_that_is_none_of_the_models_is_refused(other, copied, key):
    name, folder = copied
    with (folder / f"{name}.sha256").open("a") as sums:
        sums.write(f"{'1' * 64}  {key.replace('NAME', name)}\n")

    with pytest.raises(Corrupt, match=r"line 16: expected the digest of an object"):
        import_models(other, folder)
    assert contents(other, name) == {}


def test_commands_move_a_model_and_say_what_they_did(store, name, tmp_path, monkeypatch):
    done = run("export", name, tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"{name}: 3 events, 2 versions; 15 of 15 objects were written.\n")

    monkeypatch.setenv("TUNEGATE_BUCKET", f"second-{secrets.token_hex(4)}")
    done = run("import", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"{name}: 3 events, 2 versions; 15 of 15 objects were written.\n")
    assert run("verify", name).exit_code == 0
    assert run("export", "../x", tmp_path / "out").exit_code == 2
    assert run("export", "no-such-model", tmp_path / "none").exit_code == 2
    assert run("import", tmp_path / "none").exit_code == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("store")
def test_import_of_what_cannot_be_read_is_exit_2(tmp_path):
    unreadable = tmp_path / "tweets.sha256"
    unreadable.mkdir()
    found = run("import", tmp_path)

    assert (found.exit_code, f"{unreadable}: Is a directory, so not all of {tmp_path} was read" in found.stderr) == (
        2,
        True,
    ), found.stderr
