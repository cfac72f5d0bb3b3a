"""A comparison of tuning methods as a Markdown table."""

from schemas.records.comparison import Comparison, MethodCost, MethodScores
from schemas.visible import visible

COLUMNS = ("sd over seeds", "gain", "beats the last baseline", "trained", "memory", "seconds", "size")


def table_of(comparison: Comparison) -> str:
    """Write the table.

    gain: gain over the first baseline, as a share of the first method's gain; empty without a baseline
    memory: peak of the training above the memory of the process before it
    size: stored bytes, without a base that is stored separately
    """
    floor = comparison.baselines[0].mean if comparison.baselines else comparison.methods[0].mean
    reference = comparison.methods[0].mean - floor
    lines = [_line("method", f"{comparison.metric} [95 %]", *COLUMNS), "|---" * (len(COLUMNS) + 2) + "|"]
    lines += [_line(found.name, _score(found), *[""] * len(COLUMNS)) for found in comparison.baselines]
    for found, cost in zip(comparison.methods, comparison.costs, strict=True):
        gain = f"{(found.mean - floor) / reference:.0%}" if reference > 0 else ""
        lines.append(_line(found.name, _score(found), f"{found.standard_deviation:.4f}", gain, *_details(found, cost)))
    return "\n".join(lines)


def _details(found: MethodScores, cost: MethodCost) -> list[str]:
    beats = "" if found.ahead is None else "yes" if found.beats_baseline else "no"
    training = cost.training
    return [
        beats,
        f"{training.trained_share:.2%}",
        f"{training.peak_memory_bytes / 2**20:,.0f} MiB",
        f"{training.seconds:,.0f}",
        f"{cost.artifact_bytes / 2**20:,.2f} MiB",
    ]


def _score(found: MethodScores) -> str:
    return f"{found.mean:.3f} [{found.interval[0]:.3f}, {found.interval[1]:.3f}]"


def _line(*cells: str) -> str:
    return f"| {' | '.join(visible(cell) for cell in cells)} |"
