"""Answers of an object store: the marks by which S3 is told from a web page, its words, and advice for refusal codes.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and those of other stores as reported.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.settings import without_password

ROOTS = {
    "ListObjectsV2": "ListBucketResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
}
"""The XML element that each operation answers with."""
READS, WRITES = ("GetObject", "HeadObject"), ("PutObject", "UploadPart")
ROOT = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL)
STRONG_ETAG = re.compile(r'"?[^"W/]')
WIDTH = 240
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
MIN_SECRET = 8  # shorter ones are words of their own in test servers
# Signatures and session tokens, which a store may repeat.
LONG = re.compile(r"[A-Za-z0-9+/=_-]{60,}")

KEYS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names."
POLICY = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their permissions on this bucket."
CLOCK = "The clock of this machine and that of the store differ: set this machine's, then run again."
SESSION = "The session token is invalid or has expired: renew or unset AWS_SESSION_TOKEN, or renew the profile's login."
REGION = "Set AWS_REGION to the region of the bucket"
PATHS = (
    "Buckets are addressed by path (HOST/BUCKET), which this endpoint refuses: allow that at the store, or set "
    "TUNEGATE_S3_ENDPOINT to an endpoint that accepts it, and AWS_REGION to the bucket's region"
)
CHECKSUMS = "This store refuses uploads with a checksum, which every run makes. "
OPTIONAL_CHECKSUMS = (
    "AWS_REQUEST_CHECKSUM_CALCULATION=when_required may help: it leaves out those of small objects. "
    "Then run `tunegate doctor`."
)
OTHER_STORE = "Use a newer version of the store, or another store: docs/registry.md."
UNKNOWN = "`tunegate doctor` shows what this store supports."
ONE_BUCKET = "TUNEGATE_S3_ENDPOINT seems to name a bucket already: give the store's address, without the bucket."
NO_STORE = (
    "TUNEGATE_S3_ENDPOINT must be the address of a store's S3 interface, not of its console, a proxy's page or another "
    "web server."
)
ADVICE = {
    KEYS: ("InvalidAccessKeyId", "SignatureDoesNotMatch", "UnrecognizedClientException"),
    CLOCK: ("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "RequestTimeTooFarInTheFuture"),
    SESSION: ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired"),
    REGION: ("AuthorizationHeaderMalformed", "IncorrectEndpoint", "IllegalLocationConstraintException"),
    ONE_BUCKET: ("NoSuchKey", "MethodNotAllowed"),
    PATHS: (
        "PermanentRedirect",
        "TemporaryRedirect",
        "Redirect",
        "SecondLevelDomainForbidden",
        "VirtualHostDomainRequired",
        "PathStyleDomainForbidden",
    ),
}
ADVICE_OF = {code: advice for advice, codes in ADVICE.items() for code in codes}


def is_foreign(operation: str, headers: Mapping[str, str], body: Any) -> bool:
    """Whether a successful answer to an operation cannot be S3's; `headers` in lower case.

    Not every store sends x-amz headers, so without them an object must have an entity tag, which for web servers that
    make pages is absent or weak, and must not be a page.
    """
    if operation in ROOTS:
        found = ROOT.match(body or b"")
        return found is None or found[1].decode() != ROOTS[operation]
    if _is_marked(headers):
        return False
    is_page = headers.get("content-type", "").startswith("text/html")
    has_tag = STRONG_ETAG.match(headers.get("etag", "")) is not None
    if operation in WRITES:
        return not has_tag
    return is_page or (operation in READS and not has_tag)


def is_error_of_s3(status: int, code: str, headers: Mapping[str, str]) -> bool:
    """Whether a failed answer is S3's: for any other, botocore makes a code of its HTTP status."""
    return code not in ("", str(status)) or _is_marked(headers)


def _is_marked(headers: Mapping[str, str]) -> bool:
    return any(name.lower().startswith("x-amz") for name in headers)


def advice_for(status: int, code: str, error: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return the remedy for a refusal; the region and the endpoint that the store names are added."""
    message = str(error.get("Message", ""))
    if re.search(r"checksum|x-amz-sdk|trailer|aws-chunked", f"{code} {message}", re.IGNORECASE):
        is_reduced = os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION", "").lower() == "when_required"
        return CHECKSUMS + (OTHER_STORE if is_reduced else OPTIONAL_CHECKSUMS)
    advice = ADVICE_OF.get(code) or (PATHS if 300 <= status < 400 else POLICY if status in (401, 403) else UNKNOWN)
    if advice not in (REGION, PATHS):
        return advice
    named = (error.get("Region") or headers.get("x-amz-bucket-region"), error.get("Endpoint"))
    return f"{advice}{''.join(f'; the store names {legible(str(each))}' for each in named if each)}."


def legible(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Return others' words on one line, cut, without control characters or credentials."""
    hidden = [*secrets, *(os.environ.get(name) for name in SECRETS)]
    for secret in sorted((each for each in hidden if each and len(each) >= MIN_SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = "".join(each if each.isprintable() else " " for each in LONG.sub("***", without_password(text)))
    text = " ".join(text.split()).removesuffix(".")
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."
