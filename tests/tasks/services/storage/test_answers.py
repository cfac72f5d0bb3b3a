"""Answers that are not S3's, and refusals. Alone: pytest tests/tasks/services/storage/test_answers.py."""

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import Corrupt, StoreError, Unavailable, UsageError
from schemas.records.references import Blob
from tasks.services.storage import s3
from tasks.services.storage.answers import legible
from tasks.services.storage.s3 import Address, connect
from tasks.services.storage.store import MULTIPART_BYTES, Store
from tasks.services.storage.translation import Rejected
from tests.tasks.services.storage.canned_server import Canned, canned
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore

LISTING = b"<ListBucketResult><Contents><Key>m/a</Key>%s</Contents></ListBucketResult>"
CALLS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: store.list_keys("m/"),
    "folders": lambda store: store.list_folders("m/"),
    "uploads": lambda store: store.list_uploads(),
    "clock": lambda store: store.now(),
    "read": lambda store: store.read("m/a"),
    "digest": lambda store: store.digest("m/a"),
    "size": lambda store: store.size("m/a"),
    "create": lambda store: store.create("m/a", b"x"),
    "replace": lambda store: store.replace("m/a", b"x"),
    "delete": lambda store: store.delete(["m/a"]),
    "put": lambda store: store.put_bytes(secrets.token_bytes(9)),
    "fetch": lambda store: store.fetch(Blob(digest="0" * 64, size_bytes=1)),
}
WEB = {
    "page": Canned(),
    "console that tags its pages": Canned(headers=(("etag", 'W/"5f-1"'),)),
    "page of a file": Canned(headers=(("etag", '"5f-1"'),)),
    "API": Canned(kind="application/json", body=b'{"status": "ok"}'),
    "text": Canned(kind="text/plain", body=b"ok"),
    "other XML": Canned(kind="application/xml", body=b"<?xml version='1.0'?><!-- x --><rss><channel/></rss>"),
    "nothing": Canned(body=b""),
}
FAILING = {
    "page without it": Canned(404, body=b"<html>Not found</html>"),
    "login": Canned(401),
    "wall": Canned(403, kind="application/json", body=b'{"message": "no"}'),
    "portal": Canned(302, body=b"", headers=(("location", "http://portal.example/login?token=hidden"),)),
    "server of files": Canned(501),
    "XML error of another kind": Canned(403, kind="application/xml", body=b"<html><Error>no</Error></html>"),
}


def open_at(endpoint: str, folder: Path) -> Store:
    """A store whose client tries once."""
    store = Store(Address(endpoint, "bucket", "an-access-key", "a-secret-key"), folder)
    store._client = store._committer
    return store


def refusal_of(store: Store, call: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        CALLS[call](store)
    return caught.value


@pytest.mark.parametrize("kind", WEB)
def test_web_server_is_no_empty_store(tmp_path: Path, kind: str):
    with canned(WEB[kind]) as endpoint:
        store = open_at(endpoint, tmp_path)
        for call in CALLS.keys() - {"delete", "create"}:
            if (call, kind) in {("read", "page of a file"), ("put", "page of a file"), ("replace", "page of a file")}:
                continue
            error = refusal_of(store, call)
            assert isinstance(error, Unavailable), call
            assert "TUNEGATE_S3_ENDPOINT" in str(error)


@pytest.mark.parametrize("kind", FAILING)
def test_failing_web_server_is_unavailable_and_misses_no_object(tmp_path: Path, kind: str):
    with canned(FAILING[kind]) as endpoint:
        store = open_at(endpoint, tmp_path)
        for call in ("list", "read", "replace", "fetch"):
            error = refusal_of(store, call)
            assert isinstance(error, StoreError), call
        assert isinstance(refusal_of(store, "list"), Unavailable)
        assert "hidden" not in str(refusal_of(store, "list"))
        refusal_of(store, "size")


@pytest.mark.parametrize(
    "content",
    [
        LISTING % b"",
        LISTING % b"<Size>many</Size><LastModified>2026-11-29T00:00:00Z</LastModified>",
        LISTING % b"<Size>1</Size><LastModified>lately</LastModified>",
        b"<ListBucketResult><Contents><Key>m/a",
        b"\xff\xfe",
    ],
)
def test_listing_that_cannot_be_read_is_unavailable(tmp_path: Path, content: bytes):
    with canned(Canned(kind="application/xml", body=content)) as endpoint:
        assert isinstance(refusal_of(open_at(endpoint, tmp_path), "list"), Unavailable)


ENTRY = b"<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-11-29T00:00:00Z</LastModified></Contents>"
MORE = b"<IsTruncated>true</IsTruncated>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ENTRY % b"m/a" + MORE, "does not say where it goes on"),
        (MORE, "does not say where it goes on"),
        (ENTRY % b"other/a", "a listing of m/ names other/a"),
        (ENTRY % b"m/a" + MORE + b"<NextContinuationToken>%(number)d</NextContinuationToken>", "without new entries"),
    ],
)
def test_listing_that_is_not_whole_is_unavailable(tmp_path: Path, content: bytes, message: str):
    pages = (content.replace(b"%(number)d", b"%d" % number) for number in count())
    with canned(
        lambda: Canned(kind="application/xml", body=b"<ListBucketResult>%s</ListBucketResult>" % next(pages))
    ) as at:
        error = refusal_of(open_at(at, tmp_path), "list")

    assert isinstance(error, Unavailable)
    assert message in str(error)


