"""Bytes in S3 and a verified local copy of them.

Blobs lie under `blobs/sha256/aa/<digest>` and may be overwritten by identical bytes. Everything that decides
something (manifests, events, records) is a small object made by `create`, the one conditional write.
Transient failures are retried by boto3; what is left is raised as an error of `schemas.errors`.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from schemas.errors import Corrupt, StoreError, Unavailable
from schemas.references import Blob

MULTIPART_BYTES = 8 * 2**20
CREATE_ATTEMPTS = 4


@dataclass(frozen=True)
class Address:
    """Where the store is; without keys boto3 looks for them in its usual places."""

    endpoint: str
    bucket: str
    access_key: str | None = None
    secret_key: str | None = None


def connect(address: Address, attempts: int = 4) -> Any:
    """Make a boto3 client; `attempts` counts the first try."""
    # One object under contention can take 10 s (32 writers), so reading waits a minute.
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        connect_timeout=5,
        read_timeout=60,
        s3={"addressing_style": "path"},
        # A proxy for the outside world must not be asked for our own loopback server.
        proxies={} if urlsplit(address.endpoint).hostname == "127.0.0.1" else None,
    )
    # A session of its own: the shared one remembers the credentials it first found.
    return boto3.Session().client(
        "s3",
        endpoint_url=address.endpoint,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key,
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        config=config,
    )


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
        blob = Blob(digest=file_digest(path), size_bytes=path.stat().st_size)
        with self._staging(blob) as staging:
            staging.unlink()
            try:
                os.link(path, staging)
            except OSError:
                staging.write_bytes(path.read_bytes())
        return self._upload(blob)

    def fetch(self, blob: Blob) -> Path:
        """Give a local file with the blob's bytes, checked against its digest. Raises Corrupt."""
        path = self._local_path(blob.digest)
        if path.exists() and file_digest(path) == blob.digest:
            return path
        key = blob_key(blob.digest)
        with self._staging(blob) as staging, self._translated(key):
            self._client.download_file(self.bucket, key, str(staging), Config=TRANSFER)
            found = file_digest(staging)
            if found != blob.digest:
                raise Corrupt(
                    f"{key}: the stored bytes hash to {found}. They were altered or damaged; delete the object and "
                    "run again, or restore it from a copy."
                )
        return path

    def holds(self, blob: Blob) -> bool:
        """Say whether the store has the blob, with the right size."""
        head = self._head(blob_key(blob.digest))
        return head is not None and head["ContentLength"] == blob.size_bytes

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless its key is taken; True when the stored bytes are these bytes.

        An unclear answer (time-out, 409, 412, 5xx) is settled by reading back, so callers that must know
        whether *they* wrote put a nonce into the content.
        """
        for attempt in range(CREATE_ATTEMPTS):
            try:
                with self._translated(key):
                    self._committer.put_object(Bucket=self.bucket, Key=key, Body=content, IfNoneMatch="*")
                return True
            except (Unavailable, _Refused):
                stored = self.read(key)
                if stored is not None:
                    return stored == content
            time.sleep(0.2 * 2**attempt)
        raise Unavailable(f"{key}: the store gave no clear answer to {CREATE_ATTEMPTS} writes. {CHECK_STORE}")

    def replace(self, key: str, content: bytes) -> None:
        """Write an object whatever is there; for what is a copy of a truth kept elsewhere."""
        with self._translated(key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def read(self, key: str) -> bytes | None:
        """Give an object's bytes, None when there is no such key."""
        try:
            with self._translated(key):
                body: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                return body
        except _Absent:
            return None

    def list_keys(self, prefix: str) -> list[str]:
        """Give every key that starts with the prefix, in order."""
        with self._translated(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def list_folders(self, prefix: str) -> list[str]:
        """Give the names directly under a prefix that ends in a slash."""
        with self._translated(prefix):
            paginator = self._client.get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
            entries = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        return [entry.removeprefix(prefix).rstrip("/") for entry in entries]

    def create_bucket(self) -> None:
        """Make the bucket unless it is there."""
        with self._translated(self.bucket):
            names = {bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]}
            if self.bucket not in names:
                self._client.create_bucket(Bucket=self.bucket)

    def _upload(self, blob: Blob) -> Blob:
        key = blob_key(blob.digest)
        if not self.holds(blob):
            with self._translated(key):
                self._client.upload_file(
                    str(self._local_path(blob.digest)),
                    self.bucket,
                    key,
                    ExtraArgs={"ChecksumAlgorithm": "SHA256"},
                    Config=TRANSFER,
                )
        return blob

    def _head(self, key: str) -> Any:
        try:
            with self._translated(key):
                return self._client.head_object(Bucket=self.bucket, Key=key)
        except _Absent:
            return None

    def _local_path(self, digest: str) -> Path:
        return self.local / "sha256" / digest[:2] / digest

    @contextmanager
    def _staging(self, blob: Blob) -> Iterator[Path]:
        """A file beside the blob's local copy, moved into its place when the body ends well."""
        path = self._local_path(blob.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".staging-")
        os.close(handle)
        staging = Path(name)
        try:
            yield staging
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._translate(error, key) from None
        except NoCredentialsError:
            raise StoreError(
                f"{self.address.endpoint}: no credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from None
        except S3UploadFailedError as error:
            cause = error.__context__
            raise self._translate(cause, key) if isinstance(cause, ClientError) else self._silence(error, key) from None
        except (BotoCoreError, HTTPClientError, Boto3Error) as error:
            raise self._silence(error, key) from None

    def _silence(self, error: Exception, key: str) -> Unavailable:
        return Unavailable(f"{self.address.endpoint} did not answer for {key}: {error}. {CHECK_STORE}")

    def _translate(self, error: ClientError, key: str) -> StoreError:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"]["Code"]
        where = f"{self.address.endpoint}/{self.bucket}/{key}"
        if code == "NoSuchBucket":
            return StoreError(
                f"{self.address.endpoint}: there is no bucket {self.bucket!r}. Create it, or name another in "
                "TUNEGATE_BUCKET."
            )
        if status == 404:
            return _Absent(f"{where}: there is no such object.")
        if status in (409, 412):
            return _Refused(f"{where}: {code}.")
        if status in (401, 403):
            return StoreError(
                f"{where}: access was refused ({code}). Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what "
                "they may do in this bucket."
            )
        if status >= 500 or status == 429:
            return Unavailable(f"{where}: the store answered {status} {code}. {CHECK_STORE}")
        return StoreError(f"{where}: the store answered {status} {code}: {error.response['Error'].get('Message', '')}")


class _Absent(StoreError):
    pass


class _Refused(StoreError):
    pass


TRANSFER = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES, max_concurrency=4)
CHECK_STORE = "Check that it runs, that TUNEGATE_S3_ENDPOINT is right and the network lets you through; then run again."


def blob_key(digest: str) -> str:
    return f"blobs/sha256/{digest[:2]}/{digest}"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
