"""Settings of the environment, and the words for those that cannot be. Alone: pytest tests/schemas/test_settings.py."""

import pytest

from schemas.errors import UsageError
from schemas.settings import read_settings


@pytest.mark.parametrize(
    "endpoint",
    ["http://10.0.0.7", "https://s3.example.org/", "http://[fd00::7]:9000", "http://store-1.lan.:65535"],
)
def test_address_of_a_store_is_taken(monkeypatch, endpoint: str):
    monkeypatch.setenv("TUNEGATE_S3_ENDPOINT", endpoint)

    assert read_settings().s3_endpoint == endpoint


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TUNEGATE_S3_ENDPOINT", "http://blob_box:8333", r"no underscore \(_\): use its IP address"),
        ("TUNEGATE_S3_ENDPOINT", "https://files.example/api/s3", "a path follows the host"),
        ("TUNEGATE_S3_ENDPOINT", "garage.lan:3900", "http:// or https:// is missing"),
        ("TUNEGATE_S3_ENDPOINT", "http://garage.lan:3900\r", "HOST has letters"),
        ("TUNEGATE_S3_ENDPOINT", "http://garage.lan:70000", "a PORT is 1 to 65535"),
        ("TUNEGATE_S3_ENDPOINT", "http://garage..lan", "HOST has letters"),
        ("TUNEGATE_S3_ENDPOINT", "http://gärage.lan", "HOST has letters"),
        ("TUNEGATE_BUCKET", "Team_Models", "3 to 63 lower-case letters, digits, hyphens and dots"),
        ("TUNEGATE_PRICE_PER_HOUR", "EUR 2", "such as 0.40 EUR"),
        ("TUNEGATE_MEMORY_GB", "inf", "finite number"),
        ("TUNEGATE_HOME", "~no-such-login/state", "home directory"),
        ("TUNEGATE_HOME", "/tmp/\udcfe", "a path in UTF-8"),
    ],
)
def test_setting_that_cannot_be_is_refused_in_words(monkeypatch, variable: str, value: str, words: str):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"^{variable} is .*{words}") as caught:
        read_settings()

    assert "pattern" not in str(caught.value)


def test_password_behind_a_slash_is_not_shown(monkeypatch):
    monkeypatch.setenv("TUNEGATE_S3_ENDPOINT", "http://host/ada:hidden@other")
    with pytest.raises(UsageError, match="not shown") as caught:
        read_settings()

    assert "hidden" not in str(caught.value)
