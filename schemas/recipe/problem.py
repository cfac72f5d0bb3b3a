"""The kinds of question a model answers."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.frozen import Frozen


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise ValueError("every label must be named once, and none may be blank")
    return labels


Labels = Annotated[tuple[str, ...], AfterValidator(_distinct)]
MaxTokens = Annotated[int, Field(ge=4, le=8192)]


class TextClassification(Frozen):
    """One label of a fixed set for each text."""

    kind: Literal["text-classification"] = "text-classification"
    labels: Labels = Field(min_length=2, description="The labels' names; their order numbers the classes.")
    max_tokens: MaxTokens = Field(128, description="Longer texts are cut here; how many were is counted.")


class MultiLabelClassification(Frozen):
    """Any number of labels of a fixed set for each text; the label column holds lists."""

    kind: Literal["multi-label-classification"] = "multi-label-classification"
    labels: Labels = Field(min_length=1, description="The labels' names; their order numbers the classes.")
    max_tokens: MaxTokens = Field(128, description="Longer texts are cut here; how many were is counted.")
    threshold: float = Field(0.5, gt=0, lt=1, description="A label is given from this probability on.")


class TokenClassification(Frozen):
    """Named entities: a tag (B-TYPE, I-TYPE or O) for each word; text and label columns hold lists of equal length."""

    kind: Literal["token-classification"] = "token-classification"
    labels: Labels = Field(min_length=1, description="The entities' types, without B- and I-.")
    max_tokens: MaxTokens = Field(128, description="Longer texts are read in overlapping windows of this length.")
    overlap_tokens: int = Field(32, ge=0, description="Tokens that neighbouring windows share.")

    @model_validator(mode="after")
    def _types_are_words(self) -> Self:
        # Tags are written with blanks between them.
        if broken := [label for label in self.labels if len(label.split()) > 1]:
            raise ValueError(f"the type {broken[0]!r} has a blank; write {'-'.join(broken[0].split())!r}")
        return self

    @model_validator(mode="after")
    def _windows_move_on(self) -> Self:
        if self.overlap_tokens > self.max_tokens // 2:
            raise ValueError(f"overlap_tokens {self.overlap_tokens} is above half of max_tokens {self.max_tokens}")
        return self


class _FreeText(Frozen):
    """The answer is a text of the model's own; there is no fixed set of labels, the label column holds the texts."""

    labels: ClassVar[tuple[str, ...]] = ()

    answer_tokens: int = Field(
        128, ge=1, le=4096, description="Longest answer; longer ones are learned and scored up to here."
    )


class CausalLM(_FreeText):
    """Dialogue and instruction tuning of a decoder: a text is a prompt, or a list of turns that a user begins and ends.

    The answer is all that is learned.
    """

    kind: Literal["causal-lm"] = "causal-lm"
    max_tokens: MaxTokens = Field(
        512, description="Prompt and longest answer; the beginning of a prompt that leaves no room is cut off."
    )

    @model_validator(mode="after")
    def _prompt_has_room(self) -> Self:
        if self.answer_tokens >= self.max_tokens:
            raise ValueError(f"answer_tokens {self.answer_tokens} leaves no room for a prompt in {self.max_tokens}")
        return self


class SequenceToSequence(_FreeText):
    """A text for each text, such as its translation, by a model of an encoder and a decoder."""

    kind: Literal["sequence-to-sequence"] = "sequence-to-sequence"
    max_tokens: MaxTokens = Field(128, description="Longer texts are cut here; how many were is counted.")
    num_beams: int = Field(1, ge=1, le=64, description="Answers that are followed at once; 1: greedy search.")


Problem = Annotated[
    TextClassification | MultiLabelClassification | TokenClassification | CausalLM | SequenceToSequence,
    Field(discriminator="kind"),
]
