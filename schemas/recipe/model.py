"""The pretrained model."""

from typing import Self

from pydantic import Field, model_validator

from schemas.frozen import Digest, Frozen, Place


class Model(Frozen):
    """The pretrained model from which training starts."""

    base: Place = Field(
        description="package:NAME/FOLDER (inside an installed package), ./FOLDER beside the recipe, "
        "NAME@ALIAS or NAME@VERSION of the registry, or the id of a model on the hub (with revision)."
    )
    revision: str | None = Field(None, title="Revision", description="Commit or tag; required for an id of the hub.")
    sha256: Digest | None = Field(None, title="SHA-256", description="Required SHA-256 of model.safetensors.")
    licences: tuple[str, ...] = Field(
        min_length=1, description="Licences you accept, as in the model's card; 'unknown' for a card without one."
    )

    @model_validator(mode="after")
    def _only_the_hub_has_revisions(self) -> Self:
        if self.revision and (self.base.startswith((".", "package:")) or "@" in self.base):
            raise ValueError(f"base {self.base!r} has no revision: leave revision out, or set it to null")
        return self
