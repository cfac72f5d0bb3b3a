"""Bytes in S3 and a verified local copy of them.

Blobs lie under `blobs/sha256/aa/<digest>` and may be overwritten by identical bytes. Everything that decides
something (manifests, events, records, leases) is a small object made by `create`, the one conditional write.
Transient failures are retried by boto3; what is left is raised as an error of `schemas.errors`.
"""

import base64
import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from boto3.s3.transfer import TransferConfig

from schemas.errors import Corrupt, Unavailable
from schemas.records.references import Blob
from tasks.services.storage.progress import watched
from tasks.services.storage.s3 import Absent, Address, Refused, connect, translated

MULTIPART_BYTES = 8 * 2**20
CREATE_ATTEMPTS = 4
# Ten parts at once are boto3's own default: over a long line a connection each is what makes a transfer fast.
TRANSFER = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES, max_concurrency=10)
FILES = 4


class Objects(Protocol):
    """Where objects are read by their keys: a bucket, or a folder that mirrors one."""

    def read(self, key: str) -> bytes | None: ...

    def digest(self, key: str) -> str | None: ...

    def list_keys(self, prefix: str, after: str = "") -> list[str]: ...


class Listed(NamedTuple):
    """An object as a list shows it."""

    key: str
    size_bytes: int
    modified: datetime


class Upload(NamedTuple):
    """An upload in parts that is not finished."""

    key: str
    id: str
    begun: datetime


