"""The report as one self-contained HTML page, and as Markdown for Prefect's artifacts."""

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome
from schemas.records.references import ReportRef
from schemas.visible import visible

HEADLINES = {
    "promoted": "Promoted: the candidate has shown what the gate asks for.",
    "unchanged": "Unchanged: the candidate is the champion already, byte for byte; it was not gated again.",
    "passed": "Passed: the candidate has shown what the gate asks for; it was not promoted, as requested.",
    "proposed": "Proposed: the candidate has shown what the gate asks for; it waits for approval.",
    "rejected": "Rejected: the candidate has shown what the gate asks for; a reviewer rejected it.",
    "refused": "Refused: the candidate has not shown what the gate asks for. Nothing was promoted.",
    "undecidable": "Undecidable: there is too little evidence. Nothing was promoted.",
    "data-refused": "Data refused: the rows break their contract. Nothing was trained.",
}
CAPTIONS = {
    "rules.png": "Rules of the gate, with results",
    "slices.png": "Slices of the rows, compared with the champion",
    "learning_curve.png": "Loss by optimizer step",
    "confusion_candidate.png": "Confusion matrix of the candidate",
    "confusion_champion.png": "Confusion matrix of the champion",
    "reliability.png": "Calibration of the probabilities",
}


def render_page(
    outcome: Outcome,
    recipe: Recipe,
    report: ReportRef | None,
    pictures: dict[str, bytes],
    lineage: dict[str, str],
    template: str = "page.html",
) -> str:
    """Write the page; pictures are embedded, texts of rows are escaped."""
    figures = [(name, caption, data_uri(pictures[name])) for name, caption in CAPTIONS.items() if name in pictures]
    return fill_template(
        template,
        outcome=outcome,
        recipe=recipe,
        report=report,
        figures=figures,
        lineage=lineage,
        headline=HEADLINES[outcome.outcome],
    )


def render_markdown(outcome: Outcome, recipe: Recipe, report: ReportRef | None, lineage: dict[str, str]) -> str:
    return render_page(outcome, recipe, report, {}, lineage, "page.md")


def data_uri(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def fill_template(name: str, **values: object) -> str:
    """Fill a template beside this file; values are escaped, and in Markdown shown as code by `cell`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["cell"] = cell
    return environment.get_template(name).render(**values)


def _shown(value: object) -> object:
    """Spell controls of a text out; Markup stays Markup."""
    if not isinstance(value, str):
        return value
    shown = visible(value, lines=True)
    return Markup(shown) if isinstance(value, Markup) else shown  # noqa: S704


def cell(text: str, length: int = 200) -> str:
    """Format a row's text as code in a table cell, where it cannot add a column or mention a @name."""
    short = text if len(text) <= length else f"{text[: length - 1]}…"
    plain = " ".join(short.split()).replace("|", "/").replace("`", "'")
    # Code is not interpreted as HTML.
    return Markup(f"`{plain}`") if plain else ""  # noqa: S704
