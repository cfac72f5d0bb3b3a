"""S3 clients, and the translation of their errors into ours."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from schemas.errors import StoreError, Unavailable

NO_SUCH = ("NoSuchKey", "NoSuchUpload")
CHECK_ENDPOINT = (
    "Check that it runs, that TUNEGATE_S3_ENDPOINT is right and the network lets you through; then run again."
)


@dataclass(frozen=True)
class Address:
    """Endpoint, bucket and credentials of the store; without keys, boto3's own credential chain."""

    endpoint: str
    bucket: str
    access_key: str | None = None
    secret_key: str | None = None
    advice: str = CHECK_ENDPOINT
    """The remedy in the error when it does not answer."""


def connect(address: Address, attempts: int = 4) -> Any:
    """Create a boto3 client; `attempts` includes the first try."""
    # One object under contention can take 10 s (32 writers), so reading waits a minute.
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        # Four files at once, each in ten parts.
        max_pool_connections=40,
        connect_timeout=5,
        read_timeout=60,
        s3={"addressing_style": "path"},
        # Requests to the loopback server must not go through a proxy.
        proxies={} if urlsplit(address.endpoint).hostname == "127.0.0.1" else None,
    )
    # A new session: the shared one caches the first credentials it finds.
    return boto3.Session().client(
        "s3",
        endpoint_url=address.endpoint,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key,
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        config=config,
    )


class Absent(StoreError):
    """No such object."""


class Refused(StoreError):
    """A conditional write whose condition failed, or may have failed."""


@contextmanager
def translated(address: Address, key: str) -> Iterator[None]:
    """Raise boto3's errors as those of `schemas.errors`, naming the key."""
    try:
        yield
    except ClientError as error:
        raise _translate(error, address, key) from None
    except NoCredentialsError:
        raise StoreError(
            f"{address.endpoint}: no credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
    except S3UploadFailedError as error:
        cause = error.__context__
        is_response = isinstance(cause, ClientError)
        raise _translate(cause, address, key) if is_response else _unavailable(error, address, key) from None
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        raise _unavailable(error, address, key) from None


def _unavailable(error: Exception, address: Address, key: str) -> Unavailable:
    return Unavailable(f"{address.endpoint} did not answer for {key}: {error}. {address.advice}")


def _translate(error: ClientError, address: Address, key: str) -> StoreError:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = error.response["Error"]["Code"]
    where = f"{address.endpoint}/{address.bucket}/{key}"
    if code == "NoSuchBucket":
        return StoreError(
            f"{address.endpoint}: there is no bucket {address.bucket!r}. Create it, or name another in TUNEGATE_BUCKET."
        )
    # The response to a HEAD has no body with an error code.
    if status == 404 and (code in NO_SUCH or error.operation_name.startswith("Head")):
        return Absent(f"{where}: there is no such object.")
    if status in (409, 412):
        return Refused(f"{where}: {code}.")
    if status in (401, 403):
        return StoreError(
            f"{where}: access was refused ({code}). Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their "
            "permissions on this bucket."
        )
    # A 404 without an S3 error code comes from an intermediary, such as a proxy whose backend is down.
    if status >= 500 or status in (404, 429):
        return Unavailable(f"{where}: the store answered {status} {code}. {address.advice}")
    return StoreError(f"{where}: the store answered {status} {code}: {error.response['Error'].get('Message', '')}")