class Store:
    """One bucket, and a folder that keeps a copy of each blob that was read or written."""

    def __init__(self, address: Address, local: Path) -> None:
        self.address = address
        self.bucket = address.bucket
        self.local = local
        self._client = connect(address)
        # A hidden retry of a conditional write would turn its own success into a refusal.
        self._committer = connect(address, attempts=1)

    def put_bytes(self, content: bytes) -> Blob:
        """Keep bytes as a blob."""
        blob = Blob(digest=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        with self._staging(blob) as staging:
            staging.write_bytes(content)
        return self._upload(blob)

    def put_file(self, path: Path) -> Blob:
        """Keep a file as a blob; the file stays where it is."""
        blob = blob_of(path)
        with self._staging(blob) as staging:
            staging.unlink()
            link_or_copy(path, staging)
        return self._upload(blob)

    def put_files(self, paths: Iterable[Path]) -> list[Blob]:
        """Keep several files as blobs, side by side; in the order of the paths."""
        with ThreadPoolExecutor(FILES) as uploaders:
            return list(uploaders.map(self.put_file, paths))

    def fetch(self, blob: Blob) -> Path:
        """Give a local file with the blob's bytes, checked against its digest. Raises Corrupt."""
        path = self._local_path(blob.digest)
        if not path.exists() or file_digest(path) != blob.digest:
            with self._staging(blob) as staging:
                self.download(blob_key(blob.digest), blob, staging)
        return path

    def fetch_all(self, blobs: Iterable[Blob]) -> list[Path]:
        """Give local files with the blobs' bytes, fetched side by side; in the order of the blobs. Raises Corrupt."""
        with ThreadPoolExecutor(FILES) as fetchers:
            return list(fetchers.map(self.fetch, blobs))

    def holds(self, blob: Blob) -> bool:
        """Say whether the store has the blob, with the right size."""
        return self.size(blob_key(blob.digest)) == blob.size_bytes

    def upload(self, path: Path, key: str) -> None:
        """Write a file's bytes under a key, whatever is there; checked by the store, in parts if large."""
        checksum = {"ChecksumAlgorithm": "SHA256"}
        with translated(self.address, key), watched(f"up {path.name[:12]}", path.stat().st_size) as move:
            self._client.upload_file(str(path), self.bucket, key, ExtraArgs=checksum, Config=TRANSFER, Callback=move)

    def download(self, key: str, blob: Blob, path: Path) -> None:
        """Write an object's bytes to a file, checked against their digest. Raises Corrupt."""
        with translated(self.address, key), watched(f"down {blob.digest[:12]}", blob.size_bytes) as move:
            self._client.download_file(self.bucket, key, str(path), Config=TRANSFER, Callback=move)
        found = file_digest(path)
        if found != blob.digest:
            path.unlink()
            raise Corrupt(
                f"{key}: the stored bytes hash to {found}. They were altered or damaged; delete the object and "
                "run again, or restore it from a copy."
            )

    def size(self, key: str) -> int | None:
        """Give an object's size in bytes, None when there is no such key."""
        try:
            with translated(self.address, key):
                return int(self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])
        except Absent:
            return None

    def delete(self, keys: list[str]) -> None:
        """Remove objects; a key that is not there is no error."""
        for key in keys:
            with translated(self.address, key):
                self._client.delete_object(Bucket=self.bucket, Key=key)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless its key is taken; True when the stored bytes are these bytes.

        An unclear answer (time-out, 409, 412, 5xx) is settled by reading back, so callers that must know
        whether *they* wrote put a nonce into the content.
        """
        for attempt in range(CREATE_ATTEMPTS):
            try:
                with translated(self.address, key):
                    self._committer.put_object(Bucket=self.bucket, Key=key, Body=content, IfNoneMatch="*")
                return True
            except (Unavailable, Refused):
                stored = self.read(key)
                if stored is not None:
                    return stored == content
            time.sleep(0.2 * 2**attempt)
        raise Unavailable(f"{key}: the store gave no clear answer to {CREATE_ATTEMPTS} writes. {self.address.advice}")

    def replace(self, key: str, content: bytes) -> None:
        """Write an object whatever is there; for what is a copy of a truth kept elsewhere."""
        with translated(self.address, key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def put_with_checksum(self, key: str, content: bytes, sha256: bytes) -> None:
        """Write an object with a checksum that the store has to compare; for probing it."""
        with translated(self.address, key):
            encoded = base64.b64encode(sha256).decode()
            self._committer.put_object(Bucket=self.bucket, Key=key, Body=content, ChecksumSHA256=encoded)

    def read(self, key: str) -> bytes | None:
        """Give an object's bytes, None when there is no such key."""
        try:
            with translated(self.address, key):
                body: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                return body
        except Absent:
            return None

    def digest(self, key: str) -> str | None:
        """Read an object to its end and give the SHA-256 of its bytes, None when there is no such key."""
        try:
            with translated(self.address, key):
                sha256 = hashlib.sha256()
                for chunk in self._client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(2**20):
                    sha256.update(chunk)
                return sha256.hexdigest()
        except Absent:
            return None

    def list_keys(self, prefix: str, after: str = "") -> list[str]:
        """Give every key that starts with the prefix and comes after `after`, in order."""
        return [listed.key for listed in self.list_objects(prefix, after)]

    def list_objects(self, prefix: str, after: str = "") -> list[Listed]:
        """Give what is stored under every key that starts with the prefix and comes after `after`, in order."""
        with translated(self.address, prefix):
            paginator = self._client.get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=after)
            return [
                Listed(entry["Key"], entry["Size"], entry["LastModified"])
                for page in pages
                for entry in page.get("Contents", [])
            ]

    def list_uploads(self) -> list[Upload]:
        """Give the uploads in parts that were begun and neither finished nor given up."""
        with translated(self.address, self.bucket):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
            return [
                Upload(entry["Key"], entry["UploadId"], entry["Initiated"])
                for page in pages
                for entry in page.get("Uploads", [])
            ]

    def abort(self, upload: Upload) -> None:
        """Give up an upload in parts, and with it the parts; one that is gone is no error."""
        with contextlib.suppress(Absent), translated(self.address, upload.key):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload.key, UploadId=upload.id)

    def now(self) -> datetime:
        """The time by the store's clock, to the second."""
        with translated(self.address, self.bucket):
            answer = self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def list_folders(self, prefix: str) -> list[str]:
        """Give the names directly under a prefix that ends in a slash."""
        with translated(self.address, prefix):
            paginator = self._client.get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
            entries = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        return [entry.removeprefix(prefix).rstrip("/") for entry in entries]

    def create_bucket(self) -> None:
        """Make the bucket unless it is there."""
        with translated(self.address, self.bucket):
            names = {bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]}
            if self.bucket not in names:
                self._client.create_bucket(Bucket=self.bucket)

    def _upload(self, blob: Blob) -> Blob:
        if not self.holds(blob):
            self.upload(self._local_path(blob.digest), blob_key(blob.digest))
        return blob

    def _local_path(self, digest: str) -> Path:
        return self.local / "sha256" / digest[:2] / digest

    @contextmanager
    def _staging(self, blob: Blob) -> Iterator[Path]:
        """A file beside the blob's local copy, moved into its place when the body ends well."""
        path = self._local_path(blob.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f".staging-{secrets.token_hex(8)}")
        staging.touch()
        try:
            yield staging
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)


def blob_key(digest: str) -> str:
    return f"blobs/sha256/{digest[:2]}/{digest}"


def blob_of(path: Path) -> Blob:
    """What a file would be as a blob."""
    return Blob(digest=file_digest(path), size_bytes=path.stat().st_size)


def link_or_copy(path: Path, copy: Path) -> None:
    """Make a file appear in a second place, by a copy of its bytes only where a link cannot be."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
