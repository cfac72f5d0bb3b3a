"""What is deployed of the chain: retraining and judging, scheduled or from a form, and trainings that runs share."""

import logging

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.chain.steps import Run
from flows.finetune import finetune
from flows.regate import regate
from schemas.errors import Unavailable
from schemas.recipe.loading import load_recipe
from schemas.records.outcome import Outcome
from schemas.records.request import JudgeRequest, RetrainRequest, TrainRequest
from schemas.settings import Settings
from tasks.methods.reports.page import HEADLINES
from tasks.services.tracking.wandb_runs import TrackingContext
from tasks.training import train_model

MAX_STARTS = 5
NAMES = {"data-refused": "Data refused"}


def _name_retraining() -> str:
    """Such as `tweets/full, training.epochs=3`: what ran, and what was changed."""
    request = RetrainRequest.model_validate(flow_run.parameters["request"])
    # The named recipe then says no more than where paths start.
    whole = ["whole recipe"] if request.whole_recipe.strip() else []
    return ", ".join([request.recipe, *whole, *request.overrides])


def _name_judging() -> str:
    request = JudgeRequest.model_validate(flow_run.parameters["request"])
    return f"{request.candidate} by {request.recipe}"


@flow(name="retrain", flow_run_name=_name_retraining, persist_result=False)
def retrain(request: RetrainRequest = RetrainRequest()) -> State[Outcome]:  # noqa: B008
    """Fine-tune, judge and promote a model. A candidate that does not pass is a result, and completes the run.

    Args:
        request: Which recipe, and what to change in it.
    """
    _prepare()
    recipe, folder = request.resolve(Settings().recipes)
    return _ended(finetune.fn(recipe, str(folder), request.promote, None, request.reason))


@flow(name="judge", flow_run_name=_name_judging, persist_result=False)
def judge(request: JudgeRequest = JudgeRequest()) -> State[Outcome]:  # noqa: B008
    """Hold a model that exists against the one in use, by a recipe's gate. Nothing is trained, nothing promoted.

    Args:
        request: Which recipe's test rows and gate, and which model.
    """
    _prepare()
    path = Settings().recipes / f"{request.recipe}.yaml"
    return _ended(regate.fn(load_recipe(path), request.candidate, str(path.parent), request.against or None))


def _name_training() -> str:
    request = TrainRequest.model_validate(flow_run.parameters["request"])
    return f"{request.recipe}, {request.step}"


@flow(name="train", flow_run_name=_name_training, persist_result=False)
def train(request: TrainRequest) -> str:
    """Train one of several models that another run needs, into the cache, and give the digest of its files.

    Args:
        request: What that run would train itself if nobody else did.
    """
    _prepare()
    settings = Settings()
    origin = {"recipe": request.recipe}
    tracking = TrackingContext.of_flow_run(request.project, request.group, settings.home, origin)
    trained = Run(tracking, request.recipe).call(request.step, train_model, **request.arguments)
    return str(trained.digest)


def _prepare() -> None:
    """Let Prefect show our logs, and end a run that has crashed again and again. Raises Unavailable."""
    for name in ("flows", "tasks"):
        # Prefect has handlers for them and no level.
        logging.getLogger(name).setLevel(logging.INFO)
    # It tells of each folder that it makes.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    starts = flow_run.run_count or 1
    if starts > MAX_STARTS:
        raise Unavailable(
            f"This run was started {starts - 1} times, and each time its process ended without a word. Look at the "
            "machine's memory and at the worker's log; then start a new run, which goes on from the last checkpoint."
        )


def _ended(outcome: Outcome) -> State[Outcome]:
    rules = outcome.verdict.rules if outcome.verdict else ()
    message = " ".join([HEADLINES[outcome.outcome], *(f"{rule.name}: {rule.reason}." for rule in rules)])
    return Completed(name=NAMES.get(outcome.outcome, outcome.outcome.capitalize()), message=message)
