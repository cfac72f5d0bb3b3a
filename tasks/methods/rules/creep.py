"""No creep: margins add up over a year of retrains, so the best earlier champion is an opponent too."""

from schemas.judging import Gate
from schemas.verdict import RuleResult
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules import resampling
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import compare_answers, judge_difference


def judge_creep(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask for the margin against the earlier champion that scores best on these rows; nothing where none is better.

    A gain is asked of the champion alone: who gains never creeps.
    """
    if evidence.champion is None or not evidence.earlier or gate.non_inferiority_margin is None:
        return []
    score = METRICS[gate.metric]

    def scored(name: str) -> float:
        groups = resampling.group_rows(*score.read(evidence.earlier[name]))
        return resampling.measure(score, groups, 0, evidence.labels)[gate.metric]

    best = max(sorted(evidence.earlier), key=scored)
    paired = compare_answers(gate, gate.metric, evidence.candidate, evidence.earlier[best], evidence.labels)
    return [judge_difference(gate, "no-creep", paired, gate.limit, f"the best earlier champion's ({best[:12]})")]
