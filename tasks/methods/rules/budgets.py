"""Budgets: time, memory and size as multiples of the champion's.

Times are compared by the ratio of medians or percentiles over alternating blocks; its interval is a bootstrap of the
blocks, the same draws for both models (Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time"). Memory is
measured several times, and its interval covers every observed ratio. Size is a number.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from schemas.recipe.gate import Gate
from schemas.records.references import ModelCosts
from schemas.records.verdict import Decision, RuleResult
from tasks.methods.metrics import score
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import decide_by_bounds

MEBIBYTE = 2**20


def check_budgets(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check each budget of the recipe; no results without a champion."""
    if gate.budgets is None or evidence.costs is None:
        return []
    ours, theirs = evidence.costs.candidate, evidence.costs.champion
    asked = gate.budgets.model_dump(exclude_none=True)
    return [
        _check_time(gate, name, limit, ours, theirs) if name in TIMES else _check_bytes(name, limit, ours, theirs)
        for name, limit in asked.items()
    ]


def _quantile(what: str, share: float, costs: ModelCosts, blocks_RB: np.ndarray) -> np.ndarray:
    seconds = np.array(getattr(costs, what))[blocks_RB].reshape(len(blocks_RB), -1)
    return np.asarray(np.quantile(seconds, share, axis=1))


TIMES: dict[str, Callable[[ModelCosts, np.ndarray], np.ndarray]] = {
    "latency_p50": partial(_quantile, "singles", 0.5),
    "latency_p95": partial(_quantile, "singles", 0.95),
    "time_per_row": partial(_quantile, "batches", 0.5),
}


def _check_time(gate: Gate, name: str, limit: float, ours: ModelCosts, theirs: ModelCosts) -> RuleResult:
    statistic, num_blocks = TIMES[name], len(ours.batches)
    as_measured_1B = np.arange(num_blocks)[None]
    drawn_RB = np.random.default_rng(gate.seed).integers(0, num_blocks, (gate.resamples, num_blocks))
    seconds = [float(statistic(costs, as_measured_1B)[0]) for costs in (ours, theirs)]
    ratio = seconds[0] / seconds[1]
    low, high = score.interval(statistic(ours, drawn_RB) / statistic(theirs, drawn_RB), gate.confidence)
    reason = (
        f"{seconds[0] * 1000:.2f} ms against the champion's {seconds[1] * 1000:.2f} ms: {ratio:.3f} times "
        f"[{low:.3f}, {high:.3f}]; at most {limit:.3f} is asked"
    )
    return _result(name, ratio, (low, high), limit, decide_by_bounds(-high, -low, -limit), reason)


def _check_bytes(name: str, limit: float, ours: ModelCosts, theirs: ModelCosts) -> RuleResult:
    held = [np.atleast_1d(getattr(costs, f"{name}_bytes")) for costs in (ours, theirs)]
    ours_bytes, theirs_bytes = (float(np.median(values)) for values in held)
    ratio, seen = ours_bytes / theirs_bytes, held[0] / held[1]
    low, high = float(seen.min()), float(seen.max())
    decision: Decision = "pass" if high <= limit else "refuse" if low > limit else "undecidable"
    reason = (
        f"{ours_bytes / MEBIBYTE:,.1f} MiB against the champion's {theirs_bytes / MEBIBYTE:,.1f} MiB: {ratio:.3f} "
        f"times [{low:.3f}, {high:.3f}]; at most {limit:.3f} is asked"
    )
    return _result(name, ratio, (low, high), limit, decision, reason)


def _result(
    name: str, ratio: float, interval: tuple[float, float], limit: float, decision: Decision, reason: str
) -> RuleResult:
    return RuleResult(
        name=f"budget: {name}",
        measured=ratio,
        interval=interval,
        limit=limit,
        sense="at most",
        decision=decision,
        reason=reason,
    )
