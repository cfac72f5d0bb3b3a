"""Settings from the environment, TUNEGATE_*, and the environment of libraries.

Other credentials are not here: boto3, W&B and Prefect read their own standard variables.
"""

import os
import re
from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import UsageError

PREFIX = "TUNEGATE_"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS = re.compile(rf"https?://({LABEL}(\.{LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{{1,5}}))?/?")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PRICE = re.compile(r"[0-9]+(\.[0-9]+)? [A-Z]{3}")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    home: Path = Field(Path(".tunegate"), description="Local state: caches, the embedded services, reports.")
    s3_endpoint: str | None = Field(
        None, description="Object store, http(s)://HOST[:PORT], without path or password; by default the embedded one."
    )
    bucket: str = Field("tunegate", description="Bucket of all data.")
    recipes: Path = Field(
        Path(__file__).parents[1] / "recipes", description="The folder of recipes that deployments name."
    )
    cpu_watts: float = Field(
        3.5, ge=0, allow_inf_nan=False, description="Power of a busy logical core; Cloud Carbon Footprint's for AWS."
    )
    gpu_watts: float = Field(
        407.0, ge=0, allow_inf_nan=False, description="Power of a busy GPU; Cloud Carbon Footprint's for an A100."
    )
    price_per_hour: str | None = Field(None, description="Price of the machine, such as 0.40 EUR.")
    memory_gb: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Memory limit of all processes of a run together, in 10^9 bytes."
    )
    prefect_port: int = Field(4200, ge=1024, le=65535, description="Port of the Prefect server of `tunegate up`.")
    trainers: int = Field(0, ge=0, le=64, description="Workers of `tunegate up` for shared trainings.")
    notify: SecretStr | None = Field(
        None, description="Targets of notifications: TYPE/NAME of Prefect's notification blocks, or addresses."
    )
    signing_key: Path | None = Field(None, description="Private key (PEM) that signs every new version.")
    signing_key_password: SecretStr | None = Field(None, description="Password of the private key, if it is encrypted.")
    public_key: Path | None = Field(
        None, description="Public key (PEM); if set, only versions with a valid signature are used."
    )

    @property
    def price(self) -> tuple[float | None, str | None]:
        """Price of an hour, and its currency."""
        if self.price_per_hour is None:
            return None, None
        amount, currency = self.price_per_hour.split()
        return float(amount), currency

    @field_validator("s3_endpoint")
    @classmethod
    def _is_address(cls, endpoint: str | None) -> str | None:
        found = ADDRESS.fullmatch(endpoint or "http://by-default")
        if found is None or not 0 < int(found["port"] or 80) < 2**16:
            raise ValueError(_fault_of(endpoint or ""))
        return endpoint

    @field_validator("bucket")
    @classmethod
    def _is_bucket(cls, bucket: str) -> str:
        if not BUCKET.fullmatch(bucket):
            raise ValueError(
                "expected the name of a bucket: 3 to 63 lower-case letters, digits, hyphens and dots, with a letter or "
                "digit at both ends"
            )
        return bucket

    @field_validator("price_per_hour")
    @classmethod
    def _is_price(cls, price: str | None) -> str | None:
        if price is not None and not PRICE.fullmatch(price):
            raise ValueError("expected an amount and a currency's three letters, such as 0.40 EUR")
        return price

    @field_validator("home", "recipes", "signing_key", "public_key")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        try:
            found = path.expanduser().resolve() if path else None
            # Records name the folders, in JSON.
            str(found).encode()
        except (RuntimeError, OSError, UnicodeEncodeError) as error:
            raise ValueError(f"expected a path in UTF-8: {str(error).rstrip('.')}") from None
        return found


def _fault_of(endpoint: str) -> str:
    """Name what is wrong with an address; several ways to write one are common, and their faults hard to see."""
    form = "expected http(s)://HOST[:PORT], without a path or a password"
    scheme, _, rest = endpoint.rpartition("://")
    if scheme not in ("http", "https"):
        return f"{form}: http:// or https:// is missing"
    if "/" in rest.rstrip("/"):
        return f"{form}: a path follows the host"
    if "_" in rest:
        return f"{form}, and a HOST has no underscore (_): use its IP address or another name"
    return f"{form}; a HOST has letters, digits, hyphens and dots, or is [IPv6]; a PORT is 1 to 65535"


def read_settings() -> Settings:
    """Settings of the environment. Raises UsageError naming the variable."""
    return _read(tuple((name, value) for name, value in os.environ.items() if name.upper().startswith(PREFIX)))


@cache
def _read(_: tuple[tuple[str, str], ...]) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        variable = f"{PREFIX}{problem['loc'][0]}".upper()
        # An invalid address may hold a password that cannot be located, so it is not shown.
        found = "not shown, for its @" if "@" in str(problem["input"]) else f"{problem['input']!r}"
        raise UsageError(f"{variable} is {found}; {problem['msg'].removeprefix('Value error, ')}.") from None


def without_password(text: str) -> str:
    """Hide the credentials in a text's addresses."""
    return re.sub(r"//\S*@", "//***@", text)


def library_environment(settings: Settings) -> dict[str, str]:
    """Return variables that libraries read on import, so that all state lies under the home."""
    return {
        "PREFECT_HOME": str(settings.home / "prefect"),
        # The start of a temporary server takes 7-25 s on two busy cores; Prefect's default is 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "WANDB_DATA_DIR": str(settings.home / "wandb"),
        "WANDB_CACHE_DIR": str(settings.home / "wandb"),
        # Hides notices and progress bars for reading files, but not that of training.
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def proxy_exceptions() -> dict[str, str]:
    """Return variables that exclude the servers of this machine from proxies."""
    # Libraries prefer the lower case.
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [*filter(None, given.split(",")), "127.0.0.1", "localhost"]
    # Not all libraries accept `*` as one of several.
    value = "*" if given == "*" else ",".join(dict.fromkeys(hosts))
    return {"no_proxy": value, "NO_PROXY": value}
