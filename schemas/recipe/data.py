"""Sources of rows, and their split."""

from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.frozen import Frozen, Place, Seed


def _as_tuple(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


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
    """Columns and fraction of a source."""

    text: Columns = Field(
        min_length=1,
        description="The column of the text; several columns are joined with blank lines.",
    )
    label: str = Field(description="The column of the label: its name, or a number if the file names its classes.")
    fraction: float = Field(1.0, gt=0, le=1, description="Share of the rows to take, the same share of each label.")
    seed: Seed = Field(0, description="Seed of the choice of rows by fraction.")
    licence: str | None = Field(
        None,
        min_length=1,
        title="Licence",
        description="Licence of the rows, such as cc-by-4.0; null: unknown.",
    )


class FileSource(_Rows):
    """Rows from CSV, JSON Lines or Parquet files in UTF-8, recognised by their suffix."""

    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset({"path", "licence"})

    kind: Literal["file"] = "file"
    path: Annotated[tuple[FilePath, ...], BeforeValidator(_as_tuple)] = Field(
        min_length=1,
        description="One file or several, relative to the recipe's file, or new/*.csv, or s3://BUCKET/new/*.csv at the "
        "store's endpoint; rows follow in this order.",
    )


class HubSource(_Rows):
    """Rows of one split of a data set of the hub, from its Parquet, JSON Lines or CSV files; its code is never run."""

    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset({"id", "revision", "split", "licence"})

    kind: Literal["hub"] = "hub"
    id: Place = Field(
        description="OWNER/NAME on the hub (with revision), or ./FOLDER beside the recipe, with the layout of the hub."
    )
    revision: str | None = Field(
        None, title="Revision", pattern="^[0-9a-f]{40}$", description="The full commit; required for an id of the hub."
    )
    split: str = Field(
        pattern=r"^\w+([./-]\w+)*$",
        description="The split, such as train or test; FOLDER/train if splits are in folders.",
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
    """Split of the training rows by a hash of the text, so that a row never changes sides when data grow."""

    kind: Literal["hash"] = "hash"
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="Expected share of validation rows.")
    seed: Seed = Field(0, description="Seed of the split.")


class Data(Frozen):
    train: Source = Field(description="Training rows; the validation rows are split off them.")
    test: Source = Field(description="Held-out rows, on which candidate and champion are compared.")
    split: HashSplit = Field(HashSplit(), description="Split of the validation rows off the training rows.")
    licences: tuple[str, ...] | None = Field(
        None, min_length=1, title="Licences", description="Licences you accept, 'unknown' for rows without; null: any."
    )
