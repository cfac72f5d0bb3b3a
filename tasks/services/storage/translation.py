"""Translation of boto3's errors into ours, each with the store's own words and the remedy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from schemas.errors import Corrupt, StoreError, Unavailable, UsageError
from tasks.services.storage import answers
from tasks.services.storage.answers import legible
from tasks.services.storage.s3 import Address

NO_SUCH = ("NoSuchKey", "NoSuchUpload")
NOT_IMPLEMENTED = 501
CHECK_CERTIFICATE = "Check http or https in TUNEGATE_S3_ENDPOINT; AWS_CA_BUNDLE names a file of further authorities."


class Absent(StoreError):
    """No such object."""


class Unconfirmed(Absent):
    """No such object, by an answer without a body or mark of S3, as any web server gives."""


class Refused(StoreError):
    """A conditional write whose condition failed, or may have failed."""


class Rejected(StoreError):
    """A request that the store answered with an error; `answer` is that, `advice` the remedy."""

    def __init__(self, text: str, answer: str, advice: str) -> None:
        super().__init__(f"{text}. {advice}")
        self.answer, self.advice = answer, advice


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
    except ParamValidationError as error:
        raise UsageError(f"{address.endpoint}, bucket {address.bucket!r}: {legible(str(error))}.") from None
    except S3UploadFailedError as error:
        cause = error.__context__
        is_response = isinstance(cause, ClientError)
        raise _translate(cause, address, key) if is_response else _unavailable(error, address, key) from None
    except FlexibleChecksumError as error:
        raise Corrupt(
            f"{key}: the bytes that arrived do not match the store's checksum of them ({legible(str(error))}). Run "
            "again; if the error stays, restore the object from a copy."
        ) from None
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        raise _unavailable(error, address, key) from None
    except (ResponseParserError, ValueError, LookupError, AttributeError, TypeError) as error:
        # botocore takes the fields of an answer for what they should be.
        raise Unavailable(
            f"{address.endpoint}: the answer for {key} is not one of S3 ({type(error).__name__}: "
            f"{legible(str(error))}). {answers.NO_STORE}"
        ) from None


def _unavailable(error: Exception, address: Address, key: str) -> Unavailable:
    advice = CHECK_CERTIFICATE if isinstance(error, SSLError) else address.advice
    return Unavailable(f"{address.endpoint} did not answer for {key}: {_words(str(error), address)}. {advice}")


class _Answer(NamedTuple):
    """A failed answer: its HTTP status, the code and the fields of S3's error, and its headers in lower case."""

    status: int
    code: str
    fields: Mapping[str, Any]
    headers: Mapping[str, str]
    operation: str

    @classmethod
    def of(cls, error: ClientError) -> Self:
        metadata, fields = error.response["ResponseMetadata"], error.response["Error"]
        code = str(fields.get("Code") or "")
        return cls(metadata["HTTPStatusCode"], code, fields, metadata["HTTPHeaders"], error.operation_name)

    @property
    def is_of_s3(self) -> bool:
        return answers.is_error_of_s3(self.status, self.code, self.headers)

    @property
    def is_head(self) -> bool:
        """Whether it has no body with an error code."""
        return self.operation.startswith("Head")

    @property
    def is_absence(self) -> bool:
        is_said = self.code in NO_SUCH and not self.operation.startswith("List")
        return self.status == 404 and (is_said or self.is_head)

    def text(self, address: Address) -> str:
        # Without an error of S3, the code is the status again.
        code = "" if self.code == str(self.status) else legible(self.code)
        message = _words(str(self.fields.get("Message") or ""), address)
        return f"{self.status} {': '.join(filter(None, (code, message)))}".rstrip()


def _translate(error: ClientError, address: Address, key: str) -> StoreError:
    answer = _Answer.of(error)
    where, text = f"{address.endpoint}/{address.bucket}/{key}", answer.text(address)
    if answer.code == "NoSuchBucket":
        return StoreError(
            f"{address.endpoint}: there is no bucket {address.bucket!r}. Create it, or name another in TUNEGATE_BUCKET."
        )
    if answer.is_absence:
        return (Absent if answer.is_of_s3 else Unconfirmed)(f"{where}: there is no such object.")
    if answer.status in (409, 412):
        return Refused(f"{where}: {text}.")
    if answer.status == 429 or (answer.status >= 500 and answer.status != NOT_IMPLEMENTED):
        return Unavailable(f"{where}: the store answered {text}. {address.advice}")
    # From an intermediary, such as a proxy whose backend is down, or from a web server.
    if not answer.is_of_s3 and not answer.is_head:
        location = legible(answer.headers.get("location", "").partition("?")[0])
        leads = f", which leads to {location}" if location else ""
        return Unavailable(f"{where}: the store answered {text}{leads}, and not as S3 does. {answers.NO_STORE}")
    said = f"access was refused ({text})" if answer.status in (401, 403) else f"the store answered {text}"
    advice = answers.advice_for(answer.status, answer.code, answer.fields, answer.headers)
    return Rejected(f"{where}: {said}", text, advice)


def _words(text: str, address: Address) -> str:
    return legible(text, (address.access_key, address.secret_key))
