"""Validation: the rows against the recipe's contract, by Great Expectations; every broken row is counted and named.

Clauses about a row's relation to others (repeats, conflicts, leakage) and about labels are prepared as columns, so that
each clause is one expectation over values and its failing rows have names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from schemas.recipe.contract import Contract, Treatment

from schemas.frozen import digest_of
from schemas.recipe.problem import Problem
from schemas.records.references import ContractRef, Finding, SourcesRef
from schemas.settings import Settings
from tasks.methods.rows import CONTENT, Value, plain
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import open_store
from tasks.services.storage.tables import keep_rows, read_table

MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Clause:
    """One expectation on a table, in words, with what happens when it is broken."""

    expectation: Any
    words: str
    remedy: str
    treatment: Treatment = "refuse"
    shows_value: bool = False


def check_contract(
    train: pd.DataFrame, test: pd.DataFrame, contract: Contract, problem: Problem
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Finding, ...]]:
    """Give train and test without the rows that the contract drops, and every clause that is broken."""
    labelled: dict[str, pd.DataFrame] = {}
    findings: list[Finding] = []
    for name, rows in (("train", train), ("test", test)):
        findings += _validate(name, describe_rows(rows, problem), [blank_clause(contract), conflict_clause(contract)])
        texts = _without_blanks(rows) if contract.blanks == "drop" else rows
        labelled[name] = _without_conflicts(texts) if contract.conflicts == "drop" else texts
    train, test = labelled["train"], labelled["test"]
    is_leaked = train["id"].isin(test["id"])
    findings += _validate(
        "train", describe_rows(train, problem).assign(is_leaked=list(is_leaked)), [leakage_clause(contract)]
    )
    if contract.leakage == "drop":
        train = train[~is_leaked]
    # The other clauses speak of the rows that are left.
    for name, rows in (("train", train), ("test", test)):
        described = describe_rows(rows, problem)
        findings += _validate(name, described, list(row_clauses(contract, problem)))
        if problem.labels:
            findings += _validate(name, describe_labels(described, problem), label_clauses(contract, problem))
    return train, test, tuple(findings)


def describe_rows(rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Add to each row its name, what of its label does not fit, and its relation to its neighbours.

    Texts and labels that are lists become one string; a blank text counts as none.
    """
    from tasks.methods.problems.table import PROBLEMS

    methods = PROBLEMS[problem.kind]
    several_files = rows["file"].max() > 1
    table = rows.reset_index(drop=True)
    names = (
        f"file {file}, row {row}" if several_files else f"row {row}"
        for file, row in zip(rows.file, rows.row, strict=True)
    )
    table["name"] = list(names)
    pairs = list(zip(rows["text"], rows["label"], strict=True))
    table["stray"] = [None if _has_none(*pair) else methods.stray(*pair, problem) for pair in pairs]
    table["names"] = [[] if label is None else methods.names(label) for label in rows["label"]]
    table["label"] = [plain(_in_order(label, problem)) for label in rows["label"]]
    table["text"] = [None if _is_blank(text) else plain(text) for text in rows["text"]]
    table["is_repeat"] = table.duplicated(["id", "label"])
    # Blank texts are all alike: what they are labelled is no conflict.
    table["num_labels"] = table.groupby("id")["label"].transform("nunique").where(table["text"].notna(), 1)
    return table


def _is_blank(text: Value) -> bool:
    return not (plain(text) or "").strip()


def _in_order(label: Value, problem: Problem) -> Value:
    """Several labels of a row mean the same in any order."""
    return sorted(label) if isinstance(label, list) and problem.kind == "multi-label-classification" else label


def _has_none(*values: Value) -> bool:
    return any(value is None for value in values)


def describe_labels(described: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """One row a label that occurs or should, with its share of the rows."""
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


def row_clauses(contract: Contract, problem: Problem) -> Iterator[Clause]:
    """The clauses that are asked of rows."""
    import great_expectations.expectations as gxe

    length, least, share = contract.text_length, contract.rows.min, contract.duplicates.max_fraction
    yield Clause(
        gxe.ExpectTableRowCountToBeBetween(min_value=least),
        f"too few rows: the contract asks for {least:,}",
        "Add rows, or lower contract.rows.min.",
    )
    yield Clause(
        gxe.ExpectColumnValuesToNotBeNull(column="label"), "rows have no label", "Label the rows or remove them."
    )
    yield Clause(
        gxe.ExpectColumnValuesToBeNull(column="stray"),
        *_words_for_strays(problem),
        shows_value=True,
    )
    yield Clause(
        gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=length.min, max_value=length.max),
        f"rows have fewer than {length.min} or more than {length.max:,} characters",
        "Remove the rows, or change contract.text_length.",
    )
    yield Clause(
        gxe.ExpectColumnValuesToBeInSet(column="is_repeat", value_set=[False], mostly=1 - share),
        f"rows repeat text and label of an earlier one; the contract allows {share:.1%}",
        "Remove the repeats, or raise contract.duplicates.max_fraction.",
    )


def _words_for_strays(problem: Problem) -> tuple[str, str]:
    if not problem.labels:
        return "rows have a text or an answer of another form", "Correct the rows, or name other columns in data."
    return (
        f"rows have a label that is not one of {', '.join(problem.labels)}",
        "Correct the labels, or add the new one to problem.labels.",
    )