def test_request_without_a_body_is_refused_with_the_reason_of_one_with(tmp_path: Path):
    """The first request of an upload asks whether the object is there, by HEAD, to which no refusal has words."""
    with canned(Canned(400, "application/xml", error_of("ExpiredToken"), (("x-amz-request-id", "1"),))) as endpoint:
        for call in ("size", "put"):
            assert "renew or unset AWS_SESSION_TOKEN" in str(refusal_of(open_at(endpoint, tmp_path), call))


@settings(max_examples=15)
@given(
    status=st.sampled_from([200, 204, 206, 301, 307, 400, 403, 404, 405, 409, 412, 416, 501]),
    kind=st.sampled_from(["text/html", "application/xml", "application/json", "binary/octet-stream"]),
    body=st.one_of(
        st.binary(max_size=80),
        st.tuples(
            st.sampled_from([b"ListBucketResult", b"Error", b"html", b"CreateBucketResult"]),
            st.sampled_from([b"Contents", b"Code", b"Message", b"IsTruncated", b"CommonPrefixes", b"Error"]),
            st.sampled_from([b"", b"true", b"-1", b"AccessDenied", b"<Key>x</Key>", b"<b>bold</b>", b"\x00", b"&gt;"]),
        ).map(lambda parts: b"<%s><%s>%s</%s></%s>" % (parts[0], parts[1], parts[2], parts[1], parts[0])),
    ),
    header=st.sampled_from([(), (("etag", '"1"'),), (("x-amz-request-id", "1"),), (("location", "///"),)]),
    call=st.sampled_from(sorted(CALLS.keys() - {"create"})),
)
@example(status=403, kind="text/html", body=b"<html><Error><Code/></Error></html>", header=(), call="list")
def test_any_answer_is_read_or_refused(tmp_path_factory, status, kind, body, header, call):
    with canned(Canned(status, kind, b"" if status == 204 else body, header)) as endpoint:
        store = open_at(endpoint, tmp_path_factory.mktemp("any"))
        # Any other error fails the test.
        with suppress(StoreError):
            CALLS[call](store)


def error_of(code: str, message: str = "Words of the store.", extra: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "extra", "advice"),
    [
        (403, "RequestTimeTooSkewed", "", "clock"),
        (400, "InvalidToken", "", "AWS_SESSION_TOKEN"),
        (400, "ExpiredToken", "", "AWS_SESSION_TOKEN"),
        (403, "AccessDenied", "", "permissions"),
        (403, "InvalidAccessKeyId", "", "AWS_ACCESS_KEY_ID"),
        (301, "PermanentRedirect", "<Endpoint>s3.eu-north-1.example</Endpoint>", "by path .*s3.eu-north-1.example"),
        (400, "VirtualHostDomainRequired", "", "by path"),
        (400, "AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>", "AWS_REGION .*eu-north-1"),
        (404, "NoSuchKey", "", "name a bucket already"),
        (501, "NotImplemented", "", "tunegate doctor"),
    ],
)
def test_each_refusal_has_its_own_advice_and_the_words_of_the_store(tmp_path, status, code, extra, advice):
    with canned(Canned(status, "application/xml", error_of(code, extra=extra))) as endpoint:
        error = refusal_of(open_at(endpoint, tmp_path), "list")

    assert isinstance(error, Rejected)
    assert error.answer == f"{status} {code}: Words of the store"
    assert re.search(advice, error.advice)
    assert ("permissions" in str(error)) == (code == "AccessDenied")


