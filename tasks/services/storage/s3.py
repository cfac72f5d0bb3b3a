"""The connection to S3: clients, and what their failures mean in our words."""

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
    """Where the store is; without keys boto3 looks for them in its usual places."""

    endpoint: str
    bucket: str
    access_key: str | None = None
    secret_key: str | None = None
    advice: str = CHECK_ENDPOINT
    """What to do when it does not answer."""


def connect(address: Address, attempts: int = 4) -> Any:
    """Make a boto3 client; `attempts` counts the first try."""
    # One object under contention can take 10 s (32 writers), so reading waits a minute.
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        # Four files at once, each in ten parts.
        max_pool_connections=40,
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


class Absent(StoreError):
    """There is no such object."""


class Refused(StoreError):
    """The condition of a conditional write did not hold, or may not have."""


@contextmanager
def translated(address: Address, key: str) -> Iterator[None]:
    """Raise boto3's failures as errors of `schemas.errors`, naming the key."""
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
        is_answer = isinstance(cause, ClientError)
        raise _translate(cause, address, key) if is_answer else _silence(error, address, key) from None
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        raise _silence(error, address, key) from None


def _silence(error: Exception, address: Address, key: str) -> Unavailable:
    return Unavailable(f"{address.endpoint} did not answer for {key}: {error}. {address.advice}")


def _translate(error: ClientError, address: Address, key: str) -> StoreError:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = error.response["Error"]["Code"]
    where = f"{address.endpoint}/{address.bucket}/{key}"
    if code == "NoSuchBucket":
        return StoreError(
            f"{address.endpoint}: there is no bucket {address.bucket!r}. Create it, or name another in TUNEGATE_BUCKET."
        )
    # A HEAD has no body that could say so.
    if status == 404 and (code in NO_SUCH or error.operation_name.startswith("Head")):
        return Absent(f"{where}: there is no such object.")
    if status in (409, 412):
        return Refused(f"{where}: {code}.")
    if status in (401, 403):
        return StoreError(
            f"{where}: access was refused ({code}). Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what "
            "they may do in this bucket."
        )
    # A 404 that is not in S3's words comes from something in between, such as a proxy whose store is away.
    if status >= 500 or status in (404, 429):
        return Unavailable(f"{where}: the store answered {status} {code}. {address.advice}")
    return StoreError(f"{where}: the store answered {status} {code}: {error.response['Error'].get('Message', '')}")
