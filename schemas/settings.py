"""Where things are, from the environment: TUNEGATE_HOME, TUNEGATE_S3_ENDPOINT, TUNEGATE_BUCKET.

Credentials are not here: boto3, W&B and Prefect read their own standard variables.
"""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TUNEGATE_", frozen=True, env_ignore_empty=True)

    home: Path = Field(Path(".tunegate"), description="Local state: caches, the embedded services, reports.")
    s3_endpoint: str | None = Field(None, description="Object store; none means the embedded server.")
    bucket: str = Field("tunegate", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Bucket of everything.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()


def prefect_environment(settings: Settings) -> dict[str, str]:
    """What Prefect needs set before it is imported; a variable the user has set wins."""
    return {
        "PREFECT_HOME": str(settings.home / "prefect"),
        # The start of a server within the process takes 7-25 s on two busy cores; 20 s is Prefect's own limit.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