def test_refused_checksum_names_the_variable_that_may_help_unless_it_is_set(tmp_path: Path, monkeypatch):
    body = error_of("InvalidRequest", "Unsupported header x-amz-sdk-checksum-algorithm.")
    with canned(Canned(400, "application/xml", body)) as endpoint:
        store = open_at(endpoint, tmp_path)
        assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required may help" in str(refusal_of(store, "replace"))
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        assert "may help" not in str(refusal_of(store, "replace"))


def test_words_of_a_store_are_shown_without_credentials_or_control_characters(monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-the-session")
    shown = legible("\x1b[31mno\u202e\n an-access-key token-of-the-session " + "a" * 64 + " b" * 200, ["an-access-key"])

    assert shown.startswith("[31mno *** *** *** b")
    assert shown.endswith("...")


def test_damaged_bytes_are_corrupt(tmp_path: Path):
    headers = (("etag", '"1"'), ("x-amz-checksum-crc32", "AAAAAA=="))
    with canned(Canned(kind="binary/octet-stream", body=b"bytes", headers=headers)) as endpoint:
        assert isinstance(refusal_of(open_at(endpoint, tmp_path), "read"), Corrupt)


class TestSettingsOfAws:
    """Profiles, files and variables that botocore cannot use."""

    @pytest.fixture(autouse=True)
    def no_settings(self, monkeypatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    @pytest.mark.parametrize(
        "variables",
        [
            {"AWS_PROFILE": "absent"},
            {"AWS_DEFAULT_REGION": "the north"},
            {"AWS_ACCESS_KEY_ID": "alone"},
            {"AWS_REQUEST_CHECKSUM_CALCULATION": "seldom"},
            {"AWS_DEFAULTS_MODE": "any"},
        ],
    )
    def test_variable_is_named_and_does_not_matter_to_the_embedded_store(self, monkeypatch, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UsageError, match="|".join(variables)):
            connect(Address("http://127.0.0.1:9", "bucket"))

        assert connect(Address("http://127.0.0.1:9", "bucket", "key", "secret")).meta.region_name == s3.REGION

    @pytest.mark.parametrize(
        "profile",
        [
            "credential_process = /no/such/program",
            "credential_process = printf x",
            "role_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = /no/such/file",
            "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = absent",
            "aws_access_key_id = alone",
            "aws_access_key_id = a\naws_secret_access_key = b\ns3 = no section",
            "no key and no value",
        ],
    )
    def test_profile_that_cannot_be_used_is_refused(self, monkeypatch, tmp_path: Path, profile: str):
        (tmp_path / "config").write_text(f"[profile mine]\n{profile}\n")
        monkeypatch.setenv("AWS_PROFILE", "mine")
        with pytest.raises(UsageError, match="AWS_PROFILE"):
            connect(Address("http://127.0.0.1:9", "bucket"))

        assert connect(Address("http://127.0.0.1:9", "bucket", "key", "secret"))


def test_name_of_a_bucket_that_botocore_refuses_is_a_usage_error(tmp_path: Path):
    with pytest.raises(UsageError, match="Invalid bucket name"):
        Store(Address("http://127.0.0.1:9", "no bucket", "key", "secret"), tmp_path).read("x")


@pytest.mark.parametrize("size", [10, MULTIPART_BYTES + 1])
def test_upload_whose_answers_are_all_lost_is_there(store: Store, tmp_path: Path, size: int):
    operation = "PutObject" if size == 10 else "CompleteMultipartUpload"
    faulty = FaultyStore(store, tmp_path / "faulty", [Fault(operation, "time-out after success", times=9)])

    assert store.holds(faulty.put_bytes(secrets.token_bytes(size)))
    assert faulty.faults[0].times < 9


def test_upload_that_was_not_done_is_unavailable(store: Store, tmp_path: Path):
    faulty = FaultyStore(store, tmp_path / "faulty", [Fault("PutObject", "lost connection", times=9)])
    with pytest.raises(Unavailable, match="did not answer"):
        faulty.put_bytes(secrets.token_bytes(9))
