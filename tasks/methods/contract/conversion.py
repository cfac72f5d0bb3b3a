"""Conversion of rows, as they were read, to the forms that a problem expects; rows of other forms are marked.

MARKS and the column `invalid` hold in words what is wrong with a row, None if nothing is.
"""

from typing import Any

import numpy as np
import pandas as pd

from schemas.recipe.contract import Contract
from schemas.recipe.problem import Problem
from tasks.methods.forms.form import Form, describe_value
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.rows import content_id, match_of

# The class number of rows without labels in data sets of the hub.
UNLABELLED = "-1"

# Columns on values of another form.
MARKS = ("other_text", "other_label", "unlabelled")


def convert_rows(rows: pd.DataFrame, contract: Contract, problem: Problem) -> pd.DataFrame:
    """Return the rows with names, marks, converted texts and labels, and the digest `match` that like texts share."""
    methods = PROBLEMS[problem.kind]
    table = rows.reset_index(drop=True).assign(name=name_rows(rows))
    texts, labels = ([_as_lists(value) for value in rows[column]] for column in ("text", "label"))
    table["other_text"] = [_other_form(text, methods.text_form) for text in texts]
    table["other_label"] = [_other_form(label, methods.label_form) for label in labels]
    table["unlabelled"] = _mark_unlabelled(labels, problem)
    is_fit = table["other_text"].isna() & table["other_label"].isna()
    invalid: list[str | None] = [None] * len(table)
    ids = list(table["id"])
    for place, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if text is None or label is None or not is_fit[place]:
            continue
        invalid[place] = methods.invalid(text, label, problem)
        if invalid[place] is None:
            texts[place], labels[place] = methods.convert(text, label, problem)
            ids[place] = ids[place] if texts[place] == text else content_id(texts[place])
    table["invalid"] = pd.Series(invalid, dtype=object)
    table["text"], table["label"] = _column_of(texts), _column_of(labels)
    table["id"] = ids
    matches = [match_of(text, contract.ignore or ()) for text in table["text"]]
    table["match"] = pd.Series(matches, dtype=object)
    return table


def has_other_form(rows: pd.DataFrame) -> pd.Series:
    return rows[list(MARKS)].notna().any(axis=1)


def name_rows(rows: pd.DataFrame) -> list[str]:
    """Name each row by its number, and by its file if there are several."""
    several_files = rows["file"].max() > 1
    return [
        f"file {file}, row {row}" if several_files else f"row {row}"
        for file, row in zip(rows["file"], rows["row"], strict=True)
    ]


def _as_lists(value: Any) -> Any:
    """Replace the arrays that Parquet gives by lists."""
    if isinstance(value, np.ndarray | list):
        return [_as_lists(item) for item in value]
    return value


def _other_form(value: Any, form: Form) -> str | None:
    return None if value is None or form.fits(value) else describe_value(value)


def _column_of(values: list[Any]) -> pd.Series:
    """Make a text beside lists a list of one: a column of Parquet has one type. Missing values stay None."""
    if any(isinstance(value, list) for value in values):
        values = [[value] if isinstance(value, str) else value for value in values]
    return pd.Series(values, dtype=object if None in values else None)


def _mark_unlabelled(labels: list[Any], problem: Problem) -> list[str | None]:
    """Mark all rows if the only label is UNLABELLED or, where labels are texts, a blank one."""
    given = [label for label in labels if label is not None]
    none = {UNLABELLED} if problem.labels else {UNLABELLED, ""}
    is_unlabelled = bool(given) and all(_items(label) <= none for label in given) and UNLABELLED not in problem.labels
    return [describe_value(label) if is_unlabelled and label is not None else None for label in labels]


def _items(label: Any) -> set[str]:
    """Return the parts of a label; a label without parts has itself."""
    items = label if isinstance(label, list) and label else [label]
    return {item.strip() if isinstance(item, str) else repr(item) for item in items}
