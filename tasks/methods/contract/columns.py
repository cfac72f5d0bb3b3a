"""Rows and labels as tables with columns for the clauses, and the dropping of rows.

A row's relation to others (repeats, conflicts, leakage) and its invalid label are columns, so each clause is one
expectation on values, and the rows that break it have names.
"""

import pandas as pd

from schemas.recipe.problem import Problem
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.rows import Value, plain


def describe_rows(rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Add to each row its name, its invalid label, and its relation to other rows.

    Lists become one string; a blank text counts as missing.
    """
    methods = PROBLEMS[problem.kind]
    several_files = rows["file"].max() > 1
    table = rows.reset_index(drop=True)
    names = (
        f"file {file}, row {row}" if several_files else f"row {row}"
        for file, row in zip(rows.file, rows.row, strict=True)
    )
    table["name"] = list(names)
    table["invalid"] = [
        None if text is None or label is None else methods.invalid(text, label, problem)
        for text, label in zip(rows["text"], rows["label"], strict=True)
    ]
    table["names"] = [[] if label is None else methods.names(label) for label in rows["label"]]
    table["label"] = plain_labels(rows, problem)
    table["text"] = [None if _is_blank(text) else plain(text) for text in rows["text"]]
    table["is_repeat"] = table.duplicated(["id", "label"])
    # Blank texts are all equal; different labels on them are no conflict.
    table["num_labels"] = table.groupby("id")["label"].transform("nunique").where(table["text"].notna(), 1)
    return table


def describe_labels(described: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Return one row for each label of the problem, with its share of the rows."""
    counts = described["names"].explode().value_counts()
    shares = [counts.get(label, 0) / max(len(described), 1) for label in problem.labels]
    names = [f"{label!r} has {share:.1%}" for label, share in zip(problem.labels, shares, strict=True)]
    return pd.DataFrame(
        {
            "name": names,
            "share": shares,
            "occurring": [label if counts.get(label, 0) else None for label in problem.labels],
        }
    )


def without_blanks(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[[not _is_blank(text) for text in rows["text"]]]


def without_conflicts(rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    labels = pd.Series(plain_labels(rows, problem), index=rows.index, dtype=object)
    return rows[labels.groupby(rows["id"]).transform("nunique") <= 1]


def plain_labels(rows: pd.DataFrame, problem: Problem) -> list[str | None]:
    """Convert labels to strings that are equal for equivalent labels."""
    return [plain(PROBLEMS[problem.kind].same_label(label)) for label in rows["label"]]


def _is_blank(text: Value) -> bool:
    return not (plain(text) or "").strip()
