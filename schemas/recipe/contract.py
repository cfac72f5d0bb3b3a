"""The data contract: requirements on rows."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.frozen import LARGEST, Frozen


class TextLength(Frozen):
    min: int = Field(1, ge=1, le=LARGEST, description="Fewest characters of a text.")
    max: int = Field(10_000, ge=1, le=LARGEST, description="Most characters of a text.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: no text could have such a length")
        return self


class ClassShare(Frozen):
    min: float = Field(0.0, ge=0, lt=1, description="Smallest share of rows any label may have.")


class Duplicates(Frozen):
    max_fraction: float = Field(0.01, ge=0, le=1, description="Largest share of rows that may repeat an earlier one.")


class RowCount(Frozen):
    min: int = Field(10, ge=1, le=LARGEST, description="Fewest rows in each of train and test.")


Treatment = Literal["refuse", "drop", "report"]
Difference = Literal["case", "links"]


class Contract(Frozen):
    """Requirements on rows, checked before anything is computed from them."""

    rows: RowCount = Field(RowCount(), description="Required number of rows.")
    text_length: TextLength = Field(TextLength(), description="Allowed length of a text.")
    class_share: ClassShare = Field(ClassShare(), description="Smallest share of a label.")
    duplicates: Duplicates = Field(Duplicates(), description="Allowed share of repeated rows.")
    blanks: Literal["refuse", "drop"] = Field("refuse", description="A row without text: refuse or drop.")
    leakage: Treatment = Field(
        "refuse", description="The same text in train and test: refuse, drop it from train, or only report it."
    )
    conflicts: Treatment = Field(
        "refuse", description="One text with several labels: refuse, drop all its rows, or only report them."
    )
    ignore: tuple[Difference, ...] | None = Field(
        None,
        min_length=1,
        title="Ignore",
        description="Texts are compared for leakage, repeats and conflicts without these differences too: case, links. "
        "Blanks and line ends never count.",
    )
