"""Blobs in S3 with verified local copies, and small objects written conditionally.

Blobs lie under `blobs/sha256/aa/<digest>` and may be overwritten by identical bytes. Manifests, events, records and
leases are small objects written by `create`, the only conditional write.
boto3 retries transient failures; the others are raised as errors of `schemas.errors`.
"""

import base64
import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from email.utils import parsedate_to_datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from boto3.s3.transfer import TransferConfig

from schemas.errors import Corrupt, Unavailable
from schemas.frozen import short
from schemas.records.references import Blob
from tasks.services.process.files import replacing
from tasks.services.storage.listing import list_entries
from tasks.services.storage.progress import progress_bar
from tasks.services.storage.s3 import Address, connect
from tasks.services.storage.translation import Absent, Refused, Rejected, Unconfirmed, translated

MULTIPART_BYTES = 8 * 2**20
CREATE_ATTEMPTS = 4
# boto3's default of ten parts at once: on a line with high latency, throughput comes from parallel connections.
TRANSFER = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES, max_concurrency=10)
FILES = 4
Item = TypeVar("Item")
Found = TypeVar("Found")


class Objects(Protocol):
    """Read access to objects by key: a bucket, or a folder that mirrors one."""

    def read(self, key: str) -> bytes | None: ...

    def digest(self, key: str) -> str | None: ...

    def list_keys(self, prefix: str, after: str = "") -> list[str]: ...


class Listed(NamedTuple):
    """An entry of a listing."""

    key: str
    size_bytes: int
    modified: datetime


class Upload(NamedTuple):
    """An unfinished multipart upload."""

    key: str
    id: str
    begun: datetime


