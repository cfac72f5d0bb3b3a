"""The kinds of problems, with their metrics and baselines."""

import unicodedata
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from schemas.frozen import LARGEST, Frozen
from schemas.recipe.evaluation import OF_ONE_LABEL, Baseline, MetricName


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    composed = tuple(unicodedata.normalize("NFC", label) for label in labels)
    if len(set(composed)) < len(labels) or not all(label.strip() for label in labels):
        raise ValueError("every label must be named once, and none may be blank")
    return composed


Labels = Annotated[tuple[str, ...], AfterValidator(_distinct)]
"""Names in Unicode's NFC, so that names that look equal are equal."""
MaxTokens = Annotated[int, Field(ge=4, le=8192)]
TagScheme = Literal["iob2", "bio", "iob1", "io", "iobes", "bioes", "bilou", "lower-case"]

# Schemes of two names; None is IOB2.
SCHEMES = {"iob2": None, "bio": None, "bioes": "iobes"}


def _one_scheme(tags: object, validate: ValidatorFunctionWrapHandler) -> object:
    """Validate tags, with one message for all choices, and give a scheme of two names one of them."""
    try:
        found = validate(tags)
    except ValidationError:
        schemes = ", ".join(get_args(TagScheme))
        raise ValueError(f"expected one of {schemes}, or a list of different tags, one for each number") from None
    return SCHEMES.get(found, found) if isinstance(found, str) else found


class Kind(Frozen):
    """A kind of problem, with properties by which recipes are checked; PROBLEMS holds its implementation.

    METRICS: suitable metrics; the first one is the default of the gate
    BASELINES: suitable baselines, the best one last
    can_augment: whether its texts are strings, which augmenters can alter
    has_one_label: whether each row has one label of a fixed set, which allows slices by label
    is_encoder_decoder: whether its models have an encoder and a decoder
    """

    METRICS: ClassVar[tuple[MetricName, ...]]
    BASELINES: ClassVar[tuple[Baseline, ...]] = ()
    can_augment: ClassVar[bool] = True
    has_one_label: ClassVar[bool] = False
    is_encoder_decoder: ClassVar[bool] = False


class WithoutLabels(Kind):
    """A kind without a fixed set of labels."""

    labels: ClassVar[tuple[str, ...]] = ()


class TextClassification(Kind):
    """One label of a fixed set for each text."""

    METRICS: ClassVar[tuple[MetricName, ...]] = OF_ONE_LABEL
    BASELINES: ClassVar[tuple[Baseline, ...]] = ("commonest", "words")
    has_one_label: ClassVar[bool] = True

    kind: Literal["text-classification"] = "text-classification"
    labels: Labels = Field(min_length=2, description="The labels' names; their order numbers the classes.")
    max_tokens: MaxTokens = Field(128, description="Longer texts are cut here; how many were is counted.")


class MultiLabelClassification(Kind):
    """Any number of labels of a fixed set for each text; the label column holds lists."""

    METRICS: ClassVar[tuple[MetricName, ...]] = ("label_micro_f1", "label_macro_f1", "subset_accuracy")

    kind: Literal["multi-label-classification"] = "multi-label-classification"
    labels: Labels = Field(min_length=1, description="The labels' names; their order numbers the classes.")
    max_tokens: MaxTokens = Field(128, description="Longer texts are cut here; how many were is counted.")
    threshold: float = Field(0.5, gt=0, lt=1, description="Smallest probability of a predicted label.")


