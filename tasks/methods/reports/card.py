"""Model card of a version: description, scores, verdict and origin, with the metadata of Hugging Face's hub.

It is generated and holds no time, so the same version and verdict give the same card. Languages are unknown and left
out.
"""

import yaml

from schemas.frozen import digest_of
from schemas.records.references import RowsRef, ScoresRef
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from tasks.methods.reports.page import fill_template


def render_card(
    manifest: Manifest, verdict: Verdict, scores: ScoresRef, rows: RowsRef, test_licence: str | None = None
) -> str:
    """Write a version's card; `scores` are those of the verdict, on the test rows `rows`."""
    body = fill_template(
        "card.md",
        manifest=manifest,
        verdict=verdict,
        gate_sha256=digest_of(verdict.model_dump(mode="json")),
        scores=scores,
        rows=rows,
        test_licence=test_licence,
        task=manifest.problem.kind.replace("-", " "),
        recipe=yaml.safe_dump(manifest.recipe, sort_keys=False, allow_unicode=True),
    )
    return f"---\n{_metadata(manifest, scores, rows)}\n---\n{body}"


def _metadata(manifest: Manifest, scores: ScoresRef, rows: RowsRef) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    from tasks.methods.problems.table import PROBLEMS

    task, source = PROBLEMS[manifest.problem.kind].task, manifest.base.source
    results = [
        EvalResult(
            task_type=task,
            dataset_type="held-out",
            dataset_name=f"{manifest.model}, held-out rows",
            dataset_args={"rows": scores.num_rows, "sha256": rows.digest},
            metric_type=name,
            metric_value=value,
            metric_args={"interval_95": list(scores.intervals[name])},
        )
        for name, value in scores.scores.items()
    ]
    data = ModelCardData(
        # Only ids of the hub can be named.
        base_model=None if source.startswith((".", "package:")) or "@" in source else source,
        license=manifest.base.licence,
        pipeline_tag=task,
        tags=["tunegate", manifest.tuning.kind],
        metrics=list(scores.scores),
        model_name=manifest.model,
        eval_results=results,
    )
    return str(data.to_yaml())
