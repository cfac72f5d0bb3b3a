"""Check of clauses as one suite of Great Expectations; every broken row is counted, and the first are named."""

from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig

from schemas.records.references import Finding
from tasks.methods.contract.clauses import Clause

MAX_EXAMPLES = 5


def check_clauses(name: str, table: pd.DataFrame, clauses: list[Clause]) -> list[Finding]:
    """Return a finding for each clause that rows or labels of `table`, called `name`, break, even within its limit.

    Raises RuntimeError when an expectation could not be computed.
    """
    results = _run(name, table, clauses)
    return [
        _finding(name, table, clause, result)
        for clause, result in zip(clauses, results, strict=True)
        # A satisfied clause may still have rows to count, such as allowed repeats.
        if not result.success or result.result.get("unexpected_count")
    ]


def _run(name: str, table: pd.DataFrame, clauses: list[Clause]) -> list[Any]:
    for number, clause in enumerate(clauses):
        # The results are not in the order of the clauses.
        clause.expectation.meta = {"clause": number}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = context.suites.add(
        gx.ExpectationSuite(name="contract", expectations=[clause.expectation for clause in clauses])
    )
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    # Complete results name every failing row; they hold texts and must not leave this module.
    wanted = {"result_format": "COMPLETE", "unexpected_index_column_names": ["name"], "partial_unexpected_count": 0}
    found: Any = batch.validate(suite, result_format=wanted)
    results = sorted(found.results, key=lambda result: result.expectation_config.meta["clause"])
    for result in results:
        _raise_if_not_run(result)
    return results


def _finding(name: str, table: pd.DataFrame, clause: Clause, result: Any) -> Finding:
    broken = result.result.get("unexpected_index_list") or []
    column = result.expectation_config.kwargs.get("column")
    examples = tuple(
        f"{row['name']}: {row[column]}" if clause.shows_value else str(row["name"]) for row in broken[:MAX_EXAMPLES]
    )
    if len(broken) > MAX_EXAMPLES:
        examples += ("...",)
    is_about_rows = "unexpected_count" in result.result
    if not is_about_rows:
        found = f"{len(table):,}" if column is None else ", ".join(sorted(table[column].dropna().unique()))
        examples = (f"found {found}",)
    return Finding(
        rows_name=name,
        clause=clause.words,
        num_broken=result.result.get("unexpected_count", 0),
        num_rows=len(table) if is_about_rows else 0,
        examples=examples,
        refused=clause.treatment == "refuse" and not result.success,
        remedy="The contract allows it." if result.success else clause.remedy,
    )


def _raise_if_not_run(result: Any) -> None:
    """Raise RuntimeError for an expectation that could not be computed; it is a bug and no defect of the data."""
    information = result.exception_info or {}
    entries = information.values() if "raised_exception" not in information else [information]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("raised_exception"):
            raise RuntimeError(f"{result.expectation_config.type}: {entry['exception_message']}")