class TokenClassification(Kind):
    """Named entities: a tag (B-TYPE, I-TYPE or O) for each word; text and label columns hold lists of equal length."""

    METRICS: ClassVar[tuple[MetricName, ...]] = ("entity_f1",)
    BASELINES: ClassVar[tuple[Baseline, ...]] = ("entities",)
    can_augment: ClassVar[bool] = False

    kind: Literal["token-classification"] = "token-classification"
    labels: Labels = Field(min_length=1, description="The entities' types, without B- and I-.")
    max_tokens: MaxTokens = Field(128, description="Longer texts are read in overlapping windows of this length.")
    overlap_tokens: int = Field(
        32, ge=0, le=LARGEST, validate_default=True, description="Tokens that neighbouring windows share."
    )
    tags: Annotated[TagScheme | Annotated[Labels, Field(min_length=1)] | None, WrapValidator(_one_scheme)] = Field(
        None,
        title="Tags",
        description="Scheme of the tags, which are converted to IOB2: null, iob2 or bio (IOB2), iob1, io (prefixes may "
        "be missing), iobes or bioes, bilou, lower-case (IOB2 in any case), or the IOB2 tags of "
        "class numbers in the order of these.",
    )

    @model_validator(mode="after")
    def _tags_have_the_types(self) -> Self:
        known = {"O", *(f"{prefix}-{label}" for label in self.labels for prefix in "BI")}
        if isinstance(self.tags, tuple) and (unknown := [tag for tag in self.tags if tag not in known]):
            raise ValueError(f"the tag {unknown[0]!r} is not O, or B- or I- with one of {', '.join(self.labels)}")
        return self

    @model_validator(mode="after")
    def _tags_are_distinct(self) -> Self:
        tags = ["O", *(f"I-{label}" for label in self.labels)]
        if self.tags == "io":
            tags += self.labels
        if self.tags == "lower-case":
            tags = [tag.lower() for tag in tags]
        if twice := [tag for tag in tags if tags.count(tag) > 1]:
            raise ValueError(f"in the scheme {self.tags} the tag {twice[0]!r} has two meanings; rename a type")
        return self

    @model_validator(mode="after")
    def _types_are_words(self) -> Self:
        # Tags are written with blanks between them.
        if broken := [label for label in self.labels if len(label.split()) > 1]:
            raise ValueError(f"the type {broken[0]!r} has a blank; write {'-'.join(broken[0].split())!r}")
        return self

    @field_validator("overlap_tokens")
    @classmethod
    def _windows_move_on(cls, overlap: int, info: ValidationInfo) -> int:
        longest = info.data.get("max_tokens", LARGEST)
        if overlap > longest // 2:
            default = cls.model_fields["overlap_tokens"].default
            raise ValueError(
                f"expected at most half of max_tokens {longest} ({default} is the default of overlap_tokens). Set "
                f"overlap_tokens to at most {longest // 2}, or raise max_tokens"
            )
        return overlap


class _FreeText(WithoutLabels):
    """A kind whose predictions are generated texts; the label column holds the true ones."""

    answer_tokens: int = Field(
        128, ge=1, le=4096, description="Longest answer; longer ones are cut here in training and scoring."
    )


class CausalLM(_FreeText):
    """Dialogue and instruction tuning of a decoder: a text is a prompt, or a list of turns that a user begins and ends.

    Only the answer is learned.
    """

    METRICS: ClassVar[tuple[MetricName, ...]] = ("answer_log_likelihood", "finished", "rouge_l")

    kind: Literal["causal-lm"] = "causal-lm"
    max_tokens: MaxTokens = Field(
        512,
        validate_default=True,
        description="Prompt and longest answer; prompts that leave no room lose their beginning.",
    )

    @field_validator("max_tokens")
    @classmethod
    def _prompt_has_room(cls, longest: int, info: ValidationInfo) -> int:
        answer = info.data.get("answer_tokens", 0)
        if answer >= longest:
            default = cls.model_fields["answer_tokens"].default
            raise ValueError(
                f"expected more than answer_tokens {answer} ({default} is its default), which leave no room for a "
                "prompt. Lower answer_tokens, or raise max_tokens"
            )
        return longest


class SequenceToSequence(_FreeText):
    """A text for each text, such as its translation, by a model of an encoder and a decoder."""

    METRICS: ClassVar[tuple[MetricName, ...]] = ("bleu", "bleu_zh", "rouge_l", "finished")
    is_encoder_decoder: ClassVar[bool] = True

    kind: Literal["sequence-to-sequence"] = "sequence-to-sequence"
    max_tokens: MaxTokens = Field(128, description="Longer texts are cut here; how many were is counted.")
    num_beams: int = Field(1, ge=1, le=64, description="Beams of the beam search; 1: greedy search.")


Problem = Annotated[
    TextClassification | MultiLabelClassification | TokenClassification | CausalLM | SequenceToSequence,
    Field(discriminator="kind"),
]

# By their names in recipes.
KINDS: dict[str, type[Kind]] = {kind.model_fields["kind"].default: kind for kind in get_args(get_args(Problem)[0])}
