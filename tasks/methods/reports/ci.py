"""A verdict for continuous integration: a comment for a pull request, and JUnit's XML."""

import xml.etree.ElementTree as ET

from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome
from schemas.records.references import ReportRef
from schemas.visible import visible
from tasks.methods.reports.page import HEADLINES, fill_template

SHOWN_ERRORS = 5
NEXT = {
    "promoted": "Nothing to do: the alias names this model.",
    "unchanged": "Nothing to do: this model is the champion already.",
    "passed": "Merge. Then the next run promotes the model that it trains; `tunegate promote NAME VERSION --recipe "
    "RECIPE`, or the Prefect UI, promotes a version of the registry.",
    "proposed": "A person decides: `tunegate approve`, or `tunegate reject` with a reason.",
    "rejected": "Do not promote this model: a reviewer rejected it, for the reason below.",
    "refused": "Do not promote this model. Look at the rows below first; train again, or, if the gate is too strict, "
    "change it in the recipe, in a separate commit.",
    "undecidable": "There is too little evidence. The rules below say what they lack: rows in `data.test`, a margin "
    "that these rows can decide, more seeds, or a quieter machine.",
    "data-refused": "Correct the rows that the findings name, or change the recipe's contract.",
}


TAGS = {"pass": "system-out", "refuse": "failure", "undecidable": "error"}
# GitHub accepts 65,536 characters.
LONGEST = 60_000


def marker_of(name: str) -> str:
    """Return the first line of a comment, by which the next run finds and replaces it."""
    return f"<!-- tunegate gate: {name} -->"


def render_comment(outcome: Outcome, recipe: Recipe, report: ReportRef | None) -> str:
    """Write the comment as Markdown, of at most 60,000 characters."""
    text = fill_template(
        "comment.md",
        marker=marker_of(recipe.promotion.model),
        headline=HEADLINES[outcome.outcome],
        next_step=NEXT[outcome.outcome],
        outcome=outcome,
        recipe=recipe,
        errors=report.errors[:SHOWN_ERRORS] if report else (),
        num_errors=report.num_errors if report else 0,
        order=report.order if report else "",
    )
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n\n... the rest is in the report.\n"


def render_without_verdict(recipe: Recipe) -> str:
    """Write the comment of a run that did not finish, so that no earlier verdict is taken for its own."""
    name = recipe.promotion.model
    return (
        f"{marker_of(name)}\n### Gate: {name}\n\n**No verdict: the run did not finish.**\n\n"
        "Its log says why. It promoted nothing.\n"
    )


def render_junit(outcome: Outcome, recipe: Recipe) -> bytes:
    """Write one case for each finding and rule: refused is a failure, undecidable an error."""
    cases = [
        _case(finding.clause, "refuse" if finding.refused else "pass", finding.sentence) for finding in outcome.findings
    ]
    rules = outcome.verdict.rules if outcome.verdict else ()
    cases += [_case(rule.name, rule.decision, rule.reason) for rule in rules]
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "time": f"{outcome.seconds:.3f}",
    }
    attributes = {name: str(value) for name, value in counts.items()}
    suites = ET.Element("testsuites", attributes)
    suite = ET.SubElement(suites, "testsuite", {"name": f"tunegate gate {recipe.promotion.model}", **attributes})
    for case in cases:
        case.set("classname", f"tunegate.{recipe.promotion.model}")
        suite.append(case)
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True))


def _case(name: str, decision: str, reason: str) -> ET.Element:
    # XML has no controls, not even escaped.
    name, reason = visible(name), visible(reason, lines=True)
    case = ET.Element("testcase", {"name": name, "time": "0"})
    attributes = {} if decision == "pass" else {"message": reason, "type": decision}
    ET.SubElement(case, TAGS[decision], attributes).text = reason
    return case
