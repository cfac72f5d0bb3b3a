"""Rows and labels as tables with columns for the clauses, and the dropping of rows.

A row's relation to others (repeats, conflicts, leakage) is a column, so each clause is one expectation on values, and
the rows that break it have names. Texts are compared by their `match`; blank ones have none.
"""

import pandas as pd

from schemas.recipe.problem import Problem
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.rows import plain


def describe_rows(rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Add to each converted row its relation to other rows. Lists become one string; a blank text counts as missing."""
    methods = PROBLEMS[problem.kind]
    table = rows.reset_index(drop=True)
    table["names"] = [[] if label is None else methods.names(label) for label in rows["label"]]
    table["label"] = plain_labels(rows, problem)
    table["text"] = [
        None if match is None else plain(text) for text, match in zip(rows["text"], rows["match"], strict=True)
    ]
    table["is_repeat"] = table.duplicated(["match", "label"]) & table["match"].notna()
    table["num_labels"] = _num_labels(table)
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
    return rows[rows["match"].notna()]


def without_conflicts(rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    return rows[_num_labels(rows.assign(label=plain_labels(rows, problem))) <= 1]


def plain_labels(rows: pd.DataFrame, problem: Problem) -> list[str | None]:
    """Convert labels to strings that are equal for equivalent labels."""
    same_label = PROBLEMS[problem.kind].same_label
    return [None if label is None else plain(same_label(label)) for label in rows["label"]]


def _num_labels(rows: pd.DataFrame) -> pd.Series:
    """Count the different labels of each row's text. Blank texts are no texts, so their labels are no conflict."""
    return rows.groupby("match")["label"].transform("nunique").fillna(1)