def blank_clause(contract: Contract) -> Clause:
    """The clause against rows without text."""
    import great_expectations.expectations as gxe

    is_dropped = contract.blanks == "drop"
    return Clause(
        gxe.ExpectColumnValuesToNotBeNull(column="text"),
        "rows have no text",
        "They were dropped." if is_dropped else "Fill the texts, remove the rows, or set contract.blanks to drop.",
        contract.blanks,
    )


def conflict_clause(contract: Contract) -> Clause:
    """The clause against one text with several labels."""
    import great_expectations.expectations as gxe

    return Clause(
        gxe.ExpectColumnValuesToBeBetween(column="num_labels", max_value=1),
        "rows have a text that occurs with several labels",
        _remedy("conflicts", contract.conflicts, "Decide for one label each"),
        contract.conflicts,
    )


def leakage_clause(contract: Contract) -> Clause:
    """The clause against training rows that the test would find again."""
    import great_expectations.expectations as gxe

    return Clause(
        gxe.ExpectColumnValuesToBeInSet(column="is_leaked", value_set=[False]),
        "rows have a text that the test rows have too, so the test would not be fair",
        _remedy("leakage", contract.leakage, "Remove them from train"),
        contract.leakage,
    )


def label_clauses(contract: Contract, problem: Problem) -> list[Clause]:
    """The clauses that are asked of labels."""
    import great_expectations.expectations as gxe

    least = contract.class_share.min
    every = Clause(
        gxe.ExpectColumnDistinctValuesToContainSet(column="occurring", value_set=list(problem.labels)),
        f"not every label occurs: expected {', '.join(problem.labels)}",
        "Add rows of the missing labels, or remove them from problem.labels.",
    )
    share = Clause(
        gxe.ExpectColumnValuesToBeBetween(column="share", min_value=least),
        f"labels have less than {least:.0%} of the rows",
        "Add rows of these labels, or lower contract.class_share.min.",
    )
    return [every, share]


def _remedy(clause: str, treatment: Treatment, advice: str) -> str:
    if treatment == "refuse":
        return f"{advice}, or set contract.{clause} to drop or report."
    return "They were dropped." if treatment == "drop" else "They were kept."


def _validate(name: str, table: pd.DataFrame, clauses: list[Clause]) -> list[Finding]:
    """Run the clauses as one suite and turn the broken ones into findings."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    for number, clause in enumerate(clauses):
        # Results come in an order of their own.
        clause.expectation.meta = {"clause": number}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = context.suites.add(
        gx.ExpectationSuite(name="contract", expectations=[clause.expectation for clause in clauses])
    )
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    # Complete results name every failing row; they hold raw texts and stay in this function.
    wanted = {"result_format": "COMPLETE", "unexpected_index_column_names": ["name"], "partial_unexpected_count": 0}
    results: list[Any] = sorted(batch.validate(suite, result_format=wanted).results, key=_clause_number)
    for result in results:
        _raise_if_not_run(result)
    return [
        _finding(name, table, clause, result)
        for clause, result in zip(clauses, results, strict=True)
        # A clause that is kept may still have rows to count, such as the repeats it allows.
        if not result.success or result.result.get("unexpected_count")
    ]


def _what_was_found(table: pd.DataFrame, column: str | None) -> str:
    """Words for a clause about the whole table: its rows, or the values of the column it speaks of."""
    return f"found {len(table):,}" if column is None else f"found {', '.join(sorted(table[column].dropna().unique()))}"


def _clause_number(result: Any) -> int:
    number: int = result.expectation_config.meta["clause"]
    return number


def _finding(name: str, table: pd.DataFrame, clause: Clause, result: Any) -> Finding:
    broken = result.result.get("unexpected_index_list") or []
    column = result.expectation_config.kwargs.get("column")
    examples = tuple(
        f"{row['name']}: {row[column]!r}" if clause.shows_value else str(row["name"]) for row in broken[:MAX_EXAMPLES]
    )
    if len(broken) > MAX_EXAMPLES:
        examples += ("...",)
    is_about_rows = "unexpected_count" in result.result
    return Finding(
        rows_name=name,
        clause=clause.words,
        num_broken=result.result.get("unexpected_count", 0),
        num_rows=len(table) if is_about_rows else 0,
        examples=examples if is_about_rows else (_what_was_found(table, column),),
        refused=clause.treatment == "refuse" and not result.success,
        remedy="The contract allows it." if result.success else clause.remedy,
    )


def _raise_if_not_run(result: Any) -> None:
    """An expectation that could not be computed is our mistake, not the data's."""
    information = result.exception_info or {}
    entries = information.values() if "raised_exception" not in information else [information]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("raised_exception"):
            raise RuntimeError(f"{result.expectation_config.type}: {entry['exception_message']}")


def _without_blanks(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[[not _is_blank(text) for text in rows["text"]]]


def _without_conflicts(rows: pd.DataFrame) -> pd.DataFrame:
    labels = rows["label"].map(plain)
    return rows[labels.groupby(rows["id"]).transform("nunique") <= 1]


@cached_task("validate")
def validate_rows(sources: SourcesRef, contract: Contract, problem: Problem) -> ContractRef:
    """Check both sources; a broken contract is a result, not a failure."""
    store = open_store(Settings())
    train, test = (read_table(store, ref) for ref in (sources.train, sources.test))
    train, test, findings = check_contract(train, test, contract, problem)
    train_ref, test_ref = (keep_rows(store, rows[list(CONTENT)]) for rows in (train, test))
    identity = [train_ref.digest, test_ref.digest, [finding.model_dump() for finding in findings]]
    return ContractRef(digest=digest_of(identity), train=train_ref, test=test_ref, findings=findings)
