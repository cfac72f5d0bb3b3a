"""The kinds of question a model answers."""

from typing import Literal

from pydantic import Field, field_validator

from schemas.frozen import Frozen


class TextClassification(Frozen):
    """One label of a fixed set for each text."""

    kind: Literal["text-classification"] = "text-classification"
    labels: tuple[str, ...] = Field(min_length=2, description="The labels' names; their order numbers the classes.")
    max_tokens: int = Field(128, ge=4, le=8192, description="Longer texts are cut here; how many were is counted.")

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
            raise ValueError("every label must be named once, and none may be blank")
        return labels


Problem = TextClassification