class Store:
    """One bucket, and a local folder that caches the blobs read and written."""

    def __init__(self, address: Address, local: Path) -> None:
        self.address = address
        self.bucket = address.bucket
        self.local = local
        self._client = connect(address)
        # A hidden retry of a conditional write that succeeded would be refused.
        self._committer = connect(address, attempts=1)

    def put_bytes(self, content: bytes) -> Blob:
        blob = Blob(digest=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        with self._staging(blob) as staging:
            staging.write_bytes(content)
        return self._upload(blob)

    def put_file(self, path: Path) -> Blob:
        """Store a copy of a file as a blob."""
        blob = describe_file(path)
        with self._staging(blob) as staging:
            link_or_copy(path, staging)
        return self._upload(blob)

    def put_files(self, paths: Iterable[Path]) -> list[Blob]:
        """Store files as blobs, concurrently; results in the order of the paths."""
        return map_in_threads(self.put_file, paths)

    def fetch(self, blob: Blob) -> Path:
        """Return a local file with the blob's bytes, verified against its digest. Raises Corrupt."""
        path = self._local_path(blob.digest)
        if not path.exists() or file_digest(path) != blob.digest:
            with self._staging(blob) as staging:
                self.download(blob_key(blob.digest), blob, staging)
        return path

    def fetch_all(self, blobs: Iterable[Blob]) -> list[Path]:
        """Fetch blobs concurrently; results in the order of the blobs. Raises Corrupt."""
        return map_in_threads(self.fetch, blobs)

    def holds(self, blob: Blob) -> bool:
        return self.size(blob_key(blob.digest)) == blob.size_bytes

    def upload(self, path: Path, key: str) -> None:
        """Write a file's bytes under a key that names their digest; with a checksum, in parts if large."""
        checksum, size = {"ChecksumAlgorithm": "SHA256"}, path.stat().st_size
        try:
            with translated(self.address, key), progress_bar(f"up {short(path.name)}", size) as advance:
                self._client.upload_file(
                    str(path), self.bucket, key, ExtraArgs=checksum, Config=TRANSFER, Callback=advance
                )
        except (Unavailable, Absent):
            # The store may have done what it did not answer; then it knows no such unfinished upload either.
            if self.size(key) != size:
                raise

    def download(self, key: str, blob: Blob, path: Path) -> None:
        """Write an object's bytes to a file, verified against the blob's digest. Raises Corrupt."""
        with translated(self.address, key), progress_bar(f"down {short(blob.digest)}", blob.size_bytes) as advance:
            self._client.download_file(self.bucket, key, str(path), Config=TRANSFER, Callback=advance)
        found = file_digest(path)
        if found != blob.digest:
            path.unlink()
            raise Corrupt(
                f"{key}: the stored bytes hash to {found}. They were altered or damaged; delete the object and "
                "run again, or restore it from a copy."
            )

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, None without such a key."""
        try:
            with translated(self.address, key):
                return int(self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])
        except (Unconfirmed, Rejected):
            return self._size_by_get(key)
        except Absent:
            return None

    def _size_by_get(self, key: str) -> int | None:
        """Return an object's size by a request whose refusal has a body: that of a store, and its reason."""
        try:
            with translated(self.address, key):
                response = self._client.get_object(Bucket=self.bucket, Key=key)
                response["Body"].close()
                return int(response["ContentLength"])
        except Absent:
            return None

    def delete(self, keys: list[str]) -> None:
        """Delete objects; a missing key is no error."""
        for key in keys:
            with translated(self.address, key):
                self._client.delete_object(Bucket=self.bucket, Key=key)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object if its key is absent; True when the stored bytes equal `content`.

        An ambiguous response (time-out, 409, 412, 5xx) is settled by reading back, so callers that must know
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
        raise Unavailable(f"{key}: the outcome of {CREATE_ATTEMPTS} writes is unknown. {self.address.advice}")

    def replace(self, key: str, content: bytes) -> None:
        """Write an object, overwriting; for copies of data whose truth lies elsewhere."""
        with translated(self.address, key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def put_with_checksum(self, key: str, content: bytes, sha256: bytes) -> None:
        """Write an object with a checksum for the store to verify; a probe of `doctor`."""
        with translated(self.address, key):
            encoded = base64.b64encode(sha256).decode()
            self._committer.put_object(Bucket=self.bucket, Key=key, Body=content, ChecksumSHA256=encoded)

    def read(self, key: str) -> bytes | None:
        """Return an object's bytes, None without such a key."""
        try:
            with translated(self.address, key):
                body: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                return body
        except Absent:
            return None

    def digest(self, key: str) -> str | None:
        """Return the SHA-256 of an object's bytes, which are read; None without such a key."""
        try:
            with translated(self.address, key):
                sha256 = hashlib.sha256()
                for chunk in self._client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(2**20):
                    sha256.update(chunk)
                return sha256.hexdigest()
        except Absent:
            return None

    def list_keys(self, prefix: str, after: str = "") -> list[str]:
        """List the keys with a prefix that sort after `after`, in order."""
        return [listed.key for listed in self.list_objects(prefix, after)]

    def list_objects(self, prefix: str, after: str = "") -> list[Listed]:
        """List the objects whose keys have a prefix and sort after `after`, in order."""
        fields = itemgetter("Key", "Size", "LastModified")
        entries = self._list("list_objects_v2", "Contents", fields, Prefix=prefix, StartAfter=after)
        return [Listed(*entry) for entry in entries]

    def list_uploads(self) -> list[Upload]:
        """List the multipart uploads that are neither completed nor aborted."""
        entries = self._list("list_multipart_uploads", "Uploads", itemgetter("Key", "UploadId", "Initiated"))
        return [Upload(*entry) for entry in entries]

    def abort(self, upload: Upload) -> None:
        """Abort a multipart upload and delete its parts; a missing one is no error."""
        with contextlib.suppress(Absent), translated(self.address, upload.key):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload.key, UploadId=upload.id)

    def now(self) -> datetime:
        """Return the time by the store's clock, to the second."""
        with translated(self.address, self.bucket):
            response = self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
            return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])

    def list_folders(self, prefix: str) -> list[str]:
        """List the names directly under a prefix that ends in a slash."""
        names = self._list("list_objects_v2", "CommonPrefixes", itemgetter("Prefix"), Prefix=prefix, Delimiter="/")
        return [name.removeprefix(prefix).rstrip("/") for name in names]

    def create_bucket(self) -> None:
        with translated(self.address, self.bucket):
            names = {bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]}
            if self.bucket not in names:
                self._client.create_bucket(Bucket=self.bucket)

    def _list(self, operation: str, field: str, read: Callable[[dict[str, Any]], Any], **parameters: str) -> list[Any]:
        """Read a field's entries over all pages of a listing."""
        with translated(self.address, parameters.get("Prefix", self.bucket)):
            entries = list_entries(self._client, operation, field, {"Bucket": self.bucket, **parameters})
            return [read(entry) for entry in entries]

    def _upload(self, blob: Blob) -> Blob:
        if not self.holds(blob):
            self.upload(self._local_path(blob.digest), blob_key(blob.digest))
        return blob

    def _local_path(self, digest: str) -> Path:
        return self.local / "sha256" / digest[:2] / digest

    def _staging(self, blob: Blob) -> AbstractContextManager[Path]:
        return replacing(self._local_path(blob.digest), f".{secrets.token_hex(8)}")


def map_in_threads(work: Callable[[Item], Found], items: Iterable[Item], workers: int = FILES) -> list[Found]:
    """Map a function over items in threads, for work that waits for the store; results in the order of the items."""
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(work, items))


def blob_key(digest: str) -> str:
    return f"blobs/sha256/{digest[:2]}/{digest}"


def describe_file(path: Path) -> Blob:
    """Describe a file as a blob, without storing it."""
    return Blob(digest=file_digest(path), size_bytes=path.stat().st_size)


def link_or_copy(path: Path, copy: Path) -> None:
    """Hard-link a file to a second path, or copy it where that fails."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
