"""The recipe: all decisions of one run, and checks that its parts suit each other."""

from typing import Any, Self

from pydantic import Field, model_validator

from schemas.frozen import Frozen, Name
from schemas.recipe.augmentation import Augmenter
from schemas.recipe.contract import Contract
from schemas.recipe.data import Data
from schemas.recipe.evaluation import OF_PROBABILITIES, Baseline, Evaluation
from schemas.recipe.gate import Gate
from schemas.recipe.model import Model
from schemas.recipe.problem import KINDS, Problem
from schemas.recipe.promotion import Promotion
from schemas.recipe.tracking import Tracking
from schemas.recipe.training import Training
from schemas.recipe.tuning import FullTuning, Tuning


class Recipe(Frozen):
    name: Name = Field(description="Name of this retraining in Prefect and W&B.")
    problem: Problem = Field(description="Kind of problem.")
    data: Data = Field(description="Training rows and held-out rows.")
    contract: Contract = Field(Contract(), description="Requirements on the rows.")
    augmentation: tuple[Augmenter, ...] = Field((), description="Applied in this order, to training rows only.")
    model: Model = Field(description="Pretrained model.")
    tuning: Tuning = Field(FullTuning(), description="Tuning method.")
    training: Training = Field(Training(), description="Training settings.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics on the test rows.")
    gate: Gate = Field(description="Requirements on the candidate.")
    promotion: Promotion = Field(description="Model, alias and approval of a passing candidate.")
    tracking: Tracking = Field(Tracking(), description="Tracking in W&B.")

    @model_validator(mode="before")
    @classmethod
    def _metrics_come_from_the_problem(cls, values: Any) -> Any:
        kind = KINDS.get(_kind_of(values))
        if kind is None:
            return values
        gate, evaluation = values.get("gate"), values.get("evaluation", {})
        # Validation of the fields refuses other types.
        if isinstance(gate, dict):
            values = values | {"gate": {"metric": kind.METRICS[0]} | gate}
        if isinstance(evaluation, dict):
            values = values | {"evaluation": {"metrics": kind.METRICS} | evaluation}
        return values

    @model_validator(mode="after")
    def _parts_suit_each_other(self) -> Self:
        kind = self.problem.kind
        for name in (*self.evaluation.metrics, self.gate.metric):
            if name not in self.problem.METRICS:
                suitable = ", ".join(self.problem.METRICS)
                raise ValueError(f"the metric {name} does not suit {kind}; expected one of {suitable}")
        if self.gate.metric not in self.evaluation.metrics:
            raise ValueError(
                f"gate.metric is {self.gate.metric}, which evaluation.metrics ({', '.join(self.evaluation.metrics)}) "
                "does not report: add it there, or leave evaluation.metrics out"
            )
        self._refuse_gates_that_cannot_be_asked(kind)
        if self.augmentation and not self.problem.can_augment:
            raise ValueError(f"augmentation is for problems whose texts are strings, not for {kind}")
        if not self.problem.labels:
            self._refuse_what_needs_labels()
        self._refuse_licences_that_are_not_accepted()
        if self.problem.is_encoder_decoder and not self.tuning.suits_encoder_decoder:
            raise ValueError(
                f"tuning.kind {self.tuning.kind} is not for {kind}: a decoder takes keys and values from its encoder"
            )
        return self

    def _refuse_gates_that_cannot_be_asked(self, kind: str) -> None:
        for rail in self.gate.guard_rails:
            if rail not in self.problem.BASELINES:
                raise ValueError(f"the guard rail {rail} does not answer {kind}")
        if self.gate.guard_rails and not self.baselines:
            raise ValueError(f"guard rails give no probabilities, so {self.gate.metric} cannot be compared with theirs")
        if self.gate.slices and "label" in self.gate.slices.by and not self.problem.has_one_label:
            raise ValueError(f"gate.slices.by names label, but a row of {kind} has no one label: leave it out")
        if self.gate.max_calibration_error is not None and "calibration_error" not in self.problem.METRICS:
            raise ValueError(f"gate.max_calibration_error is set, but the answers to {kind} have no such error")
        if self.gate.seeds_at_least is not None and len(self.training.seeds) < 2:
            raise ValueError("gate.seeds_at_least is set, but training.seeds names only one: give two or more")

    def _refuse_licences_that_are_not_accepted(self) -> None:
        accepted = self.data.licences
        for name, source in (("train", self.data.train), ("test", self.data.test)):
            licence = (source.licence or "unknown").lower()
            if accepted is not None and licence not in {one.lower() for one in accepted}:
                raise ValueError(
                    f"data.licences allows {', '.join(accepted)}, but data.{name}.licence is {licence!r}. If you "
                    f"accept it, add {licence!r} to data.licences; otherwise choose other rows"
                )

    def _refuse_what_needs_labels(self) -> None:
        set_parts = {
            "augmentation": bool(self.augmentation),
            "contract.class_share": self.contract.class_share.min > 0,
            "training.loss.class_weights": self.training.loss.class_weights != "none",
        }
        for name, is_set in set_parts.items():
            if is_set:
                raise ValueError(f"{name} is for problems with labels, not for {self.problem.kind}: leave it out")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """Baselines that the gate's metric can score: none if it needs probabilities."""
        return () if self.gate.metric in OF_PROBABILITIES else self.problem.BASELINES

    @property
    def positions(self) -> int:
        """Positions that the model needs: tokens of a text, and those that the tuning puts before it."""
        return self.problem.max_tokens + getattr(self.tuning, "num_tokens", 0)

    @property
    def trainings(self) -> tuple[Training, ...]:
        """One training per seed, by default with the tuning's learning rate."""
        rate = self.training.learning_rate or self.tuning.DEFAULT_RATE
        return tuple(
            self.training.model_copy(update={"learning_rate": rate, "seeds": (seed,)}) for seed in self.training.seeds
        )


def _kind_of(values: Any) -> str:
    problem = values.get("problem") if isinstance(values, dict) else None
    return str(problem.get("kind", "")) if isinstance(problem, dict) else ""
