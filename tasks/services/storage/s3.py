"""S3 clients: made from an address, isolated from AWS's settings where it has keys, closed to answers not of S3."""

import os
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ConnectionError as UnreachableError
from botocore.exceptions import HTTPClientError

from schemas.errors import Unavailable, UsageError
from tasks.services.storage import answers

CHECK_ENDPOINT = (
    "Check that it runs, that TUNEGATE_S3_ENDPOINT is right and the network lets you through; then run again."
)
REGION = "us-east-1"


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
    """Create a boto3 client; `attempts` includes the first try.

    Raises UsageError where AWS's variables or files cannot be used, Unavailable where a service that they name does
    not answer.
    """
    try:
        client = _create(address, attempts)
    except (HTTPClientError, UnreachableError) as error:
        raise Unavailable(f"AWS's credentials could not be fetched: {answers.legible(str(error))}.") from None
    except Exception as error:
        # Profiles name programs and files that fail in any way, and hold values that botocore does not check.
        given = ", ".join(sorted(name for name in os.environ if name.startswith("AWS_"))) or "none"
        raise UsageError(
            f"{address.endpoint}: no S3 client can be made of AWS's settings: {answers.legible(str(error))}. Check the "
            f"variables that are set ({given}), and the files ~/.aws/config and ~/.aws/credentials."
        ) from None
    client.meta.events.register("before-parse.s3", partial(_refuse_foreign, address))
    client.meta.events.register("before-call.s3.HeadBucket", _follow_no_redirect)
    return client


def _create(address: Address, attempts: int) -> Any:
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
    is_own = address.access_key is not None
    # A new session: the shared one caches the first credentials it finds.
    session = _isolated_session() if is_own else botocore.session.Session()
    client = boto3.Session(botocore_session=session).client(
        "s3",
        endpoint_url=address.endpoint,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key,
        region_name=REGION if is_own else _region(),
        config=config,
    )
    # Those of a role or of a token file are fetched at the first request, whose error would not say so.
    if not is_own and (found := session.get_credentials()):
        found.get_frozen_credentials()
    return client


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION


def _isolated_session() -> botocore.session.Session:
    """Return a session for explicit keys, which no variable or file of the user's AWS settings affects."""
    known = botocore.session.Session.SESSION_VARIABLES
    unset = {name: (in_file, None, default, convert) for name, (in_file, _, default, convert) in known.items()}
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    return botocore.session.Session(session_vars=unset | files)


def _follow_no_redirect(**_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
    """Answer botocore's question for the region of a bucket, which it repeats without end where that is redirected."""
    return SimpleNamespace(status_code=404), {"Error": {}, "ResponseMetadata": {"HTTPHeaders": {}}}


def _refuse_foreign(address: Address, operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Raise Unavailable on a successful answer that is not S3's: botocore reads a web page as an empty list."""
    status = response_dict["status_code"]
    headers = {name.lower(): str(value) for name, value in response_dict["headers"].items()}
    if status < 300 and answers.is_foreign(operation_model.name, headers, response_dict["body"]):
        kind = answers.legible(headers.get("content-type", "no content type"))
        raise Unavailable(
            f"{address.endpoint}: no object store answers there: {operation_model.name} was answered with "
            f"{status}, {kind}, and not as S3 does. {answers.NO_STORE}"
        )
