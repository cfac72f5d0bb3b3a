"""Models and data sets of the Hugging Face Hub at a revision: matching files only, never their code."""

from pathlib import Path
from typing import Literal

from schemas.errors import RecipeError


def fetch(field: str, name: str, revision: str, patterns: list[str], kind: Literal["model", "dataset"]) -> Path:
    """Download the matching files, once, and return their folder. Raises RecipeError naming the recipe's field."""
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type=kind, revision=revision, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, HTTPError, OSError) as error:
        raise RecipeError(
            f"{field} {name!r} at revision {revision!r} could not be fetched from the hub: "
            f"{(str(error) or type(error).__name__).splitlines()[0]} Check the id, the revision and the network."
        ) from None
