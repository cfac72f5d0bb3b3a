"""What training starts from."""

from typing import Self

from pydantic import Field, model_validator

from schemas.frozen import Digest, Frozen, Place


class Model(Frozen):
    """The pretrained model to start from."""

    base: Place = Field(
        description="package:NAME/FOLDER (inside an installed package), ./FOLDER beside the recipe, "
        "NAME@ALIAS or NAME@VERSION of the registry, or the id of a model on the hub (with revision)."
    )
    revision: str | None = Field(None, title="Revision", description="Commit or tag; a hub id needs one.")
    sha256: Digest | None = Field(None, title="SHA-256", description="What model.safetensors must hash to.")
    licences: tuple[str, ...] = Field(
        min_length=1, description="Licences you accept, as the model's card writes them; 'unknown' if it says none."
    )

    @model_validator(mode="after")
    def _only_the_hub_has_revisions(self) -> Self:
        if self.revision and (self.base.startswith((".", "package:")) or "@" in self.base):
            raise ValueError(f"base {self.base!r} has no revision: leave revision out, or set it to null")
        return self
