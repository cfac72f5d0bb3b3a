"""Files in a bucket of the store's endpoint, as s3://BUCKET/PREFIX/*.csv names them, fetched once for each content."""

import dataclasses
import fnmatch
import hashlib
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from schemas.errors import RecipeError
from tasks.services.storage.s3 import Address, connect, translated

SCHEME = "s3://"


def fetch(field: str, place: str, address: Address, folder: Path) -> list[Path]:
    """Give local copies of the objects that match, in the order of their keys. Raises RecipeError where there are none.

    In the key's last part `*` and `?` are wild cards. What the store calls by the same ETag is not fetched again.
    """
    client, there, pattern = _open(place, address)
    found = _find(field, place, client, there, pattern)
    return [_fetch(client, there, key, etag, folder) for key, etag, _ in found]


def list_objects(field: str, place: str, address: Address) -> list[tuple[str, str, int]]:
    """Give key, ETag and size of the objects that match, by key. Raises RecipeError where there are none."""
    return _find(field, place, *_open(place, address))


def _open(place: str, address: Address) -> tuple[Any, Address, str]:
    """A client, its bucket's address, and the pattern of keys."""
    bucket, _, pattern = place.removeprefix(SCHEME).partition("/")
    there = dataclasses.replace(address, bucket=bucket)
    return connect(there), there, pattern


def _find(field: str, place: str, client: Any, there: Address, pattern: str) -> list[tuple[str, str, int]]:
    with translated(there, pattern):
        listed = [(entry["Key"], entry["ETag"], int(entry["Size"])) for entry in _list(client, there.bucket, pattern)]
    if not listed:
        raise RecipeError(f"{field}.path is {place!r}: there is no such object at {there.endpoint}.")
    return sorted(listed)


def _list(client: Any, bucket: str, pattern: str) -> list[dict[str, Any]]:
    folder, name = PurePosixPath(pattern).parent, PurePosixPath(pattern).name
    prefix = "" if folder == PurePosixPath() else f"{folder}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    listed = [entry for page in pages for entry in page.get("Contents", [])]
    return [entry for entry in listed if _matches(entry["Key"].removeprefix(prefix), name)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _fetch(client: Any, there: Address, key: str, etag: str, folder: Path) -> Path:
    """A whole file or none; its name is ours, only the suffix is the key's."""
    digest = hashlib.sha256(f"{there.bucket}/{key} {etag}".encode()).hexdigest()
    path = folder / f"{digest}{PurePosixPath(key).suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with translated(there, key), tempfile.TemporaryDirectory(dir=folder) as staging:
            copy = Path(staging) / path.name
            # Not what somebody has put there since it was listed.
            content = client.get_object(Bucket=there.bucket, Key=key, IfMatch=etag)["Body"]
            with copy.open("wb") as file:
                shutil.copyfileobj(content, file)
            copy.replace(path)
    return path
