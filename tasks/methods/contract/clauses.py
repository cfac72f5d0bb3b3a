"""Clauses of the contract: expectations on the columns of rows and labels, with messages and remedies."""

from dataclasses import dataclass
from typing import Any

import great_expectations.expectations as gxe

from schemas.recipe.contract import Contract, Treatment
from schemas.recipe.problem import Problem
from tasks.methods.problems.table import PROBLEMS


@dataclass(frozen=True)
class Clause:
    """One expectation on a table, with its message, its remedy, and the treatment of rows that break it.

    shows_value: whether a message about a row shows the value of the column
    """

    expectation: Any
    words: str
    remedy: str
    treatment: Treatment = "refuse"
    shows_value: bool = False


def form_clauses(rows_name: str, problem: Problem) -> list[Clause]:
    """Return the clauses on the forms of values; the others are asked of rows that satisfy these."""
    methods = PROBLEMS[problem.kind]
    forms = {"text": methods.text_form, "label": methods.label_form}
    clauses = [
        Clause(
            gxe.ExpectColumnValuesToBeNull(column=f"other_{column}"),
            f"rows have something other than {form.words} in the column of data.{rows_name}.{column}",
            f"Name another column there, or {form.hint}.",
            shows_value=True,
        )
        for column, form in forms.items()
    ]
    unlabelled = Clause(
        gxe.ExpectColumnValuesToBeNull(column="unlabelled"),
        f"rows have no label: the column of data.{rows_name}.label holds -1 or blanks only, as in a split whose labels "
        "are kept back",
        f"Name another file or split in data.{rows_name}.",
        shows_value=True,
    )
    return [*clauses, unlabelled]


def first_clauses(contract: Contract) -> list[Clause]:
    """Return the clauses on all rows, before any are dropped."""
    is_dropped = contract.blanks == "drop"
    return [
        Clause(
            gxe.ExpectColumnValuesToNotBeNull(column="text"),
            "rows have no text",
            "They were dropped." if is_dropped else "Fill the texts, remove the rows, or set contract.blanks to drop.",
            contract.blanks,
        ),
        Clause(
            gxe.ExpectColumnValuesToBeBetween(column="num_labels", max_value=1),
            "rows have a text that occurs with several labels",
            _remedy("conflicts", contract.conflicts, "Decide for one label each"),
            contract.conflicts,
        ),
    ]


def leakage_clause(contract: Contract) -> Clause:
    """Return the clause on training rows that are also test rows."""
    return Clause(
        gxe.ExpectColumnValuesToBeInSet(column="is_leaked", value_set=[False]),
        "rows have a text that the test rows have too, so the test would not be fair",
        _remedy("leakage", contract.leakage, "Remove them from train"),
        contract.leakage,
    )


def row_clauses(contract: Contract, problem: Problem) -> list[Clause]:
    """Return the clauses on the remaining rows."""
    least, length, repeats = contract.rows.min, contract.text_length, contract.duplicates.max_fraction
    words, remedy = PROBLEMS[problem.kind].invalid_clause(problem)
    return [
        Clause(
            gxe.ExpectTableRowCountToBeBetween(min_value=least),
            f"too few rows: the contract asks for {least:,}",
            "Add rows, or lower contract.rows.min.",
        ),
        Clause(
            gxe.ExpectColumnValuesToNotBeNull(column="label"), "rows have no label", "Label the rows or remove them."
        ),
        Clause(gxe.ExpectColumnValuesToBeNull(column="invalid"), words, remedy, shows_value=True),
        Clause(
            gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=length.min, max_value=length.max),
            f"rows have fewer than {length.min} or more than {length.max:,} characters",
            "Remove the rows, or change contract.text_length.",
        ),
        Clause(
            gxe.ExpectColumnValuesToBeInSet(column="is_repeat", value_set=[False], mostly=round(1 - repeats, 12)),
            f"rows repeat text and label of an earlier one; the contract allows {repeats:.1%}",
            "Remove the repeats, or raise contract.duplicates.max_fraction.",
        ),
    ]


def label_clauses(contract: Contract, problem: Problem) -> list[Clause]:
    """Return the clauses on the problem's labels."""
    least = contract.class_share.min
    return [
        Clause(
            gxe.ExpectColumnDistinctValuesToContainSet(column="occurring", value_set=list(problem.labels)),
            f"not every label occurs: expected {', '.join(problem.labels)}",
            "Add rows of the missing labels, or remove them from problem.labels.",
        ),
        Clause(
            gxe.ExpectColumnValuesToBeBetween(column="share", min_value=least),
            f"labels have less than {least:.0%} of the rows",
            "Add rows of these labels, or lower contract.class_share.min.",
        ),
    ]


def _remedy(clause: str, treatment: Treatment, advice: str) -> str:
    if treatment == "refuse":
        return f"{advice}, or set contract.{clause} to drop or report."
    return "They were dropped." if treatment == "drop" else "They were kept."
