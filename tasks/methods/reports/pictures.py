"""Pictures for the report, as PNG bytes, drawn by matplotlib without a display."""

import io

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from schemas.records.comparison import MethodScores
from schemas.records.references import CurvePoint
from schemas.records.verdict import RuleResult
from tasks.methods.metrics.probabilities import CALIBRATION_ERROR

DPI = 120
INK, ACCENT, OTHER = "#1f2933", "#2563a8", "#c2572b"
DECISIONS = {"pass": "#1a7f45", "refuse": "#b3372a", "undecidable": "#96690b"}
LONGEST_NAME = 14
# A label such as "$5-$10" is not a formula.
matplotlib.rcParams["text.parse_math"] = False


def draw_rules(rules: tuple[RuleResult, ...]) -> bytes:
    """Draw the result of each rule, with its interval, as the distance from its limit; positive is good."""
    figure, axes = _figure(6.8, 1.0 + 0.45 * len(rules))
    for place, rule in enumerate(rules):
        sign = 1 if rule.sense == "at least" else -1
        low, high = sorted(sign * (bound - rule.limit) for bound in rule.interval)
        colour = DECISIONS[rule.decision]
        axes.plot([low, high], [place, place], color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(sign * (rule.measured - rule.limit), place, color=colour, marker="o")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(rules)), [f"{rule.name.removeprefix('slice: ')}: {rule.decision}" for rule in rules])
    axes.set_ylim(len(rules) - 0.5, -0.5)
    axes.set_xlabel("distance from the limit, with its interval; the gate requires values right of the line")
    axes.grid(axis="x", alpha=0.25)
    return _png(figure)


def draw_reliability(answers: dict[str, pd.DataFrame], labels: tuple[str, ...]) -> bytes:
    """Draw accuracy by confidence; a calibrated model lies on the diagonal. Areas grow with the rows."""
    figure, axes = _figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--")
    for (name, table), colour in zip(answers.items(), (ACCENT, OTHER), strict=False):
        counts_NS = CALIBRATION_ERROR.counts(*CALIBRATION_ERROR.read(table), labels)
        rows_B, right_B, sureness_B = np.split(np.asarray(counts_NS.sum(axis=0)).ravel(), 3)
        has_B = rows_B > 0
        sure_B, share_B = sureness_B[has_B] / rows_B[has_B], right_B[has_B] / rows_B[has_B]
        axes.plot(sure_B, share_B, color=colour, linewidth=1.2, label=name)
        axes.scatter(sure_B, share_B, s=4 + 160 * rows_B[has_B] / rows_B.sum(), color=colour, alpha=0.6)
    axes.set(
        xlim=(0, 1.03), ylim=(0, 1.03), xlabel="probability of the prediction", ylabel="share of right predictions"
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return _png(figure)


def draw_learning_curve(curve: tuple[CurvePoint, ...]) -> bytes:
    """Draw training and validation loss by optimizer step; the best checkpoint is marked."""
    figure, axes = _figure(6.4, 3.6)
    training = [(point.step, point.loss) for point in curve if point.loss is not None]
    validation = [(point.step, point.validation_loss) for point in curve if point.validation_loss is not None]
    axes.plot(
        *zip(*training, strict=True), color=OTHER, linewidth=1.2, label="training loss (mean since the last point)"
    )
    if validation:
        axes.plot(*zip(*validation, strict=True), color=ACCENT, marker="o", label="validation loss")
        best = min(validation, key=lambda point: point[1])
        axes.annotate(
            f"best: step {best[0]}, {best[1]:.3f}",
            best,
            textcoords="offset points",
            xytext=(0, 12),
            ha="right" if best[0] > max(step for step, _ in validation) / 2 else "left",
            color=ACCENT,
        )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss")
    losses = [loss for _, loss in training + validation]
    axes.set_ylim(0, 1.25 * max(losses))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def draw_confusion(title: str, confusion: tuple[tuple[int, ...], ...], labels: tuple[str, ...]) -> bytes:
    """Draw the counts of rows by truth (down) and prediction (across), shaded by the share within the true class."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.75 * len(labels)
    figure, axes = _figure(side + 0.6, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.55 else INK
        text = f"{count:,}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    names = [label if len(label) <= LONGEST_NAME else f"{label[: LONGEST_NAME - 1]}…" for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=11, color=INK)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return _png(figure)


def draw_comparison(metric: str, baselines: list[MethodScores], methods: list[MethodScores]) -> bytes:
    """Draw scores with intervals, one line per method; small points are seeds, dashed lines baselines."""
    figure, axes = _figure(6.8, 1.2 + 0.5 * len(methods))
    for place, method in enumerate(methods):
        low, high = method.interval
        axes.plot([low, high], [place, place], color=ACCENT, linewidth=2)
        axes.plot(method.mean, place, color=ACCENT, marker="o")
        axes.plot(method.scores, [place + 0.2] * len(method.scores), color=OTHER, marker=".", linestyle="none")
    for number, baseline in enumerate(baselines):
        axes.axvline(baseline.mean, color=INK, linestyle=("--", ":")[number % 2], linewidth=1, label=baseline.name)
    axes.set_yticks(range(len(methods)), [method.name for method in methods])
    axes.invert_yaxis()
    axes.set_xlabel(f"{metric} on the test rows: mean over seeds, 95 % interval over rows; points: seeds")
    axes.grid(axis="x", alpha=0.25)
    if baselines:
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Not by `savefig`, which draws once more beforehand. Without the software's name, equal pictures have equal bytes
    # across matplotlib versions.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
