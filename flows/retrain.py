"""The chain as it is deployed: scheduled, or started from a form of Prefect's UI."""

import logging

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, State

from flows.finetune import finetune
from schemas.outcome import Outcome
from schemas.request import RetrainRequest
from schemas.settings import Settings
from tasks.methods.reports.page import HEADLINES

WORDS = {"data-refused": "Data refused"}


def _name_run() -> str:
    """Such as `tweets/full, training.epochs=3`: what ran, and what was changed."""
    request = RetrainRequest.model_validate(flow_run.parameters["request"])
    return ", ".join([request.recipe, *request.overrides])


def _message(outcome: Outcome) -> str:
    rules = outcome.verdict.rules if outcome.verdict else ()
    return " ".join([HEADLINES[outcome.outcome], *(f"{rule.name}: {rule.reason}." for rule in rules)])


@flow(name="retrain", flow_run_name=_name_run, persist_result=False)
def retrain(request: RetrainRequest = RetrainRequest()) -> State[Outcome]:  # noqa: B008
    """Fine-tune, judge and promote a model. A candidate that does not pass is a result, and ends the run as completed.

    Args:
        request: Which recipe, and what to change in it.
    """
    for name in ("flows", "tasks"):
        # Prefect has handlers for them and no level.
        logging.getLogger(name).setLevel(logging.INFO)
    recipe, folder = request.resolve(Settings().recipes)
    outcome = finetune.fn(recipe, str(folder), request.promote, None, request.reason)
    return Completed(name=WORDS.get(outcome.outcome, outcome.outcome.capitalize()), message=_message(outcome))
