"""Files in a bucket of the store's endpoint, as s3://BUCKET/PREFIX/*.csv names them, fetched once for each content."""

import dataclasses
import fnmatch
import hashlib
import secrets
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from schemas.errors import RecipeError
from tasks.services.process.files import replacing
from tasks.services.storage.s3 import Address, connect, translated

SCHEME = "s3://"


def fetch(field: str, place: str, address: Address, folder: Path) -> list[Path]:
    """Give local copies of the objects that match, in the order of their keys. Raises RecipeError where there are none.

    In the key's last part `*` and `?` are wild cards. What the store calls by the same ETag is not fetched again.
    """
    there, _ = _split(place, address)
    client = connect(there)
    return [_fetch(client, there, key, etag, folder) for key, etag, _ in list_objects(field, place, address)]


def list_objects(field: str, place: str, address: Address) -> list[tuple[str, str, int]]:
    """Give key, ETag and size of the objects that match, by key. Raises RecipeError where there are none."""
    there, pattern = _split(place, address)
    with translated(there, pattern):
        listed = [(one["Key"], one["ETag"], int(one["Size"])) for one in _list(connect(there), there.bucket, pattern)]
    if not listed:
        raise RecipeError(f"{field}.path is {place!r}: there is no such object at {there.endpoint}.")
    return sorted(listed)


def _split(place: str, address: Address) -> tuple[Address, str]:
    """The address of a place's bucket, and the pattern of keys."""
    bucket, _, pattern = place.removeprefix(SCHEME).partition("/")
    return dataclasses.replace(address, bucket=bucket), pattern


def _list(client: Any, bucket: str, pattern: str) -> list[dict[str, Any]]:
    folder, name = PurePosixPath(pattern).parent, PurePosixPath(pattern).name
    prefix = "" if folder == PurePosixPath() else f"{folder}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    listed = [entry for page in pages for entry in page.get("Contents", [])]
    # A name that holds a bracket is no match of itself.
    return [
        one for one in listed if one["Key"] == pattern or fnmatch.fnmatchcase(one["Key"].removeprefix(prefix), name)
    ]


def _fetch(client: Any, there: Address, key: str, etag: str, folder: Path) -> Path:
    """A whole file or none; its name is ours, only the suffix is the key's."""
    digest = hashlib.sha256(f"{there.bucket}/{key} {etag}".encode()).hexdigest()
    path = folder / f"{digest}{PurePosixPath(key).suffix}"
    if not path.exists():
        with translated(there, key), replacing(path, f".{secrets.token_hex(4)}") as copy, copy.open("wb") as file:
            # Not what somebody has put there since it was listed.
            content = client.get_object(Bucket=there.bucket, Key=key, IfMatch=etag)["Body"]
            shutil.copyfileobj(content, file)
    return path
