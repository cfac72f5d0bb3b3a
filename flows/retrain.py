"""Deployed flows of the chain: retrain and gate, by schedule or form, and shared trainings."""

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
from schemas.settings import read_settings
from tasks.methods.reports.page import HEADLINES
from tasks.services.tracking.wandb_runs import TrackingContext
from tasks.training import train_model

MAX_STARTS = 5
NAMES = {"data-refused": "Data refused"}


@flow(name="retrain", flow_run_name="{request.title}", persist_result=False)
def retrain(request: RetrainRequest = RetrainRequest()) -> State[Outcome]:  # noqa: B008
    """Fine-tune, gate and promote a model. A candidate that does not pass is a result, and completes the run.

    Args:
        request: The recipe, and changes to it.
    """
    _prepare()
    recipe, folder = request.resolve(read_settings().recipes)
    return _completed(finetune.fn(recipe, str(folder), request.promote, None, request.reason))


@flow(name="judge", flow_run_name="{request.candidate} by {request.recipe}", persist_result=False)
def judge(request: JudgeRequest = JudgeRequest()) -> State[Outcome]:  # noqa: B008
    """Gate an existing model against the champion. Nothing is trained, nothing promoted.

    Args:
        request: The recipe of test rows and gate, and the model.
    """
    _prepare()
    path = read_settings().recipes / f"{request.recipe}.yaml"
    return _completed(regate.fn(load_recipe(path), request.candidate, str(path.parent), request.against or None))


@flow(name="train", flow_run_name="{request.recipe}, {request.step}", persist_result=False)
def train(request: TrainRequest) -> str:
    """Train one of several models of another run into the cache; return the digest of its files.

    Args:
        request: The training step of that run.
    """
    _prepare()
    settings = read_settings()
    origin = {"recipe": request.recipe}
    tracking = TrackingContext.of_flow_run(request.project, request.group, settings.home, origin)
    trained = Run(tracking, request.recipe).call(request.step, train_model, **request.arguments)
    return str(trained.digest)


def _prepare() -> None:
    """Let Prefect show our logs, and end a run that crashes repeatedly. Raises Unavailable."""
    for name in ("flows", "tasks"):
        # Prefect adds handlers but sets no level.
        logging.getLogger(name).setLevel(logging.INFO)
    # It logs each folder that it creates.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    starts = flow_run.run_count or 1
    if starts > MAX_STARTS:
        raise Unavailable(
            f"This run was started {starts - 1} times, and each time its process died. Check the machine's memory "
            "and the worker's log; then start a new run, which resumes from the last checkpoint."
        )


def _completed(outcome: Outcome) -> State[Outcome]:
    rules = outcome.verdict.rules if outcome.verdict else ()
    message = " ".join([HEADLINES[outcome.outcome], *(f"{rule.name}: {rule.reason}." for rule in rules)])
    return Completed(name=NAMES.get(outcome.outcome, outcome.outcome.capitalize()), message=message)
