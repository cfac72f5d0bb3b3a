"""What a version was made of, as a CycloneDX bill of materials: base model, rows, distributions.

It holds no time, and its serial number is made of its content: the same version from the same environment has the same
bill, and a bill that was damaged shows it. Source: https://cyclonedx.org/docs/1.6/json/
"""

import importlib.metadata
import json
import re
from functools import cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas.frozen import canonical_json
from schemas.records.versions import Manifest

BILL = "bom.cdx.json"
# Parts of a manifest's environment that no index serves.
PLATFORMS = ("python", "accelerator")


@cache
def installed_distributions() -> dict[str, str]:
    """Every distribution of this environment with its version, by its normalised name."""
    # The remains of one that was removed badly have no name; of two with one name the first is imported.
    found = [one for one in importlib.metadata.distributions() if one.metadata["Name"]]
    return dict(sorted({_normal(one.metadata["Name"]): one.version for one in reversed(found)}.items()))


def make_bill(manifest: Manifest, installed: dict[str, str]) -> bytes:
    """Write the bill of a version; `installed` are the distributions where it was trained.

    Where they are not known, those that shaped the version stand for them, which the manifest names.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.output.json import JsonV1Dot6

    model, parts = _model(manifest), [_base(manifest), *_rows(manifest), *_environment(manifest, installed)]
    bom = Bom(metadata=BomMetaData(component=model), components=parts)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the library sets the time unless told
    bom.register_dependency(model, parts)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    content["serialNumber"] = serial_number(content)
    return f"{json.dumps(content, indent=1, sort_keys=True)}\n".encode()


def serial_number(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "serialNumber"}
    return uuid5(NAMESPACE_URL, canonical_json(rest).decode()).urn


def find_fault(bill: bytes, manifest: Manifest) -> str | None:
    try:
        content = json.loads(bill)
        version, serial = content["metadata"]["component"]["version"], content["serialNumber"]
        is_whole = serial == serial_number(content)
    except (ValueError, LookupError, TypeError):
        return "it is not a bill of materials; it was altered or damaged"
    if not is_whole:
        return "its content does not give its serial number; it was altered or damaged"
    return None if version == manifest.version else f"it is the bill of {version}"


def _model(manifest: Manifest) -> Any:
    files = [
        _component("FILE", name=file, bom_ref=f"file:{file}", sha256=blob.digest)
        for file, blob in manifest.files.items()
    ]
    return _component(
        "MACHINE_LEARNING_MODEL", name=manifest.model, version=manifest.version, bom_ref="model", components=files
    )


def _base(manifest: Manifest) -> Any:
    base = manifest.base
    return _component(
        "MACHINE_LEARNING_MODEL",
        name=base.source,
        bom_ref="base",
        sha256=base.digest,
        licence=base.licence,
        description="The base model; its hash is that of the canonical JSON of its files' names and SHA-256.",
    )


def _rows(manifest: Manifest) -> list[Any]:
    return [
        _component(
            "DATA",
            name=f"{part} rows",
            bom_ref=f"data:{part}",
            sha256=digest,
            licence=manifest.data_licences.get(part),
            description="Rows as they were learned from, as Parquet.",
        )
        for part, digest in manifest.data.items()
    ]


def _environment(manifest: Manifest, installed: dict[str, str]) -> list[Any]:
    from packageurl import PackageURL

    platforms = {name: version for name, version in manifest.environment.items() if name in PLATFORMS}
    shaping = {_normal(name): version for name, version in manifest.environment.items() if name not in PLATFORMS}
    # What shaped the version is certain; the rest is what lay beside it.
    libraries = installed | shaping
    found = [_component("PLATFORM", name=name, version=text, bom_ref=name) for name, text in platforms.items()]
    for name, version in libraries.items():
        purl = PackageURL("pypi", name=name, version=version)
        found.append(_component("LIBRARY", name=name, version=version, bom_ref=purl.to_string(), purl=purl))
    return found


def _component(kind: str, *, sha256: str | None = None, licence: str | None = None, **fields: Any) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []
    is_known = licence and licence != "unknown"
    licences = [LicenseFactory().make_from_string(licence)] if licence and is_known else []
    return Component(type=ComponentType[kind], hashes=hashes, licenses=licences, **fields)


def _normal(name: str) -> str:
    """A distribution's name as indexes write it; source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
