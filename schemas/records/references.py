"""References that steps pass to each other: digests, sizes and counts, never data.

`digest` is the identity: references with equal digests have equal content, and only the digest enters a cache key.
All other fields are for people and the next step.
"""

from typing import Any, Self

from pydantic import Field

from schemas.frozen import Digest, FileName, Frozen, digest_of


class Reference(Frozen):
    digest: Digest


class Blob(Reference):
    """Bytes in the store under `blobs/sha256/`."""

    size_bytes: int = Field(ge=0)


class _Pair(Reference):
    """Two references; `digest` covers both."""

    @classmethod
    def of(cls, **two: Reference) -> Self:
        return cls.model_validate({"digest": digest_of([one.digest for one in two.values()]), **two})


class SourceFile(Reference):
    """A source file of the user; its path is not part of its identity."""

    path: str


class SourceFiles(Reference):
    files: tuple[SourceFile, ...]


class RowsRef(Blob):
    """A Parquet file of rows: id, file, row, text, label."""

    num_rows: int


class SourcesRef(_Pair):
    """The rows of train and test, before validation."""

    train: RowsRef
    test: RowsRef


class Finding(Frozen):
    """One clause of the contract: the number of rows that break it, and examples."""

    rows_name: str
    clause: str
    num_broken: int
    num_rows: int
    examples: tuple[str, ...] = ()
    refused: bool
    remedy: str

    @property
    def sentence(self) -> str:
        where = f" ({', '.join(self.examples)})" if self.examples else ""
        count = f"{self.num_broken:,} of {self.num_rows:,} " if self.num_rows else ""
        return f"{self.rows_name}: {count}{self.clause}{where}. {self.remedy}"


class ContractRef(Reference):
    """The rows that passed the contract, and every finding; `digest` covers both."""

    train: RowsRef
    test: RowsRef
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(finding.refused for finding in self.findings)


class SplitRef(_Pair):
    train: RowsRef
    validation: RowsRef


class PretrainedRef(Reference):
    """A checked pretrained model: `digest` covers the files that are loaded from `folder`."""

    folder: str
    source: str
    licence: str


class TokensRef(Blob):
    """A Parquet file of token ids and targets, in the order of its rows; `num_cut` rows were too long.

    num_unknown: tokens that stand for a word the vocabulary lacks; None in records of before it was counted
    """

    num_rows: int
    num_tokens: int
    num_cut: int
    num_unknown: int | None = None


class TokensPairRef(_Pair):
    train: TokensRef
    validation: TokensRef


class CurvePoint(Frozen):
    step: int
    epoch: float
    loss: float | None = None
    validation_loss: float | None = None


class ModelRef(Reference):
    """Files that make a model; `digest` covers their names and contents."""

    files: dict[FileName, Blob]

    @classmethod
    def of(cls, files: dict[str, Blob], **more: object) -> Self:
        digest = digest_of({name: blob.digest for name, blob in files.items()})
        return cls.model_validate({"digest": digest, "files": files, **more})


class TrainingCost(Frozen):
    """Cost of a training's last attempt where it ran; a cached one is not measured again."""

    seconds: float
    peak_memory_bytes: int
    trained_parameters: int
    parameters: int

    @property
    def trained_share(self) -> float:
        return self.trained_parameters / self.parameters


class TrainedRef(ModelRef):
    curve: tuple[CurvePoint, ...]
    cost: TrainingCost
    code: Digest
    environment: dict[str, str]
    installed: dict[str, str] = Field(
        default={}, description="Versions of all distributions in the environment of the training."
    )


class ScoresRef(Blob):
    """A Parquet file of predictions by row, and their scores with 95 % intervals."""

    num_rows: int
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    constant: dict[str, float] = Field(default={}, description="Scores of the majority prediction for all rows.")
    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]


class LoadedRef(Reference):
    """A model whose predictions on some test rows were reproduced in an isolated process."""

    num_rows: int


class AnswersRef(Reference):
    """Parquet files of predictions for the same rows, by baseline."""

    tables: dict[str, Blob]


class ModelCosts(Frozen):
    """Inference costs of a model, on the same rows for every model, in alternating blocks.

    singles: seconds of single rows, shape (blocks, rows); batches: seconds a row, of one batch a block
    memory_bytes: peaks during loading and prediction, measured several times
    """

    singles: tuple[tuple[float, ...], ...]
    batches: tuple[float, ...]
    memory_bytes: tuple[int, ...]
    size_bytes: int


class CostsRef(Reference):
    candidate: ModelCosts
    champion: ModelCosts


class EvidenceRef(Reference):
    """The evidence for a gate; `digest` covers the present parts only, so that new kinds of evidence change no other.

    champion_version: that of the reference model; earlier: scores of earlier champions by version
    seed_scores: the gate's metric on the validation rows, one a seed; empty where one seed was trained
    """

    candidate: ScoresRef
    labels: tuple[str, ...] = ()
    champion: ScoresRef | None = None
    champion_version: Digest | None = None
    earlier: dict[Digest, ScoresRef] = Field(default={})
    baselines: AnswersRef | None = None
    costs: CostsRef | None = None
    seed_scores: tuple[float, ...] = ()

    @classmethod
    def of(cls, **parts: Any) -> Self:
        """Build evidence from its parts; None or empty parts are left out of the digest."""
        present = {name: part for name, part in parts.items() if part not in (None, {}, ())}
        return cls.model_validate({"digest": digest_of(_identities(present)), **present})

    @property
    def parts(self) -> dict[str, Any]:
        """By name, the digest of each part that is there, or the part itself where it is no reference."""
        present = {name: part for name, part in self if name != "digest" and part not in (None, {}, ())}
        return {name: _identities(part) for name, part in present.items()}


def _identities(part: Any) -> Any:
    if isinstance(part, Reference):
        return part.digest
    if isinstance(part, dict):
        return {name: _identities(item) for name, item in part.items()}
    return list(part) if isinstance(part, tuple) else part


class ErrorRow(Frozen):
    """A row that the candidate got wrong; `champion` is the champion's prediction, if any."""

    text: str
    label: str
    answer: str
    probability: float
    champion: str | None = None


class ReportRef(Reference):
    """Pictures (PNG, by file name) and the first errors in the order that `order` describes."""

    pictures: dict[str, Blob]
    errors: tuple[ErrorRow, ...]
    num_errors: int
    order: str
