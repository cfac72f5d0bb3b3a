"""Preparation of rows: pin inputs, ingest, validate, split, augment, tokenize."""

import logging
from dataclasses import dataclass
from pathlib import Path

from flows.chain.steps import CachedSteps
from schemas.recipe.recipe import Recipe
from schemas.records.references import (
    ContractRef,
    Finding,
    PretrainedRef,
    RowsRef,
    SourceFiles,
    SplitRef,
    TokensPairRef,
    TokensRef,
)
from tasks.augmentation import augment_rows
from tasks.ingestion import ingest_rows
from tasks.pinning import pin_pretrained, pin_sources
from tasks.splitting import split_rows
from tasks.tokenization import tokenize_rows
from tasks.validation import validate_rows

# Above it unknown tokens are more than rare signs, such as emoji.
MOST_UNKNOWN = 0.1
MULTILINGUAL = "FacebookAI/xlm-roberta-base"
log = logging.getLogger(__name__)
ROW_STEPS = ("ingest", "validate")
TOKEN_STEPS = ("split", "augment", "tokenize")


@dataclass(frozen=True)
class Inputs:
    """Inputs from outside the store, by content: files of rows, and the base model if one is trained."""

    train: SourceFiles
    test: SourceFiles
    base: PretrainedRef | None = None

    @property
    def lineage(self) -> dict[str, str]:
        files = {"train files": self.train.digest, "test files": self.test.digest}
        return files | ({"base model": self.base.digest} if self.base else {})


@dataclass(frozen=True)
class Tokens:
    rows: RowsRef
    validation: RowsRef
    pair: TokensPairRef
    base: PretrainedRef
    findings: tuple[Finding, ...]

    @property
    def lineage(self) -> dict[str, str]:
        return {"training rows": self.rows.digest, "validation rows": self.validation.digest}


def pin_inputs(recipe: Recipe, folder: Path, needs_base: bool) -> Inputs:
    """Pin a recipe's inputs by digest; paths are relative to `folder`. Raises RecipeError, DataError."""
    train, test = pin_sources(recipe.data, folder)
    base = pin_pretrained(recipe.model, recipe.problem, recipe.positions, folder) if needs_base else None
    return Inputs(train, test, base)


def validated(recipe: Recipe, inputs: Inputs, steps: CachedSteps) -> ContractRef:
    data = recipe.data
    sources = steps.call(
        "ingest", ingest_rows, train=data.train, test=data.test, train_files=inputs.train, test_files=inputs.test
    )
    return steps.call("validate", validate_rows, sources=sources, contract=recipe.contract, problem=recipe.problem)


def split_off(recipe: Recipe, contract: ContractRef, steps: CachedSteps) -> SplitRef:
    return steps.call("split", split_rows, rows=contract.train, split=recipe.data.split)


def tokenized(recipe: Recipe, inputs: Inputs, contract: ContractRef, steps: CachedSteps) -> Tokens:
    assert inputs.base is not None, "inputs were pinned without a base model"
    split = split_off(recipe, contract, steps)
    held_out = (split.validation, contract.test)
    rows = steps.call(
        "augment",
        augment_rows,
        rows=split.train,
        held_out=held_out,
        augmenters=recipe.augmentation,
        ignore=recipe.contract.ignore if recipe.augmentation else None,
    )
    pair = steps.call(
        "tokenize",
        tokenize_rows,
        train=rows,
        validation=split.validation,
        pretrained=inputs.base,
        problem=recipe.problem,
    )
    findings = find_unknown(pair.train, recipe.model.base)
    for finding in findings:
        log.warning("%-18s %s", "tokenize", finding.sentence)
    return Tokens(rows, split.validation, pair, inputs.base, findings)


def find_unknown(tokens: TokensRef, base: str) -> tuple[Finding, ...]:
    """Return a finding if the base's vocabulary lacks much of the texts, such as Chinese ones for an English base."""
    share = (tokens.num_unknown or 0) / max(tokens.num_tokens, 1)
    if share <= MOST_UNKNOWN:
        return ()
    return (
        Finding(
            rows_name="train",
            clause=f"{share:.0%} of the tokens are unknown to {base}, so it cannot tell them apart",
            num_broken=0,
            num_rows=0,
            refused=False,
            remedy=f"Choose a base of their language, or a multilingual one such as {MULTILINGUAL}.",
        ),
    )
