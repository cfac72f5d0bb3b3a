"""A verdict for continuous integration: a comment for a pull request, and JUnit's XML."""

import xml.etree.ElementTree as ET
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from schemas.outcome import Outcome
from schemas.recipe import Recipe
from schemas.references import ReportRef
from tasks.methods.reports.page import HEADLINES

COMMENT = "comment.md"
SHOWN_ERRORS = 5
NEXT = {
    "passed": "Nothing is left to do here: merge, and promote with `tunegate run` or from the Prefect UI.",
    "refused": "Do not promote this model. Look at the rows below first; train again, or change the recipe's gate in a "
    "change of its own if it asks for too much.",
    "undecidable": "The test rows are too few to tell. Add rows to `data.test`, or choose a margin that these rows can "
    "decide.",
    "data-refused": "Correct the rows that the findings name, or change the recipe's contract.",
}


def marker_of(name: str) -> str:
    """What a comment begins with, so that the next run finds and replaces it."""
    return f"<!-- tunegate gate: {name} -->"


def render_comment(outcome: Outcome, recipe: Recipe, report: ReportRef | None) -> str:
    """Write the comment as Markdown, a few kilobytes long."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(COMMENT).render(
        marker=marker_of(recipe.promotion.model),
        headline=HEADLINES[outcome.outcome],
        next_step=NEXT[outcome.outcome],
        outcome=outcome,
        recipe=recipe,
        errors=report.errors[:SHOWN_ERRORS] if report else (),
        order=report.order if report else "",
    )


def render_junit(outcome: Outcome, recipe: Recipe) -> bytes:
    """Write one case a rule, a finding of the data a case too: refused is a failure, undecidable an error."""
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
    case = ET.Element("testcase", {"name": name, "time": "0"})
    if decision == "refuse":
        ET.SubElement(case, "failure", {"message": reason, "type": "refuse"}).text = reason
    elif decision == "undecidable":
        ET.SubElement(case, "error", {"message": reason, "type": "undecidable"}).text = reason
    else:
        ET.SubElement(case, "system-out").text = reason
    return case
