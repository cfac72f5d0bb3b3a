"""Source files at s3://BUCKET/PREFIX/*.csv on the store's endpoint, downloaded once for each content."""

import dataclasses
import fnmatch
import hashlib
import secrets
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from schemas.errors import RecipeError
from tasks.services.process.files import replacing
from tasks.services.storage.s3 import Address, connect
from tasks.services.storage.translation import translated

SCHEME = "s3://"


def fetch(field: str, place: str, address: Address, folder: Path) -> list[Path]:
    """Download the matching objects, in the order of their keys. Raises RecipeError where none matches.

    `*` and `?` are wild cards in the key's last part. An object with the same ETag is not downloaded again.
    """
    there, _ = _split(place, address)
    client = connect(there)
    return [_fetch(client, there, key, etag, folder) for key, etag, _ in list_objects(field, place, address)]


def list_objects(field: str, place: str, address: Address) -> list[tuple[str, str, int]]:
    """List key, ETag and size of the matching objects, by key. Raises RecipeError where none matches."""
    there, pattern = _split(place, address)
    with translated(there, pattern):
        listed = [(one["Key"], one["ETag"], int(one["Size"])) for one in _list(connect(there), there.bucket, pattern)]
    if not listed:
        inner = f"{place}/*{PurePosixPath(pattern).suffix}"
        hint = "" if "*" in place else f" For the objects below that name write {inner}."
        raise RecipeError(f"{field}.path is {place!r}: there is no such object at {there.endpoint}.{hint}")
    return sorted(listed)


def _split(place: str, address: Address) -> tuple[Address, str]:
    """Split a place into its bucket's address and the pattern of keys."""
    bucket, _, pattern = place.removeprefix(SCHEME).partition("/")
    return dataclasses.replace(address, bucket=bucket), pattern


def _list(client: Any, bucket: str, pattern: str) -> list[dict[str, Any]]:
    folder, name = PurePosixPath(pattern).parent, PurePosixPath(pattern).name
    prefix = "" if folder == PurePosixPath() else f"{folder}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    listed = [entry for page in pages for entry in page.get("Contents", [])]
    return [one for one in listed if one["Key"] == pattern or _matches(one["Key"].removeprefix(prefix), name)]


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern takes a name; hidden names, such as parts of uploads, are taken as a shell takes them.

    A bracket is a pattern, so a name with one does not match itself.
    """
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    return not is_hidden and fnmatch.fnmatchcase(name, pattern)


def _fetch(client: Any, there: Address, key: str, etag: str, folder: Path) -> Path:
    """Download an object atomically; the file's name is a digest with the key's suffix."""
    digest = hashlib.sha256(f"{there.bucket}/{key} {etag}".encode()).hexdigest()
    path = folder / f"{digest}{PurePosixPath(key).suffix}"
    if not path.exists():
        with translated(there, key), replacing(path, f".{secrets.token_hex(4)}") as copy, copy.open("wb") as file:
            # Fail if the object was replaced since it was listed.
            content = client.get_object(Bucket=there.bucket, Key=key, IfMatch=etag)["Body"]
            shutil.copyfileobj(content, file)
    return path
