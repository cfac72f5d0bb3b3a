"""Validation: check of the rows by the recipe's contract; every row that breaks it is counted, the first are named."""

import pandas as pd

from schemas.frozen import digest_of
from schemas.recipe.contract import Contract
from schemas.recipe.problem import Problem
from schemas.records.references import ContractRef, Finding, SourcesRef
from tasks.methods.rows import CONTENT
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import keep_rows, read_table


def check_contract(
    train: pd.DataFrame, test: pd.DataFrame, contract: Contract, problem: Problem
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Finding, ...]]:
    """Return converted train and test without the rows that the contract drops, and a finding for every broken clause.

    If rows have another form than the problem expects, return the others, and findings on the forms only.
    """
    from tasks.methods.contract.clauses import first_clauses, label_clauses, leakage_clause, row_clauses
    from tasks.methods.contract.columns import describe_labels, describe_rows, without_blanks, without_conflicts
    from tasks.methods.contract.conversion import convert_rows, has_other_form
    from tasks.methods.contract.suite import check_clauses

    train, test = (convert_rows(rows, contract, problem) for rows in (train, test))
    findings = check_forms(train, test, problem)
    if findings:
        train, test = (rows[~has_other_form(rows)] for rows in (train, test))
        return train, test, tuple(findings)
    kept: dict[str, pd.DataFrame] = {}
    for name, rows in (("train", train), ("test", test)):
        findings += check_clauses(name, describe_rows(rows, problem), first_clauses(contract))
        texts = without_blanks(rows) if contract.blanks == "drop" else rows
        kept[name] = without_conflicts(texts, problem) if contract.conflicts == "drop" else texts
    train, test = kept["train"], kept["test"]
    is_leaked = train["match"].isin(test["match"].dropna())
    beside_test = describe_rows(train, problem).assign(is_leaked=list(is_leaked))
    findings += check_clauses("train", beside_test, [leakage_clause(contract)])
    if contract.leakage == "drop":
        train = train[~is_leaked]
    # The other clauses apply to the remaining rows.
    for name, rows in (("train", train), ("test", test)):
        described = describe_rows(rows, problem)
        findings += check_clauses(name, described, row_clauses(contract, problem))
        findings += check_clauses(name, describe_labels(described, problem), label_clauses(contract, problem))
    return train, test, tuple(findings)


def check_forms(train: pd.DataFrame, test: pd.DataFrame, problem: Problem) -> list[Finding]:
    """Return a finding for each column of converted rows with values of another form than the problem expects."""
    from tasks.methods.contract.clauses import form_clauses
    from tasks.methods.contract.conversion import MARKS, has_other_form
    from tasks.methods.contract.suite import check_clauses

    return [
        finding
        for name, rows in (("train", train), ("test", test))
        if has_other_form(rows).any()
        for finding in check_clauses(name, rows[["name", *MARKS]], form_clauses(name, problem))
    ]


@cached_task("validate")
def validate_rows(sources: SourcesRef, contract: Contract, problem: Problem) -> ContractRef:
    """Check both sources; a broken contract is a result, not a failure."""
    store = current_store()
    train, test = (read_table(store, ref) for ref in (sources.train, sources.test))
    train, test, findings = check_contract(train, test, contract, problem)
    train_ref, test_ref = (keep_rows(store, rows[list(CONTENT)]) for rows in (train, test))
    identity = [train_ref.digest, test_ref.digest, [finding.model_dump() for finding in findings]]
    return ContractRef(digest=digest_of(identity), train=train_ref, test=test_ref, findings=findings)
