"""The clauses: expectations on the columns of described rows and labels, with the words for rows that break them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import great_expectations.expectations as gxe

from schemas.recipe.contract import Contract, Treatment
from schemas.recipe.problem import Problem
from tasks.methods.problems.table import PROBLEMS


@dataclass(frozen=True)
class Clause:
    """One expectation on a table, in words, with what happens when it is broken.

    shows_value: whether a row that breaks it is named together with the value of the column
    """

    expectation: Any
    words: str
    remedy: str
    treatment: Treatment = "refuse"
    shows_value: bool = False


MakeClause = Callable[[Contract, Problem], Clause]


def has_text(contract: Contract, problem: Problem) -> Clause:
    """Every row has a text."""
    is_dropped = contract.blanks == "drop"
    return Clause(
        gxe.ExpectColumnValuesToNotBeNull(column="text"),
        "rows have no text",
        "They were dropped." if is_dropped else "Fill the texts, remove the rows, or set contract.blanks to drop.",
        contract.blanks,
    )


def has_no_conflict(contract: Contract, problem: Problem) -> Clause:
    """A text has the same label wherever it occurs."""
    return Clause(
        gxe.ExpectColumnValuesToBeBetween(column="num_labels", max_value=1),
        "rows have a text that occurs with several labels",
        _remedy("conflicts", contract.conflicts, "Decide for one label each"),
        contract.conflicts,
    )


def is_not_leaked(contract: Contract, problem: Problem) -> Clause:
    """No training row has a text of the test rows."""
    return Clause(
        gxe.ExpectColumnValuesToBeInSet(column="is_leaked", value_set=[False]),
        "rows have a text that the test rows have too, so the test would not be fair",
        _remedy("leakage", contract.leakage, "Remove them from train"),
        contract.leakage,
    )


def has_rows(contract: Contract, problem: Problem) -> Clause:
    """There are enough rows."""
    least = contract.rows.min
    return Clause(
        gxe.ExpectTableRowCountToBeBetween(min_value=least),
        f"too few rows: the contract asks for {least:,}",
        "Add rows, or lower contract.rows.min.",
    )


def has_label(contract: Contract, problem: Problem) -> Clause:
    """Every row has a label."""
    return Clause(
        gxe.ExpectColumnValuesToNotBeNull(column="label"), "rows have no label", "Label the rows or remove them."
    )


def has_valid_label(contract: Contract, problem: Problem) -> Clause:
    """Every label is one that the problem allows."""
    words, remedy = PROBLEMS[problem.kind].invalid_clause(problem)
    return Clause(gxe.ExpectColumnValuesToBeNull(column="invalid"), words, remedy, shows_value=True)


def has_length(contract: Contract, problem: Problem) -> Clause:
    """Every text is as long as texts may be."""
    length = contract.text_length
    return Clause(
        gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=length.min, max_value=length.max),
        f"rows have fewer than {length.min} or more than {length.max:,} characters",
        "Remove the rows, or change contract.text_length.",
    )


def is_no_repeat(contract: Contract, problem: Problem) -> Clause:
    """Few rows repeat another."""
    share = contract.duplicates.max_fraction
    return Clause(
        gxe.ExpectColumnValuesToBeInSet(column="is_repeat", value_set=[False], mostly=1 - share),
        f"rows repeat text and label of an earlier one; the contract allows {share:.1%}",
        "Remove the repeats, or raise contract.duplicates.max_fraction.",
    )


def every_label_occurs(contract: Contract, problem: Problem) -> Clause:
    """Each of the problem's labels is on some row."""
    return Clause(
        gxe.ExpectColumnDistinctValuesToContainSet(column="occurring", value_set=list(problem.labels)),
        f"not every label occurs: expected {', '.join(problem.labels)}",
        "Add rows of the missing labels, or remove them from problem.labels.",
    )


def no_label_is_rare(contract: Contract, problem: Problem) -> Clause:
    """Each of the problem's labels is on enough rows."""
    least = contract.class_share.min
    return Clause(
        gxe.ExpectColumnValuesToBeBetween(column="share", min_value=least),
        f"labels have less than {least:.0%} of the rows",
        "Add rows of these labels, or lower contract.class_share.min.",
    )


# Of all rows, before any are dropped; of training rows beside the test rows; of the rows that are left; of labels.
FIRST_CLAUSES: tuple[MakeClause, ...] = (has_text, has_no_conflict)
LEAKAGE_CLAUSES: tuple[MakeClause, ...] = (is_not_leaked,)
ROW_CLAUSES: tuple[MakeClause, ...] = (has_rows, has_label, has_valid_label, has_length, is_no_repeat)
LABEL_CLAUSES: tuple[MakeClause, ...] = (every_label_occurs, no_label_is_rare)


def _remedy(clause: str, treatment: Treatment, advice: str) -> str:
    if treatment == "refuse":
        return f"{advice}, or set contract.{clause} to drop or report."
    return "They were dropped." if treatment == "drop" else "They were kept."
