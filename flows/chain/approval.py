"""Approval of proposals: one that stands for the same candidate, and the check of one before it is approved.

A proposal is written by an account that may train. So the account that approves computes its verdict again, with
predictions of its own by all models, for the proposal's rows and by the proposal's gate.
"""

import logging
from math import isclose

import numpy as np
import pandas as pd

from flows.chain.gate import Gated, earlier_champions
from schemas.errors import Conflict, Corrupt
from schemas.frozen import digest_of, short
from schemas.recipe.promotion import Promotion
from schemas.records.approval import Grounds, Proposal
from schemas.records.references import ModelRef
from schemas.records.verdict import Verdict
from schemas.records.versions import ModelLog
from tasks.evaluation import answer
from tasks.gating import gate_predictions
from tasks.methods.models.isolated import run_isolated
from tasks.services.local.object_store import current_store
from tasks.services.registry.log import read_log
from tasks.services.registry.proposals import list_standings, read_passing_verdict
from tasks.services.registry.versions import read_manifest, unpacked
from tasks.services.storage.tables import read_table

log = logging.getLogger(__name__)
ROUNDING = 0.01
"""Largest difference, absolute or relative, of a measured value on two machines."""


def find_earlier(promotion: Promotion, version: str, gated: Gated, log: ModelLog) -> Proposal | None:
    """Return the waiting or rejected proposal of a version over the same champion by the same gate, None without one.

    Costs are measured again for each proposal, so with budgets the verdicts differ.
    """
    if not promotion.approval:
        return None
    rows, gate = gated.grounds.rows, gated.grounds.gate
    verdict = digest_of(gated.verdict.model_dump(mode="json"))
    subject = (version, promotion.alias, log.since(promotion.alias), rows.digest)
    for standing in list_standings(current_store(), promotion.model):
        found = standing.proposal
        is_same = (found.version, found.alias, found.since, found.evaluation_set_sha256) == subject
        has_same_gate = found.grounds is not None and found.grounds.gate == gate
        has_same_verdict = gate.budgets is not None or found.gate_sha256 == verdict
        if is_same and has_same_gate and has_same_verdict and standing.state not in ("approved", "overtaken"):
            return found
    return None


def check_proposal(proposal: Proposal) -> None:
    """Compute a proposal's verdict again.

    Raises Corrupt unless it passes with the values of the stored one, Conflict where an earlier tunegate proposed.
    """
    store, grounds = current_store(), proposal.grounds
    key = f"models/{proposal.model}/proposals/{proposal.id}/proposal.json"
    if grounds is None:
        raise Conflict(
            f"{key}: an earlier tunegate wrote it, without what its gate was given, so its verdict cannot be computed "
            "again. Run its recipe again, which proposes the version once more."
        )
    events = read_log(store, proposal.model).events[: proposal.since]
    champion = events[-1].to_version if events else None
    named = (proposal.champion, grounds.evidence.champion_version, grounds.rows.digest)
    if named != (champion, champion, proposal.evaluation_set_sha256):
        raise _altered(key, "it names another champion than the log, or other rows than its gate was given")
    known = {event.evaluation_set_sha256 for event in events if event.alias == proposal.alias} - {None}
    if known and grounds.rows.digest not in known:
        log.warning(
            "%s: no earlier gate of %s@%s had these test rows, SHA-256 %s, which the proposer chose. Compare "
            "their digest with that of your own run of the recipe.",
            key,
            proposal.model,
            proposal.alias,
            short(grounds.rows.digest),
        )
    stored, verdict = read_passing_verdict(store, proposal), _gate_again(key, proposal, grounds)
    if verdict.decision != "pass":
        reasons = [rule.reason for rule in verdict.rules if rule.decision != "pass"]
        raise _altered(key, f"its verdict, computed again, is {verdict.decision}: {'; '.join(reasons)}")
    if not _agree(stored, verdict):
        raise _altered(key, "its verdict, computed again, passes with other values than the stored one")


def _altered(key: str, what: str) -> Corrupt:
    return Corrupt(
        f"{key}: {what}. It was altered, or made by another tunegate or on a machine that rounds differently: it is "
        "not approved. Reject it or delete it; `tunegate promote --recipe` gates the version from its sources."
    )


def _gate_again(key: str, proposal: Proposal, grounds: Grounds) -> Verdict:
    """Gate again, with new predictions of all versions; baselines, costs and seeds are the proposal's."""
    from tasks.methods.problems.table import PROBLEMS
    from tasks.methods.rules.evidence import Evidence

    store, gate, evidence, model = current_store(), grounds.gate, grounds.evidence, proposal.model
    rows, problem = read_table(store, grounds.rows), read_manifest(store, model, proposal.version).problem
    baselines = evidence.baselines.tables if evidence.baselines else {}
    champion = proposal.champion
    earlier = earlier_champions(gate, model, proposal.alias, problem, champion) if champion else []
    if gate.budgets and champion and evidence.costs is None:
        raise _altered(key, "it lacks the costs that its gate has budgets for")
    try:
        found = Evidence(
            labels=problem.labels,
            candidate=_answers(model, proposal.version, rows),
            champion=_answers(model, champion, rows) if champion else None,
            earlier={version: _answers(model, version, rows) for version in earlier},
            baselines={name: read_table(store, baselines[name]) for name in gate.guard_rails},
            lengths_N=np.array([len(text) for text in rows["text"]]),
            costs=evidence.costs,
            seed_scores=evidence.seed_scores,
            has_classes=PROBLEMS[problem.kind].has_classes,
        )
        return gate_predictions(gate, found)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise _altered(key, f"its gate cannot be computed ({type(error).__name__})") from error


def _answers(model: str, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    manifest = read_manifest(current_store(), model, version)
    with unpacked(current_store(), ModelRef.of(manifest.files)) as folder:
        answers: pd.DataFrame = run_isolated(f"{model}@{short(version)}", answer, folder, rows, manifest.problem)
    return answers


def _agree(one: Verdict, other: Verdict) -> bool:
    rules = list(zip(one.rules, other.rules, strict=False))
    return len(one.rules) == len(other.rules) and all(
        (left.name, left.decision, left.limit) == (right.name, right.decision, right.limit)
        and isclose(left.measured, right.measured, rel_tol=ROUNDING, abs_tol=ROUNDING)
        for left, right in rules
    )
