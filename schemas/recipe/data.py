"""Where rows come from, and how they are cut."""

from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.frozen import Frozen, Place


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _portable(path: str) -> str:
    suffix = PurePosixPath(path).suffix
    if path.startswith(("/", "~")) or "\\" in path or (len(path) > 1 and path[1] == ":"):
        raise ValueError("an absolute path works on one machine only: give it relative to the recipe's file")
    if suffix not in (".csv", ".jsonl", ".parquet"):
        raise ValueError(f"cannot read {suffix or 'a file without suffix'!r}: expected .csv, .jsonl or .parquet")
    return path


Columns = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
FilePath = Annotated[str, AfterValidator(_portable)]


class _Rows(Frozen):
    """Which columns of a source are read, and how many of its rows."""

    text: Columns = Field(
        min_length=1,
        description="The column that holds the text; of several, what they hold with a blank line between.",
    )
    label: str = Field(description="The column that holds the label's name, or a number where the file names classes.")
    fraction: float = Field(1.0, gt=0, le=1, description="Share of the rows to take, the same share of each label.")
    seed: int = Field(0, ge=0, description="Decides which rows a fraction takes.")
    licence: str | None = Field(
        None,
        min_length=1,
        title="Licence",
        description="What the rows may be used for, such as cc-by-4.0; null: unknown.",
    )


class FileSource(_Rows):
    """Rows from CSV, JSON Lines or Parquet files in UTF-8, told apart by their suffix."""

    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset({"path", "licence"})

    kind: Literal["file"] = "file"
    path: Annotated[tuple[FilePath, ...], BeforeValidator(_as_tuple)] = Field(
        min_length=1,
        description="One file or several, relative to the recipe's file, or new/*.csv, or s3://BUCKET/new/*.csv at the "
        "store's endpoint; rows follow in this order.",
    )


class HubSource(_Rows):
    """Rows of one split of a data set of the hub, from its Parquet, JSON Lines or CSV files; no code of it is run."""

    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset({"id", "revision", "split", "licence"})

    kind: Literal["hub"] = "hub"
    id: Place = Field(
        description="OWNER/NAME on the hub (with revision), or ./FOLDER beside the recipe, laid out like one there."
    )
    revision: str | None = Field(
        None, title="Revision", pattern="^[0-9a-f]{40}$", description="The commit, in full; an id of the hub needs one."
    )
    split: str = Field(
        pattern=r"^\w+([./-]\w+)*$", description="Such as train or test; FOLDER/train where splits lie in folders."
    )

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        is_folder = self.id.startswith(".")
        if is_folder and self.revision:
            raise ValueError("a folder has no revision: leave it out")
        if not is_folder and not self.revision:
            raise ValueError("an id of the hub needs the revision (a commit), so that the rows are always the same")
        return self


def _file_unless_said(source: object) -> object:
    return {"kind": "file"} | source if isinstance(source, dict) and "kind" not in source else source


Source = Annotated[FileSource | HubSource, Field(discriminator="kind"), BeforeValidator(_file_unless_said)]


class HashSplit(Frozen):
    """Cut validation rows off the training rows by a hash of the text: a row never changes sides when data grow."""

    kind: Literal["hash"] = "hash"
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="Expected share of validation rows.")
    seed: int = Field(0, ge=0, description="Another seed is another cut.")


class Data(Frozen):
    train: Source = Field(description="Rows to learn from; the validation rows are cut from them.")
    test: Source = Field(description="Held-out rows: candidate and champion are judged on these.")
    split: HashSplit = Field(HashSplit(), description="How validation rows are cut from the training rows.")
    licences: tuple[str, ...] | None = Field(
        None, min_length=1, title="Licences", description="Licences you accept, 'unknown' for rows without; null: any."
    )
