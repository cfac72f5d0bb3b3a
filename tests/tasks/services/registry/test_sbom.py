"""The bill of materials beside a version. Alone: pytest tests/tasks/services/registry/test_sbom.py."""

import json
import secrets

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from schemas.records.references import Blob
from schemas.records.versions import Base, Manifest
from tasks.services.registry import versions
from tasks.services.registry.sbom import find_fault, installed_distributions, make_bill
from tasks.services.registry.verification import find_faults
from tasks.services.storage.store import Store
from tests.tasks.services.registry.test_versions import make_manifest

ROWS, BASE, WEIGHTS = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def version() -> Manifest:
    return Manifest(
        model="sentiment",
        files={"model.safetensors": Blob(digest=WEIGHTS, size_bytes=7)},
        base=Base(source="package:x/model", digest=BASE, licence="apache-2.0"),
        recipe={},
        data={"train": ROWS, "validation": "4" * 64},
        data_licences={"train": "cc-by-4.0"},
        code="5" * 64,
        environment={"python": "3.11", "torch": "2.13.0", "accelerator": "NVRM version: 580"},
    )


def components(bill: bytes) -> dict[str, dict]:
    return {part["bom-ref"]: part for part in json.loads(bill)["components"]}


def test_bill_is_valid_and_names_base_rows_and_distributions(version: Manifest):
    bill = make_bill(version, {"torch": "2.13.0", "numpy": "2.4.0"})
    content, parts = json.loads(bill), components(bill)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None
    model = content["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == (
        "machine-learning-model",
        "sentiment",
        version.version,
    )
    assert model["components"][0]["hashes"] == [{"alg": "SHA-256", "content": WEIGHTS}]
    assert (parts["base"]["type"], parts["base"]["hashes"][0]["content"]) == ("machine-learning-model", BASE)
    assert parts["base"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert (parts["data:train"]["type"], parts["data:train"]["hashes"][0]["content"]) == ("data", ROWS)
    assert parts["data:train"]["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert "licenses" not in parts["data:validation"]
    assert {"pkg:pypi/torch@2.13.0", "pkg:pypi/numpy@2.4.0", "python", "accelerator"} < parts.keys()
    assert parts.keys() == set(next(one["dependsOn"] for one in content["dependencies"] if one["ref"] == "model"))


def test_bill_of_all_that_is_installed_here_is_valid(version: Manifest):
    bill = make_bill(version, installed_distributions())

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None
    assert {"torch", "prefect", "boto3"} <= {part["name"] for part in components(bill).values()}


def test_same_version_has_the_same_bill_without_a_time(version: Manifest):
    one, two = (make_bill(version, dict(pairs)) for pairs in ([("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]))

    assert one == two
    assert b"timestamp" not in one
    assert json.loads(one)["serialNumber"] != json.loads(make_bill(version, {"a": "2"}))["serialNumber"]


def test_without_knowing_what_was_installed_the_manifest_answers(version: Manifest):
    names = {ref for ref in components(make_bill(version, {})) if ref.startswith("pkg:")}

    assert names == {"pkg:pypi/torch@2.13.0"}


def test_every_flipped_byte_is_found(version: Manifest):
    bill = make_bill(version, {"a": "1"})
    assert find_fault(bill, version) is None
    unseen = []
    for at in range(len(bill)):
        altered = bytearray(bill)
        altered[at] ^= 1
        try:
            is_same = json.loads(bytes(altered)) == json.loads(bill)
        except ValueError:
            is_same = False
        if find_fault(bytes(altered), version) is None and not is_same:
            unseen.append(at)

    assert unseen == []


def test_first_bill_of_a_version_stands_and_damage_is_named(store: Store):
    manifest = make_manifest(store, f"model-{secrets.token_hex(4)}")
    for torch in ("1", "2"):
        versions.add_version(store, manifest, {"torch": torch})
    key = f"models/{manifest.model}/versions/{manifest.version}/bom.cdx.json"
    stored = store.read(key)

    assert stored == make_bill(manifest, {"torch": "1"})
    assert find_faults(store, manifest.model, manifest.version) == []
    for damaged in (stored.replace(b'"torch"', b'"touch"'), b""):
        store.replace(key, damaged)
        (fault,) = find_faults(store, manifest.model, manifest.version)
        assert key in fault
