"""Rule on seeds: the lower bound of the mean score over trainings with several seeds.

Source: Student 1908, one-sided bounds of a mean; a single seed may be lucky (Reimers and Gurevych 2017,
arXiv:1707.09861).
"""

from math import sqrt
from statistics import mean, stdev

from scipy.stats import t

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import decide_by_bounds


def check_seeds(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check that the mean's lower bound lies above the limit; no results without a limit or without seeds."""
    limit, scores = gate.seeds_at_least, evidence.seed_scores
    if limit is None or not scores:
        return []
    measured = mean(scores)
    half_width = float(t.ppf(gate.confidence, len(scores) - 1)) * stdev(scores) / sqrt(len(scores))
    low, high = measured - half_width, measured + half_width
    return [
        RuleResult(
            name="seeds",
            measured=measured,
            interval=(low, high),
            limit=limit,
            decision=decide_by_bounds(low, high, limit),
            reason=(
                f"{gate.metric} on the validation rows is {measured:.3f} [{low:.3f}, {high:.3f}] as a mean over "
                f"{len(scores)} seeds; at least {limit:.3f} is asked"
            ),
        )
    ]
